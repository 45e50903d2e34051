# %% [markdown]
# # 0 · Build it in thirty lines
#
# **Question.** What is a toy model of superposition, down to the last line of code?
#
# **Time.** 1 minute of computing on two cores, the rest is writing. **You need** Python, matrix products, and an idea of
# what a gradient is.
#
# **Afterwards you can**
#
# - write the model, its loss and its training loop in plain JAX,
# - read a picture of the columns of $W$,
# - run the same experiment with the library, and say what it does for you.
#
# Lines with dots, `= ...`, are yours. A check cell tells right from wrong. Below it are hints in three strengths, folded:
# a nudge, a recipe, and a worked answer. Open as few as you need. If you leave the dots, the library stands in for you.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import superpos as sp
from superpos.demos import thirty_lines

sp.plot.use_style()

# %% [markdown]
# ## The data
#
# An input has five **features**. Each of them is zero, except one time in twenty; then it is a number between 0 and 1. Many
# inputs side by side are one array with a row per feature and a column per input. These lines are given:


# %%
def sample(key, n_inputs):
    on, magnitude = jax.random.split(key)
    active = jax.random.uniform(on, (5, n_inputs)) < 0.05
    return jnp.where(active, jax.random.uniform(magnitude, (5, n_inputs)), 0)


print(np.round(np.asarray(sample(jax.random.key(0), 10), float), 2))

# %% [markdown]
# ## The model
#
# It squeezes the five features into two numbers, and tries to get them back:
#
# $$h = W x, \qquad \hat x = \mathrm{ReLU}(W^\top h + b).$$
#
# $W$ has two rows and five columns, $b$ has five numbers. The same $W$ serves both ways.

# %%
forward = ...  # a function of W, b and x that returns the reconstruction

# %%
sp.demos.check("forward", forward)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# The formula is nearly the code. `@` is the matrix product, and `jax.nn.relu` the ReLU. Watch the shape of $b$: it has to
# be added to every column.
# </details>
#
# <details><summary>A recipe</summary>
#
# 1. `h` is `W @ x`, of shape (2, inputs).
# 2. `W.T @ h` is of shape (5, inputs) again.
# 3. `b[:, None]` is $b$ as a column. Add it.
# 4. Apply the ReLU, and return.
# </details>
#
# <details><summary>A worked answer</summary>
#
# ```python
# def forward(W, b, x):
#     h = W @ x
#     return jax.nn.relu(W.T @ h + b[:, None])
# ```
# </details>
#
# ## The loss
#
# How wrong is the reconstruction? Take the mean of $(x - \hat x)^2$ over features and inputs. (The paper adds up over
# features instead, which is five times as much.) JAX takes gradients by a function's first argument, so let that be the pair
# `params = (W, b)`.

# %%
loss = ...  # a function of params = (W, b) and x that returns one number

# %%
sp.demos.check("loss", loss)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# You have `forward`. What is left is a difference, a square and a mean.
# </details>
#
# <details><summary>A recipe</summary>
#
# 1. Take the pair apart: `W, b = params`.
# 2. The error is `x - forward(W, b, x)`.
# 3. Square it, and return `jnp.mean` of it.
# </details>
#
# <details><summary>A worked answer</summary>
#
# ```python
# def loss(params, x):
#     W, b = params
#     return jnp.mean((x - forward(W, b, x)) ** 2)
# ```
# </details>
#
# **Predict.** What is the loss of a model that has learned nothing, with all weights and biases zero? A number without a
# yardstick says little, and this is the yardstick.

# %%
loss_of_nothing = ...  # a number

# %%
sp.demos.check("loss_of_nothing", loss_of_nothing)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# That model says 0 every time. So its loss is the mean of $x^2$.
# </details>
#
# <details><summary>A recipe</summary>
#
# A feature is not zero with probability 0.05. Then $x$ is uniform between 0 and 1, and the mean of its square is
# $\int_0^1 x^2\, dx$. Multiply.
# </details>
#
# <details><summary>A worked answer</summary>
#
# ```python
# loss_of_nothing = 0.05 / 3
# ```
# </details>
#
# ## The training loop
#
# Begin with small random weights. At every step draw 1,024 fresh inputs, take the gradient of the loss, and let Adam move
# $W$ and $b$ a little. [Optax](https://optax.readthedocs.io) has Adam. Three thousand steps will do.

# %%
optimizer = optax.adam(learning_rate=0.01)
train = ...  # a function of a seed that returns W and b after training

# %%
sp.demos.check("training", train)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# `jax.grad(loss)(params, x)` is the gradient, a pair like `params`. Put one step into a function under `@jax.jit`, so that
# it is compiled once. Give every step a key of its own: a key that is used twice draws the same inputs twice.
# </details>
#
# <details><summary>A recipe</summary>
#
# 1. `params` are `0.5 * jax.random.normal(key, (2, 5))` and `jnp.zeros(5)`.
# 2. Adam has a memory, which begins as `state = optimizer.init(params)`.
# 3. A step: the gradient on `sample(key, 1_024)`, then `update, state = optimizer.update(gradient, state)`, then
#    `params = optax.apply_updates(params, update)`.
# 4. Loop over `jax.random.split(key, 3_000)`, and return `params`.
# </details>
#
# <details><summary>A worked answer</summary>
#
# ```python
# def train(seed):
#     key = jax.random.key(seed)
#     params = 0.5 * jax.random.normal(key, (2, 5)), jnp.zeros(5)
#     state = optimizer.init(params)
#
#     @jax.jit
#     def step(params, state, key):
#         gradient = jax.grad(loss)(params, sample(key, 1_024))
#         update, state = optimizer.update(gradient, state)
#         return optax.apply_updates(params, update), state
#
#     for batch_key in jax.random.split(key, 3_000):
#         params, state = step(params, state, batch_key)
#     return params
# ```
# </details>
#
# ## Look at it
#
# Column $i$ of $W$ is an arrow in the plane: the direction in which feature $i$ is stored. Here are two starts, as lines
# from the middle. The circle has radius 1.

# %%
trained = [sp.demos.answer_or(train, thirty_lines.train)(seed) for seed in (0, 1)]
figure, axes = plt.subplots(1, 2, figsize=(5, 2.5))
for seed, (params, ax) in enumerate(zip(trained, axes, strict=True)):
    sp.plot.feature_directions(params[0], ax, limit=1.3).set_title(f"seed {seed}")
axes[1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %% [markdown]
# Five features, two dimensions, and every feature has a direction: this is **superposition**. The five share the plane
# evenly. The price is interference: a feature that is active also shows a little on its neighbours. The bias is negative,
# and with the ReLU it removes most of that:

# %%
W, b = (np.asarray(part, float) for part in trained[0])
print("one feature alone, x = (1, 0, 0, 0, 0)")
print("Wᵀ W x:", np.round(W.T @ W[:, 0], 2))
print("b:     ", np.round(b, 2))
print("output:", np.round(np.maximum(W.T @ W[:, 0] + b, 0), 2))

# %% [markdown]
# ## Meet the library
#
# The same experiment takes three lines of `superpos`. It draws its inputs by the same rule, starts from weights of another
# size, and trains several seeds at once.
#
# Are the results equal? The shapes get the same name, and the losses differ by less than one percent. Both are the *exact*
# loss here, an integral over all inputs (`sp.expected_loss`), so that no luck of sampling is in them.

# %%
task = sp.tasks.Toy(n_features=5, n_hidden=2, feature_probability=0.05)
result = sp.sweep(
    task,
    sp.TrainConfig(steps=sp.demos.size(full=3_000, quick=1_000)),
    sp.Grid(seed=range(sp.demos.size(full=4, quick=2))),
)
best = result.best("seed")

mine, of_library = sp.expected_loss(W, b, 0.05), sp.expected_loss(best.model(), None, 0.05)
print(f"thirty lines: {sp.geometry(W).name}, loss {float(mine):.5f}")
print(f"library:      {sp.geometry(best.model().W).name}, loss {float(of_library):.5f}")

# %% [markdown]
# ## Your experiment
#
# **Change** the density in the library's lines, and the numbers of features and dimensions. Where does superposition end?
# Here the importance of the features falls a little (the squares are weighed by it), so that a network of dense features has
# something to choose. Your own loop can do all this, too, with one training for each answer.

# %%
other = sp.tasks.Toy(n_features=5, n_hidden=2, importance=0.9 ** np.arange(5))
densities = [1.0, 0.5, 0.2, 0.05]
several = sp.sweep(
    other,
    sp.TrainConfig(steps=sp.demos.size(full=3_000, quick=1_000)),
    sp.Grid(feature_probability=densities, seed=range(sp.demos.size(full=4, quick=2))),
)
figure, axes = plt.subplots(1, 4, figsize=(8, 2.2))
for density, ax in zip(densities, axes, strict=True):
    sp.plot.feature_directions(several.sel(feature_probability=density).best("seed"), ax, limit=1.3)
    ax.set_title(f"density {density:g}")
plt.show()

# %% [markdown]
# ## What you have seen
#
# - The toy model is two products with the same matrix, a bias and a ReLU.
# - Its loss is a mean of squares, and a few thousand steps of Adam train it.
# - Sparse features share dimensions; dense features do not.
# - The library trains the same model. It adds many seeds and settings at once, exact losses, and names for shapes.
#
# ## What to try next
#
# - Leave out the ReLU in `forward`. How many features are kept now?
# - Give the features importances in your own `loss`, too: weigh the squares by `0.9 ** jnp.arange(5)[:, None]`.
# - `01_superposition_in_ten_minutes` asks how many features fit, and when.
#
# **Open problems.** This model is told what its features are. A real network is not, and nobody knows how to list what it
# stores. Notebooks 5 and 9 come back to that.
#
# **Read.** Elhage et al. 2022, [Toy Models of Superposition](https://transformer-circuits.pub/2022/toy_model/index.html)
# ([arXiv:2209.10652](https://arxiv.org/abs/2209.10652)).
