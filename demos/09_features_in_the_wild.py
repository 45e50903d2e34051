# %% [markdown]
# # 9 · Features in the wild
#
# **Question.** Features, superposition, polysemanticity, circuits, dictionaries, induction, grokking: how do these ideas
# hang together, and what of them holds in networks that nobody designed for it?
#
# **Time.** 3 minutes of computing on two cores, the rest is reading. **You need** notebook 1. Notebooks 2 to 8 go into what
# is touched here.
#
# **Afterwards you can**
#
# - say each idea in one sentence, and which one rests on which,
# - point to a model of a few hundred weights in which it can be seen,
# - say how a dictionary can be wrong although its loss is zero,
# - tell what is known of large networks from what is hoped.
#
# Every idea has one live cell. Lines with dots, `= ...`, are yours to fill in *before* you run on.

# %%
import jax
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

import superpos as sp
from superpos.analysis import circuit, features_per_neuron, neuron_has_feature, neuron_order
from superpos.experiments.grokking import progress_of
from superpos.experiments.induction_heads import through_training
from superpos.experiments.sae_absorption import family_cosines, family_map

sp.plot.use_style()

# %% [markdown]
# ## Features
#
# A **feature** is a property of the input that a network keeps track of: an edge at 45°, "this is French", "this name was
# mentioned before". The *linear representation hypothesis* says that a feature is a direction of a layer: the more of it
# there is, the further the activations move that way. In a toy model we decide what the features are, so that we can look.
# Each dot below is the hidden layer for one of 3,000 inputs. The lines are the columns of $W$.

# %%
five = sp.tasks.Toy(n_features=5, n_hidden=2, feature_probability=0.05)
W = np.asarray(sp.train(five, sp.TrainConfig(steps=3_000), seed=0).model.W)
h = W @ np.asarray(five.features.sample(jax.random.key(0), 3_000))
figure, ax = plt.subplots(figsize=(3, 3), layout="constrained")
sp.plot.feature_directions(W, ax, limit=1.4)
ax.plot(*h, ".", ms=4, color=sp.plot.PALETTE["grey"], zorder=0)
plt.show()

# %% [markdown]
# ## Superposition
#
# There may be far more features than dimensions. If they are sparse, a network can keep more of them than it has
# dimensions, at directions that are not orthogonal. This is **superposition**. The picture counts dimensions per feature,
# $D^* = m / \lVert W \rVert_F^2$, for twelve features in three dimensions. A value of 1 means a dimension for each.
#
# **Change** the number of features. Does the curve move?

# %%
task = sp.tasks.Toy(
    n_features=sp.demos.size(full=12, quick=5), n_hidden=sp.demos.size(full=3, quick=2), objective="expected"
)
densities = 1 / np.geomspace(1, 30, sp.demos.size(full=12, quick=5))
swept = sp.sweep(task, grid=sp.Grid(feature_probability=densities, seed=range(sp.demos.size(full=3, quick=1))))
figure, ax = plt.subplots(figsize=(5, 2), layout="constrained")
sp.plot.d_star(swept.best("seed").geometry()["d_star"], ax)
plt.show()

# %% [markdown]
# ## Polysemanticity
#
# One would like to read a network neuron by neuron. But neurons of real networks often fire for several things that have
# nothing to do with each other: they are **polysemantic**. Superposition explains it. If there are more directions than
# neurons, most directions cannot be a neuron. Here ten features pass through five ReLU neurons. A bar
# is a neuron, a numbered part a feature that it serves; grey parts are small or negative weights.
#
# **Predict.** At which of the two densities does a neuron serve more features?

# %%
more_features_at = ...  # 0.7 or 0.06

# %%
ten = sp.tasks.Computation(n_features=10, n_hidden=5, importance=0.75 ** np.arange(10))
grid = sp.Grid(feature_probability=[0.7, 0.06], seed=range(sp.demos.size(full=4, quick=2)))
neurons = sp.sweep(ten, sp.TrainConfig(steps=sp.demos.size(full=3_000, quick=1_500), evaluation_samples=8_192), grid)
figure, axes = plt.subplots(1, 2, figsize=(8, 2.4), layout="constrained")
counts = []
for density, ax in zip((0.7, 0.06), axes, strict=True):
    read = np.asarray(neurons.sel(feature_probability=density).best("seed").model().W)
    read = read[np.asarray(neuron_order(read))]
    counts.append(np.asarray(features_per_neuron(read)))
    sp.plot.stacked_weights(read, np.asarray(neuron_has_feature(read)), ax)
    ax.set_title(f"density {density:g}: weights of each neuron")
counts = xr.DataArray(counts, {"feature_probability": [0.7, 0.06]}, ("feature_probability", "neuron"))
sp.demos.check("polysemantic", more_features_at, counts)

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# Dense features cannot share a neuron without disturbing each other all the time, so each neuron has one. Sparse ones can.
#
# ```python
# more_features_at = 0.06
# ```
# </details>
#
# ## Circuits
#
# Features are computed from features. The weights that do it are a **circuit**, and a circuit can be read like a program, as
# long as one knows the features at both ends. This one computes three absolute values: $|x| = \mathrm{ReLU}(x) +
# \mathrm{ReLU}(-x)$ takes two neurons each. Black weights are positive, orange ones negative.

# %%
absolute = sp.tasks.Computation(n_features=3, n_hidden=6, target="absolute", tied=False, magnitude="signed_uniform")
config = sp.TrainConfig(steps=2_000, batch_size=256, evaluation_samples=8_192)
program = circuit(sp.sweep(absolute, config, sp.Grid(seed=range(sp.demos.size(full=8, quick=4)))).best().model())
order = np.asarray(neuron_order(np.abs(program.W1)))
figure, ax = plt.subplots(figsize=(5.4, 3), layout="constrained")
sp.plot.circuit(program.W1[order], program.W2[:, order], ax)
plt.show()

# %% [markdown]
# ## Dictionaries
#
# If features are directions and sparse, then an algorithm that writes activations as sparse sums of few directions should
# find them, without being told what they are: **dictionary learning**. Below a sparse autoencoder sees the dots of the first
# picture, and nothing else. Grey lines are the truth, coloured arrows what it found.

# %%
task = sp.tasks.SparseAutoencoder.of_toy(five, W, n_latents=5, architecture="relu")
config = sp.TrainConfig(steps=3_000, batch_size=sp.demos.size(full=512, quick=128), evaluation_samples=1_024)
dictionaries = sp.sweep(task, config, sp.Grid(sparsity_coefficient=[0.02, 0.4], seed=[0, 1, 2]))
figure, axes = plt.subplots(1, 2, figsize=(4.6, 2.4), layout="constrained")
for strength, ax in zip((0.02, 0.4), axes, strict=True):
    best = dictionaries.sel(sparsity_coefficient=strength).sae_scores(n_inputs=1_024)["mcc"].argmax("seed")
    decoder = dictionaries["W_dec"].sel(sparsity_coefficient=strength).isel(seed=int(best))
    sp.plot.recovered_directions(W, decoder.values, ax)
    ax.set_title(f"penalty {strength:g}")
plt.show()

# %% [markdown]
# ### Absorption
#
# A dictionary can be wrong although its loss is zero. Features come in families: a dog is always an animal, too. Below, a
# parent feature is active on 60 % of the inputs. Each of its three children is active on 16 %. No two children come together,
# and none comes without the parent. The dictionary may use about one latent per input.
#
# So it pays to give a child's latent the direction of child *and* parent: one latent does the work of two. Then the
# parent's own latent is silent wherever that child is, though the parent is there. This is **absorption**.
#
# **Predict.** If all three children absorb their parent, on what share of the parent's inputs is its own latent silent?

# %%
silent_share = ...  # a number between 0 and 1

# %%
family = sp.tasks.SparseAutoencoder(
    n_features=4,
    n_hidden=12,
    n_latents=8,
    feature_probability=np.array([0.6, 0.16, 0.16, 0.16]),
    magnitude="constant",
    architecture="batch_topk",
    k=1.0,
    parents=(-1, 0, 0, 0),
    exclusive_children=True,
)
config = sp.TrainConfig(steps=sp.demos.size(full=3_000, quick=800), batch_size=256, evaluation_samples=1_024)
absorbed = sp.sweep(family, config, sp.Grid(seed=range(sp.demos.size(full=6, quick=2))))
best = absorbed.best()
figure, ax = plt.subplots(figsize=(3.6, 2.2), layout="constrained")
figure.colorbar(family_map(family_cosines(family, best.model()), family.parents, ax), label="cosine")
ax.set_yticks(range(4), ["parent", "child 1", "child 2", "child 3"])
scores = absorbed.sae_scores(n_inputs=4_096)
explained = float(scores["explained_variance"].max())
print(f"the dictionary of least loss, in the picture, explains {explained:.1%} of the variance")
sp.demos.check("absorption", silent_share, family, scores["absorption"])

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# The latent is silent where some child is active. They are never active together, so their shares add up.
#
# ```python
# silent_share = 3 * 0.16 / 0.6
# ```
# </details>
#
# In the picture, a column is a latent. Every child's latent points along the parent as well: the row of the parent is
# orange throughout. Nothing in the loss gives it away. (A measured share of 1 means that the parent has no latent of its
# own at all.) Who reads "the animal latent is silent" as "there is no animal" is wrong on most animals.
#
# ## Induction
#
# Is there a circuit in language models that one can name? The best known is **induction**: look for the last place where the
# present word stood, and say what followed it there. It is a program of two attention heads, one after the other.
#
# **Predict.** Which depths can learn it, one layer of attention, two, or both?

# %%
depths = ...  # a list out of 1 and 2

# %%
words = sp.tasks.RepeatedTokens(d_vocab=16, n_positions=24, d_model=32, n_heads=2, shortest_period=6, longest_period=10)
config = sp.TrainConfig(
    steps=400,
    batch_size=32,
    learning_rate=1e-2,
    schedule="constant",
    snapshots=tuple(range(0, 401, 40)),
    evaluation_samples=1_024,
)
readers = sp.sweep(words, config, sp.Grid(n_layers=[1, 2], seed=[0]), block_size=1)
figure, ax = plt.subplots(figsize=(5, 2.4), layout="constrained")
sp.plot.repeat_loss_by_step(through_training(readers, n_sequences=32).sel(seed=0), ax)
ax.legend()
sp.demos.check("depths", depths, readers)

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# The second head must know what stood *before* each earlier word. Only another head can have told it.
#
# ```python
# depths = [2]
# ```
# </details>
#
# ## Grokking
#
# Circuits are learned, and not always when the loss says so. A transformer that adds modulo a prime knows its training
# pairs by heart soon. Much later it knows the others, too: **grokking**. Under the surface a circuit of rotating waves grew
# all the while.
#
# **Predict.** How many times as long does it take to know the pairs that it never saw? A factor of three is close enough.
# (The shades are phases; notebook 7 explains them.)

# %%
times_as_long = ...  # a number

# %%
p, steps = 31, sp.demos.size(full=2_500, quick=2_200)
sums = sp.tasks.ModularAddition(p=p, d_model=48, d_mlp=128, train_fraction=0.5, gradient_pairs=p**2 // 2)
config = sp.TrainConfig(
    steps=steps,
    learning_rate=2e-3,
    schedule="constant",
    warmup_steps=10,
    decay_bias=True,
    snapshots=tuple(range(0, steps + 1, 100)),
)
adder = sp.sweep(sums, config, sp.Grid(weight_decay=[1.0], seed=[0]), block_size=1).isel(weight_decay=0, seed=0)
progress = progress_of(adder)
figure, ax = plt.subplots(figsize=(6, 2.6), layout="constrained")
sp.plot.progress_curves(progress.drop_vars("restricted_accuracy"), ax, of="accuracy")
figure.legend(*ax.get_legend_handles_labels(), loc="outside right upper")
sp.demos.check("grokking_delay", times_as_long, progress)

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# About ten times as long here, and more with less of the table.
#
# ```python
# times_as_long = 10
# ```
# </details>
#
# ## How it hangs together
#
# 1. A network represents **features**, as directions.
# 2. There are more features than dimensions, and they are sparse. So they lie in **superposition**.
# 3. Neurons are few, directions are many. So neurons are **polysemantic**, and reading neuron by neuron fails.
# 4. **Circuits** go from features to features. They can be read only where the features are known.
# 5. **Dictionaries** are an attempt to get the features back, so that circuits can be read.
# 6. **Induction** and **grokking** are cases in which reading succeeded. They also show that a circuit may form within a
#    short time, or unseen, while the loss says little.
#
# ## What is known, and what is open
#
# | idea | known | open |
# |---|---|---|
# | features | many directions of language models have a meaning that people recognise | is every feature a direction? |
# | superposition | toy models do it, and theory says when | how many features does a real layer hold? |
# | polysemanticity | it is common in language models | how much of it is superposition, and how much chance? |
# | circuits | small ones are understood down to the weights | do explanations add up to a whole network? |
# | dictionaries | they find thousands of directions that people can name | which are missing, or absorbed by others? |
# | induction | the heads exist in models large and small | how much of learning from context are they? |
# | grokking | modular addition is understood | what in large models grows unseen? |
#
# ## What you have seen
#
# - Seven ideas, each in a model that trains in seconds.
# - A dictionary without any error can still say that a feature is absent where it is present.
# - Superposition is the link: it makes neurons hard to read, and dictionaries necessary.
# - Toy models can be checked against the truth. Real ones cannot, and this is where the open questions begin.
#
# ## What to try next
#
# - Give the dictionary fewer latents than there are features (`n_latents=4`), or more. What does it leave out, what does it
#   split?
# - Does a dictionary that is trained in nested parts absorb less (`architecture="matryoshka"`)? What if it may use two
#   latents per input (`k=2.0`)?
# - Take weight decay away from the adder (`weight_decay=[0.0]`). Does it still grok?
# - Follow one idea to its own notebook: 3 for geometry, 5 for dictionaries, 6 for circuits, 7 for grokking, 8 for induction.
#
# **Open problems.** Without a truth to compare with, which measurement tells a good dictionary from a bad one? Can one know
# that a list of features is complete? And can a circuit be watched while it grows, before it shows in the loss?
#
# **Read.** Elhage et al. 2022, [Toy Models of Superposition](https://transformer-circuits.pub/2022/toy_model/index.html)
# ([arXiv:2209.10652](https://arxiv.org/abs/2209.10652)); Scherlis et al. 2022, [Polysemanticity and Capacity in Neural
# Networks](https://arxiv.org/abs/2210.01892); Elhage et al. 2021, [A Mathematical Framework for Transformer
# Circuits](https://transformer-circuits.pub/2021/framework/index.html); Olsson et al. 2022, [In-context Learning and
# Induction Heads](https://arxiv.org/abs/2209.11895); Power et al. 2022, [Grokking](https://arxiv.org/abs/2201.02177); Nanda
# et al. 2023, [Progress measures for grokking via mechanistic interpretability](https://arxiv.org/abs/2301.05217); Bricken et
# al. 2023, [Towards Monosemanticity](https://transformer-circuits.pub/2023/monosemantic-features/index.html); Cunningham et
# al. 2023, [Sparse Autoencoders Find Highly Interpretable Features in Language Models](https://arxiv.org/abs/2309.08600);
# Chanin et al. 2024, [A is for Absorption](https://arxiv.org/abs/2409.14507).
