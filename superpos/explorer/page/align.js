// Neighbouring models in the same position. Any rotation of the hidden layer, and any exchange of equal features,
// makes a model of the same loss; so where the next model is shown, it is first turned (or reflected) and its equal
// features are given the places of those before it. Only the picture's places and colours follow: every number stays
// the model's own.

import { assign, multiply, nearestOrthogonal } from "./algebra.js";
import { project } from "./measure.js";

const MAX_EXCHANGED = 16; // of more features none is exchanged with another, models are only turned
const CLOSE = Math.cos((20 * Math.PI) / 180); // of a model that needs no exchange

/** Where features stand before any turn: W itself in up to three dimensions, else the three that hold most of it. */
export function placesOf(W, m, n) {
  return m <= 3 ? { d: m, at: Float64Array.from(W) } : { d: 3, at: project(W, m, n).W };
}

const column = (at, d, n, i) => Array.from({ length: d }, (_, k) => at[k * n + i]);
const dot = (a, b) => a.reduce((sum, x, k) => sum + x * b[k], 0);

/** The turn of B that is nearest to A when feature i of B takes the place of feature `match[i]` of A. */
function turnOnto(A, B, d, n, match) {
  const M = new Float64Array(d * d);
  for (let i = 0; i < n; i++) {
    for (let a = 0; a < d; a++) for (let b = 0; b < d; b++) M[a * d + b] += A[a * n + match[i]] * B[b * n + i];
  }
  return nearestOrthogonal(M, d);
}

function distance(A, turned, d, n, match) {
  let sum = 0;
  for (let i = 0; i < n; i++) for (let k = 0; k < d; k++) sum += (turned[k * n + i] - A[k * n + match[i]]) ** 2;
  return sum;
}

/** Whether every long feature is near its place. */
function isClose(A, turned, d, n, match) {
  for (let i = 0; i < n; i++) {
    const [a, b] = [column(A, d, n, match[i]), column(turned, d, n, i)];
    const [x, y] = [Math.hypot(...a), Math.hypot(...b)];
    if (x > 0.5 && y > 0.5 && dot(a, b) < CLOSE * x * y) return false;
  }
  return true;
}

/** Orthonormal axes whose first is u, the second in the plane of u and v, the third to one side; rows of d numbers. */
function axesAlong(u, v, d, side) {
  const unit = (x) => x.map((value) => value / (Math.hypot(...x) || 1));
  const first = unit(u);
  if (d === 1) return [first];
  if (d === 2) return [first, [-side * first[1], side * first[0]]];
  const along = dot(v, first);
  const second = unit(v.map((x, k) => x - along * first[k]));
  const [a, b] = [first, second];
  return [
    a,
    b,
    [side * (a[1] * b[2] - a[2] * b[1]), side * (a[2] * b[0] - a[0] * b[2]), side * (a[0] * b[1] - a[1] * b[0])],
  ];
}

/** Turns that lay one or two features of B onto the longest of A, either way round. */
function* candidates(A, B, d, n, equal) {
  const length = (i) => Math.hypot(...column(A, d, n, i));
  const first = [...Array(n).keys()].reduce((a, b) => (length(b) > length(a) ? b : a));
  const u = column(A, d, n, first);
  const beside = (i) =>
    Math.sqrt(Math.max(0, length(i) ** 2 - (dot(u, column(A, d, n, i)) / (length(first) || 1)) ** 2));
  const second = [...Array(n).keys()].reduce((a, b) => (beside(b) > beside(a) ? b : a));
  for (let i = 0; i < n; i++) {
    if (equal[i] !== equal[first]) continue;
    for (let j = 0; j < (d < 3 ? 1 : n); j++) {
      if (d === 3 && (j === i || equal[j] !== equal[second])) continue;
      for (const side of d === 1 ? [1] : [1, -1]) {
        const from = axesAlong(column(B, d, n, i), column(B, d, n, j), d, side);
        const to = axesAlong(u, column(A, d, n, second), d, 1);
        const Q = new Float64Array(d * d);
        for (let r = 0; r < d; r++)
          for (let a = 0; a < d; a++) for (let b = 0; b < d; b++) Q[a * d + b] += to[r][a] * from[r][b];
        yield Q;
      }
    }
  }
}

/** The exchange of equal features that brings the turned B nearest to A. */
function exchange(A, turned, d, n, equal) {
  const costs = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      costs[i * n + j] = equal[i] === equal[j] ? -dot(column(turned, d, n, i), column(A, d, n, j)) : 1e9;
    }
  }
  return assign(costs, n);
}

/**
 * How B, (d, n), is shown after A: turned, and feature i of B at the place of feature `match[i]` of A. `equal` numbers
 * the kinds of features: only those of one kind change places, and only where turning alone leaves a jump.
 */
export function alignTo(A, B, d, n, equal) {
  const same = Int32Array.from({ length: n }, (_, i) => i);
  let best = { turn: turnOnto(A, B, d, n, same), match: same };
  best.at = multiply(best.turn, B, d, d, n);
  if (n > MAX_EXCHANGED || isClose(A, best.at, d, n, same)) return best;
  let least = distance(A, best.at, d, n, same);
  for (const Q of candidates(A, B, d, n, equal)) {
    let turn = Q;
    let match = same;
    for (let round = 0; round < 2; round++) {
      match = exchange(A, multiply(turn, B, d, d, n), d, n, equal);
      turn = turnOnto(A, B, d, n, match);
    }
    const at = multiply(turn, B, d, d, n);
    const off = distance(A, at, d, n, match);
    if (off < least - 1e-9) [best, least] = [{ turn, match, at }, off];
  }
  return best;
}

/**
 * Remembers what was shown last, and places the next model after it: { d, at, slot, turn }. Without `equal` every model
 * stands as it is: where a rotation would change the loss, the axes mean something.
 */
export function createAligner(equal) {
  let last = null;
  return (view, key) => {
    const { m, n } = view;
    const { d, at } = placesOf(view.W, m, n);
    if (last?.key !== key) {
      const slots = Int32Array.from({ length: n }, (_, i) => i);
      let next = { key, n, d, at, slot: slots, turn: null };
      if (equal && last && last.n === n && last.d === d) {
        const { turn, match, at: turned } = alignTo(last.at, at, d, n, equal);
        next = { key, n, d, at: turned, slot: slots.map((i) => last.slot[match[i]]), turn };
      }
      last = next;
    }
    const turned = last.turn ? multiply(last.turn, at, d, d, n) : at;
    return { d, at: turned, slot: last.slot, turn: last.turn };
  };
}
