"""What a sweep returns: labelled arrays, and the models in them."""

from collections.abc import Hashable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from superpos import arrays, check
from superpos.analysis.phases import phase_table
from superpos.analysis.recovery import score_autoencoder
from superpos.analysis.restarts import in_words, reached
from superpos.analysis.table import geometry_table, sae_score_table
from superpos.config import task_from_dict, train_config_from_dict
from superpos.errors import ConfigError, MissingKeyError, StoreError, one_line
from superpos.sweeping import axis_checks, foreign_models, mapped, plan, selection
from superpos.sweeping.axes import Axis
from superpos.sweeping.describe import unusual_settings
from superpos.sweeping.divergence import explained
from superpos.sweeping.positions import positions_in_data
from superpos.sweeping.progress import Progress
from superpos.sweeping.shown import Shown
from superpos.sweeping.store import export_reader, grid_writer, reader, writer
from superpos.sweeping.store.handle import Held
from superpos.tasks.base import Model, Task
from superpos.tasks.registry import described_as
from superpos.training.loop import Record, TrainConfig
from superpos.training.optimizers import named_leaves
from superpos.training.run_record import Run


class SweepResult(Shown):
    """Trained models, labelled by the axes of their grid.

    `dataset` is an `xarray.Dataset`: parameters (`W` with dims (…, hidden, feature), `b`), `loss` (the population loss
    where it is known, else that of held-out inputs), `loss_history`, `diverged_step` (-1 for a healthy cell), and snapshots
    if any were asked for; `stopped_step` (steps trained when a bound was reached, -1 where none was; only if there is a
    bound); `W_start` and the like where they started from given weights. Of an unfinished sweep, `missing` marks the
    cells that hold no model yet; their numbers are NaN, and their steps -1. Dimensions are the axes of the grid, or `cell`
    for zipped, random and listed designs. Attributes hold the whole configuration.

    Models from elsewhere may be wrapped, too: a dataset with `loss` over any axes, and `W` (…, hidden, feature) where
    geometry is asked for. All count as healthy where there is no `diverged_step`. Without the attributes there is no task,
    configuration or model to be had; selection, geometry, phases, saving and pages work.

    Raises:
        ConfigError: `dataset` is no dataset, or has no `loss`.
    """

    def __init__(self, dataset: xr.Dataset):
        self.dataset = foreign_models.described(dataset)

    def __getitem__(self, name: str) -> xr.DataArray:
        if name not in self.dataset.variables:
            names = [str(n) for n in self.dataset.variables]
            raise MissingKeyError(
                f"result has no variable {name!r}.{check.suggestion(str(name), names)} It has {', '.join(names)}."
            )
        return self.dataset[name]

    @property
    def sizes(self) -> dict[str, int]:
        """Dimensions over models and their lengths."""
        return {str(d): int(n) for d, n in self.dataset["loss"].sizes.items()}

    @property
    def attrs(self) -> dict[str, Any]:
        """The whole configuration: task, train, grid, block size, versions."""
        return dict(self.dataset.attrs)

    def sel(self, indexers: Mapping[Any, Any] | None = None, method: Any = None, **axes: Any) -> "SweepResult":
        """Choose cells by their coordinates, as in xarray: `result.sel(feature_probability=0.05, method="nearest")`.

        "nearest" is about numbers; words and truth values must match exactly all the same.

        Raises:
            ConfigError: a value is not of the axis's kind. It is a `KeyError`, too, where no axis or no cell is so called.
        """
        if indexers is not None and not isinstance(indexers, Mapping):
            raise ConfigError(f"sel takes axes by name, such as sel(seed=0), got {indexers!r}.")
        chosen = {**(indexers or {}), **axes}
        if method not in (None, "nearest"):
            raise ConfigError(f'method must be None or "nearest", got {method!r}.')
        for name, labels in chosen.items():
            self._check_axis(name)
            if name in self.dataset.coords:  # all questions before the first answer
                selection.check(str(name), self.dataset.coords[name].values, labels)
        selection.check_method(method, [self.dataset.coords[name] for name in chosen if name in self.dataset.coords])
        selected = self.dataset
        for name, labels in chosen.items():
            selected = selection.select(selected, str(name), labels, method)
        return _not_empty(SweepResult(selected))

    def isel(self, **axes: Any) -> "SweepResult":
        """Choose cells by position along the axes."""
        for name, positions in axes.items():
            self._check_axis(name)
            selection.check_positions(name, self.sizes.get(name, 0), positions)
        try:
            chosen = self.dataset.isel(axes)
        except (IndexError, TypeError, ValueError) as error:
            raise ConfigError(f"result cannot be indexed by {axes}: {one_line(error)}.") from None
        return _not_empty(SweepResult(chosen))

    def best(self, dim: str = "seed") -> "SweepResult":
        """The cell of lowest loss along one dimension, for every cell of the others.

        A diverged cell wins only where all have diverged; its loss is NaN. How many reached it says `best_of`.
        """
        return SweepResult(self.dataset.isel({dim: self.best_index(dim)}))

    def best_of(self, dim: str = "seed", what: str = "seeds") -> str:
        """How `best` is to be called: "best of 16 seeds (reached by 31 to 100 % of them)", within 1 % of its loss.

        "best found" where less than a tenth reached it in some cell. `superpos.theory.polish` takes it to its minimum.
        """
        self.best_index(dim)
        return in_words(reached(self.dataset["loss"], dim), self.sizes[dim], what)

    def best_index(self, dim: str = "seed") -> xr.DataArray:
        """Where along one dimension `best` finds the lowest loss, for every cell of the others."""
        arrays.of_kind("dim", dim, str)
        self._check_axis(dim)
        if dim not in self.sizes:
            raise ConfigError(f"result has no dimension {dim!r} to choose along; dimensions: {', '.join(self.sizes)}.")
        return self.dataset["loss"].fillna(np.inf).argmin(dim)

    def cell(self, indexers: Mapping[Any, Any] | None = None, method: Any = None, **axes: Any) -> Run[Any]:
        """One cell as a run, chosen as by `sel`: `result.cell(feature_probability=0.1, seed=3).model`.

        It has what `superpos.train` returns, but for the state of the optimiser, which no sweep keeps. Task and configuration
        have every field as it was trained: swept alone with the same block size the cell gives the same bytes, and `train`
        gives the same model up to rounding.

        Raises:
            ConfigError: the labels leave no cell, or more than one.
        """
        cell = self._one_cell(indexers, method, axes)
        task, config = cell._settings
        data = {str(name): variable for name, variable in cell.dataset.variables.items()}
        n_points = len(config.boundaries())
        metrics = {
            name.removesuffix("_history"): jnp.asarray(variable.values[:n_points])
            for name, variable in data.items()
            if name.endswith("_history") and name != "loss_history"
        }
        loss_history = jnp.asarray(data["loss_history"].values[:n_points]) if "loss_history" in data else None
        return Run(
            task=task,
            config=config,
            seed=int(data["seed"].values) if "seed" in data else 0,
            model=cell._parameters(task),
            loss=jnp.asarray(data["loss"].values),
            history=Record(loss_history, metrics),
            snapshots=cell._parameters(task, "_snapshots") if "snapshot" in cell.dataset.dims else None,
            diverged_step=jnp.asarray(data["diverged_step"].values),
            stopped_step=jnp.asarray(data["stopped_step"].values) if "stopped_step" in data else None,
        )

    def task(self, **axes: Any) -> Task:
        """The task of one cell: `cell(…).task`, also where the parameters are not there."""
        return self._one_cell(None, None, axes)._settings[0]

    def config(self, **axes: Any) -> TrainConfig:
        """The training configuration of one cell: `cell(…).config`, also where the parameters are not there."""
        return self._one_cell(None, None, axes)._settings[1]

    def model(self, **axes: Any) -> Model:
        """The trained model of one cell: `cell(…).model`."""
        cell = self._one_cell(None, None, axes)
        return cell._parameters(cell._settings[0])

    def snapshots(self, **axes: Any) -> Model:
        """The model of one cell at every snapshot, on a leading axis: `cell(…).snapshots`.

        Raises:
            ConfigError: training kept none.
        """
        if "snapshot" not in self.dataset.dims:
            raise ConfigError("result has no snapshots; TrainConfig(snapshots=(0, 100)) keeps some.")
        cell = self._one_cell(None, None, axes)
        return cell._parameters(cell._settings[0], "_snapshots")

    def _parameters(self, task: Task, ending: str = "") -> Model:
        """The parameters of the one cell this result holds, without what pads them to the largest shape of the sweep."""
        shapes = jax.eval_shape(task.broadcast().init, jax.eval_shape(lambda: jax.random.key(0)))
        leaves = []
        for name, leaf in named_leaves(shapes):
            values = self.dataset[name + ending]
            values = values.transpose("snapshot", ...).values if ending else values.values
            leaves.append(jnp.asarray(values[(..., *(slice(n) for n in leaf.shape))]))
        return jax.tree.unflatten(jax.tree.structure(shapes), leaves)

    def map(self, function: Any, **options: Any) -> xr.DataArray | xr.Dataset:
        """A function of ONE model, `function(model)` or `function(model, task)`, applied to every model of the result.

        It is vectorised and compiled, `at_once` models at a time (256), and returns an array or a dict of arrays:
        an `xarray.DataArray` or a Dataset with the axes of the result and, after them, the function's own, named by
        `dims={"output": ("feature",)}`. Models that diverged or are missing get NaN (-1, False), and so does what smaller
        models lack. Example: `result.map(lambda model: jnp.linalg.norm(model.W[...], axis=0))`.

        Raises:
            ConfigError: the function fails when vectorised, or its output is no array or dict of arrays.
        """
        return mapped.map_models(self, function, **options)

    def geometry(self, **options: Any) -> xr.Dataset:
        """What every model learned: shape names, D_i, norms and the rest, labelled like the result.

        See `superpos.analysis.table.geometry_table` for the variables and `superpos.geometry` for the options. The shape
        of a diverged model is "diverged", and none of its features counts as represented. In worlds along a curve rings are
        named. Models without tied weights have no `W`: see `superpos.geometry` for their `W1` or `W2`.
        """
        healthy = (self.dataset["diverged_step"] < 0) & ~self.missing
        options = {"positions": positions_in_data(self), **options}
        table = geometry_table(self._directions(healthy).where(healthy, 0), self._per_cell("n_hidden"), **options)
        return table.assign(shape=table["shape"].where(healthy, "diverged").where(~self.missing, "missing").astype(str))

    def llc(self, **options: Any) -> xr.Dataset:
        """The local learning coefficient of every model, or with `snapshots=True` along every training: see `superpos.llc`.

        Nothing is refused: `verdict` says of every model whether it is at a minimum. `llc` is NaN where it is not.
        """
        from superpos.sweeping.sampled import llc_of_models  # late: it imports landscapes, and all of SciPy with them

        return llc_of_models(self, **options)

    def sae_scores(self, *, progress: bool | None = None, **options: Any) -> xr.Dataset:
        """What every sparse autoencoder recovered: MMCS, MCC, F1, L0 and the rest, labelled like the result.

        See `superpos.analysis.table.sae_score_table` for the variables and `superpos.analysis.score_autoencoder` for the
        options. Models that diverged or are missing have NaN.

        Raises:
            ConfigError: the result holds no sparse autoencoders.
        """
        if not described_as(self.attrs["task"]["kind"]).TRAINS_AUTOENCODERS:
            raise ConfigError(
                f"dictionary needs sparse autoencoders; this result holds {self.attrs['task']['kind']} models."
            )
        loss = self.dataset["loss"]
        healthy = ((self.dataset["diverged_step"] < 0) & ~self.missing).transpose(*loss.dims).values
        scores: list[Any] = []
        with Progress(loss.size, doing="scoring", enabled=progress) as bar:
            for index in np.ndindex(loss.shape):
                cell = self.isel(**dict(zip(map(str, loss.dims), index, strict=True)))
                scores.append(score_autoencoder(cell.task(), cell.model(), **options) if healthy[index] else None)
                bar.advance(1)
        return sae_score_table(scores, loss)

    def phases(self, feature: int = -1, *, dim: str = "seed", **options: Any) -> xr.Dataset:
        """What became of one feature in the best of the restarts along `dim`, and the share of them that found it.

        See `superpos.analysis.phase_table` for the variables and options. A diverged model is never the best of others. A
        result without seeds, such as `.best("seed")`, counts as one restart.
        """
        if "n_features" in self._axes:
            raise ConfigError("phases need one number of features; choose one with .sel(n_features=…) first.")
        dataset = (
            self.dataset
            if dim in self.sizes or dim != "seed"
            else self.dataset.drop_vars(dim, errors="ignore").expand_dims(dim)
        )
        healthy = dataset["diverged_step"] < 0
        self._directions(healthy & ~self.missing)
        loss = dataset["loss"].where(healthy)
        table = phase_table(dataset["W"], loss, feature=feature, dim=dim, **options)
        table.attrs["unusual"] = ", ".join(unusual_settings(self, table.attrs["n_features"]))
        return table

    def _directions(self, healthy: xr.DataArray) -> xr.DataArray:
        """W of every cell; an error where a healthy model has none."""
        lacking = "W" not in self.dataset or (
            "W1" in self.dataset and bool((self.dataset["W1"].notnull().any(("hidden", "feature")) & healthy).any())
        )
        if lacking:
            hint = "; choose the others with .sel(tied=True)" if "tied" in self._axes and "W" in self.dataset else ""
            raise ConfigError(f"models without tied weights have no W whose columns could be named{hint}.")
        return self.dataset["W"]

    @property
    def missing(self) -> xr.DataArray:
        """Which cells hold no model, because the sweep that trains them is not finished."""
        if "missing" in self.dataset:
            return self.dataset["missing"]
        return xr.zeros_like(self.dataset["diverged_step"], dtype=bool)

    @property
    def diverged(self) -> list[dict[str, Any]]:
        """Coordinates of every cell that diverged, the step at which it was frozen, and a reason if its series was short."""
        steps = self.dataset["diverged_step"]
        cells = np.nonzero(steps.values.ravel() >= 0)[0]
        if not len(cells):
            return []
        columns = {a: steps.coords[a].broadcast_like(steps).transpose(*steps.dims) for a in self._axes}
        listed = {name: column.values.ravel()[cells].tolist() for name, column in columns.items()}
        listed["step"] = steps.values.ravel()[cells].tolist()
        return explained(self, [dict(zip(listed, row, strict=True)) for row in zip(*listed.values(), strict=True)])

    def diverged_lines(self, most: int = 100) -> list[str]:
        """One line of text per diverged cell; beyond `most`, a last line that counts the others."""
        cells = self.diverged
        lines = []
        for cell in cells[:most]:
            labels = [f"{k}={v:g}" if isinstance(v, float) else f"{k}={v}" for k, v in cell.items() if k != "reason"]
            lines.append(", ".join(labels) + (f": {cell['reason']}" if "reason" in cell else ""))
        if len(cells) > most:
            lines.append(f"and {len(cells) - most:,} more cells")
        return lines

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write a Zarr v3 group in grid form that `superpos.open` and `xarray.open_zarr` read. Returns the path.

        (The store of a sweep is flat while and after it runs: `superpos.open(store).save(path)` gives it this form.)
        """
        target = writer.writable(path, overwrite=overwrite)
        self.check_storable()
        grid_writer.save(self.dataset, self.sizes, target, overwrite=overwrite)
        return target

    def check_storable(self) -> None:
        """Raise `ConfigError` if the configuration does not fit the models, so that nobody could open them again."""
        try:
            axis_checks.check_said(self.dataset, self._axes)
        except (ConfigError, LookupError, TypeError, ValueError) as error:
            raise ConfigError(
                f"result cannot be stored: its configuration does not fit it ({one_line(error)})"
            ) from None

    @cached_property
    def _axes(self) -> dict[str, Axis]:
        axes = {}
        for a in self.attrs["grid"]["axes"]:
            axes[a["name"]] = Axis.described(a)
        return axes

    @property
    def _settings(self) -> tuple[Task, TrainConfig]:
        """Task and configuration of the one cell this result holds."""
        if self.attrs["task"]["kind"] == foreign_models.KIND:
            raise ConfigError(
                "result does not say how its models were trained, so it has no task, configuration or model."
            )
        return self._settings_at({name: self.dataset.coords[name].item() for name in self._axes})

    def _settings_at(self, values: Mapping[str, Any]) -> tuple[Task, TrainConfig]:
        """Task and configuration of the cell with these values on the axes."""
        task, config = task_from_dict(self.attrs["task"]), train_config_from_dict(self.attrs["train"])
        return plan.with_settings(task, config, self._axes, dict(values))

    def _one_cell(self, indexers: Mapping[Any, Any] | None, method: Any, axes: Mapping[str, Any]) -> "SweepResult":
        """The result that holds only the cell which labels choose."""
        labels = {**axes, **({} if method is None else {"method": method})}
        cell = self.sel(indexers, **labels) if labels or indexers else self
        cell = SweepResult(cell.dataset.squeeze(list(cell.sizes))) if set(cell.sizes.values()) == {1} else cell
        if cell.sizes:
            left = ", ".join(f"{d} ({n} values)" for d, n in cell.sizes.items())
            raise ConfigError(f"one cell is needed; choose along {left}, or take .best(...).")
        return cell

    def _per_cell(self, field: str) -> Any:
        if field in self.dataset.coords:
            return self.dataset.coords[field]
        return self.attrs["task"][field]

    def _check_axis(self, name: Hashable) -> None:
        axes = [*self._axes, *(d for d in self.sizes if d not in self._axes)]
        if name not in axes:
            raise MissingKeyError(
                f"result has no axis {name!r}.{check.suggestion(str(name), axes)} Axes: {', '.join(axes)}."
            )


def _not_empty(result: SweepResult) -> SweepResult:
    if 0 in result.sizes.values():
        raise ConfigError(f"the selection is empty: no cell is left along {', '.join(result.sizes)}.")
    return result


def open_result(path: str | Path, *, same_as: Held | None = None) -> SweepResult:
    """Read a result that `SweepResult.save`, `superpos sweep`, `superpos demo`, `pack` or `export` wrote.

    With `same_as`, it must be the very store that is held: paths are used again.

    Raises:
        StoreError: there is none at `path`, or it is damaged or not ours. A damaged part is noticed when it is read.
    """
    dataset = export_reader.read(path) if export_reader.is_exported(path) else reader.read(path, same_as)
    try:  # the configuration must be one, or questions would fail later with words nobody understands
        if "diverged_step" not in dataset:
            raise ConfigError("the variable diverged_step is missing.")
        result = SweepResult(dataset)
        axis_checks.check_said(result.dataset, result._axes)
    except (ConfigError, LookupError, TypeError, ValueError) as error:
        raise StoreError(f"{path} is damaged: its configuration does not fit it ({one_line(error)})") from None
    return result
