"""Take the parameters of a toy model apart into rank-one subcomponents of which each input needs few."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from superpos import arrays, check
from superpos.data import random_directions
from superpos.errors import ConfigError
from superpos.models.activations import check_activation
from superpos.models.toy import ToyModel
from superpos.tasks.base import Task
from superpos.tasks.decomposition_targets import check_target, settings_of_toy
from superpos.tasks.feature_decomposition import FeatureDecomposition
from superpos.tasks.registry import register


@register("parameter_decomposition")
@dataclass(frozen=True, kw_only=True)
class ParameterDecomposition(FeatureDecomposition):
    r"""Stochastic parameter decomposition of a toy model $x' = f(W^\top W x + b)$ whose mechanisms are known.

    Every matrix of the target becomes a sum of C = `n_subcomponents` rank-one matrices (`models.Decomposition`). What is
    minimised is

    $$L = c_f L_\text{faithfulness} + c_s L_\text{stochastic} + c_l L_\text{layerwise} + \beta L_\text{minimality},$$

    with the coefficients `faithfulness_coefficient`, `stochastic_coefficient`, `layerwise_coefficient` and
    `minimality_coefficient`:

    $$L_\text{faithfulness} = \frac1N \sum_l \|W^l - U^l V^l\|_F^2, \qquad
    L_\text{minimality} = E \sum_{l,c} (g^l_c(x) + 10^{-12})^p,$$

    N the number of all entries of the target's matrices and p = `p_norm`. The other two are mean squared errors, over
    features and inputs, between the target's output and that of masked subcomponents, with one draw of masks
    $m = g + (1 - g)\, r$, r uniform on [0, 1], for every input, matrix and subcomponent. `stochastic` masks all matrices at
    once, `layerwise` one at a time while the others are the target's own, averaged over matrices. Masks see the
    lower-leaky and minimality the upper-leaky hard sigmoid of the gates (`models.decomposition`).

    The target's W is `target_W` (n_hidden, n_features), or several, (n_sources, n_hidden, n_features), of which `source`
    takes one; None draws random unit columns from `source`. `target_b` is its bias (None: none). `identity_layers` identity
    matrices lie between W and its transpose. `tied` takes the subcomponents of $W^\top$ from those of W.

    `stratified` draws all inputs of a batch but the last given that some feature is active; the last is the zero input, and
    counts as often as there is none, ∏ (1 - p_i). The expected loss is the same. Its gradient has a fifth of the variance at
    n = 5 and p = .05, where 77 % of inputs are zero (`data.active_inputs`). Features are independent then.

    With `final_p_norm`, p falls (or rises) linearly to it, from the share `anneal_from` of the training on.

    `adversarial_coefficient` adds a fifth term, the reconstruction error with all matrices masked, under masks that hurt:
    r starts where the stochastic masks have theirs, and `adversarial_steps` times moves by `adversarial_step_size` along
    the sign of the error's gradient, clipped to [0, 1]. Every input has an r of its own, or the batch one
    (`adversarial_masks="shared"`). Learning is by the error at the last r, which is held fixed. So do the authors' PGD
    losses (`spd/metrics/pgd_utils.py` of goodfire-ai/spd, which has both kinds of masks); the paper trains without.

    Three options are not in the paper. With `delta_component` what subcomponents leave out of a matrix,
    $\Delta^l = W^l - U^l V^l$, is one more part, which no input needs: where a matrix is masked, $m^l_\Delta \Delta^l$ is
    added, with $m^l_\Delta = r$ uniform on [0, 1] (`use_delta_component` of the authors' code, also for its adversary). So
    reconstruction itself punishes what is left out, and `faithfulness_coefficient` may be 0.
    `frequency_coefficient` = κ makes it dear to be needed often,

    $$L_\text{minimality} = \sum_{l,c} \bar g^l_c \left(1 + \kappa \log_2(1 + N \bar g^l_c)\right), \qquad
    \bar g^l_c = E\,(g^l_c(x) + 10^{-12})^p,$$

    with N = `frequency_inputs`. So do later versions of the authors' code (`spd/metrics/importance_minimality_loss.py`, where
    κ is `beta` and N the number of inputs of a batch). Without it a subcomponent that two features need costs as much as two
    that one feature needs each. With `nonnegative_start`, which is ours, the subcomponents of W begin with V ≥ 0, absolute
    values of the usual draw. What carries two opposite columns has entries of V with opposite signs, and no subcomponent
    begins with such.

    Fields annotated as numbers may be swept without recompiling.

    Bushnaq, Braun and Sharkey 2025, "Stochastic Parameter Decomposition" (arXiv:2506.20790), method and appendix: 40,000
    steps of Adam at .001 (cosine), batch 4,096, C = 20 and β = .003 with p = 1 for 5→2; C = 200 and β = 1e-4 with p = 2 for
    40→10; all other coefficients 1. The toy models there are tied, and so are the subcomponents in the authors' code. Paper
    and code differ: the code draws masks anew for the layerwise loss, while the paper's algorithm and this class use one
    draw; the algorithm leaves the other matrices of the layerwise loss at their unmasked subcomponents, while formula, code
    and this class leave them at the target's; annealing is the code's alone (later versions let p fall from 2 to .4).

    A large `faithfulness_coefficient` holds subcomponents where they are: its gradient is what Adam's steps are measured by
    then, and what tells subcomponents apart hardly moves them. On 5→2 .03 to .1 train faster and fail less often than 1,
    and with 10 nothing is recovered in the same number of steps. 40→10 needs 1: columns are given up with .03. With a delta
    component neither needs any.
    """

    UNSAID: ClassVar[tuple[str, ...]] = (*FeatureDecomposition.UNSAID, "activation")
    # Tied toy models have the same bytes anywhere without it, and with it others than on disk.
    STARTS_CELL_BY_CELL: ClassVar[bool] = False

    identity_layers: int = jax.tree.static(default=0)  # number of matrices
    activation: str = jax.tree.static(default="relu")  # of the target's output

    @classmethod
    def of_toy(cls, toy: Any, W: Any, b: Any = None, **settings: Any) -> "ParameterDecomposition":
        """The task of taking toy models apart: `of_toy(run.task, run.model.W, run.model.b, n_subcomponents=20)`.

        `W` has shape (n_hidden, n_features), or any axes of models before these, in the order that `source` counts them
        (`result["W"]`): arrays of any kind, or one model, a run, a result of one cell. `b` left out is that of the model,
        where one is given, else none. Inputs are those of `toy`.

        Raises:
            ConfigError: `toy` is no toy model's task, its inputs are of a kind that decompositions do not draw (a world,
                trees, correlations, a law of magnitudes), or shapes do not fit.
        """
        of_target = settings_of_toy(toy, W, b, [f.name for f in fields(cls)])
        return cls(**{**of_target, **settings})

    @classmethod
    def of_model(cls, model: Any, **settings: Any) -> "ParameterDecomposition":
        """The task of taking one trained model apart: a run or a result of one cell, on the inputs that it was trained on.

        A `ToyModel` alone does not say its inputs: give `feature_probability` with it.

        Raises:
            ConfigError: it is no toy model.
        """
        toy = getattr(model, "task", None)
        toy = toy() if callable(toy) else toy
        if isinstance(toy, Task):
            return cls.of_toy(toy, model, **settings)
        if not isinstance(model, ToyModel):
            raise ConfigError(f"model must be a ToyModel, a run or a result of one cell, got {check.short(model)}.")
        W, b = arrays.as_numpy("W", model.W), None if model.b is None else arrays.as_numpy("b", model.b)
        sizes = {"n_hidden": W.shape[0], "n_features": W.shape[1], "activation": model.activation}
        return cls(**{**sizes, "target_W": W, "target_b": b, **settings})

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed."""
        check.integer("identity_layers", self.identity_layers, at_least=0, at_most=16)
        check_activation(self.activation)
        super().check()

    def check_target(self) -> None:
        """Raise `ConfigError` unless the target's weights are finite and of the shapes that the task says."""
        check_target(self)

    def precompute(self) -> "ParameterDecomposition":
        """The task with its own target only, (n_hidden, n_features); needed before `loss`."""
        if self.target_W is not None:
            return super().precompute()  # type: ignore[return-value]
        key = jax.random.key(jnp.asarray(self.source, jnp.uint32))
        return replace(self, target_W=random_directions(key, self.n_hidden, self.n_features))

    @property
    def n_matrices(self) -> int:
        """W, the identities and the transpose of W."""
        return self.identity_layers + 2

    @property
    def target(self) -> ToyModel:
        """The model that is taken apart; of a task that is `prepared`."""
        return ToyModel(self.target_W, self.target_b, activation=self.activation)

    @property
    def matrices(self) -> list[Float[Array, "rows columns"]]:
        """The target's matrices, in the order in which an input meets them; of a task that is `prepared`."""
        return [self.target_W, *[jnp.eye(self.n_hidden, dtype=float)] * self.identity_layers, self.target_W.T]

    @classmethod
    def describe(cls, settings: Mapping[str, Any], swept: set[str]) -> list[str]:
        """The task in words: sizes, what is swept or not at its default, and what is taken apart."""
        target = settings["target_W"]
        if target is None:
            return [*super().describe(settings, swept), "random target"]
        n_models = f"{np.shape(target)[0]} toy models" if np.ndim(target) == 3 else "one toy model"
        return [*super().describe(settings, swept), f"parameters of {n_models}"]
