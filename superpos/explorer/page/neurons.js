// Which frequency every neuron follows, and how much of it that explains.

import { el, fixed } from "./dom.js";
import { neuronSentence, percentage } from "./modular_words.js";
import { createFrequencyAxis, explainedWord, keyColors, keyLegend } from "./spectrum.js";
import { createCard } from "./transformer_page.js";

/** How far the n-th of several dots at one place is moved aside, from −0.5 to 0.5: even, and the same every time. */
export const aside = (n) => ((n * 0.618034) % 1) - 0.5;

/** The card. */
export function createNeurons({ data }) {
  const { single } = data.limits;
  const sentence = el("p", { class: "sees" });
  const legend = el("div", { class: "legend" });
  let [model, at, isDark] = [null, 0, false];
  const axis = createFrequencyAxis({
    told: (k) => {
      const explained = model.explainedAt(at);
      const of = Array.from(model.frequencyAt(at).entries()).filter(([, frequency]) => frequency === k);
      const mean = of.reduce((sum, [n]) => sum + explained[n], 0) / of.length;
      const share = of.length ? `, of whose variance it explains ${percentage(mean)} on average` : "";
      return `Frequency ${k}: best for ${of.length} of ${model.neurons} neurons${share}`;
    },
    draw,
  });
  const facts = el("p", { class: "facts" }, explainedWord("share of variance"));
  const node = createCard("neurons", "Neurons by frequency", sentence, axis.canvas, legend, axis.readout, facts);

  function draw() {
    const place = axis.frame({
      n: model.count,
      keys: model.keys,
      most: 1,
      up: "share of variance",
      across: "best frequency k of each neuron",
      dark: isDark,
    });
    const { context, x, y, soft, size } = place;
    context.strokeStyle = soft;
    context.setLineDash([4, 3]);
    context.strokeRect(x(0.5), y(single), x(model.count + 0.5) - x(0.5), 0);
    context.setLineDash([]);
    context.fillStyle = soft;
    context.textAlign = "right";
    context.fillText(fixed(100 * single, 0).concat(" %"), x(model.count + 0.5), y(single) - 0.3 * size);
    const [frequency, explained] = [model.frequencyAt(at), model.explainedAt(at)];
    const [key, other] = keyColors(isDark);
    const wide = Math.max(2, Math.min(0.9 * place.step, 40));
    const seen = new Map();
    context.globalAlpha = 0.75;
    for (const [n, k] of frequency.entries()) {
      const rank = seen.get(k) ?? 0;
      seen.set(k, rank + 1);
      context.fillStyle = model.keys.includes(k) ? key : other;
      context.beginPath();
      context.arc(x(k) + aside(rank) * wide, y(explained[n]), 2.4, 0, 2 * Math.PI);
      context.fill();
    }
    context.globalAlpha = 1;
  }
  return {
    node,
    show(next, s, dark) {
      [model, at, isDark] = [next, s.at, dark];
      draw();
      axis.refresh();
      sentence.textContent = neuronSentence(model, at, single);
      legend.replaceChildren(...keyLegend(dark), el("small", {}, "A dot is a neuron."));
      axis.canvas.setAttribute(
        "aria-label",
        "Neurons by the frequency that explains most of each, and how much it explains. Arrow keys read it out.",
      );
    },
  };
}
