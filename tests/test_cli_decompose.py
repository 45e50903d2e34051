"""`superpos decompose`: what it trains, prints and refuses."""

from typing import Any

import numpy as np
import pytest
import xarray as xr
from test_cli import superpos

import superpos as sp
from superpos.cli.decomposition_report import TOYS, print_decompositions
from superpos.experiments import decomposing, decomposing_networks


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    path = tmp_path_factory.mktemp("decompose") / "toy.zarr"
    task = sp.tasks.Toy(n_features=3, n_hidden=2, magnitude="constant")
    config = sp.TrainConfig(steps=20, batch_size=16, evaluation_samples=32)
    return path, sp.sweep(task, config, sp.Grid(feature_probability=[0.1, 0.3], seed=range(2)), path, progress=False)


def rows(printed):
    """Rows of the table by their first word, as words."""
    return {words[0]: words[1:] for line in printed.splitlines() if (words := line.split())}


def test_the_table_counts_over_seeds_and_says_which_models_have_no_scores(capsys):
    dims, nan = ("minimality_coefficient", "seed"), np.nan
    numbers = {
        "mmcs": [[1.0, 0.98, 1.0], [nan, nan, nan]],
        "ml2r": [[1.0, 0.7, 1.0], [nan, nan, nan]],
        "live": [[5, 7, 5], [nan, nan, nan]],
        "stochastic": [[1e-4, 1e-4, 4e-4], [nan, nan, nan]],
        "adversarial": [[1e-2, 1e-2, 1e-2], [nan, nan, nan]],
        "taken_apart": [[1, 0, 1], [0, 0, 0]],
    }
    table = xr.Dataset(
        {name: (dims, np.array(values, float)) for name, values in numbers.items()},
        {"minimality_coefficient": [1e-3, 3e-3], "seed": [0, 1, 2]},
    )
    print_decompositions(table, TOYS)
    printed = capsys.readouterr().out
    # Wilson's interval of 2 of 3 by hand: (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n).
    z, n, p = 1.959964, 3, 2 / 3
    middle, reach = p + z**2 / 2 / n, z * np.sqrt(p * (1 - p) / n + z**2 / 4 / n**2)
    low, high = ((middle + sign * reach) / (1 + z**2 / n) for sign in (-1, 1))
    expected = f"0.993 0.900 5 … 7 2.0e-04 1.0e-02 2 of 3 {low:.2f} … {high:.2f}"
    assert rows(printed)["0.001"] == expected.split()
    assert rows(printed)["0.003"][:7] == ["–", "–", "–", "–", "–", "0", "of"]
    assert "3 of 6 decompositions diverged or are missing" in printed
    print_decompositions(table, TOYS, most=1)
    assert "… and 1 more rows" in capsys.readouterr().out
    print_decompositions(table.isel(minimality_coefficient=0, seed=0), TOYS)
    assert "1 of 1" in capsys.readouterr().out


def test_settings_are_those_that_recover_most_unless_given():
    toy, W = sp.tasks.Toy(n_features=3, n_hidden=2, feature_probability=0.1), np.ones((2, 3))
    task, config, grid = decomposing.build_decompositions(toy, W, seeds=range(2))
    assert (task.n_subcomponents, task.stratified, task.final_p_norm) == (12, True, 0.4)
    assert (config.steps, grid.n_cells) == (3_000, 10) and task.feature_probability == 0.1
    assert (task.delta_component, task.nonnegative_start, task.frequency_inputs) == (True, True, 10)
    assert decomposing.build_decompositions(toy, W, frequency_inputs=5)[0].frequency_inputs == 5
    together = sp.tasks.Toy(n_features=3, n_hidden=2, feature_probability=0.1, correlated_sets=((0, 1),))
    assert not decomposing.build_decompositions(together, W)[0].stratified
    world = sp.tasks.WorldToy(n_features=3, n_hidden=2, world="circle")
    assert [decomposing.block_size_for(n) for n in (1, 5, 16, 20)] == [1, 5, 16, 10]
    with pytest.raises(sp.ConfigError, match="^toy must have the inputs of Toy, without "):
        decomposing.build_decompositions(world, W)


@pytest.mark.slow
def test_a_result_is_taken_apart_kept_and_read_again(monkeypatch, tmp_path, capsys, toys):
    path, trained = toys
    monkeypatch.chdir(tmp_path)
    small = ["--seeds", "2", "--subcomponents", "4", "--steps", "5"]
    superpos(monkeypatch, "decompose", str(path), "--at", "feature_probability=0.12", "--coefficients", "0.003", *small)
    printed = capsys.readouterr().out
    assert rows(printed)["result"] == ["toy_decomposition.zarr"]
    result = sp.open(tmp_path / "toy_decomposition.zarr")
    assert result.attrs["block_size"] == [1]  # of one seed there is one cell
    best = trained.sel(feature_probability=0.1).best("seed").model()
    task: Any = result.isel(seed=0).task()
    np.testing.assert_array_equal(task.target_W[0], best.W[...])
    table = decomposing.measure(result)
    assert float(table["mmcs"].mean()) == pytest.approx(float(rows(printed)["0.003"][0]), abs=1e-3)
    missing = sp.SweepResult(result.dataset.assign(diverged_step=result["diverged_step"] + [[0, 4]]))
    assert np.isnan(decomposing.measure(missing)["mmcs"].values).tolist() == [[False, True]]
    superpos(monkeypatch, "decompose", "toy_decomposition.zarr")
    assert rows(capsys.readouterr().out)["0.003"] == rows(printed)["0.003"]
    for arguments, said in (
        (
            ["toy_decomposition.zarr", "--seeds", "3"],
            "seeds is for models, and toy_decomposition.zarr holds decompositions already",
        ),
        ([str(path)], "at must leave one cell"),
        ([str(path), "--at", "feature_probability=0.1", "--seeds", "0"], "seeds must be at least 1"),
        ([str(path), "--at", "feature_probability=0.1", "--coefficients", "-1"], "minimality_coefficient must be"),
        ([str(path), "--at", "feature_probability=0.3", *small], "holds another sweep"),
        (["nothing.zarr"], "there is no result at nothing.zarr"),
    ):
        with pytest.raises(SystemExit) as error:
            superpos(monkeypatch, "decompose", *arguments)
        assert error.value.code in (1, 2) and capsys.readouterr().err.count(said) == 1


@pytest.mark.slow
def test_a_network_that_computes_is_taken_apart(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    config = sp.TrainConfig(steps=10, batch_size=8, evaluation_samples=8)
    task = sp.tasks.ResidualMLP(n_features=3, n_hidden=2, n_residual=4, feature_probability=0.2, embedding_seed=5)
    trained = sp.sweep(task, config, sp.Grid(seed=range(2)), "mlp.zarr", progress=False)
    superpos(monkeypatch, "decompose", "mlp.zarr", "--coefficients", "0.0003", "--seeds", "2", "--steps", "5")
    printed = capsys.readouterr().out
    result = sp.open("mlp_decomposition.zarr")
    decomposition: Any = result.isel(seed=0).task()
    assert (decomposition.n_subcomponents, decomposition.embedding_seed, decomposition.stratified) == (6, 5, True)
    np.testing.assert_array_equal(np.squeeze(decomposition.target_W), trained.best("seed").model().W_in[...])
    table = decomposing_networks.measure(result).isel(minimality_coefficient=0)
    means = [f"{float(table[name].mean()):.3f}" for name in ("mmcs", "together", "relative", "relative_adversarial")]
    assert rows(printed)["0.0003"][:4] == means
    assert rows(printed)["0.0003"][-6:-3] == ["0", "of", "2"] and printed.count("one each") == 1
    superpos(monkeypatch, "decompose", "mlp_decomposition.zarr")
    assert rows(capsys.readouterr().out)["0.0003"] == rows(printed)["0.0003"]
    missing = sp.SweepResult(result.dataset.assign(diverged_step=result["diverged_step"] + [[0, 4]]))
    assert np.isnan(decomposing_networks.measure(missing)["mmcs"].values).tolist() == [[False, True]]


def test_other_models_are_refused(monkeypatch, tmp_path, capsys):
    path = tmp_path / "lists.zarr"
    config = sp.TrainConfig(steps=1, batch_size=8, evaluation_samples=8)
    task = sp.tasks.SkipTrigrams(n_sources=2, n_destinations=2, n_groups=1, d_model=4, d_head=2, n_heads=1)
    sp.sweep(task, config, sp.Grid(seed=[0]), path, progress=False)
    with pytest.raises(SystemExit):
        superpos(monkeypatch, "decompose", str(path))
    assert "result must hold toy models, networks of Computation or ResidualMLP, or" in capsys.readouterr().err
