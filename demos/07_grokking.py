# %% [markdown]
# # 7 · Grokking
#
# **Question.** A small transformer sees somewhat less than half of a table of sums modulo a prime and knows it by heart
# soon. We go on training. What does it learn when there is nothing left to learn?
#
# **Time.** 3 minutes of computing on two cores, the rest is reading. **You need** sines and cosines, remainders, and an
# idea of what training and test data are.
#
# **Afterwards you can**
#
# - say what grokking is, and what weight decay has to do with it,
# - find the key frequencies of a model that adds,
# - test a claimed mechanism by keeping it alone, and by removing it.
#
# Lines with dots, `= ...`, are yours to fill in *before* you run on. Worked answers are folded below the checks.

# %%
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

import superpos as sp
from superpos.analysis import fourier
from superpos.experiments.grokking import progress_of

sp.plot.use_style()

# %% [markdown]
# ## Sums modulo p
#
# Tokens are the numbers $0, \dots, p-1$ and the sign "=". The model reads "$a$ $b$ =" and answers with logits for $c =
# a + b \bmod p$. It has one layer: four attention heads and a layer of ReLU neurons. It trains on a fixed random part
# of the $p^2$ pairs, all of them in every step, with *weight decay*: in every step all weights shrink a little, unless
# the loss holds them up.
#
# For the model, numbers are names. It is not told that 8 comes after 7.
#
# **Predict.** Let it know the training pairs (99 % right) after $T$ steps. After how many times $T$ will it know the
# pairs that it never saw? A guess within a factor of three counts.

# %%
times_as_long = ...  # a number: 1 for at once, 2 for twice as long …

# %% [markdown]
# ## Train
#
# **Change it**: come back here later, with less of the table (with 0.4 of it these steps are too few), other weight
# decays, another seed, or another operation: `operation="multiplication"`.

# %%
p = sp.demos.size(full=43, quick=31)
train_fraction, seed = sp.demos.size(full=0.45, quick=0.5), 0
steps = sp.demos.size(full=4_000, quick=2_200)
weight_decays = sp.demos.size(full=[1.0, 0.0], quick=[1.0])

task = sp.tasks.ModularAddition(
    p=p, d_model=48, d_mlp=128, train_fraction=train_fraction, gradient_pairs=round(train_fraction * p**2)
)
config = sp.TrainConfig(
    steps=steps,
    learning_rate=2e-3,
    schedule="constant",
    warmup_steps=10,
    decay_bias=True,
    snapshots=tuple(np.linspace(0, steps, sp.demos.size(full=41, quick=23), dtype=int).tolist()),
)
result = sp.sweep(task, config, sp.Grid(weight_decay=weight_decays, seed=[seed]), block_size=1)
grokked = result.sel(weight_decay=weight_decays[0], seed=seed)
table = progress_of(grokked)
control = None
if len(weight_decays) > 1:
    plain = result.sel(weight_decay=weight_decays[-1], seed=seed)
    control = xr.DataArray(plain["test_accuracy_history"].values, {"step": config.boundaries()}, dims="step")

# %%
figure, ax = plt.subplots(figsize=(6, 2.8), layout="constrained")
sp.plot.progress_curves(table.drop_vars("restricted_accuracy"), ax, of="accuracy", control=control)
figure.legend(*ax.get_legend_handles_labels(), loc="outside right upper")
sp.demos.check("grokking_delay", times_as_long, table)

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# About twenty times as long. Nothing in the training loss announces it, and nobody had expected it (Power et al. 2022).
#
# ```python
# times_as_long = 20
# ```
# </details>
#
# (The shades are phases; the end of this notebook explains them.) Two things to notice. Between the two rises the test
# accuracy is not at chance, $1/p$: the model soon finds that $a + b = b + a$, so it knows the mirror images of what it
# was shown. And without weight decay (dotted) nothing happens: both ways of knowing have zero training loss, but one of
# them needs smaller weights.
#
# ## What did it learn?
#
# Take the embeddings $W_E$ of the numbers $0 \dots p-1$ as functions of the number and write them in waves $\cos w_k a$
# and $\sin w_k a$, with $w_k = 2\pi k / p$. A list of arbitrary names would need all the frequencies $k$.

# %%
model = grokked.model()
energy = fourier.spectrum(model.W_E[:p])
untrained = fourier.spectrum(grokked.snapshots().W_E[0, :p])
figure, axes = plt.subplots(1, 2, figsize=(8, 2.4), layout="constrained", sharey=True)
for ax, values, title in zip(axes, (untrained, energy), ("before training", "after"), strict=True):
    ax.bar(np.arange(1, len(values)), 100 * values[1:] / values[1:].sum(), color=sp.plot.PALETTE["blue"])
    ax.set(title=title, xlabel="frequency k", xticks=np.arange(1, len(values), 2))
axes[0].set_ylabel("share of the energy (%)")
plt.show()

# %% [markdown]
# Which frequencies does it use? Name those that hold at least 80 % of the energy, and none that holds less than 3 %.

# %%
key_frequencies = ...  # a list of whole numbers

# %%
sp.demos.check("key_frequencies", key_frequencies, model.W_E[:p])

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# The peaks, by number:
#
# ```python
# share = energy[1:] / energy[1:].sum()
# key_frequencies = [int(k) + 1 for k in np.flatnonzero(share > 0.05)]
# ```
# </details>
#
# ## A circle
#
# Of frequency $k$ the model keeps a plane, in which the number $a$ lies at the angle $2\pi k a / p$. Turning once
# around takes all $p$ numbers, but their order is another one for each $k$. For the strongest frequency of your model
# (printed below): **which number stands beside 0 on its circle?** Work it out before you look. (There are two right
# answers.)

# %%
strongest = int(energy[1:].argmax()) + 1
print(f"p = {p}, k = {strongest}")
beside_0 = ...  # a whole number

# %%
figure, ax = plt.subplots(figsize=(3.8, 3.8), layout="constrained")
sp.plot.embedding_circle(fourier.key_plane(model.W_E[:p], strongest), strongest, ax)
sp.demos.check("neighbour", beside_0, strongest, p)

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# One step on the circle is $ka \equiv \pm 1$, so $a$ is plus or minus the inverse of $k$ modulo $p$.
#
# ```python
# beside_0 = pow(strongest, -1, p)
# ```
# </details>
#
# ## Adding with circles
#
# On a circle, adding is turning. From $\cos w_k a$, $\sin w_k a$ and those of $b$, products make $\cos w_k(a+b) = \cos
# w_k a \cos w_k b - \sin w_k a \sin w_k b$ and its sine; attention and the ReLU neurons supply the products. And then?
# **Write logits** for all pairs from these waves for *one* frequency, so that the largest one of every row is the right
# answer.

# %%
a, b = np.divmod(np.arange(p * p), p)  # all pairs, (p²,)
c = np.arange(p)  # all answers, (p,)
w = 2 * np.pi * strongest / p
logits = ...  # (p², p): functions of w * (a + b)[:, None] and w * c[None, :]

# %%
figure, ax = plt.subplots(figsize=(6, 2.4), layout="constrained")
keys = table["key"].values
for frequencies, color in ((keys[:1], sp.plot.PALETTE["grey"]), (keys, sp.plot.PALETTE["orange"])):
    wave = fourier.trig_logits(p, frequencies)[0] / len(frequencies)
    ax.plot(c, np.roll(wave, p // 2), "o-", ms=3, color=color, label=f"k = {', '.join(map(str, frequencies))}")
ax.set(xlabel="c − (a + b), shifted to the middle", ylabel="mean of the waves", xticks=[p // 2], xticklabels=["0"])
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
sp.demos.check("sums_by_hand", logits, p)

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# $\cos w(a+b-c)$ is 1 where $c \equiv a + b$ and less everywhere else.
#
# ```python
# logits = np.cos(w * ((a + b)[:, None] - c[None, :]))
# ```
# </details>
#
# So one frequency is enough to be right, but only just (grey): on the circle the neighbours of the right answer are
# nearly as good, and a small loss needs a clear winner. The waves of several frequencies agree at the right answer
# alone (orange).
#
# ## Is that how *this* model does it?
#
# The claim is that its logits are a sum of waves in $a + b$ of the key frequencies. So take all other parts of the
# logits away, or take these away, and look at the loss.
#
# **Predict.** Without the waves of its key frequencies, will it do worse than a model that knows nothing (loss $\ln
# p$)?

# %%
worse_than_chance = ...  # True or False

# %%
names = ["as it is", "key frequencies alone", *(f"without k = {k}" for k in keys), "without all of them"]
losses = [
    table.attrs["full_loss"],
    table.attrs["kept_loss"],
    *table["alone_removed"].values,
    table.attrs["removed_loss"],
]
figure, ax = plt.subplots(figsize=(6, 2.4), layout="constrained")
ax.barh(names, losses, color=sp.plot.PALETTE["blue"])
ax.axvline(np.log(p), color="black", ls="--", lw=1)
ax.set(xscale="log", xlabel="loss on all pairs (of single frequencies: on test pairs); dashed: ln p")
ax.invert_yaxis()
sp.demos.check("worse_than_chance", worse_than_chance, table)

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# Worse: what is left contradicts the right answers with confidence, where a model that knows nothing would say "no
# idea".
#
# ```python
# worse_than_chance = True
# ```
# </details>
#
# With the key frequencies *alone* the loss is lower than with everything: the rest only disturbs.
#
# ## It was not sudden
#
# Now that we know what to look for, we can look for it from the start. *Restricted*: the loss from the key frequencies
# alone. *Excluded*: the loss on the training pairs *without* them, which sees what is known by heart only.

# %%
figure, ax = plt.subplots(figsize=(6.4, 3), layout="constrained")
sp.plot.progress_curves(table, ax, of="loss")
figure.legend(*ax.get_legend_handles_labels(), loc="outside right upper")
plt.show()

# %% [markdown]
# Shaded are *memorisation*, until the excluded loss is least; *circuit formation*, until the test loss has fallen below
# half its maximum for good; and *clean-up*, until 99.9 % of the test pairs are right.
#
# The restricted loss falls from the beginning, long before the test loss does: the circuit grows all the while, hidden
# behind what is known by heart. The excluded loss rises again as the model stops relying on memory. What looks like an
# insight is the last act, in which weight decay clears the memory away.
#
# ## What you have seen
#
# - Training pairs are known early, test pairs many times later.
# - The model adds by turning circles of a few frequencies.
# - Removing these frequencies destroys it; keeping them alone improves it.
# - The circuit grows all the while, hidden behind what is known by heart.
#
# ## What to try next
#
# * Train on more and on less of the table. At which share is there no delay at all, at which no grokking? Is there a
#   sharp border?
# * Another seed: are the key frequencies the same? Are there as many?
# * `operation="multiplication"` has the same structure in disguise (there is a generator $g$ with $a = g^i$). What
#   happens to the spectrum above, and in which order of the numbers does it come back? And
#   `operation="sum_of_squares"`?
# * A smaller `init_scale`, as 0.3, leaves less to be cleared away. Does the delay go?
#
# **Open problems.** What decides the *number* of key frequencies, and which? Can the end of the delay be predicted from
# the first hundred steps? Does anything in large language models grok, one ability at a time, hidden in the average
# loss? And do the neurons here compute in superposition (notebook 6), with several frequencies in one neuron?
#
# **Read.** Power et al. 2022, [Grokking: Generalization Beyond Overfitting on Small Algorithmic
# Datasets](https://arxiv.org/abs/2201.02177); Nanda et al. 2023, [Progress measures for grokking via mechanistic
# interpretability](https://arxiv.org/abs/2301.05217); Zhong et al. 2023, "The Clock and the Pizza", for another algorithm
# that such models find; Varma et al. 2023, "Explaining grokking through circuit efficiency".
