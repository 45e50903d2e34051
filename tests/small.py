"""A small sweep that several tests store, kill, damage and resume.

Also a program: python small.py STORE STEPS WORKER.
"""

import sys
from pathlib import Path
from typing import Any

import superpos as sp
from superpos.sweeping import layout


def settings(steps: int) -> dict[str, Any]:
    """Twelve cells in two compile families, eight blocks of two (four with padding); eight chunks where `chunked`."""
    return {
        "task": sp.tasks.Toy(n_features=3, n_hidden=2, magnitude="constant"),  # no exact loss, which compiles slowly
        "config": sp.TrainConfig(steps=steps, batch_size=16, history=4, evaluation_samples=32, snapshots=(0, 20)),
        "grid": sp.Grid(feature_probability=[0.1, 0.3, 0.9], activation=["relu", "identity"], seed=range(2)),
        "block_size": 2,
    }


def go(store: Any, steps: int = 40, **options: Any) -> sp.SweepResult:
    """Train it, into a store or (None) in memory."""
    said = settings(steps) | options
    return sp.sweep(said.pop("task"), said.pop("config"), said.pop("grid"), store, progress=False, **said)


def files(store: Path) -> dict[str, bytes]:
    """Every file of a store, byte for byte."""
    return {str(p.relative_to(store)): p.read_bytes() for p in sorted(store.rglob("*")) if p.is_file()}


if __name__ == "__main__":
    layout.CELLS_PER_CHUNK = 2  # many commits, so that there is something to interrupt
    try:
        go(sys.argv[1], int(sys.argv[2]), worker=sys.argv[3], devices=None)
    except sp.Interrupted as error:
        print(error, file=sys.stderr)
        sys.exit(128 + error.signal)
    except (sp.StoreError, sp.ConfigError) as error:
        print(f"superpos: {error}", file=sys.stderr)
        sys.exit(1)
