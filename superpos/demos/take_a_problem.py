"""Questions of `demos/12_take_a_problem`."""

from typing import Any

import numpy as np

from superpos.analysis.intervals import mean_interval, share_interval
from superpos.demos.question import Question, Verdict


def _seeds_needed(answer: Any, n_seeds: Any) -> Verdict:
    """The least number of seeds whose share has an interval above one half."""
    n, k = int(n_seeds), int(answer)
    low = {count: share_interval(count, n).low for count in range(n + 1)}
    least = min(count for count in low if low[count] > 0.5)
    if float(answer) == least:
        return Verdict(True, f"the interval of {least} of {n} begins at {low[least]:.0%}.")
    if not 0 <= k <= n:
        return Verdict(False, f"it is a number of seeds, from 0 to {n}.")
    return Verdict(
        False, f"the interval of {k} of {n} begins at {low[k]:.0%}; is there none that does better with fewer?"
    )


def _shares(test: Any, control: Any, counts: Any, n_seeds: Any) -> Verdict:
    """Two shares, each inside the interval of what was counted; `counts` are those of the test and of the control."""
    parts, wrong = [], []
    for words, answer, count in zip(("the test", "the control"), (test, control), counts, strict=True):
        share = share_interval(int(count), int(n_seeds))
        parts.append(f"{int(count)} of {int(n_seeds)} in {words} ({share.low:.0%} to {share.high:.0%})")
        if not share.low <= float(answer) <= share.high:
            wrong.append(words)
    if wrong:
        return Verdict(False, f"{', '.join(parts)}: outside for {' and '.join(wrong)}.")
    return Verdict(True, f"{', '.join(parts)}.")


def _may_say(answer: Any, test: Any, control: Any) -> Verdict:
    """Which sentences hold, by their places; `test` and `control` say of every seed whether all features are there.

    0: some seeds end with all, and some do not. 1: a tenth of all seeds or more leave one out. 2: in the control every seed
    finds all. 3: the density makes the difference.
    """
    test, control = np.asarray(test, bool), np.asarray(control, bool)
    left_out = share_interval(int((~test).sum()), len(test))
    higher = mean_interval(control.astype(float) - test)
    truth = {0} if 0 < test.sum() < len(test) else set()
    truth |= ({1} if left_out.low > 0.1 else set()) | ({3} if higher.low > 0 else set())
    said = {int(k) for k in np.atleast_1d(answer)}
    measured = f"left out from {left_out.low:.0%}, difference from {higher.low:+.2f}"
    if said == truth:
        return Verdict(True, f"{measured}; and no number of seeds shows an always.")
    return Verdict(False, f"{len(said & truth)} of {len(truth)} named, and {len(said - truth)} too many ({measured}).")


QUESTIONS: dict[str, Question] = {
    "seeds_needed": Question("a whole number", _seeds_needed),
    "shares_of_seeds": Question("two numbers between 0 and 1", _shares),
    "may_say": Question("a list of places, such as [0, 1]", _may_say),
}
