"""Train a crosscoder on the hidden layers of several toy models whose features are known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from superpos import arrays, check
from superpos.arrays import Scalar
from superpos.data import random_directions
from superpos.errors import ConfigError
from superpos.models.sae import SAE, PreActivations
from superpos.models.sae.crosscoder import Crosscoder as CrosscoderModel
from superpos.models.sae.crosscoder import check_parts, check_shared
from superpos.tasks.registry import register
from superpos.tasks.sae import SparseAutoencoder
from superpos.tasks.sae_terms import check_encoder
from superpos.tasks.sae_words import SaidInWords


@register("crosscoder")
@dataclass(frozen=True, kw_only=True)
class Crosscoder(SparseAutoencoder):
    r"""One dictionary for the hidden layers $h^m = W^m x$ of several toy models of the same features, or of two times in
    one training.

    The models' hidden layers lie one below the other, $h = (h^1, h^2, \dots)$, and so do their W in `directions`, whose
    columns are 0 where a model was not given a feature (`Crosscoder.of_toys`). `parts` has the hidden dimensions of each.
    What is minimised is that of `SparseAutoencoder` with `models.Crosscoder`,

    $$\sum_m E\,\|h^m - \hat h^m\|_2^2 + \lambda\,E\sum_j c_j z_j \sum_m \|W_{\mathrm{dec},j}^m\|_2$$

    for `"relu"`, and the k · batch largest of $z_j \sum_m \|W_{\mathrm{dec},j}^m\|$ for `"batch_topk"`. A latent is exclusive
    to a model if the parts of the others have no length (`superpos.analysis.norm_shares`).

    The first `n_shared` latents are designated to be shared: their parts have one length, and they cost $c_j$ =
    `shared_penalty` (others 1), where there is a penalty.

    Lindsey et al. 2024, "Sparse Crosscoders for Cross-Layer Features and Model Diffing"; Minder et al. 2025, "Overcoming
    Sparsity Artifacts in Crosscoders to Interpret Chat-Tuning", arXiv:2504.02922 (BatchTopK); Mishra-Sharma et al. 2025,
    "Insights on Crosscoder Model Diffing" (designated shared latents; their decoder parts are one vector, which needs models
    of one basis; here their lengths are one).
    """

    UNSAID: ClassVar[tuple[str, ...]] = (*SaidInWords.UNSAID, "parts")
    NAMES: ClassVar[dict[str, str]] = {"n_shared": "designated shared latents", "shared_penalty": "their penalty ×"}

    parts: tuple[int, ...] = jax.tree.static()  # hidden dimensions of each model; they add up to n_hidden
    n_shared: int = jax.tree.static(default=0)  # chooses code
    shared_penalty: Scalar = 0.1  # what designated shared latents cost, where others cost 1

    @classmethod
    def of_toys(cls, toy: Any, models: Any, given: Any = None, **settings: Any) -> "Crosscoder":
        """The task of reading the hidden layers of several toy models at once, on the inputs of the task `toy`.

        `models` are their W, (n_hidden of its own, n_features), or several such, as in `SparseAutoencoder.of_toy`, or models
        and runs. `given[m]` lists the features of `toy` that model m was given, in the order of its columns; left out, all
        models were given all. Snapshots of one training are such models, too (`of_snapshots`).

        Raises:
            ConfigError: the models do not fit `given` or each other.
        """
        if not isinstance(models, list | tuple) or len(models) < 2:
            raise ConfigError(f"models must be a list of two models or more, got {check.short(models)}.")
        n: Any = getattr(toy, "n_features", None)
        check.integer("toy.n_features", n, at_least=1)
        listed = [range(n)] * len(models) if given is None else given
        if not isinstance(listed, list | tuple) or len(listed) != len(models):
            raise ConfigError(f"given must have one list of features for each of the {len(models)} models.")
        blocks = [_in_world(W, of, n, m) for m, (W, of) in enumerate(zip(models, listed, strict=True))]
        if len({block.shape[:-2] for block in blocks}) > 1:
            shapes = ", ".join(str(block.shape) for block in blocks)
            raise ConfigError(f"models must be as many of each kind, got arrays of shapes {shapes}.")
        parts = tuple(block.shape[-2] for block in blocks)
        sizes = {"parts": parts, "n_hidden": sum(parts)}
        made: Any = super().of_toy(toy, np.concatenate(blocks, axis=-2), **{**sizes, **settings})
        return replace(made, output_bias=None, activation="relu", importance=1.0)  # there is no one output to recover

    @classmethod
    def of_snapshots(cls, run: Any, steps: Sequence[int], **settings: Any) -> "Crosscoder":
        """The task of reading the hidden layer of one toy model at several times of its training, on its own inputs.

        `run` is what `superpos.train` returns, or a result of one cell. `steps` are numbers of steps after which its weights
        were kept (`TrainConfig.snapshots`), or the last, in the order of `parts`. A step that is given twice is a control:
        no latent may be exclusive then. For many models at once, take their W from `result["W_snapshots"]` to `of_toys`.

        Raises:
            ConfigError: there are no snapshots, fewer than two steps, or a step at which no weights were kept.
        """
        toy, kept = _snapshots_of(run)
        if not isinstance(steps, list | tuple | range | np.ndarray) or np.ndim(steps) != 1 or len(steps) < 2:
            raise ConfigError(f"steps must be a list of two steps or more, got {check.short(steps)}.")
        for step in steps:
            check.integer("steps: a step", step)
            if step not in kept:
                raise ConfigError(f"steps: no weights were kept after {step}, only after {', '.join(map(str, kept))}.")
        return cls.of_toys(toy, [kept[step] for step in steps], **settings)

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed."""
        check.integer("n_hidden", self.n_hidden, at_least=2)
        check_parts(self.parts, self.n_hidden)
        if self.tied is True:
            raise ConfigError(
                "tied must be false for crosscoders: their encoder adds up models, their decoder does not."
            )
        if self.output_bias is not None:
            raise ConfigError("output_bias must be None for crosscoders: several models have no one output.")
        check.integer("n_shared", self.n_shared)
        check.scalar("shared_penalty", self.shared_penalty)
        super().check()
        check_encoder(self, "crosscoders")
        check.integer("n_shared", self.n_shared, at_most=self.n_latents)

    def check_values(self) -> None:
        """The part of `check` that looks at numeric values; leaves may have a leading axis of cells."""
        super().check_values()
        check.in_range("shared_penalty", self.shared_penalty, at_least=0)

    def init(self, key: PRNGKeyArray) -> SAE:
        """A new model: parts of columns in random directions, all of one length; each row times its column is 1."""
        D = random_directions(key, self.n_hidden, self.n_latents)
        blocks = jnp.split(D, list(np.cumsum(self.parts[:-1])))
        W_dec = jnp.concatenate([block / jnp.linalg.norm(block, axis=0, keepdims=True) for block in blocks]) / len(
            self.parts
        )
        W_dec = jnp.where(jnp.arange(self.n_latents)[None, :] < self.size, W_dec, 0.0)
        W_enc = len(self.parts) * W_dec.T
        return CrosscoderModel(W_dec, W_enc, parts=self.parts, n_shared=self.n_shared, **self.settings_of_models())

    def check_start(self, given: Any) -> None:
        """Raise `ConfigError` for decoder columns that no model of this task has."""
        super().check_start(given)
        if (W_dec := given.get("W_dec")) is not None:
            check_shared(W_dec, self.parts, self.n_shared)

    def pre_activations(self, model: SAE, h: Float[Array, "n_hidden batch"], D: Any = None) -> PreActivations:
        """What the encoder makes of the hidden layers, with what latents cost."""
        pre = super().pre_activations(model, h, D)
        if not self.n_shared:
            return pre
        return pre._replace(costs=jnp.where(jnp.arange(self.n_latents) < self.n_shared, self.shared_penalty, 1.0))

    def unread(self) -> dict[str, str]:
        """Fields that have no effect given the others, each with why."""
        more = {}
        if not self.n_shared:
            more["shared_penalty"] = "n_shared is 0"
        elif self.kind.sparsity_field == "k":
            more["shared_penalty"] = f'architecture="{self.architecture}" has no penalty'
        return super().unread() | more

    @classmethod
    def describe(cls, settings: Mapping[str, Any], swept: set[str]) -> list[str]:
        """The task in words."""
        sizes, *phrases = " and ".join(map(str, settings["parts"])), *super().describe(settings, swept)
        if settings["directions"] is not None:
            phrases = phrases[:-1]  # which says that they are of one toy model
        return [*phrases, f"{len(settings['parts'])} models of {sizes} hidden dimensions"]


def _snapshots_of(run: Any) -> tuple[Any, dict[int, np.ndarray]]:
    """The task of a run or of a result of one cell, and its W by the number of steps, those of the end included."""
    one = run.cell() if callable(getattr(run, "cell", None)) else run
    snapshots, end = (getattr(one, name, None) for name in ("snapshots", "stopped_step"))
    config: Any = getattr(one, "config", None)
    if arrays.model_of(one) is None or not hasattr(config, "snapshots"):
        raise ConfigError(f"run must be what train returns, or a result of one cell, got {check.short(run)}.")
    if snapshots is None:
        raise ConfigError("run has no snapshots; TrainConfig(snapshots=(0, 100)) keeps some.")
    last, through = (arrays.as_numpy("run", arrays.weights_of("run", model)) for model in (one.model, snapshots))
    steps = int(config.steps) if end is None or int(end) < 0 else int(end)
    kept = {int(step): W for step, W in zip(config.snapshots, through, strict=True) if step <= steps}
    return one.task, kept | {steps: last}


def _in_world(W: Any, given: Sequence[int], n_features: int, number: int) -> np.ndarray:
    """The W of one model, (…, n_hidden, n_features), with columns of 0 for features it was not given."""
    W = arrays.as_numpy(f"models[{number}]", arrays.weights_of(f"models[{number}]", W))
    features = arrays.as_numpy(f"given[{number}]", np.asarray(given), ndim=1)
    check.whole_numbers(f"given[{number}]", features)
    features = features.astype(int)
    if W.ndim < 2 or W.shape[-1] != len(features):
        raise ConfigError(
            f"models[{number}] must have a column for each of its {len(features)} features, got {W.shape}."
        )
    if len(set(features.tolist())) != len(features) or features.min() < 0 or features.max() >= n_features:
        raise ConfigError(f"given[{number}] must list different features below {n_features}.")
    whole = np.zeros((*W.shape[:-1], n_features), W.dtype)
    whole[..., features] = W
    return whole
