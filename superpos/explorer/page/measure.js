// Numbers about one W, row-major of shape (m, n); the same definitions as superpos.analysis.features.

import { eigen } from "./algebra.js";

export const DEAD_BELOW = 0.05;
export const REPRESENTED_ABOVE = 0.5;

/** WᵀW, n × n. */
export function gram(W, m, n) {
  const G = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = i; j < n; j++) {
      let sum = 0;
      for (let k = 0; k < m; k++) sum += W[k * n + i] * W[k * n + j];
      G[i * n + j] = sum;
      G[j * n + i] = sum;
    }
  }
  return G;
}

/** Norms ‖W_i‖, dimensionalities D_i = ‖W_i‖² / Σ_j (Ŵ_i · W_j)² (0 for dead features), ΣD_i / m, and WᵀW. */
export function measure(W, m, n) {
  const G = gram(W, m, n);
  const norms = Float64Array.from({ length: n }, (_, i) => Math.sqrt(G[i * n + i]));
  const longest = norms.reduce((a, b) => Math.max(a, b), 0);
  const D = new Float64Array(n);
  let [total, represented] = [0, 0];
  for (let i = 0; i < n; i++) {
    represented += norms[i] > REPRESENTED_ABOVE ? 1 : 0;
    if (norms[i] <= DEAD_BELOW * longest || longest <= DEAD_BELOW) continue;
    let sum = 0;
    for (let j = 0; j < n; j++) sum += G[i * n + j] ** 2;
    D[i] = norms[i] ** 4 / sum;
    total += D[i];
  }
  return { gram: G, norms, D, packing: total / m, represented };
}

/** Angles in degrees between neighbouring represented features in the plane, all the way round. */
export function gaps(W, n, above = REPRESENTED_ABOVE) {
  const angles = [];
  for (let i = 0; i < n; i++) {
    if (Math.hypot(W[i], W[n + i]) > above) angles.push((Math.atan2(W[n + i], W[i]) * 180) / Math.PI);
  }
  angles.sort((a, b) => a - b);
  return angles.map((a, i) => (i + 1 < angles.length ? angles[i + 1] : angles[0] + 360) - a);
}

/** W in the three directions that hold most of it, (3, n), and the share of ‖W‖² they hold. */
export function project(W, m, n) {
  const A = new Float64Array(m * m);
  for (let a = 0; a < m; a++) {
    for (let b = 0; b < m; b++) for (let i = 0; i < n; i++) A[a * m + b] += W[a * n + i] * W[b * n + i];
  }
  const { values, vectors } = eigen(A, m);
  const P = new Float64Array(3 * n);
  for (let d = 0; d < 3; d++) {
    for (let i = 0; i < n; i++) for (let k = 0; k < m; k++) P[d * n + i] += vectors[d][k] * W[k * n + i];
  }
  const all = values.reduce((a, b) => a + b, 0);
  return { W: P, share: all > 0 ? (values[0] + values[1] + values[2]) / all : 1 };
}

/** Faces of the convex hull of points in space, as lists of indices in order around the face; coplanar ones joined. */
export function hull(points, near = 0.06) {
  const faces = new Map();
  const sub = (a, b) => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
  const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  for (let i = 0; i < points.length; i++) {
    for (let j = i + 1; j < points.length; j++) {
      for (let k = j + 1; k < points.length; k++) {
        let normal = cross(sub(points[j], points[i]), sub(points[k], points[i]));
        const size = Math.hypot(...normal);
        if (size < 1e-6) continue;
        normal = normal.map((x) => x / size);
        const heights = points.map((p) => dot(normal, sub(p, points[i])));
        const above = heights.some((h) => h > near);
        if (above && heights.some((h) => h < -near)) continue;
        if (!above && !heights.some((h) => h < -near)) continue; // all in one plane
        const on = heights.flatMap((h, p) => (Math.abs(h) <= near ? [p] : []));
        const centre = [0, 1, 2].map((d) => on.reduce((sum, p) => sum + points[p][d], 0) / on.length);
        const first = sub(points[on[0]], centre);
        const second = cross(normal, first);
        const turn = (p) => Math.atan2(dot(sub(points[p], centre), second), dot(sub(points[p], centre), first));
        faces.set(
          on.join(),
          on.sort((a, b) => turn(a) - turn(b)),
        );
      }
    }
  }
  return [...faces.values()];
}
