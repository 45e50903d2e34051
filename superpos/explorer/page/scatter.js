// All autoencoders of a sweep as dots over any two of their numbers.

import { el, fit, labelled, say, select, short } from "./dom.js";
import { onDark } from "./color.js";
import { nameOf } from "./sae_sweep.js";

// Marks beside colours, for those who cannot tell these apart: one for each architecture.
const MARKS = ["circle", "square", "triangle", "diamond", "cross", "down"];

/** What dots can be placed by: scores, loss, and axes; { key, label, values, ticks }. */
export function quantities(saeSweep) {
  const found = saeSweep.scores.map(({ name, label, values }) => ({ key: name, label, values }));
  found.push({ key: "loss", label: "loss", values: saeSweep.loss });
  for (const axis of saeSweep.axes) {
    if (axis.values.length < 2 || found.some(({ key }) => key === axis.name)) continue;
    const numeric = axis.values.every((v) => typeof v === "number");
    const values = Float64Array.from(axis.index, (i) => (i < 0 ? Number.NaN : numeric ? axis.values[i] : i));
    found.push({ key: axis.name, label: axis.label, values, words: numeric ? null : axis.values });
  }
  return found;
}

/** A scale from numbers to [0, 1], logarithmic where they span more than a decade and a half, and its ticks. */
export function scale(values, words) {
  const finite = Array.from(values).filter((v) => Number.isFinite(v));
  const [lo, hi] = [Math.min(...finite), Math.max(...finite)];
  if (words) return { to: (v) => (v + 0.5) / words.length, ticks: words.map((word, i) => [i, short(word, 12)]) };
  const log = lo > 0 && hi / lo > 30;
  if (log) {
    const [a, b] = [Math.log10(lo), Math.log10(hi)];
    const pad = 0.05 * (b - a);
    const to = (v) => (Math.log10(v) - a + pad) / (b - a + 2 * pad);
    const ticks = [];
    for (let e = Math.floor(a); e <= b; e++)
      for (const s of b - a < 2 ? [1, 3] : [1])
        if (s * 10 ** e >= lo * 0.9 && s * 10 ** e <= hi * 1.1) ticks.push([s * 10 ** e, say(s * 10 ** e)]);
    return { to, ticks };
  }
  const width = hi - lo || Math.abs(hi) || 1;
  const [a, b] = hi > lo ? [lo - 0.05 * width, hi + 0.05 * width] : [lo - 0.5 * width, hi + 0.5 * width];
  const raw = (b - a) / 4;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((k) => k * power).find((k) => k >= raw);
  const ticks = [];
  for (let v = Math.ceil(a / step) * step; v <= b; v += step) ticks.push([v, say(Number(v.toPrecision(10)))]);
  return { to: (v) => (v - a) / (b - a), ticks };
}

function mark(context, kind, x, y, r) {
  const points = {
    square: [
      [-1, -1],
      [1, -1],
      [1, 1],
      [-1, 1],
    ].map(([a, b]) => [0.88 * a, 0.88 * b]),
    triangle: [
      [0, -1.2],
      [1.1, 0.8],
      [-1.1, 0.8],
    ],
    down: [
      [0, 1.2],
      [1.1, -0.8],
      [-1.1, -0.8],
    ],
    diamond: [
      [0, -1.3],
      [1.3, 0],
      [0, 1.3],
      [-1.3, 0],
    ],
    cross: [
      [-1.2, -0.4],
      [-0.4, -0.4],
      [-0.4, -1.2],
      [0.4, -1.2],
      [0.4, -0.4],
      [1.2, -0.4],
      [1.2, 0.4],
      [0.4, 0.4],
      [0.4, 1.2],
      [-0.4, 1.2],
      [-0.4, 0.4],
      [-1.2, 0.4],
    ],
  }[kind];
  context.beginPath();
  if (!points) context.arc(x, y, r, 0, 2 * Math.PI);
  else for (const [k, [a, b]] of points.entries()) context[k ? "lineTo" : "moveTo"](x + r * a, y + r * b);
  context.closePath();
}

/** The plot, its axes and its legend. `onpick(cell, asB)`. */
export function createScatter(saeSweep, { state, onpick }) {
  const all = quantities(saeSweep);
  const keys = all.map(({ key, label }) => [key, label]);
  const find = (key) => all.find((one) => one.key === key) ?? all[0];
  const canvas = el("canvas", { class: "scatter", tabindex: "0", role: "img" });
  const [across, up] = ["x", "y"].map((axis) =>
    select(keys, state.get()[axis], (key) => state.set({ [axis]: key }), axis === "x" ? "axis across" : "axis up"),
  );
  const legend = el("div", { class: "legend" });
  const readout = el("p", { class: "note" });
  const node = el(
    "div",
    {},
    el("div", { class: "controls" }, labelled("across", across), labelled("up", up)),
    canvas,
    readout,
    legend,
  );
  const kinds = Object.keys(saeSweep.architectures);
  let dots = []; // [cell, x, y]
  let [order, twoSided] = [[], false];

  function nearest(event) {
    const box = canvas.getBoundingClientRect();
    const [px, py] = [event.clientX - box.left, event.clientY - box.top];
    let [best, least] = [-1, 40 ** 2];
    for (const [cell, x, y] of dots) {
      const off = (x - px) ** 2 + (y - py) ** 2;
      if (off < least || (off === least && saeSweep.has(cell))) [best, least] = [cell, off];
    }
    return best;
  }
  const valueOf = (one, cell) => (one.words ? one.words[one.values[cell]] : say(one.values[cell]));
  const told = (cell) => {
    const numbers = order.map((one) => `${one.label} ${valueOf(one, cell)}`).join(", ");
    return `${nameOf(saeSweep, cell)}: ${numbers}${saeSweep.has(cell) ? "" : " (numbers only)"}`;
  };
  canvas.addEventListener("pointermove", (event) => {
    const cell = nearest(event);
    canvas.style.cursor = cell < 0 ? "default" : "pointer";
    readout.textContent = cell < 0 ? hint() : told(cell);
  });
  canvas.addEventListener("pointerleave", () => {
    readout.textContent = hint();
  });
  canvas.addEventListener("click", (event) => {
    const cell = nearest(event);
    if (cell >= 0) onpick(cell, event.shiftKey);
  });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [1, -1], ArrowRight: [1, 1], ArrowDown: [2, 1], ArrowUp: [2, -1] }[event.key];
    if (!step || !dots.length) return;
    event.preventDefault();
    const line = [...dots].sort((p, q) => p[step[0]] - q[step[0]] || p[0] - q[0]);
    const [asB, s] = [event.shiftKey && twoSided, state.get()];
    const at = line.findIndex(([cell]) => cell === (asB ? s.b : s.a));
    onpick(line[Math.min(line.length - 1, Math.max(0, at + step[1]))][0], asB);
  });
  const hint = () =>
    twoSided ? "Click chooses A, Shift-click B; arrow keys move." : "Click a dot, or use the arrow keys, to choose.";

  return {
    node,
    show(isDark) {
      const s = state.get();
      order = [find(s.x), find(s.y)];
      twoSided = s.b >= 0;
      [across.value, up.value] = [order[0].key, order[1].key];
      const [width, height] = [canvas.clientWidth || 320, canvas.clientHeight || 260];
      const context = fit(canvas, width, height);
      const [left, right, top, bottom] = [52, width - 10, 10, height - 36];
      const scales = order.map((one) => scale(one.values, one.words));
      const x = (v) => left + scales[0].to(v) * (right - left);
      const y = (v) => bottom - scales[1].to(v) * (bottom - top);
      const [ink, soft, line] = isDark ? ["#eceef1", "#a3abb7", "#2e343d"] : ["#1b1f27", "#5c6470", "#e3e1dc"];
      context.font = "11px system-ui, sans-serif";
      context.lineWidth = 1;
      context.strokeStyle = line;
      context.fillStyle = soft;
      for (const [v, text] of scales[0].ticks) {
        context.textAlign = "center";
        context.strokeRect(Math.round(x(v)) + 0.5, top, 0, bottom - top);
        context.fillText(text, x(v), bottom + 15);
      }
      for (const [v, text] of scales[1].ticks) {
        context.textAlign = "right";
        context.strokeRect(left, Math.round(y(v)) + 0.5, right - left, 0);
        context.fillText(text, left - 6, y(v) + 4);
      }
      context.fillStyle = ink;
      context.textAlign = "center";
      context.fillText(short(order[0].label, 40), (left + right) / 2, height - 4);
      context.save();
      context.translate(10, (top + bottom) / 2);
      context.rotate(-Math.PI / 2);
      context.fillText(short(order[1].label, 40), 0, 0);
      context.restore();
      dots = [];
      for (let cell = 0; cell < saeSweep.nCells; cell++) {
        const [px, py] = [x(order[0].values[cell]), y(order[1].values[cell])];
        if (Number.isFinite(px) && Number.isFinite(py)) dots.push([cell, px, py]);
      }
      const color = (kind) => (isDark ? onDark(saeSweep.architectures[kind][1]) : saeSweep.architectures[kind][1]);
      for (const filled of [false, true]) {
        for (const [cell, px, py] of dots) {
          if (saeSweep.has(cell) !== filled) continue;
          const kind = saeSweep.architecture.at(cell);
          mark(context, MARKS[kinds.indexOf(kind) % MARKS.length], px, py, filled ? 4.5 : 3.5);
          context[filled ? "fillStyle" : "strokeStyle"] = color(kind);
          context.globalAlpha = filled ? 0.9 : 0.7;
          if (filled) context.fill();
          else context.stroke();
        }
      }
      context.globalAlpha = 1;
      context.font = "700 12px system-ui, sans-serif";
      for (const [cell, letter, tint] of [
        [s.b, "B", isDark ? "#f3a25f" : "#b34700"],
        [s.a, "A", isDark ? "#7cc0f5" : "#0b5fa5"],
      ]) {
        const dot = dots.find(([c]) => c === cell);
        if (!dot) continue;
        context.lineWidth = 2.5;
        context.strokeStyle = tint;
        context.beginPath();
        context.arc(dot[1], dot[2], 9, 0, 2 * Math.PI);
        context.stroke();
        const [tx, ty] = [dot[1] + (dot[1] > right - 24 ? -17 : 17), dot[2] + (letter === "B" ? 12 : -5)];
        context.lineWidth = 4;
        context.strokeStyle = isDark ? "#1c2027" : "#fff";
        context.strokeText(letter, tx, ty);
        context.fillStyle = tint;
        context.fillText(letter, tx, ty);
      }
      canvas.setAttribute(
        "aria-label",
        `The ${saeSweep.one}s by ${short(order[0].label)} and ${short(order[1].label)}. ` +
          `Arrow keys choose. A is ${told(s.a)}.`,
      );
      readout.textContent = hint();
      const key = (kind, k) => {
        const image = el("canvas", { class: "mark", "aria-hidden": "true", width: 28, height: 28 });
        const pen = image.getContext("2d");
        mark(pen, MARKS[k % MARKS.length], 14, 14, 9);
        pen.fillStyle = color(kind);
        pen.fill();
        return el("span", { class: "key" }, image, short(saeSweep.architectures[kind][0], 40));
      };
      const some = saeSweep.shown.length < Array.from(saeSweep.sound).filter(Boolean).length;
      legend.replaceChildren(
        ...(kinds.length > 1 ? kinds.map(key) : []),
        ...(some ? [el("small", {}, "hollow: numbers only")] : []),
      );
    },
  };
}
