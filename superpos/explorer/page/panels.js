// WᵀW as a heat map and a table, and bars of norms and dimensionalities.

import { el, fit, fixed, say, svg } from "./dom.js";
import { diverging, featureColor } from "./color.js";
import { term } from "./meaning.js";

const MAX_TABLE = 40; // rows and columns of WᵀW in numbers

/**
 * Heat map of WᵀW; a square that one points at, or reaches by the arrow keys, is read out and lights up its feature.
 */
export function createHeat({ onhover }) {
  const canvas = el("canvas", {
    class: "heat",
    role: "img",
    tabindex: "0",
    "aria-label": "Heat map of W transposed times W. Arrow keys move.",
  });
  const readout = el("p", { class: "note", role: "status" }, "\u00a0");
  const numbers = el("table", { class: "gram" });
  const cutNote = el("p", { class: "note" });
  const inNumbers = el(
    "details",
    { ontoggle: () => fillTable() },
    el("summary", {}, "WᵀW in numbers"),
    el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "WᵀW in numbers" }, numbers),
    cutNote,
  );
  const node = el("div", {}, canvas, readout, inNumbers);
  let view = null;
  let at = [0, 0];
  const readOut = () => {
    const [i, j] = at.map((index) => Math.min(index, view.n - 1));
    readout.textContent = `feature ${i} · feature ${j} = ${say(view.gram[i * view.n + j], 2)}`;
    onhover(i);
  };
  const leave = () => {
    readout.textContent = "\u00a0";
    onhover(-1);
  };
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    const cell = (x) => Math.min(view.n - 1, Math.max(0, Math.floor(x * view.n)));
    at = [cell((event.clientY - box.top) / box.height), cell((event.clientX - box.left) / box.width)];
    readOut();
  });
  canvas.addEventListener("pointerleave", leave);
  canvas.addEventListener("blur", leave);
  canvas.addEventListener("focus", () => {
    if (canvas.matches(":focus-visible")) readOut();
  });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!step) return;
    event.preventDefault();
    at = at.map((index, k) => Math.min(view.n - 1, Math.max(0, index + step[k])));
    readOut();
  });
  function fillTable() {
    if (!inNumbers.open || !view) return;
    const most = Math.min(view.n, MAX_TABLE);
    const all = [...Array(most).keys()];
    numbers.replaceChildren(
      el(
        "thead",
        {},
        el("tr", {}, el("th", { scope: "col" }, "i \\ j"), ...all.map((j) => el("th", { scope: "col" }, String(j)))),
      ),
      el(
        "tbody",
        {},
        ...all.map((i) =>
          el(
            "tr",
            {},
            el("th", { scope: "row" }, String(i)),
            ...all.map((j) => el("td", {}, fixed(view.gram[i * view.n + j]))),
          ),
        ),
      ),
    );
    cutNote.textContent = view.n > most ? `The first ${most} of ${view.n} features.` : "";
  }
  return {
    node,
    show(next, hovered, dark) {
      if (view !== next) {
        view = next;
        fillTable();
      }
      const side = canvas.clientWidth || 220;
      const context = fit(canvas, side, side);
      const { n } = view;
      const step = side / n;
      const gap = n <= 40 ? 1 : 0;
      for (let i = 0; i < n; i++) {
        for (let j = 0; j < n; j++) {
          context.fillStyle = diverging(view.gram[i * n + j], dark);
          context.fillRect(j * step, i * step, step - gap + (gap ? 0 : 0.5), step - gap + (gap ? 0 : 0.5));
        }
      }
      if (hovered >= 0 && hovered < n) {
        context.strokeStyle = dark ? "#fff" : "#111";
        context.lineWidth = 1.5;
        context.strokeRect(0.75, hovered * step, side - 1.5, step);
        context.strokeRect(hovered * step, 0.75, step, side - 1.5);
      }
    },
  };
}

/** Two bars per feature: ‖W_i‖ and D_i. */
export function createBars({ onhover }) {
  const table = el("table", { class: "bars" });
  const node = el(
    "div",
    { class: "scroll bars-box", tabindex: "0", role: "group", "aria-label": "features in numbers" },
    table,
  );
  let count = -1;
  let rows = [];
  const bar = () =>
    svg(
      "svg",
      { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
      svg("rect", { height: 10 }),
    );
  function build(n) {
    count = n;
    rows = Array.from({ length: n }, (_, i) => {
      const [norm, D] = [bar(), bar()];
      const words = [el("span"), el("span")];
      const row = el(
        "tr",
        { "data-feature": i, onpointerenter: () => onhover(i), onpointerleave: () => onhover(-1) },
        el("th", { scope: "row" }, String(i)),
        el("td", {}, norm, words[0]),
        el("td", {}, D, words[1]),
      );
      return { row, norm, D, words };
    });
    const heads = [term("feature", "i"), term("norm ‖W‖"), term("share of a dimension D")];
    const head = el("tr", {}, ...heads.map((word) => el("th", { scope: "col" }, word)));
    table.replaceChildren(el("thead", {}, head), el("tbody", {}, ...rows.map((r) => r.row)));
  }
  return {
    node,
    show(view, dark) {
      if (view.n !== count) build(view.n);
      for (let i = 0; i < view.n; i++) {
        const color = featureColor(view.shown.slot[i], view.n, dark);
        const { norm, D, words } = rows[i];
        for (const [k, [image, value, most]] of [
          [norm, view.norms[i], 1.25],
          [D, view.D[i], 1],
        ].entries()) {
          image.firstChild.setAttribute("width", Math.min(100, (100 * value) / most).toFixed(1));
          image.firstChild.setAttribute("fill", color);
          words[k].textContent = value.toFixed(2);
        }
      }
    },
  };
}
