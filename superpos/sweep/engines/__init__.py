"""Who trains the chunks of a store: this process, Ray's workers, or the processes of one JAX program.

An engine is a module with a function `train(job)`, which commits `job.chunks`. Chunks are deterministic and committed one
by one, so trying again, or twice, does no harm; nothing here schedules, leases or queues.
"""

from superpos.sweep.engines.job import ENGINES as ENGINES
from superpos.sweep.engines.job import Job as Job
from superpos.sweep.engines.job import sweep_to_store as sweep_to_store
