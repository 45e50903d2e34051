# %% [markdown]
# # 6 · Computing in superposition
#
# **Question.** Networks *store* more features than they have dimensions. Can they also *compute* more things than they
# have neurons, or do they only seem to?
#
# **Time.** 4 minutes of computing on two cores, the rest is reading. **You need** matrix products, the ReLU, and
# notebook 1.
#
# **Afterwards you can**
#
# - build an absolute value from two ReLUs,
# - compare a loss with the naive one, which computes nothing in superposition,
# - find the two-neuron motif in trained weights, and test it by ablation.
#
# Lines with dots, `= ...`, are yours to fill in *before* you run on. Worked answers are folded below the checks.

# %%
import matplotlib.pyplot as plt
import numpy as np

import superpos as sp
from superpos.analysis import ablation, asymmetric_motifs, circuit, naive_loss, neuron_order, relative_loss
from superpos.experiments.compressed_computation import measure

sp.plot.use_style()
absolute = {"target": "absolute", "tied": False, "magnitude": "signed_uniform"}

# %% [markdown]
# ## One |x| from two neurons
#
# Features are now uniform between −1 and 1 when they are active, and the network $\hat y =
# \mathrm{ReLU}\big(W_2\,\mathrm{ReLU}(W_1 x) + b\big)$ shall compute the absolute value of every one, $y_i = |x_i|$. A
# ReLU neuron sees one side of zero only. **By hand:** weights for one feature and two neurons, with
# $W_2\,\mathrm{ReLU}(W_1 x) = |x|$.

# %%
W1 = ...  # (2, 1), such as [[0.0], [0.0]]
W2 = ...  # (1, 2)

# %%
sp.demos.check("absolute_by_hand", W1, W2)

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# One neuron for each side: $|x| = \mathrm{ReLU}(x) + \mathrm{ReLU}(-x)$. Scaling a row of $W_1$ up and its column of
# $W_2$ down changes nothing.
#
# ```python
# W1 = [[1.0], [-1.0]]
# W2 = [[1.0, 1.0]]
# ```
# </details>
#
# Three features and six neurons are exactly enough. Does training find it?

# %%
seeds = range(sp.demos.size(full=16, quick=4))
task = sp.tasks.Computation(n_features=3, n_hidden=6, **absolute)
config = sp.TrainConfig(steps=2_000, batch_size=256, evaluation_samples=8_192)
enough = sp.sweep(task, config, sp.Grid(seed=seeds))
found = circuit(enough.best().model())
figure, (left, right) = plt.subplots(1, 2, figsize=(7.6, 2.5), layout="constrained")
order = np.asarray(neuron_order(np.abs(found.W1)))
sp.plot.stacked_weights(found.W1[order], found.reads()[order], left)
left.set(title="input weights, a bar per neuron (best seed)")
right.semilogy(np.sort(enough["loss"].values), "o", color=sp.plot.PALETTE["blue"])
right.set(xlabel="seeds, from the best", ylabel="loss", xticks=range(0, len(enough["loss"]), 5))
plt.show()

# %% [markdown]
# The best seed gives every feature a neuron for its positive and one for its negative side: no superposition, nothing
# shared. Many seeds get stuck on the way, so of small networks we always take the best of several.
#
# ## Ten from six
#
# Now ten features, of falling importance, and six neurons. What would a network do that does *not* compute in
# superposition? It would solve the most important features one by one, and answer a constant for all others. That is
# the **naive baseline**. With $p$ the density, $E|x|^2 = 1/3$ and $E|x| = 1/2$, a feature that is ignored costs
# $I_i\,(p/3 - p^2/4)$:
#
# $$L_\mathrm{naive} = \frac1n \Big(\frac p3 - \frac{p^2}4\Big) \sum_{i \ \text{not solved}} I_i .$$
#
# Only a network with less loss than this deserves to be called superposed computation. **Predict.** How many of the ten
# features does the naive network solve?

# %%
solved = ...  # a whole number

# %% [markdown]
# **Change it**: the density decides. Is there any gain with dense features (`feature_probability=1.0`)? How sparse must
# they be?

# %%
ten = sp.tasks.Computation(
    n_features=10, n_hidden=6, importance=0.8 ** np.arange(10), feature_probability=0.1, **absolute
)
config = sp.TrainConfig(steps=4_000, batch_size=256, evaluation_samples=sp.demos.size(full=65_536, quick=8_192))
crowded = sp.sweep(ten, config, sp.Grid(seed=sp.demos.size(full=range(24), quick=[15, 23])))
relative = relative_loss(crowded["loss"].values, naive_loss(ten))
figure, ax = plt.subplots(figsize=(4.6, 2.3), layout="constrained")
ax.plot(np.sort(relative), "o", color=sp.plot.PALETTE["blue"])
ax.axhline(1, color="black", ls="--", lw=1)
ax.set(xlabel="seeds, from the best", ylabel="loss / naive loss", ylim=(0, None))
sp.demos.check("solved_naively", solved, ten)

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# Two neurons each, six in all:
#
# ```python
# solved = 3
# ```
# </details>
#
# The best networks lose clearly less. They serve more than three features with six neurons. How?
#
# ## A neuron with two jobs
#
# Elhage et al. (2022) found this motif. Let one neuron read two features with weights $W_1 = [2, -\tfrac12]$ and write
# to their outputs with $W_2 = [\tfrac12, 2]$. Both come out with slope 1, since $2 \cdot \tfrac12 = \tfrac12 \cdot 2 =
# 1$. The second feature hardly disturbs the first output ($\tfrac12 \cdot \tfrac12 = \tfrac14$). But the first disturbs
# the second terribly: $2 \cdot 2 = 4$. So a *second neuron* is needed, one that fires for the first feature, too, and
# inhibits the second output.
#
# The lab looks for this pattern. Here is the clearest case in your best network. Line width is the size of a weight,
# black is positive, orange negative, and weights of other features are faded.

# %%
for k in np.argsort(crowded["loss"].values):  # the best network that has the motif
    model = crowded.isel(seed=int(k)).model()
    if motifs := asymmetric_motifs(circuit(model)):
        break
motif = motifs[0]
found = circuit(model)
pair = [motif.primary, motif.secondary]
figure, ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
sp.plot.circuit(found.W1, found.W2, ax, features=pair)
print(f"neuron {motif.neuron + 1} serves features {motif.primary + 1} and {motif.secondary + 1};")
print(f"feature {motif.primary + 1} disturbs output {motif.secondary + 1} with slope {motif.interference:.1f}")

# %% [markdown]
# **Which neuron inhibits** the disturbed output?

# %%
inhibitor = ...  # its number in the picture

# %%
names = [f"neuron {k + 1}" for k in range(6)] + ["both of the motif"]
groups = [[k] for k in range(6)] + [[motif.neuron, motif.inhibitor]]
loss, rise = ablation(ten, model, groups, batches=sp.demos.size(full=8, quick=2))
figure, ax = plt.subplots(figsize=(5.4, 2.4), layout="constrained")
sp.plot.ablations(names, rise, ax, loss=loss, marked=[motif.neuron, motif.inhibitor, 6])
sp.demos.check("inhibitor", inhibitor, motif, found)

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# The orange line to the disturbed output comes from it:
#
# ```python
# inhibitor = motif.inhibitor + 1
# ```
# </details>
#
# Every neuron matters, and the bar of the whole motif is *not* the sum of its two: without the inhibitor the other
# neuron does harm, so that cutting both can cost less than cutting one. Whoever ablates neurons one by one counts such
# a circuit twice.
#
# ## Or does it only seem so?
#
# Another network was presented as computing 100 ReLUs with 50 neurons (Braun et al. 2025). Its neurons have a residual
# stream to pass $x$ along, and are asked for $y_i = x_i + \mathrm{ReLU}(x_i)$, with unit importance. In the published
# model the labels were slightly noisy, by accident: $y_i + \sigma (Mx)_i$ with a fixed random $M$.
#
# We train it with and without that noise, by squared errors $|y - \hat y|^2$ and by fourth powers $|y - \hat y|^4$, at
# twice as many features as neurons, and compare it with two that compute nothing in superposition:
#
# * the naive network: half of the ReLUs exactly, the other half not at all;
# * a linear control: since $\mathrm{ReLU}(x) = \tfrac12 x + \tfrac12 |x|$, half of every input goes a long way without
#   any computation.
#
# **Predict.** Which of the four will beat *both*, by more than a tenth?

# %%
winners = ...  # a list out of (2, 0.0), (2, 0.05), (4, 0.0), (4, 0.05): (exponent, noise)

# %%
features = sp.demos.size(full=40, quick=20)
compressed = sp.tasks.ResidualMLP(
    n_features=features, n_hidden=features // 2, feature_probability=2 / features, init_scale=0.5
)
config = sp.TrainConfig(
    steps=sp.demos.size(full=2_000, quick=1_000),
    batch_size=sp.demos.size(full=512, quick=256),
    evaluation_samples=16_384,
)
grid = sp.Grid(loss_exponent=[2, 4], label_noise=[0.0, 0.05], seed=[0])
table = measure(sp.sweep(compressed, config, grid, block_size=1))
figure, axes = plt.subplots(1, 3, figsize=(9.4, 2.7), layout="constrained", width_ratios=(1.5, 1, 1))
sp.plot.loss_over_naive(table["relative"], axes[0], linear=table["linear"])
for q, ax in zip((2, 4), axes[1:], strict=True):
    sp.plot.responses(table["response"].sel(loss_exponent=q, label_noise=0).isel(seed=0), ax)
    ax.set_title(f"exponent {q}, no noise")
sp.demos.check("computes", winners, table)

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# A squared error does not mind who pays: half of the features exactly and half not at all is as good as any other
# division. A fourth power punishes what is missed altogether, so all features get a share.
#
# ```python
# winners = [(4, 0.0), (4, 0.05)]
# ```
# </details>
#
# Squared error with clean labels (left column, and middle picture): some outputs get nearly all of their ReLU, some
# hardly any, and all together they are worth no more than the naive network. *With* noise it seems to beat the naive
# network, but what it learned is to undo the noise, which is linear: it stands just where the linear control does. That
# was the artefact. With a fourth power (right picture) every output gets an equal share and bends at zero, and the loss
# is far below both.
#
# The moral: a number below a baseline is worth as much as the baseline.
#
# ## What you have seen
#
# - Ten absolute values are served by six neurons, better than by any that split the work.
# - One neuron serves two features, while another one inhibits what it spills.
# - Cutting neurons one by one counts such a circuit twice.
# - A gain can be an artefact: noisy labels made one, and only the right baselines showed it.
#
# ## What to try next
#
# * At which density does ten-from-six begin to pay (`feature_probability` from 1 to 0.01)? `loss_exponent=4` there,
#   too?
# * `target="square"`: neurons without biases cannot make x² exactly. What do they make instead?
# * `sp.tasks.BooleanPairs`: AND and OR of all pairs of bits, far more gates than neurons.
#   (`figures/boolean_superposition.py`.)
# * Noise 0.02 and 0.2 instead of 0.05: at which does the squared error start to "win"?
#
# **Open problems.** Theory promises all pairwise ANDs of sparse bits from a width that grows only like a power of their
# logarithm (Hänni et al. 2024), and training finds far fewer: is that the optimiser's fault or the loss's? Do large
# networks compute in superposition, and how would one tell it from the artefact above, with no naive network to compare
# with? Is there a decomposition that finds a motif of two neurons without being told what a feature is?
#
# **Read.** Elhage et al. 2022, [Toy Models of Superposition](https://transformer-circuits.pub/2022/toy_model/index.html),
# "Computation in Superposition"; Braun et al. 2025, [Interpretability in Parameter
# Space](https://arxiv.org/abs/2501.14926); Bhagat et al. 2026, [Compressed Computation is (probably) not Computation in
# Superposition](https://arxiv.org/abs/2606.14673); Hänni et al. 2024, [Mathematical Models of Computation in
# Superposition](https://arxiv.org/abs/2408.05451).
