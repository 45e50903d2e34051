// Unit tests of the feature viewer's modules: hand-made autoencoders whose pairs and scores are known.

import assert from "node:assert/strict";
import { test } from "node:test";

const page = new URL("../../superpos/explorer/page/", import.meta.url);
const { cosines, matches, nameOf, ordered, pairs, readSaeSweep } = await import(new URL("sae_sweep.js", page));
const { scale } = await import(new URL("scatter.js", page));
const { fixed } = await import(new URL("dom.js", page));
const { KINDS, percent } = await import(new URL("dictionary_kinds.js", page));
const { byFeature } = await import(new URL("dictionary_view.js", page));
const { onDark } = await import(new URL("color.js", page));

const codes = (kind, type) => (values, shape = [values.length]) => ({ type, shape, data: btoa(String.fromCharCode(...new Uint8Array(new kind(values).buffer))) });
const whole = codes(Int32Array, "i32");
/** Numbers in [0, 1] with sixteen bits. */
const numbers = (values, shape = [values.length]) => ({ ...codes(Uint16Array, "q16")(values.map((v) => (Number.isNaN(v) ? 65535 : Math.round(v * 65534))), shape), lo: 0, hi: 1, log: false });

/** Two axes as true features, and latents along some of them: [matched feature or −1, direction, F1, density]. */
function autoencoder(cell, latents, truth = 0) {
  const count = latents.length;
  return {
    cell, truth, left_out: 0, edges: [0.1, 1], index: whole(latents.map((_, l) => l + 10)), direction: numbers(latents.flatMap(([, d]) => d), [count, 2]),
    matched: whole(latents.map(([feature]) => feature)), nearest: whole(latents.map(() => 0)), nearest_cosine: numbers(latents.map(() => 1)),
    precision: numbers(latents.map(([, , f1]) => f1)), recall: numbers(latents.map(([, , f1]) => f1)), f1: numbers(latents.map(([, , f1]) => f1)),
    frequency: numbers(latents.map(([, , , density]) => density)), histogram: whole(latents.map(() => 3), [count, 1]),
    features: { index: whole(latents.flatMap(() => [1, -1]), [count, 2]), precision: numbers(latents.flatMap(() => [0.5, Number.NaN]), [count, 2]), recall: numbers(latents.flatMap(() => [0.25, Number.NaN]), [count, 2]) },
    neighbours: { index: whole(latents.map(() => -1), [count, 1]), cosine: numbers(latents.map(() => Number.NaN), [count, 1]) },
    top: { index: whole(latents.map(() => 1), [count, 1]), activation: numbers(latents.map(() => 1), [count, 1]) },
    samples: { index: whole(latents.map(() => 0), [count, 1]), activation: numbers(latents.map(() => 1), [count, 1]) },
    active: { count: whole([1, 2]), feature: whole([0, 0, 1]), value: numbers([1, 0.25, 0.75]) },
  };
}

const shown = [
  autoencoder(2, [[1, [0, 1], 0.95, 0.1], [0, [1, 0], 0.5, 0.2], [-1, [1, 1], Number.NaN, 0.3], [-1, [1, 0], Number.NaN, 0]]),
  autoencoder(0, [[0, [1, 0], 1, 0.02], [1, [1, 0.2], 0.4, 0.6]]),
  autoencoder(3, [[0, [1, 0], 1, 0.02]], 1),
];
const axis = { name: "k", label: "k", values: [1, 2], log: false };
const data = {
  n_cells: 4, n_inputs: 100, shown, truths: [0, 1].map(() => ({ directions: numbers([1, 0, 0, 1], [2, 2]), norms: numbers([1, 1]) })),
  axes: [{ ...axis, index: whole([0, 0, 1, 1]) }, { name: "sparsity_coefficient", label: "λ", values: [0.5, 1], index: whole([-1, -1, 0, 1]) }, { name: "seed", label: "seed", values: [0, 1], index: whole([0, 1, 0, 1]) }],
  architecture: { words: ["topk", "relu"], index: whole([0, 0, 1, 1]) }, architectures: { topk: ["TopK", "#E69F00"], relu: ["ReLU", "#0072B2"] },
  scores: [{ name: "f1", label: "F1", values: numbers([0.5, 0.6, 0.7, 0.8]) }], beside: {}, loss: numbers([1, 0.5, 1, 1]), sound: whole([1, 1, 1, 1]),
};
const saeSweep = readSaeSweep(data);
const [A, B, other] = [2, 0, 3].map((cell) => saeSweep.open(cell));

test("an autoencoder is read as it was packed", () => {
  assert.deepEqual([A.n, A.m, A.count, A.inputs], [2, 2, 4, 2]);
  assert.deepEqual(A.active(1).map(([i, v]) => [i, fixed(v)]), [[1, "0.75"], [0, "0.25"]]); // the strongest first
  assert.deepEqual(A.features(0).map(({ index, precision, recall }) => [index, fixed(precision), fixed(recall)]), [[1, "0.50", "0.25"]]);
  assert.deepEqual(A.neighbours(2), []);
  assert.deepEqual([0, 1, 2, 3].map(A.sort), ["clean", "partly", "surplus", "dead"]);
  assert.equal(saeSweep.open(1), null);
  assert.deepEqual([0, 3].map((cell) => nameOf(saeSweep, cell)), ["TopK, k 1, seed 0", "ReLU, k 2, λ 1, seed 1"]);
  assert.deepEqual(byFeature(A), [1, 0, 2, 3]);
});

test("latents are paired by the feature they find, everyone once", () => {
  const found = pairs(A, B, "feature");
  assert.deepEqual(found.map(({ a, b, feature }) => [a, b, feature]), [[1, 0, 0], [0, 1, 1], [2, -1, -1], [3, -1, -1]]);
  assert.ok(Math.abs(found[1].cosine - 0.2 / Math.hypot(1, 0.2)) < 1e-4);
  assert.deepEqual(pairs(A, null).map(({ a, b }) => [a, b]), [[0, -1], [1, -1], [2, -1], [3, -1]]);
  assert.equal(KINDS.autoencoder.tally(A, B), "With F1 of 0.9 or more, A finds 1 feature and B 1. Of 2 features matched in both, B is better at 1.");
  assert.ok(KINDS.autoencoder.tally(other, A).endsWith("Of 1 feature matched in both, B is better at 0."));
});

test("or by the cosine of their directions, the largest first, where these can be compared", () => {
  assert.deepEqual(pairs(A, B, "cosine").slice(0, 2).map(({ a, b }) => [a, b]), [[1, 0], [3, 1]]); // 11° apart; by feature it would be 79°
  const apart = pairs(A, other, "cosine"); // another hidden layer: by feature
  assert.deepEqual([apart[0].a, apart[0].b, apart[0].cosine], [1, 0, Number.NaN]);
});

test("cosines are those of unit vectors, and 0 for no vector", () => {
  assert.deepEqual(Array.from(cosines([3, 4, 0, 0], [4, 3, -3, -4], 2), (v) => fixed(v)), ["0.96", "−1.00", "0.00", "0.00"]);
});

test("a search is for numbers, sorts and comparisons", () => {
  const rows = pairs(A, null);
  const found = (query) => rows.filter((r) => matches(r, [[A, r.a]], query)).map((r) => A.index[r.a]);
  assert.deepEqual(found(""), [10, 11, 12, 13]);
  assert.deepEqual([found("11"), found("latent 11"), found("feature 1"), found("f1"), found("Feature 1 latent 11")], [[11], [11], [10], [10], []]);
  assert.deepEqual([found("dead"), found("f1 < 0.9"), found("density>15%"), found("density > 0.15 dead")], [[13], [11], [11, 12], []]);
  assert.deepEqual(found("<script> (*"), []);
});

test("rows without a number come last in both directions", () => {
  const [keys, key] = [[2, Number.NaN, 3, 1], (v) => v];
  assert.deepEqual(ordered(keys, key, true), [1, 2, 3, Number.NaN]);
  assert.deepEqual(ordered(keys, key, false), [3, 2, 1, Number.NaN]);
});

test("scales hold their numbers and mark round ones", () => {
  for (const values of [[0, 0.82, Number.NaN], [1e-3, 5, 0.2], [7, 7], [-3, 900]]) {
    const { to, ticks } = scale(values);
    for (const v of values) assert.ok(Number.isNaN(v) || (to(v) > 0 && to(v) < 1), `${v}`);
    assert.ok(ticks.length >= 2 && ticks.length <= 8, JSON.stringify(ticks));
  }
  assert.deepEqual(scale([0, 1], ["a", "b"]).ticks, [[0, "a"], [1, "b"]]);
});

test("numbers are written for people", () => {
  assert.deepEqual([fixed(-0.001), fixed(-1.5, 1), fixed(Number.NaN)], ["0.00", "−1.5", "–"]);
  assert.deepEqual([percent(0), percent(0.0004), percent(0.0123), percent(0.996), percent(1)], ["0 %", "<0.1 %", "1.2 %", "99.6 %", "100 %"]);
  assert.deepEqual([onDark("#000000"), onDark("#0072B2")], ["#f2f2f2", "rgb(77,156,201)"]);
});
