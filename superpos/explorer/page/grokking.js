// Losses and accuracies through training, with the phases of grokking behind them.

import { el, labelled, say, select } from "./dom.js";
import { onDark } from "./color.js";
import { createChart, nearestStep } from "./chart.js";
import { createScrubber } from "./scrubber.js";
import { createCard } from "./transformer_page.js";
import { MODULAR_MEANING, lackSentence, learningSentence, percentage, phaseAt } from "./modular_words.js";
import { term } from "./meaning.js";

const MEASURES = { loss: ["train", "test", "restricted", "excluded"], accuracy: ["train", "test", "restricted"] };
const DASHES = { restricted: [6, 3], excluded: [2, 3] };
const PHASE_COLORS = ["#808080", "#0072B2", "#E69F00"];

/** Where each phase begins and ends: { name, from, to, color }, as far as they are known. */
export function bandsOf({ phases, curves }, names) {
  const { memorised, circuit, clean } = phases;
  if (memorised === null || circuit === null) return [];
  const ends = [curves.steps[0], memorised, circuit, clean ?? curves.steps.at(-1)];
  return names.map((name, k) => ({ name, from: ends[k], to: ends[k + 1], color: PHASE_COLORS[k] }));
}

/** The lines of one chart. */
export function linesOf(model, of, colorOf) {
  const lines = [];
  for (const name of MEASURES[of]) {
    const from = name === "train" || name === "test" ? model.curves : model.measures;
    const values = from[`${name}_${of}`];
    if (!values || (from === model.measures && from.steps.length < 3)) continue;
    lines.push({ name, steps: from.steps, values, color: colorOf(name), dash: DASHES[name] });
  }
  return lines;
}

/** The card. */
export function createGrokking({ state, data }) {
  const sentence = el("p", { class: "sees" });
  const lack = el("p", { class: "note" });
  const chart = createChart({ tall: true });
  const now = el("p", { class: "note" });
  const scrubber = createScrubber({ onscrub: (snap) => state.set({ snap }) });
  const [of, along] = [
    select(
      [
        ["loss", "loss (log scale)"],
        ["accuracy", "accuracy"],
      ],
      state.get().of,
      (value) => state.set({ of: value }),
      "what the curves show",
    ),
    select(
      [
        ["linear", "linear"],
        ["log", "log scale"],
      ],
      state.get().steps,
      (value) => state.set({ steps: value }),
      "scale of the steps",
    ),
  ];
  const explained = (words) => words.map((word) => el("span", { class: "fact" }, term(word, word, MODULAR_MEANING)));
  const measures = el("p", { class: "facts" }, ...explained(["train, test", "restricted loss", "excluded loss"]));
  const phases = el("p", { class: "facts" }, ...explained(data.phases));
  const controls = el("div", { class: "controls" }, labelled("curves", of), labelled("steps", along));
  const node = createCard(
    "training",
    "Learning",
    sentence,
    controls,
    chart.node,
    scrubber.node,
    now,
    lack,
    measures,
    phases,
  );
  return {
    node,
    show(model, s, dark) {
      const colorOf = (name) => (dark ? onDark(data.colors[name]) : data.colors[name]);
      const step = model.pictured[s.at];
      const lines = linesOf(model, s.of, colorOf);
      const bands = bandsOf(model, data.phases);
      [of.value, along.value] = [s.of, s.steps];
      chart.show(
        {
          name: s.of,
          lines,
          bands,
          log: s.of === "loss",
          logSteps: s.steps === "log",
          range: s.of === "accuracy" ? [0, 1] : undefined,
          cursor: step,
        },
        dark,
      );
      scrubber.show(model.pictured, s.at);
      sentence.textContent = learningSentence(model);
      const { steps, train_accuracy: train, test_accuracy: test } = model.curves;
      const k = nearestStep(steps, step);
      const phase = phaseAt(model, step);
      const right = (values) => (values ? percentage(values[k]) : say(Number.NaN));
      now.textContent =
        `Shown: step ${step.toLocaleString("en")}${phase ? `, ${phase}` : ""}. ` +
        `Right answers: ${right(train)} of the training pairs, ${right(test)} of the others.`;
      lack.textContent = lackSentence(model);
      lack.hidden = !lack.textContent;
      for (const part of [controls, chart.node, measures]) part.hidden = model.curves.steps.length < 2;
      phases.hidden = !bands.length;
    },
  };
}
