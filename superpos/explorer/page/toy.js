// The toy model of superposition and its training, as superpos.train does it: x' = ReLU(WᵀW x + b), AdamW, cosine rate.

/** Uniform numbers in [0, 1) from a seed (sfc32). */
export function randomFrom(seed) {
  let [a, b, c, d] = [seed | 0, 0x9e3779b9 | 0, 0x243f6a88 | 0, 1];
  const next = () => {
    const t = (((a + b) | 0) + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + t) | 0;
    return (t >>> 0) / 4294967296;
  };
  for (let i = 0; i < 15; i++) next();
  return next;
}

/** Standard normal numbers, by Box and Muller. */
export function normalFrom(random) {
  return () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

export const DEFAULTS = {
  n: 5,
  m: 2,
  p: 0.05,
  decay: 1,
  lr: 0.01,
  steps: 3000,
  batch: 512,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
};

/** One model in training. `settings` as in DEFAULTS; `p`, `decay` and `lr` may change while it trains. */
export class Trainer {
  constructor(settings, seed, start = null) {
    this.settings = { ...DEFAULTS, ...settings };
    const { n, m } = this.settings;
    this.random = randomFrom(seed);
    const normal = normalFrom(this.random);
    const sigma = Math.sqrt(2 / (n + m)); // Xavier's of this one model
    const size = n * m;
    this.W = start ? Float64Array.from(start.W) : Float64Array.from({ length: size }, () => sigma * normal());
    this.b = start ? Float64Array.from(start.b) : new Float64Array(n);
    for (const name of ["gW", "firstW", "secondW"]) this[name] = new Float64Array(size);
    for (const name of ["gb", "firstb", "secondb", "x", "g", "importance"]) this[name] = new Float64Array(n);
    this.h = new Float64Array(m);
    this.t = 0; // of the schedule
    this.updates = 0; // of the optimiser
    this.mean = Number.NaN; // of recent losses
  }

  get done() {
    return this.t >= this.settings.steps;
  }

  /** A fresh batch through the model: gradients of the mean over batch and features of I_i (x_i − x'_i)². */
  sampled() {
    const { n, p, batch } = this.settings;
    const { x, random } = this;
    const scale = 1 / Math.log1p(-p);
    const wait = () => Math.floor(Math.log(1 - random()) * scale); // entries that stay zero before the next active one
    let left = wait();
    return this.gradients(batch, () => {
      if (left >= n) {
        left -= n;
        return false;
      }
      for (let i = 0; i < n; i++) {
        if (left > 0) {
          left -= 1;
          x[i] = 0;
        } else {
          x[i] = random();
          left = wait();
        }
      }
      return true;
    });
  }

  /** The same for given inputs, a list of `batch` rows of n numbers one after another. */
  given(rows) {
    const { n } = this.settings;
    let s = 0;
    return this.gradients(rows.length / n, () => {
      for (let i = 0; i < n; i++) this.x[i] = rows[s * n + i];
      s += 1;
      return true;
    });
  }

  gradients(batch, draw) {
    const { n, m, decay } = this.settings;
    const { W, b, gW, gb, x, g, h } = this;
    gW.fill(0);
    gb.fill(0);
    const { importance } = this;
    for (let i = 0; i < n; i++) importance[i] = decay ** i;
    let [loss, silent] = [0, 0];
    for (let s = 0; s < batch; s++) {
      if (!draw()) {
        silent += 1; // all rows of zeros are alike: counted here, added below
        continue;
      }
      for (let k = 0; k < m; k++) {
        let sum = 0;
        for (let i = 0; i < n; i++) sum += W[k * n + i] * x[i];
        h[k] = sum;
      }
      for (let i = 0; i < n; i++) {
        let out = b[i];
        for (let k = 0; k < m; k++) out += W[k * n + i] * h[k];
        const error = (out > 0 ? out : 0) - x[i];
        loss += importance[i] * error * error;
        g[i] = out > 0 ? 2 * importance[i] * error : 0;
        gb[i] += g[i];
      }
      for (let k = 0; k < m; k++) {
        let back = 0;
        for (let i = 0; i < n; i++) back += W[k * n + i] * g[i];
        for (let i = 0; i < n; i++) gW[k * n + i] += h[k] * g[i] + back * x[i];
      }
    }
    for (let i = 0; i < n; i++) {
      if (b[i] <= 0) continue;
      loss += silent * importance[i] * b[i] * b[i];
      gb[i] += silent * 2 * importance[i] * b[i];
    }
    const scale = 1 / (n * batch);
    for (let i = 0; i < gW.length; i++) gW[i] *= scale;
    for (let i = 0; i < n; i++) gb[i] *= scale;
    return loss * scale;
  }

  /** One step of AdamW along the gradients (no weight decay, the lab's default), at a rate of lr · ½(1 + cos πt/T). */
  update() {
    const { lr, steps, beta1, beta2, epsilon } = this.settings;
    const rate = lr * 0.5 * (1 + Math.cos((Math.PI * Math.min(this.t, steps)) / steps));
    this.t += 1;
    this.updates += 1;
    const [fix1, fix2] = [1 - beta1 ** this.updates, 1 - beta2 ** this.updates];
    for (const [value, gradient, first, second] of [
      [this.W, this.gW, this.firstW, this.secondW],
      [this.b, this.gb, this.firstb, this.secondb],
    ]) {
      for (let i = 0; i < value.length; i++) {
        first[i] = beta1 * first[i] + (1 - beta1) * gradient[i];
        second[i] = beta2 * second[i] + (1 - beta2) * gradient[i] * gradient[i];
        value[i] -= (rate * first[i]) / fix1 / (Math.sqrt(second[i] / fix2) + epsilon);
      }
    }
  }

  /** One step on a fresh batch. */
  step() {
    const loss = this.sampled();
    this.mean = Number.isFinite(this.mean) ? this.mean + 0.02 * (loss - this.mean) : loss;
    this.update();
  }

  /** Begin the schedule again, from the weights as they are. */
  again() {
    this.t = 0;
  }
}
