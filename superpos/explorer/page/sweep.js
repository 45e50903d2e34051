// A sweep from the page's data, and what the panels show of its models.

import { decode, decodeWords } from "./decode.js";
import { short } from "./dom.js";
import { indexCells } from "./map.js";
import { measure } from "./measure.js";
import { openNaming } from "./shapes.js";
import { nameOfModel, nameable } from "./components.js";

/** A sweep from the page's data. */
export function readSweep(data) {
  const cells = {};
  for (const [name, coded] of Object.entries(data.cells))
    cells[name] = coded?.words ? decodeWords(coded) : decode(coded);
  const axes = data.axes.map((axis) => ({ ...axis, index: axis.index ? decode(axis.index).values : null }));
  const sweep = { ...data, cells, axes, nCells: data.n_cells, shape: cells.shape, naming: openNaming(data.naming) };
  sweep.index = indexCells(sweep);
  sweep.density = axes.findIndex((axis) => axis.name === "feature_probability");
  if (data.history) sweep.history = { steps: data.history.steps, loss: decode(data.history.loss) };
  if (data.snapshots) {
    sweep.snapshots = { steps: data.snapshots.steps, W: decode(data.snapshots.W), b: decode(data.snapshots.b ?? null) };
  }
  return sweep;
}

/** The corner of a padded W that a model of its own size fills. */
export function corner(values, width, m, n) {
  const W = new Float64Array(m * n);
  for (let k = 0; k < m; k++) for (let i = 0; i < n; i++) W[k * n + i] = values[k * width + i] || 0;
  return W;
}

/** The activation function of a cell, by its name. */
export function activationOf(sweep, cell) {
  const axis = sweep.axes.findIndex(({ name }) => name === "activation");
  return axis < 0 ? sweep.model.activation : sweep.axes[axis].values[sweep.index[axis][cell]];
}

/** What the panels show of one cell; with `snapshot` of how it was then. */
export function viewOf(sweep, cell, colorOf, dark, snapshot = -1) {
  const [m, n] = [sweep.cells.m.values[cell], sweep.cells.n.values[cell]];
  const [, mMost, width] = sweep.cells.W.shape;
  const at = (coded, size) => coded.row(cell).subarray(snapshot * size, (snapshot + 1) * size);
  const stored = snapshot < 0 ? sweep.cells.W.row(cell) : at(sweep.snapshots.W, mMost * width);
  const biases = snapshot < 0 ? sweep.cells.b?.row(cell) : sweep.snapshots.b && at(sweep.snapshots.b, width);
  const W = corner(stored, width, m, n);
  const measured = measure(W, m, n);
  if (snapshot < 0) {
    measured.norms = Float64Array.from(sweep.cells.norm.row(cell).subarray(0, n));
    measured.D = Float64Array.from(sweep.cells.dimensionality.row(cell).subarray(0, n));
  }
  const name = sweep.shape.at(cell);
  return {
    m,
    n,
    W,
    b: biases ? corner(biases, width, 1, n) : new Float64Array(n),
    ...measured,
    name,
    color: colorOf(name, dark),
    residual: sweep.cells.residual.values[cell],
    loss: sweep.cells.loss.values[cell],
    density:
      sweep.density < 0 ? sweep.model.density : sweep.axes[sweep.density].values[sweep.index[sweep.density][cell]],
    activation: activationOf(sweep, cell),
    said: `${n} features in ${m} dimensions: ${short(name)}`,
  };
}

/** A model with the name that the library would give it, where the page has the shapes for so many features. */
export function named(view, sweep, colorOf, dark, otherwise = `${view.represented} features`) {
  const { name, residual } = nameable(view.n, sweep.naming)
    ? nameOfModel(view, view.n, sweep.naming)
    : { name: otherwise, residual: Number.NaN };
  const said = `${view.n} features in ${view.m} dimensions: ${short(name)}`;
  return { ...view, name, residual, said, color: colorOf(name, dark) };
}

/** Cell of lowest loss among those that are not damaged. */
export function bestCell(sweep) {
  let best = 0;
  const loss = sweep.cells.loss.values;
  for (let c = 1; c < sweep.nCells; c++) if (loss[c] < loss[best] || !Number.isFinite(loss[best])) best = c;
  return best;
}

/** Cells that differ from one only in their seed. */
export function siblings(sweep, cell) {
  const seed = sweep.axes.findIndex((axis) => axis.name === "seed");
  if (seed < 0 || sweep.flat) return [];
  const all = Array.from({ length: sweep.nCells }, (_, c) => c);
  return all.filter((c) => sweep.index.every((of, a) => a === seed || of[c] === of[cell]));
}

/** Loss curve and D_i at every snapshot of a cell. */
export function trackOf(sweep, cell, views) {
  const { history, snapshots } = sweep;
  return {
    lossSteps: history?.steps ?? [],
    loss: history ? Array.from(history.loss.row(cell)) : [],
    steps: snapshots?.steps ?? [],
    D: views.map((view) => view.D),
    lack: snapshots
      ? ""
      : "This sweep kept no snapshots: train with TrainConfig(snapshots=(0, 100, …)) to scrub through time.",
  };
}
