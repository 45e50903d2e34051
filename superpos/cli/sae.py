"""`superpos sae`: sparse autoencoders on the toy models of a result, judged by the features they should find."""

from pathlib import Path
from typing import Annotated, Any

import tyro


def sae(
    result: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(help="a result of toy models or of autoencoders")],
    at: Annotated[tuple[str, ...], tyro.conf.arg(help="which toy models, such as feature_probability=0.05")] = (),
    architectures: Annotated[tuple[str, ...], tyro.conf.arg(help="of the autoencoders")] = (
        "relu",
        "topk",
        "batch_topk",
        "jumprelu",
    ),
    latents: Annotated[int | None, tyro.conf.arg(help="dictionary size; as many as features if not given")] = None,
    coefficients: Annotated[tuple[float, ...], tyro.conf.arg(help="sparsity coefficients")] = (
        0.05,
        0.1,
        0.2,
        0.4,
        0.6,
    ),
    k: Annotated[tuple[float, ...], tyro.conf.arg(help="active latents, where the architecture sets them")] = (),
    seeds: Annotated[int, tyro.conf.arg(help="autoencoders per setting")] = 4,
    steps: Annotated[int, tyro.conf.arg(help="training steps")] = 10_000,
    out: Annotated[Path | None, tyro.conf.arg(help="where to keep the autoencoders, continued if there")] = None,
) -> None:
    """Take the features back out: train sparse autoencoders on the hidden layer of toy models, and score them.

    Of a result of toy models the best seed is read, in the one cell that is left after `--at` (the nearest value is taken).
    Every architecture is trained over what makes its latents sparse. The table has, averaged over the seeds, how well the
    true directions are matched (MCC, beside that of random directions), how well latents tell when a feature is active (F1),
    L0 beside the true one, and explained variance. A result of autoencoders is scored as it is.
    """
    from superpos import check
    from superpos.errors import ConfigError
    from superpos.sweep import open_result

    check.whole("seeds", seeds, at_least=1, at_most=10_000)
    found = open_result(result)
    kind = found.attrs["task"]["kind"]
    if kind == "sparse_autoencoder":
        if out is not None or at:
            raise ConfigError(f"out and at are for toy models, and {result} holds autoencoders already.")
        return _print_scores(found)
    if kind not in ("toy", "adversarial_toy"):
        raise ConfigError(f"result must hold toy models or sparse autoencoders, and {result} holds {kind} models.")

    import numpy as np

    import superpos as sp
    from superpos.tasks.sae import SPARSITY_FIELD

    for text in at:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"at must be written axis=value, got {text!r}.")
        chosen: dict[str, Any] = {name: _number(name, value)}
        found = found.sel(method="nearest", **chosen)
    found = found.best("seed") if "seed" in found.dims else found
    if any(size > 1 for size in found.dims.values()):
        left = ", ".join(f"{name} ({size} values)" for name, size in found.dims.items())
        raise ConfigError(f"at must leave one cell of the result; choose along {left}.")
    toy: Any = found.task()
    model = found.model()
    true_l0 = float(np.sum(np.broadcast_to(toy.feature_probability, (toy.n_features,))))
    settings = {}
    for name in architectures:
        if SPARSITY_FIELD.get(name) != "k":
            settings[name] = coefficients
        else:  # unless told: one, two and three, or, where it is an average, around the truth
            settings[name] = k or ((1, 2, 3) if name == "topk" else (0.5 * true_l0, 0.75 * true_l0, true_l0))
    grid = sp.sparsity_grid(settings, seed=range(seeds))
    b = None if model.b is None else model.b[...]
    task = sp.tasks.SparseAutoencoder.of_toy(toy, model.W[...], b, n_latents=latents or toy.n_features)
    print(sp.geometry(model.W[...]))
    trained = sp.sweep(task, sp.TrainConfig(steps=steps), grid, store=out)
    _print_scores(trained)


def _number(name: str, value: str) -> float:
    from superpos.errors import ConfigError

    try:
        return float(value)
    except ValueError:
        raise ConfigError(f"at: {name} must be a number, got {value!r}.") from None


def _print_scores(result: Any) -> None:
    from superpos.cli.report import print_scores

    print(result)
    print_scores(result.dictionary())
