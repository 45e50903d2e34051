// A sweep of sparse autoencoders from the page's data: scores of all, latents of those that are kept.

import { say, short } from "./dom.js";
import { decode, decodeWords } from "./decode.js";
import { EXCLUSIVE_ABOVE, KINDS, unitOf } from "./dictionary_kinds.js";

/** The whole page. */
export function readSaeSweep(data) {
  const axes = data.axes.map((axis) => ({ ...axis, index: decode(axis.index).values }));
  const scores = data.scores.map((score) => ({ ...score, values: decode(score.values).values }));
  const beside = Object.fromEntries(Object.entries(data.beside).map(([name, coded]) => [name, decode(coded).values]));
  const loss = decode(data.loss).values;
  const opened = new Map();
  const kind = data.dictionaries ?? "autoencoder";
  const models = data.shown[0]?.shares ? decode(data.shown[0].shares).shape[1] : 0;
  const saeSweep = {
    kind,
    one: KINDS[kind].one,
    sorts: KINDS[kind].sorts(models),
    chief: data.chief ?? "f1",
    note: data.note ?? "",
    signed: kind === "transcoder" && Boolean(data.truths[0]?.targets),
    axes,
    scores,
    beside,
    loss,
    nCells: data.n_cells,
    nInputs: data.n_inputs,
    architectures: data.architectures,
    architecture: decodeWords(data.architecture),
    sound: decode(data.sound).values,
    shown: data.shown.map((one) => one.cell),
    score: (name) => scores.find((score) => score.name === name),
  };
  const place = new Map(data.shown.map((one, k) => [one.cell, k]));
  saeSweep.has = (cell) => place.has(cell);
  /** The latents of one autoencoder, read when first asked for. */
  saeSweep.open = (cell) => {
    if (!place.has(cell)) return null;
    if (!opened.has(cell)) {
      const one = data.shown[place.get(cell)];
      opened.set(cell, readOne(one, data.truths[one.truth], kind));
    }
    return opened.get(cell);
  };
  return saeSweep;
}

/** One autoencoder: arrays over latents, of which `latent` is the number in the model and `row` the place here. */
export function readOne(one, truth, kind = "autoencoder") {
  const numbers = (coded) => decode(coded).values;
  const directions = decode(truth.directions);
  const [n, m] = directions.shape;
  const count = numbers(one.active.count);
  const first = new Int32Array(count.length + 1);
  for (let t = 0; t < count.length; t++) first[t + 1] = first[t] + count[t];
  const [feature, value] = [numbers(one.active.feature), numbers(one.active.value)];
  const index = numbers(one.index);
  const lists = (coded) => ({
    index: decode(coded.index),
    ...Object.fromEntries(
      Object.entries(coded)
        .filter(([name]) => name !== "index")
        .map(([name, c]) => [name, decode(c)]),
    ),
  });
  /** Entries of one row of such a list, as records. */
  const entries = (list) => (row) => {
    const found = [];
    for (const [k, i] of list.index.row(row).entries()) {
      if (i < 0) continue;
      const entry = { index: i };
      for (const name of Object.keys(list)) if (name !== "index") entry[name] = list[name].row(row)[k];
      found.push(entry);
    }
    return found;
  };
  const targets = truth.targets ?? null;
  const sae = {
    kind,
    n,
    m,
    targets: targets?.length ?? n,
    signed: kind === "transcoder" && targets !== null,
    shares: one.shares ? decode(one.shares).row : null,
    exclusive: one.exclusive_to ? numbers(one.exclusive_to) : null,
    alone: one.alone ? numbers(one.alone) : null,
    written: one.written ? numbers(one.written) : null,
    manifolds: one.manifolds ?? null,
    matrices: one.matrices ?? null,
    count: index.length,
    inputs: count.length,
    truth: one.truth,
    cell: one.cell,
    leftOut: one.left_out,
    edges: one.edges,
    index,
    directions: directions.values,
    norms: numbers(truth.norms),
    decoder: numbers(one.direction),
    matched: numbers(one.matched),
    nearest: numbers(one.nearest),
    nearestCosine: numbers(one.nearest_cosine),
    precision: numbers(one.precision),
    recall: numbers(one.recall),
    f1: numbers(one.f1),
    frequency: numbers(one.frequency),
    histogram: decode(one.histogram).row,
    features: entries(lists(one.features)),
    neighbours: entries(lists(one.neighbours)),
    top: entries(lists(one.top)),
    samples: entries(lists(one.samples)),
    h: one.h ? decode(one.h).row : null,
    active: (t) =>
      Array.from({ length: count[t] }, (_, k) => [feature[first[t] + k], value[first[t] + k]]).sort(
        (a, b) => b[1] - a[1],
      ),
  };
  for (let l = 0; l < sae.count; l++) if (Number.isNaN(sae.frequency[l])) sae.frequency[l] = 0; // no logarithm
  const per = one.per_matrix ?? Number.POSITIVE_INFINITY; // of a matrix, where there are several
  /** Which matrix a latent is part of, its number there, and both as a name. */
  sae.group = (row) => (sae.matrices ? Math.floor(index[row] / per) : 0);
  sae.numberIn = (latent) => (sae.matrices ? latent % per : latent);
  sae.name = (latent) => (sae.matrices ? `${sae.matrices[Math.floor(latent / per)]} ${latent % per}` : String(latent));
  sae.rowOf = new Map(Array.from(index, (latent, row) => [latent, row]));
  sae.sort = (row) => (sae.frequency[row] === 0 ? "dead" : KINDS[kind].sort(sae, row));
  /** What latents answer to: its name alone, in a sentence, and the number in it. */
  sae.short = (target) => (targets ? targets[target] : String(target));
  sae.called = (target) => (kind === "manifolds" ? targets[target] : `feature ${sae.short(target)}`);
  sae.numberOf = (target) => (targets ? Number(/\d+/.exec(targets[target])?.[0]) : target);
  sae.cosine = (target, row) => {
    const part = (values, at) => values.subarray(at * m, (at + 1) * m);
    return cosines(part(sae.directions, target), part(sae.decoder, row), m)[0];
  };
  sae.blocks = (one.blocks ?? []).map(({ label, values }) => readBlock(sae, label, decode(values)));
  for (const block of sae.blocks) block.of = block.label === "neurons" ? "neuron" : "feature";
  return sae;
}

/**
 * Numbers of every latent with every feature or manifold, or what stands in the place of features: `at(target, row)`.
 * `rows` of them are drawn.
 */
function readBlock(sae, label, values) {
  const rows = values.shape[1];
  const most = values.values.reduce((a, b) => Math.max(a, Math.abs(b)), 1); // colours reach from −most to most
  const drawn = (i, row) => {
    const of = Number(label.split(" ")[1]);
    // A part without length has no direction to speak of.
    if (sae.shares && sae.shares(row)[of] < 1 - EXCLUSIVE_ABOVE) return Number.NaN;
    return values.row(row)[i];
  };
  const below = (target) => label === "reads" && target >= rows; // the side below 0, which reads with the other sign
  const at = (target, row) => (below(target) ? -1 : 1) * drawn(target % rows, row);
  return { label, rows, most, drawn, at };
}

/** Cosines of the rows of two arrays (rows of length m), one row after the other; 0 where a row is 0. */
export function cosines(A, B, m) {
  const unit = (values) => {
    const out = Float64Array.from(values);
    for (let i = 0; i < out.length; i += m) {
      let square = 0;
      for (let k = 0; k < m; k++) square += out[i + k] ** 2;
      const scale = square > 0 ? 1 / Math.sqrt(square) : 0;
      for (let k = 0; k < m; k++) out[i + k] *= scale;
    }
    return out;
  };
  const [a, b] = [unit(A), unit(B)];
  const [rows, columns] = [A.length / m, B.length / m];
  const found = new Float32Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      let sum = 0;
      for (let k = 0; k < m; k++) sum += a[i * m + k] * b[j * m + k];
      found[i * columns + j] = sum;
    }
  }
  return found;
}

/** Rows of one autoencoder's table, or pairs of rows of two: { a, b, feature, cosine }, −1 for none. */
export function pairs(A, B, how) {
  if (!B) return Array.from({ length: A.count }, (_, a) => ({ a, b: -1, feature: A.matched[a], cosine: Number.NaN }));
  const cosine = A.m === B.m && A.truth === B.truth ? cosines(A.decoder, B.decoder, A.m) : null;
  const near = (a, b) => (cosine && a >= 0 && b >= 0 ? cosine[a * B.count + b] : Number.NaN);
  const taken = [new Set(), new Set()];
  const found = [];
  const add = (a, b) => {
    taken[0].add(a);
    taken[1].add(b);
    found.push({
      a,
      b,
      feature: a >= 0 && A.matched[a] >= 0 ? A.matched[a] : b >= 0 ? B.matched[b] : -1,
      cosine: near(a, b),
    });
  };
  if (how === "cosine" && cosine) {
    const order = Array.from(cosine.keys())
      .filter((k) => cosine[k] > 0)
      .sort((x, y) => cosine[y] - cosine[x]);
    for (const k of order) {
      const [a, b] = [Math.floor(k / B.count), k % B.count];
      if (!taken[0].has(a) && !taken[1].has(b)) add(a, b);
    }
  } else {
    const of = (sae, feature, group) =>
      Array.from(sae.matched.keys()).filter((row) => sae.matched[row] === feature && sae.group(row) === group);
    for (let group = 0; group < (A.matrices?.length ?? 1); group++) {
      for (let feature = 0; feature < Math.max(A.targets, B.targets); feature++) {
        // Where several latents answer to one target, those that are alike are pairs.
        const left = of(B, feature, group);
        for (const a of of(A, feature, group)) {
          const alike = left.reduce((p, q, k) => (p < 0 || near(a, q) > near(a, left[p]) ? k : p), -1);
          add(a, alike < 0 ? -1 : left.splice(alike, 1)[0]);
        }
        for (const b of left) add(-1, b);
      }
    }
  }
  for (let a = 0; a < A.count; a++) if (!taken[0].has(a)) add(a, -1);
  for (let b = 0; b < B.count; b++) if (!taken[1].has(b)) add(-1, b);
  return found;
}

const SYMBOLS = { sparsity_coefficient: "λ", minimality_coefficient: "β" };

/** How an autoencoder is called: its settings, of the axes that differ and that its architecture uses. */
export function nameOf(saeSweep, cell) {
  const several = Object.keys(saeSweep.architectures).length > 1;
  const parts = several ? [short(saeSweep.architectures[saeSweep.architecture.at(cell)][0], 40)] : [];
  for (const axis of saeSweep.axes) {
    if (axis.name === "architecture" || axis.values.length < 2 || axis.index[cell] < 0) continue;
    const symbol = SYMBOLS[axis.name] ?? short(axis.label, 40);
    parts.push(`${symbol} ${say(axis.values[axis.index[cell]])}`);
  }
  return parts.join(", ") || short(saeSweep.architectures[saeSweep.architecture.at(cell)][0], 40);
}

// What a number in a search may be of.
const NUMBERED = "latent|subcomponent|feature|manifold|circle|sphere|torus|hypersphere";
const FIELDS = { f1: "f1", precision: "precision", recall: "recall", density: "frequency" };

/**
 * Whether a row of the table is what someone looks for. Words are numbers of latents or features ("7", "latent 7",
 * "feature 7"), sorts ("dead"), or comparisons ("f1<0.5", "density>0.01"); all must hold. Of a pair one side is enough.
 */
export function matches(row, sides, query) {
  const words = query
    .toLowerCase()
    .replace(new RegExp(`\\b(${NUMBERED})s?\\s+(?=\\d)`, "g"), "$1:")
    .replace(/\s*([<>]=?)\s*/g, "$1")
    .replace(/(\d)\s+%/g, "$1%")
    .split(/[\s,]+/)
    .filter(Boolean);
  return words.every((word) => {
    const number = new RegExp(`^(?:(${NUMBERED}|l|f):?)?(\\d+)$`).exec(word);
    const asked = /^(\w+)([<>])=?(\d*\.?\d+)(%?)$/.exec(word);
    if (number) {
      const ofLatent = ["latent", "l", "subcomponent"].includes(number[1]);
      const [which, value] = [number[1] ? (ofLatent ? "l" : "f") : "", Number(number[2])];
      return (
        (which !== "l" && row.feature >= 0 && sides[0][0].numberOf(row.feature) === value) ||
        (which !== "f" && sides.some(([sae, at]) => at >= 0 && sae.numberIn(sae.index[at]) === value))
      );
    }
    if (asked && Object.hasOwn(FIELDS, asked[1])) {
      return sides.some(([sae, at]) => {
        const value = at < 0 ? Number.NaN : sae[FIELDS[asked[1]]][at];
        const bound = Number(asked[3]) / (asked[4] ? 100 : 1);
        return asked[2] === "<" ? value < bound : value > bound;
      });
    }
    return sides.some(([sae, at]) => {
      if (at < 0) return false;
      const own = sae.matched[at] < 0 ? "" : sae.called(sae.matched[at]);
      const [sort, sorts] = [sae.sort(at), KINDS[sae.kind].sorts(sae.shares?.(at).length ?? 0)];
      const matrix = sae.matrices ? sae.matrices[sae.group(at)].toLowerCase() : "";
      return `${unitOf(sae.kind)} ${matrix} feature ${own} ${sorts[sort]} ${sort}`.includes(word);
    });
  });
}

/** Rows in the order of a key of theirs; rows without one come last either way. */
export function ordered(rows, key, up) {
  const keyed = rows.map((row) => [key(row), row]);
  const last = (k) => k === null || Number.isNaN(k);
  return keyed
    .sort(([x], [y]) => (last(x) ? 1 : 0) - (last(y) ? 1 : 0) || (last(x) ? 0 : up ? x - y : y - x))
    .map(([, row]) => row);
}
