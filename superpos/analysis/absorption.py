"""Feature absorption: a child's latent speaks for its parent, whose own latent falls silent."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from superpos import check
from superpos.analysis.matching import cosines
from superpos.errors import ConfigError

# A latent points at a feature if its share of that feature's direction is at least this (60 degrees when alone).
ALIGNED_ABOVE = 0.5
# Chanin et al. ask the absorbing latent to carry this much of what the probe sees of the parent.
CARRIED_ABOVE = 0.4
# Parent and child closer than this (as |cos|) cannot be told apart.
COLLINEAR = 0.99


def check_parents(parents: Any, n_features: int) -> np.ndarray:
    """`parents` as an array: parents[j] is the parent of feature j, or -1. Raises `ConfigError` for anything but a forest."""
    listed = isinstance(parents, Sequence) or (isinstance(parents, np.ndarray) and parents.ndim == 1)
    if not listed or isinstance(parents, str) or len(parents) != n_features:
        raise ConfigError(f"parents must name one parent (or -1) for each of {n_features} features.")
    for parent in parents:
        check.integer("parents", parent, at_least=-1, at_most=n_features - 1)
    parent_of = np.asarray(parents, int)
    above = parent_of
    for _ in range(n_features):
        above = np.where(above >= 0, parent_of[above], -1)
    if (above >= 0).any():
        raise ConfigError(f"parents must hold no cycle, got one through feature {int(np.flatnonzero(above >= 0)[0])}.")
    return parent_of


def absorption(
    directions: np.ndarray,
    decoder: np.ndarray,
    x: np.ndarray,
    latents: np.ndarray,
    parents: Any,
    matched_latent: np.ndarray,
    represented: np.ndarray,
) -> np.ndarray:
    r"""Absorption of every feature that is a parent, (n_features,); NaN for the others.

    Of the inputs with $x_i > 0$ for a parent i: the share where i's latent is silent and one active latent l speaks for it
    through a child. Write l's unit decoder column by least squares as $a\,\hat d_i + b\,\hat d_j$ with the directions of
    parent and child; for orthogonal ones a and b are the cosines, otherwise interference between the two is no absorption.
    Latent l absorbs if

    $$b \ge \tfrac12 \quad\text{and}\quad z_l \,\|D_l\|\, a \ge 0.4\; x_i \,\|d_i\|, \quad a > 0,$$

    for one of i's children j. The parent's latent is the one matched to it if their cosine is at least 1/2; a parent without
    one counts as silent. NaN also for features that are not represented, have no represented child, or are never positive.

    Chanin et al. 2024, "A is for Absorption" (full absorption, as in SAEBench). Adapted: the probe and its projection are
    the true direction and the true amount $x_i \|d_i\|$; the main latents are the one matched; the absorbing latent must
    point at a child, and is the strongest of those, not of all.
    """
    C, D = cosines(directions, decoder), cosines(directions, directions)
    lengths, sizes = np.linalg.norm(decoder, axis=0), np.linalg.norm(directions, axis=0)
    scores = np.full(len(x), np.nan)
    for i in np.flatnonzero(represented):
        children = np.flatnonzero((parents == i) & represented)
        present = np.flatnonzero(x[i] > 0)
        if not len(children) or not len(present):
            continue
        c = D[i, children][:, None]
        apart = np.abs(c) < COLLINEAR
        determinant = np.where(apart, 1 - c**2, 1)
        a = (C[i] - c * C[children]) / determinant
        b = (C[children] - c * C[i]) / determinant
        carries = np.where(apart & (b >= ALIGNED_ABOVE) & (a > 0), a, 0).max(axis=0) * lengths
        silent = np.ones(len(present), bool)
        latent_of_parent = matched_latent[i]
        if latent_of_parent >= 0 and C[i, latent_of_parent] >= ALIGNED_ABOVE:
            silent = latents[latent_of_parent, present] == 0
            carries[latent_of_parent] = 0
        absorbing = np.flatnonzero(carries)
        amount = (latents[np.ix_(absorbing, present)] * carries[absorbing, None]).max(axis=0, initial=0.0)
        scores[i] = np.mean(silent & (amount >= CARRIED_ABOVE * x[i, present] * sizes[i]))
    return scores
