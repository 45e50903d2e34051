"""The two other ways to train many toy models: the usual PyTorch loop, and a plain JAX one."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from workloads import BATCH

LEARNING_RATE = 1e-3


def torch_trainer(n: int, m: int, p: Any, importance: Any) -> tuple[Callable[[int], None], Callable[[], tuple]]:
    """The published loop: one batched axis of instances, AdamW with torch's own settings.

    `p` has one value per instance. Returns a function that trains some steps and waits, and one that returns W and b.
    """
    import torch

    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    p = torch.tensor(np.asarray(p), dtype=torch.float32, device=device)[None, :, None]
    importance = torch.tensor(np.asarray(importance), dtype=torch.float32, device=device)
    instances = p.shape[1]
    # Xavier-normal for each model: torch.nn.init would take the joint array's fans and start far too small.
    W = torch.nn.Parameter(torch.randn(instances, n, m, device=device) * (2 / (n + m)) ** 0.5)
    b = torch.nn.Parameter(torch.zeros(instances, n, device=device))
    optimizer = torch.optim.AdamW([W, b], lr=LEARNING_RATE)
    zero = torch.zeros((), device=device)

    def step() -> None:
        shape = (BATCH, instances, n)
        x = torch.where(torch.rand(shape, device=device) <= p, torch.rand(shape, device=device), zero)
        hidden = torch.einsum("...if,ifh->...ih", x, W)
        out = torch.relu(torch.einsum("...ih,ifh->...if", hidden, W) + b)
        loss = (importance * (x.abs() - out) ** 2).mean(dim=(0, 2)).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    def train(steps: int) -> None:
        for _ in range(steps):
            step()
        if device == "cuda":
            torch.cuda.synchronize()

    return train, lambda: (W.detach().cpu().numpy(), b.detach().cpu().numpy())


def use_best_threads(*size: Any) -> int:
    """Give PyTorch the number of threads that trains this size fastest: its own choice, or one. Returns it.

    At these sizes one thread is often as fast as all, and a busy neighbour cannot hold it up at a barrier.
    """
    import torch

    times = {}
    for threads in (torch.get_num_threads(), 1):
        torch.set_num_threads(threads)
        train = torch_trainer(*size)[0]
        train(5)  # the first steps allocate
        begin = time.perf_counter()
        train(10)
        times[threads] = time.perf_counter() - begin
    best = min(times, key=lambda threads: times[threads])
    torch.set_num_threads(best)
    return best


def torch_rate(n: int, m: int, p: Any, importance: Any, seconds: float, repeats: int) -> dict[str, Any]:
    """`steady_rate` of the PyTorch loop."""
    threads = use_best_threads(n, m, p, importance)
    found = steady_rate(torch_trainer(n, m, p, importance)[0], len(p), seconds, repeats)
    return found | {"threads": threads}


def torch_checkpoints(n: int, m: int, p: float, models: int, steps: int, chunk: int, folder: str) -> dict[str, Any]:
    """Train with importance 1; keep the weights after every chunk. Seconds do not count the saving."""
    size = (n, m, np.full(models, p), np.ones(n))
    use_best_threads(*size)
    train, weights = torch_trainer(*size)
    spent, seconds, files = 0.0, [], []
    for k in range(steps // chunk):
        begin = time.perf_counter()
        train(chunk)
        spent += time.perf_counter() - begin
        W, b = weights()
        files.append(str(Path(folder) / f"{k}.npz"))
        np.savez(files[-1], W=W, b=b)
        seconds.append(spent)
    return {"seconds": seconds, "steps": [chunk * (k + 1) for k in range(len(seconds))], "files": files}


NAIVE_SCAN = 20  # steps of one call; the number of steps must be a multiple


def naive_trainer(n: int, m: int, p: Any, importance: Any) -> Callable[[int], None]:
    """What one would write first in JAX: vmap over models of a scan over steps, inputs in rows."""
    import jax
    import jax.numpy as jnp
    import optax

    optimizer = optax.adamw(LEARNING_RATE)
    importance = jnp.asarray(importance, jnp.float32)
    probability = jnp.asarray(p, jnp.float32)

    def loss_of(params: Any, x: Any) -> Any:
        out = jax.nn.relu(x @ params["W"] @ params["W"].T + params["b"])
        return jnp.mean(importance * (x - out) ** 2)

    def init(key: Any) -> Any:
        params = {"W": jax.random.normal(key, (n, m)) * (2 / (n + m)) ** 0.5, "b": jnp.zeros(n)}
        return params, optimizer.init(params), key

    def train_one(state: Any, p: Any) -> Any:
        def step(state: Any, _: None) -> Any:
            params, opt_state, key = state
            key, value_key, mask_key = jax.random.split(key, 3)
            values = jax.random.uniform(value_key, (BATCH, n))
            x = jnp.where(jax.random.uniform(mask_key, (BATCH, n)) <= p, values, 0.0)
            gradient = jax.grad(loss_of)(params, x)
            updates, opt_state = optimizer.update(gradient, opt_state, params)
            return (optax.apply_updates(params, updates), opt_state, key), None

        return jax.lax.scan(step, state, length=NAIVE_SCAN)[0]

    train_all = jax.jit(jax.vmap(train_one))
    state = jax.vmap(init)(jax.random.split(jax.random.key(0), len(probability)))

    def train(steps: int) -> None:
        nonlocal state
        for _ in range(steps // NAIVE_SCAN):
            state = train_all(state, probability)
        jax.block_until_ready(state)

    return train


def naive_rate(n: int, m: int, p: Any, importance: Any, seconds: float, repeats: int) -> dict[str, Any]:
    """`steady_rate` of the plain JAX loop."""
    return steady_rate(naive_trainer(n, m, p, importance), len(p), seconds, repeats, NAIVE_SCAN)


def steady_rate(
    train: Callable[[int], None], models: int, seconds: float, repeats: int, unit: int = 1
) -> dict[str, Any]:
    """Model-steps a second: the median of some timings of about `seconds` each, after a first one for warming up.

    Numbers of steps are multiples of `unit`.
    """
    for _ in range(3):  # the first compiles or allocates
        train(unit)
    steps, spent = unit, 0.0
    while True:
        begin = time.perf_counter()
        train(steps)
        spent = time.perf_counter() - begin
        if spent >= 0.1 * seconds:
            break
        steps *= 2
    steps = max(1, round(steps * seconds / spent / unit)) * unit
    rates = []
    for _ in range(repeats):
        begin = time.perf_counter()
        train(steps)
        rates.append(models * steps / (time.perf_counter() - begin))
    return {"rate": float(np.median(rates)), "rates": rates, "steps": steps}
