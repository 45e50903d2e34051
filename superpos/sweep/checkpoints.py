"""Checkpoints inside a block, through Orbax: only for trainings that take long, and gone once the block is committed."""

import logging
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

log = logging.getLogger("superpos")


class Found(NamedTuple):
    """Where a training was left."""

    segments: int  # that are done
    states: Any  # on the devices
    records: Any  # of the segments done


class Checkpoints:
    """One checkpoint per call in a folder beside the store, named by the call's first block and its number of blocks."""

    def __init__(self, folder: Path, every: int):
        self.folder, self.every = folder, every

    def save(self, call: Any, segments: int, states: Any, records: Any) -> None:
        """Keep the state of a call; the one before is removed once this one is there."""
        import orbax.checkpoint as ocp

        # Orbax writes under a temporary name and renames, so a checkpoint is there in full or not at all.
        with ocp.StandardCheckpointer() as checkpointer:
            path = self._path(call)
            checkpointer.save(path / str(segments), _tree(states, records))
            checkpointer.wait_until_finished()
        for old in self._steps(path):
            if old != segments:
                shutil.rmtree(path / str(old), ignore_errors=True)

    def restore(self, call: Any, states: Any) -> Found | None:
        """The last checkpoint of the same call; None if there is none, or it does not fit (training then starts anew)."""
        path = self._path(call)
        if not path.exists() or not (steps := self._steps(path)):
            return None
        import orbax.checkpoint as ocp

        try:
            with ocp.StandardCheckpointer() as checkpointer:
                tree = checkpointer.restore(path / str(steps[-1]))
            leaves, records = tree["states"], tree["records"]
            shapes = jax.tree.leaves(states)
            values = [leaves[f"{k:04d}"] for k in range(len(shapes))]
            if any(np.shape(v) != s.shape or v.dtype != s.dtype for v, s in zip(values, shapes, strict=True)):
                raise ValueError("its shapes are other ones")
            placed = [jax.device_put(np.asarray(v), s.sharding) for v, s in zip(values, shapes, strict=True)]
        except Exception as error:  # whatever Orbax trips over: a checkpoint saves time, and nothing depends on it
            log.warning("checkpoint %s is not used (%s)", path, " ".join(str(error).split())[:200])
            return None
        from superpos.train import Record

        metrics: Any = {name: np.asarray(v) for name, v in records.get("metrics", {}).items()}
        loss: Any = np.asarray(records["loss"])
        return Found(steps[-1], jax.tree.unflatten(jax.tree.structure(states), placed), Record(loss, metrics))

    def remove(self, call: Any) -> None:
        """Forget a call: its blocks are committed."""
        shutil.rmtree(self._path(call), ignore_errors=True)
        with suppress(OSError):  # others are still there, or it never was
            self.folder.rmdir()

    def _path(self, call: Any) -> Path:
        return self.folder / f"{call.blocks[0][0]}-{call.n_real}-of-{len(call.blocks)}"

    @staticmethod
    def _steps(path: Path) -> list[int]:
        return sorted(int(p.name) for p in path.iterdir() if p.name.isdigit())


def _tree(states: Any, records: Any) -> dict[str, Any]:
    leaves = {f"{k:04d}": np.asarray(leaf) for k, leaf in enumerate(jax.tree.leaves(states))}
    return {
        "states": leaves,
        "records": {"loss": records.loss, **({"metrics": records.metrics} if records.metrics else {})},
    }
