"""Questions of `demos/10_landscapes`."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from superpos.demos.question import Question, Verdict, near
from superpos.landscapes import polygon_minima, transition
from superpos.theory.single_active_derivatives import single_active_derivatives

ASKED = {"6": "the hexagon", "5⁻": "the pentagon beside a dead feature", "5⁺": "the pentagon beside a biased one"}
BASINS = {"hexagon": "the hexagon", "pentagon + 1 constant": "the pentagon beside a biased feature"}
ROOM = 8  # of 100 starts, beside what chance explains


def _row(name: str) -> xr.Dataset:
    return polygon_minima(6).set_index(minimum="name").sel(minimum=name)


def _degeneracy(*answers: Any) -> Verdict:
    """Half the rank of the Hessian at three minima, measured there."""
    wrong = []
    for (name, words), answer in zip(ASKED.items(), answers, strict=True):
        row = _row(name)
        sizes = np.abs(np.linalg.eigvalsh(single_active_derivatives(row["W"].values, row["b"].values).hessian))
        truth = np.sum(sizes > 1e-6 * sizes.max()) / 2
        if not near(answer, truth, 1e-6):
            wrong.append(f"{float(answer):g} is too {'large' if float(answer) > truth else 'small'} for {words}")
    if wrong:
        return Verdict(False, f"{'; '.join(wrong)}. In how many directions can it move at the same loss?")
    return Verdict(True, "the Hessians have 17, 14 and 17 curvatures that are not 0.")


def _change_of_mind(answer: Any) -> Verdict:
    """The number of data at which pentagon and hexagon have the same free energy of leading order."""
    pair = [_row(name) for name in ("5⁻", "6")]
    loss, coefficient = ([float(row[key]) for row in pair] for key in ("loss", "learning_coefficient"))
    truth = float(transition(loss, coefficient))
    if near(answer, truth, 0.02):
        return Verdict(True, f"the free energies are equal at {truth:.1f} data.")
    n = float(answer)
    gap = n * (loss[0] - loss[1]) + (coefficient[0] - coefficient[1]) * np.log(n)
    return Verdict(False, f"at {n:g} data the {'hexagon' if gap > 0 else 'pentagon'} is ahead by {abs(gap):.2f} nats.")


def _where_training_ends(answer: Any, ends: Sequence[str]) -> Verdict:
    """The name that most trained models have."""
    counts = Counter(ends)
    words = ", ".join(f"{count} × {name}" for name, count in counts.most_common())
    guess = str(answer).replace("+", "⁺").replace("-", "⁻")
    if guess == counts.most_common(1)[0][0]:
        return Verdict(True, f"of {len(ends)} models: {words}.")
    return Verdict(False, f"{counts.get(guess, 0)} of {len(ends)} models end in {guess!r}; count the names above.")


def _basins(hexagon: Any, pentagon: Any, table: xr.Dataset) -> Verdict:
    """Of 100 starts, those that end in the hexagon and in the pentagon beside a constant feature, by a landscape's table."""
    wrong, seen = [], []
    for answer, (label, words) in zip((hexagon, pentagon), BASINS.items(), strict=True):
        row = table.isel(minimum=table["label"].values.tolist().index(label))
        low, high = (100 * float(row[key]) for key in ("share_low", "share_high"))
        seen.append(f"{100 * float(row['share']):.0f} in {words}")
        if not low - ROOM <= float(answer) <= high + ROOM:
            wrong.append(f"{float(answer):g} is too {'few' if float(answer) < low else 'many'} for {words}")
    if wrong:
        return Verdict(False, f"{'; '.join(wrong)}. Which share does the table give?")
    return Verdict(True, f"of 100 starts {' and '.join(seen)}.")


QUESTIONS: dict[str, Question] = {
    "degeneracy": Question("three numbers, λ of each", _degeneracy),
    "change_of_mind": Question("one number of data", _change_of_mind),
    "basins": Question("two numbers of 100 starts, and then the table", _basins),
    "where_training_ends": Question('a name such as "5⁺" (or "5+")', _where_training_ends),
}
