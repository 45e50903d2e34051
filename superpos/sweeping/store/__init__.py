"""What is on disk: writing, reading, resuming and exporting results. `../README.md` says what each module is for."""

from superpos.sweeping.store.writer import said as said
from superpos.sweeping.store.writer import writable as writable
