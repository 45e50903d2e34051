# %% [markdown]
# # 12 · Take a problem
#
# **Question.** You have an open problem, and a network that did something. How does that become a claim that others
# can trust?
#
# **Time.** 1 minute of computing on two cores. **You need** `01_superposition_in_ten_minutes`.
#
# **Afterwards you can**
#
# - take a problem from the ledger, and write down what would count as an answer before you look,
# - give a share of seeds, or a mean over them, the interval that belongs to it,
# - say what may be concluded, and what not.

# %%
import matplotlib.pyplot as plt
import numpy as np

import superpos as sp
from superpos.analysis import mean_interval, share_interval
from superpos.experiments import Claims
from superpos.problems.ledger import numbered

sp.plot.use_style()

# %% [markdown]
# ## The problem
#
# `superpos problems` lists open problems of the field, with what this laboratory knows of each. Take number 4.20.

# %%
problem = numbered("4.20")
print(problem.title, f"({problem.state})\n\n{problem.question}\n\nOpen: {problem.open}")

# %% [markdown]
# A question is no experiment yet. Here is one small enough for a minute: five equally important features in two dimensions.
# At a density of 0.05 a pentagon is best. At 0.2 two antipodal pairs, which leave one feature out, are nearly as good.
# So **the test** is: at 0.2, do seeds of one task represent different sets of features? And **the control** is the same
# seeds at 0.05, where there should be less to choose from.
#
# ## What would count
#
# Decide it now, and write it down. A threshold that is chosen after the result always holds.
#
# Sixteen seeds are sixteen throws of a coin that you do not know. If k of them do something, the next one need not.
# *Wilson's interval* says which shares go with k of 16. "Most seeds do it" should mean: the whole interval is above one half.
#
# **Predict.** How many of 16 seeds does that take, at least?

# %%
seeds_needed = ...

# %%
sp.demos.check("seeds_needed", seeds_needed, 16)

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# Nine of sixteen are more than half, but `share_interval(9, 16)` begins at 33 %. Try 10, 11 and 12.
#
# ```python
# seeds_needed = 12
# ```
# </details>
#
# Our claims, with their thresholds, before anything is trained:

# %%
expected = {
    "at 0.2 seeds represent different sets": "a tenth or more leave a feature out, and a tenth or more do not (95 %)",
    "the density makes the difference": "more of the same seeds have all five at 0.05, by an interval above 0 (95 %)",
}

# %% [markdown]
# **Predict.** The share of seeds that end with all five features, in the test and in the control. (Right is what lies inside
# the interval of what is counted.)

# %%
share_in_test = ...
share_in_control = ...

# %% [markdown]
# ## Train
#
# Count all seeds, and choose their number before. Both densities use the same seeds, so they begin with the same weights.

# %%
n_seeds = sp.demos.size(full=32, quick=8)
task = sp.tasks.Toy(n_features=5, n_hidden=2, objective="expected")
grid = sp.Grid(feature_probability=[0.05, 0.2], seed=range(n_seeds))
result = sp.sweep(task, sp.TrainConfig(steps=300), grid, progress=False)
all_five = result.geometry()["n_represented"] == 5
test = all_five.sel(feature_probability=0.2).values
control = all_five.sel(feature_probability=0.05).values

figure, axes = plt.subplots(1, 2, figsize=(4.8, 2.5), layout="constrained")
for ax, has_all in zip(axes, (True, False), strict=True):
    seed = int(np.flatnonzero(test == has_all)[0]) if np.any(test == has_all) else 0
    sp.plot.feature_directions(result.sel(feature_probability=0.2, seed=seed), ax)
    ax.set_title(f"1 − S = 0.2, seed {seed}")
plt.show()

# %%
sp.demos.check("shares_of_seeds", share_in_test, share_in_control, (test.sum(), control.sum()), n_seeds)

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# About half at 0.2, and more than nine in ten at 0.05.
#
# ```python
# share_in_test, share_in_control = 0.5, 0.92
# ```
# </details>
#
# ## Intervals
#
# A share of seeds has Wilson's interval. The difference between the densities is a number per seed, 1, 0 or −1, and its mean
# has *Student's interval*. Since the seeds are the same, what a lucky start adds to both falls out.

# %%
shares = [share_interval(int(has.sum()), n_seeds) for has in (test, control)]
difference = mean_interval(control.astype(float) - test)
figure, ax = plt.subplots(figsize=(3.6, 2.4), layout="constrained")
for place, share in enumerate(shares):
    ax.plot([place, place], [share.low, share.high], "-", color="#0072B2", lw=2)
    ax.plot(place, share.estimate, "o", color="#0072B2")
ax.set(xlim=(-0.6, 1.6), ylim=(0, 1.03), ylabel="seeds with all five")
ax.set_xticks([0, 1], ["test, 0.2", "control, 0.05"])
plt.show()
print(f"difference {difference.estimate:.2f} ({difference.low:.2f} to {difference.high:.2f})")

# %% [markdown]
# ## What may you say?
#
# - 0: Some seeds of this task end with all five features, and some with four.
# - 1: At 0.2, at least a tenth of all seeds leave a feature out.
# - 2: At 0.05, every seed finds all five.
# - 3: Of the same seeds, more find all five at 0.05: the density makes the difference.
#
# **Predict.** Which of these sentences do these models bear out?

# %%
my_sentences = ...  # a list of places, from 0 to 3

# %%
sp.demos.check("may_say", my_sentences, test, control)

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# All but the one about every seed. Even if all that were trained had found five, the interval would begin below 100 %. The
# last one may say "makes", since nothing else was changed.
#
# ```python
# my_sentences = [0, 1, 3]
# ```
# </details>
#
# ## The claim
#
# Statement, threshold, what was measured, verdict. If a line is red it stays red, with the reason as far as it is known.

# %%
claims = Claims("an answer to problem 4.20")
left_out = share_interval(int((~test).sum()), n_seeds)
lows = left_out.low, shares[0].low
measured = (f"at least {left_out.low:.0%} and {shares[0].low:.0%}", f"{difference.low:.2f} to {difference.high:.2f}")
for (statement, threshold), said, holds in zip(
    expected.items(), measured, (min(lows) > 0.1, difference.low > 0), strict=True
):
    claims.check(statement, threshold, said, holds)
    print(claims.claims[-1].record())

# %% [markdown]
# **Change** the number of seeds to 8, and run from there. Which claim goes first, and is it less true? Then take a density of
# 0.1. Do not move the threshold: write a new one, and use new seeds.
#
# ## What you have seen
#
# - A claim is a sentence, a threshold that was there first, a number with an interval, and a control.
# - Sixteen of sixteen is not always, and nine of sixteen is not most.
# - With the same seeds on both sides a small difference is seen with few of them.
#
# ## What to try next
#
# - `docs/concepts/evidence.md` has the rules, each with an example from our own records, and a table of what may be said.
# - Take a problem that is open: `superpos problems 4.13`, or `superpos problems 3.12`.
# - Make it a figure: `docs/own/figure.md`.
#
# **Open problems.** Those of the ledger. And: how many seeds does it take until the rarest minimum is seen?
#
# **Read.** Elhage et al. 2022, [Toy Models of Superposition](https://arxiv.org/abs/2209.10652); Nanda 2023, [200 Concrete
# Open Problems in Mechanistic Interpretability](https://www.alignmentforum.org/s/yivyHaCAmMJ3CqSyj); Wilson 1927, *Probable
# Inference, the Law of Succession, and Statistical Inference*; Student 1908, *The Probable Error of a Mean*.
