"""`superpos demo`: the opening figure of the paper, from nothing, in under a minute."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import tyro


def demo(
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"], help="folder for the figure and the result")] = Path(
        "superpos-demo"
    ),
    steps: Annotated[int, tyro.conf.arg(help="training steps on the expected loss")] = 300,
    densities: Annotated[int, tyro.conf.arg(help="number of feature densities between 1 and 0.01")] = 48,
    seeds: Annotated[int, tyro.conf.arg(help="models per density")] = 16,
    overwrite: Annotated[bool, tyro.conf.arg(help="replace results and files that are not of an earlier demo")] = False,
    open: Annotated[
        bool, tyro.conf.arg(help="write the page to explore the result in, and open it in the browser")
    ] = False,
) -> None:
    """Train 768 models that squeeze 5 features through 2 dimensions, and see pentagons appear.

    Training minimises the exact population loss: no sampling, no noise, a few hundred steps. Prints which geometry won
    at every density, and in what share of the seeds; writes the figure and the result, and replaces those of an earlier demo.
    """
    begin = time.perf_counter()
    from superpos import check
    from superpos.cli.report import print_shapes
    from superpos.errors import ConfigError
    from superpos.sweeping import store
    from superpos.training.loop import TrainConfig

    check.integer("densities", densities, at_least=2, at_most=10_000)
    check.integer("seeds", seeds, at_least=1, at_most=10_000)
    config = TrainConfig(steps=steps)
    config.check()
    if out.exists() and not out.is_dir():
        raise ConfigError(f"out must be a folder, and {out} is a file.")
    target = store.writable(out / "five_features.zarr", overwrite=True)
    if target.exists() and not overwrite and not _of_a_demo(store.said(target)):
        raise ConfigError(f"output {target} is another result; choose another folder, or overwrite it on purpose.")

    import superpos as sp
    from superpos.experiments import five_features
    from superpos.plot.written import free_figure

    free_figure(out / "five_features", overwrite=overwrite)
    page = out / "five_features.html"
    if open:
        from superpos.explorer.assemble import free_page

        free_page(page, overwrite=overwrite)
    size = replace(five_features.DEMO, densities=densities, seeds=seeds, steps=steps)
    task, config, grid = five_features.build(size)
    print(f"Training {grid.n_cells:,} models of 5 features in 2 dimensions, {steps:,} exact steps each …", flush=True)
    trained = time.perf_counter()
    result = sp.sweep(task, config, grid, block_size=min(24, densities))
    seconds = time.perf_counter() - trained
    table = result.geometry()
    result.save(target, overwrite=True)
    with sp.plot.style():
        files = sp.plot.save(*five_features.draw(result, table), path=out / "five_features", overwrite=overwrite)
    print_shapes(result, table)
    print(f"figure  {files[0]} and {files[1].name}")
    print(f"result  {target.relative_to(Path.cwd()) if target.is_relative_to(Path.cwd()) else target}")
    if open:
        from superpos.explorer.browse import open_in_browser

        result.explore(page, title="Five features in two dimensions", overwrite=overwrite)
        opened = open_in_browser(page)
        print(f"page    {page}{'' if opened else ' (no browser was found here: open this file in one)'}")
    print(f"time    {seconds:.1f} s for training and compilation, {time.perf_counter() - begin:.1f} s in all")
    print(f"next    superpos geometry {out / 'five_features.zarr'}")
    print(f"        superpos explore {out / 'five_features.zarr'}")


def _of_a_demo(attributes: dict[str, Any]) -> bool:
    """Whether a result says that a demo made it: 5 features in 2, over densities and seeds."""
    task, grid = attributes.get("task", {}), attributes.get("grid", {})
    fields = {"kind": "toy", "n_features": 5, "n_hidden": 2, "objective": "expected"}
    axes = [axis.get("name") for axis in grid.get("axes", ())]
    return fields.items() <= task.items() and axes == ["feature_probability", "seed"]
