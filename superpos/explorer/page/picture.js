// The geometry: arrows in the plane, or a polytope that turns under the mouse.

import { el, svg } from "./dom.js";
import { featureColor } from "./color.js";
import { hull, project } from "./measure.js";

const HALF = 100; // the picture is 2 · HALF wide
const MAX_HULL = 16; // features whose hull is drawn
const MAX_LABELS = 40;

/** Where features stand in the picture, (x, y, depth) each, in units of weights. */
export function place(view, yaw, pitch) {
  const { m, n } = view;
  if (m <= 2) return Array.from({ length: n }, (_, i) => [view.W[i], m === 2 ? view.W[n + i] : 0, 0]);
  const W = m === 3 ? view.W : project(view.W, m, n).W;
  const [cy, sy, cp, sp] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
  return Array.from({ length: n }, (_, i) => {
    const [x, y, z] = [W[i], W[n + i], W[2 * n + i]];
    const [a, b] = [cy * x - sy * y, sy * x + cy * y];
    return [a, cp * z - sp * b, cp * b + sp * z];
  });
}

function flatHull(points) {
  const sorted = [...points.keys()].sort((a, b) => Math.atan2(points[a][1], points[a][0]) - Math.atan2(points[b][1], points[b][0]));
  return sorted.length > 2 ? [sorted] : [];
}

/** The large picture. `onhover(feature or -1)`, `onturn(yaw, pitch)`. */
export function createPicture({ onhover, onturn }) {
  const image = svg("svg", { viewBox: "-112 -112 224 224", class: "picture", role: "img", tabindex: "0" });
  const note = el("p", { class: "note" });
  const node = el("div", { class: "picture-box" }, image, note);
  let [view, turn, dark, from] = [null, [0.6, 0.35], false, null];

  function draw() {
    const { n, m, norms } = view;
    const points = place(view, ...turn);
    const scale = (HALF * 0.92) / Math.max(1, ...norms);
    const at = points.map(([x, y, z]) => [x * scale, -y * scale, z]);
    const shown = [...norms.keys()].filter((i) => norms[i] > 0.5);
    const parts = [svg("circle", { r: scale, class: "unit" })];
    if (m > 2) parts.push(svg("ellipse", { rx: scale, ry: Math.abs(scale * Math.sin(turn[1])), class: "unit faint" }));
    if (m > 1 && shown.length >= 3 && shown.length <= MAX_HULL) {
      const corners = shown.map((i) => points[i]);
      const faces = m === 2 ? flatHull(corners) : hull(corners);
      for (const face of faces) {
        const d = face.map((c) => at[shown[c]].slice(0, 2).map((v) => v.toFixed(2)).join()).join(" ");
        parts.push(svg("polygon", { points: d, class: "face", fill: view.color }));
      }
    }
    const order = [...Array.from({ length: n }).keys()].sort((a, b) => points[b][2] - points[a][2]);
    for (const i of order) {
      const [x, y, z] = at[i];
      const color = featureColor(i, n, dark);
      const far = m > 2 ? Math.min(1, Math.max(0.45, 0.8 - 0.35 * z)) : 1;
      const arrow = svg("g", { "data-feature": i, class: "arrow", opacity: far.toFixed(2) });
      arrow.append(svg("line", { x2: x.toFixed(2), y2: y.toFixed(2), stroke: color }));
      arrow.append(svg("line", { x2: x.toFixed(2), y2: y.toFixed(2), class: "grip" }));
      arrow.append(svg("circle", { cx: x.toFixed(2), cy: y.toFixed(2), r: n > 60 ? 1.6 : 3.2, fill: color }));
      const size = Math.hypot(x, y);
      if (n <= MAX_LABELS && size > 8) {
        const out = (size + 9) / size;
        arrow.append(svg("text", { x: (x * out).toFixed(2), y: (y * out + 3).toFixed(2) }, String(i)));
      }
      parts.push(arrow);
    }
    image.replaceChildren(...parts);
    image.setAttribute("aria-label", view.said);
    image.classList.toggle("turns", m > 2);
    note.textContent =
      m === 3 ? "Drag, or use the arrow keys, to turn." : m > 3 ? `The 3 directions that hold most of W (${Math.round(100 * project(view.W, m, n).share)} % of it). Drag to turn.` : "";
  }
  image.addEventListener("pointermove", (event) => {
    if (from && view.m > 2) {
      turn = [from[2] + (event.clientX - from[0]) * 0.01, Math.min(1.5, Math.max(-1.5, from[3] + (event.clientY - from[1]) * 0.01))];
      draw();
      return;
    }
    const feature = event.target.closest?.("[data-feature]");
    onhover(feature ? Number(feature.dataset.feature) : -1);
  });
  image.addEventListener("pointerleave", () => onhover(-1));
  image.addEventListener("pointerdown", (event) => {
    if (view.m > 2) {
      from = [event.clientX, event.clientY, ...turn];
      image.setPointerCapture(event.pointerId);
    }
  });
  image.addEventListener("pointerup", () => {
    if (from) onturn(...turn);
    from = null;
  });
  image.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-0.15, 0], ArrowRight: [0.15, 0], ArrowUp: [0, -0.15], ArrowDown: [0, 0.15] }[event.key];
    if (!step || view.m <= 2) return;
    event.preventDefault();
    onturn(turn[0] + step[0], Math.min(1.5, Math.max(-1.5, turn[1] + step[1])));
  });
  return {
    node,
    show(next, nextTurn, isDark) {
      [view, dark] = [next, isDark];
      if (!from) turn = nextTurn;
      draw();
    },
  };
}

/** A small picture of a model, for rows of seeds. */
export function miniature(view, turn, dark) {
  const image = svg("svg", { viewBox: "-112 -112 224 224", class: "mini", "aria-hidden": "true" });
  const scale = (HALF * 0.9) / Math.max(1, ...view.norms);
  image.append(svg("circle", { r: scale, class: "unit" }));
  for (const [i, [x, y]] of place(view, ...turn).entries()) {
    image.append(svg("line", { x2: (x * scale).toFixed(1), y2: (-y * scale).toFixed(1), stroke: featureColor(i, view.n, dark) }));
  }
  return image;
}
