// The page of models that calculate modulo p: how each learned it, and the frequencies it did it with.

import { decode } from "./decode.js";
import { createCircle } from "./circle.js";
import { createGrokking } from "./grokking.js";
import { MODULAR_MEANING } from "./modular_words.js";
import { createNeurons } from "./neurons.js";
import { createSpectrum } from "./spectrum.js";
import { startTransformers } from "./transformer_page.js";

/** One model of the page's data: arrays by their place in training. */
export function readModular(one) {
  const decoded = (names, from) =>
    Object.fromEntries(names.filter((name) => from[name]).map((name) => [name, decode(from[name]).values]));
  const curves = ["train_loss", "test_loss", "train_accuracy", "test_accuracy"];
  const circle = decode(one.circle);
  const turning = decode(one.turning);
  const explained = decode(one.neuron_explained);
  const size = 2 * one.p;
  return {
    ...one,
    count: (one.p - 1) / 2,
    neurons: explained.shape[1],
    curves: { steps: one.curves.steps, ...decoded(curves, one.curves) },
    measures: {
      steps: one.measures.steps,
      ...decoded(["restricted_loss", "excluded_loss", "restricted_accuracy"], one.measures),
    },
    energyAt: decode(one.energy).row,
    frequencyAt: decode(one.neuron_frequency).row,
    explainedAt: explained.row,
    /** Points x, y of the numbers 0 … p − 1 in the plane of one of the circles. */
    circleAt: (at, k) => circle.row(at).subarray(k * size, (k + 1) * size),
    turningAt: (at, k) => turning.row(at)[k],
  };
}

/** Fill `root` with the page; see `startTransformers`. */
export function start(root, text, options = {}) {
  startTransformers(root, text, options, {
    read: readModular,
    lossName: "test loss",
    colorings: { loss: "test loss", accuracy: "test accuracy" },
    defaults: { freq: 0, of: "loss", steps: "linear" },
    meanings: MODULAR_MEANING,
    sanitize(s, model) {
      if (!model.circles.includes(s.freq)) s.freq = strongest(model);
      if (!["loss", "accuracy"].includes(s.of)) s.of = "loss";
      if (!["linear", "log"].includes(s.steps)) s.steps = "linear";
    },
    cards: (state, data) => {
      const onpick = (freq) => state.set({ freq });
      return [
        createGrokking({ state, data }),
        createSpectrum({ data, onpick }),
        createCircle({ onpick }),
        createNeurons({ data }),
      ];
    },
  });
}

/** The frequency that holds most of the embedding in the end, of those whose circle is here. */
export function strongest(model) {
  const energy = model.energyAt(model.pictured.length - 1);
  return model.circles.reduce((p, q) => (energy[q - 1] > energy[p - 1] ? q : p));
}
