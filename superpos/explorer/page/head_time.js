// Loss and scores of all heads through training.

import { el, fixed, labelled, say, select } from "./dom.js";
import { onDark } from "./color.js";
import { createChart } from "./chart.js";
import { createScrubber } from "./scrubber.js";
import { INDUCTION_MEANING, headName, timeSentence } from "./induction_words.js";
import { term } from "./meaning.js";
import { createCard } from "./transformer_page.js";

const DASHES = { induction: undefined, previous: [5, 3] };
const WORDS = { previous: "previous-token score", induction: "induction score" };

/** The card. */
export function createHeadTime({ state, data }) {
  const sentence = el("p", { class: "sees" });
  const [loss, scores] = [createChart(), createChart()];
  const now = el("p", { class: "note" });
  const lack = el("p", { class: "note" });
  const scrubber = createScrubber({ onscrub: (snap) => state.set({ snap }) });
  const along = select(
    [
      ["linear", "linear"],
      ["log", "log scale"],
    ],
    state.get().steps,
    (steps) => state.set({ steps }),
    "scale of the steps",
  );
  const explained = (word, text = word) => term(word, text, INDUCTION_MEANING);
  const scoresFigure = el("figure", {}, el("figcaption", {}, "scores of all heads, the chosen one bold"), scores.node);
  const charts = el(
    "div",
    { class: "charts" },
    el("figure", {}, el("figcaption", {}, "", explained("loss", "loss in nats (log scale)")), loss.node),
    scoresFigure,
  );
  const controls = el("div", { class: "controls" }, labelled("steps", along));
  const node = createCard("training", "Learning", sentence, controls, charts, scrubber.node, now, lack);

  function scoreLines(model, s, dark) {
    const lines = [];
    for (const [name, rowOf] of [
      ["previous", model.previousAt],
      ["induction", model.inductionAt],
    ]) {
      const color = dark ? onDark(data.colors[name]) : data.colors[name];
      for (let h = 0; h < model.all; h++) {
        const chosen = h === s.head;
        lines.push({
          name: `head ${headName(model, h)}, ${WORDS[name]}`,
          steps: model.steps,
          values: Array.from(model.steps, (_, k) => rowOf(k)[h]),
          color,
          dash: DASHES[name],
          wide: chosen ? 3 : 1.2,
          faint: !chosen,
          quiet: !chosen,
        });
      }
    }
    return lines.sort((p, q) => Number(q.faint) - Number(p.faint));
  }
  return {
    node,
    show(model, s, dark) {
      const step = model.pictured[s.at];
      const k = model.measuredAt(s.at);
      const logSteps = s.steps === "log";
      const color = dark ? onDark(data.colors.loss) : data.colors.loss;
      along.value = s.steps;
      const common = { logSteps, cursor: step };
      const lines = [{ name: "loss", steps: model.curves.steps, values: model.curves.loss, color, wide: 2.2 }];
      const levels = [{ name: "ln V, nothing known", value: model.chance }];
      loss.show({ ...common, name: "loss", lines, levels, log: true }, dark);
      for (const part of [controls, charts]) part.hidden = model.curves.steps.length < 2;
      scoresFigure.hidden = model.steps.length < 2;
      if (!scoresFigure.hidden)
        scores.show({ ...common, name: "scores", lines: scoreLines(model, s, dark), range: [0, 1] }, dark);
      scrubber.show(model.pictured, s.at);
      sentence.textContent = timeSentence(model, data.limits);
      now.textContent =
        `Shown: step ${step.toLocaleString("en")}, loss ${say(model.loss[k], 2)}, ` +
        `${fixed(100 * model.accuracy[k], 0)} % of the repeated tokens right.`;
      lack.textContent =
        model.steps.length > 1
          ? ""
          : "This sweep kept no snapshots, so scores through time are not known: train with " +
            "TrainConfig(snapshots=(0, 100, …)) to see them.";
      lack.hidden = !lack.textContent;
    },
  };
}
