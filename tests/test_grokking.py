"""Claims about grokking, on a made-up table that holds all of them and on ones that break each."""

import numpy as np
import pytest
import xarray as xr

from superpos.claims import Claims
from superpos.claims.grokking import judge


def made_up(**changed):
    step = np.array([0, 500, 2_000, 3_000, 4_000])
    curves = {
        "train_accuracy": [0, 1, 1, 1, 1],
        "test_accuracy": [0, 0.1, 0.2, 0.9, 1],
        "test_loss": [4, 8, 8, 1, 1e-6],
        "excluded_loss": [4, 0.1, 2, 5, 6],
    }
    table = xr.Dataset({n: ("step", v) for n, v in (curves | changed.pop("curves", {})).items()}, {"step": step})
    energy = np.array([5, 0.1, 4, 0.1, 3, 0.1])
    table = table.assign(embedding_energy=("frequency", changed.pop("energy", energy)))
    table = table.assign(neuron_explained=("neuron", changed.pop("explained", [0.9, 0.95, 0.99, 0.5])))
    table = table.assign_coords(key=[2, 4]).assign(alone_removed=("key", changed.pop("alone", [0.1, 2])))
    table.attrs = {"kept_test_accuracy": 1.0, "removed_loss": 5.0, "p": 11}
    table.attrs |= {"phase_memorised": 500.0, "phase_circuit": 3_000.0, "phase_clean": 4_000.0} | changed
    return table


CONTROL = made_up(curves={"test_accuracy": [0, 0.1, 0.1, 0.1, 0.1]})


def failed(table, control=CONTROL):
    claims = Claims("a paper")
    judge(table, control, claims)
    return [claim.statement for claim in claims.failed]


def test_everything_holds():
    assert failed(made_up()) == []


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"curves": {"test_accuracy": [0, 0.6, 0.7, 0.9, 1]}}, "memorises"),
        ({"curves": {"test_accuracy": [0, 0.1, 0.2, 0.9, 0.99]}}, "in the end"),
        ({"energy": np.array([5, 1, 4, 1, 3, 1])}, "hold the embedding"),
        ({"explained": [0.9, 0.8, 0.8, 0.5]}, "one frequency"),
        ({"kept_test_accuracy": 0.9}, "alone answer"),
        ({"alone": [5e-6, 2]}, "any one"),
        ({"removed_loss": 2.0}, "worse than chance"),
        ({"curves": {"excluded_loss": [4, 0.1, 0.1, 0.1, 6]}}, "excluded"),
        ({"phase_circuit": float("nan")}, "phases"),
    ],
)
def test_each_claim_can_fail(change, what):
    assert any(what in statement for statement in failed(made_up(**change)))


def test_a_control_that_generalises_is_no_control():
    assert any("weight decay" in statement for statement in failed(made_up(), made_up()))
