// The page of models that predict repeated tokens: where their heads look, and when they began to.

import { decode } from "./decode.js";
import { createHeads } from "./heads.js";
import { createHeadTime } from "./head_time.js";
import { INDUCTION_MEANING } from "./induction_words.js";
import { createPattern } from "./pattern.js";
import { startTransformers } from "./transformer_page.js";

const LEVELS = 255; // of attention, from 0 to 1

/** One model of the page's data: arrays by their place in training. */
export function readInduction(one) {
  const [previous, induction, pattern] = [decode(one.previous), decode(one.induction), decode(one.pattern)];
  const tokens = decode(one.tokens).values;
  const size = pattern.shape.at(-1);
  return {
    ...one,
    tokens,
    drawn: tokens.length,
    all: one.layers * one.heads,
    curves: { steps: one.curves.steps, loss: decode(one.curves.loss).values },
    loss: decode(one.loss).values,
    accuracy: decode(one.accuracy).values,
    /** Scores of all heads, layer by layer, at one of `steps`. */
    previousAt: previous.row,
    inductionAt: induction.row,
    /** The place in `steps` of one of the pictured ones. */
    measuredAt: (at) => one.steps.indexOf(one.pictured[at]),
    /** Attention of head `h` at one of the pictured steps, as a function of query and key. */
    patternAt(at, h) {
      const lower = pattern.row(at).subarray(h * size, (h + 1) * size);
      return (query, key) => (key > query ? 0 : lower[(query * (query + 1)) / 2 + key] / LEVELS);
    },
  };
}

/** Fill `root` with the page; see `startTransformers`. */
export function start(root, text, options = {}) {
  startTransformers(root, text, options, {
    read: readInduction,
    lossName: "loss",
    colorings: { loss: "loss", accuracy: "accuracy" },
    defaults: { head: -1, steps: "linear" },
    meanings: INDUCTION_MEANING,
    sanitize(s, model) {
      if (!(Number.isInteger(s.head) && s.head >= 0 && s.head < model.all)) s.head = bestHead(model);
      if (!["linear", "log"].includes(s.steps)) s.steps = "linear";
    },
    cards: (state, data) => {
      const onpick = (head) => state.set({ head });
      return [
        createHeadTime({ state, data }),
        createHeads({ data, onpick }),
        createPattern({ data, onpick }),
      ];
    },
  });
}

/** The head of highest induction score in the end. */
export function bestHead(model) {
  const scores = model.inductionAt(model.steps.length - 1);
  return scores.indexOf(Math.max(...scores));
}
