"""What is on disk: writing, reading, resuming and exporting results. `../README.md` says what each module is for."""

from superpos.sweep.store.writer import said as said
from superpos.sweep.store.writer import writable as writable
