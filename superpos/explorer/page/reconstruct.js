// One input through a model x' = f(Wᵀ W x + b): what the hidden layer says, and what is left of interference.

const SQRT = Math.sqrt(2 / Math.PI);
const ACTIVATIONS = {
  relu: (a) => Math.max(a, 0),
  identity: (a) => a,
  gelu: (a) => 0.5 * a * (1 + Math.tanh(SQRT * (a + 0.044715 * a ** 3))),
};

/** Whether the page can compute what such a model reconstructs. */
export const canReconstruct = (activation) => Object.hasOwn(ACTIVATIONS, activation ?? "");

/** h = Wx, Wᵀh before and x' after bias and activation function, and of every feature what the others lay on it. */
export function reconstruct({ W, b, m, n, activation = "relu" }, x) {
  const h = new Float64Array(m);
  for (let k = 0; k < m; k++) for (let i = 0; i < n; i++) h[k] += W[k * n + i] * x[i];
  const [read, output, interference] = [new Float64Array(n), new Float64Array(n), new Float64Array(n)];
  for (let i = 0; i < n; i++) {
    let norm = 0;
    for (let k = 0; k < m; k++) {
      read[i] += W[k * n + i] * h[k];
      norm += W[k * n + i] ** 2;
    }
    interference[i] = read[i] - norm * x[i];
    output[i] = ACTIVATIONS[activation](read[i] + b[i]);
  }
  return { h, read, output, interference };
}

/**
 * Interference on the silent features: summed sizes before and after bias and activation function, and the negative
 * part.
 */
export function onTheSilent({ read, output }, x) {
  let [silent, before, below, after] = [0, 0, 0, 0];
  for (let i = 0; i < x.length; i++) {
    if (x[i] !== 0) continue;
    silent += 1;
    before += Math.abs(read[i]);
    below += Math.max(0, -read[i]);
    after += Math.abs(output[i]);
  }
  return { silent, before, below, after };
}

/** The share of inputs in which at least two of n features are active, each with probability p. */
export function meetings(n, p) {
  return 1 - (1 - p) ** n - n * p * (1 - p) ** (n - 1);
}
