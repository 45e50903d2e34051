"""256 sparse autoencoders in one call, against the usual PyTorch loop that trains one after another.

python tests/benchmarks/sae_versus_peers.py

Four architectures × 8 settings of their sparsity × 8 seeds read a toy model of 40 features in 10 dimensions with 40 latents.
The PyTorch loop is written from the published descriptions: fresh features and their hidden layer, encoder, loss, Adam,
decoder columns brought back to length 1; revival of dead latents is left out, which costs it nothing. Each method runs in a
process of its own. PyTorch takes `pip install 'superpos[bench]'`, and the number of threads that is faster.
"""

import json
import subprocess
import sys
import time
from typing import Any

import numpy as np
import tyro

N_FEATURES, N_HIDDEN, N_LATENTS, BATCH, P = 40, 10, 40, 1_024, 0.02
ARCHITECTURES = ("relu", "topk", "batch_topk", "jumprelu")
SETTINGS, SEEDS = 8, 8


def torch_rates(seconds: float) -> dict[str, float]:
    """Steps a second of one SAE, by architecture: the better of PyTorch's own number of threads and one."""
    import torch

    found: dict[str, float] = {}
    for threads in (torch.get_num_threads(), 1):
        torch.set_num_threads(threads)
        for architecture in ARCHITECTURES:
            step = torch_step(architecture)
            for _ in range(20):
                step()
            begin, steps = time.perf_counter(), 0
            while time.perf_counter() - begin < seconds:
                step()
                steps += 1
            found[architecture] = max(found.get(architecture, 0.0), steps / (time.perf_counter() - begin))
    return found


def torch_step(architecture: str, coefficient: float = 0.2, k: int = 1) -> Any:
    """One training step of one SAE, as a function."""
    import torch

    torch.manual_seed(0)
    W = torch.nn.functional.normalize(torch.randn(N_FEATURES, N_HIDDEN), dim=1)
    W_dec = torch.nn.Parameter(torch.nn.functional.normalize(torch.randn(N_LATENTS, N_HIDDEN), dim=1))
    W_enc = torch.nn.Parameter(W_dec.detach().T.clone())
    b_enc = torch.nn.Parameter(torch.zeros(N_LATENTS))
    log_threshold = torch.nn.Parameter(torch.full((N_LATENTS,), float(np.log(0.1))))
    optimizer = torch.optim.Adam([W_dec, W_enc, b_enc, log_threshold], lr=3e-3)
    bandwidth = 0.01

    class Jump(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, a: Any, theta: Any) -> Any:
            ctx.save_for_backward(a, theta)
            return a * (a > theta), (a > theta).to(a.dtype)

        @staticmethod
        def backward(ctx: Any, to_z: Any, to_step: Any) -> Any:
            a, theta = ctx.saved_tensors
            near = ((a - theta).abs() < bandwidth / 2).to(a.dtype) / bandwidth
            return to_z * (a > theta), (-(theta * to_z + to_step) * near).sum(0)

    def step() -> None:
        x = torch.rand(BATCH, N_FEATURES) * (torch.rand(BATCH, N_FEATURES) < P)
        h = x @ W
        a = h @ W_enc + b_enc
        penalty = 0.0
        if architecture == "jumprelu":
            z, active = Jump.apply(a, log_threshold.exp())
            penalty = coefficient * active.sum(1).mean()
        else:
            z = torch.relu(a)
        if architecture == "relu":
            penalty = coefficient * z.sum(1).mean()
        elif architecture == "topk":
            top = z.topk(k, dim=1)
            z = torch.zeros_like(z).scatter(1, top.indices, top.values)
        elif architecture == "batch_topk":
            top = z.flatten().topk(k * BATCH)
            z = torch.zeros_like(z).flatten().scatter(0, top.indices, top.values).view_as(z)
        loss = (h - z @ W_dec).square().sum(1).mean() + penalty
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            W_dec.copy_(torch.nn.functional.normalize(W_dec, dim=1))

    return step


def ours(steps: int) -> dict[str, float]:
    """Seconds for all SAEs in one call: with compilation, and again with everything compiled."""
    import superpos as sp

    task = sp.tasks.SparseAutoencoder(
        n_features=N_FEATURES, n_hidden=N_HIDDEN, n_latents=N_LATENTS, feature_probability=P
    )
    coefficients, ks = np.geomspace(0.05, 0.8, SETTINGS), np.linspace(0.5, 4, SETTINGS)
    settings = {"relu": coefficients, "jumprelu": coefficients / 4, "batch_topk": ks, "topk": range(1, SETTINGS + 1)}
    grid = sp.sparsity_grid(settings, seed=range(SEEDS))
    seconds = []
    for _ in range(2):
        begin = time.perf_counter()
        sp.sweep(task, sp.TrainConfig(steps=steps), grid, progress=False)
        seconds.append(time.perf_counter() - begin)
    return dict(zip(("first", "second"), seconds, strict=True))


def measure(what: str, number: float) -> dict[str, float]:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--child", what, str(number)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main(steps: int = 10_000, seconds: float = 5.0, quick: bool = False) -> None:
    """Measure and print.

    Args:
        steps: training steps of each SAE in our sweep; PyTorch's rate is measured and multiplied.
        seconds: length of one timing of PyTorch.
        quick: tiny lengths, to see that everything runs.
    """
    steps, seconds = (50, 0.2) if quick else (steps, seconds)
    try:
        rates = measure("torch", seconds)
    except subprocess.CalledProcessError:
        sys.exit("sae_versus_peers: PyTorch is missing: pip install 'superpos[bench]'")
    found = measure("ours", steps)
    per_architecture, total = SETTINGS * SEEDS, SETTINGS * SEEDS * len(ARCHITECTURES)
    theirs = sum(per_architecture * steps / rate for rate in rates.values())
    print(
        f"{total} sparse autoencoders, {N_FEATURES}→{N_HIDDEN}, {N_LATENTS} latents, {steps:,} steps of {BATCH:,} inputs"
    )
    print("PyTorch, one after another: " + ", ".join(f"{name} {rate:,.0f} steps/s" for name, rate in rates.items()))
    print(f"PyTorch, all of them: {theirs:,.0f} s")
    print(f"superpos, one call: {found['second']:,.0f} s, {total * steps / found['second']:,.0f} model-steps/s")
    print(f"superpos, with compilation: {found['first']:,.0f} s")
    print(f"ratio: {theirs / found['second']:.1f}, with compilation {theirs / found['first']:.1f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        what, number = sys.argv[2:]
        print(json.dumps(torch_rates(float(number)) if what == "torch" else ours(int(float(number)))))
    else:
        tyro.cli(main)
