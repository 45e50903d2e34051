"""What a feature viewer's page needs of one decomposition of a toy model: subcomponents in the place of latents."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from superpos import check
from superpos.analysis.dashboard import answers_of, check_size, latents_in_full, plain
from superpos.analysis.decompositions import N_INPUTS, check_fit, evaluation_inputs, score_decomposition
from superpos.analysis.subcomponents import COUNTS_ABOVE, TOLERANCE
from superpos.tasks.base import materialize
from superpos.tasks.parameter_decomposition import ParameterDecomposition

# The numbers of `score_decomposition` that a page shows.
SCORES = ("mmcs", "ml2r", "live", "importance_error", "faithfulness", "stochastic", "adversarial")


def dashboard_of_decomposition(task: Any, model: Any, *, n_inputs: int = N_INPUTS, top_k: int = 8) -> dict[str, Any]:
    r"""Subcomponents of the target's W in the place of latents, as `dashboard_data` describes these.

    A subcomponent is "active" on inputs that need it, with importance above .1; where matrices are tied, either W or its
    transpose may need it. It answers to the feature whose one-hot input (of activity .75) needs it most, if above .1. Its
    `direction` is what it adds to the column of that feature, $V_{cj} \vec U_c$, or else to the column that is nearest:
    that of the largest cosine with what it adds to it.

    `blocks` are, over features: its importance for one-hot inputs in W, in identity layers and in the transpose; V, which
    is what it reads; and the cosines of what it writes to each column with that column (0 for subcomponents of less than a
    tenth of the largest norm). `alone` is the number of one-hot inputs that need it in W. `scores` are those of
    `score_decomposition`, with the mean number of subcomponents that an input needs as `l0`.

    Raises:
        ConfigError: as `score_decomposition`; or the page would be too large.
    """
    check.integer("top_k", top_k, at_least=1, at_most=50)
    full = check_fit(task, model, n_inputs, ParameterDecomposition)
    scores = score_decomposition(task, model, n_inputs=n_inputs)
    x, target = evaluation_inputs(full, n_inputs), materialize(full)
    W, U, V = (np.asarray(a, float) for a in (target.target_W, model.U[...], model.V[...]))
    check_size(W)
    g = np.asarray(model.importances(target.target, jnp.asarray(x)), float)
    needed = np.maximum(g[0], g[-1]) if task.tied else g[0]
    z = np.where(needed > TOLERANCE, needed, 0.0)
    alone = scores.importances[0]  # (C, n_features)
    matched = np.where(alone.max(axis=1) > TOLERANCE, alone.argmax(axis=1), -1)
    lengths = np.linalg.norm(W, axis=0) * np.linalg.norm(U, axis=0)[:, None]
    sizes = np.linalg.norm(U, axis=0) * np.linalg.norm(V, axis=1)
    lengths *= np.where(sizes > COUNTS_ABOVE * sizes.max(), 1, 0)[:, None]  # negligible ones point anywhere
    cosine = np.divide(np.sign(V) * (U.T @ W), lengths, out=np.zeros_like(V), where=lengths > 0)
    nearest = cosine.argmax(axis=1)
    place, each = np.where(matched >= 0, matched, nearest), np.arange(len(V))
    x = np.asarray(x)
    answers = answers_of(x, z, matched, nearest, cosine[each, nearest])
    frequency = np.mean(z > 0, axis=1)
    data = latents_in_full(U * V[each, place], W @ x, z, answers, frequency, top_k=top_k)
    matrices = ["W", *(f"identity {k}" for k in range(1, task.identity_layers + 1)), "Wᵀ"]
    for latent in data["latents"]:
        c = latent["index"]
        blocks = [*scores.importances[:, c], V[c], cosine[c]]
        latent |= {"blocks": [plain(block) for block in blocks], "alone": int(np.sum(alone[c] > TOLERANCE))}
    numbers = {name: getattr(scores, name) for name in SCORES}
    numbers |= {
        "l0": frequency.sum(),
        "l0_true": np.mean(np.sum(x != 0, axis=0)),
        "dead_share": np.mean(frequency == 0),
    }
    return {
        "scores": {name: plain(value) for name, value in numbers.items()},
        "directions": plain(W.T),
        "feature_norms": plain(np.linalg.norm(W, axis=0)),
        "targets": None,
        "blocks": [*(f"in {name}" for name in matrices), "reads", "writes"],
        **data,
    }
