"""What a decomposition of a transformer found: which heads' matrices have live parts, and where they are needed."""

from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from superpos import check
from superpos.analysis.decompositions import STEP_SIZE, STEPS
from superpos.analysis.heads import fresh_key
from superpos.analysis.subcomponents import TOLERANCE, live_subcomponents
from superpos.errors import ConfigError
from superpos.models.decomposed_transformer import DecomposedTransformer
from superpos.tasks.base import materialize
from superpos.tasks.decomposition_terms import ascended
from superpos.tasks.trained_sequences import sequences
from superpos.tasks.transformer_decomposition import TransformerDecomposition, divergence

# Sequences that a decomposition is judged on.
N_SEQUENCES = 128


@dataclass(frozen=True, repr=False)
class TransformerScores:
    """Result of `score_transformer_decomposition`, which defines every number."""

    matrices: tuple[str, ...]
    live: np.ndarray  # (matrix,)
    needed: np.ndarray  # (matrix, C, 2): share of positions that need it, of those that are compared and of the others
    importances: np.ndarray  # (matrix, C, position): means over sequences
    at_once: float
    faithfulness: float
    stochastic: float
    rounded: float
    adversarial: float
    unmasked: float
    without: float

    def scalars(self) -> dict[str, float]:
        """Every single number by name, with the number of live subcomponents in all matrices."""
        numbers = {f.name: v for f in fields(self) if isinstance(v := getattr(self, f.name), float)}
        return {"live": float(self.live.sum()), **numbers}

    def __repr__(self) -> str:
        live = ", ".join(f"{name}: {n}" for name, n in zip(self.matrices, self.live, strict=True) if n)
        return (
            f"live subcomponents {int(self.live.sum())} ({live or 'none'}), a position needs {self.at_once:.1f}\n"
            f"  faithfulness {self.faithfulness:.2g}; KL divergence in nats with random masks {self.stochastic:.2g}, with "
            f"needed ones alone {self.rounded:.2g}, with adversarial masks {self.adversarial:.2g}, without subcomponents "
            f"{self.without:.2g}"
        )


def score_transformer_decomposition(task: Any, model: Any, *, n_sequences: int = N_SEQUENCES) -> TransformerScores:
    """Judge the decomposition of a transformer on fresh sequences of its task.

    A subcomponent is *needed* at a position if its importance there is above .1.

    - `matrices`: their names, such as "W_Q 1.0" of layer 1 and head 0. `live`: how many subcomponents of each are needed at
      some position.
    - `needed`: at which share of positions each is needed: of those whose outputs are compared, and of all others (NaN where
      there are none). `importances`: means over sequences at every position. `at_once`: how many a position needs, mean.
    - `faithfulness`: as in the task's loss. KL divergences from the target's answers, in nats, at the positions that are
      compared: `stochastic` with random masks, `rounded` with needed subcomponents alone (masks 1, the others 0),
      `adversarial` with masks found by 20 steps of gradient ascent from random ones (`adversarial_reconstruction`),
      `unmasked` with all masks 1, and `without` with all masks 0, the scale of the others. What subcomponents leave out is
      left out in all of them.

    Raises:
        ConfigError: `task` is of another kind, or `model` does not fit it.
    """
    if not isinstance(task, TransformerDecomposition):
        raise ConfigError(f"task must be a TransformerDecomposition, got {check.short(task)}.")
    check.integer("n_sequences", n_sequences, at_least=1, at_most=2**16)
    task.check()
    full = materialize(task)
    if not isinstance(model, DecomposedTransformer) or not _fits(full, model):
        raise ConfigError("model must be a DecomposedTransformer with the shapes of the task's.")
    g, compared, errors = jax.device_get(_evaluated(full, model, n_sequences))
    of_matrix = g.reshape(len(g), g.shape[1], -1)  # (matrix, C, sequence and position)
    on, looked_at = of_matrix > TOLERANCE, compared.reshape(-1) > 0
    shares = [
        on[..., where].mean(axis=-1) if where.any() else np.full(on.shape[:2], np.nan)
        for where in (looked_at, ~looked_at)
    ]
    return TransformerScores(
        matrices=tuple(model.names),
        live=np.array([live_subcomponents(one) for one in of_matrix]),
        needed=np.stack(shares, axis=-1),
        importances=g.mean(axis=2),
        at_once=float(on.sum(axis=(0, 1)).mean()),
        **{name: float(value) for name, value in errors.items()},
    )


def _fits(task: TransformerDecomposition, model: DecomposedTransformer) -> bool:
    expected = jax.eval_shape(lambda: task.init(jax.random.key(0)))
    shapes = [[leaf.shape for leaf in jax.tree.leaves(one)] for one in (expected, model)]
    return shapes[0] == shapes[1]


@partial(jax.jit, static_argnames="n_sequences")
def _evaluated(
    task: TransformerDecomposition, model: DecomposedTransformer, n_sequences: int
) -> tuple[Float[Array, "matrix C sequence position"], Float[Array, "sequence position"], dict[str, Array]]:
    """Importances, the weights of positions, and the errors by name."""
    task = replace(task, delta_component=False)
    target, data = task.target, sequences(task.trained, fresh_key(), n_sequences)
    inner, logits = model.of_target(target, data.tokens)
    g = jnp.clip(model.gate(inner), 0.0, 1.0)
    first, second = jax.random.uniform(jax.random.key(1), (2, *g.shape), g.dtype)

    def error(masks: Array) -> Array:
        return divergence(data, logits, model.logits(target, data.tokens, masks))

    worst = ascended(lambda r: error(g + (1 - g) * r), second, STEPS, STEP_SIZE)
    masks = {
        "stochastic": g + (1 - g) * first,
        "rounded": (g > TOLERANCE).astype(g.dtype),
        "adversarial": g + (1 - g) * worst,
        "unmasked": jnp.ones_like(g),
        "without": jnp.zeros_like(g),
    }
    errors = {name: error(mask) for name, mask in masks.items()} | {"faithfulness": model.faithfulness(target)}
    return g.reshape(*g.shape[:2], *data.tokens.shape), data.weights, errors
