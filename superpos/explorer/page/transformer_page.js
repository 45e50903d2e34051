// What the pages of transformers share: a map to choose a model on, a place in training, and cards that show the two.

import { el } from "./dom.js";
import { createState } from "./state.js";
import { isDark } from "./color.js";
import { createMap, describe, startingAxes } from "./map.js";
import { createMeanings } from "./meaning.js";
import { createPageFrame } from "./page_frame.js";
import { bestInFull, readTransformers, sameSetting, whatIsMissing } from "./transformer_sweep.js";

/**
 * Fill `root` with a page. `kind` says what is special about it: `read` (of one packed model), `lossName`, `colorings`
 * of the map, `defaults` of its own state, `sanitize(s, model)`, `meanings`, and `cards(state, data)`, a list of
 * { node, show(model, s, dark) }. `s.at` is the place in training, the last one where nobody chose.
 */
export function startTransformers(root, text, { link = true, theme = "" }, kind) {
  const data = JSON.parse(text);
  const sweep = readTransformers(data, kind);
  const [x, y] = startingAxes(sweep);
  const defaults = { cell: bestInFull(sweep), snap: -1, x, y, color: "loss", theme, ...kind.defaults };
  const state = createState(defaults, { link });
  const pageFrame = createPageFrame(root, { title: data.title, caption: data.caption, state, link });
  const colorings = Object.fromEntries(Object.entries(kind.colorings).filter(([name]) => name in sweep.cells));
  const map = createMap(sweep, { state, onpick: (cell) => state.set({ cell }), colorings });
  const several = sweep.nCells > 1;
  const missing = whatIsMissing(sweep);
  const announcer = el("p", { class: "note", role: "status" });
  const picker = el(
    "section",
    { class: "card choose", "aria-label": "models to choose from" },
    el("h2", { class: "small" }, several ? `${sweep.nCells.toLocaleString("en")} models` : "Model"),
    several ? map.node : null,
    several ? announcer : null,
    missing ? el("p", { class: "note left-out" }, missing) : null,
  );
  const lacking = el("p", {});
  const goThere = el("button", { type: "button" }, "Look at one of its setting that is here in full");
  const instead = el("section", { class: "card training lacking", "aria-label": "not on this page" }, lacking, goThere);
  const cards = kind.cards(state, data);
  const meanings = el(
    "section",
    { class: "card wide", "aria-label": "what the numbers mean" },
    createMeanings(kind.meanings),
  );
  pageFrame.main.classList.add("transformer");
  const choosing = several || Boolean(missing);
  pageFrame.main.classList.toggle("alone", !choosing);
  pageFrame.main.append(...(choosing ? [picker] : []), ...cards.map(({ node }) => node), instead, meanings);
  goThere.addEventListener("click", () => state.set({ cell: sameSetting(sweep, state.get().cell) }));

  /** Repair what a link may say wrongly. */
  function sanitize(s) {
    const there = Number.isInteger(s.cell) && s.cell >= 0 && s.cell < sweep.nCells;
    if (!there) s.cell = defaults.cell;
    for (const axis of ["x", "y"]) if (!sweep.axes[s[axis]]) s[axis] = defaults[axis];
    if (!Object.hasOwn(colorings, s.color)) s.color = "loss";
    if (!Number.isInteger(s.snap) || s.snap < -1) s.snap = -1;
    if (!["light", "dark"].includes(s.theme)) s.theme = "";
  }
  function render() {
    const s = state.get();
    sanitize(s);
    const dark = isDark(root);
    if (several) map.show(dark);
    const model = sweep.open(s.cell);
    instead.hidden = Boolean(model);
    for (const { node } of cards) node.hidden = !model;
    announcer.textContent = describe(sweep, s.cell);
    if (!model) {
      lacking.textContent = sweep.sound[s.cell]
        ? `Of the model at ${describe(sweep, s.cell)} this page has only the numbers.`
        : `The model at ${describe(sweep, s.cell)}.`;
      return;
    }
    const last = model.pictured.length - 1;
    const at = s.snap < 0 ? last : Math.min(s.snap, last);
    kind.sanitize(s, model);
    for (const card of cards) card.show(model, { ...s, at }, dark);
  }
  state.listen(render);
  globalThis.addEventListener("resize", render);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", render);
  render();
  root.dataset.ready = String(Math.round(performance.now()));
}

/** A card with a heading, a sentence that says what one sees, and what one sees. */
export function createCard(name, heading, sentence, ...content) {
  return el(
    "section",
    { class: `card ${name}`, "aria-label": heading },
    el("h2", { class: "small" }, heading),
    sentence,
    ...content,
  );
}
