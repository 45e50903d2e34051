# %% [markdown]
# # 3 · Geometry
#
# **Question.** Many features, all alike, share a few dimensions. How much of a dimension does each of them get?
#
# **Time.** 2 minutes of computing on two cores. **You need** `01_superposition_in_ten_minutes`, and eigenvalues for one
# remark.
#
# **Afterwards you can**
#
# - compute the dimensionality $D_i$ of a feature by hand,
# - prove that the $D_i$ cannot add up to more than the number of dimensions,
# - take a matrix apart into shapes in orthogonal subspaces.

# %%
import matplotlib.pyplot as plt
import numpy as np

import superpos as sp

sp.plot.use_style()

# %% [markdown]
# ## The dimensionality of a feature
#
# $$D_i = \frac{\lVert W_i\rVert^2}{\sum_j (\hat W_i \cdot W_j)^2}, \qquad \hat W_i = W_i / \lVert W_i \rVert$$
#
# is the share of its direction that feature $i$ has for itself: the sum runs over all features, $i$ included, and adds up
# how strongly each shows along $\hat W_i$. A feature that nobody disturbs has $D_i = 1$, one that is not represented 0.
#
# **Predict** $D_i$ for two opposite vectors, for three at 120°, and for five at 72°. All have length 1.

# %%
D_pair = ...
D_triangle = ...
D_pentagon = ...

# %%
figure, axes = plt.subplots(1, 3, figsize=(7, 2.4))
for n, ax in zip((2, 3, 5), axes, strict=True):
    angles = 2 * np.pi * np.arange(n) / n
    W = np.stack([np.cos(angles), np.sin(angles)])
    sp.plot.feature_directions(W, ax).set_title(sp.geometry(W).name)
plt.show()

# %%
sp.demos.check("dimensionalities", D_pair, D_triangle, D_pentagon)

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# $k$ vectors that look the same from each other and fill $d$ dimensions evenly get $d/k$ each.
#
# ```python
# D_pair, D_triangle, D_pentagon = 1 / 2, 2 / 3, 2 / 5
# ```
# </details>
#
# ## No free space
#
# **Predict.** Take any $W$ of three rows and as many columns as you like, of any lengths. How large can $\sum_i D_i$ become?

# %%
largest_sum = ...

# %%
rng = np.random.default_rng(0)
for n in (3, 5, 7, 100):
    sums = [3 * float(sp.geometry(rng.standard_normal((3, n))).packing) for _ in range(20)]
    print(f"{n:3d} random columns: ΣD_i from {min(sums):.2f} to {max(sums):.2f}")

# %%
sp.demos.check("packing_bound", largest_sum)

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# With $M = WW^\top$, $D_i = (W_i \cdot W_i)^2 / W_i^\top M W_i \le W_i^\top M^{-1} W_i$ by Cauchy and Schwarz, and the
# right-hand sides add up to $\mathrm{tr}\,(M^{-1} M)$, the number of rows. Equality needs every
# $W_i$ to be an eigenvector of $M$: the space splits into orthogonal parts, each filled evenly.
#
# ```python
# largest_sum = 3
# ```
# </details>
#
# ## Sums of shapes
#
# So features do best in shapes that fill a subspace evenly, put side by side in orthogonal subspaces (the paper calls this a
# *tegum product*). `sp.geometry` takes a $W$ apart into such pieces and names them.
#
# **Change** the matrix: other shapes, a tetrahedron, three pairs, more noise. How much noise until it is no shape any more?

# %%
noise = 0.02
angles = 2 * np.pi * np.arange(3) / 3
W = np.zeros((3, 5))
W[:2, :3] = np.cos(angles), np.sin(angles)  # a triangle in the plane …
W[2, 3:] = 1, -1  # … and a pair across it
W += noise * np.random.default_rng(1).standard_normal(W.shape)
print(sp.geometry(W))
sp.plot.feature_directions_3d(W)
plt.show()

# %% [markdown]
# Now place **seven** features in three dimensions so that nothing is wasted, $\sum_i D_i = 3$, in more than one piece.

# %%
my_W = ...  # 3 rows, 7 columns

# %%
sp.demos.check("tegum", my_W)

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# A pentagon and a pair: 5 × 2/5 + 2 × 1/2 = 3. (A hexagon and an axis do it, too.)
#
# ```python
# my_W = np.zeros((3, 7))
# my_W[:2, :5] = np.cos(2 * np.pi * np.arange(5) / 5), np.sin(2 * np.pi * np.arange(5) / 5)
# my_W[2, 5:] = 1, -1
# ```
# </details>
#
# ## What training chooses
#
# Many more features than dimensions, all equally important. As they get sparser, the network represents more of them:
# $D^* = m / \lVert W \rVert_F^2$ counts hidden dimensions per feature.
#
# **Predict.** It does not fall smoothly. Where will $D^*$ rest while $1/(1 - S) = 1/p$ goes from 2 to 4?

# %%
my_plateau = ...

# %%
n, m = sp.demos.size(full=(30, 5), quick=(5, 2))
task = sp.tasks.Toy(n_features=n, n_hidden=m, objective="expected")
grid = sp.Grid(
    feature_probability=1 / np.geomspace(1, 16, sp.demos.size(full=16, quick=5)),
    seed=range(sp.demos.size(full=3, quick=1)),
)
result = sp.sweep(task, grid=grid)
table = result.geometry()
figure, (above, below) = plt.subplots(2, 1, figsize=(6.6, 5.6), sharex=True, height_ratios=(1, 1.9))
best = table.isel(seed=result.best_index("seed"))
sp.plot.d_star(best["d_star"], above).set_xlabel("")
sp.plot.dimensionality(table["dimensionality"], below)
plt.show()

# %%
sp.demos.check("plateau", my_plateau, best["d_star"])

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# In this range antipodal pairs gain the most per dimension, so all dimensions are filled with them.
#
# ```python
# my_plateau = 1 / 2
# ```
# </details>
#
# Above: the best network at each density. Below: every feature of every network; crowds on a line are features in a shape.
# Beyond the plateau no one shape wins clearly, and the networks mix pentagons, antiprisms and irregular crowds.

# %%
for p in (0.33, 0.2, 0.1):
    cell = best.sel(feature_probability=p, method="nearest")
    print(f"1/(1 − S) = {1 / float(cell.feature_probability):.1f}: {cell['shape'].item()}")

# %% [markdown]
# ## Features that come together
#
# So far every feature came and went by itself. Now take four features in two dimensions, in two sets, {0, 1} and {2, 3}.
# *Correlated*: the two of a set are active together. *Anticorrelated*: they are never active together.
#
# **Predict.** The best shape is two antipodal pairs, both times. Where does the partner of feature 0 point: at a right angle
# to it (90) or opposite to it (180)?

# %%
angle_if_correlated = ...  # degrees
angle_if_anticorrelated = ...

# %%
sets, angles = ((0, 1), (2, 3)), []
figure, axes = plt.subplots(1, 2, figsize=(5.4, 2.6))
for kind, ax in zip(("correlated", "anticorrelated"), axes, strict=True):
    together = sp.tasks.Toy(n_features=4, n_hidden=2, feature_probability=0.1, **{f"{kind}_sets": sets})
    pairs = (
        sp.sweep(
            together,
            sp.TrainConfig(steps=sp.demos.size(full=3_000, quick=1_000)),
            sp.Grid(seed=range(sp.demos.size(full=8, quick=2))),
        )
        .best("seed")
        .model()
    )
    unit = np.asarray(pairs.W) / np.linalg.norm(pairs.W, axis=0)
    angles.append(np.degrees(np.arccos(np.clip(unit[:, 0] @ unit[:, 1], -1, 1))))
    sp.plot.feature_directions(pairs, ax, limit=1.3).set_title(kind)
axes[1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
sp.demos.check("partner_angles", angle_if_correlated, angle_if_anticorrelated, angles)

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# What points the other way disturbs, whenever both are active. So opposite is the place for features that never meet, and a
# right angle for those that always do.
#
# ```python
# angle_if_correlated = 90
# angle_if_anticorrelated = 180
# ```
# </details>
#
# ## What you have seen
#
# - $D_i$ is the share of a dimension that a feature has for itself.
# - The shares add up to at most $m$; shapes that fill their subspace evenly reach it.
# - Solutions are sums of such shapes, side by side.
# - From $1/p = 2$ to 4 all dimensions hold antipodal pairs.
# - Features that come together avoid each other; those that exclude each other share a dimension.
#
# ## What to try next
#
# - Does the plateau move with $n$, with $m$, or with neither? (`figures/feature_geometry.py` has 200 features in 20.)
# - Theory can be asked which shape should win: `sp.theory.uniform.winners([0.6, 0.3, 0.2, 0.1])`, after
#   `import superpos.theory.uniform`. Does training listen?
# - Make one feature less dense than the others (`feature_probability` takes one value per feature). What becomes of its
#   pentagon? `figures/nonuniform_density.py` follows it until it breaks.
#
# **Open problems.** Of the shapes that have names the best are known: past the square antiprism come Gosset's polytopes
# (`figures/gosset.py`). In many dimensions irregular arrangements beat even those: what are they, and is there a limit
# (`figures/thermodynamic_limit.py`)? And features of real networks are neither equal nor independent: which of this
# geometry survives there?
#
# **Read.** Elhage et al. 2022, [Toy Models of Superposition](https://transformer-circuits.pub/2022/toy_model/index.html),
# "The Geometry of Superposition"; Scherlis et al. 2022, [Polysemanticity and Capacity in Neural
# Networks](https://arxiv.org/abs/2210.01892), for the same number under the name of capacity.
