"""What a task costs without superposition, and how a model's loss compares with that."""

from typing import Any

import numpy as np

from superpos import arrays, check
from superpos.errors import ConfigError
from superpos.tasks.computation import Computation
from superpos.theory.naive import NaiveBaseline, ignored_error, line_error, magnitudes, naive_baseline

# Targets in double precision.
IN_DOUBLE: dict[str, Any] = {"identity": lambda x: x, "absolute": np.abs, "square": np.square}


def naive_loss(task: Computation) -> NaiveBaseline:
    r"""The naive baseline of a task, in the units of `Computation.loss`: the mean over features.

    A solved feature takes one neuron, x → ReLU(x) → y'; two if it must be told from its negative, as for |x| and x² of
    signed inputs: |x| = ReLU(x) + ReLU(−x). Neurons have no bias, so x² is solved as well as a line in |x| can, and the
    negative half of a signed x is beyond a ReLU output: these solved features keep an error. For importances
    that fall and |x| with p one for all features, that is

    $$L_{\mathrm{naive}} = \frac1n \Big(\frac p3 - \frac{p^2}4\Big) \sum_{i \ge \lfloor m/2 \rfloor} I_i.$$

    The task is that of Elhage et al. 2022, "Computation in Superposition", which has no baseline; why one is needed: Bhagat
    et al. 2026, "Compressed Computation is (probably) not Computation in Superposition".

    Raises:
        ConfigError: neurons of this kind cannot solve the target at all, so there is no such baseline.
    """
    arrays.of_kind("task", task, Computation)
    task.check()
    check.one_of("target of a naive baseline", task.target, tuple(IN_DOUBLE))
    signed = task.magnitude == "signed_uniform"
    two_sided = signed and task.target != "identity"
    if two_sided and task.tied:
        raise ConfigError(
            f'tied must be false for the naive baseline of target="{task.target}" on signed inputs: W2 = W1ᵀ gives the '
            "negative side a negative output."
        )
    if two_sided and task.hidden_activation != "relu":
        raise ConfigError(
            f'hidden_activation must be relu for the naive baseline of target="{task.target}" on signed inputs, got '
            f"{task.hidden_activation!r}."
        )
    x, w = magnitudes(task.magnitude)
    y = IN_DOUBLE[task.target](x)
    how: dict[str, Any] = {"exponent": task.loss_exponent, "bias": task.bias}
    densities = np.broadcast_to(np.asarray(task.feature_probability, float), (task.n_features,))
    values, where = np.unique(densities, return_inverse=True)
    ignored = np.array([ignored_error(y, w, p, **how) for p in values])
    if task.target == "square":
        solved = np.array([line_error(x, y, w, p, **how) for p in values])
    else:
        solved = values * np.sum(w * np.abs(y - np.maximum(y, 0)) ** task.loss_exponent)
    return naive_baseline(
        task.n_hidden, ignored[where], importance=task.importance, solved=solved[where], neurons=1 + two_sided
    )


def relative_loss(loss: Any, baseline: NaiveBaseline) -> Any:
    """`loss` over the baseline's: below 1 a model beats it. Infinite where the baseline loses nothing, as none can."""
    arrays.of_kind("baseline", baseline, NaiveBaseline)
    loss = arrays.as_numpy("loss", loss, finite=False, empty=True)  # of a model that diverged: NaN
    return loss / baseline.loss if baseline.loss > 0 else np.full_like(loss, np.inf)
