// How latents share the manifolds: of each how many latents, how many at once, what they explain, and the word for it.

import { el, fixed, say } from "./dom.js";
import { percent } from "./dictionary_kinds.js";

const SLIM = new Set(["tile", "subspace"]); // left out where there is little room
const COLUMNS = [
  ["latents", "latents", (one) => String(one.latents)],
  ["at once", "how many of them fire where it is", (one) => (one.active === null ? "–" : fixed(one.active, 1))],
  ["tile", "the share of its inputs at which one of them fires", (one) => percent(one.receptive_field ?? Number.NaN)],
  ["R²", "explained variance within its subspace", (one) => fixed(one.explained_variance ?? Number.NaN)],
  ["subspace", "subspace recovery", (one) => say(one.subspace_recovery, 2)],
  ["regime", "how latents share it", (one) => one.regime],
];
const slim = (text) => (SLIM.has(text) ? "slim" : null);

/** The table of one dictionary; `onpick(name)` is called with the manifold whose latents one wants to see. */
export function createTiling({ side, onpick }) {
  const body = el("tbody", {});
  const head = COLUMNS.map(([text, meaning]) => el("th", { scope: "col", title: meaning, class: slim(text) }, text));
  const node = el(
    "table",
    { class: "answers tiling", "aria-label": `latents of each manifold${side === "b" ? ", of B" : ""}` },
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "manifold"), ...head)),
    body,
  );
  return {
    node,
    show(sae, chosen) {
      const focused = [...body.querySelectorAll("button")].indexOf(document.activeElement);
      body.replaceChildren(
        ...sae.manifolds.map((one, g) =>
          el(
            "tr",
            { class: g === chosen ? "matched" : null },
            el(
              "th",
              { scope: "row" },
              el(
                "button",
                {
                  type: "button",
                  class: "plain",
                  "aria-label": `latents of ${one.name}${side === "b" ? ", of B" : ""}`,
                  onclick: () => onpick(one.name),
                },
                one.name,
              ),
            ),
            ...COLUMNS.map(([text, , show]) => el("td", { class: slim(text) }, show(one))),
          ),
        ),
      );
      if (focused >= 0) body.querySelectorAll("button")[focused]?.focus();
    },
  };
}
