"""Who trains the chunks of a store: this process, Ray's workers, or the processes of one JAX program.

`sp.sweep(..., engine=sp.engines.Ray(cpus_per_task=2))`. Chunks are deterministic and committed one by one, so trying again,
or twice, does no harm; nothing here schedules, leases or queues. An engine of one's own is a class with a method `train`::

    @dataclass(frozen=True)
    class Backwards(sp.engines.Engine):
        def train(self, job):
            for chunk in reversed(job.chunks):
                sp.engines.Local().train(dataclasses.replace(job, chunks=[chunk]))
"""

from superpos import check
from superpos.errors import ConfigError
from superpos.sweeping.engines.base import Engine as Engine
from superpos.sweeping.engines.base import Job as Job
from superpos.sweeping.engines.distributed import Distributed as Distributed
from superpos.sweeping.engines.local import Local as Local
from superpos.sweeping.engines.ray import Ray as Ray

ENGINES: dict[str, type[Engine]] = {"local": Local, "ray": Ray, "distributed": Distributed}


def engine_of(engine: Engine | str) -> Engine:
    """An engine: the one that is given, or the one of a name with its own defaults.

    Raises:
        ConfigError: it is neither an engine nor one of the names, or one of its settings is not allowed.
    """
    if isinstance(engine, type) and issubclass(engine, Engine):
        raise ConfigError(f"engine must be made from its class: {engine.__name__}(), not {engine.__name__}.")
    if not isinstance(engine, Engine):
        check.one_of("engine", engine, tuple(ENGINES))
        engine = ENGINES[engine]()
    engine.check()
    return engine
