# %% [markdown]
# # 2 · Phase diagrams
#
# **Question.** Two features, one dimension. When do they share it?
#
# **Time.** 2 minutes of computing on two cores. **You need** `01_superposition_in_ten_minutes`, and integrals of polynomials
# if you want to derive the prices yourself.
#
# **Afterwards you can**
#
# - work out when sharing a dimension pays, from two prices,
# - read a phase diagram, and the map of lucky starts beside it,
# - say what makes a transition first-order.

# %%
import matplotlib.pyplot as plt
import numpy as np

import superpos as sp

sp.plot.use_style()

# %% [markdown]
# ## Three candidates and their prices
#
# The network $\hat x = \mathrm{ReLU}(W^\top W x + b)$ has one hidden dimension for two features. The first has importance 1,
# the other one, the *extra* feature, importance $r$; both are active with probability $p$, and then uniform on $[0, 1]$.
# What can it do?
#
# | candidate | $W$ | loss (sum over both) |
# |---|---|---|
# | ignore the extra feature | $[1, 0]$ | $r\,v$ |
# | ignore the first | $[0, 1]$ | $v$ |
# | share: an antipodal pair | $[1, -1]$ | $(1 + r)\,p^2/6$ |
#
# A feature that is left out costs its variance $v = p/3 - p^2/4$, if the bias says the mean $p/2$ in its stead. A feature of
# the pair is wrong only if *both* are active: then the output is $\mathrm{ReLU}(x_1 - x_2)$, the error $\min(x_1, x_2)$, and
# $\mathbb E \min^2 = 1/6$.
#
# **Predict.** Below which importance $r$, as a function of $p$, does it not pay to share? At which density do all three
# cost the same when both features are equally important?

# %%
my_boundary = ...  # a function, such as lambda p: p / 2
my_triple_point = ...  # a density

# %%
sp.demos.check("boundary", my_boundary)

# %%
sp.demos.check("triple_point", my_triple_point)

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# $r\,(p/3 - p^2/4) = (1 + r)\,p^2/6$ has the solution $r = 2p/(4 - 5p)$; it is 1 at $p = 4/7$.
#
# ```python
# my_boundary = lambda p: 2 * p / (4 - 5 * p)
# my_triple_point = 4 / 7
# ```
# </details>
#
# ## What training finds
#
# Theory compared three guesses. Training knows nothing of them. One network for every cell of the diagram and every random
# start; the best start is drawn, and on the right the share of the starts that found a solution as good.

# %%
cells, seeds = sp.demos.size(full=(48, 8), quick=(8, 4))
task = sp.tasks.Toy(n_features=2, n_hidden=1, importance=np.ones(2), objective="expected", order=16)
grid = sp.Grid(
    feature_probability=np.geomspace(1, 0.01, cells),
    relative_importance=sp.entry("importance", -1, np.geomspace(0.1, 10, cells)),
    seed=range(seeds),
)
result = sp.sweep(task, sp.TrainConfig(steps=200, history=1), grid)
result

# %%
table = result.phases()
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.9), layout="constrained")
sp.plot.phase_map(table["norm"], table["interference"], left, boundaries=sp.theory.boundaries(2))
figure.legend(handles=sp.plot.phase_keys(), title="the extra feature is", loc="outside lower left", ncols=3)
figure.colorbar(sp.plot.basin_map(table["basin_probability"], right), ax=right, label="share of the starts")
plt.show()
# %% [markdown]
# The dashed lines are your formula, its mirror image, and $r = 1$ on the dense side. On the sparse side theory and training
# agree to within a cell or two. Where they differ, the trained network found something better than all three candidates:
# a pair of *unequal* lengths.
#
# The border is sharp. The extra feature does not fade in: it is ignored, and a step further it shares.
#
# ## A first-order transition
#
# Two smooth solutions whose losses cross: that is a first-order transition, as between water and ice. It has a
# consequence that can be seen. Follow *one* solution while $r$ changes slowly (`sp.theory.follow` minimises again at every
# step, beginning where the last step ended): at first the network that ignores the extra feature while $r$ rises, then
# the one that shares while $r$ falls.
#
# **Predict.** Does the network that ignores the extra feature begin to share *before* the better solution changes, *at*
# that point, or *after*?

# %%
my_switch = ...  # "before", "at" or "after"

# %% [markdown]
# **Change** the density of this cut. How does the gap between the two jumps depend on it?

# %%
density = 0.2
r = np.geomspace(0.02, 4, sp.demos.size(full=161, quick=61))
importance = np.stack([np.ones_like(r), r], axis=1)
how = {"feature_probability": density, "order": 16, "nudge": 1e-3}
rising = sp.theory.follow([[1, 0]], [0, density / 2], r, importance=importance, **how)
falling = sp.theory.follow([[1, -1]], [0, 0], r[::-1], importance=importance[::-1], **how)
ignores, shares = np.abs(rising.W[:, 0, 1]), np.abs(falling.W[::-1, 0, 1])
before, after = ignores < 0.3, shares > 0.3  # while the one has not jumped yet, and while the other has not
both = before & after
crossing = r[both][np.argmin(np.abs(rising.loss - falling.loss[::-1])[both])]

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
sp.plot.hysteresis({"r rising": (r, ignores), "r falling": (r[::-1], shares[::-1])}, left)
left.set(xlabel="importance r of the extra feature", ylabel="its length")
left.axvline(crossing, color="#888888", ls=":", lw=1)
left.legend()
curves = {
    "dedicated": (r[before], rising.loss[before]),
    "antipodal pair": (r[after], falling.loss[::-1][after]),
}
sp.plot.branches(curves, right, crossing=crossing)
right.set(xlabel="importance r of the extra feature", ylabel="loss", yscale="log")
right.legend(title="the first feature")
plt.show()
# %%
sp.demos.check("hysteresis", my_switch, rising, crossing)

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# Ignoring stays a local minimum: a small $W_2$ lets the first feature disturb the output of the second, and that costs more
# than so small a weight repays. The network has to be pushed over a barrier, or $r$ has to grow until the barrier is gone.
#
# ```python
# my_switch = "after"
# ```
# </details>
#
# A random start seldom lies in that valley, so most find their way. But where two solutions are about equally good, many end
# in the slightly worse one: the dark cells of the right-hand map, all along the border. That is why the lab trains several
# starts and keeps the best.
#
# ## The same without a bias
#
# If the bias is held at 0 (`Toy(..., bias=False)`), a feature left out costs $p/3$, not $v$. Where is the boundary now?

# %%
my_boundary_without_bias = ...

# %%
sp.demos.check("boundary_without_bias", my_boundary_without_bias)

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# ```python
# my_boundary_without_bias = lambda p: p / (2 - p)
# ```
# </details>
#
# ## What you have seen
#
# - Two formulas for the loss give the border, before anything is trained.
# - Training agrees with it on the sparse side, and finds unequal pairs on the dense side.
# - The border is sharp, and a solution outlives the point where another becomes better.
# - Near the border many random starts end in the worse solution.
#
# ## What to try next
#
# - `superpos phase --hidden 2` on the command line draws the diagram of three features in two dimensions. Which of its
#   borders is vertical, and why?
# - `result.phases()` judges by two thresholds. Move them (`shared_above=0.1`): which part of the diagram changes?
# - Train the same sweep with `objective="sampled"` and 2,000 steps. What does noise do to the border, and what to the
#   share of lucky starts?
#
# **Open problems.** Is there a theory of these borders for more than a few features, one that does not list the candidates
# first? And do networks that matter switch suddenly, too, so that a capability appears at a sharp point of training or size?
#
# **Read.** Elhage et al. 2022, [Toy Models of Superposition](https://transformer-circuits.pub/2022/toy_model/index.html),
# "Superposition as a Phase Change".
