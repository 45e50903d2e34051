"""The toy model trained by thirty lines of NumPy: gradients derived by hand, nothing shared with the package."""

import numpy as np


def train_twin(
    W, b, batches, importance, learning_rates, *, weight_decay=0.0, beta1=0.9, beta2=0.999, eps=1e-8, power=2
):
    """Adam (decoupled weight decay on W only) on x' = ReLU(WᵀWx + b), one step per batch of columns."""
    W, b = W.astype(np.float64), b.astype(np.float64)
    moments = [np.zeros_like(W), np.zeros_like(W), np.zeros_like(b), np.zeros_like(b)]
    losses = []
    for t, (x, rate) in enumerate(zip(batches, learning_rates, strict=True), start=1):
        x = x.astype(np.float64)
        h = W @ x
        a = W.T @ h + b[:, None]
        error = np.maximum(a, 0) - x
        losses.append(np.mean(importance[:, None] * np.abs(error) ** power))
        # dL/da, with the mean over features and batch
        da = importance[:, None] * power * np.abs(error) ** (power - 1) * np.sign(error) * (a > 0) / error.size
        dW = h @ da.T + (W @ da) @ x.T  # through the decoder Wᵀ and through the encoder W
        db = da.sum(axis=1)
        mW, vW, mb, vb = moments
        mW += (1 - beta1) * (dW - mW)
        vW += (1 - beta2) * (dW**2 - vW)
        mb += (1 - beta1) * (db - mb)
        vb += (1 - beta2) * (db**2 - vb)
        correct1, correct2 = 1 - beta1**t, 1 - beta2**t
        W = W - rate * (mW / correct1 / (np.sqrt(vW / correct2) + eps) + weight_decay * W)
        b = b - rate * mb / correct1 / (np.sqrt(vb / correct2) + eps)
    return W, b, np.array(losses)
