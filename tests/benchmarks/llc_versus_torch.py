"""Sampling steps a second: SGLD of superpos against a plain PyTorch loop, in one run.

    python tests/benchmarks/llc_versus_torch.py [--chains 64] [--batch 256]

Around one toy model of 6→2 with density 1/6. The PyTorch loops are written from Lau et al. 2023: one chain after another, as
the public tools run them on a CPU, and all chains as one batched tensor. All draw fresh batches, and all evaluate the loss of
the point on the same batch. A step is one update of one chain. PyTorch is `pip install 'superpos[bench]'`.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tyro

N, M, P = 6, 2, 1 / 6
NBETA, GAMMA, EPSILON = 1_000.0, 1.0, 1e-5


def torch_steps(W: np.ndarray, b: np.ndarray, chains: int, batch: int) -> Callable[[int], float]:
    """A function that takes some SGLD steps of all chains and returns the mean of nβ (L − L*); `chains` may be 1."""
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(1 if chains == 1 else torch.get_num_threads())
    point = [torch.tensor(np.broadcast_to(x, (chains, *x.shape)).copy()) for x in (W, b)]
    at = [x.clone().requires_grad_() for x in point]

    def loss(parameters: list[Any], x: Any) -> Any:
        hidden = torch.einsum("cmn,cbn->cbm", parameters[0], x)
        out = torch.relu(torch.einsum("cmn,cbm->cbn", parameters[0], hidden) + parameters[1][:, None])
        return ((x - out) ** 2).sum(-1).mean(-1)

    def take(steps: int) -> float:
        total = 0.0
        for _ in range(steps):
            shape = (chains, batch, N)
            x = torch.where(torch.rand(shape) < P, torch.rand(shape), torch.zeros(()))
            now = loss(at, x)
            with torch.no_grad():
                before = loss(point, x)
            gradients = torch.autograd.grad(now.sum(), at)
            with torch.no_grad():
                for w, start, gradient in zip(at, point, gradients, strict=True):
                    w -= 0.5 * EPSILON * (NBETA * gradient + GAMMA * (w - start))
                    w += EPSILON**0.5 * torch.randn_like(w)
            total += float((now - before).mean().detach())
        return NBETA * total / steps

    return take


def ours(run: Any, chains: int, batch: int) -> Callable[[int], float]:
    """The same by superpos: one call samples all chains; steps must be a multiple of 128."""
    import superpos as sp

    def take(steps: int) -> float:
        settings = {"step_size": EPSILON, "nbeta": NBETA, "gamma": GAMMA, "batch_size": batch, "chains": chains}
        table = sp.llc(run, method="sgld", draws=16, warmup=0, steps=steps // 16, refuse=False, **settings)
        return float(table["estimate"])

    return take


def rate(take: Callable[[int], float], chains: int, seconds: float) -> tuple[float, float, float]:
    """Chain steps a second by wall time and by processor time, and the estimate: the fastest of three timings."""
    take(128)  # the first compiles or allocates
    steps, spent = 128, 0.0
    while spent < 0.2 * seconds:
        steps *= 2
        begin = time.perf_counter()
        take(steps)
        spent = time.perf_counter() - begin
    best = [0.0, 0.0]
    for _ in range(3):
        begin, cpu = time.perf_counter(), time.process_time()
        estimate = take(steps)
        wall, used = time.perf_counter() - begin, time.process_time() - cpu
        best = [max(best[0], chains * steps / wall), max(best[1], chains * steps / used)]
    return best[0], best[1], estimate


def main(chains: int = 64, batch: int = 256, seconds: float = 3.0) -> None:
    """Measure and print: first ours, then PyTorch's loops."""
    import superpos as sp

    task = sp.tasks.Toy(n_features=N, n_hidden=M, feature_probability=P, objective="expected")
    run = sp.train(task, sp.TrainConfig(steps=600), seed=0)
    W, b = (np.asarray(x[...], np.float32) for x in (run.model.W, run.model.b))
    rows = {
        "superpos": (ours(run, chains, batch), chains),
        "PyTorch, one chain": (torch_steps(W, b, 1, batch), 1),
        f"PyTorch, {chains} chains as one tensor": (torch_steps(W, b, chains, batch), chains),
    }
    for name, (take, n) in rows.items():
        wall, used, estimate = rate(take, n, seconds)
        print(
            f"{name}: {wall:,.0f} steps/s, {used:,.0f} per second of processor time; nβ (L − L*) = {estimate:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
