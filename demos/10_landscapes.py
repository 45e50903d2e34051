# %% [markdown]
# # 10 · Landscapes
#
# **Question.** A network can come to rest in several shapes. Which of them does training find, which would a Bayesian hold,
# and why are they not the same?
#
# **Time.** 1 minute of computing on two cores. **You need** `03_geometry`, eigenvalues of a symmetric matrix, and logarithms.
#
# **Afterwards you can**
#
# - read from a Hessian how degenerate a minimum is,
# - weigh loss against degeneracy with a free energy, and say when a Bayesian learner changes its mind,
# - show a minimum that training loves and no posterior ever holds,
# - list the minima of a task of your own, with how wide their basins are.

# %%
from functools import partial

import matplotlib.pyplot as plt
import numpy as np

import superpos as sp
from superpos.experiments.bayesian_phases import free_energies, learned
from superpos.landscapes.posterior import one_active_loss
from superpos.theory.single_active_derivatives import single_active_derivatives

sp.plot.use_style()

# %% [markdown]
# ## A world small enough to know it all
#
# Six features, two dimensions, and *exactly one* feature active at a time, with a magnitude uniform on $[0, 1]$. Every output
# is then a straight line cut off at 0, and the loss of
# $\hat x = \mathrm{ReLU}(W^\top W x + b)$ is a sum of polynomials: no sampling, no series. (Chen et al. 2023. Their loss is
# the *sum* over features, and so it is here; `sp.expected_loss` is the mean.)
#
# Its known minima are regular polygons. A feature that is not on the polygon has no length. It may be **biased** (⁺), and
# answer everything with the best constant, or **dead** (⁻), and answer with nothing.

# %%
minima = sp.landscapes.polygon_minima(6).set_index(minimum="name")
names = ["6", "5⁺", "5⁻", "4⁻⁻"]
figure, axes = plt.subplots(1, 4, figsize=(8, 2.3), layout="constrained")
for name, ax in zip(names, axes, strict=True):
    row = minima.sel(minimum=name)
    sp.plot.feature_directions(row["W"].values, ax, limit=1.6)
    ax.set_title(f"{name}: L = {float(row['loss']):.5f}")
plt.show()

# %% [markdown]
# ## How degenerate is a floor?
#
# A model here has 18 parameters. At a minimum, some directions cost nothing: turn the plane, and every output stays as it
# is. The **local learning coefficient** λ counts the others, by half each, where the loss is smooth:
#
# $$\lambda = \tfrac12 \operatorname{rank} H.$$
#
# **Predict** λ for three of the minima: the hexagon; the pentagon beside a *dead* feature (its bias is well below 0, and
# what it sends to others is hidden behind their own negative biases); the pentagon beside a *biased* one.

# %%
lambda_hexagon = ...
lambda_pentagon_dead = ...
lambda_pentagon_biased = ...

# %% [markdown]
# Here are the curvatures, from analytic second derivatives. (Finite differences straddle the kinks of the ReLU, and show
# small curvatures where there are none.) Points at the bottom are zeros as far as a computer can tell.

# %%
figure, ax = plt.subplots(figsize=(6, 2.6), layout="constrained")
for name in ("6", "5⁻", "5⁺"):
    row = minima.sel(minimum=name)
    curvatures = np.linalg.eigvalsh(single_active_derivatives(row["W"].values, row["b"].values).hessian)
    ax.plot(range(1, 19), np.sort(np.maximum(np.abs(curvatures), 1e-17))[::-1], "o-", ms=4, lw=0.6, label=name)
ax.set(yscale="log", xlabel="curvatures, from the largest", ylabel="size", xticks=range(1, 19))
ax.legend()
plt.show()

# %%
sp.demos.check("degeneracy", lambda_hexagon, lambda_pentagon_dead, lambda_pentagon_biased)

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# The hexagon can only turn: $(18 - 1)/2$. The dead feature has three parameters that do nothing while they are small:
# $(18 - 1 - 3)/2$. A biased feature is not free: its bias is the best one, and its direction would disturb others.
#
# ```python
# lambda_hexagon, lambda_pentagon_dead, lambda_pentagon_biased = 17 / 2, 14 / 2, 17 / 2
# ```
# </details>
#
# There is a second way to λ, which needs no Hessian: walk about near the minimum as a posterior of many data would, and see
# how much loss that costs on average. `sp.llc` does it, with an error bar. It works for the square, too, which stands at
# kinks where no Hessian says the truth. (`gamma` holds the walks near the point. With 1, the default, one of them leaves the
# square for a lower polygon, and the estimate is refused.)

# %%
chains, draws = sp.demos.size(full=(16, 400), quick=(4, 100))
loss = partial(one_active_loss, shape=(2, 6))
for name in names:
    row = minima.sel(minimum=name)
    point = np.concatenate([row["W"].values.ravel(), row["b"].values])
    walk = sp.llc(loss, point, nbeta=1e5, gamma=30, chains=chains, draws=draws, refuse=False)
    print(f"{name:4s} λ = {float(walk['estimate']):.2f} ± {float(walk['standard_error']):.2f}")

# %% [markdown]
# ## What a Bayesian holds
#
# After $n$ data a posterior has a mass near every minimum. It is about $e^{-F}$, with the **free energy**
#
# $$F(n) = n L + \lambda \log n.$$
#
# The minimum of least $F$ is held. With few data the term of λ decides, and degenerate minima are ahead; with many the loss
# does. (This is for errors with the likelihood $e^{-|x - \hat x|^2}$. Constants are left out, and they are not small here:
# with them Chen et al. put the change below at 601 data.)
#
# **Predict.** The pentagon beside a dead feature has $L = 0.06874$ and the λ you found; the hexagon has $L = 0.04819$. From
# how many data on is the hexagon held? (Solve $n\,\Delta L = \Delta\lambda \log n$: guess an $n$ on the right, and repeat.)

# %%
my_change = ...

# %%
figure, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
free_energies(sp.landscapes.polygon_minima(6), ax, mark=False)
plt.show()

# %%
sp.demos.check("change_of_mind", my_change)

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# $\Delta L = 0.02055$ and $\Delta\lambda = 1.5$. From $n = 400$ the rule $n \leftarrow 73.0 \log n$ gives 437, 444, 445.
#
# ```python
# n = 400.0
# for _ in range(20):
#     n = 1.5 * np.log(n) / (0.06874 - 0.04819)
# my_change = n
# ```
# </details>
#
# **Change** the numbers of data. Is the square ever held? Why is 5⁺ not?

# %%
phases = sp.landscapes.bayesian_phases(sp.landscapes.polygon_minima(6), [30, 100, 300, 440, 450, 10_000])
for n, name, lead in zip(phases["n_data"].values, phases["name"].values, phases["lead"].values, strict=True):
    print(f"{n:7,.0f} data: {name:7s} {lead:5.1f} nats ahead of the next")

# %% [markdown]
# ## What training finds
#
# The hexagon has the lowest loss, and it is no more degenerate than 5⁺.
#
# **Predict.** In which of them do most models end that are trained by stochastic gradient descent, from random weights?

# %%
my_end = ...  # "6", "5⁺", "5⁻" or "4⁺⁺"; plain + and - will do

# %%
n_seeds, steps = sp.demos.size(full=(32, 2_000), quick=(12, 500))
task = sp.tasks.Toy(n_features=6, n_hidden=2, **sp.data.one_active(6))
config = sp.TrainConfig(steps=steps, batch_size=128, learning_rate=2.0, optimizer="sgd", schedule="cosine")
result = sp.sweep(task, config, sp.Grid(seed=range(n_seeds)))
ends = learned(result, sp.landscapes.polygon_minima(6))
print(*ends)

# %%
sp.demos.check("where_training_ends", my_end, ends)

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# Three or four in five end in 5⁺. A pentagon forms early, and then nothing pulls the sixth feature in: it has found the best
# constant, and every direction of the plane is taken. A posterior would have left for the hexagon, which has the same λ and
# less loss. Training does not weigh volumes: it goes downhill from where it starts.
#
# ```python
# my_end = "5⁺"
# ```
# </details>
#
# ## All minima, and their basins
#
# Perhaps it is the noise of the gradient that keeps models out of the hexagon? `sp.landscape` has none. It goes down the
# exact loss from many random starts, and from known shapes, until nothing slopes any more. Models that a rotation or an
# exchange of features turns into each other are one minimum. The share of starts that end there is the width of its basin.
#
# The table below lists all minima. `label` is the shape, and what the features do that have no place in it: a biased one is
# called *constant*. Which of the polygons from the beginning are there? **Change** the number of starts. What happens to the
# shares, and does a new minimum appear?
#
# **Predict.** Of 100 random starts, how many go down to the hexagon, and how many to the pentagon beside a biased feature?

# %%
into_hexagon = ...
into_pentagon_biased = ...

# %%
table = sp.landscape(task, starts=sp.demos.size(full=512, quick=64))
for k in range(table.sizes["minimum"]):
    row = table.isel(minimum=k)
    loss, share, coefficient = (float(row[key]) for key in ("loss", "share", "learning_coefficient"))
    words = f"{row['label'].item()} {row['flags'].item() and '(' + row['flags'].item() + ')'}"
    print(f"L = {6 * loss:.5f}  share {share:.2f}  λ = {coefficient:4.1f}  {words}")

sp.demos.check("basins", into_hexagon, into_pentagon_biased, table)

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# Without any noise about three starts in four end in the pentagon beside a biased feature, as under SGD. So it is not the
# noise: the basin of 5⁺ is four times as wide as the hexagon's. Neither the loss nor λ says how wide a basin is.
#
# ```python
# into_hexagon, into_pentagon_biased = 18, 74
# ```
# </details>
#
# ## What you have seen
#
# - λ is half the number of directions that cost something. A dead feature makes a minimum more degenerate, a biased one does
#   not.
# - A posterior holds the degenerate pentagon while data are few, and the hexagon when they are many.
# - Most trained models rest in 5⁺, which no posterior holds, however many data there are.
# - That is no matter of noise. The basin of 5⁺ is the widest, and how wide a basin is follows neither from L nor from λ.
#
# ## What to try next
#
# - Seven features: `polygon_minima(7)`, and a sweep of its own. "6*" is a hexagon with a corner that two features share. It
#   is a minimum, too, and missing in the table: what is its λ?
# - `sp.landscape(sp.tasks.Toy(n_features=5, n_hidden=2, feature_probability=0.15))`: features that are active independently
#   have other minima. `sp.landscapes.bayesian_phases` takes such a table, too.
# - `figures/bayesian_phases.py` samples the posterior itself, and shows where the constants put the change.
#
# **Open problems.** Large networks stop before any minimum, and nobody can list theirs. What does λ, sampled beside one point
# of a long valley, say there? And does training prefer degenerate minima at all? Here it does not.
#
# **Read.** Chen et al. 2023, [Dynamical versus Bayesian Phase Transitions in a Toy Model of
# Superposition](https://arxiv.org/abs/2310.06301); Lau et al. 2023, [The Local Learning Coefficient: A Singularity-Aware
# Complexity Measure](https://arxiv.org/abs/2308.12108), for the estimate by sampling; Watanabe 2009, *Algebraic Geometry and
# Statistical Learning Theory*, for the free energy.
