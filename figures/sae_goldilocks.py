"""How strongly to ask for sparsity: in a band of L1 coefficients, dictionaries that are large enough find all features.

    python figures/sae_goldilocks.py [--full] [--quick]

Sharkey, Braun and Millidge 2022, "Taking features out of superposition with sparse autoencoders". They average the error over
the hidden layer and divide the L1 penalty by the size of the dictionary: their α is λ · n_latents / n_hidden.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import superpos as sp
from superpos.data import geometric_probabilities
from superpos.experiments import Claims, publish, size_suffix
from superpos.experiments.sae_goldilocks import BAND, SILENT_BELOW, judge, scan
from superpos.script import run


def build(full: bool, quick: bool) -> tuple:
    """Random directions, some features rarer than others. Every size starts from a seed of its own, see `scan`."""
    n = 512 if full else 16 if quick else 64
    p = geometric_probabilities(n, 0.99, 5) if full else geometric_probabilities(n, 0.97, 1 if quick else 3)
    ratios = 2.0 ** np.arange(-2 if full else 0 if quick else -1, 6 if full else 2 if quick else 3)
    # Their α = 10^(e/4) for a dictionary as large as the features, of which the hidden layer has half.
    coefficients = 0.5 * 10.0 ** (np.arange(*(-8, 9) if full else (-6, 4), 3 if quick else 1) / 4)
    sizes = (n * ratios).astype(int)
    grid = [
        {"n_latents": size, "sparsity_coefficient": c, "seed": seed}
        for seed, size in enumerate(sizes.tolist())
        for c in coefficients.tolist()
    ]
    # Reviving dead latents would hide that a penalty kills them.
    task = sp.tasks.SparseAutoencoder(n_features=n, n_hidden=n // 2, n_latents=n, feature_probability=p, revival="none")
    config = sp.TrainConfig(steps=10_000 if full else 30 if quick else 2_500, batch_size=1024 if full else 256)
    return task, config, sp.Grid.points(grid)


def main(
    full: bool = False, quick: bool = False, results: Path = Path("results"), out: Path = Path("results/figures")
) -> int:
    """Load the sweep, or train it, draw the figure and judge it."""
    suffix = size_suffix(full, quick)
    path = results / f"sae_goldilocks{suffix}.zarr"
    result = sp.sweep(*build(full, quick), store=path)
    found = sp.cached(path, scan, result, n_inputs=1024 if quick else 16_384)
    claims = Claims("Sharkey et al. 2022, Taking features out of superposition", judged=not quick)
    judge(found, claims)
    with sp.plot.style():
        figure, axes = plt.subplots(2, 2, figsize=(8.2, 5), height_ratios=(1.3, 1), layout="constrained")
        chance = found["random_mmcs"].mean("sparsity_coefficient")
        sp.plot.coefficient_map(found["mmcs"], axes[0, 0], random=chance, band=BAND)
        image = sp.plot.coefficient_map(found["proxy"], axes[0, 1], random=found["random_proxy"])
        axes[0, 0].set_title("against the true features (MMCS)", loc="left")
        axes[0, 1].set_title("against the next larger dictionary", loc="left")
        figure.colorbar(image, ax=axes[0], label="mean max cosine similarity")
        true = float(found["l0_true"].mean())
        sp.plot.by_coefficient(found["l0"], axes[1, 0], label="active latents $L_0$", level=true).set(yscale="log")
        sp.plot.by_coefficient(found["silent_share"], axes[1, 1], label="share of silent latents")
        axes[1, 1].legend(loc="upper left")
        for ax in axes[1]:
            ax.set_xlim(axes[0, 0].get_xlim())
        text = (
            f"Top: cosine of the closest latent, mean over features (framed: above {BAND}), and mean over latents of the "
            f"closest latent of the next larger dictionary. Bottom: active latents (dashed: active features, {true:.2f}); "
            f"latents active on less than {SILENT_BELOW:g} of inputs. Features are random directions. The paper's α is "
            "λ × latents / hidden dimensions."
        )
        return publish(figure, sp.plot.caption(result.attrs, text), claims, path=out / f"sae_goldilocks{suffix}").status


if __name__ == "__main__":
    run(main)
