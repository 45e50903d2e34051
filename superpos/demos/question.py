"""A question of a notebook, and the verdict on an answer."""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Verdict:
    """Whether an answer is right, and a sentence that helps: what was measured, or a hint, never the answer itself."""

    right: bool
    sentence: str

    def __repr__(self) -> str:
        return f"{'Right' if self.right else 'Not yet'}: {self.sentence}"

    def _repr_html_(self) -> str:
        color = "#009E73" if self.right else "#D55E00"
        word, _, sentence = repr(self).partition(": ")
        return f'<span style="color:{color};font-weight:bold">{word}:</span> {escape(sentence)}'


@dataclass(frozen=True)
class Question:
    """How answers to one question are judged.

    `form` says what an answer looks like ("one number between 0 and 1"); `judge` measures one and may raise whatever it
    likes at something that has another form.
    """

    form: str
    judge: Callable[..., Verdict]


def near(answer: Any, truth: float, relative: float) -> bool:
    """Whether one number is within a share of the true one."""
    return bool(abs(float(answer) - truth) <= relative * abs(truth))


def directions(answer: Any) -> np.ndarray:
    """W as a plain array (n_hidden, n_features), from a model, a run, one cell of a result, or an array."""
    from superpos.plot.features import weights

    W = np.asarray(weights(answer), float)
    if not np.all(np.isfinite(W)):
        raise ValueError("W must be finite")
    return W
