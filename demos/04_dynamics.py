# %% [markdown]
# # 4 · Learning dynamics
#
# **Question.** The end of training is geometry. What happens on the way there?
#
# **Time.** 2 minutes of computing on two cores. **You need** `01_superposition_in_ten_minutes`, the dimensionality $D_i$ of
# `03_geometry`, and a first-order differential equation.
#
# **Afterwards you can**
#
# - derive how one feature grows in time,
# - say why important features come first,
# - tell from a loss curve when features find their partners.

# %%
import matplotlib.pyplot as plt

import superpos as sp
from superpos.analysis.dynamics import even_stages
from superpos.experiments.double_descent import losses
from superpos.experiments.learning_dynamics import growth, trajectory

sp.plot.use_style()

# %% [markdown]
# ## One feature, alone
#
# Begin with the smallest network there is: one feature, one weight $w$, no ReLU and no bias, $\hat x = w^2 x$. With
# $a = w^2$, the importance $I$ and $\sigma^2 = \mathbb E\,x^2 = p/3$, its loss is
#
# $$L = I \sigma^2 (1 - a)^2.$$
#
# **Predict.** Gradient descent with learning rate $\eta$ moves $w$ by $-\eta\, \partial L / \partial w$ in a step. Show that
# $a$ grows logistically, $\dot a = \gamma\, a (1 - a)$. What is $\gamma$? And how many times longer does a
# feature of importance ¼ take to come half-way than one of importance 1?

# %%
my_rate = ...  # a function, such as lambda eta, importance, p: eta * importance * p
my_delay = ...  # a number

# %% [markdown]
# **Change** what you like here: the density, the learning rate, where the weights start, the importances (three of them).

# %%
eta, p, importances = 0.1, 0.2, [1.0, 0.5, 0.25]
task = sp.tasks.Toy(
    n_features=1,
    n_hidden=1,
    activation="identity",
    bias=False,
    feature_probability=p,
    init_scale=0.02,
    objective="expected",
)
every = tuple(range(0, 2_401, 6))
slow = sp.TrainConfig(
    steps=2_400, learning_rate=eta, optimizer="sgd", schedule="constant", snapshots=every, history=1, weight_decay=0
)
lone = sp.sweep(task, slow, sp.Grid(bias=[False], importance=importances, seed=[0]))
measured = growth(lone.isel(seed=0, bias=0))

figure, ax = plt.subplots(figsize=(5.4, 3.2))
names = [f"importance {importance:g}" for importance in importances]
sp.plot.logistic_growth(measured["share"], measured["rate"], measured["step"], names, ax)
ax.legend()
plt.show()

# %% [markdown]
# Dots: the training. Dashed: straight lines of the slope that theory gives. What is logistic looks straight here.

# %%
sp.demos.check("growth_rate", my_rate, measured, eta, p)

# %%
sp.demos.check("delay", my_delay, measured)

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# $\partial L/\partial w = -4 I \sigma^2 (1 - a)\, w$, so $\dot a = 2 w \dot w = 8 \eta I \sigma^2\, a (1 - a)$: 4 from
# the loss, 2 from $a = w^2$. The way from the small $a_0$ to ½ takes $\log((1 - a_0)/a_0)/\gamma$, four times as long for
# a quarter of the importance.
#
# ```python
# my_rate = lambda eta, importance, p: 8 * eta * importance * p / 3
# my_delay = 4
# ```
# </details>
#
# So a linear network learns its features one after the other, in order of importance, each after a long wait and then
# quickly: the steps of its loss are features arriving.
#
# ## Many features, few dimensions
#
# Now the network with the ReLU, and features that are all alike: nothing but chance tells them apart. At $p = 1/3$ the best
# shape is the antipodal pair.
#
# **Predict.** On which values of $D_i$ will the features end? Name every level.

# %%
my_levels = ...  # a list, such as [0.2, 0.8]

# %%
n, m = sp.demos.size(full=(20, 4), quick=(8, 2))
many = sp.tasks.Toy(n_features=n, n_hidden=m, feature_probability=1 / 3, init_scale=0.1, objective="expected")
steps = 1_000
config = sp.TrainConfig(
    steps=steps, learning_rate=2e-3, schedule="constant", snapshots=tuple(range(0, steps + 1, 5)), history=1
)
result = sp.sweep(many, config, sp.Grid(seed=range(sp.demos.size(full=4, quick=1))))
path = trajectory(result.best("seed"))

# %%
figure, (above, below) = plt.subplots(2, 1, figsize=(6.4, 4.6), sharex=True, layout="constrained")
sp.plot.dimensionality_levels(path["dimensionality"], path["step"], above).set_xlabel("")
above.legend()
sp.plot.loss_steps(path["loss"], path["step"], below, windows=path["drop"].values[:-1])
plt.show()

# %%
sp.demos.check("levels", my_levels, path["dimensionality"].values[-1])

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# The two of a pair share one dimension evenly; whoever found no partner before the dimensions were full has nothing.
#
# ```python
# my_levels = [0, 1 / 2]
# ```
# </details>
#
# Below, the shaded stretches are drops of the loss, with flatter ones between. At first nobody is on a level: all features
# share everything. In the drops they part. Some climb to ½, two by two, the others fall to 0, and now and then one that
# was well on its way is overtaken. Once all have arrived, nothing happens any more.
#
# ## Watching it happen
#
# $W^\top W$ at stages chosen so that equally much changes between them. A pair is an orange diagonal with one blue square
# in its row: the partner at −1.

# %%
snapshots = result.best("seed").snapshots().W
stages = even_stages(snapshots, 6)
figure, axes = plt.subplots(1, len(stages), figsize=(9, 1.9))
for k, ax in zip(stages, axes, strict=True):
    sp.plot.gram(snapshots[k], ax).set_title(f"step {int(path['step'][k])}")
plt.show()

# %% [markdown]
# ## Few data points
#
# So far every step saw fresh inputs. Let there be only $T$ data points, the same in every step. Each has length 1, and the
# network has 200 sparse features and two dimensions. With few points it can know them by heart; with many it has to learn
# features instead.
#
# **Predict.** Where is the loss on *fresh* inputs worst: with the fewest points, with the most, or in between?

# %%
worst_at = ...  # "fewest", "between" or "most"

# %%
n_points = sp.demos.size(full=[4, 6, 10, 30, 100, 200, 500, 1_500], quick=[4, 100, 1_500])
scarce = sp.tasks.DoubleDescent(n_features=200, n_hidden=2, most_points=1_500, feature_probability=0.02)
config = sp.TrainConfig(
    steps=sp.demos.size(full=5_000, quick=2_500), warmup_steps=250, decay_bias=True, evaluation_samples=8_192
)
grid = sp.Grid(n_points=n_points, weight_decay=[0.01], seed=range(sp.demos.size(full=4, quick=1)))
every_seed = losses(sp.sweep(scarce, config, grid)).isel(weight_decay=0)
few = every_seed.mean("seed")
figure, axes = plt.subplots(1, 2, figsize=(8, 2.5), layout="constrained")
for name, color, ax in (("train_loss", "blue", axes[0]), ("test_loss", "red", axes[1])):
    ax.plot(n_points, every_seed[name].transpose("n_points", "seed"), ".", color=sp.plot.PALETTE["grey"])
    ax.plot(n_points, few[name], "-", color=sp.plot.PALETTE[color])
    ax.set(xscale="log", xlabel="data points T", ylabel=name.replace("_", " "))
sp.demos.check("worst_at", worst_at, few["test_loss"])

# %% [markdown]
# <details><summary>A nudge</summary>
#
# What does a network of known points say about a fresh one that shares a feature with some of them?
# </details>
#
# <details><summary>A worked answer</summary>
#
# Few points are given a direction each, and fresh inputs hardly touch them. Many points force the network to learn features,
# which helps fresh inputs too. In between it is crowded with points that it half knows, and fresh inputs are taken for them.
# This is **double descent** (Henighan et al. 2023). Dots are seeds, lines their mean. In so small a network the bump is a few
# percent high; `figures/double_descent.py` has larger ones.
#
# ```python
# worst_at = "between"
# ```
# </details>
#
# ## What you have seen
#
# - A lone feature grows logistically, at a rate proportional to its importance and density.
# - Features that share a space rise together, then part into levels of $D_i$.
# - Drops of the loss are features that arrive or fall away.
# - Few data points are memorised, many are generalised from, and in between the test loss is worst.
#
# ## What to try next
#
# - Give the lone feature a bias (`bias=[True]` in the grid). What becomes of $\sigma^2$?
# - Start with larger weights (`init_scale=1`). Which part of the story disappears?
# - `figures/learning_dynamics.py` has two sets of three correlated features that go through a plane to an octahedron,
#   with a film of it.
#
# **Open problems.** The moves are seen, not predicted: nobody has a formula for which features will pair up, and when.
# And does the smooth loss curve of a large network consist of many small events like these, too many to be told apart?
#
# **Read.** Elhage et al. 2022, [Toy Models of Superposition](https://transformer-circuits.pub/2022/toy_model/index.html),
# "Superposition and Learning Dynamics"; Saxe et al. 2014, [Exact solutions to the nonlinear dynamics of learning in deep
# linear neural networks](https://arxiv.org/abs/1312.6120), for the logistic curves; Henighan et al. 2023, [Superposition,
# Memorization, and Double Descent](https://transformer-circuits.pub/2023/toy-double-descent/index.html).
