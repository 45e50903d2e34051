"""What a step costs on a device: the model's laws, block sizes that follow from it, and what is measured and kept."""

import importlib
import json
import math
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

import superpos as sp
from superpos.chips import KNOWN, block_size, chip_of, measured
from superpos.chips.model import MOST_MODELS, USABLE_MEMORY, Chip, Cost, Share, rate, step
from superpos.sweeping import plan
from superpos.sweeping.compiled import lay_out
from superpos.sweeping.estimate import predicted
from superpos.sweeping.kernel_cost import fused_cost, tiled_cost
from superpos.sweeping.step_cost import step_cost

TASKS = {
    "2→1": sp.tasks.Toy(n_features=2, n_hidden=1),
    "5→2": sp.tasks.Toy(n_features=5, n_hidden=2),
    "20→5": sp.tasks.Toy(n_features=20, n_hidden=5),
    "400→30": sp.tasks.Toy(n_features=400, n_hidden=30),
    "5→2, expected": sp.tasks.Toy(n_features=5, n_hidden=2, objective="expected"),
    "computation": sp.tasks.Computation(n_features=100, n_hidden=40),
    "autoencoder": sp.tasks.SparseAutoencoder(n_features=40, n_hidden=10, n_latents=40, architecture="topk", k=2),
    "modular addition": sp.tasks.ModularAddition(p=113),
}
CONFIG = sp.TrainConfig()
H100 = KNOWN["H100"]


@pytest.fixture(scope="module")
def costs():
    return {name: step_cost(task, CONFIG) for name, task in TASKS.items()}


@pytest.mark.slow
def test_block_sizes_on_a_cpu_are_what_they_were(costs):
    """Bits depend on them."""
    sizes = [plan.default_block_size(task, CONFIG.with_defaults(task), "cpu") for task in TASKS.values()]
    assert sizes == [32, 16, 4, 4, 16, 4, 4, 4]


@pytest.mark.slow
def test_more_models_take_longer_and_are_more_per_second(costs):
    for cost in costs.values():
        sizes = [2**k for k in range(12)]
        assert np.all(np.diff([step(H100, cost, n).seconds for n in sizes]) > 0)
        assert np.all(np.diff([rate(H100, cost, n) for n in sizes]) > 0)
        assert np.all(np.diff([cost.memory(n) for n in sizes]) > 0)


@pytest.mark.parametrize("name", KNOWN)
def test_blocks_are_the_smallest_near_the_best_rate_and_fit_into_memory(costs, name):
    chip = KNOWN[name]
    for cost in costs.values():
        size = block_size(chip, cost)
        assert math.log2(size) % 1 == 0 and size <= MOST_MODELS
        assert cost.memory(size) <= USABLE_MEMORY * chip.memory
        larger = [2 * size * 2**k for k in range(4) if cost.memory(2 * size * 2**k) <= USABLE_MEMORY * chip.memory]
        assert all(rate(chip, cost, size) >= 0.9 * rate(chip, cost, min(n, MOST_MODELS)) for n in larger)
        if size > 4:
            assert rate(chip, cost, size // 2) < rate(chip, cost, size)


def test_small_models_are_thousands_and_large_ones_few(costs):
    sizes = {name: block_size(H100, cost) for name, cost in costs.items()}
    assert sizes["2→1"] >= sizes["5→2"] >= 1024 > sizes["400→30"] > sizes["modular addition"] > 4
    assert block_size(KNOWN["TPU v5e"], costs["400→30"]) <= sizes["400→30"]


def test_little_memory_leaves_few_models_and_at_least_one():
    cost = Cost(Share(10), Share(0, 1e6), Share(), Share(), Share(0, 1e9))
    chip = Chip("small", launch=1e-6, bandwidth=1e12, matrix_peak=1e12, vector_peak=1e12, memory=5e9)
    assert block_size(chip, cost) == 2
    assert block_size(Chip("tiny", 1e-6, 1e12, 1e12, 1e12, memory=1e6), cost) == 1


def test_matrix_products_are_counted_exactly_and_draws_once_for_a_block(costs):
    """Decoding and encoding forward, both weight gradients and the slope of h: 5 products of 2 n m batch operations."""
    cost = costs["400→30"]
    assert cost.matrix_operations == Share(0, 5 * 2 * 400 * 30 * 1024)
    assert cost.vector_operations.shared > 50 * 400 * 1024
    doubled = step_cost(TASKS["400→30"], sp.TrainConfig(batch_size=2048))
    assert doubled.matrix_operations.each == 2 * cost.matrix_operations.each


def test_what_was_compiled_for_an_h100_lies_near_what_was_counted(costs):
    """Kernels of a step, and MB that each model adds, of the programs that XLA compiles for an H100 (JAX 0.10.2)."""
    compiled = {"5→2": (15, 0.227), "20→5": (18, 0.85), "400→30": (20, 16.5), "computation": (20, 5.35)}
    compiled |= {"autoencoder": (37, 3.26), "modular addition": (121, 759)}
    for name, (kernels, megabytes) in compiled.items():
        assert 0.6 < costs[name].kernels(1) / kernels < 1.4, name
        assert 0.7 < costs[name].bytes.each / 1e6 / megabytes < 1.5, name


def test_a_block_on_an_accelerator_is_no_larger_than_a_seed_needs():
    task, p = TASKS["5→2"], np.linspace(0.1, 1, 48)
    assert lay_out(task, CONFIG, sp.Grid(feature_probability=p, seed=range(3)), platform="gpu").block_sizes == [64]
    assert lay_out(task, CONFIG, sp.Grid(seed=range(3)), platform="gpu").block_sizes == [4]
    assert lay_out(task, CONFIG, sp.Grid(seed=range(3)), platform="cpu").block_sizes == [16]
    many = sp.Grid(feature_probability=np.linspace(0.1, 1, 20_000))
    assert lay_out(task, CONFIG, many, platform="gpu").block_sizes == [block_size(H100, step_cost(task, CONFIG))]


def test_models_that_follow_one_another_gain_little_from_company():
    """Double descent has a batching rule of its own."""
    task = sp.tasks.DoubleDescent(n_features=1000, n_hidden=2, most_points=2000)
    cost = step_cost(task, CONFIG)
    assert cost.kernels.each > 10 and cost.open_ended and block_size(H100, cost) <= 16
    assert step_cost(TASKS["5→2"], CONFIG).kernels.each == 0 and not any(
        step_cost(t, CONFIG).open_ended for t in TASKS.values()
    )


def test_chips_are_found_by_what_jax_calls_them():
    assert chip_of("gpu", "NVIDIA H200") is KNOWN["H200"] and chip_of("gpu", "NVIDIA A100-SXM4-80GB") is KNOWN["A100"]
    assert chip_of("gpu", "NVIDIA H100 80GB HBM3") is chip_of("gpu", "unheard of") is H100
    assert chip_of("tpu", "TPU v5 lite").name == "TPU v5e" and chip_of("cpu").name == "CPU"


def test_a_prediction_grows_with_steps_and_models():
    chip = chip_of("cpu")

    def seconds(steps, seeds):
        layout = lay_out(TASKS["5→2"], sp.TrainConfig(steps=steps), sp.Grid(seed=range(seeds)))
        return predicted(layout, chip).seconds

    assert seconds(200, 4) == pytest.approx(2 * seconds(100, 4))
    assert seconds(100, 8) == pytest.approx(2 * seconds(100, 4))
    layout = lay_out(TASKS["5→2"], sp.TrainConfig(steps=100), sp.Grid(seed=range(4)))
    prediction = predicted(layout, chip)
    assert prediction.parts.seconds == pytest.approx(prediction.seconds)
    assert prediction.rate == pytest.approx(400 / prediction.seconds)


def test_the_fused_kernel_is_predicted_near_what_was_compiled_for_an_h100():
    """Operations of a step of 512 models, in programs of 32 threads: instructions of a thread, by the compiler."""
    for name, instructions, n_bytes in (("2→1", 1_293, 917_604), ("5→2", 3_988, 2_293_860)):
        cost = fused_cost(TASKS[name], CONFIG, step_cost(TASKS[name], CONFIG), 512)
        assert 0.7 < cost.vector_operations(512) / (instructions * 512 * 32) < 1.3, name
        assert cost.kernels(512) == 6 / 50  # a record every 50 steps
        assert 0.7 < 50 * cost.bytes(512) / n_bytes < 1.3, name


def test_the_tiled_kernels_are_predicted_near_what_was_compiled_for_an_h100():
    """Steps of 32 models: instructions of all threads of both large kernels, and bytes that pass between kernels."""
    compiled = {(400, 30): (93_175, 3_436, 28_777_140), (80, 20): (18_875, 1_205, 4_119_220)}
    for (n, m), (gradients, weights, n_bytes) in compiled.items():
        cost = tiled_cost(sp.tasks.Toy(n_features=n, n_hidden=m), CONFIG, 32)
        assert 0.8 < cost.vector_operations(32) / (32 * (4 * 256 * gradients + 512 * weights)) < 1.25
        assert 0.8 < cost.bytes(32) / n_bytes < 1.25
        assert cost.kernels(32) == 5


def test_a_dry_run_predicts_the_kernel_that_will_train():
    densities = sp.Grid(feature_probability=np.linspace(0.1, 1, 512))
    layouts = [lay_out(TASKS["5→2"], CONFIG, densities, block_size=512, kernel=k) for k in ("plain", "fused")]
    plain, fused = (predicted(layout, H100) for layout in layouts)
    assert plain.seconds > 3 * fused.seconds and fused.parts.bound == "operations"
    assert plain.n_trained == fused.n_trained == layouts[0].n_trained(1) == 512
    few = lay_out(TASKS["5→2"], CONFIG, densities, block_size=4, kernel="fused")
    assert predicted(few, H100).rate < fused.rate / 10  # most processors have nothing to do
    with_tiles = lay_out(TASKS["400→30"], CONFIG, densities, block_size=32, kernel="tiled")
    assert predicted(with_tiles, H100).rate > 2 * predicted(replace(with_tiles, kernel="plain"), H100).rate
    assert few.n_launches(100) == [2] and few.n_trained(100) == 800


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(measured, "cache_folder", lambda: str(tmp_path))
    return tmp_path


@pytest.mark.slow
def test_a_measurement_is_kept_with_versions_and_date_and_found_again(cache):
    device = jax.devices()[0]
    assert measured.read(device) is None
    chip = measured.measured(device)
    (file,) = cache.iterdir()
    stored = json.loads(file.read_text())
    assert stored["jax"] == jax.__version__ and stored["date"].startswith("20") and stored["source"] == "measured here"
    assert min(chip.launch, chip.bandwidth, chip.matrix_peak, chip.vector_peak) > 0
    assert measured.read(device) == chip == measured.measured(device)
    for damaged in ("{", "[]", json.dumps(stored | {"jax": "0.1"}), json.dumps(stored | {"launch": -1.0})):
        file.write_text(damaged)
        assert measured.read(device) is None


def test_where_nothing_can_be_kept_nothing_is_left_behind(cache, monkeypatch):
    device = jax.devices()[0]
    monkeypatch.setattr(measured.os, "replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    assert measured.write(device, H100) is None and not list(cache.iterdir())
    monkeypatch.setattr(measured, "cache_folder", lambda: None)
    assert measured.write(device, H100) is None and measured.read(device) is None


@pytest.fixture
def benchmark(monkeypatch, cache):
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "benchmarks"))
    return importlib.import_module("accelerator")


@pytest.mark.slow
def test_the_benchmark_of_accelerators_runs_whole_where_there_is_none(benchmark, tmp_path, capsys):
    assert benchmark.main(tmp_path / "tiny.json", tiny=True) == 0
    found = json.loads((tmp_path / "tiny.json").read_text())
    parts = importlib.import_module("accelerator_parts")
    assert list(found) == list(parts.PARTS) and not [part for part in found.values() if "error" in part]
    assert found["correctness"]["toy"]["ok"] and all(
        found["determinism"][k] for k in ("plain, run to run", "plain, whoever is beside")
    )
    assert found["throughput"]["2→1"]["rate"] > 0 and found["block sizes"]["2→1"][0]["block_size"] == 4
    assert "## throughput" in (tmp_path / "tiny.md").read_text()


def test_a_part_that_fails_hides_no_other_and_fails_the_whole(benchmark, tmp_path, monkeypatch):
    parts = importlib.import_module("accelerator_parts")

    def fails(_):
        raise MemoryError("too large")

    monkeypatch.setattr(parts, "PARTS", {"first": fails, "second": lambda _: {"rate": 2.0}})
    assert benchmark.main(tmp_path / "x.json", tiny=True) == 1
    found = json.loads((tmp_path / "x.json").read_text())
    assert found["first"]["error"] == "MemoryError: too large" and found["second"]["rate"] == 2
    assert benchmark.main(tmp_path / "x.json", tiny=True, seconds=-1) == 0
    assert json.loads((tmp_path / "x.json").read_text())["first"] == {"left out": "no time was left"}


def test_what_no_card_has_shown_is_called_a_prediction(benchmark, tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "compiled", lambda *_: {"left out": "not here"})
    assert benchmark.main(tmp_path / "dry.json", dry=True, tiny=True) == 0
    (name, predictions), _ = json.loads((tmp_path / "dry.json").read_text()).items()
    assert name == "PREDICTIONS for H100: nothing was run" and predictions["rates"]["2→1"]["predicted"] > 1e6
