"""`superpos sae`: sparse autoencoders on the toy models of a result, judged by the features they should find."""

from pathlib import Path
from typing import Annotated, Any

import tyro

# Architectures that are trained side by side unless others are named.
COMPARED = ("relu", "topk", "batch_topk", "jumprelu")


def sae(
    result: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(help="a result of toy models or of autoencoders")],
    at: Annotated[tuple[str, ...], tyro.conf.arg(help="which toy models, such as feature_probability=0.05")] = (),
    architectures: Annotated[tuple[str, ...], tyro.conf.arg(help=f"{' '.join(COMPARED)} if not given")] = (),
    latents: Annotated[int | None, tyro.conf.arg(help="dictionary size; as many as features if not given")] = None,
    coefficients: Annotated[tuple[float, ...], tyro.conf.arg(help="sparsity coefficients, .05 … .6 if not given")] = (),
    k: Annotated[tuple[float, ...], tyro.conf.arg(help="active latents, for topk whole ones only")] = (),
    seeds: Annotated[int | None, tyro.conf.arg(help="autoencoders per setting, 4 if not given")] = None,
    steps: Annotated[int | None, tyro.conf.arg(help="training steps, 10,000 if not given")] = None,
    out: Annotated[
        Path | None, tyro.conf.arg(aliases=["-o"], help="where to keep the autoencoders, continued if there")
    ] = None,
) -> None:
    """Take the features back out: train sparse autoencoders on the hidden layer of toy models, and score them.

    Of a result of toy models the best seed is read, in the one cell that is left after `--at` (the nearest value is taken;
    points of a design that is no product may also be chosen by number, `--at cell=3`).
    Every architecture is trained over what makes its latents sparse. The table has, averaged over the seeds, how well the
    true directions are matched (MCC, beside that of random directions), how well latents tell when a feature is active (F1,
    and F1 by pursuit: of the few decoder columns that add up to the input best, found without the encoder), L0 beside the
    true one, and explained variance. A result of autoencoders is scored as it is.
    """
    from superpos import check, console
    from superpos.errors import ConfigError
    from superpos.sweeping import open_result
    from superpos.tasks import Toy
    from superpos.tasks.registry import described_as

    if out is None:
        console.words_are_the_result()
    for name, value in (("seeds", seeds), ("steps", steps), ("latents", latents)):
        if value is not None:
            check.integer(name, value, at_least=1)
    models = open_result(result)
    kind = models.attrs["task"]["kind"]
    if described_as(kind).TRAINS_AUTOENCODERS:
        options = {"at": at, "architectures": architectures, "latents": latents, "coefficients": coefficients, "k": k}
        options |= {"seeds": seeds, "steps": steps, "out": out}
        if for_toys := [name for name, value in options.items() if value not in (None, ())]:
            raise ConfigError(f"{for_toys[0]} is for toy models, and {result} holds autoencoders already.")
        return _print_scores(models)
    if not issubclass(described_as(kind), Toy):
        raise ConfigError(f"result must hold toy models or sparse autoencoders, and {result} holds {kind} models.")

    import numpy as np

    import superpos as sp
    from superpos.cli.one_cell import one_cell
    from superpos.models.sae import architecture_of

    models = one_cell(models, at)
    toy: Any = models.task()
    model = models.model()
    size = toy.n_features if latents is None else latents
    true_l0 = float(np.sum(np.broadcast_to(toy.feature_probability, (toy.n_features,))))
    settings = {}
    architectures = architectures or COMPARED
    _check_read(architectures, k, coefficients)
    for name in architectures:
        architecture = architecture_of(name)
        if architecture.sparsity_field != "k":
            settings[name] = coefficients or (0.05, 0.1, 0.2, 0.4, 0.6)
        else:  # unless told: one, two and three, or, where k is an average, around the truth
            usual = (1, 2, 3) if architecture.whole_k else (0.5 * true_l0, 0.75 * true_l0, true_l0)
            settings[name] = k or sorted({min(value, size) for value in usual})
    grid = sp.sparsity_grid(settings, seed=range(seeds or 4))
    b = None if model.b is None else model.b[...]
    task = sp.tasks.SparseAutoencoder.of_toy(toy, model.W[...], b, n_latents=size)
    print(sp.geometry(model.W[...]))
    trained = sp.sweep(task, sp.TrainConfig(steps=steps or 10_000), grid, store=out)
    _print_scores(trained)


def _check_read(architectures: tuple[str, ...], k: tuple[float, ...], coefficients: tuple[float, ...]) -> None:
    """Refuse numbers that no architecture reads, or that one would have to round."""
    from superpos.errors import ConfigError
    from superpos.models.sae import architecture_of

    if len(set(architectures)) < len(architectures):
        raise ConfigError(f"architectures names one twice: {', '.join(architectures)}.")
    whole = [name for name in architectures if architecture_of(name).whole_k]
    if whole and (fractions := [value for value in k if value % 1 != 0]):
        raise ConfigError(
            f"k must be whole for {whole[0]}, got {fractions[0]:g}; name other --architectures for fractions."
        )
    for option, field, values in (("k", "k", k), ("coefficients", "sparsity_coefficient", coefficients)):
        if values and all(field not in architecture_of(name).fields_read for name in architectures):
            raise ConfigError(f"{option} is read by none of {', '.join(architectures)}.")


def _print_scores(result: Any) -> None:
    from superpos.cli.report import print_scores

    print(result)
    table = result.sae_scores()
    print_scores(table.assign(pursuit_f1=result.sae_scores(inference="pursuit")["f1"]))
