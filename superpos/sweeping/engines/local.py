"""Train in this process, on all of its devices."""

from dataclasses import dataclass

from superpos.sweeping.compiled import compile_sweep
from superpos.sweeping.engines.base import Engine, Job
from superpos.sweeping.launches import train_all
from superpos.sweeping.plan import Block
from superpos.sweeping.store.checkpoints import Checkpoints
from superpos.sweeping.store.resume import beside
from superpos.sweeping.variables import BlockResult


@dataclass(frozen=True)
class Local(Engine):
    """This process, with as many launches side by side as the machine has room for."""

    def train(self, job: Job) -> None:
        """Commit the chunks of the job, one after the other."""
        layout, chunks = job.stored.layout, set(job.chunks)
        compiled = compile_sweep(layout, layout.n_cells_in(job.chunks), **job.device_options)
        checkpoints = Checkpoints(beside(job.path, "checkpoints"), job.stored.digest, job.checkpoint_every)

        def add(family: int, number: int, block: Block, result: BlockResult) -> None:
            if committed := job.stored.add(family, number, block, result):
                job.log_chunk(committed)

        def is_needed(number: int) -> bool:
            return number // layout.blocks_per_chunk in chunks

        train_all(compiled, add, job.bar.advance, job.stop, is_needed, checkpoints)
        if not job.stored.pending:
            checkpoints.remove_all()
