"""Questions of `demos/00_build_it_in_thirty_lines`, and its toy model in plain JAX, to stand in for a reader's."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from superpos.analysis import geometry, represented
from superpos.demos.question import Question, Verdict, near
from superpos.models.toy import ToyModel
from superpos.tasks import Toy
from superpos.theory import expected_loss, planted_start

N_FEATURES, N_HIDDEN, DENSITY = 5, 2, 0.05


def sample(key: Any, n_inputs: int) -> Any:
    """Inputs (5, n_inputs): a feature is zero but for one time in twenty, and then uniform on [0, 1]."""
    on, magnitude = jax.random.split(key)
    active = jax.random.uniform(on, (N_FEATURES, n_inputs)) < DENSITY
    return jnp.where(active, jax.random.uniform(magnitude, (N_FEATURES, n_inputs)), 0)


def forward(W: Any, b: Any, x: Any) -> Any:
    """The reconstruction (5, n_inputs) of inputs that are columns of x."""
    return jax.nn.relu(W.T @ (W @ x) + b[:, None])


def loss(params: Any, x: Any) -> Any:
    """The mean squared error over features and inputs of params = (W, b)."""
    W, b = params
    return jnp.mean((x - forward(W, b, x)) ** 2)


def train(seed: int) -> tuple[Any, Any]:
    """(W, b) after 3,000 steps of Adam from a random start."""
    key = jax.random.key(seed)
    params = 0.5 * jax.random.normal(key, (N_HIDDEN, N_FEATURES)), jnp.zeros(N_FEATURES)
    optimizer = optax.adam(0.01)
    state = optimizer.init(params)

    @jax.jit
    def step(params: Any, state: Any, key: Any) -> Any:
        gradient = jax.grad(loss)(params, sample(key, 1_024))
        update, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, update), state

    for batch_key in jax.random.split(key, 3_000):
        params, state = step(params, state, batch_key)
    return params


def _example() -> tuple[Any, Any, Any]:
    """W, b and three inputs whose reconstruction has zeros and other numbers."""
    rng = np.random.default_rng(0)
    shapes = (N_HIDDEN, N_FEATURES), (N_FEATURES,), (N_FEATURES, 3)
    W, b, x = (rng.standard_normal(shape) for shape in shapes)
    return jnp.asarray(W), jnp.asarray(b), jnp.asarray(np.abs(x))


def _same(a: Any, b: Any) -> bool:
    """Whether two arrays agree, to single precision."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=1e-4, atol=1e-5))


def _forward(answer: Callable[..., Any]) -> Verdict:
    """A function of (W, b, x) against the library's model, on random numbers."""
    W, b, x = _example()
    measured, truth = answer(W, b, x), ToyModel(W, b)(x)
    if _same(measured, truth):
        return Verdict(True, "on random weights and inputs it agrees with the model of the library.")
    if np.shape(measured) == (N_HIDDEN, 3):
        return Verdict(False, "this is the hidden layer, two numbers for each input: take it back to five.")
    if np.shape(measured) != (N_FEATURES, 3):
        return Verdict(False, f"for 3 inputs in columns it should be of shape (5, 3); it is {np.shape(measured)}.")
    if _same(measured, W.T @ W @ x + b[:, None]):
        return Verdict(False, "it has negative outputs: something is missing after the bias.")
    if _same(measured, np.maximum(W.T @ W @ x, 0)):
        return Verdict(False, "it agrees with a model whose bias is zero.")
    if _same(measured, np.maximum(W.T @ W @ x, 0) + b[:, None]):
        return Verdict(False, "the bias comes before the ReLU, so that it can silence an output.")
    return Verdict(False, "the shape is right and the numbers are not: in which order do W, Wᵀ, b and the ReLU act?")


def _loss(answer: Callable[..., Any]) -> Verdict:
    """A function of ((W, b), x) against the mean squared error, on random numbers."""
    W, b, x = _example()
    squares = np.asarray((x - np.asarray(ToyModel(W, b)(x))) ** 2, float)
    measured = np.asarray(answer((W, b), x), float)
    if measured.shape != ():
        return Verdict(False, f"a loss is one number; this has shape {measured.shape}.")
    if _same(measured, squares.mean()):
        return Verdict(True, "on random weights and inputs it is the mean squared error.")
    if _same(measured, squares.sum()):
        return Verdict(False, "it is the sum of all squares: take the mean, over inputs and features.")
    if _same(measured, squares.sum(0).mean()):
        return Verdict(
            False, "it is the sum over features: that is the paper's loss, five times the one asked for here."
        )
    if _same(measured, np.sqrt(squares).mean()):
        return Verdict(False, "it is the mean absolute error: square the differences.")
    return Verdict(False, "it is not the mean squared difference of x and its reconstruction.")


def _loss_of_nothing(answer: Any) -> Verdict:
    """The loss of a model that always says 0, which is E x² = p/3."""
    truth = float(expected_loss(np.zeros((N_HIDDEN, N_FEATURES)), np.zeros(N_FEATURES), DENSITY))
    if near(answer, truth, 0.02):
        return Verdict(True, f"the library's exact loss of that model is {truth:.4f}.")
    word = "larger" if truth > float(answer) else "smaller"
    return Verdict(False, f"it is {word}: how often is a feature not zero, and how large is its square then?")


def _training(answer: Callable[..., Any]) -> Verdict:
    """A function of a seed: its W and b must beat any model that keeps four features perfectly apart from each other."""
    W, b = (np.asarray(part, float) for part in answer(0))
    if W.shape != (N_HIDDEN, N_FEATURES) or b.shape != (N_FEATURES,):
        return Verdict(False, f"it should return W of shape (2, 5) and b of shape (5,), not {W.shape} and {b.shape}.")
    task = Toy(n_features=N_FEATURES, n_hidden=N_HIDDEN, feature_probability=DENSITY)
    four = float(expected_loss(*planted_start(2 * ["antipodal pair"], task, noise=0.0), DENSITY))
    measured, n_kept = float(expected_loss(W, b, DENSITY)), int(np.sum(represented(W)))
    words = f"its exact loss is {measured:.5f} and it represents {n_kept} of 5 features"
    if not measured < four:
        return Verdict(
            False, f"{words}. Two pairs and a feature left out have {four:.5f}: train longer, or from another start."
        )
    return Verdict(True, f"{words}, as {geometry(W).name}.")


QUESTIONS: dict[str, Question] = {
    "forward": Question("a function of W, b and x", _forward),
    "loss": Question("a function of (W, b) and x", _loss),
    "loss_of_nothing": Question("one number", _loss_of_nothing),
    "training": Question("a function of a seed that returns W and b", _training),
}
