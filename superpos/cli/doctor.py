"""`superpos doctor`: is this machine ready?"""

import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from superpos.console import say, words_are_the_result

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "xarray", "zarr", "matplotlib")
DENSITY, STEPS, SAMPLES, LEARNING_RATE = 0.1, 400, 256, 0.02
SEED = 1  # its first weights have opposite signs, as those of half the seeds; others give one feature up

Check = Callable[[], tuple[bool, str]]


def doctor(thorough: bool = False) -> None:
    """Print versions and devices; check precision, and train a tiny model twice: a second, 3 s the first time.

    Most of that second is JAX's own start. The first time, the device is measured too, and programs are compiled.

    Args:
        thorough: also measure the device anew, and train with superpos itself instead of JAX alone: 2 s, 5 s the first time.
    """
    words_are_the_result()
    from superpos import __version__

    python = ".".join(map(str, sys.version_info[:3]))
    say(f"superpos {__version__}, python {python}, " + ", ".join(f"{name} {_version(name)}" for name in PACKAGES))
    say("Starting JAX: half a second. Then checks …")
    begin = time.perf_counter()
    import jax

    from superpos.cache import cache_folder, use_compilation_cache

    for device in jax.devices():
        say(f"device {device.id}: {device.platform} {device.device_kind}")
    use_compilation_cache()
    say(f"compilation cache: {cache_folder() or 'off'}")
    if jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
        say("double precision is on (JAX_ENABLE_X64): a seed draws other weights than in single precision")

    failed = False
    for check in (_precise, _measured(thorough), *_trains(_with_superpos if thorough else _with_jax_alone)):
        good, text = check()
        failed |= not good
        say(f"{'ok  ' if good else 'FAIL'}  {text}  [{time.perf_counter() - begin:.1f} s]")
        begin = time.perf_counter()
    if failed:
        sys.exit(1)
    if not thorough:
        say("superpos doctor --thorough measures the device anew, and trains with superpos itself.")


def _version(package: str) -> str:
    """The version of an installed package, read without importing it."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _precise() -> tuple[bool, str]:
    """Whether matrix products are those of float32, and not of half as many bits."""
    import jax
    import numpy as np

    a = np.random.default_rng(0).standard_normal((256, 256)).astype(np.float32)
    product = jax.numpy.dot(a, a, precision=jax.lax.Precision.HIGHEST)
    error = float(np.max(np.abs(np.asarray(product, np.float64) - a.astype(np.float64) @ a.astype(np.float64))))
    return error < 1e-3, f"float32 matrix products are float32 (largest error {error:.1e})"


def _measured(anew: bool) -> Check:
    """How fast the device is: measured, if `anew` or if nothing is kept of it; otherwise what was measured before."""

    def check() -> tuple[bool, str]:
        import jax

        from superpos.chips.measured import measure, read, speeds, write

        device = jax.local_devices()[0]
        if not anew and (chip := read(device)) is not None:
            return True, f"{chip.name}: {speeds(chip)}; measured before"
        chip = measure(device)
        where = write(device, chip)
        return True, f"{chip.name}: {speeds(chip)}" + (f"; kept for --dry-run in {where.name}" if where else "")

    return check


def _trains(train: Callable[[], Any]) -> tuple[Check, Check]:
    """That training gives the same bytes twice, and that it learns. `train` returns the weights of two features."""
    weights = []

    def repeatable() -> tuple[bool, str]:
        weights.extend(train() for _ in range(2))
        return weights[0].tobytes() == weights[1].tobytes(), "the same training twice gives the same bytes"

    def learns() -> tuple[bool, str]:
        first, second = weights[0].tolist()  # one dimension
        opposite = first * second < 0 and abs(first + second) < 0.1 * abs(first - second)
        text = "two sparse features in one dimension become an antipodal pair"
        return opposite, f"{text} (got: {first:.2f} and {second:.2f})"

    return repeatable, learns


def _with_superpos() -> Any:
    """The two weights that superpos trains."""
    import numpy as np

    import superpos as sp

    task = sp.tasks.Toy(n_features=2, n_hidden=1, feature_probability=DENSITY)
    return np.asarray(sp.train(task, sp.TrainConfig(steps=600, learning_rate=0.05, batch_size=256)).model.W[0])


def _with_jax_alone() -> Any:
    """The two weights of x′ = ReLU(Wᵀ W x + b) under Adam, in plain JAX: importing flax takes longer than all checks."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    @jax.jit
    def train(key: jax.Array) -> jax.Array:
        def loss(parameters: jax.Array, key: jax.Array) -> jax.Array:
            w, b = parameters
            active, value = jax.random.split(key)
            x = jax.random.bernoulli(active, DENSITY, (SAMPLES, 2)) * jax.random.uniform(value, (SAMPLES, 2))
            return jnp.mean((x - jax.nn.relu((x @ w)[:, None] * w + b)) ** 2)

        def step(k: int, state: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
            parameters, mean, square = state
            gradient = jax.grad(loss)(parameters, jax.random.fold_in(key, k))
            mean, square = 0.9 * mean + 0.1 * gradient, 0.99 * square + 0.01 * gradient**2
            return parameters - LEARNING_RATE * mean / jnp.sqrt(square + 1e-12), mean, square

        start = jnp.zeros((2, 2)).at[0].set(jax.random.normal(key, (2,)))
        return jax.lax.fori_loop(0, STEPS, step, (start, 0 * start, 0 * start))[0][0]

    return np.asarray(train(jax.random.key(SEED)))
