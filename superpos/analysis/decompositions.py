"""What a decomposition of a toy model's parameters found, judged by the mechanisms that its target is known to have."""

from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from superpos import check
from superpos.analysis.features import REPRESENTED_ABOVE
from superpos.analysis.subcomponents import dense_error, identity_error, live_subcomponents, subcomponent_recovery
from superpos.data.key_tags import EVALUATION_TAG
from superpos.errors import ConfigError
from superpos.models.decomposition import Decomposition
from superpos.tasks.base import materialize
from superpos.tasks.decomposition_terms import ascended
from superpos.tasks.feature_decomposition import FeatureDecomposition
from superpos.tasks.parameter_decomposition import ParameterDecomposition

T = TypeVar("T", bound=FeatureDecomposition)

# Inputs a decomposition is judged on, the same for all models.
N_INPUTS = 4_096
# Activity of the one feature of a one-hot input, as in the authors' code.
ONE_HOT = 0.75
# Steps of the adversary, and how far one moves a mask.
STEPS, STEP_SIZE = 20, 0.1


@dataclass(frozen=True, repr=False)
class DecompositionScores:
    """Result of `score_decomposition`, which defines every number."""

    mmcs: float
    ml2r: float
    importance_error: int  # of all matrices
    live: int  # in all matrices, those of tied matrices once
    live_by_matrix: np.ndarray  # (matrix,): W, identity layers, Wᵀ
    importances: np.ndarray  # (matrix, C, n_features): for one-hot inputs
    best: np.ndarray  # (n_features,): the subcomponent of W that is nearest to each column
    cosine: np.ndarray  # (n_features,)
    length_ratio: np.ndarray  # (n_features,)
    faithfulness: float
    stochastic: float
    adversarial: float

    def scalars(self) -> dict[str, float]:
        """Every single number by name."""
        return {f.name: v for f in fields(self) if not isinstance(v := getattr(self, f.name), np.ndarray)}

    def __repr__(self) -> str:
        live = " + ".join(map(str, self.live_by_matrix))
        return (
            f"MMCS {self.mmcs:.4f}, ML2R {self.ml2r:.3f}, {self.importance_error} importances off, "
            f"live subcomponents {live}\n  faithfulness {self.faithfulness:.2g}, reconstruction with random masks "
            f"{self.stochastic:.2g}, with adversarial masks {self.adversarial:.2g}"
        )


def score_decomposition(task: Any, model: Any, *, n_inputs: int = N_INPUTS) -> DecompositionScores:
    """Judge a decomposition by its target: should every column of W be one subcomponent, which its feature alone needs?

    - `mmcs`, `ml2r`: of the subcomponents of W, see `subcomponent_recovery`; over represented features, whose columns are
      longer than 1/2.
    - `importances`: for inputs with one feature of activity .75.
    - `importance_error`: `identity_error` of W and its transpose, and `dense_error` of identity layers, whose rank is
      n_hidden, in sum.
    - `live_by_matrix`: subcomponents that some of `n_inputs` fresh inputs needs (importance above .1). `live` is their sum,
      where subcomponents of tied matrices count once, if either matrix needs them.
    - `faithfulness`, `stochastic`: as in the task's loss, on these inputs. `adversarial`: see `adversarial_reconstruction`.
      What subcomponents leave out is left out here, with a `delta_component`, too.

    Raises:
        ConfigError: `task` is of another kind, or `model` does not fit it.
    """
    task = check_fit(task, model, n_inputs, ParameterDecomposition)
    x, g, faithfulness, stochastic = jax.device_get(evaluated(task, model, n_inputs))
    full = materialize(task)
    at_one_hot = np.asarray(model.importances(full.target, ONE_HOT * jnp.eye(task.n_features)))
    recovery = subcomponent_recovery(full.target_W, model.U[...], model.V[...], above=REPRESENTED_ABOVE)
    errors = [dense_error(layer, min(task.n_hidden, task.n_subcomponents)) for layer in at_one_hot[1:-1]]
    ends = (at_one_hot[0], at_one_hot[-1])
    enough = task.n_subcomponents >= task.n_features  # otherwise there cannot be one for every feature
    errors += [identity_error(end) if enough else task.n_features for end in ends]
    by_matrix = np.array([live_subcomponents(matrix) for matrix in g])
    live = int(by_matrix.sum())
    if task.tied:
        live += live_subcomponents(np.maximum(g[0], g[-1])) - int(by_matrix[0] + by_matrix[-1])
    return DecompositionScores(
        mmcs=recovery.mmcs,
        ml2r=recovery.ml2r,
        importance_error=sum(errors),
        live=live,
        live_by_matrix=by_matrix,
        importances=at_one_hot,
        best=recovery.best,
        cosine=recovery.cosine,
        length_ratio=recovery.length_ratio,
        faithfulness=float(faithfulness),
        stochastic=float(stochastic),
        adversarial=float(_attacked(task, model, jnp.asarray(x), STEPS, STEP_SIZE)),
    )


def adversarial_reconstruction(
    task: Any, model: Any, *, n_inputs: int = N_INPUTS, steps: int = STEPS, step_size: float = STEP_SIZE
) -> float:
    r"""The reconstruction error under the masks that hurt most, found by projected gradient ascent from random ones.

    Masks are $m = g + (1 - g)\,r$ with an r in [0, 1] of its own for every input, matrix and subcomponent. In each of
    `steps` steps r moves by `step_size` times the sign of the gradient of the error, and is clipped to [0, 1]. The error is
    the mean over inputs and features of the squared difference from the target's output, as in the stochastic loss, which
    draws r at random. Every call begins anew ("fresh" ascent, of masks that training never saw).

    As in the authors' code of stochastic parameter decomposition, with one mask per input.

    Raises:
        ConfigError: `task` is of another kind, `model` does not fit it, or a setting is not allowed.
    """
    check.integer("steps", steps, at_most=10_000)
    check.number("step_size", step_size, at_least=0, at_most=1)
    task = check_fit(task, model, n_inputs, FeatureDecomposition)
    return float(_attacked(task, model, evaluation_inputs(task, n_inputs), steps, step_size))


def check_fit(task: Any, model: Any, n_inputs: int, kind: type[T]) -> T:
    """The task with its fields in full; raises `ConfigError` unless it is of a kind, and the model a decomposition of it."""
    if not isinstance(task, kind):
        a_kind = "decomposition of weights" if kind is FeatureDecomposition else kind.__name__
        raise ConfigError(f"task must be a {a_kind}, got {check.short(task)}.")
    check.integer("n_inputs", n_inputs, at_least=1, at_most=2**24)
    task.check()
    expected = (task.n_subcomponents, task.width)
    fits = isinstance(model, Decomposition) and model.V[...].shape == expected
    if not fits or len(model.matrices) != task.n_matrices:
        raise ConfigError(f"model must be a Decomposition of {task.n_matrices} matrices, with V of shape {expected}.")
    return task.broadcast()  # type: ignore[return-value]


def evaluation_inputs(task: FeatureDecomposition, n_inputs: int) -> Float[Array, "n_features inputs"]:
    """The inputs, as columns, that decompositions of a task are judged on, the same for all models."""
    return task.features.sample(jax.random.fold_in(jax.random.key(0), jnp.uint32(EVALUATION_TAG)), n_inputs)


def _uniform(task: FeatureDecomposition, n_inputs: int, which: int) -> Float[Array, "matrix C inputs"]:
    shape = (task.n_matrices, task.n_subcomponents, n_inputs)
    return jax.random.uniform(jax.random.fold_in(jax.random.key(1), which), shape, float)


@partial(jax.jit, static_argnames="n_inputs")
def evaluated(task: Any, model: Any, n_inputs: int) -> tuple[Array, Array, Array, Array]:
    """The inputs, their importances, and the losses of faithfulness and of random masks."""
    x = evaluation_inputs(task, n_inputs)
    task = replace(materialize(task), delta_component=False)
    terms = task.terms(model, x, _uniform(task, n_inputs, 0))
    return x, model.importances(task.target, x), terms.faithfulness, terms.stochastic


@partial(jax.jit, static_argnames="steps")
def _attacked(task: Any, model: Any, x: Any, steps: int, step_size: Any) -> Array:
    task = materialize(task)
    target, model = task.in_features(model)
    g, output = model.importances(target, x), task.target(x)

    def error(r: Any) -> Array:
        return jnp.mean(jnp.square(model.output(target, x, g + (1 - g) * r) - output))

    return error(ascended(error, _uniform(task, x.shape[1], 1), steps, step_size))
