"""256 sparse autoencoders of a kind in one call, against the usual PyTorch loop that trains one after another.

python tests/benchmarks/sae_versus_peers.py

Of every kind 8 settings of its sparsity × 32 seeds read a toy model of 40 features in 10 dimensions with 40 latents; a
crosscoder reads two of them, a transcoder a layer of 20 neurons behind one, and features that are manifolds are 20 circles,
read by BatchTopK. The PyTorch loop is written from the published descriptions: fresh features and their hidden layer, encoder,
loss, Adam, decoder columns brought back to length 1. It leaves out revival of dead latents and running means, which costs it
nothing. All kinds are timed in one run, PyTorch and superpos by turns, each in a process of its own. PyTorch takes
`pip install 'superpos[bench]'`, and the number of threads that is faster.

Wall time says what one waits for, and processor time what it costs; on a busy machine the second is steadier. With `--losses`
both train the middle setting on the same features, and what they reach is compared: the error with its penalty, without what
training adds, on fresh inputs. Then both have the same schedule of the learning rate and no revival.
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
    "manifolds": KS,
}
ARCHITECTURE = {"crosscoder": "relu", "transcoder": "relu", "manifolds": "batch_topk"}
LEARNING_RATE = 3e-3
LOSS_SEEDS, LOSS_BATCHES = 4, 16  # of the comparison of losses


def torch_rate(kind: str, seconds: float) -> tuple[float, float]:
    """Steps of one model in a second, and in a second of processor time, mean over the settings.

    Each is the better of PyTorch's own number of threads and one.
    """
    import torch

    rates = []
    for threads in (torch.get_num_threads(), 1):
        torch.set_num_threads(threads)
        each = []
        for sparsity in SPARSITIES[kind]:
            step, _ = torch_step(kind, float(sparsity))
            for _ in range(3):
                step()
            begin, steps = np.array([time.perf_counter(), time.process_time()]), 0
            while not steps or time.perf_counter() - begin[0] < seconds / SETTINGS / 2:
                step()
                steps += 1
            each.append((np.array([time.perf_counter(), time.process_time()]) - begin) / steps)
        rates.append(1 / np.mean(each, axis=0))
    wall, processor = np.max(rates, axis=0)
    return float(wall), float(processor)


def torch_loss(kind: str, steps: int) -> list[float]:
    """Losses of a few models of the middle setting, trained for so many steps on the features of `task_of`."""
    import torch

    torch.set_num_threads(1)
    task = task_of(kind).broadcast().precompute()
    layer = {name: np.asarray(getattr(task, name)) for name in ("directions", "W_in", "W_out") if hasattr(task, name)}
    sparsity, losses = float(list(SPARSITIES[kind])[SETTINGS // 2]), []
    for seed in range(LOSS_SEEDS):
        step, loss = torch_step(kind, sparsity, seed, steps, layer)
        for _ in range(steps):
            step()
        with torch.no_grad():
            losses.append(float(np.mean([float(loss()) for _ in range(LOSS_BATCHES)])))
    return losses


def torch_step(kind: str, sparsity: float, seed: int = 0, steps: int = 0, layer: Any = None) -> Any:
    """One training step of one model, and its loss on fresh inputs, as two functions; `sparsity` is λ or k.

    With `steps` the learning rate falls to 0 along a cosine; `layer` has the directions, and the weights of a layer.
    """
    import torch
    from torch.nn.functional import normalize

    torch.manual_seed(seed)
    width = 2 * N_HIDDEN if kind == "crosscoder" else N_HIDDEN
    W = normalize(torch.randn(N_FEATURES, width), dim=1)
    W_in, W_out = torch.randn(width, N_NEURONS) / width**0.5, torch.randn(N_NEURONS, width) / N_NEURONS**0.5
    if layer is not None:
        W = torch.tensor(layer["directions"].T, dtype=torch.float32)
        if kind == "transcoder":
            W_in, W_out = (torch.tensor(layer[name].T, dtype=torch.float32) for name in ("W_in", "W_out"))
    W_dec = torch.nn.Parameter(normalize(torch.randn(N_LATENTS, width), dim=1))
    W_enc = torch.nn.Parameter(W_dec.detach().T.clone())
    b_enc, r_mag, b_mag = (torch.nn.Parameter(torch.zeros(N_LATENTS)) for _ in range(3))
    log_threshold = torch.nn.Parameter(torch.full((N_LATENTS,), float(np.log(0.1))))
    parameters = {
        "topk": [W_dec, W_enc], "matching_pursuit": [W_dec], "gated": [W_dec, W_enc, b_enc, r_mag, b_mag],
        "jumprelu": [W_dec, W_enc, b_enc, log_threshold],
    }.get(kind, [W_dec, W_enc, b_enc])  # fmt: skip
    optimizer = torch.optim.Adam(parameters, lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps) if steps else None
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

    def loss_of(h: Any, *, training: bool = True) -> Any:
        if kind == "matching_pursuit":
            return pursuit(h)
        target = torch.relu(h @ W_in) @ W_out if kind == "transcoder" else h
        projection = h @ W_enc
        a = projection if kind == "topk" else projection + b_enc
        z = torch.relu(a)
        if kind == "topk":
            top = z.topk(int(sparsity), dim=1)
            z = torch.zeros_like(z).scatter(1, top.indices, top.values)
        elif kind in ("batch_topk", "manifolds"):
            z = top_of_batch(z)
        elif kind == "matryoshka":
            z, prefixes = top_of_batch(z), (N_LATENTS // 8, N_LATENTS // 4, N_LATENTS // 2, N_LATENTS)
            prefixes = prefixes if training else prefixes[-1:]
            return sum(error(target, z[:, :n] @ W_dec[:n]) for n in prefixes)
        elif kind == "gated":
            through = (a > 0) * torch.relu(r_mag.exp() * projection + b_mag)
            auxiliary = error(target, z @ W_dec.detach()) if training else 0.0
            return error(target, through @ W_dec) + sparsity * z.sum(1).mean() + auxiliary
        elif kind == "jumprelu":
            z, active = Jump.apply(a, log_threshold.exp())
            return error(target, z @ W_dec) + sparsity * active.sum(1).mean()
        elif kind == "crosscoder":
            norms = W_dec.view(N_LATENTS, 2, N_HIDDEN).norm(dim=2).sum(1)
            return error(target, z @ W_dec) + sparsity * (z * norms).sum(1).mean()
        penalty = sparsity * z.sum(1).mean() if kind in ("relu", "transcoder") else 0.0
        return error(target, z @ W_dec) + penalty

    def inputs() -> Any:
        if kind != "manifolds":
            return torch.rand(BATCH, N_FEATURES) * (torch.rand(BATCH, N_FEATURES) < P)
        magnitude = torch.rand(BATCH, N_FEATURES // 2) * (torch.rand(BATCH, N_FEATURES // 2) < P)
        angle = 2 * np.pi * torch.rand(BATCH, N_FEATURES // 2)
        return torch.stack([magnitude * angle.cos(), magnitude * angle.sin()], dim=2).flatten(1)

    def step() -> None:
        loss = loss_of(inputs() @ W)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if schedule is not None:
            schedule.step()
        if kind != "crosscoder":
            with torch.no_grad():
                W_dec.copy_(normalize(W_dec, dim=1))

    return step, lambda: loss_of(inputs() @ W, training=False)


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
    circles = {"manifolds": ("circle",) * (N_FEATURES // 2)} if kind == "manifolds" else {}
    return sp.tasks.SparseAutoencoder(n_hidden=N_HIDDEN, **shared, **circles)


def ours(kind: str, steps: int) -> dict[str, list[float]]:
    """Seconds, and of processor time, for all models in one call: with compilation, and with everything compiled."""
    import superpos as sp

    task = task_of(kind)
    axis = task.kind.sparsity_field
    grid = sp.Grid(**{axis: [float(value) for value in SPARSITIES[kind]]}, seed=range(SEEDS))
    config = sp.TrainConfig(steps=steps, batch_size=BATCH, evaluation_samples=BATCH)
    seconds = []
    for _ in range(2):
        begin = time.perf_counter(), time.process_time()
        sp.sweep(task, config, grid, progress=False)
        seconds.append([time.perf_counter() - begin[0], time.process_time() - begin[1]])
    return dict(zip(("first", "second"), seconds, strict=True))


def our_loss(kind: str, steps: int) -> list[float]:
    """Losses of models of the middle setting, without revival."""
    from dataclasses import replace

    import superpos as sp

    task = task_of(kind)
    middle = {task.kind.sparsity_field: float(list(SPARSITIES[kind])[SETTINGS // 2])}
    config = sp.TrainConfig(
        steps=steps, batch_size=BATCH, learning_rate=LEARNING_RATE, evaluation_samples=LOSS_BATCHES * BATCH
    )
    result = sp.sweep(replace(task, revival="none", **middle), config, sp.Grid(seed=range(LOSS_SEEDS)), progress=False)
    return [float(loss) for loss in result["loss"].values]


def measure(what: str, kind: str, number: float) -> Any:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--child", what, kind, str(number)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare_losses(kinds: tuple[str, ...], steps: int) -> None:
    """Print what both reach at the middle setting, as means over seeds."""
    print(f"{'kind':18s}{'PyTorch loss':>16s}{'superpos loss':>18s}{'ratio':>8s}", flush=True)
    for kind in kinds:
        theirs, own = (float(np.mean(measure(what, kind, steps))) for what in ("torch_loss", "our_loss"))
        print(f"{kind:18s}{theirs:16.5f}{own:18.5f}{own / theirs:8.2f}", flush=True)


def main(
    kinds: tuple[str, ...] = tuple(SPARSITIES),
    steps: int = 1_000,
    seconds: float = 5.0,
    losses: bool = False,
    quick: bool = False,
) -> None:
    """Measure and print.

    Args:
        kinds: what is trained; left out, all.
        steps: training steps of each model in our sweeps; PyTorch's rate is measured.
        seconds: length of one timing of PyTorch.
        losses: compare what both reach instead of how long they take.
        quick: tiny lengths, to see that everything runs.
    """
    if unknown := [kind for kind in kinds if kind not in SPARSITIES]:
        sys.exit(f"sae_versus_peers: no kind {unknown[0]!r}; there are {', '.join(SPARSITIES)}.")
    steps, seconds = (10, 0.2) if quick else (steps, seconds)
    if losses:
        compare_losses(kinds, steps)
        return
    total = SETTINGS * SEEDS
    print(
        f"{total} models of a kind, {N_FEATURES}→{N_HIDDEN}, {N_LATENTS} latents, {steps:,} steps of {BATCH:,} inputs"
    )
    print(
        f"{'kind':18s}{'PyTorch steps/s':>16s}{'superpos steps/s':>18s}{'ratio':>8s}{'with compilation':>18s}"
        f"{'processor time':>16s}",
        flush=True,
    )
    for kind in kinds:
        try:
            rate, by_processor = map(float, measure("torch", kind, seconds))
        except subprocess.CalledProcessError:
            sys.exit("sae_versus_peers: PyTorch is missing: pip install 'superpos[bench]'")
        taken = measure("ours", kind, steps)
        (first, _), (second, processor) = (total * steps / np.array(taken[call]) for call in ("first", "second"))
        print(
            f"{kind:18s}{rate:16,.0f}{second:18,.0f}{second / rate:8.1f}{first / rate:18.1f}"
            f"{processor / by_processor:16.1f}",
            flush=True,
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        what, kind, number = sys.argv[2:]
        called = {"torch": torch_rate, "ours": ours, "torch_loss": torch_loss, "our_loss": our_loss}[what]
        print(json.dumps(called(kind, float(number) if what == "torch" else int(float(number)))))
    else:
        tyro.cli(main)
