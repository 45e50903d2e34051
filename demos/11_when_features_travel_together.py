# %% [markdown]
# # 11 · When features travel together
#
# **Question.** Interference is the price of superposition. But what if the features that interfere are the ones that come
# together anyway?
#
# **Time.** 1 minute of computing on two cores. **You need** `01_superposition_in_ten_minutes`, and principal components.
#
# **Afterwards you can**
#
# - say when interference helps, and recognise a ring that has the order of the data,
# - tell such an order from chance, with a control and a p-value,
# - say how little n directions in m dimensions can overlap, and why a loss may fall with size because of it.

# %%
import matplotlib.pyplot as plt
import numpy as np

import superpos as sp
from superpos.experiments.bag_of_words import in_order

sp.plot.use_style()

# %% [markdown]
# ## Twelve months
#
# Think of texts. Each is written at some time of the year, a point $z$ of a circle, and a month is mentioned more often the
# nearer it is. So twelve features have places $c_i$ around the circle, and feature $i$ is active with probability
#
# $$P(x_i = 1 \mid z) = \sigma\big(5 \cos \angle(z, c_i) - 2\big).$$
#
# This picture shows how often two features are active together, over what it would be if they
# were independent. Neighbours come together, and opposite months hardly ever do.

# %%
world = {"n_features": 12, "world": "circle", "sharpness": 5.0, "log_odds": -2.0, "magnitude": "constant"}
features = sp.FeatureDistribution(**world)
p = np.asarray(features.probabilities)
together = np.asarray(features.co_activation()) / np.outer(p, p)
np.fill_diagonal(together, np.nan)

figure, ax = plt.subplots(figsize=(3.6, 3), layout="constrained")
image = ax.imshow(together, cmap="cividis")
figure.colorbar(image, ax=ax, label="active together, over chance")
ax.set(xlabel="feature", ylabel="feature")
plt.show()

# %% [markdown]
# ## Where does a linear model put them?
#
# Two dimensions, and no ReLU: $\hat x = W^\top W x + b$. An active feature $j$ adds $W_i \cdot W_j$ to the output of $i$.
#
# **Predict** the sign of that overlap, 1, 0 or −1: for neighbours, for features a quarter turn apart (three places), and for
# opposite ones.

# %%
sign_of_neighbours = ...
sign_a_quarter_turn_apart = ...
sign_of_opposite = ...

# %%
linear_task = sp.tasks.WorldToy(**world, n_hidden=2, activation="identity", objective="expected")
linear = sp.train(linear_task, sp.TrainConfig(steps=600, learning_rate=0.03), seed=0)
figure, ax = plt.subplots(figsize=(2.6, 2.6), layout="constrained")
in_order(np.asarray(linear.model.W), ax)
plt.show()
print(np.round(np.asarray(linear.model.W.T @ linear.model.W)[0, :7], 3))

# %%
sp.demos.check("ring_overlaps", sign_of_neighbours, sign_a_quarter_turn_apart, sign_of_opposite, linear)

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# The model keeps the two leading principal components, the first wave around the circle. So
# $(W^\top W)_{ij} = \cos(30° (i - j)) / 6$: positive for neighbours, 0 at a quarter turn, negative for opposite months.
# What a month spills onto its neighbour is what the neighbour is likely to be. This interference is *constructive*.
#
# ```python
# sign_of_neighbours, sign_a_quarter_turn_apart, sign_of_opposite = 1, 0, -1
# ```
# </details>
#
# ## Is that order, or do we only see one?
#
# A pentagon has an order, too, whatever the data. So we need a control: twelve *independent* features that are as frequent
# as these. And a number: `sp.analysis.ring_order` compares the order of the directions with that of the data, and says how
# often a random order does as well. A p-value below 0.01 counts.
#
# **Predict.** Models with ReLU and weight decay. Do the directions lie in the order of the data, on the circle and in the
# control?

# %%
circle_in_order = ...
control_in_order = ...

# %%
steps = sp.demos.size(full=2_000, quick=1_000)
config = sp.TrainConfig(steps=steps, batch_size=256, weight_decay=1.0)
relu = sp.train(sp.tasks.WorldToy(**world, n_hidden=2), config, seed=0)
independent = {"sharpness": 0.0, "log_odds": float(np.log(p[0] / (1 - p[0])))}
control = sp.train(sp.tasks.WorldToy(**world | independent, n_hidden=2), config, seed=0)

figure, axes = plt.subplots(1, 2, figsize=(5.2, 2.6), layout="constrained")
p_values = []
for ax, run, name in zip(axes, (relu, control), ("circle", "independent"), strict=True):
    in_order(np.asarray(run.model.W), ax)
    ax.set_title(name)
    p_values.append(sp.analysis.ring_order(run, above=0.1, permutations=999).p_value)
plt.show()

# %%
sp.demos.check("order_of_directions", circle_in_order, control_in_order, p_values)

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# Nothing tells independent features where to stand, so their order is as good as any other.
#
# ```python
# circle_in_order, control_in_order = True, False
# ```
# </details>
#
# **Change** the control. It represents few features, since they are so often active; and four of them have only three orders
# around a circle, so no p-value is small. With a log-odds of −4 they are rarer, and more of them find a place. Are they in
# order then? One control in a hundred may look so: that is what a p-value of 0.01 means.
#
# ## What is the ReLU for, then?
#
# The linear model already uses what the features have in common.
#
# **Predict.** The loss of the ReLU model, as a share of that of the linear one, in the same two dimensions.

# %%
my_share = ...

# %%
losses = float(relu.loss), float(sp.theory.principal_losses(features)[1])
sp.demos.check("relu_share", my_share, losses)

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# About 0.7. The linear ring answers opposite months with negative numbers, where the truth is 0. The ReLU cuts them off, so
# the ring can be larger, and its outputs steeper.
#
# ```python
# my_share = 0.7
# ```
# </details>
#
# ## When nothing travels together
#
# Now the other end: many independent features that all must be represented. Unit vectors cannot avoid each other. The mean
# of $(\hat W_i \cdot \hat W_j)^2$ over all pairs is at least the floor of Welch,
#
# $$\frac{n - m}{m\,(n - 1)} \approx \frac1m .$$
#
# If interference is what a model errs by, its loss falls about as this does, whatever the data: a scaling law from geometry
# (Liu, Liu and Gore 2025). **Predict** by what factor the floor falls for 60 features from 4 to 8 dimensions.

# %%
my_factor = ...

# %%
sp.demos.check("floor_factor", my_factor, 60, (4, 8))

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# ```python
# my_factor = (56 / 4) / (52 / 8)
# ```
# A little more than 2: as m comes near n there is room for all.
# </details>
#
# Here are four models with 8 dimensions. `unit_norm_pull` pulls every direction to length 1, so that no feature is dropped;
# weight decay drops the rare ones. Features are equally frequent, or as frequent as $1/i^2$.
#
# **Predict.** Which of the four overlap by no more than 2 % above the floor?

# %%
my_models = ...  # a list of places, from 0 to 3

# %%
task = sp.tasks.Toy(n_features=60, n_hidden=8, feature_probability=1 / 60)
laws = sp.power_law("feature_probability", [-1.0, 1.0], total=1)
steps = sp.demos.size(full=500, quick=300)
short = sp.TrainConfig(steps=steps, batch_size=512, learning_rate=0.02)
pulled = sp.sweep(task, short, sp.Grid(unit_norm_pull=[16.0], alpha=laws, seed=[0]), block_size=2)
decayed = sp.sweep(task, short, sp.Grid(weight_decay=[1.0], alpha=laws, seed=[0]), block_size=2)
names = ["pull, equal", "pull, 1/i²", "decay, equal", "decay, 1/i²"]
models = [result.isel(alpha=k).model() for result in (pulled, decayed) for k in range(2)]
for name, model in zip(names, models, strict=True):
    n_represented = int(sp.analysis.represented(model).sum())
    print(f"{name:13s} {n_represented:2d} features are represented")

# %%
sp.demos.check("near_the_floor", my_models, models)

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# Those with equal frequencies. Directions that spread evenly reach the floor, and weight decay drops nothing there, since
# no feature is rarer than another. Where some are much more frequent, these keep room for themselves: the others crowd
# together under the pull, and are dropped under decay.
#
# ```python
# my_models = [0, 2]
# ```
# </details>
#
# ## What you have seen
#
# - Features that come together may overlap: interference then adds what is likely to be there.
# - Directions take the order of the data. A control with the same frequencies has none.
# - Where nothing comes together, overlaps have a floor, about 1/m. A model that must represent everything meets it.
#
# ## What to try next
#
# - `world="line"`, `"sphere"` and `"figure_eight"`: what do the directions look like, and what should `in_order` join?
# - `figures/bag_of_words.py` does this for four worlds and eleven sizes; `figures/scaling_laws.py` draws losses against m.
# - Raise the sharpness. When does the ring break into clusters?
#
# **Open problems.** How much of the overlap between the directions of a language model is constructive? And which of its
# scaling comes from geometry, which from the data?
#
# **Read.** Prieto et al. 2026, [From Data Statistics to Feature Geometry: How Correlations Shape
# Superposition](https://arxiv.org/abs/2603.09972); Liu, Liu and Gore 2025, [Superposition Yields Robust Neural
# Scaling](https://arxiv.org/abs/2505.10465); Welch 1974, *Lower bounds on the maximum cross correlation of signals*.
