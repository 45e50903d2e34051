"""All names of shapes that a sweep of 10,240 models finds: `python tests/shape_census.py` writes tests/fixtures/shape_census.json.

Twenty sizes from 3 features in 2 dimensions to 12 in 5, 16 densities, 4 laws of importance and 8 seeds, each trained on the
population loss. The test of colours (tests/test_shape_colors.py) asks that no two of the names look the same.
"""

import json
from collections import Counter
from pathlib import Path

import numpy as np

import superpos as sp

SIZES = {2: (3, 4, 5, 6, 8), 3: (4, 5, 6, 7, 8, 9, 10), 4: (6, 8, 10, 12), 5: (7, 8, 10, 12)}  # features by dimensions
GRID = sp.Grid(
    feature_probability=np.geomspace(1, 0.01, 16),
    decay=sp.decay("importance", [1.0, 0.9, 0.8, 0.7]),
    seed=range(8),
)
FILE = Path(__file__).parent / "fixtures" / "shape_census.json"


def census() -> tuple[Counter[str], int]:
    """How often each name was found, and the number of models."""
    counts = Counter[str]()
    for n_hidden, sizes in SIZES.items():
        for n_features in sizes:
            task = sp.tasks.Toy(
                n_features=n_features, n_hidden=n_hidden, importance=np.ones(n_features), objective="expected"
            )
            found = sp.sweep(task, sp.TrainConfig(), GRID).geometry()["shape"].values.ravel()
            counts.update(found.tolist())
            print(n_features, n_hidden, len(set(found)), len(counts), flush=True)
    return counts, sum(counts.values())


if __name__ == "__main__":
    names, n_models = census()
    made = f"python tests/shape_census.py, {n_models} models, superpos {sp.__version__}"
    FILE.write_text(
        json.dumps({"made": made, "names": dict(sorted(names.items()))}, indent=0, ensure_ascii=False) + "\n"
    )
    print(f"{FILE}: {len(names)} names of {n_models} models")
