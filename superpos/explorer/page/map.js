// The sweep as a map over two of its axes.

import { el, fit, labelled, say, select, short } from "./dom.js";
import { ramp } from "./color.js";

export const COLORINGS = { shape: "shape", loss: "loss", represented: "represented", packing: "ΣD / m" };

/** Index along each axis of every cell, and the reverse. */
export function indexCells(sweep) {
  const { axes, nCells, flat } = sweep;
  if (flat) return axes.map((axis) => axis.index);
  const sizes = axes.map((axis) => axis.values.length);
  return axes.map((_, a) => {
    const stride = sizes.slice(a + 1).reduce((x, y) => x * y, 1);
    return Int32Array.from({ length: nCells }, (_, c) => Math.floor(c / stride) % sizes[a]);
  });
}

/**
 * Cells that a map shows: those equal to the chosen one in all axes but x and y; all of a flat design. Of seeds that
 * are on neither axis, the one of lowest loss.
 */
export function shownCells(sweep, chosen, x, y) {
  const cells = Array.from({ length: sweep.nCells }, (_, c) => c);
  if (sweep.flat) return cells;
  const free = (a) => a === x || a === y || sweep.axes[a].name === "seed";
  const best = new Map();
  const loss = (c) =>
    Number.isFinite(sweep.cells.loss.values[c]) ? sweep.cells.loss.values[c] : Number.POSITIVE_INFINITY;
  for (const c of cells) {
    if (!sweep.index.every((index, a) => free(a) || index[c] === index[chosen])) continue;
    const place = sweep.index[x][c] * sweep.nCells + (y < 0 ? 0 : sweep.index[y][c]);
    if (!best.has(place) || loss(c) < loss(best.get(place))) best.set(place, c);
  }
  return [...best.values()];
}

/** The axes that the map begins with: the two longest in the order of the sweep, the seed last. */
export function startingAxes(sweep) {
  const long = sweep.axes.map((axis, a) => [a, axis]).filter(([, axis]) => axis.values.length > 1);
  const isSeed = ([, axis]) => axis.name === "seed";
  const first = [...long.filter((one) => !isSeed(one)), ...long.filter(isSeed)].map(([a]) => a);
  return [first[0] ?? 0, first[1] ?? first[0] ?? 0];
}

/** The map and its controls. `colorings`: what cells may be coloured by, names of `sweep.cells` with words for them. */
export function createMap(sweep, { state, colorOf, onpick, colorings = COLORINGS }) {
  const canvas = el("canvas", { class: "map", tabindex: "0", role: "img" });
  const ticks = [el("div", { class: "ticks x" }), el("div", { class: "ticks y" })];
  const legend = el("div", { class: "legend" });
  const sliders = el("div", { class: "sliders" });
  const axes = sweep.axes.map((axis, a) => [a, axis.label]);
  const pick = (name) => (value) => state.set({ [name]: Number(value) });
  const controls = el(
    "div",
    { class: "controls" },
    labelled(
      "colour",
      select(Object.entries(colorings), state.get().color, (color) => state.set({ color }), "colour"),
    ),
    ...(axes.length > 1
      ? [
          labelled("across", select(axes, state.get().x, pick("x"), "axis across")),
          labelled("up", select(axes, state.get().y, pick("y"), "axis up")),
        ]
      : []),
  );
  const grid = el("div", { class: "map-grid" }, ticks[1], canvas, ticks[0]);
  const note = el("p", { class: "note" });
  const node = el("div", {}, controls, grid, note, legend, sliders);
  let shown = [];
  let hidden = false;

  const size = (a) => (a < 0 ? 1 : sweep.axes[a].values.length);
  const axisY = (s) => (axes.length > 1 && s.y !== s.x ? s.y : -1);

  /** The shown cell nearest to a place on the map. */
  function shownAt(i, j) {
    const s = state.get();
    const y = axisY(s);
    const off = (c) =>
      Math.abs(sweep.index[s.x][c] - i) / size(s.x) + (y < 0 ? 0 : Math.abs(sweep.index[y][c] - j) / size(y));
    return shown.reduce((a, b) => (off(b) < off(a) ? b : a));
  }
  /** The shown cell that follows in one direction. */
  function move(cell, axis, by) {
    const s = state.get();
    const y = axisY(s);
    const [i, j] = [sweep.index[s.x][cell], y < 0 ? 0 : sweep.index[y][cell]];
    if (!sweep.flat) return axis === s.x ? shownAt(i + by, j) : shownAt(i, j + by);
    const along = sweep.index[axis];
    const onward = shown.filter((c) => (along[c] - along[cell]) * by > 0);
    return onward.length ? onward.reduce((a, b) => ((along[b] - along[a]) * by < 0 ? b : a)) : cell;
  }
  function nearest(index) {
    let [best, least] = [0, Number.POSITIVE_INFINITY];
    for (let c = 0; c < sweep.nCells; c++) {
      const off = sweep.index.reduce((sum, of, a) => sum + Math.abs(of[c] - index[a]) / (size(a) || 1), 0);
      if (off < least) [best, least] = [c, off];
    }
    return best;
  }
  function at(event) {
    const s = state.get();
    const box = canvas.getBoundingClientRect();
    const fx = Math.min(0.9999, Math.max(0, (event.clientX - box.left) / box.width));
    const fy = Math.min(0.9999, Math.max(0, 1 - (event.clientY - box.top) / box.height));
    return shownAt(fx * size(s.x) - 0.5, fy * size(axisY(s)) - 0.5);
  }
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    onpick(at(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.buttons & 1) onpick(at(event));
    else canvas.title = hidden ? "" : describe(sweep, at(event));
  });
  canvas.addEventListener("keydown", (event) => {
    const s = state.get();
    const step = { ArrowLeft: [s.x, -1], ArrowRight: [s.x, 1], ArrowDown: [axisY(s), -1], ArrowUp: [axisY(s), 1] }[
      event.key
    ];
    if (!step) return;
    event.preventDefault();
    if (step[0] >= 0) onpick(move(s.cell, ...step));
  });

  /** Sliders for all axes: they can be reached by keyboard and are read aloud. */
  const inputs = sweep.axes.map((axis, a) => {
    const input = el("input", {
      type: "range",
      min: 0,
      max: axis.values.length - 1,
      step: 1,
      "aria-label": short(axis.label),
      oninput: () => {
        const index = sweep.index.map((of) => of[state.get().cell]);
        index[a] = Number(input.value);
        onpick(nearest(index));
      },
    });
    const said = el("output", {});
    if (axis.values.length > 1)
      sliders.append(el("label", { class: "slider" }, el("span", {}, short(axis.label, 40)), input, said));
    return { input, said };
  });

  function draw(dark, secret = false) {
    const s = state.get();
    const y = axisY(s);
    shown = shownCells(sweep, s.cell, s.x, y);
    const [width, height] = [canvas.clientWidth || 320, canvas.clientHeight || 240];
    const context = fit(canvas, width, height);
    const [w, h] = [width / size(s.x), height / size(y)];
    const values = s.color === "shape" ? null : sweep.cells[s.color].values;
    let [lo, hi] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    const scaled = (c) => (s.color === "loss" ? Math.log(values[c]) : values[c]);
    if (values) {
      for (const c of shown) {
        const v = scaled(c);
        if (Number.isFinite(v)) [lo, hi] = [Math.min(lo, v), Math.max(hi, v)];
      }
    }
    const gap = Math.min(w, h) > 6 ? 1 : 0;
    const dot = Math.max(9, Math.min(w, h, 24) - gap); // of designs that fill no grid
    for (const c of shown) {
      if (secret)
        context.fillStyle = dark ? "#3a3f47" : "#d9d7d1"; // colours would give the answer away
      else
        context.fillStyle = values
          ? ramp(hi > lo ? (scaled(c) - lo) / (hi - lo) : 0.5)
          : colorOf.paint(sweep.shape.at(c), dark);
      const [i, j] = [sweep.index[s.x][c], y < 0 ? 0 : sweep.index[y][c]];
      if (sweep.flat) context.fillRect((i + 0.5) * w - dot / 2, height - (j + 0.5) * h - dot / 2, dot, dot);
      else context.fillRect(i * w, height - (j + 1) * h, w - gap, h - gap);
    }
    const [i, j] = [sweep.index[s.x][s.cell], y < 0 ? 0 : sweep.index[y][s.cell]];
    const around = sweep.flat
      ? [
          (i + 0.5) * w - dot / 2 - 2,
          (i + 0.5) * w + dot / 2 + 2,
          (j + 0.5) * h - dot / 2 - 2,
          (j + 0.5) * h + dot / 2 + 2,
        ]
      : [i * w, (i + 1) * w, j * h, (j + 1) * h];
    const box = [Math.max(2, around[0] - 1), Math.max(2, height - around[3] - 1)];
    box.push(Math.min(width - 2, around[1]) - box[0], Math.min(height - 2, height - around[2]) - box[1]);
    for (const [color, line] of [
      [dark ? "#14171c" : "#fff", 5],
      [dark ? "#fff" : "#1b1f27", 2.5],
    ]) {
      context.strokeStyle = color;
      context.lineWidth = line;
      context.strokeRect(...box);
    }
    const seed = sweep.flat ? -1 : sweep.axes.findIndex((axis) => axis.name === "seed" && axis.values.length > 1);
    note.textContent = seed >= 0 && seed !== s.x && seed !== y ? "Each cell shows its best seed." : "";
    note.hidden = !note.textContent;
    drawTicks(ticks[0], sweep.axes[s.x]);
    ticks[1].hidden = y < 0;
    if (y >= 0) drawTicks(ticks[1], sweep.axes[y]);
    drawLegend(dark, values, s.color === "loss" ? [Math.exp(lo), Math.exp(hi)] : [lo, hi]);
    for (const [a, { input, said }] of inputs.entries()) {
      const value = say(sweep.axes[a].values[sweep.index[a][s.cell]]);
      input.value = sweep.index[a][s.cell];
      input.setAttribute("aria-valuetext", value);
      said.textContent = value;
    }
    canvas.setAttribute(
      "aria-label",
      `Map of the sweep. Arrow keys move.${secret ? "" : ` ${describe(sweep, s.cell)}`}`,
    );
    hidden = secret;
  }

  function drawTicks(place, axis) {
    const values = axis.values;
    const picked =
      values.length <= 4 ? [...values.keys()] : [0, 1, 2, 3].map((k) => Math.round((k * (values.length - 1)) / 3));
    place.replaceChildren(
      el("b", {}, short(axis.label, 40)),
      el("span", {}, ...picked.map((k) => el("i", {}, say(values[k], 2)))),
    );
  }

  function drawLegend(dark, values, [lo, hi]) {
    if (values) {
      const bar = el("span", { class: "ramp", "aria-hidden": "true" });
      legend.replaceChildren(el("span", {}, say(lo, 2)), bar, el("span", {}, say(hi, 2)));
      return;
    }
    const counts = new Map();
    for (const c of shown) counts.set(sweep.shape.at(c), (counts.get(sweep.shape.at(c)) ?? 0) + 1);
    const most = [...counts].sort((a, b) => b[1] - a[1]);
    const key = ([name, count]) => {
      const dot = el("i", { class: "dot" });
      dot.style.background = colorOf.css(name, dark);
      return el(
        "span",
        { class: "key" },
        dot,
        `${short(name, 40)} `,
        el("small", {}, count / shown.length < 0.005 ? "<1 %" : `${Math.round((100 * count) / shown.length)} %`),
      );
    };
    const rest = most.length > 8 ? [el("small", {}, `and ${most.length - 8} more`)] : [];
    legend.replaceChildren(...most.slice(0, 8).map(key), ...rest);
  }
  return { node, show: draw };
}

/** A cell in words. */
export function describe(sweep, cell) {
  const where = sweep.axes.map((axis, a) => `${short(axis.label)} ${say(axis.values[sweep.index[a][cell]])}`);
  return `${where.join(", ")}: ${short(sweep.shape.at(cell))}`;
}
