# %% [markdown]
# # 1 · Superposition in ten minutes
#
# **Question.** A network has two numbers to remember five things in. How many of the five can it keep?
#
# **Time.** 1 minute of computing on two cores, the rest is reading. **You need** vectors, dot products, and an idea of
# what training a network means.
#
# **Afterwards you can**
#
# - say what a feature, its density and superposition are,
# - read a picture of the columns of $W$, and the name of its shape,
# - train many small networks in one call, and choose the best.
#
# Lines with dots, `= ...`, are yours to fill in *before* you run on. Nothing breaks if you leave them: a check cell then
# says that there is no answer. Worked answers are folded below the checks.

# %%
import matplotlib.pyplot as plt
import numpy as np

import superpos as sp

sp.plot.use_style()

# %% [markdown]
# ## A network too small for its task
#
# The input $x$ has $n = 5$ *features*. Each is zero most of the time and otherwise a number between 0 and 1; $p$ is the
# probability that a feature is not zero, its **density** (papers speak of the sparsity $S = 1 - p$). The network
#
# $$h = W x, \qquad \hat x = \mathrm{ReLU}(W^\top h + b), \qquad
#   L = \tfrac1n \sum_i I_i\, \mathbb E\,(x_i - \hat x_i)^2$$
#
# squeezes $x$ into $m = 2$ hidden dimensions and tries to get it back (Elhage et al. 2022). The column $W_i$, a vector in
# the plane, is where feature $i$ lives. Two features are free of each other if $W_i \cdot W_j = 0$, and the plane has room
# for two such directions. The importance $I_i$ falls a little from feature to feature, so that there is something to choose.
#
# **Predict.** How many features will have a direction (length above ½) if all are active all the time ($p = 1$)?
# And how many if each is active one time in twenty ($p = 0.05$)?

# %%
fit_when_dense = ...  # a whole number, from 0 to 5
fit_when_sparse = ...

# %% [markdown]
# ## Train them
#
# Many densities, and several random starts of each, because small networks get stuck: the lowest loss counts. Training
# minimises the exact population loss (`objective="expected"`), without sampling noise, and 300 steps suffice. One call
# trains all of them; `sp.train(task)` would train one.

# %%
task = sp.tasks.Toy(n_features=5, n_hidden=2, importance=0.9 ** np.arange(5), objective="expected")
grid = sp.Grid(
    feature_probability=20.0 ** -np.linspace(0, 1.5, sp.demos.size(full=25, quick=7)),  # from 1 over 1/20 to 1/90
    seed=range(sp.demos.size(full=16, quick=2)),
)
result = sp.sweep(task, grid=grid)
result

# %% [markdown]
# Two of them, the best dense one and the best sparse one. Every line is a feature, from dark (the most important) to bright;
# the circle has radius 1.

# %%
dense = result.sel(feature_probability=1).best("seed")
sparse = result.sel(feature_probability=0.05, method="nearest").best("seed")
figure, axes = plt.subplots(1, 2, figsize=(5.4, 2.6))
for cell, title, ax in zip((dense, sparse), ("always active", "active one time in twenty"), axes, strict=True):
    sp.plot.feature_directions(cell, ax, limit=1.3).set_title(title)
axes[1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()
print(sp.geometry(dense.model().W), sp.geometry(sparse.model().W), sep="\n")

# %% [markdown]
# ## Were you right?

# %%
sp.demos.check("how_many_fit", fit_when_dense, dense)

# %%
sp.demos.check("how_many_fit", fit_when_sparse, sparse)

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# Dense features are all there at once, so sharing a direction garbles them always: the best is to keep the two most
# important ones and forget the rest. Sparse features rarely meet. Five directions in a plane are never orthogonal, but
# what a lone feature spills onto others is mostly negative or small, and the ReLU with a negative bias removes it.
#
# ```python
# fit_when_dense = 2
# fit_when_sparse = 5
# ```
# </details>
#
# ## The whole story in one picture
#
# Above: the best network at six densities (plots write $1 - S$ for $p$). Below: in what share of the random starts each
# arrangement was found, from dense on the left to sparse on the right.

# %%
best, table = result.best("seed"), result.geometry()
figure = plt.figure(figsize=(8, 4.2), layout="constrained")
above, below = figure.subfigures(2, 1, height_ratios=(1, 1.25))
sp.plot.directions_by_density(best, above.subplots(1, 6), [1, 0.5, 0.3, 0.15, 0.07, 0.02], best.geometry()["shape"])
sp.plot.shape_shares(table["shape"], below.subplots())
plt.show()

# %% [markdown]
# ## Draw one by hand
#
# The sparse end has a shape with a name. Write its $W$ yourself: 2 rows, 5 columns, all of length 1. The check measures
# angles and dimensionalities $D_i$ (the share of a dimension that feature $i$ has for itself); any turn of it is as good.

# %%
my_W = ...  # for example np.array([[...], [...]]), or np.stack([np.cos(angles), np.sin(angles)])

# %%
sp.demos.check("pentagon", my_W)

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# ```python
# angles = 2 * np.pi * np.arange(5) / 5
# my_W = np.stack([np.cos(angles), np.sin(angles)])
# ```
# </details>
#
# ## Your experiment
#
# **Change** the number of features and the density, guess how many will fit, and run both cells again. Which is the
# largest number you can get into the plane?

# %%
n = sp.demos.size(full=6, quick=5)
density = 0.03
my_guess = ...

# %%
mine = sp.tasks.Toy(n_features=n, n_hidden=2, feature_probability=density, objective="expected")
found = sp.sweep(mine, grid=sp.Grid(seed=range(sp.demos.size(full=16, quick=2)))).best("seed")
print(sp.geometry(found.model().W))
plt.figure(figsize=(2.8, 2.8))
sp.plot.feature_directions(found)
plt.show()
# %%
sp.demos.check("how_many_fit", my_guess, found)

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# ```python
# my_guess = n  # all of them: six features make a hexagon
# ```
# </details>
#
# ## Play
#
# `result.explore("superposition.html")` writes the sweep as one page that needs no network: a map of all networks, the
# geometry of the one you point at, and training live in the browser. Without a path it is shown right here, if the
# package `anywidget` is installed.
#
# ## What you have seen
#
# - Dense features get a dimension each, or nothing.
# - Sparse features share: five fit into two dimensions, as a pentagon.
# - They pay with interference, which the bias and the ReLU mostly remove.
# - Small networks get stuck, so one looks at the best of several starts.
#
# ## What to try next
#
# - `activation="identity"` in `Toy(...)` makes the network linear. Does it ever keep a third feature? Why not?
# - Make one feature ten times as important: `importance=[10, 1, 1, 1, 1]`. Is it still part of the polygon?
# - `02_phase_diagrams` asks *where exactly* superposition begins, and `03_geometry` what happens in many dimensions.
#
# **Open problems.** Which arrangement of $n$ sparse features in $m$ dimensions is the best is known for hardly any $n$ and
# $m$: it is a cousin of the Thomson problem, with one-sided repulsion. And nobody can say how many features a layer of a
# real language model holds, because nobody knows how to count them.
#
# **Read.** Elhage et al. 2022, [Toy Models of Superposition](https://transformer-circuits.pub/2022/toy_model/index.html),
# "Demonstrating Superposition".
