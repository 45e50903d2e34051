// Unit tests of the page's modules: closed forms, finite differences, round trips.

import assert from "node:assert/strict";
import { test } from "node:test";

const page = new URL("../../superpos/explorer/page/", import.meta.url);
const { Trainer, randomFrom, normalFrom } = await import(new URL("toy.js", page));
const { measure, gaps, hull, project } = await import(new URL("measure.js", page));
const { assign, eigen, multiply, nearestOrthogonal } = await import(new URL("algebra.js", page));
const { alignTo, createAligner } = await import(new URL("align.js", page));
const { onTheSilent, reconstruct, meetings } = await import(new URL("reconstruct.js", page));
const { shareInWords, shapesInWords } = await import(new URL("sentences.js", page));
const { denseAside } = await import(new URL("asides.js", page));
const { toLink, fromLink } = await import(new URL("state.js", page));
const { decode } = await import(new URL("decode.js", page));
const { shareInPercent } = await import(new URL("landscape_view.js", page));
const { Ensemble } = await import(new URL("ensemble.js", page));

const polygon = (n, length = 1) => [Math.cos, Math.sin].flatMap((f) => Array.from({ length: n }, (_, i) => length * f((2 * Math.PI * i) / n + 0.3)));
const near = (a, b, tolerance = 1e-9) => assert.ok(Math.abs(a - b) <= tolerance, `${a} is not ${b}`);

test("a polygon of n features has D = 2/n each, and fills the plane", () => {
  for (const n of [3, 5, 6, 7, 8]) {
    const { D, packing, norms } = measure(polygon(n, 1.1), 2, n);
    for (const d of D) near(d, 2 / n);
    near(packing, 1);
    near(norms[0], 1.1);
    for (const gap of gaps(polygon(n), n)) near(gap, 360 / n);
  }
});

test("a dead feature has no dimension, and zero weights no numbers that are none", () => {
  const { D } = measure([1, 0.01, 0, 0], 2, 2);
  near(D[0], 1 / 1.0001);
  assert.equal(D[1], 0);
  assert.deepEqual([...measure([0, 0, 0, 0], 2, 2).D], [0, 0]);
});

test("the nearest rotation undoes a rotation, also of directions that do not fill their space", () => {
  const normal = normalFrom(randomFrom(5));
  const Q = nearestOrthogonal(Float64Array.from({ length: 9 }, normal), 3);
  const square = multiply(Q, Float64Array.from({ length: 9 }, (_, at) => Q[(at % 3) * 3 + Math.floor(at / 3)]), 3, 3, 3);
  for (let k = 0; k < 9; k++) near(square[k], k % 4 === 0 ? 1 : 0, 1e-12);
  for (const flat of [1, 0]) {
    const B = Float64Array.from({ length: 12 }, (_, k) => (k < 8 ? normal() : flat * normal()));
    const A = multiply(Q, B, 3, 3, 4);
    const { at } = alignTo(A, B, 3, 4, [0, 1, 2, 3]);
    for (let k = 0; k < 12; k++) near(at[k], A[k], 1e-9);
  }
});

test("an assignment costs no more than any other", () => {
  const random = randomFrom(8);
  const costs = Float64Array.from({ length: 25 }, random);
  const total = (order) => order.reduce((sum, j, i) => sum + costs[i * 5 + j], 0);
  const orders = (rest) => (rest.length ? rest.flatMap((j) => orders(rest.filter((k) => k !== j)).map((tail) => [j].concat(tail))) : [[]]);
  near(total([...assign(costs, 5)]), Math.min(...orders([0, 1, 2, 3, 4]).map(total)), 1e-12);
});

test("a pentagon in another order and mirrored comes to rest on the one before, but unequal features stay where they are", () => {
  const before = Float64Array.from(polygon(5));
  const order = [2, 0, 4, 1, 3];
  const after = Float64Array.from({ length: 10 }, (_, k) => (k < 5 ? -1 : 1) * before[(k < 5 ? 0 : 5) + order[k % 5]]);
  const { at, match } = alignTo(before, after, 2, 5, [0, 0, 0, 0, 0]);
  for (let i = 0; i < 5; i++) for (const d of [0, 5]) near(at[d + i], before[d + match[i]], 1e-9);
  assert.deepEqual([...alignTo(before, after, 2, 5, [0, 1, 2, 3, 4]).match], [0, 1, 2, 3, 4]);
  const placed = createAligner(null);
  placed({ W: before, m: 2, n: 5 }, "a");
  assert.deepEqual([...placed({ W: after, m: 2, n: 5 }, "b").at], [...after]);
});

test("what one pentagon feature lays on the others, and what ReLU cuts off", () => {
  const { read, output, interference } = reconstruct({ W: polygon(5), b: [0, -0.1, 0, 0, 0], m: 2, n: 5 }, [1, 0, 0, 0, 0]);
  near(read[0], 1);
  near(interference[0], 0);
  near(read[1], Math.cos((2 * Math.PI) / 5));
  near(output[1], read[1] - 0.1);
  near(output[2], 0);
  const { silent, before, below, after } = onTheSilent({ read, output }, [1, 0, 0, 0, 0]);
  assert.equal(silent, 4);
  near(before, 2 * Math.cos(0.4 * Math.PI) - 2 * Math.cos(0.8 * Math.PI));
  near(below, -2 * Math.cos(0.8 * Math.PI));
  near(after, 2 * Math.cos(0.4 * Math.PI) - 0.1);
  near(meetings(2, 0.1), 0.01);
});

test("sentences", () => {
  const of = (name, represented, n = 5) => ({ n, m: 2, name, represented, norms: Float64Array.from({ length: n }, (_, i) => (i < represented ? 1 : 0)), D: new Float64Array(n).fill(2 / represented) });
  assert.equal(shareInWords(of("pentagon", 5)), "5 features share 2 dimensions as a pentagon: each keeps 0.40 of one.");
  assert.equal(shareInWords(of("2 × antipodal pair", 4)), "4 features share 2 dimensions as 2 antipodal pairs: each keeps 0.50 of one; 1 is left out.");
  assert.equal(shareInWords(of("2 × dedicated", 2)), "2 features have a dimension each: each keeps 1.00 of one; 3 are left out.");
  const askew = { ...of("irregular (2 features, 2 dimensions)", 2), D: [0.8, 0.8, 0.2, 0.15, 0.05] };
  assert.equal(shareInWords({ ...askew, packing: 1 }), "5 features fill 2 dimensions in no regular shape: they keep 0.05 to 0.80 of one each.");
  assert.match(shareInWords({ ...askew, D: [0.8, 0.8, 0.4, 0, 0], packing: 1 }), /^3 features fill .* 0.40 to 0.80 of one each; 2 are left out.$/);
  assert.equal(shareInWords({ ...askew, packing: 0.9 }), "2 features use 2 dimensions in no regular shape: each keeps 0.80 of one; 3 are left out.");
  assert.equal(shareInWords(of("nothing represented", 0)), "None of the 5 features is represented.");
  assert.equal(shapesInWords("octagon + 2 × tetrahedron + dedicated"), "an octagon, 2 tetrahedra and a dedicated direction");
});

test("dense features leave it to chance where starts end, as long as they matter equally and lose the same", () => {
  const sweep = (loss, equal) => ({ cells: { loss: { values: loss } }, model: { equal } });
  const view = { n: 2, name: "irregular (2 features, 1 dimension)", density: 1 };
  const equal = sweep([0.05, 0.0501, 0.06], [0, 0]);
  assert.match(denseAside(view, equal, [0, 1]), /These 2 starts differ by 0\.2 % in loss/);
  assert.match(denseAside(view, equal, [0, 0]), /less than 0\.1 %/);
  for (const other of [{ density: 0.5 }, { density: null }, { name: "2 × dedicated" }]) assert.equal(denseAside({ ...view, ...other }, equal, [0, 1]), "");
  assert.equal(denseAside(view, equal, [0, 2]), "");
  assert.equal(denseAside(view, equal, [0]), "");
  assert.equal(denseAside(view, sweep([0.05, 0.0501], [0, 1]), [0, 1]), "");
});

test("hulls of a tetrahedron, an octahedron and a cube have 4 triangles, 8 triangles and 6 squares", () => {
  const signs = [-1, 1];
  const cube = signs.flatMap((x) => signs.flatMap((y) => signs.map((z) => [x, y, z])));
  const octahedron = [0, 1, 2].flatMap((d) => signs.map((s) => [0, 1, 2].map((k) => (k === d ? s : 0))));
  const tetrahedron = cube.filter(([x, y, z]) => x * y * z > 0);
  const sizes = (points) => hull(points).map((face) => face.length);
  assert.deepEqual(sizes(tetrahedron), Array(4).fill(3));
  assert.deepEqual(sizes(octahedron), Array(8).fill(3));
  assert.deepEqual(sizes(cube), Array(6).fill(4));
});

test("eigenvectors are orthogonal and belong to their values; a projection keeps its share", () => {
  const normal = normalFrom(randomFrom(3));
  const A = new Float64Array(16);
  for (let i = 0; i < 4; i++) for (let j = i; j < 4; j++) A[i * 4 + j] = A[j * 4 + i] = normal();
  const { values, vectors } = eigen(A, 4);
  for (const [k, v] of vectors.entries()) {
    for (let i = 0; i < 4; i++) near([0, 1, 2, 3].reduce((sum, j) => sum + A[i * 4 + j] * v[j], 0), values[k] * v[i], 1e-9);
    near(v.reduce((sum, x) => sum + x * x, 0), 1);
  }
  const W = Float64Array.from({ length: 20 }, normal);
  const { W: P, share } = project(W, 4, 5);
  const squares = (M) => M.reduce((sum, x) => sum + x * x, 0);
  near(squares(P) / squares(W), share, 1e-9);
});

test("gradients are those of finite differences of the loss", () => {
  const settings = { n: 4, m: 3, decay: 0.7 };
  const trainer = new Trainer(settings, 5);
  const random = randomFrom(9);
  trainer.b.set([0.1, -0.05, 0.2, 0]);
  const rows = Float64Array.from({ length: 4 * 50 }, () => (random() < 0.3 ? random() : 0));
  trainer.given(rows);
  const [gW, gb] = [trainer.gW.slice(), trainer.gb.slice()];
  const slope = (values, i) => {
    const kept = values[i];
    values[i] = kept + 1e-6;
    const up = trainer.given(rows);
    values[i] = kept - 1e-6;
    const down = trainer.given(rows);
    values[i] = kept;
    return (up - down) / 2e-6;
  };
  for (let i = 0; i < gW.length; i++) near(gW[i], slope(trainer.W, i), 1e-7);
  for (let i = 0; i < 3; i++) near(gb[i], slope(trainer.b, i), 1e-7); // b[3] sits on the kink
});

test("draws have the density and the moments that are asked for, and rows of zeros are counted", () => {
  const trainer = new Trainer({ n: 4, m: 2, p: 0.2, batch: 20000 }, 11);
  trainer.W.fill(0);
  trainer.b.set([0.5, 0.5, 0.5, 0.5]); // loss: E (x − 1/2)² = p/3 − p/2 + 1/4
  near(trainer.sampled(), 0.2 / 3 - 0.1 + 0.25, 4 * 0.0005);
  for (const p of [0.05, 0.6, 1]) {
    const counter = new Trainer({ n: 4, m: 2, p, batch: 5000 }, 2);
    counter.W.fill(0);
    counter.b.set([1e-9, 1e-9, 1e-9, 1e-9]); // loss: E x² = p/3
    near(counter.sampled(), p / 3, 4 * Math.sqrt((p / 5 - p * p / 9) / 20000));
  }
  const random = randomFrom(1);
  const draws = Float64Array.from({ length: 40000 }, random);
  near(draws.reduce((a, b) => a + b, 0) / 40000, 0.5, 4 * 0.289 / 200);
  const normal = normalFrom(random);
  const normals = Float64Array.from({ length: 40000 }, normal);
  near(normals.reduce((a, b) => a + b * b, 0) / 40000, 1, 4 * Math.SQRT2 / 200);
});

test("five features find a pentagon in two dimensions", () => {
  const trainers = [1, 2, 3, 4, 5, 6].map((seed) => new Trainer({ steps: 800 }, seed));
  for (const trainer of trainers) while (!trainer.done) trainer.step();
  const best = trainers.reduce((a, b) => (b.mean < a.mean ? b : a));
  const between = gaps(best.W, 5);
  assert.equal(between.length, 5);
  for (const gap of between) near(gap, 72, 3);
});

test("an ensemble posts every slice, trains on under new settings and stops at its steps", async () => {
  const told = [];
  await new Promise((resolve) => {
    const ensemble = new Ensemble((state) => {
      told.push(state);
      if (state.done) resolve();
    });
    ensemble.onMessage({ start: { steps: 60, batch: 8 }, run: 4, seed: 1, count: 2 });
    ensemble.onMessage({ change: { p: 0.5 } });
  });
  assert.equal(told.at(-1).step, 60);
  assert.equal(told.at(-1).models.length, 2);
  assert.ok(told.every((state) => state.run === 4));
});

test("an ensemble pauses, goes one step at a time, and slowly", async () => {
  const posted = [];
  const ensemble = new Ensemble((state) => posted.push(state));
  ensemble.onMessage({ start: { steps: 50, batch: 8 }, run: 1, seed: 1, count: 2, paused: true, pace: "slowest" });
  ensemble.onMessage({ step: 1 });
  ensemble.onMessage({ step: 1 });
  await new Promise((resolve) => { setTimeout(resolve, 200); });
  assert.deepEqual(posted.map(({ step, paused }) => [step, paused]), [[0, true], [1, true], [2, true]]);
  ensemble.onMessage({ pause: false });
  assert.equal(posted.at(-1).step, 3);
  ensemble.onMessage({ pause: true });
  ensemble.onMessage({ change: { p: 0.5 } });
  assert.equal(posted.length, 4);
});

test("links hold what differs, and what they say wrongly is dropped", () => {
  const defaults = { cell: 3, color: "shape", ask: false, yaw: 0.5 };
  assert.equal(toLink(defaults, defaults), "");
  const state = { cell: 7, color: "a&b=<c>", ask: true, yaw: -1.25 };
  assert.deepEqual(fromLink(toLink(state, defaults), defaults), state);
  assert.deepEqual(fromLink("cell=x&yaw=Infinity&nothing=1&__proto__=2&cell=", defaults), defaults);
});

test("coded numbers are read back", () => {
  const data = btoa(String.fromCharCode(0, 0, 254, 255, 255, 255));
  const { values } = decode({ type: "q16", shape: [3], lo: -1, hi: 1, log: false, data });
  assert.deepEqual([...values], [-1, 1, Number.NaN]);
  assert.equal(decode(null), null);
});

test("shares of starts are whole percents, and none or few are said as such", () => {
  assert.deepEqual([0, null, 0.004, 0.01, 0.584, 1].map(shareInPercent), ["no start", "no start", "< 1 %", "1 %", "58 %", "100 %"]);
});
