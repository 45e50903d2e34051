// Which known shape a group of directions has: superpos.analysis.shapes again, over the library's own shapes and
// limits.

import { assign, eigen, multiply, nearestOrthogonal } from "./algebra.js";

const off = (cosines, k, i) => {
  const row = [];
  for (let j = 0; j < k; j++) if (j !== i) row.push(cosines[i * k + j]);
  return row.sort((a, b) => a - b);
};

/** A shape of k vertices from the page's data, with its cosines and the views from its kinds of vertices. */
function openShape({ name, dimensions, vertices }, k) {
  const isSimplex = dimensions === k - 1 || k === 1;
  const isPlane = !isSimplex && vertices === null;
  const gram = new Float64Array(k * k);
  for (let i = 0; i < k; i++) {
    for (let j = 0; j < k; j++) {
      if (i === j) gram[i * k + j] = 1;
      else if (isSimplex) gram[i * k + j] = -1 / (k - 1);
      else if (isPlane) gram[i * k + j] = Math.cos((2 * Math.PI * (i - j)) / k);
      else gram[i * k + j] = vertices[i].reduce((sum, x, d) => sum + x * vertices[j][d], 0);
    }
  }
  const views = [];
  const alike = (a, b) => a.every((x, j) => Math.abs(x - b[j]) <= 1e-4 + 1e-5 * Math.abs(b[j]));
  for (let i = 0; i < k; i++) {
    const view = off(gram, k, i);
    if (!views.some((kind) => alike(view, kind))) views.push(view);
  }
  return {
    name,
    dimensions,
    gram,
    views,
    isSimplex,
    isPlane,
    vertices: vertices && Float64Array.from(vertices.flat()),
  };
}

/** The known shapes of k vertices, and the limits, of the page's data. */
export function openNaming({ limits, words, shapes }) {
  return { limits, words, shapes: shapes.map((list, index) => list.map((shape) => openShape(shape, index + 1))) };
}

/** Directions that may be the next vertex, the best one last. */
function fitting(cosines, k, gram, order, limit) {
  const v = order.length;
  const worst = Float64Array.from({ length: k }, (_, i) =>
    order.includes(i)
      ? Number.POSITIVE_INFINITY
      : order.reduce((most, o, u) => Math.max(most, Math.abs(cosines[i * k + o] - gram[v * k + u])), 0),
  );
  return [...worst.keys()].filter((i) => worst[i] <= limit).sort((a, b) => worst[b] - worst[a] || a - b);
}

/**
 * An order of the group in which its cosines are those of the shape to within the limit, by backtracking; else null.
 */
function backtrack(cosines, k, gram, starts, { cosine, tries: most }) {
  let tries = 0;
  for (const start of starts) {
    const order = [start];
    const candidates = [fitting(cosines, k, gram, order, cosine)];
    while (candidates.length) {
      tries += 1;
      if (tries > most) return null;
      if (order.length > candidates.length) order.pop();
      if (!candidates.at(-1).length) {
        candidates.pop();
        continue;
      }
      order.push(candidates.at(-1).pop());
      if (order.length === k) return order;
      candidates.push(fitting(cosines, k, gram, order, cosine));
    }
  }
  return null;
}

/** The group's order around the circle in which it (almost) lies. */
function aroundTheCircle(cosines, k) {
  const { vectors } = eigen(cosines, k);
  const angles = Array.from({ length: k }, (_, i) => Math.atan2(vectors[0][i], vectors[1][i]));
  return [...angles.keys()].sort((a, b) => angles[a] - angles[b]);
}

/** An order for a shape of several kinds of vertices: turned onto the shape and assigned anew until nothing changes. */
function nearestOrder(cosines, k, shape, starts, limits) {
  let order = backtrack(cosines, k, shape.gram, starts, limits);
  if (!order) return null;
  const d = shape.dimensions;
  const { values, vectors } = eigen(cosines, k);
  const directions = new Float64Array(k * d);
  for (let i = 0; i < k; i++) {
    for (let r = 0; r < d; r++) directions[i * d + r] = vectors[r][i] * Math.sqrt(Math.max(values[r], 0));
  }
  for (let round = 0; round < 10; round++) {
    const M = new Float64Array(d * d); // (directions in order)ᵀ · vertices
    for (let v = 0; v < k; v++) {
      for (let a = 0; a < d; a++)
        for (let b = 0; b < d; b++) M[a * d + b] += directions[order[v] * d + a] * shape.vertices[v * d + b];
    }
    const turned = multiply(directions, nearestOrthogonal(M, d), k, d, d);
    const costs = new Float64Array(k * k);
    for (let v = 0; v < k; v++) {
      for (let i = 0; i < k; i++)
        for (let r = 0; r < d; r++) costs[v * k + i] -= shape.vertices[v * d + r] * turned[i * d + r];
    }
    const improved = assign(costs, k);
    if (improved.every((i, v) => i === order[v])) break;
    order = [...improved];
  }
  return order;
}

function orderOf(cosines, k, shape, likeFirst, limits) {
  if (shape.isSimplex) return [...Array(k).keys()];
  if (shape.isPlane) return aroundTheCircle(cosines, k);
  if (shape.views.length === 1) return backtrack(cosines, k, shape.gram, [0], limits);
  return nearestOrder(cosines, k, shape, likeFirst, limits);
}

/** How well a group fits one shape, { residual, ideal }; null where no order of its vertices comes close. */
function fitShape(cosines, k, shape, limits) {
  if (k === 1) return { residual: 0, ideal: Float64Array.of(1) };
  const rows = Array.from({ length: k }, (_, i) => off(cosines, k, i));
  const like = (view) => rows.map((row) => row.every((x, j) => Math.abs(x - view[j]) <= limits.cosine));
  const likes = shape.views.map(like);
  if (!rows.every((_, i) => likes.some((of) => of[i]))) return null;
  const order = orderOf(
    cosines,
    k,
    shape,
    [...rows.keys()].filter((i) => likes[0][i]),
    limits,
  );
  if (!order) return null;
  const { gram } = shape;
  let [squares, all] = [0, 0];
  for (let u = 0; u < k; u++) {
    let [row, others] = [0, -1];
    for (let v = 0; v < k; v++) {
      const difference = cosines[order[u] * k + order[v]] - gram[u * k + v];
      if (Math.abs(difference) > limits.cosine) return null;
      row += difference ** 2;
      others += gram[u * k + v] ** 2;
    }
    if (Math.sqrt(row) > limits.row * Math.sqrt(others)) return null;
    squares += row;
    all += others + 1;
  }
  const ideal = new Float64Array(k * k);
  for (let u = 0; u < k; u++) for (let v = 0; v < k; v++) ideal[order[u] * k + order[v]] = gram[u * k + v];
  return { residual: Math.sqrt(squares / all), ideal };
}

/** The known shape that k directions are nearest to, from their cosines: { name, dimensions, residual, ideal }. */
export function matchShape(cosines, k, naming) {
  const { limits, words } = naming;
  const { values } = eigen(cosines, k);
  const rank = Math.max(1, values.filter((value) => value > limits.rank * values[0]).length);
  const noise = Math.max(1 / (2 * (k + 1)), limits.noise);
  let nearest = { name: words.irregular, dimensions: rank, residual: 1, ideal: null };
  for (const shape of naming.shapes[k - 1] ?? []) {
    const d = shape.dimensions;
    const fitted = fitShape(cosines, k, shape, limits);
    if (!fitted || fitted.residual >= nearest.residual) continue;
    const spanned = rank >= d && (d === k || values[d] <= noise * values[d - 1]);
    if (spanned && fitted.residual <= limits.residual) nearest = { name: shape.name, dimensions: d, ...fitted };
    else nearest = { name: words.irregular, dimensions: rank, residual: fitted.residual, ideal: null };
  }
  return nearest;
}
