// The geometry: arrows in the plane, or a polytope that turns under the mouse.

import { el, motionAllowed, svg } from "./dom.js";
import { featureColor } from "./color.js";
import { hull, project } from "./measure.js";
import { makeTurnable, place } from "./turning.js";

const HALF = 100; // the picture is 2 · HALF wide
const MAX_HULL = 16; // features whose hull is drawn
const MAX_LABELS = 40;
const GLIDE = 180; // milliseconds from one model to the next

function flatHull(points) {
  const angle = (i) => Math.atan2(points[i][1], points[i][0]);
  const sorted = [...points.keys()].sort((a, b) => angle(a) - angle(b));
  return sorted.length > 2 ? [sorted] : [];
}

/** The arrow of one feature to (x, y), with its number beyond the tip; the glow of a feature goes by `data-feature`. */
export function arrowOf(i, [x, y], color, { opacity = 1, tip = 3.2, labelled = true } = {}) {
  const arrow = svg("g", { "data-feature": i, class: "arrow", opacity: opacity.toFixed(2) });
  arrow.append(svg("line", { x2: x.toFixed(2), y2: y.toFixed(2), stroke: color }));
  arrow.append(svg("line", { x2: x.toFixed(2), y2: y.toFixed(2), class: "grip" }));
  arrow.append(svg("circle", { cx: x.toFixed(2), cy: y.toFixed(2), r: tip, fill: color }));
  const size = Math.hypot(x, y);
  if (labelled && size > 8) {
    const out = (size + 9) / size;
    arrow.append(svg("text", { x: (x * out).toFixed(2), y: (y * out + 3).toFixed(2) }, String(i)));
  }
  return arrow;
}

/** The places of the features on the way from `before` to `after`, matched by the slots that they stand in. */
function onTheWay(before, after, n, t) {
  const at = new Float64Array(after.at.length);
  const earlier = new Map(Array.from(before.slot, (slot, i) => [slot, i]));
  for (let i = 0; i < n; i++) {
    const j = earlier.get(after.slot[i]);
    for (let k = 0; k < after.d; k++)
      at[k * n + i] = before.at[k * n + j] + t * (after.at[k * n + i] - before.at[k * n + j]);
  }
  return { d: after.d, at, slot: after.slot };
}

/** The large picture of `view.shown`, { d, at, slot }. `onhover(feature or -1)`, `onturn(yaw, pitch)`. */
export function createPicture({ onhover, onturn }) {
  const image = svg("svg", { viewBox: "-112 -112 224 224", class: "picture", role: "img", tabindex: "0" });
  const note = el("p", { class: "note" });
  const node = el("div", { class: "picture-box" }, image, note);
  let [view, turn, dark] = [null, [0.6, 0.35], false];
  let [shown, frame, key] = [null, 0, null];

  function draw() {
    const { n, m, norms } = view;
    const points = place(shown, n, ...turn);
    const scale = (HALF * 0.92) / Math.max(1, ...norms);
    const at = points.map(([x, y, z]) => [x * scale, -y * scale, z]);
    const long = [...norms.keys()].filter((i) => norms[i] > 0.5);
    const parts = [svg("circle", { r: scale, class: "unit" })];
    if (m > 2) parts.push(svg("ellipse", { rx: scale, ry: Math.abs(scale * Math.sin(turn[1])), class: "unit faint" }));
    if (m > 1 && long.length >= 3 && long.length <= MAX_HULL) {
      const corners = long.map((i) => points[i]);
      const faces = m === 2 ? flatHull(corners) : hull(corners);
      for (const face of faces) {
        const d = face
          .map((c) =>
            at[long[c]]
              .slice(0, 2)
              .map((v) => v.toFixed(2))
              .join(),
          )
          .join(" ");
        parts.push(svg("polygon", { points: d, class: "face", fill: view.color }));
      }
    }
    const order = [...Array(n).keys()].sort((a, b) => points[b][2] - points[a][2]);
    for (const i of order) {
      const opacity = m > 2 ? Math.min(1, Math.max(0.45, 0.8 - 0.35 * at[i][2])) : 1;
      const color = featureColor(shown.slot[i], n, dark);
      parts.push(arrowOf(i, at[i], color, { opacity, tip: n > 60 ? 1.6 : 3.2, labelled: n <= MAX_LABELS }));
    }
    image.replaceChildren(...parts);
    image.setAttribute("aria-label", view.said);
    image.classList.toggle("turns", m > 2);
    note.textContent =
      m === 3
        ? "Drag, or use the arrow keys, to turn."
        : m > 3
          ? `The 3 directions that hold most of W (${Math.round(100 * project(view.W, m, n).share)} % of it). ` +
            `Drag to turn.`
          : "";
  }
  /** Draw, and where another model is shown than before, let its features glide to their places. */
  function glide(nextKey) {
    const before = shown;
    const moves = key !== null && nextKey !== key && before?.slot.length === view.n && before.d === view.shown.d;
    if (nextKey === key && frame) return; // on the way there
    key = nextKey;
    cancelAnimationFrame(frame);
    frame = 0;
    shown = view.shown;
    if (!moves || !motionAllowed()) {
      draw();
      return;
    }
    const begin = performance.now();
    const step = (now) => {
      const t = Math.min(1, Math.max(0, now - begin) / GLIDE);
      shown = t < 1 ? onTheWay(before, view.shown, view.n, t * (2 - t)) : view.shown;
      frame = t < 1 ? requestAnimationFrame(step) : 0;
      draw();
    };
    step(begin);
  }
  const turning = makeTurnable(image, {
    isSolid: () => view?.m > 2,
    turn: () => turn,
    onturn,
    onmove: (now) => {
      turn = now;
      draw();
    },
  });
  image.addEventListener("pointermove", (event) => {
    const feature = event.target.closest?.("[data-feature]");
    if (!turning.turning()) onhover(feature ? Number(feature.dataset.feature) : -1);
  });
  image.addEventListener("pointerleave", () => onhover(-1));
  return {
    node,
    /** `nextKey` tells models apart: another one is glided to, the same one is drawn as it is. */
    show(next, nextTurn, isDark, nextKey) {
      [view, dark] = [next, isDark];
      if (!turning.turning()) turn = nextTurn;
      glide(nextKey);
    },
  };
}

/** A small picture of a model, for rows of seeds. */
export function miniature(view, turn, dark) {
  const image = svg("svg", { viewBox: "-112 -112 224 224", class: "mini", "aria-hidden": "true" });
  const scale = (HALF * 0.9) / Math.max(1, ...view.norms);
  image.append(svg("circle", { r: scale, class: "unit" }));
  for (const [i, [x, y]] of place(view.shown, view.n, ...turn).entries()) {
    const color = featureColor(view.shown.slot[i], view.n, dark);
    image.append(svg("line", { x2: (x * scale).toFixed(1), y2: (-y * scale).toFixed(1), stroke: color }));
  }
  return image;
}
