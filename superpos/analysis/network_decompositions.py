"""What a decomposition of a network that computes found: a part of the first matrix for every function, and the second's."""

from dataclasses import dataclass, fields
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.linalg import matrix_rank

from superpos.analysis.decompositions import N_INPUTS, ONE_HOT, adversarial_reconstruction, check_fit, evaluated
from superpos.analysis.subcomponents import (
    TOLERANCE,
    dense_error,
    identity_error,
    live_subcomponents,
    subcomponent_recovery,
)
from superpos.tasks.base import materialize
from superpos.tasks.network_decomposition import NetworkDecomposition

# Share of the largest singular value from which one counts in a rank.
COUNTS_IN_RANK = 0.01
# Cosine with one neuron from which a subcomponent reads that neuron alone.
READS_ONE = 0.95


@dataclass(frozen=True, repr=False)
class NetworkScores:
    """Result of `score_network_decomposition`, which defines every number."""

    live_first: int
    live_second: int
    one_each: int  # of n_features
    first_error: int
    second_error: int
    mmcs: float
    ml2r: float
    together: float
    excited: float
    neuron_cosine: float
    neurons_read: int
    always: int
    always_rank: int
    importances: np.ndarray  # (2, C, n_features): for one-hot inputs
    faithfulness: float
    stochastic: float
    adversarial: float
    without: float

    def scalars(self) -> dict[str, float]:
        """Every single number by name."""
        return {f.name: v for f in fields(self) if not isinstance(v := getattr(self, f.name), np.ndarray)}

    def __repr__(self) -> str:
        n = self.importances.shape[2]
        return (
            f"live subcomponents {self.live_first} + {self.live_second}, {self.one_each} of {n} features have one of their "
            f"own, MMCS {self.mmcs:.4f}\n  of the second matrix {self.always} always needed, of rank {self.always_rank}; "
            f"an input needs {self.together:.0%} of those live, and excites {self.excited:.0%} of neurons\n"
            f"  faithfulness {self.faithfulness:.2g}, reconstruction with random masks {self.stochastic:.2g}, with "
            f"adversarial masks {self.adversarial:.2g}, without subcomponents {self.without:.2g}"
        )


def score_network_decomposition(task: Any, model: Any, *, n_inputs: int = N_INPUTS) -> NetworkScores:
    r"""Judge the decomposition of a network that computes a function of every feature, which has two matrices.

    Is there one subcomponent of the first matrix for every function? And is the second one block, which every input needs
    as a whole? A subcomponent is *needed* by an input if its importance is above .1. One-hot inputs have one feature of
    activity .75.

    - `live_first`, `live_second`: subcomponents that some of `n_inputs` fresh inputs needs, of either matrix.
    - `importances`: for one-hot inputs.
    - `one_each`: features whose one-hot input needs exactly one subcomponent of the first matrix, which no other one-hot
      input needs. `first_error` is their `identity_error` (n_features, where there are fewer subcomponents).
    - `mmcs`, `ml2r`: `subcomponent_recovery` of the first matrix as a map from features. Where these are directions of a
      residual stream, columns $W_E$, it is that of $W_\text{in} W_E$ by parts $\vec U_c (\vec V_c^\top W_E)$.
    - `together`: the share of live subcomponents of the second matrix that a one-hot input needs, in the mean; 1 for a block.
    - `excited`: the share of neurons that a one-hot input excites in the network (activation above 0), in the mean. Where
      the activation is a ReLU and every subcomponent reads one neuron, `together` cannot be larger. `neuron_cosine`: the
      largest cosine, up to sign, of what a live subcomponent of the second matrix reads with one neuron, in the mean.
      `neurons_read`: neurons that some live subcomponent reads alone, with a cosine of .95 or more.
    - `always`: how many of them every one-hot input needs, and `always_rank` the rank of their sum (singular values above a
      hundredth of the largest). `second_error` is the `dense_error` of the second matrix, of its own rank.
    - `faithfulness`, `stochastic`: as in the task's loss, on the fresh inputs. `adversarial`: `adversarial_reconstruction`.
      `without`: the same error with all masks 0, which is the scale of the two.

    Bushnaq, Braun and Sharkey 2025, "Stochastic Parameter Decomposition", toy model of compressed computation.

    Raises:
        ConfigError: `task` is of another kind, or `model` does not fit it.
    """
    task = check_fit(task, model, n_inputs, NetworkDecomposition)
    x, g, faithfulness, stochastic = jax.device_get(evaluated(task, model, n_inputs))
    full = materialize(task)
    target, (first, second) = full.target, (np.asarray(W, np.float64) for W in full.matrices)
    n, C = task.n_features, task.n_subcomponents
    (U, V), (U_out, V_out) = ((np.asarray(u, np.float64), np.asarray(v, np.float64)) for u, v in model.matrices)
    D = np.eye(n) if (W_E := getattr(target, "embedding", lambda: None)()) is None else np.asarray(W_E, np.float64)
    alone = np.asarray(model.importances(target, ONE_HOT * jnp.eye(n)))
    needed = alone > TOLERANCE
    own = needed[0] & (needed[0].sum(axis=1) == 1)[:, None]  # of subcomponents that one feature alone needs
    live = np.max(g[1], axis=1) > TOLERANCE
    always = needed[1].all(axis=1)
    recovery = subcomponent_recovery(first @ D, U, V @ D)
    hidden = np.asarray(model.of_target(target, ONE_HOT * jnp.eye(n)).inputs[1])
    lengths = np.linalg.norm(V_out, axis=1)
    read = live & (lengths > 0)
    cosines = np.abs(V_out[read]) / lengths[read, None]
    difference = model.output(target, jnp.asarray(x), jnp.zeros(g.shape)) - target(jnp.asarray(x))
    return NetworkScores(
        live_first=live_subcomponents(g[0]),
        live_second=int(live.sum()),
        one_each=int(np.sum(own.any(axis=0) & (needed[0].sum(axis=0) == 1))),
        first_error=identity_error(alone[0]) if n <= C else n,
        second_error=dense_error(alone[1], min(int(matrix_rank(second, rtol=COUNTS_IN_RANK)), C)),
        mmcs=recovery.mmcs,
        ml2r=recovery.ml2r,
        together=float(needed[1][live].mean()) if live.any() else 0.0,
        excited=float(np.mean(hidden > 0)),
        neuron_cosine=float(np.mean(cosines.max(axis=1))) if read.any() else np.nan,
        neurons_read=len(np.unique(cosines.argmax(axis=1)[cosines.max(axis=1) >= READS_ONE])),
        always=int(always.sum()),
        always_rank=int(matrix_rank(U_out[:, always] @ V_out[always], rtol=COUNTS_IN_RANK)),
        importances=alone,
        faithfulness=float(faithfulness),
        stochastic=float(stochastic),
        adversarial=adversarial_reconstruction(task, model, n_inputs=n_inputs),
        without=float(jnp.mean(jnp.square(difference))),
    )
