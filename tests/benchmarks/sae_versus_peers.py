"""256 sparse autoencoders of a kind in one call, against the usual PyTorch loop that trains one after another.

python tests/benchmarks/sae_versus_peers.py

Of every kind 8 settings of its sparsity × 32 seeds read a toy model of 40 features in 10 dimensions with 40 latents; a
crosscoder reads two of them, a transcoder a layer of 20 neurons behind one. The PyTorch loop is written from the published
descriptions: fresh features and their hidden layer, encoder, loss, Adam, decoder columns brought back to length 1. It leaves
out revival of dead latents and running means, which costs it nothing. All kinds are timed in one run, PyTorch and superpos by
turns, each in a process of its own. PyTorch takes `pip install 'superpos[bench]'`, and the number of threads that is faster.
"""

import json
import subprocess
import sys
import time
from typing import Any

import numpy as np
import tyro

N_FEATURES, N_HIDDEN, N_LATENTS, N_NEURONS, BATCH, P = 40, 10, 40, 20, 1_024, 0.02
SETTINGS, SEEDS = 8, 32
COEFFICIENTS = np.geomspace(0.05, 0.8, SETTINGS)
KS = np.linspace(0.5, 4, SETTINGS)
# What sets the sparsity of each kind, and the architecture of those that are more than one.
SPARSITIES: dict[str, Any] = {
    "relu": COEFFICIENTS,
    "topk": range(1, SETTINGS + 1),
    "batch_topk": KS,
    "gated": COEFFICIENTS,
    "jumprelu": COEFFICIENTS / 4,
    "matryoshka": KS,
    "matching_pursuit": range(1, SETTINGS + 1),
    "crosscoder": COEFFICIENTS,
    "transcoder": COEFFICIENTS,
}
ARCHITECTURE = {"crosscoder": "relu", "transcoder": "relu"}


def torch_rate(kind: str, seconds: float) -> float:
    """Steps a second of one model, mean over the settings: the better of PyTorch's own number of threads and one."""
    import torch

    rates = []
    for threads in (torch.get_num_threads(), 1):
        torch.set_num_threads(threads)
        each = []
        for sparsity in SPARSITIES[kind]:
            step = torch_step(kind, float(sparsity))
            for _ in range(3):
                step()
            begin, steps = time.perf_counter(), 0
            while time.perf_counter() - begin < seconds / SETTINGS / 2:
                step()
                steps += 1
            each.append((time.perf_counter() - begin) / steps)
        rates.append(1 / float(np.mean(each)))
    return max(rates)


def torch_step(kind: str, sparsity: float) -> Any:
    """One training step of one model, as a function; `sparsity` is λ or k."""
    import torch
    from torch.nn.functional import normalize

    torch.manual_seed(0)
    width = 2 * N_HIDDEN if kind == "crosscoder" else N_HIDDEN
    W = normalize(torch.randn(N_FEATURES, width), dim=1)
    W_in, W_out = torch.randn(width, N_NEURONS) / width**0.5, torch.randn(N_NEURONS, width) / N_NEURONS**0.5
    W_dec = torch.nn.Parameter(normalize(torch.randn(N_LATENTS, width), dim=1))
    W_enc = torch.nn.Parameter(W_dec.detach().T.clone())
    b_enc, r_mag, b_mag = (torch.nn.Parameter(torch.zeros(N_LATENTS)) for _ in range(3))
    log_threshold = torch.nn.Parameter(torch.full((N_LATENTS,), float(np.log(0.1))))
    parameters = {
        "topk": [W_dec, W_enc], "matching_pursuit": [W_dec], "gated": [W_dec, W_enc, b_enc, r_mag, b_mag],
        "jumprelu": [W_dec, W_enc, b_enc, log_threshold],
    }.get(kind, [W_dec, W_enc, b_enc])  # fmt: skip
    optimizer = torch.optim.Adam(parameters, lr=3e-3)
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

    def error(target: Any, reconstruction: Any) -> Any:
        return (target - reconstruction).square().sum(1).mean()

    def top_of_batch(z: Any) -> Any:
        top = z.flatten().topk(int(np.ceil(sparsity * BATCH)))
        return torch.zeros_like(z).flatten().scatter(0, top.indices, top.values).view_as(z)

    def pursuit(h: Any) -> Any:
        rest = h
        for _ in range(int(sparsity)):
            along, chosen = (rest @ W_dec.T).max(dim=1)
            rest = rest - torch.relu(along)[:, None] * W_dec[chosen]
        return rest.square().sum(1).mean()

    def loss_of(h: Any) -> Any:
        if kind == "matching_pursuit":
            return pursuit(h)
        target = torch.relu(h @ W_in) @ W_out if kind == "transcoder" else h
        projection = h @ W_enc
        a = projection if kind == "topk" else projection + b_enc
        z = torch.relu(a)
        if kind == "topk":
            top = z.topk(int(sparsity), dim=1)
            z = torch.zeros_like(z).scatter(1, top.indices, top.values)
        elif kind == "batch_topk":
            z = top_of_batch(z)
        elif kind == "matryoshka":
            z, prefixes = top_of_batch(z), (N_LATENTS // 8, N_LATENTS // 4, N_LATENTS // 2, N_LATENTS)
            return sum(error(target, z[:, :n] @ W_dec[:n]) for n in prefixes)
        elif kind == "gated":
            through = (a > 0) * torch.relu(r_mag.exp() * projection + b_mag)
            auxiliary = error(target, z @ W_dec.detach())
            return error(target, through @ W_dec) + sparsity * z.sum(1).mean() + auxiliary
        elif kind == "jumprelu":
            z, active = Jump.apply(a, log_threshold.exp())
            return error(target, z @ W_dec) + sparsity * active.sum(1).mean()
        elif kind == "crosscoder":
            norms = W_dec.view(N_LATENTS, 2, N_HIDDEN).norm(dim=2).sum(1)
            return error(target, z @ W_dec) + sparsity * (z * norms).sum(1).mean()
        penalty = sparsity * z.sum(1).mean() if kind in ("relu", "transcoder") else 0.0
        return error(target, z @ W_dec) + penalty

    def step() -> None:
        x = torch.rand(BATCH, N_FEATURES) * (torch.rand(BATCH, N_FEATURES) < P)
        loss = loss_of(x @ W)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if kind != "crosscoder":
            with torch.no_grad():
                W_dec.copy_(normalize(W_dec, dim=1))

    return step


def task_of(kind: str) -> Any:
    """The task that trains this kind."""
    import superpos as sp

    rng = np.random.default_rng(0)
    sizes = {"n_features": N_FEATURES, "n_latents": N_LATENTS, "architecture": ARCHITECTURE.get(kind, kind)}
    shared = {**sizes, "feature_probability": P}
    if kind == "crosscoder":
        return sp.tasks.Crosscoder(n_hidden=2 * N_HIDDEN, parts=(N_HIDDEN, N_HIDDEN), **shared)
    if kind == "transcoder":
        W = rng.standard_normal((N_HIDDEN, N_FEATURES))
        W_in, W_out = rng.standard_normal((N_NEURONS, N_HIDDEN)), rng.standard_normal((N_HIDDEN, N_NEURONS))
        layer = {"directions": W / np.linalg.norm(W, axis=0), "W_in": W_in / 3, "W_out": W_out / 4}
        return sp.tasks.Transcoder(n_hidden=N_HIDDEN, n_neurons=N_NEURONS, **layer, **shared)
    return sp.tasks.SparseAutoencoder(n_hidden=N_HIDDEN, **shared)


def ours(kind: str, steps: int) -> dict[str, float]:
    """Seconds for all models of a kind in one call: with compilation, and again with everything compiled."""
    import superpos as sp

    task = task_of(kind)
    axis = task.kind.sparsity_field
    grid = sp.Grid(**{axis: [float(value) for value in SPARSITIES[kind]]}, seed=range(SEEDS))
    config = sp.TrainConfig(steps=steps, batch_size=BATCH, evaluation_samples=BATCH)
    seconds = []
    for _ in range(2):
        begin = time.perf_counter()
        sp.sweep(task, config, grid, progress=False)
        seconds.append(time.perf_counter() - begin)
    return dict(zip(("first", "second"), seconds, strict=True))


def measure(what: str, kind: str, number: float) -> Any:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--child", what, kind, str(number)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main(
    kinds: tuple[str, ...] = tuple(SPARSITIES), steps: int = 1_000, seconds: float = 5.0, quick: bool = False
) -> None:
    """Measure and print.

    Args:
        kinds: what is trained; left out, all.
        steps: training steps of each model in our sweeps; PyTorch's rate is measured.
        seconds: length of one timing of PyTorch.
        quick: tiny lengths, to see that everything runs.
    """
    if unknown := [kind for kind in kinds if kind not in SPARSITIES]:
        sys.exit(f"sae_versus_peers: no kind {unknown[0]!r}; there are {', '.join(SPARSITIES)}.")
    steps, seconds = (10, 0.2) if quick else (steps, seconds)
    total = SETTINGS * SEEDS
    print(
        f"{total} models of a kind, {N_FEATURES}→{N_HIDDEN}, {N_LATENTS} latents, {steps:,} steps of {BATCH:,} inputs"
    )
    print(
        f"{'kind':18s}{'PyTorch steps/s':>16s}{'superpos steps/s':>18s}{'ratio':>8s}{'with compilation':>18s}",
        flush=True,
    )
    for kind in kinds:
        try:
            rate = float(measure("torch", kind, seconds))
        except subprocess.CalledProcessError:
            sys.exit("sae_versus_peers: PyTorch is missing: pip install 'superpos[bench]'")
        taken = measure("ours", kind, steps)
        first, second = (total * steps / taken[call] for call in ("first", "second"))
        print(f"{kind:18s}{rate:16,.0f}{second:18,.0f}{second / rate:8.1f}{first / rate:18.1f}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        what, kind, number = sys.argv[2:]
        print(json.dumps(torch_rate(kind, float(number)) if what == "torch" else ours(kind, int(float(number)))))
    else:
        tyro.cli(main)
