"""What a sparse dictionary ends with, in closed form: directions that share a circle, and one latent for two features."""

from typing import Any

import numpy as np


def tiled(n_latents: Any) -> np.ndarray:
    r"""Explained variance of the unit circle by K evenly spread directions, one at a time, without a bias.

    Each point is projected on the nearest direction, at most π/K away: $E \cos^2 = \frac12 (1 + \frac{\sin 2\pi/K}{2\pi/K})$.
    """
    return (1 + np.sinc(2 / np.asarray(n_latents, float))) / 2


def hedged(q: Any, weight: Any = np.inf) -> np.ndarray:
    r"""Cosine of the parent's latent with the child, $\sin\theta$; both have orthogonal directions and the value 1.

    The parent's latent is $d = (\cos\theta, \sin\theta)$ and active whenever the parent is. Alone it leaves over, of each
    parent, $(1 - q) \sin^2\theta + q\,(1 - \sin 2\theta)$, with q the child's probability given its parent. That is least at

    $$\tan 2\theta = \frac{2 q}{1 - q}.$$

    With a second latent of the child's the whole leaves over $(1 - q) \sin^2\theta$. If the first latent's own error counts
    w = `weight` times, the sum is least at $\tan 2\theta = \frac{2 q}{1 - q}\,\frac{w}{1 + w}$.
    """
    q, weight = np.asarray(q, float), np.asarray(weight, float)
    share = np.where(np.isinf(weight), 1, weight / (1 + np.where(np.isinf(weight), 0, weight)))
    return np.sin(np.arctan2(2 * q * share, 1 - q) / 2)
