r"""The asymmetric superposition motif, and the neuron that inhibits what it spills.

One neuron serves two features with reciprocal weights, in the paper $W_1 = [2, -\tfrac12]$ and $W_2 = [\tfrac12, 2]$:
each comes out with slope 1 (2 · ½ = ½ · 2 = 1), a on its positive side and b on its negative one. Interference is not
shared: b reaches output a with ½ · ½ = ¼, which may be ignored, and a reaches output b with 2 · 2 = 4. A second
neuron that reads the same side of a therefore inhibits output b. Elhage et al. 2022, "Computation in Superposition",
"The Asymmetric Superposition Motif".
"""

from typing import NamedTuple

import numpy as np

from superpos import arrays, check
from superpos.analysis.circuits import Circuit, circuit_of, single_feature_slopes

# Slopes of a feature on its own through the motif's neuron that count as serving it; perfect is 1.
SERVES = (0.5, 1.5)
# By how much the weights of the two features must differ, in W1 and the other way round in W2; the paper's by 4.
ASYMMETRY = 2.0
# Share of the interference that the inhibiting neuron must take away.
CANCELS = 0.5


class Motif(NamedTuple):
    """One neuron that serves two features unequally, and the neuron that inhibits the output it disturbs."""

    neuron: int
    inhibitor: int
    primary: int  # the feature with the large input weight
    secondary: int  # the feature with the large output weight, whose output is disturbed
    input_ratio: float  # |W1[neuron, primary] / W1[neuron, secondary]|, 4 in the paper
    output_ratio: float  # W2[secondary, neuron] / W2[primary, neuron], 4 in the paper
    slopes: tuple[float, float]  # of primary and secondary through the neuron, 1 in the paper
    interference: float  # slope of the primary on the secondary's output through the neuron, 4 in the paper
    cancelled: float  # share of it that the inhibitor takes away


def asymmetric_motifs(
    circuit: Circuit, *, asymmetry: float = ASYMMETRY, serves: tuple[float, float] = SERVES, cancels: float = CANCELS
) -> list[Motif]:
    r"""All asymmetric motifs of one model, those of the largest cancelled interference first.

    Neuron k, primary a and secondary b are one where, with $u_i = |W_1[k, i]|$ and $v_i = W_2[i, k]$,

    * both features are served, on the side $\pm$ of 0 that k reads: $u_a v_a$ and $u_b v_b$ lie within `serves`, and so do
      the slopes $E^{\pm}_{aa}$ and $E^{\pm}_{bb}$ of all neurons together (`single_feature_slopes`),
    * weights are reciprocal: $u_a / u_b \ge$ `asymmetry` and $v_b / v_a \ge$ `asymmetry`, so that a disturbs output b with
      slope $u_a v_b \ge u_b v_b \cdot$ `asymmetry`,
    * and another neuron j, of the same sign at a as k, inhibits output b by at least `cancels` of that slope:
      $-|W_1[j, a]|\,W_2[b, j] \ge$ `cancels` $\cdot\,u_a v_b$; of several, j is the one that takes away most. No other
      neuron brings the disturbance back: $E^{\pm}_{ba} \le (1 - $ `cancels` $)\,u_a v_b$.

    All are products and ratios within a neuron, so rescaling hidden neurons changes nothing, and permuting neurons or
    features permutes the answer. The numbers of the cut-offs are ours.
    """
    check.number("asymmetry", asymmetry, at_least=0)
    check.number("cancels", cancels, at_least=0)
    low, high = arrays.as_numpy("serves", serves, shape=(2,)).tolist()
    serves = (low, high)
    motifs, circuit = [], circuit_of(circuit)
    W1, W2 = circuit.W1, circuit.W2
    slopes_of = single_feature_slopes(W1, W2)
    for k, a in np.argwhere(np.abs(W1) > 0).tolist():
        u, v = np.abs(W1[k]), W2[:, k]
        E = slopes_of[(W1[k] < 0).astype(int), :, np.arange(len(u))].T  # (output, feature), on the sides that k reads
        served = _within(u * v, serves) & _within(np.diagonal(E), serves)
        if not served[a]:
            continue
        for b in np.flatnonzero(served & (asymmetry * u <= u[a]) & (v >= asymmetry * v[a])).tolist():
            taken = np.where(np.sign(W1[:, a]) == np.sign(W1[k, a]), -np.abs(W1[:, a]) * W2[b], -np.inf)
            taken[k] = -np.inf
            j, spilled = int(np.argmax(taken)), float(u[a] * v[b])
            if taken[j] >= cancels * spilled and E[b, a] <= (1 - cancels) * spilled:
                slopes = (float(u[a] * v[a]), float(u[b] * v[b]))
                ratios = (float(u[a] / u[b]), float(v[b] / v[a]))
                motifs.append(Motif(k, j, a, b, *ratios, slopes, spilled, float(taken[j] / spilled)))
    return sorted(motifs, key=lambda motif: -motif.interference * min(motif.cancelled, 1))


def _within(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    return (limits[0] <= values) & (values <= limits[1])
