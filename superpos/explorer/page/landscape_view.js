// The minima of one density beside the model that is shown: their shapes, losses, basins and learning coefficients.

import { el, fixed, say, short, svg } from "./dom.js";
import { measure } from "./measure.js";
import { miniature } from "./picture.js";

/** Minima in the same position as the model that is shown: `beside(view, shown)` turns each of them. */
function viewsOf(minima, { m, n }, beside, shown) {
  return minima.map((one) => beside({ ...one, m, n, ...measure(one.W, m, n) }, shown));
}

/** The share of starts in words; null where no start was counted. */
export function shareInPercent(share) {
  if (!share) return "no start";
  return share < 0.01 ? "< 1 %" : `${Math.round(100 * share)} %`;
}

/** One minimum: arrows, name, loss, share of starts as a bar, λ, and whether the model that is shown ended here. */
function entry(view, isHere, turn, dark) {
  const share = view.share ?? 0;
  const bar = svg(
    "svg",
    { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { height: 10, width: (100 * share).toFixed(1) }),
  );
  const unsaid = share ? el("span", { class: "unseen" }, " of starts") : null;
  const coefficient = view.coefficient === null ? "λ unknown" : `λ = ${say(view.coefficient)}`;
  return el(
    "li",
    { class: isHere ? "minimum here" : "minimum", "aria-current": isHere ? "true" : null },
    miniature(view, turn, dark),
    el(
      "div",
      {},
      el("b", {}, short(view.name, 80)),
      el("span", {}, `loss ${say(view.loss, 4)}`),
      el("span", { class: "share" }, bar, shareInPercent(share), unsaid),
      el("span", {}, coefficient),
      view.flags ? el("small", {}, short(view.flags)) : null,
      isHere ? el("em", {}, "this model ended here") : null,
    ),
  );
}

/** The list of minima of the density of a cell, from the lowest loss; nothing where the page has no landscape. */
export function createLandscape(landscape) {
  const list = el("ol", { class: "minima" });
  const note = el("p", { class: "note" });
  const node = el("div", {}, list, note);
  return {
    node,
    /** `view` is the model of `cell`; the minima are turned like it by `beside`. */
    show(view, cell, beside, turn, dark) {
      if (!landscape) return;
      const [row, ended] = [landscape.row[cell], landscape.ended[cell]];
      if (row < 0) {
        list.replaceChildren();
        note.textContent = "The landscape has no minima of this density.";
        return;
      }
      const views = viewsOf(landscape.rows[row], view, beside, view.shown);
      list.replaceChildren(...views.map((one, k) => entry(one, k === ended, turn, dark)));
      const best = landscape.rows[row][0].loss;
      const above = 100 * (view.loss / best - 1);
      const where =
        ended < 0
          ? "This model is at none of them. "
          : `The loss of this model is ${fixed(Math.max(0, above), 1)} % above the lowest. `;
      note.textContent =
        `${where}Percent: of ${landscape.starts.toLocaleString("en")} random starts, how many end there. ` +
        "λ is the learning coefficient: a smaller one is a flatter floor.";
    },
  };
}
