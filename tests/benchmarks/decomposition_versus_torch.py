"""Training steps a second: decompositions of 5→2 by superpos, in one program, against the usual PyTorch loop, in one run.

    python tests/benchmarks/decomposition_versus_torch.py [--batch 128] [--seeds 16] [--seconds 5]

Five minimality coefficients × some seeds, 20 subcomponents, networks of 16 neurons, the four published losses. The loop is
written from Bushnaq, Braun and Sharkey 2025 (arXiv:2506.20790) and trains one decomposition after another. Both begin at the
same parameters, and before anything is timed both say the same losses of the same inputs and masks. PyTorch is
`pip install 'superpos[bench]'`.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tyro

N, M, C, NEURONS, P = 5, 2, 20, 16, 0.05
COEFFICIENTS = (7e-4, 1.2e-3, 2e-3, 3.5e-3, 6e-3)
LEARNING_RATE = 1e-3
NAMES = ("U", "V", "gate_in", "gate_in_bias", "gate_out", "gate_out_bias")


def torch_loop(parameters: dict[str, np.ndarray], W: np.ndarray, b: np.ndarray) -> tuple[Callable, Callable]:
    """(losses of inputs and uniform numbers, a function that trains some steps) of one decomposition with tied weights."""
    import torch

    V, U, into, into_bias, out, out_bias = (
        torch.tensor(parameters[k]).requires_grad_() for k in ("V", "U", *NAMES[2:])
    )
    W, b = torch.tensor(W), torch.tensor(b)
    optimizer = torch.optim.Adam([V, U, into, into_bias, out, out_bias], lr=LEARNING_RATE)

    def gates(k: int, inner: Any) -> Any:
        neurons = torch.nn.functional.gelu(inner[..., None] * into[k] + into_bias[k])
        return (neurons * out[k]).sum(-1) + out_bias[k]

    def masked_output(x: Any, first: Any, second: Any) -> Any:
        """Where a mask is None the target's matrix acts."""
        hidden = x @ W.T if first is None else (x @ V.T * first) @ U.T
        return torch.relu((hidden @ W if second is None else (hidden @ U * second) @ V) + b)

    def losses(x: Any, r: Any) -> list[Any]:
        target = torch.relu(x @ W.T @ W + b)
        raw = [gates(0, x @ V.T), gates(1, x @ W.T @ U)]
        lower = [torch.where(g < 0, 0.01 * g, g.clamp(max=1)) for g in raw]
        upper = [torch.where(g > 1, 1 + 0.01 * (g - 1), g.clamp(0, 1)) for g in raw]
        m = [g + (1 - g) * r[k] for k, g in enumerate(lower)]
        return [
            ((W - U @ V) ** 2).mean(),
            ((masked_output(x, *m) - target) ** 2).mean(),
            sum(((masked_output(x, *only) - target) ** 2).mean() / 2 for only in ((m[0], None), (None, m[1]))),
            sum((g + 1e-12).mean(0).sum() for g in upper),  # p = 1
        ]

    def train(steps: int, batch: int, coefficient: float) -> None:
        for _ in range(steps):
            x = torch.where(torch.rand(batch, N) < P, torch.rand(batch, N), torch.zeros(()))
            faithfulness, stochastic, layerwise, minimality = losses(x, torch.rand(2, batch, C))
            optimizer.zero_grad(set_to_none=True)
            (faithfulness + stochastic + layerwise + coefficient * minimality).backward()
            optimizer.step()

    def said(x: np.ndarray, r: np.ndarray) -> list[float]:
        return [loss.item() for loss in losses(torch.tensor(x.T), torch.tensor(np.swapaxes(r, 1, 2)))]

    return said, train


def main(batch: int = 128, seeds: int = 16, seconds: float = 5.0) -> None:
    """Check that both compute the same, then measure and print: first ours, then PyTorch's loop with its best threads."""
    import jax
    import jax.numpy as jnp

    import superpos as sp
    from superpos.tasks.base import materialize
    from superpos.training.optimizers import named_leaves

    angles = 2 * np.pi * np.arange(N) / N
    W, b = np.array([np.cos(angles), np.sin(angles)], np.float32), np.full(N, -0.1, np.float32)
    toy = sp.tasks.Toy(n_features=N, n_hidden=M, feature_probability=P)
    task = sp.tasks.ParameterDecomposition.of_toy(toy, W, b, n_subcomponents=C, gate_neurons=NEURONS)
    model = materialize(task).init(jax.random.key(0))
    parameters = {name: np.array(leaf) for name, leaf in named_leaves(model)}
    said, train = torch_loop(parameters, W, b)
    draw = np.random.default_rng(0)
    x = (draw.random((N, 64)) * (draw.random((N, 64)) < 0.3)).astype(np.float32)
    r = draw.random((2, C, 64)).astype(np.float32)
    ours = [float(term) for term in materialize(task).terms(model, jnp.asarray(x), jnp.asarray(r))]
    np.testing.assert_allclose(said(x, r), ours, rtol=1e-4)

    def sweep(steps: int) -> float:
        grid = sp.Grid(minimality_coefficient=list(COEFFICIENTS), seed=range(seeds))
        config = sp.TrainConfig(steps=steps, batch_size=batch, learning_rate=LEARNING_RATE, history=1)
        begin = time.perf_counter()
        sp.sweep(task, config, grid, block_size=len(COEFFICIENTS), progress=False)
        return time.perf_counter() - begin

    n_models, few = seeds * len(COEFFICIENTS), 20
    sweep(few)  # compiles; the number of steps is data
    begin, steps = sweep(few), 200
    while (spent := sweep(steps) - begin) < seconds:
        steps *= 2
    rate = n_models * (steps - few) / spent
    print(f"superpos, {n_models} decompositions in one program: {rate:,.0f} steps/s of all together", flush=True)
    best = torch_rate(train, batch, seconds)
    print(f"PyTorch, one after another: {best:,.0f} steps/s; superpos is {rate / best:.1f} times as fast", flush=True)


def torch_rate(train: Callable, batch: int, seconds: float) -> float:
    """Steps a second of the loop, with one thread or as many as PyTorch chooses, whichever is faster."""
    import torch

    rates = []
    for threads in (torch.get_num_threads(), 1):
        torch.set_num_threads(threads)
        train(20, batch, COEFFICIENTS[2])
        n_steps, begin = 0, time.perf_counter()
        while (spent := time.perf_counter() - begin) < seconds:
            train(20, batch, COEFFICIENTS[2])
            n_steps += 20
        rates.append(n_steps / spent)
    return max(rates)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
