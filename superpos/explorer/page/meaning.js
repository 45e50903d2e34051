// What the numbers mean: under every word that may be new, by pointer or keyboard, and all of them in a list.

import { el, say } from "./dom.js";

const MEANING = {
  feature:
    "One of the things that the input says: x_i is 0 where it is absent, and how strong it is where it is there.",
  "density p": "How often a feature is there: P(x_i ≠ 0) = p = 1 − S, with S the sparsity.",
  "norm ‖W‖":
    "Length of the arrow of feature i, ‖W_i‖. At 1 it can be read back whole; above 0.5 it counts as represented.",
  "share of a dimension D":
    "D_i = ‖W_i‖² / Σ_j (Ŵ_i · W_j)²: 1 for a dimension of its own, 1/2 for one of an antipodal pair, 2/5 in a " +
    "pentagon.",
  represented: "Features whose arrow is longer than 0.5.",
  "ΣD/m": "All shares D_i together over the number of dimensions m: 1 where every dimension is used up.",
  residual: "How far the angles are from the exact shape's, ‖C − C*‖ / ‖C*‖: 0 is perfect, above 0.2 it has no name.",
  loss: "Mean over inputs and features of I_i (x_i − x′_i)², with I_i the importance of feature i.",
  WᵀW:
    "What feature i (row) is read as from feature j (column): 1 on the diagonal is perfect, anything beside " +
    "it is interference.",
  interference:
    "What the other active features lay on feature i: Σ_{j≠i} (WᵀW)_ij x_j, before bias and activation function.",
};

/** A word that explains itself on hover and on focus; Escape closes the explanation. `meanings`: those of the page. */
export function term(word, text = word, meanings = MEANING) {
  const id = `what-${Math.random().toString(36).slice(2, 10)}`;
  const button = el("button", { type: "button", class: "term", "aria-describedby": id }, text);
  const box = el(
    "span",
    { class: "term-box" },
    button,
    el("span", { role: "tooltip", id, class: "tip" }, meanings[word]),
  );
  box.addEventListener("keydown", (event) => {
    if (event.key === "Escape") box.classList.add("closed");
  });
  for (const name of ["pointerenter", "focusin"]) box.addEventListener(name, () => box.classList.remove("closed"));
  return box;
}

const PLACES = {
  "places and colours":
    "Turning the hidden layer, or exchanging equal features, changes no loss. So the picture is turned to " +
    "lie near the model shown before, and an equal feature takes the colour of the one whose place it " +
    "has. Every number, in the tables and at the arrows, is the model's own.",
};

/** All words of a page in a list that opens on demand. */
export function createMeanings(meanings = { ...MEANING, ...PLACES }) {
  const entries = Object.entries(meanings).flatMap(([word, meaning]) => [el("dt", {}, word), el("dd", {}, meaning)]);
  return el(
    "details",
    { class: "meanings" },
    el("summary", {}, "What the numbers mean"),
    el("dl", { class: "meaning" }, ...entries),
  );
}

/** The line of numbers under a model's name, each with its meaning. */
export function createFacts() {
  const words = [["residual"], ["represented"], ["ΣD/m"], ["loss"]].map(([word]) => {
    const value = el("span", { class: "value" });
    return { word, value, node: el("span", { class: "fact" }, term(word), " ", value) };
  });
  const node = el("p", { class: "facts" }, ...words.map((one) => one.node));
  return {
    node,
    show(view) {
      node.hidden = !view;
      if (!view) return;
      const values = [
        Number.isFinite(view.residual) ? say(view.residual, 2) : "",
        `${view.represented} of ${view.n}`,
        say(view.packing, 2),
        Number.isFinite(view.loss) ? say(view.loss) : "",
      ];
      for (const [k, one] of words.entries()) {
        one.value.textContent = values[k];
        one.node.hidden = values[k] === "";
      }
    },
  };
}
