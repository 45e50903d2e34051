// WᵀW as a heat map, and bars of norms and dimensionalities.

import { el, fit, say, svg } from "./dom.js";
import { diverging, featureColor } from "./color.js";

/** Heat map of WᵀW; hovering a square lights up its row's feature. */
export function createHeat({ onhover }) {
  const canvas = el("canvas", { class: "heat", role: "img", "aria-label": "heat map of W transposed times W" });
  const readout = el("p", { class: "note" }, " ");
  const node = el("div", {}, canvas, readout);
  let view = null;
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    const cell = (x) => Math.min(view.n - 1, Math.max(0, Math.floor(x * view.n)));
    const [i, j] = [cell((event.clientY - box.top) / box.height), cell((event.clientX - box.left) / box.width)];
    readout.textContent = `feature ${i} · feature ${j} = ${say(view.gram[i * view.n + j], 2)}`;
    onhover(i);
  });
  canvas.addEventListener("pointerleave", () => {
    readout.textContent = " ";
    onhover(-1);
  });
  return {
    node,
    show(next, hovered, dark) {
      view = next;
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
  const node = el("table", { class: "bars" });
  let count = -1;
  let rows = [];
  const bar = () => svg("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" }, svg("rect", { height: 10 }));
  function build(n) {
    count = n;
    rows = Array.from({ length: n }, (_, i) => {
      const [norm, D] = [bar(), bar()];
      const said = [el("span"), el("span")];
      const row = el(
        "tr",
        { "data-feature": i, tabindex: "0", onpointerenter: () => onhover(i), onpointerleave: () => onhover(-1), onfocus: () => onhover(i), onblur: () => onhover(-1) },
        el("th", { scope: "row" }, String(i)),
        el("td", {}, norm, said[0]),
        el("td", {}, D, said[1]),
      );
      return { row, norm, D, said };
    });
    const head = el("tr", {}, el("th", { scope: "col" }, "i"), el("th", { scope: "col" }, "norm ‖W‖"), el("th", { scope: "col" }, "share of a dimension D"));
    node.replaceChildren(el("thead", {}, head), el("tbody", {}, ...rows.map((r) => r.row)));
  }
  return {
    node,
    show(view, dark) {
      if (view.n !== count) build(view.n);
      for (let i = 0; i < view.n; i++) {
        const color = featureColor(i, view.n, dark);
        for (const [k, [image, value, most]] of [[rows[i].norm, view.norms[i], 1.25], [rows[i].D, view.D[i], 1]].entries()) {
          image.firstChild.setAttribute("width", Math.min(100, (100 * value) / most).toFixed(1));
          image.firstChild.setAttribute("fill", color);
          rows[i].said[k].textContent = value.toFixed(2);
        }
      }
    },
  };
}
