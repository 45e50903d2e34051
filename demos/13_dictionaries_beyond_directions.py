# %% [markdown]
# # 13 · Dictionaries beyond directions
#
# **Question.** A sparse autoencoder knows one thing: a feature is a direction, and a latent is its name. What becomes of
# features that are circles, of children that come with their parents, of two models at once, and of a layer that computes?
#
# **Time.** 1 minute of computing on two cores. **You need** `05_taking_features_back_out`, and
# `06_computing_in_superposition` for the fourth part.
#
# **Afterwards you can**
#
# - say how well K latents, one at a time, hold a circle, and derive it,
# - recognise *hedging*, and compute how far a latent leans towards a feature that it lacks room for,
# - tell the features that two models share from those that only one has, by the norms of a crosscoder,
# - read a transcoder against the circuit of the layer that it describes,
# - say why there is no MCC where features are manifolds, and what judges instead.
#
# Lines with dots, `= ...`, are yours to fill in *before* you run on. Worked answers are folded below the checks.

# %%
import matplotlib.pyplot as plt
import numpy as np

import superpos as sp
from superpos.analysis.matching import cosines, match
from superpos.demos.beyond_directions import basis
from superpos.experiments.hedging import child_cosine, hedged
from superpos.experiments.manifolds import explained, law_of_tiling
from superpos.experiments.transcoders import reading_weights, slopes_compared

sp.plot.use_style()

# %% [markdown]
# ## A feature that is a circle
#
# The day of the week, the month, an angle: such features are not there or absent, they are *somewhere* on a circle. Take
# the plainest: $h$ is a point of the unit circle in the plane, every one as likely as any other. A dictionary of K latents
# reads it with one latent at a time (TopK, k = 1), without a bias: $\hat h = z\,d_j$.
#
# Each latent then takes a piece of the circle, and projects it on its own direction.
#
# **Exercise 1.** Write the share of the variance that K evenly spread latents explain.

# %%
share_explained = ...  # a function of K

# %%
circle = sp.tasks.SparseAutoencoder(
    n_features=2, n_hidden=2, n_latents=16, manifolds=("circle",), feature_probability=1.0, magnitude="constant",
    architecture="topk", k=1.0,
)  # fmt: skip
config = sp.TrainConfig(steps=sp.demos.size(full=1_500, quick=150), batch_size=256, evaluation_samples=4_096)
tiles = sp.sweep(circle, config, sp.Grid(dictionary_size=[2, 3, 4, 8, 16], seed=range(sp.demos.size(full=6, quick=1))))

figure, axes = plt.subplots(1, 2, figsize=(6.4, 2.7), layout="constrained")
law_of_tiling(explained(tiles), axes[0])
of_four = tiles.sel(dictionary_size=4)
best_four = of_four.isel(seed=int(explained(of_four).argmax("seed")))
four = np.asarray(best_four.model().decoder)[:, :4]
sp.plot.recovered_directions(np.zeros((2, 1)), four, axes[1])
axes[1].set_title("four latents, best seed")
measured = {int(K): float(best) for K, best in explained(tiles).max("seed").to_series().items()}
sp.demos.check("tiling_law", share_explained, measured)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# A piece reaches π/K to either side of its latent. A point at the angle α from it leaves a projection of length cos α, and
# what is explained is its square. Take the mean over one piece.
# </details>
#
# <details><summary>A worked answer</summary>
#
# $E \cos^2\alpha$ over $|\alpha| \le \pi/K$ is $\frac12\big(1 + \frac{\sin 2\pi/K}{2\pi/K}\big)$: with three latents .707,
# with sixteen .987.
#
# ```python
# def share_explained(K):
#     return (1 + np.sin(2 * np.pi / K) / (2 * np.pi / K)) / 2
# ```
# </details>
#
# Nothing is wrong with these dictionaries, and yet no latent of theirs is a feature. They *tile* it, the more finely the
# more latents there are. **Change** k to 2.0. How many latents hold the circle exactly then?
#
# ## A child that always comes with its parent
#
# Now two ordinary features with orthogonal directions. The child (poodle) is only there when its parent (dog) is, then with
# probability q. But the dictionary has *one* latent, and no bias.
#
# **Predict.** For q = 0.5, what is the cosine of that latent with the *child*?

# %%
cosine_with_child = ...

# %%
chances = [0.1, 0.2, 0.3, 0.5]
parent = 0.3
family = sp.tasks.SparseAutoencoder(
    n_features=2, n_hidden=2, n_latents=1, directions=np.eye(2), parents=(-1, 0), magnitude="constant",
    architecture="topk", k=1.0,
)  # fmt: skip
densities = sp.vectors("feature_probability", [[parent, parent * q] for q in chances])
leaning = child_cosine(sp.sweep(family, config, sp.Grid(child=densities, seed=range(2))))

figure, ax = plt.subplots(figsize=(3.4, 2.6), layout="constrained")
q = np.linspace(0, 0.6, 50)
ax.plot(q, hedged(q), color="black", lw=1)
for seed in leaning["seed"].values:
    ax.plot(chances, leaning.sel(seed=seed), "o", ms=4, color=sp.plot.PALETTE["blue"])
ax.set(xlabel="probability of the child, given its parent", ylabel="cosine with the child")
sp.demos.check("hedged_child", cosine_with_child, chances[-1], leaning.isel(child=-1).mean())

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# The latent $d = (\cos\theta, \sin\theta)$ is active with the parent. It leaves $\sin^2\theta$ of a parent alone, and of both
# together $2 - (\cos\theta + \sin\theta)^2 = 1 - \sin 2\theta$. So
#
# $$(1 - q) \sin^2\theta + q\,(1 - \sin 2\theta) \quad\text{is least at}\quad \tan 2\theta = \frac{2q}{1 - q}.$$
#
# ```python
# cosine_with_child = np.sin(np.arctan(2 * 0.5 / (1 - 0.5)) / 2)
# ```
# </details>
#
# That is **hedging**: the latent of the parent takes some of the child along, although the two are independent directions,
# and the more of it the more often they meet. Reconstruction rewards it wherever there are too few latents. A penalty on
# activity does the opposite to dictionaries with enough of them: the child's latent speaks for the parent, too (absorption).
#
# ## Two models, one dictionary
#
# Two toy models were given twelve features: both have the first eight, and each has two of its own. A **crosscoder** reads
# both hidden layers and writes both, with one set of latents:
#
# $$z = \sigma\big(\textstyle\sum_m W_\mathrm{enc}^m h^m + b\big), \qquad \hat h^m = W_\mathrm{dec}^m z .$$
#
# Every latent has a column for each model. If a feature is only in one of them, the other's column has nothing to do.
#
# **Exercise 2.** Write a function that says how much of every latent is the second model's: the length of its part over the
# lengths of both. The rows of the decoder are the first model's five dimensions, then those of the second.

# %%
second_share = ...  # a function of a decoder, (10, n_latents), that returns a number for every latent

# %%
given = [[*range(8), 8, 9], [*range(8), 10, 11]]
world = sp.tasks.Toy(n_features=12, n_hidden=5, feature_probability=0.05)
toys = sp.sweep(
    sp.tasks.Toy(n_features=10, n_hidden=5, feature_probability=0.05),
    sp.TrainConfig(steps=sp.demos.size(full=2_000, quick=100), batch_size=512),
    sp.Grid(seed=[0, 1]),
)
models = [toys["W"].isel(seed=k).transpose("hidden", "feature").values for k in range(2)]
both = sp.tasks.Crosscoder.of_toys(world, models, given, n_latents=16, architecture="batch_topk", k=12 * 0.05)
read = sp.sweep(both, config, sp.Grid(seed=[0, 1, 2, 3])).best("seed")
scores = sp.analysis.score_crosscoder(
    both.directions, read.model().W_dec, both.parts, used=read.model().frequency[...] > 1e-3
)

figure, ax = plt.subplots(figsize=(4.6, 2.5), layout="constrained")
for name, features, color in (
    ("both models", range(8), "grey"), ("the first", (8, 9), "blue"), ("the second", (10, 11), "orange"),
):  # fmt: skip
    ax.plot(
        list(features),
        scores.feature_shares[1, list(features)],
        "o",
        color=sp.plot.PALETTE[color],
        label=f"given to {name}",
    )
ax.set(xlabel="feature", ylabel="share of the second model", ylim=(-0.05, 1.05), xticks=range(12))
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
print(scores)
sp.demos.check("share_of_norms", second_share, both.parts)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# `np.linalg.norm(D[:5], axis=0)` has the lengths of the first model's parts.
# </details>
#
# <details><summary>A worked answer</summary>
#
# ```python
# def second_share(D):
#     first, second = np.linalg.norm(D[:5], axis=0), np.linalg.norm(D[5:], axis=0)
#     return second / (first + second)
# ```
# </details>
#
# One word of caution. An L1 penalty shortens every part by the same amount, and the shorter part to nothing. A feature
# that the second model represents *weakly* then looks as if it were not there (`figures/crosscoders.py` has the law). That
# is why these latents are chosen by BatchTopK.
#
# ## A layer that computes
#
# A layer of twelve ReLU neurons learned to compute $|x_i|$ of six features that may be positive or negative. A
# **transcoder** reads what the layer reads and writes what the layer *adds*: rows of its encoder are directions before the
# layer, columns of its decoder directions after it.
#
# **Predict.** How many latents does it use for one feature?

# %%
latents_of_a_feature = ...

# %%
absolute = sp.tasks.Computation(
    n_features=6, n_hidden=12, feature_probability=0.05, target="absolute", tied=False, magnitude="signed_uniform",
    paired_init=True,
)  # fmt: skip
training = sp.TrainConfig(steps=sp.demos.size(full=2_500, quick=1_500), batch_size=512, evaluation_samples=4_096)
layer = sp.sweep(absolute, training, sp.Grid(seed=range(sp.demos.size(full=4, quick=2)))).best("seed")
layer_task = sp.tasks.Transcoder.of_layer(absolute, layer, n_latents=12, architecture="batch_topk", k=0.15)
reading = sp.TrainConfig(steps=1_500, batch_size=256, evaluation_samples=4_096)
transcoder = sp.sweep(layer_task, reading, sp.Grid(seed=range(sp.demos.size(full=4, quick=2)))).best("seed").model()
neurons = sp.analysis.circuit(layer.model())
latents = sp.analysis.transcoder_circuit(transcoder, np.eye(6))
slopes = sp.analysis.single_feature_slopes(neurons.W1, neurons.W2), sp.analysis.response_slopes(transcoder, np.eye(6))

figure, axes = plt.subplots(1, 3, figsize=(7.4, 2.5), layout="constrained")
for ax, circuit, name in zip(axes, (neurons, latents), ("neurons", "latents"), strict=False):
    reading_weights(circuit, ax)
    ax.set_title(f"what {name} read")
slopes_compared(*slopes, axes[2])
print(f"agreement of the slopes {sp.analysis.slope_agreement(*slopes):.3f}")
sp.demos.check("latents_of_a_feature", latents_of_a_feature, sp.analysis.latent_pairs(latents))

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# $|x| = \mathrm{ReLU}(x) + \mathrm{ReLU}(-x)$, and a latent is never negative: one for each side.
#
# ```python
# latents_of_a_feature = 2
# ```
# </details>
#
# Left and middle are read by the same rule, once with neurons and once with latents as rows. The right picture is the
# stricter test: what every output does when one feature is active alone, by the weights of the neurons and by the whole
# transcoder. A transcoder that only *reconstructs* well need not pass it.
#
# ## Why there is no MCC on a circle
#
# Back to four latents on a circle. MCC matches latents with the true directions one to one. But which are the true
# directions of a circle? Its plane has many bases, and none is better than another.
#
# **Predict.** Is the MCC of those four latents the same in all of them?

# %%
same_in_every_basis = ...  # True or False

# %%
angles = np.linspace(0, np.pi / 2, 60)
mcc = [match(cosines(basis(angle), four)).mcc for angle in angles]
figure, ax = plt.subplots(figsize=(3.4, 2.3), layout="constrained")
ax.plot(np.degrees(angles), mcc, color=sp.plot.PALETTE["red"])
ax.set(xlabel="the basis is turned by (degrees)", ylabel="MCC, same dictionary", ylim=(0, 1.02))
try:
    sp.analysis.score_autoencoder(best_four.task(), best_four.model(), n_inputs=1_024)
except sp.ConfigError as refusal:
    print(refusal)
print(sp.analysis.manifolds_of(best_four.task(), best_four.model(), n_inputs=1_024))
sp.demos.check("same_mcc", same_in_every_basis, four)

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# Four latents stand at right angles. The basis that lies along two of them calls that perfect, and the one between them
# says .71. Turning the basis turns nothing that one could measure.
#
# ```python
# same_in_every_basis = False
# ```
# </details>
#
# So the lab refuses, and judges by what the basis cannot change: does the *subspace* of the manifold hold the latents'
# columns, how many are there, how many fire at once, and what do they explain? One at a time is called **shattering**, few
# that share the work **capture**, and many that do **dilution**.
#
# ## What you have seen
#
# - Latents tile what is no direction: K of them explain ½ (1 + sin(2π/K) / (2π/K)) of a circle, one at a time.
# - Too few latents hedge: tan 2θ = 2q / (1 − q).
# - The norms of a crosscoder say which model has a feature, and an L1 penalty distorts them.
# - A transcoder's latents can be read as neurons, and should be held against the circuit.
# - A score belongs to a picture of what features are. On manifolds MCC is a number about nothing.
#
# ## What to try next
#
# * Look at any of these in the page of `result.explore("page.html")`: latents are shown by manifold, by model, by what they
#   read and write.
# * `architecture="relu"` with `sparsity_coefficient=0.3` in the crosscoder, and one model's shared features made shorter.
# * `skip=True` in the transcoder with six latents: |x| = 2 ReLU(x) − x. What is on the diagonal of `W_skip`?
# * `figures/manifolds.py`, `hedging.py`, `crosscoders.py` and `transcoders.py` do the same at size, with claims.
#
# **Open problems.** Which features of language models are manifolds, and would a dictionary show it? Can hedging be told
# from a true direction when the truth is not known? When may a difference between two models be called a new feature?
#
# **Read.** Engels et al. 2024, [Not All Language Model Features Are One-Dimensionally
# Linear](https://arxiv.org/abs/2405.14860); Chanin, Dulka and Garriga-Alonso 2025, [Feature Hedging: Correlated
# Features Break Narrow Sparse Autoencoders](https://arxiv.org/abs/2505.11756); Lindsey et al. 2024, [Sparse
# Crosscoders for Cross-Layer Features and Model
# Diffing](https://transformer-circuits.pub/2024/crosscoders/index.html); Minder et al. 2025, [Overcoming Sparsity
# Artifacts in Crosscoders to Interpret Chat-Tuning](https://arxiv.org/abs/2504.02922); Dunefsky, Chlenski and Nanda
# 2024, [Transcoders Find Interpretable LLM Feature Circuits](https://arxiv.org/abs/2406.11944); Bhalla et al. 2026,
# [Do Sparse Autoencoders Capture Concept Manifolds?](https://arxiv.org/abs/2604.28119).
