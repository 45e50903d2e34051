"""Checkpoints inside a block, through Orbax: only for trainings that take long, and gone once the sweep is done.

They save time and nothing depends on them: one that cannot be written, read or matched is left out, with a warning.
"""

import hashlib
import logging
import shutil
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from superpos.errors import shortened

log = logging.getLogger("superpos")

# Orbax's saves of several threads wait for each other for ever.
_ONE_AT_A_TIME = threading.Lock()


class Found(NamedTuple):
    """Where a training was left."""

    segments: int  # that are done
    states: Any  # on the devices
    records: Any  # of the segments done


class Checkpoints:
    """One checkpoint per call, in a folder beside the store that belongs to this very sweep.

    `sweep` says which sweep it is (the digest of its store); a call is known by all of its blocks and by the segments its
    training is cut into.
    """

    def __init__(self, folder: Path, sweep: str, every: int):
        self.folder, self.every, self._sweep = folder / sweep[:16], every, sweep

    def save(self, call: Any, cut: Any, segments: int, states: Any, records: Any) -> None:
        """Keep the state of a call; the one before is removed once this one is there."""
        import orbax.checkpoint as ocp

        leaves = {f"{k:04d}": np.asarray(leaf) for k, leaf in enumerate(jax.tree.leaves(states))}
        record_arrays = {"loss": records.loss, **({"metrics": records.metrics} if records.metrics else {})}
        path = self._path(call, cut)
        try:
            # Orbax writes under a temporary name and renames, so a checkpoint is there in full or not at all.
            with _ONE_AT_A_TIME, ocp.StandardCheckpointer() as checkpointer:
                checkpointer.save(path / str(segments), {"states": leaves, "records": record_arrays}, force=True)
                checkpointer.wait_until_finished()
        except Exception as error:  # a full disk, for example
            log.warning("checkpoint %s could not be written (%s)", path, shortened(str(error), 200))
            shutil.rmtree(path / str(segments), ignore_errors=True)
            return
        for old in _steps(path):
            if old != segments:
                shutil.rmtree(path / str(old), ignore_errors=True)

    def restore(self, call: Any, cut: Any, states: Any) -> Found | None:
        """The last checkpoint of the same call, cut in the same way; None if there is none, or it cannot be read."""
        path = self._path(call, cut)
        if not (steps := _steps(path)):
            return None
        import orbax.checkpoint as ocp

        from superpos.training.run_record import Record

        try:
            with _ONE_AT_A_TIME, ocp.StandardCheckpointer() as checkpointer:
                tree = checkpointer.restore(path / str(steps[-1]))
            shapes = jax.tree.leaves(states)
            leaves = [np.asarray(tree["states"][f"{k:04d}"]) for k in range(len(shapes))]
            metrics: Any = {name: np.asarray(v) for name, v in tree["records"].get("metrics", {}).items()}
            loss: Any = np.asarray(tree["records"]["loss"])
            if any(v.shape != s.shape or v.dtype != s.dtype for v, s in zip(leaves, shapes, strict=True)):
                raise ValueError("its shapes are other ones")
            placed = [jax.device_put(v, s.sharding) for v, s in zip(leaves, shapes, strict=True)]
        except Exception as error:
            log.warning("checkpoint %s is not used (%s)", path, shortened(str(error), 200))
            shutil.rmtree(path, ignore_errors=True)
            return None
        return Found(steps[-1], jax.tree.unflatten(jax.tree.structure(states), placed), Record(loss, metrics))

    def remove(self, call: Any, cut: Any) -> None:
        """Forget a call: its training is done."""
        shutil.rmtree(self._path(call, cut), ignore_errors=True)

    def remove_all(self) -> None:
        """Forget the sweep: everything is committed."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):  # it holds those of another sweep, or the same sweep's other process was faster
            self.folder.parent.rmdir()

    def _path(self, call: Any, cut: Any) -> Path:
        key = repr((self._sweep, [number for number, _ in call.blocks], call.n_real, cut))
        return self.folder / f"{call.blocks[0][0]}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def _steps(path: Path) -> list[int]:
    """Segments at which checkpoints are there; none where another process that trains the same has removed them."""
    try:
        return sorted(int(p.name) for p in path.iterdir() if p.name.isdigit())
    except OSError:
        return []
