// Previous-token score and induction score of every head, in a table to choose from.

import { el, fixed, svg } from "./dom.js";
import { onDark } from "./color.js";
import { INDUCTION_MEANING, headName, headsSentence, kindOf } from "./induction_words.js";
import { term } from "./meaning.js";
import { createCard } from "./transformer_page.js";

/** The card. `onpick(head)`, a number that counts layer by layer. */
export function createHeads({ data, onpick }) {
  const sentence = el("p", { class: "sees" });
  const body = el("tbody", {});
  const word = (name) => term(name, name, INDUCTION_MEANING);
  const heads = ["head", word("previous-token score"), word("induction score")];
  const table = el(
    "table",
    { class: "head-scores" },
    el("thead", {}, el("tr", {}, ...heads.map((name) => el("th", { scope: "col" }, name)))),
    body,
  );
  const note = el("p", { class: "note" });
  const place = { class: "scroll", tabindex: "0", role: "group", "aria-label": "scores of all heads" };
  const scroll = el("div", place, table);
  const node = createCard("heads", "Heads", sentence, scroll, note);
  const bar = (value, color) =>
    el(
      "td",
      {},
      svg(
        "svg",
        { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
        svg("rect", { height: 10, width: Math.max(0, Math.min(100, 100 * value)).toFixed(1), fill: color }),
      ),
      el("span", {}, fixed(value)),
    );
  return {
    node,
    show(model, s, dark) {
      const k = model.measuredAt(s.at);
      const color = (name) => (dark ? onDark(data.colors[name]) : data.colors[name]);
      const [previous, induction] = [model.previousAt(k), model.inductionAt(k)];
      const focused = [...body.querySelectorAll("button")].indexOf(document.activeElement);
      const rows = Array.from({ length: model.all }, (_, h) => {
        const kind = kindOf(model, k, h, data.limits);
        const button = el(
          "button",
          { type: "button", class: "plain", "aria-pressed": String(h === s.head), onclick: () => onpick(h) },
          `head ${headName(model, h)}`,
        );
        const first = el("th", { scope: "row" }, button, kind ? el("small", {}, kind) : null);
        return el(
          "tr",
          { class: h === s.head ? "chosen" : null },
          first,
          bar(previous[h], color("previous")),
          bar(induction[h], color("induction")),
        );
      });
      body.replaceChildren(...rows);
      if (focused >= 0) body.querySelectorAll("button")[focused]?.focus();
      sentence.textContent = headsSentence(model, k, data.limits);
      note.textContent =
        `Means over ${data.n_sequences} fresh sequences. Even attention would have an induction score of ` +
        `${fixed(model.uniform)}. A head is called layer.head.`;
    },
  };
}
