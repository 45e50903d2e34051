r"""What the expected loss needs to know of a feature's magnitude m, for every law that has elementary terms.

A law is a mixture of parts, each uniform on $[c - d, c + d]$ with a share of the mass; a value of a discrete law is a part
with d = 0. With the share $w$ of each,

$$E\,e^{ism} = \sum w\,e^{isc} \frac{\sin sd}{sd}, \qquad
  E\,m\,e^{ism} = \sum w\,e^{isc} \Big(c\,\frac{\sin sd}{sd} - i d \Big(\frac{\sin y}{y}\Big)'_{y = sd}\Big),$$

and the integrals of a rectified line are polynomials on the piece of each part where the line is positive. The series of the
expected loss lives on an interval, so laws without a largest magnitude (exponential, folded normal) have no such terms.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from superpos.data import FeatureDistribution
from superpos.data import magnitudes as laws
from superpos.theory import characteristic as series
from superpos.theory.characteristic import Complex

Real = Float[Array, "..."]
Row = Float[Array, " n_features"]

# Laws whose magnitudes have an upper bound and elementary characteristic functions.
KNOWN = ("uniform", "signed_uniform", "constant", "discrete")
PLAIN = ("uniform", "signed_uniform")  # without numbers of their own


class PlainTerms(NamedTuple):
    """Terms of one law without numbers, uniform on [0, 1] or [−1, 1], for all features."""

    law: str

    @property
    def moments(self) -> tuple[Any, Any, Any]:
        """E m, E m² and E m³."""
        return laws.MAGNITUDE_MOMENTS[self.law]

    def reach(self, G: Real) -> Row:
        """The most that the features can send to every output, in size, (n_features,)."""
        above, below = jnp.sum(jnp.maximum(G, 0), axis=1), jnp.sum(jnp.maximum(-G, 0), axis=1)
        return jnp.maximum(above, below) if self.law == "uniform" else above + below

    def waves(self, slope: Real, offset: Row, order: int) -> series.Waves:
        r"""$E\,e^{ik\pi g_{ij} m_j}$, $E\,m_i e^{ik\pi g_{ii} m_i}$ and $e^{ik\pi\beta_i}$ for k = 1 … order."""
        return series.waves(slope, offset, order, self.law)

    def rectified(self, slope: Real, offset: Real) -> Real:
        r"""$E\,\mathrm{ReLU}(g_{ij} m_j + b_i)^2$, (n, n)."""
        return series.rectified(slope, offset, self.law)

    def own_error(self, slope: Row, offset: Row) -> Row:
        r"""$E\,(m_i - \mathrm{ReLU}(g_i m_i + b_i))^2$, (n,)."""
        return series.own_error(slope, offset, self.law)


class Part(NamedTuple):
    """A share of every feature's magnitudes, uniform on [low, low + width]; arrays (n_features,). One value without width."""

    share: Any
    low: Any
    width: Any  # or None


class MixedTerms(NamedTuple):
    """Terms of laws that are mixtures of parts; see `PlainTerms` for the methods."""

    parts: tuple[Part, ...]
    moments: tuple[Any, Any, Any]

    def reach(self, G: Real) -> Row:
        """The most that the features can send to every output, in size."""
        ends = [jnp.where(p.share > 0, p.low, 0) for p in self.parts]
        ends += [jnp.where(p.share > 0, p.low + p.width, 0) for p in self.parts if p.width is not None]
        most, least = jnp.maximum(jnp.stack(ends).max(0), 0), jnp.minimum(jnp.stack(ends).min(0), 0)
        sent = jnp.stack([G * most[None], G * least[None]])
        return jnp.maximum(jnp.sum(sent.max(0), axis=1), jnp.sum(-sent.min(0), axis=1))

    def waves(self, slope: Real, offset: Row, order: int) -> series.Waves:
        """Characteristic functions of every feature in every output, first moments of an output's own, and of the bias."""
        i = np.arange(len(slope))
        phis, psis = [], []
        for part in self.parts:
            half: Any = 0 if part.width is None else part.width / 2
            centre = part.low + half
            turn = series.harmonics(jnp.pi * slope * centre[None], order)
            own = turn.at(i, i)
            share, share_own = part.share[None, :, None], part.share[:, None]
            if part.width is None:
                phis.append(turn.scaled(share))
                psis.append(own.scaled(share_own * centre[:, None]))
                continue
            angle = jnp.pi * slope * half[None]
            powers, h = series.harmonics(angle, order), series.multiples(angle, order)
            quotient = series.sinc(h, powers.im)
            bend = series.sinc_slope(h[i, i], powers.re[i, i], quotient[i, i])
            phis.append(turn.scaled(share * quotient))
            first = Complex(share_own * centre[:, None] * quotient[i, i], -share_own * half[:, None] * bend)
            psis.append(own.times(first))
        return series.Waves(_sum(phis), _sum(psis), series.harmonics(jnp.pi * offset, order))

    def rectified(self, slope: Real, offset: Real) -> Real:
        """The mean square of a rectified line in feature j's magnitude, for every output i."""
        total: Any = 0.0
        for part in self.parts:
            start = offset + slope * part.low[None]
            square = jnp.maximum(start, 0) ** 2
            if part.width is not None:
                square = series.rectified(slope * part.width[None], start, "uniform")
            total = total + part.share[None] * square
        return total

    def own_error(self, slope: Row, offset: Row) -> Row:
        """The mean squared error of a feature alone."""
        total: Any = 0.0
        for part in self.parts:
            if part.width is None:
                is_on = offset + slope * part.low > 0
                error = jnp.where(is_on, (1 - slope) * part.low - offset, part.low) ** 2
            else:
                error = series.line_error(part.low, part.width, slope, offset)
            total = total + part.share * error
        return total


def _sum(terms: list[Complex]) -> Complex:
    total = terms[0]
    for term in terms[1:]:
        total = total.plus(term)
    return total


def are_known(features: FeatureDistribution) -> bool:
    """Whether magnitudes are of laws with elementary terms. (Constants without a number are left to linear models.)"""
    if laws.is_plain(features):
        return features.magnitude in PLAIN
    return set(laws.laws_of(features)) <= set(KNOWN)


def terms_of(features: FeatureDistribution) -> PlainTerms | MixedTerms:
    """What the expected loss needs of the magnitudes of these features, which `are_known`."""
    if laws.is_plain(features):
        assert isinstance(features.magnitude, str)
        return PlainTerms(features.magnitude)
    n, parts = features.n_features, []
    for law in laws.laws_of(features):
        share = jnp.asarray(laws.has(law, features), float)
        match law:
            case "uniform":
                low = laws.number(features, "magnitude_low")
                parts.append(Part(share, low, laws.number(features, "magnitude_high") - low))
            case "signed_uniform":
                parts.append(Part(share, jnp.full(n, -1.0), jnp.full(n, 2.0)))
            case "constant":
                parts.append(Part(share, laws.number(features, "magnitude_value"), None))
            case _:
                values, weights = laws.table(features)
                parts += [Part(share * weights[:, k], values[:, k], None) for k in range(values.shape[1])]
    return MixedTerms(tuple(parts), laws.moments_of(features))
