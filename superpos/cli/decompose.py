"""`superpos decompose`: the weights of a toy model, or of a network that computes, as a sum of rank-one subcomponents."""

from pathlib import Path
from typing import Annotated, Any

import tyro


def decompose(
    result: Annotated[
        tyro.conf.Positional[Path],
        tyro.conf.arg(help="a result of toy models, of networks that compute, or of decompositions"),
    ],
    at: Annotated[tuple[str, ...], tyro.conf.arg(help="which models, such as feature_probability=0.05")] = (),
    coefficients: Annotated[
        tuple[float, ...],
        tyro.conf.arg(
            help="minimality coefficients; .0007 .0012 .002 .0035 .006 if not given, of networks .00001 .00003 .0001 .0003"
        ),
    ] = (),
    subcomponents: Annotated[
        int | None, tyro.conf.arg(help="of every matrix; four for every feature if not given, of networks two")
    ] = None,
    seeds: Annotated[int | None, tyro.conf.arg(help="decompositions per coefficient, 8 if not given")] = None,
    steps: Annotated[int | None, tyro.conf.arg(help="training steps; 3,000 if not given, of networks 4,000")] = None,
    out: Annotated[
        Path | None,
        tyro.conf.arg(
            aliases=["-o"], help="folder of the result, continued if there; RESULT_decomposition.zarr here if not given"
        ),
    ] = None,
    overwrite: Annotated[bool, tyro.conf.arg(help="replace an earlier result")] = False,
) -> None:
    """Take weights apart: train stochastic parameter decompositions of a model, and score them.

    Of a result of toy models, or of networks that compute (Computation, ResidualMLP), the best seed is read, in the one cell
    that is left after `--at` (the nearest value is taken; points of a design that is no product may also be chosen by
    number, `--at cell=3`). A result of decompositions is scored as it is.

    Of toy models the table has, for every coefficient, means over the seeds of MMCS (does every column of W point along a
    subcomponent?), ML2R (does that subcomponent carry all of it? of opposite columns it may take the wrong one) and of the
    squared errors with random and adversarial masks; how many subcomponents are live; and how many seeds are taken apart,
    with Wilson's 95 % interval: every represented feature needs one live subcomponent of its own in W, which is its column
    (mean cosine at least .999, mean ratio of lengths within .03 of 1).

    Of networks it has MMCS of the first matrix, which share of the second's live subcomponents an input of one feature
    needs at once, the squared errors with random and with the worst masks as shares of that without subcomponents, how many
    are live in both matrices, and in how many seeds the first is one live subcomponent for every feature.
    """
    import os

    from superpos import check, console
    from superpos.errors import ConfigError
    from superpos.sweeping import open_result
    from superpos.tasks import Computation, ResidualMLP, Toy
    from superpos.tasks.feature_decomposition import FeatureDecomposition
    from superpos.tasks.registry import described_as

    numbers = {"subcomponents": subcomponents, "seeds": seeds, "steps": steps}
    for name, value in numbers.items():
        if value is not None:
            check.integer(name, value, at_least=1)
    models = open_result(result)
    kind = described_as(models.attrs["task"]["kind"])
    if issubclass(kind, FeatureDecomposition):
        console.words_are_the_result()
        options: dict[str, Any] = {
            "at": at,
            "coefficients": coefficients,
            **numbers,
            "out": out,
            "overwrite": overwrite,
        }
        if for_models := [name for name, value in options.items() if value not in (None, (), False)]:
            raise ConfigError(f"{for_models[0]} is for models, and {result} holds decompositions already.")
        return _print_scores(models)
    if not issubclass(kind, Toy | Computation | ResidualMLP):
        raise ConfigError(
            f"result must hold toy models, networks of Computation or ResidualMLP, or their decompositions, and {result} "
            "holds other models."
        )

    import superpos as sp
    from superpos.cli.one_cell import one_cell
    from superpos.experiments.decomposing import block_size_for

    cell = one_cell(models, at)
    settings: dict[str, Any] = {"coefficients": coefficients, "n_subcomponents": subcomponents, "steps": steps}
    settings = {name: value for name, value in settings.items() if value} | {"seeds": range(seeds or 8)}
    if issubclass(kind, Toy):
        from superpos.experiments.decomposing import build_decompositions

        plan = build_decompositions(cell.task(), cell.model(), **settings)
        print(sp.geometry(cell.model()))
    else:
        from superpos.experiments.decomposing_networks import build_network_decompositions

        plan = build_network_decompositions(cell, **settings)
    name = Path(os.path.abspath(result)).name.removesuffix(".zip").removesuffix(".zarr")
    folder = out or Path(f"{name}_decomposition.zarr")
    block_size = block_size_for(plan[2].sizes["minimality_coefficient"])
    trained = sp.sweep(*plan, store=folder, overwrite=overwrite, block_size=block_size)
    _print_scores(trained)
    print(f"result    {folder}")


def _print_scores(result: Any) -> None:
    from superpos.cli.decomposition_report import NETWORKS, TOYS, print_decompositions
    from superpos.experiments import decomposing, decomposing_networks
    from superpos.tasks import NetworkDecomposition
    from superpos.tasks.registry import described_as

    print(result)
    if issubclass(described_as(result.attrs["task"]["kind"]), NetworkDecomposition):
        print_decompositions(decomposing_networks.measure(result), NETWORKS)
    else:
        print_decompositions(decomposing.measure(result), TOYS)
