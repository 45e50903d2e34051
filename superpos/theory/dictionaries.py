"""What a sparse dictionary ends with, in closed form: directions that share a circle, and one latent for two features."""

from typing import Any

import numpy as np


def tiled(n_latents: Any) -> np.ndarray:
    r"""Explained variance of the unit circle by K evenly spread directions, one at a time, without a bias.

    Each point is projected on the nearest direction, at most π/K away: $E \cos^2 = \frac12 (1 + \frac{\sin 2\pi/K}{2\pi/K})$.
    """
    return (1 + np.sinc(2 / np.asarray(n_latents, float))) / 2


def tiled_in_pairs(n_latents: Any) -> np.ndarray:
    r"""Explained variance of the unit circle by K ≥ 4 evenly spread directions, two at a time, without biases.

    Every direction d is read by c d. At an angle |φ| ≤ δ = π/K from the bisector of the nearest two, their sum leaves over
    $(1 - 2 c \cos^2\delta) \cos\varphi$ along it and $(1 - 2 c \sin^2\delta) \sin\varphi$ across. With
    $C = E \cos^2\varphi = \frac12 (1 + \frac{\sin 2\delta}{2\delta})$ the best c explains

    $$\frac{(C \cos^2\delta + (1 - C) \sin^2\delta)^2}{C \cos^4\delta + (1 - C) \sin^4\delta},$$

    which is 1 for K = 4 and for no other K. More latents can be exact only if four alone are ever active, ±a and ±b for any
    independent a, b of length 1. A pair is exact where the rows of the encoder are the dual basis of its columns. So
    where a latent goes from one partner to another, both are orthogonal to its row: they are opposite. (If both latents
    change at once, the columns of both pairs have one sum, and are the same two.) Rows of all other latents are 0: near a,
    where the latent of b is hardly active, any that reads a would take its place.
    """
    delta = np.pi / np.asarray(n_latents, float)
    along, cos2 = tiled(n_latents), np.cos(delta) ** 2
    across, sin2 = 1 - along, 1 - cos2
    return (along * cos2 + across * sin2) ** 2 / (along * cos2**2 + across * sin2**2)


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
