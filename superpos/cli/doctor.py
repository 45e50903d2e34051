"""`superpos doctor`: is this machine ready?"""

import sys
import time
from importlib.metadata import PackageNotFoundError, version

from superpos.console import say, words_are_the_result

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "xarray", "zarr", "matplotlib")


def doctor() -> None:
    """Print versions; check precision, measure the device, and train one tiny model twice: 2 seconds, 5 the first time."""
    words_are_the_result()
    import superpos as sp

    python = ".".join(map(str, sys.version_info[:3]))
    say(f"superpos {sp.__version__}, python {python}, " + ", ".join(f"{name} {_version(name)}" for name in PACKAGES))
    say(
        "Starting JAX: half a second. Then checks, the longest last: 2 s in all, 5 s where nothing was compiled before …"
    )
    begin = time.perf_counter()
    import jax
    import jax.numpy as jnp
    import numpy as np

    from superpos.cache import cache_folder, use_compilation_cache
    from superpos.chips.measured import measure, speeds, write

    for device in jax.devices():
        say(f"device {device.id}: {device.platform} {device.device_kind}")
    use_compilation_cache()
    say(f"compilation cache: {cache_folder() or 'off'}")

    if jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
        say("double precision is on (JAX_ENABLE_X64): a seed draws other weights than in single precision")

    def precise() -> tuple[bool, str]:
        a = np.random.default_rng(0).standard_normal((256, 256)).astype(np.float32)
        product = jnp.dot(a, a, precision=jax.lax.Precision.HIGHEST)
        error = float(np.max(np.abs(np.asarray(product, np.float64) - a.astype(np.float64) @ a.astype(np.float64))))
        return error < 1e-3, f"float32 matrix products are float32 (largest error {error:.1e})"

    def fast() -> tuple[bool, str]:
        chip = measure(device := jax.local_devices()[0])
        where = write(device, chip)
        return True, f"{chip.name}: {speeds(chip)}" + (f"; kept for --dry-run in {where.name}" if where else "")

    weights = []

    def repeatable() -> tuple[bool, str]:
        task = sp.tasks.Toy(n_features=2, n_hidden=1, feature_probability=0.1)
        config = sp.TrainConfig(steps=600, learning_rate=0.05, batch_size=256)
        weights.extend(np.asarray(sp.train(task, config).model.W[...]) for _ in range(2))
        return weights[0].tobytes() == weights[1].tobytes(), "the same training twice gives the same bytes"

    def learns() -> tuple[bool, str]:
        first, second = weights[0][0].tolist()  # one dimension
        opposite = first * second < 0 and abs(first + second) < 0.1 * abs(first - second)
        text = "two sparse features in one dimension become an antipodal pair"
        return opposite, f"{text} (got: {first:.2f} and {second:.2f})"

    failed = False
    for check in (precise, fast, repeatable, learns):
        good, text = check()
        failed |= not good
        say(f"{'ok  ' if good else 'FAIL'}  {text}  [{time.perf_counter() - begin:.1f} s]")
        begin = time.perf_counter()
    if failed:
        sys.exit(1)


def _version(package: str) -> str:
    """The version of an installed package, read without importing it."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"
