// The input player: features switched on by hand, the hidden layer as a sum of arrows, and what comes back.

import { el, fixed, svg } from "./dom.js";
import { featureColor } from "./color.js";
import { canReconstruct, onTheSilent, reconstruct } from "./reconstruct.js";
import { interferenceInWords } from "./sentences.js";
import { makeTurnable, place } from "./turning.js";

const MAX_ROWS = 64; // features that can be switched
const RANGE = 1.25; // of the bars

/** Magnitudes from a link: "0:1,3:0.5". */
export function readInput(text, n) {
  const x = new Float64Array(n);
  for (const part of text.split(",")) {
    const [i, value] = part.split(":").map(Number);
    if (Number.isInteger(i) && i >= 0 && i < n && value > 0) x[i] = Math.min(1, value);
  }
  return x;
}

/** The same as text. */
export function writeInput(x) {
  return (
    Array.from(x, (value, i) => (value > 0 ? `${i}:${Number(value.toFixed(2))}` : ""))
      .filter(Boolean)
      .join(",") || "none"
  );
}

/** A bar between −RANGE and RANGE, or from 0 with `positive`; `mark` is a line across it. */
function bar(positive) {
  const [fill, cut, mark] = [
    svg("rect", { height: 10 }),
    svg("rect", { height: 10, class: "cut" }),
    svg("line", { y1: 0, y2: 10, class: "mark" }),
  ];
  const zero = positive ? 0 : 50;
  const image = svg(
    "svg",
    { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true", class: "bar" },
    cut,
    fill,
    mark,
  );
  if (!positive) image.append(svg("line", { x1: 50, x2: 50, y1: 0, y2: 10, class: "zero" }));
  const scale = (positive ? 100 : 50) / RANGE;
  const lay = (rect, value) => {
    const width = Math.min(Math.abs(value), RANGE) * scale;
    rect.setAttribute("x", (value < 0 ? zero - width : zero).toFixed(1));
    rect.setAttribute("width", width.toFixed(1));
  };
  return {
    image,
    show(value, { color, before = 0, at = null }) {
      lay(fill, positive ? Math.max(0, value) : value);
      lay(cut, before);
      fill.setAttribute("fill", color);
      mark.setAttribute("visibility", at === null ? "hidden" : "visible");
      for (const end of ["x1", "x2"]) mark.setAttribute(end, (zero + Math.min(at ?? 0, RANGE) * scale).toFixed(1));
    },
  };
}

/** Head to tail: the arrows of the active features, one after another, and their sum h. */
function drawSum(image, view, x, turn, dark) {
  const points = place(view.shown, view.n, ...turn);
  const chain = [[0, 0]];
  const active = [...x.keys()].filter((i) => x[i] > 0);
  for (const i of active) chain.push([chain.at(-1)[0] + x[i] * points[i][0], chain.at(-1)[1] + x[i] * points[i][1]]);
  const scale = 92 / Math.max(1, ...view.norms, ...chain.map(([a, b]) => Math.hypot(a, b)));
  const at = ([a, b]) => [(a * scale).toFixed(2), (-b * scale).toFixed(2)];
  const segment = (from, to, attributes) => {
    const [[x1, y1], [x2, y2]] = [at(from), at(to)];
    return svg("line", { x1, y1, x2, y2, ...attributes });
  };
  const parts = [svg("circle", { r: scale, class: "unit" })];
  for (const [i, point] of points.entries()) {
    const group = svg(
      "g",
      { "data-feature": i, class: "arrow silent" },
      segment([0, 0], point, { stroke: featureColor(view.shown.slot[i], view.n, dark) }),
    );
    const size = Math.hypot(point[0], point[1]) * scale;
    if (view.n <= 40 && size > 8) {
      const [tx, ty] = point.slice(0, 2).map((v) => (v * scale * (size + 9)) / size);
      group.append(svg("text", { x: tx.toFixed(2), y: (3 - ty).toFixed(2) }, String(i)));
    }
    parts.push(group);
  }
  for (const [k, i] of active.entries()) {
    const color = featureColor(view.shown.slot[i], view.n, dark);
    const [cx, cy] = at(chain[k + 1]);
    parts.push(
      segment(chain[k], chain[k + 1], { stroke: color, class: "step" }),
      svg("circle", { cx, cy, r: 3, fill: color }),
    );
  }
  if (active.length) {
    const [cx, cy] = at(chain.at(-1));
    parts.push(
      segment([0, 0], chain.at(-1), { class: "hidden-layer" }),
      svg("circle", { cx, cy, r: 4.5, class: "hidden-tip" }),
    );
    const size = Math.hypot(cx, cy) || 1;
    parts.push(
      svg(
        "text",
        { x: (cx - (12 * cy) / size).toFixed(1), y: (Number(cy) + (12 * cx) / size + 3).toFixed(1), class: "h" },
        "h",
      ),
    );
  }
  image.replaceChildren(...parts);
  const words = active.map((i) => `${fixed(x[i])} of feature ${i}`).join(" plus ");
  image.setAttribute(
    "aria-label",
    active.length ? `The hidden layer is the sum of ${words}.` : "All features are off; the hidden layer is 0.",
  );
}

/** The player. `onchange(text)` when an input is set by hand, `onhover(feature or -1)`. */
export function createPlayer({ onchange, onhover, onturn }) {
  const image = svg("svg", { viewBox: "-112 -112 224 224", class: "sum", role: "img", tabindex: "0" });
  const body = el("tbody", {});
  const columns = ["feature", "x", "x′", "from the others", "left when silent"];
  const table = el(
    "table",
    { class: "player-table" },
    el("thead", {}, el("tr", {}, ...columns.map((text) => el("th", { scope: "col" }, text)))),
    body,
  );
  const sentence = el("p", { class: "sentence", role: "status" });
  const hidden = el("p", { class: "note hidden-values" });
  const note = el("p", { class: "note" });
  let [view, x, turn, dark, rows] = [null, new Float64Array(0), [0.6, 0.35], false, []];
  const set = (values) => onchange(writeInput(values));
  const preset = (text, make) => el("button", { type: "button", onclick: () => set(make()) }, text);
  const only = (test) => Float64Array.from({ length: view.n }, (_, i) => (test(i) ? 1 : 0));
  const longest = () => [...view.norms.keys()].sort((a, b) => view.norms[b] - view.norms[a]);
  const presets = el(
    "div",
    { class: "controls", role: "group", "aria-label": "inputs to begin with" },
    preset("One on", () => only((i) => i === firstFeature(view))),
    preset("Two on", () => only((i) => i === firstFeature(view) || i === neighbour(view))),
    preset("All on", () => only((i) => longest().slice(0, MAX_ROWS).includes(i))),
    preset("All off", () => only(() => false)),
  );
  const node = el(
    "div",
    { class: "player" },
    el("div", { class: "player-picture" }, image, hidden),
    el(
      "div",
      { class: "player-numbers" },
      presets,
      el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "features to switch" }, table),
      sentence,
      note,
    ),
  );
  makeTurnable(image, {
    isSolid: () => view?.m > 2,
    turn: () => turn,
    onturn,
    onmove: (now) => {
      turn = now;
      drawSum(image, view, x, turn, dark);
    },
  });

  function build(n) {
    rows = Array.from({ length: Math.min(n, MAX_ROWS) }, (_, i) => {
      const change = (value) => set(Float64Array.from(x, (old, j) => (j === i ? value : old)));
      const check = el("input", {
        type: "checkbox",
        "aria-label": `feature ${i} on`,
        onchange: () => change(check.checked ? 1 : 0),
      });
      const range = el("input", {
        type: "range",
        min: 0,
        max: 1,
        step: 0.05,
        "aria-label": `magnitude of feature ${i}`,
        oninput: () => change(Number(range.value)),
      });
      const [back, from] = [bar(true), bar(false)];
      const words = [el("span"), el("span"), el("span")];
      const cells = [
        el("td", { class: "back" }, back.image, words[0]),
        el("td", { class: "from" }, from.image, words[1]),
        el("td", { class: "left" }, words[2]),
      ];
      const row = el(
        "tr",
        { "data-feature": i, onpointerenter: () => onhover(i), onpointerleave: () => onhover(-1) },
        el("th", { scope: "row" }, el("label", { class: "switch" }, check, el("span", {}, String(i)))),
        el("td", {}, range),
        ...cells,
      );
      return { row, check, range, back, from, words, cells };
    });
    body.replaceChildren(...rows.map(({ row }) => row));
  }
  function fill(result) {
    for (const [i, { check, range, back, from, words, cells }] of rows.entries()) {
      check.checked = x[i] > 0;
      range.value = x[i];
      range.setAttribute("aria-valuetext", fixed(x[i]));
      const color = featureColor(view.shown.slot[i], view.n, dark);
      const { output, interference } = result;
      back.show(output[i], { color, at: x[i] > 0 ? x[i] : null });
      const silent = x[i] === 0;
      from.show(silent ? output[i] : 0, { color: "var(--accent)", before: interference[i] });
      for (const [k, value] of [output[i], interference[i], silent ? output[i] : Number.NaN].entries()) {
        words[k].textContent = fixed(value);
        cells[k].dataset.value = String(value);
      }
    }
  }
  return {
    node,
    sentence: () => sentence.textContent,
    show(next, text, nextTurn, isDark) {
      [view, turn, dark] = [next, nextTurn, isDark];
      const able = canReconstruct(view.activation);
      for (const part of node.querySelectorAll(".player-picture, .controls, .scroll")) part.hidden = !able;
      if (!able) {
        sentence.textContent = "";
        note.textContent = "The player is for models x′ = f(WᵀW x + b) with ReLU, GELU or no activation function.";
        return;
      }
      x = text === "" ? only((i) => i === firstFeature(view)) : readInput(text, view.n);
      if (rows.length !== Math.min(view.n, MAX_ROWS)) build(view.n);
      const result = reconstruct(view, x);
      fill(result);
      drawSum(image, view, x, turn, dark);
      image.classList.toggle("turns", view.m > 2);
      const coordinates = Array.from(result.h.subarray(0, 8), (value) => fixed(value)).join(", ");
      hidden.textContent = `h = Wx = (${coordinates}${view.m > 8 ? ", …" : ""}) in the model’s own axes`;
      hidden.dataset.h = JSON.stringify([...result.h]);
      const active = [...x.keys()].filter((i) => x[i] > 0);
      sentence.textContent = interferenceInWords(onTheSilent(result, x), active, view);
      note.textContent = view.n > MAX_ROWS ? `The first ${MAX_ROWS} of ${view.n} features can be switched.` : "";
    },
  };
}

/** The feature that is on at first: the first that is represented. */
export function firstFeature({ norms }) {
  return Math.max(
    0,
    Math.min(
      MAX_ROWS - 1,
      norms.findIndex((norm) => norm > 0.5),
    ),
  );
}

/** The one that meets it with the largest positive interference. */
function neighbour(view) {
  const i = firstFeature(view);
  const others = [...Array(Math.min(view.n, MAX_ROWS)).keys()].filter((j) => j !== i);
  return others.reduce((a, b) => (view.gram[i * view.n + b] > view.gram[i * view.n + a] ? b : a), others[0] ?? i);
}
