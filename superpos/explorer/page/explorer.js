// The page of a sweep: map, geometry, time and live training, over one state.

import { el, say, short } from "./dom.js";
import { createState } from "./state.js";
import { decode, decodeWords } from "./decode.js";
import { isDark, shapeColors } from "./color.js";
import { measure } from "./measure.js";
import { createMap, describe, indexCells } from "./map.js";
import { createPicture } from "./picture.js";
import { createBars, createHeat } from "./panels.js";
import { createShell } from "./shell.js";

/** A sweep from the page's data. */
export function readSweep(data) {
  const cells = {};
  for (const [name, coded] of Object.entries(data.cells)) cells[name] = coded?.words ? decodeWords(coded) : decode(coded);
  const axes = data.axes.map((axis) => ({ ...axis, index: axis.index ? decode(axis.index).values : null }));
  const sweep = { ...data, cells, axes, nCells: data.n_cells, shape: cells.shape };
  sweep.index = indexCells(sweep);
  if (data.history) sweep.history = { steps: data.history.steps, loss: decode(data.history.loss) };
  if (data.snapshots) sweep.snapshots = { steps: data.snapshots.steps, W: decode(data.snapshots.W) };
  return sweep;
}

/** The corner of a padded W that a model of its own size fills. */
export function corner(values, width, m, n) {
  const W = new Float64Array(m * n);
  for (let k = 0; k < m; k++) for (let i = 0; i < n; i++) W[k * n + i] = values[k * width + i] || 0;
  return W;
}

/** What the panels show of one cell. */
export function viewOf(sweep, cell, colorOf, dark, snapshot = -1) {
  const [m, n] = [sweep.cells.m.values[cell], sweep.cells.n.values[cell]];
  const [, mMost, width] = sweep.cells.W.shape;
  const stored = snapshot < 0 ? sweep.cells.W.row(cell) : sweep.snapshots.W.row(cell).subarray(snapshot * mMost * width, (snapshot + 1) * mMost * width);
  const W = corner(stored, width, m, n);
  const found = measure(W, m, n);
  if (snapshot < 0) {
    found.norms = Float64Array.from(sweep.cells.norm.row(cell).subarray(0, n));
    found.D = Float64Array.from(sweep.cells.dimensionality.row(cell).subarray(0, n));
  }
  const name = sweep.shape.at(cell);
  const said = `${n} features in ${m} dimensions: ${short(name)}`;
  return { m, n, W, ...found, name, residual: sweep.cells.residual.values[cell], loss: sweep.cells.loss.values[cell], color: colorOf(name, dark), said };
}

/** Cell of lowest loss among those that are not damaged. */
export function bestCell(sweep) {
  let best = 0;
  const loss = sweep.cells.loss.values;
  for (let c = 1; c < sweep.nCells; c++) if (loss[c] < loss[best] || !Number.isFinite(loss[best])) best = c;
  return best;
}

function startingAxes(sweep) {
  const long = sweep.axes.map((axis, a) => [a, axis]).filter(([, axis]) => axis.values.length > 1);
  const first = [...long.filter(([, axis]) => axis.name !== "seed"), ...long.filter(([, axis]) => axis.name === "seed")].map(([a]) => a);
  return [first[0] ?? 0, first[1] ?? (first[0] ?? 0)];
}

/** Fill `root` with the explorer. `link` is false where there is no address to keep the state in. */
export function start(root, text, { link = true } = {}) {
  const sweep = readSweep(JSON.parse(text));
  const colorOf = shapeColors(sweep.colors);
  const [x, y] = startingAxes(sweep);
  const state = createState({ cell: bestCell(sweep), x, y, color: "shape", yaw: 0.6, pitch: 0.35, theme: "" }, { link });
  const shell = createShell(root, { title: sweep.title, caption: sweep.caption, state, link });
  let hovered = -1;
  const onhover = (feature) => {
    if (feature === hovered) return;
    hovered = feature;
    light();
  };
  const map = createMap(sweep, { state, colorOf, onpick: (cell) => state.set({ cell }) });
  const picture = createPicture({ onhover, onturn: (yaw, pitch) => state.set({ yaw, pitch }) });
  const heat = createHeat({ onhover });
  const bars = createBars({ onhover });
  const name = el("h2", { class: "shape-name" });
  const facts = el("p", { class: "facts" });
  const live = el("p", { class: "unseen", role: "status" });
  shell.main.append(
    el("section", { class: "card from", "aria-label": "sweep" }, el("h3", {}, "The sweep"), map.node),
    el("section", { class: "card geometry", "aria-label": "geometry" }, name, facts, picture.node, live),
    el("section", { class: "card numbers", "aria-label": "numbers" }, el("h3", {}, "WᵀW"), heat.node, el("h3", {}, "Features"), bars.node),
  );
  let view = null;

  function light() {
    for (const node of root.querySelectorAll("[data-feature]")) {
      node.classList.toggle("lit", Number(node.dataset.feature) === hovered);
    }
    shell.main.classList.toggle("lighting", hovered >= 0);
    heat.show(view, hovered, isDark(root));
  }
  function render() {
    const s = state.get();
    if (!(s.cell >= 0 && s.cell < sweep.nCells && Number.isInteger(s.cell))) s.cell = 0;
    for (const axis of ["x", "y"]) if (!sweep.axes[s[axis]]) s[axis] = 0;
    const dark = isDark(root);
    view = viewOf(sweep, s.cell, colorOf, dark);
    map.show(dark);
    name.textContent = short(view.name, 80);
    facts.textContent = `residual ${say(view.residual, 2)} · ${view.represented} of ${view.n} represented · ΣD/m ${say(view.packing, 2)} · loss ${say(view.loss)}`;
    picture.show(view, [s.yaw, s.pitch], dark);
    bars.show(view, dark);
    live.textContent = describe(sweep, s.cell);
    light();
  }
  state.listen(render);
  globalThis.addEventListener("resize", render);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", render);
  render();
}
