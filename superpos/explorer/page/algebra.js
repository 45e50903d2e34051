// Small linear algebra: eigenvectors of symmetric matrices, nearest rotations, best assignments. All matrices
// row-major.

/** Eigenvalues and eigenvectors (columns of V) of a symmetric matrix, by Jacobi rotations, largest first. */
export function eigen(A, m) {
  const S = Float64Array.from(A);
  const V = new Float64Array(m * m);
  for (let i = 0; i < m; i++) V[i * m + i] = 1;
  for (let sweep = 0; sweep < 30; sweep++) {
    let off = 0;
    for (let p = 0; p < m; p++) {
      for (let q = p + 1; q < m; q++) {
        const apq = S[p * m + q];
        off += apq * apq;
        if (Math.abs(apq) < 1e-15) continue;
        const theta = (S[q * m + q] - S[p * m + p]) / (2 * apq);
        const t = Math.sign(theta || 1) / (Math.abs(theta) + Math.hypot(theta, 1));
        const c = 1 / Math.hypot(t, 1);
        const s = t * c;
        for (let k = 0; k < m; k++) {
          const [a, b] = [S[k * m + p], S[k * m + q]];
          S[k * m + p] = c * a - s * b;
          S[k * m + q] = s * a + c * b;
        }
        for (let k = 0; k < m; k++) {
          const [a, b] = [S[p * m + k], S[q * m + k]];
          S[p * m + k] = c * a - s * b;
          S[q * m + k] = s * a + c * b;
          const [x, y] = [V[k * m + p], V[k * m + q]];
          V[k * m + p] = c * x - s * y;
          V[k * m + q] = s * x + c * y;
        }
      }
    }
    if (off < 1e-20) break;
  }
  const order = Array.from({ length: m }, (_, i) => i).sort((a, b) => S[b * m + b] - S[a * m + a]);
  return {
    values: order.map((i) => S[i * m + i]),
    vectors: order.map((i) => Float64Array.from({ length: m }, (_, k) => V[k * m + i])),
  };
}

/** The product of an (a, b) and a (b, c) matrix. */
export function multiply(X, Y, a, b, c) {
  const product = new Float64Array(a * c);
  for (let i = 0; i < a; i++) {
    for (let k = 0; k < b; k++) for (let j = 0; j < c; j++) product[i * c + j] += X[i * b + k] * Y[k * c + j];
  }
  return product;
}

/**
 * The orthogonal matrix nearest to a d × d matrix M = U S Vᵀ, which is U Vᵀ (reflections are allowed). Where M has
 * lower rank, the directions that it leaves open are filled by any orthogonal ones.
 */
export function nearestOrthogonal(M, d) {
  const square = new Float64Array(d * d); // MᵀM
  for (let a = 0; a < d; a++) {
    for (let b = 0; b < d; b++) for (let k = 0; k < d; k++) square[a * d + b] += M[k * d + a] * M[k * d + b];
  }
  const { vectors } = eigen(square, d);
  const scale = Math.sqrt(M.reduce((sum, x) => sum + x * x, 0)) || 1;
  const left = [];
  const orthogonal = (u) => {
    for (let round = 0; round < 2; round++) {
      for (const other of left) {
        const dot = u.reduce((sum, x, k) => sum + x * other[k], 0);
        for (let k = 0; k < d; k++) u[k] -= dot * other[k];
      }
    }
    return Math.hypot(...u);
  };
  for (const v of vectors) {
    let u = Float64Array.from({ length: d }, (_, k) => v.reduce((sum, x, j) => sum + M[k * d + j] * x, 0));
    let length = orthogonal(u);
    for (let axis = 0; axis < d && length < 1e-9 * scale; axis++) {
      u = Float64Array.from({ length: d }, (_, k) => (k === axis ? scale : 0));
      length = orthogonal(u);
      if (length < 0.1 * scale) length = 0; // nearly along what is there already: the next axis
    }
    left.push(u.map((x) => x / length));
  }
  const Q = new Float64Array(d * d);
  for (let r = 0; r < d; r++) {
    for (let a = 0; a < d; a++) for (let b = 0; b < d; b++) Q[a * d + b] += left[r][a] * vectors[r][b];
  }
  return Q;
}

/** The column of every row of an n × n matrix of costs so that the sum is least: shortest augmenting paths, O(n³). */
export function assign(costs, n) {
  const [rowPrice, columnPrice] = [new Float64Array(n + 1), new Float64Array(n + 1)];
  const rowOf = new Int32Array(n + 1); // of column j, counted from 1
  for (let row = 1; row <= n; row++) {
    rowOf[0] = row;
    let column = 0;
    const least = new Float64Array(n + 1).fill(Number.POSITIVE_INFINITY);
    const before = new Int32Array(n + 1);
    const visited = new Uint8Array(n + 1);
    while (rowOf[column] !== 0) {
      visited[column] = 1;
      const i = rowOf[column];
      let [step, next] = [Number.POSITIVE_INFINITY, 0];
      for (let j = 1; j <= n; j++) {
        if (visited[j]) continue;
        const reduced = costs[(i - 1) * n + j - 1] - rowPrice[i] - columnPrice[j];
        if (reduced < least[j]) {
          least[j] = reduced;
          before[j] = column;
        }
        if (least[j] < step) [step, next] = [least[j], j];
      }
      for (let j = 0; j <= n; j++) {
        if (visited[j]) {
          rowPrice[rowOf[j]] += step;
          columnPrice[j] -= step;
        } else least[j] -= step;
      }
      column = next;
    }
    while (column !== 0) {
      rowOf[column] = rowOf[before[column]];
      column = before[column];
    }
  }
  const chosen = new Int32Array(n);
  for (let j = 1; j <= n; j++) chosen[rowOf[j] - 1] = j - 1;
  return chosen;
}
