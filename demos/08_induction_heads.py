# %% [markdown]
# # 8 · Induction heads
#
# **Question.** A language model reads `… Harry Potter … Harry` and says `Potter`, although nobody ever told it that
# name. Which parts of a transformer look it up, why does that take two layers, and how do you know that what you found
# is the mechanism and not a look-alike?
#
# **Time.** 3 minutes of computing on two cores, the rest is reading. **You need** matrix products, softmax, and a rough
# idea of what attention does.
#
# **Afterwards you can**
#
# - write the attention pattern of an induction head,
# - say why one layer of attention is not enough,
# - show by ablation and by changed data that a head does what its score says.
#
# Lines with dots, `= ...`, are yours to fill in *before* you run on. Worked answers are folded below the checks.

# %%
from dataclasses import replace

import jax
import matplotlib.pyplot as plt
import numpy as np

import superpos as sp
from superpos.analysis.heads import ablated_losses, measure_heads
from superpos.experiments.induction_heads import by_period, through_training

sp.plot.use_style()

# %% [markdown]
# ## The task: a random segment, again and again
#
# Tokens are random, out of $V$ different ones. Nothing can be known about the first copy of a segment; about the
# second, everything can, *if* the model finds the last place where the present token stood, and reads what followed it.
# Every sequence has a period of its own. The loss counts only the set $P$ of positions in a repeat,
#
# $$L = -\frac1{|P|}\sum_{i\in P}\log p(t_{i+1} \mid t_1, \dots, t_i),$$
#
# in nats. A model that knows nothing pays $\ln V$.

# %%
small = {"d_vocab": 16, "n_positions": 24, "d_model": 32, "shortest_period": 6, "longest_period": 10}
task = sp.tasks.RepeatedTokens(**sp.demos.size(full={}, quick=small))
print(f"V = {task.d_vocab}, ln V = {np.log(task.d_vocab):.2f}")
examples = jax.jit(task.sample, static_argnums=1)(jax.random.key(1), 3)
for tokens, period in zip(np.asarray(examples.tokens), examples.period, strict=True):
    print(f"period {int(period):2d}: ", *(f"{t:2d}" for t in tokens[:40]), "…")

# %% [markdown]
# ## One head, by hand
#
# An attention head has a pattern $A$: row $i$ says how position $i$ spreads its attention over itself and earlier
# positions. Rows add up to 1, and what the head adds at position $i$ is $\sum_j A_{ij}\,x_j W_V W_O$.
#
# The sequence below is 5 2 7 9, twice. In its second half a perfect head would attend where it can read **what comes
# next**. Write down its pattern: rows are queries, columns are keys. (Rows 0 to 3 do not count.)

# %%
tokens = np.array([5, 2, 7, 9, 5, 2, 7, 9])
pattern = ...  # an 8 × 8 array; np.eye(8) would be a head that looks at itself

# %%
sp.demos.check("ideal_pattern", pattern, tokens)

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# The query at position 4 is the second 5. The first one stood at position 0, and what *followed* it stands at position
# 1.
#
# ```python
# pattern = np.eye(8)
# for query in range(4, 8):
#     pattern[query] = 0
#     pattern[query, query - 4 + 1] = 1
# ```
# (One off is easily done: Olsson et al. 2022 had "preceded" for "followed" in their first version.)
# </details>
#
# The check measured the **prefix-matching score**: the mean attention that goes to tokens which followed an earlier
# occurrence of the present one. A head that scores near 1 is called an *induction head*.
#
# **Predict.** To attend to position $j$, a head compares a *query*, made of what is known at position $i$, with a
# *key*, made of what is known at position $j$. For the score above it must notice that the token *before* $j$ is the
# one at $i$. Which of two models can do that, one with a single layer of attention, or one with two? Predict which
# depths will bring the loss below a fifth of what knowing nothing costs.

# %% [markdown]
# ## Train both
#
# **Change it**: this is the experiment. Come back later and run on from here with more heads or fewer, another seed,
# unrelated tokens between the copies (`replace(task, gap=4)`).

# %%
depths = ...  # your prediction, a list out of 1 and 2

n_heads, seed = sp.demos.size(full=4, quick=2), 0
task = replace(task, n_heads=n_heads)
steps = sp.demos.size(full=1_000, quick=400)
config = sp.TrainConfig(
    steps=steps,
    batch_size=32,
    learning_rate=sp.demos.size(full=3e-3, quick=1e-2),
    schedule="constant",
    snapshots=tuple(np.linspace(0, steps, sp.demos.size(full=21, quick=11), dtype=int).tolist()),
    evaluation_samples=1_024,
)
result = sp.sweep(task, config, sp.Grid(n_layers=[1, 2], seed=[seed]), block_size=1)

# %%
sp.demos.check("depths", depths, result)

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# In one layer the key at $j$ is made of the token at $j$ alone, and no comparison can tell what stood before it. With
# two layers a head of the first can copy, at every position, the token before it into the residual stream (a
# *previous-token head*), where a head of the second reads it as part of its key.
#
# ```python
# depths = [2]
# ```
# </details>
#
# One layer does better than chance all the same: it helps to know which tokens have come up at all.
#
# ## Watch them form

# %%
n_test = sp.demos.size(full=64, quick=8)
table = through_training(result, n_sequences=n_test).sel(seed=seed)
figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3), layout="constrained")
sp.plot.repeat_loss_by_step(table, left)
left.legend()
sp.plot.scores_by_step(table, right)
figure.legend(*right.get_legend_handles_labels(), loc="outside upper right", ncols=2)
plt.show()

# %% [markdown]
# For a while two layers do no better than one. Then, within a short time, a head of layer 0 begins to look one token
# back (green), a head of layer 1 begins to match prefixes (blue), and the loss falls: a *phase change*. Neither head is
# of any use without the other, so neither grows much before the other does.
#
# ## Look at them
#
# The attention patterns of the two-layer model on one sequence: queries go down, keys to the right, dark is attention.
# Of layer 0 you see the first twelve positions, with the diagonal dashed: on it a token looks at itself. In layer 1
# what followed the last occurrence of the query's token lies between the dashed lines.

# %%
model, middle = result.model(n_layers=2, seed=seed), (task.shortest_period + task.longest_period) // 2
fixed = replace(task, shortest_period=middle, longest_period=middle)
drawn = measure_heads(fixed.broadcast(), model, n_test)["pattern"]
figure, axes = plt.subplots(2, n_heads, figsize=(2 * n_heads, 4.4), layout="constrained", sharex="row", sharey="row")
for (layer, head), ax in np.ndenumerate(axes):
    sp.plot.attention_pattern(drawn[layer, head], ax, period=middle if layer else None)
    ax.set(title=f"head {layer}.{head}", xlabel="key", ylabel="" if head else "query")
    if layer == 0:
        ax.plot([-0.5, 11.5], [-0.5, 11.5], "--", color=sp.plot.PALETTE["orange"], lw=1)
        ax.set(xlim=(-0.5, 11.5), ylim=(11.5, -0.5))

# %% [markdown]
# Which head looks one token back, and which one matches prefixes? If there are several, take the clearest.

# %%
previous_token_head = ...  # (layer, head)
induction_head = ...  # (layer, head)

# %%
scores = measure_heads(task.broadcast(), model, n_test)
sp.demos.check("two_heads", previous_token_head, induction_head, scores)

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# A previous-token head is dark just below the diagonal, an induction head between the dashed lines. In numbers:
#
# ```python
# scores = measure_heads(task.broadcast(), model, n_test)
# previous, prefix = (np.asarray(scores[name]) for name in ("previous_token", "prefix_matching"))
# previous_token_head = (0, int(previous[0].argmax()))
# induction_head = (1, int(prefix[1].argmax()))
# ```
# </details>
#
# ## Cut them out
#
# A high score is a correlation. Whether the model *uses* a head is told by removing it: **mean ablation** replaces what
# the head writes by what it writes on average. The picture would be the same for a head whose output nobody reads; the
# loss would not.
#
# **Which heads must go** so that at least 60 % of the gain over chance, $\ln V - L$, is lost? Choose as few as you can,
# two at most.

# %%
heads_to_cut = ...  # a list of (layer, head)

# %%
alone = np.eye(2 * n_heads, dtype=bool).reshape(-1, 2, n_heads)
lost = np.asarray(ablated_losses(task.broadcast(), model, alone, n_test))[:, 0] - float(scores["loss"])
figure, ax = plt.subplots(figsize=(5, 2.2), layout="constrained")
gain = np.log(task.d_vocab) - float(scores["loss"])
ax.bar([f"{i // n_heads}.{i % n_heads}" for i in range(2 * n_heads)], 100 * lost / gain, color=sp.plot.PALETTE["blue"])
ax.set(xlabel="head that is cut, alone", ylabel="gain lost (%)")
sp.demos.check("cut", heads_to_cut, (task, model))

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# Without the previous-token head the induction heads find nothing to match; without the induction heads nobody reads
# what the previous-token head wrote.
#
# ```python
# heads_to_cut = [previous_token_head, induction_head]
# ```
# </details>
#
# The bars show each head cut alone. Where several heads do the same job, each of them can be spared: a head that costs
# nothing when it is cut need not be idle.
#
# ## A trap
#
# So far every sequence had its own period. Suppose we had been lazy: the **same** period in all sequences, and one layer.
# It will reach the score of an induction head, which we said cannot be. **Predict** the share of right tokens when this
# model reads sequences whose period is three tokens shorter.

# %%
share_right = ...  # your prediction, between 0 and 1

trap = replace(fixed, n_layers=1)
how = sp.demos.size(full=replace(config, steps=400, snapshots=()), quick=config)
trapped = sp.sweep(trap, how, sp.Grid(seed=[seed]), block_size=1)
impostor = trapped.model(seed=seed)
found = measure_heads(trap.broadcast(), impostor, n_test)
print(f"period {middle}: {100 * float(found['accuracy']):.0f} % of the repeated tokens are right")
print("prefix-matching scores:", np.round(np.asarray(found["prefix_matching"])[0], 2))

# %%
other = replace(trap, shortest_period=middle - 3, longest_period=middle - 3)
told = measure_heads(other.broadcast(), impostor, n_test)
figure, (own, at_other, right) = plt.subplots(1, 3, figsize=(9, 3.1), layout="constrained", width_ratios=(1, 1, 1.3))
best = int(np.asarray(found["prefix_matching"])[0].argmax())
for ax, seen, period in zip((own, at_other), (found, told), (middle, middle - 3), strict=True):
    sp.plot.attention_pattern(seen["pattern"][0, best], ax, period=period)
    ax.set(title=f"the impostor at period {period}")
periods = [middle + k for k in sp.demos.size(full=(-16, -12, -8, -6, -4, -2, 0, 2, 4, 6, 8, 12, 16), quick=(-4, 0))]
sp.plot.accuracy_by_period(by_period(result, trapped, periods, n_test), right)
figure.legend(*right.get_legend_handles_labels(), loc="outside upper right", ncols=2)
sp.demos.check("other_period", share_right, told)

# %% [markdown]
# <details><summary>A worked answer</summary>
#
# With one period for all, "always look back equally far" is as good as looking anything up: the model learned a place
# and not a token. At other periods it is hardly ever right, and its score is gone. So the score alone proves nothing:
# what the data allow decides what it means. (At a half or a third of its period the impostor is right again, by luck.)
#
# ```python
# share_right = 1 / 64
# ```
# </details>
#
# ## What you have seen
#
# - Looking a token up takes two heads in a row: one marks what came before, one matches.
# - They form together, within a short time.
# - A high score is a correlation; cutting the head tells whether it is used.
# - Lazy data bring up an impostor with the same score.
#
# ## What to try next
#
# * Set `gap=4`: four fresh tokens stand between two copies. Does the phase change come later, and do heads still look
#   back by one? `n_heads=1`: can one head per layer do it?
# * Test the two-layer model on periods it never saw, 8 or 44 (`replace(task, shortest_period=8, longest_period=8)`).
#   Where does it fail first? Is it the previous-token head (look at late positions) or the induction head?
# * `positions="residual"` puts positions into the residual stream as GPT does. Why is that harder?
# * `sp.analysis.attention.k_composition(model)`: does the pair of heads that you cut stand out in the weights alone?
#
# **Open problems.** Why is the change so sudden: is there a measure that grows all along, as for grokking (notebook 7)?
# In large models several heads share the work, and some stand in when others are cut: what does cutting one head tell
# then? And what of induction on *meanings* rather than tokens, for which there is no score so simple?
#
# **Read.** Elhage et al. 2021, [A Mathematical Framework for Transformer
# Circuits](https://transformer-circuits.pub/2021/framework/index.html); Olsson et al. 2022, [In-context Learning and
# Induction Heads](https://arxiv.org/abs/2209.11895); Reddy 2024, "The mechanistic basis of data dependence and abrupt
# learning in an in-context classification task"; Singh et al. 2024, "What needs to go right for an induction head?"
