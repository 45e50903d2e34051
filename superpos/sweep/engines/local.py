"""Train in this process, on all of its devices."""

from typing import Any

from superpos.sweep.checkpoints import Checkpoints
from superpos.sweep.engines.job import Job
from superpos.sweep.plan import Block
from superpos.sweep.run import compile_work, train_all
from superpos.sweep.stored import beside


def train(job: Job) -> None:
    """Commit the chunks of the job, one after the other, with as many calls side by side as the machine has room for."""
    where, chunks = job.stored.layout, set(job.chunks)
    work = compile_work(where, where.n_cells_in(job.chunks), **job.options)
    kept = Checkpoints(beside(job.path, "checkpoints"), job.stored.digest, job.checkpoint_every)

    def add(family: int, number: int, block: Block, outcome: dict[str, Any]) -> None:
        if done := job.stored.add(family, number, block, outcome):
            job.committed(done)

    def wanted(number: int) -> bool:
        return number // where.blocks_per_chunk in chunks

    train_all(work, add, job.bar.advance, job.stop, wanted, kept)
    if not job.stored.pending:
        kept.remove_all()
