// Unit tests of the pages of transformers: models by hand, whose phases, circles and heads are known.

import assert from "node:assert/strict";
import { test } from "node:test";

const page = new URL("../../superpos/explorer/page/", import.meta.url);
const module = (name) => import(new URL(name, page));
const { nearestStep, powerOfTen, ticksOf } = await module("chart.js");
const { aroundCircle } = await module("circle.js");
const { bandsOf, linesOf } = await module("grokking.js");
const { headsSentence, kindsAt, scoresOnSequence, timeSentence } = await module("induction_words.js");
const words = await module("modular_words.js");
const { sameSetting, whatIsMissing } = await module("transformer_sweep.js");

const grokked = {
  p: 7, count: 3, neurons: 4, operation: "addition", keys: [2], circles: [2], pictured: [0, 100],
  phases: { memorised: 20, circuit: 60, clean: 80 },
  final: { train_accuracy: 1, test_accuracy: 1 },
  curves: { steps: [0, 50, 100], train_loss: [2, 1, 0.1], test_loss: [2, 3, 0.1] },
  measures: { steps: [0, 50, 100], restricted_loss: [2, 1, 0.1] },
  turning_by_chance: 0.6,
  energyAt: () => [0.1, 0.85, 0.05],
  turningAt: (at) => (at ? 0.99 : 0.5),
  frequencyAt: () => [2, 2, 1, 3],
  explainedAt: (at) => (at ? [0.9, 0.95, 0.99, 0.2] : [0.1, 0.2, 0.3, 0.4]),
};
const unknown = { memorised: null, circuit: null, clean: null };

test("ticks are powers of ten, or few round numbers, and steps are found", () => {
  assert.deepEqual([-6, 0, 1, 12].map(powerOfTen), ["10⁻⁶", "1", "10", "10¹²"]);
  assert.deepEqual(ticksOf(1e-7, 20, true, 5).map(([, text]) => text), ["10⁻⁶", "10⁻⁴", "10⁻²", "1"]);
  assert.deepEqual(ticksOf(0.22, 4.2, true, 5).map(([v]) => v), [0.5, 1, 2]);
  assert.deepEqual(ticksOf(1.6, 2.1, true, 5).map(([, text]) => text), ["1.6", "1.7", "1.8", "1.9", "2", "2.1"]);
  assert.deepEqual(ticksOf(0, 6000, false, 4).map(([, text]) => text), ["0", "2,000", "4,000", "6,000"]);
  assert.deepEqual([nearestStep([0, 10, 30], 19), nearestStep([0, 10, 30], 99)], [1, 2]);
});

test("neighbours on the circle of a frequency are one p-th of a turn apart", () => {
  assert.deepEqual(aroundCircle(7, 3), [0, 5, 3, 1, 6, 4, 2]);
  for (const k of [1, 2, 3, 5]) {
    const around = aroundCircle(11, k);
    assert.deepEqual(around.map((a) => (a * k) % 11), Array.from({ length: 11 }, (_, i) => i));
  }
});

test("phases lie between their ends, and what never came is not drawn", () => {
  const names = ["memorisation", "circuit formation", "clean-up"];
  assert.deepEqual(bandsOf(grokked, names).map(({ from, to }) => [from, to]), [[0, 20], [20, 60], [60, 80]]);
  assert.deepEqual(bandsOf({ ...grokked, phases: { ...grokked.phases, clean: null } }, names).at(-1).to, 100);
  assert.deepEqual(bandsOf({ ...grokked, phases: unknown }, names), []);
  assert.deepEqual([0, 20, 60, 80].map((step) => words.phaseAt(grokked, step)), [...names, "after the clean-up"]);
  assert.equal(words.phaseAt({ phases: unknown }, 5), "");
  assert.deepEqual(linesOf(grokked, "loss", () => "red").map(({ name }) => name), ["train", "test", "restricted"]);
});

test("sentences say how a model learned", () => {
  assert.match(words.learningSentence(grokked), /^It memorises until step 20, .* until step 60, and from step 80 on/);
  const plain = { ...grokked, phases: unknown, final: { train_accuracy: 1, test_accuracy: 0.1234 } };
  assert.equal(
    words.learningSentence(plain),
    "After 100 steps it answers 100\u00a0% of the training pairs and 12\u00a0% of the others: it has memorised.",
  );
  assert.match(words.learningSentence({ ...grokked, phases: { ...grokked.phases, clean: null } }), /clean-up is not over/);
  assert.deepEqual([1, 0.9999, 0.5, 0.0001, 0].map(words.percentage), ["100\u00a0%", "99.9\u00a0%", "50\u00a0%", "0.1\u00a0%", "0\u00a0%"]);
  assert.equal(words.lackSentence(grokked), "");
  assert.match(words.lackSentence({ ...grokked, operation: "multiplication" }), /this task is a · b\./);
  assert.match(words.lackSentence({ ...grokked, measures: { steps: [100] } }), /kept no snapshots/);
});

test("sentences say what spectrum, circle and neurons show", () => {
  assert.equal(words.spectrumSentence(grokked, 1), "The key frequency 2 holds 85\u00a0% of the embedding's energy.");
  assert.equal(words.spectrumSentence({ ...grokked, keys: [1, 2] }, 1), "The energy is spread: 2 of 3 frequencies count as key.");
  assert.match(words.spectrumSentence({ ...grokked, keys: [] }, 1), /^No frequency of 3 is key/);
  assert.match(words.circleSentence(grokked, 1, 0, 2), /lie on a circle: 99\u00a0% .* turns by 103° from .* \(by chance 60\u00a0% would\)\.$/);
  assert.match(words.circleSentence(grokked, 0, 0, 2), /lie on no circle/);
  assert.match(words.circleSentence({ ...grokked, turningAt: () => 0.86 }, 0, 0, 2), /lie roughly on a circle/);
  assert.equal(words.neuronSentence(grokked, 1, 0.85), "3 of 4 neurons (75\u00a0%) follow one frequency, 2 of them a key frequency.");
  assert.match(words.neuronSentence(grokked, 0, 0.85), /^No neuron of 4 follows one frequency/);
});

/** Two layers of one head; the first looks one back, the second at what followed the same token. */
const heads = {
  layers: 2, heads: 1, all: 2, period: 2, drawn: 5, tokens: [4, 7, 4, 7, 4], steps: [0, 10, 20, 30], pictured: [30],
  loss: [2, 2, 0.2, 0.1], chance: 2, fall: [11, 15, 19.6],
  previousAt: (at) => (at ? [0.9, 0.1] : [0.3, 0.3]),
  inductionAt: (at) => (at ? [0.1, 0.8] : [0.2, 0.2]),
  patternAt: (at, h) => (query, key) => (h === 0 ? Number(key === query - 1) : query < 2 ? 0 : 0.75 * Number(key === query - 1) + 0.25 * Number(key === 0)),
};
const limits = { previous: 0.5, induction: 0.6 };

test("heads are named by their scores, and the change is told", () => {
  assert.deepEqual(kindsAt(heads, 1, limits), { previous: [0], induction: [1] });
  assert.equal(headsSentence(heads, 1, limits), "Head 0.0 is a previous-token head; head 1.0 is an induction head.");
  assert.match(headsSentence(heads, 0, limits), /^None of the 2 heads/);
  assert.equal(
    timeSentence(heads, limits),
    "Between step 11 and step 20 the loss makes most of its way from 2 to 0.1, and the induction score of head 1.0 rises " +
      "from 0.20 to 0.80.",
  );
  assert.match(timeSentence({ ...heads, inductionAt: () => [0.1, 0.2] }, limits), /no head is an induction head, .* 0\.20\.$/);
});

test("scores on a sequence are those of the definitions", () => {
  assert.equal(scoresOnSequence(heads, 0, 0).previous, 1);
  // Of 4 7 4 7 4: query 2 has what followed a 4 at 1, query 3 that of 7 at 2, query 4 that of 4 at 1 and at 3.
  assert.equal(scoresOnSequence(heads, 0, 1).induction, 0.75);
  assert.ok(Number.isNaN(scoresOnSequence({ ...heads, tokens: [1, 2, 3, 4, 5] }, 0, 1).induction));
});

test("a cell of which there are only numbers is replaced by one of its setting, and the page says so", () => {
  const sweep = {
    axes: [{ name: "weight_decay" }, { name: "seed" }], index: [[0, 0, 1, 1], [0, 1, 0, 1]], shown: [0, 3], nCells: 4,
    sound: [1, 1, 1, 1], cells: { loss: { values: [1, 2, 3, 0.5] } },
  };
  assert.deepEqual([1, 2].map((cell) => sameSetting(sweep, cell)), [0, 3]);
  assert.equal(sameSetting({ ...sweep, shown: [3] }, 1), 3);
  assert.match(whatIsMissing(sweep), /^2 of 4 models are on this page in full/);
  assert.equal(whatIsMissing({ ...sweep, shown: [0, 1, 2, 3] }), "");
  assert.equal(whatIsMissing({ ...sweep, shown: [0, 1, 2], sound: [1, 1, 1, 0] }), "1 diverged or is missing.");
});
