"""`superpos doctor`: is this machine ready?"""

import sys
import time

from superpos.console import words_are_the_result


def doctor() -> None:
    """Print versions and devices, and check in about a second that training and its bits are right."""
    words_are_the_result()
    import jax
    import jax.numpy as jnp
    import numpy as np

    import superpos as sp
    from superpos.cache import cache_folder, use_compilation_cache
    from superpos.sweeping.attributes import versions

    print(f"superpos {sp.__version__}, " + ", ".join(f"{name} {v}" for name, v in versions().items()))
    for device in jax.devices():
        print(f"device {device.id}: {device.platform} {device.device_kind}")
    use_compilation_cache()
    print(f"compilation cache: {cache_folder() or 'off'}")

    if jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
        print("double precision is on (JAX_ENABLE_X64): a seed draws other weights than in single precision")

    def precise() -> tuple[bool, str]:
        a = np.random.default_rng(0).standard_normal((256, 256)).astype(np.float32)
        product = jnp.dot(a, a, precision=jax.lax.Precision.HIGHEST)
        error = float(np.max(np.abs(np.asarray(product, np.float64) - a.astype(np.float64) @ a.astype(np.float64))))
        return error < 1e-3, f"float32 matrix products are float32 (largest error {error:.1e})"

    task = sp.tasks.Toy(n_features=2, n_hidden=1, feature_probability=0.1)
    config = sp.TrainConfig(steps=600, learning_rate=0.05, batch_size=256, evaluation_samples=8_192)
    grid = sp.Grid(seed=range(2))
    results = [sp.sweep(task, config, grid, block_size=4, progress=False) for _ in range(2)]

    def repeatable() -> tuple[bool, str]:
        first, second = (r["W"].values.tobytes() for r in results)
        return first == second, "the same sweep twice gives the same bytes"

    def learns() -> tuple[bool, str]:
        name = sp.geometry(results[0].best("seed").model().W).name
        return name == "antipodal pair", f"two sparse features in one dimension become an antipodal pair (got: {name})"

    failed = False
    for check in (precise, repeatable, learns):
        begin = time.perf_counter()
        good, text = check()
        failed |= not good
        print(f"{'ok  ' if good else 'FAIL'}  {text}  [{time.perf_counter() - begin:.1f} s]")
    if failed:
        sys.exit(1)
