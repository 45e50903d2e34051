"""What it takes to add one thing: done here in full, with the number of files it touches.

Others have tests of their own: a task (test_own_task, 1 file), an activation, optimiser, metric and feature distribution
(test_own_things, 1 file), an architecture (test_own_architecture, 1 file), an engine (test_engines, 1 file).
"""

import sys

import numpy as np
import pytest
from scipy.stats import ortho_group

import superpos as sp
from superpos import cli
from superpos.plot.shape_colors import FAMILIES, _look, kinds, shape_color
from superpos.theory import polytopes
from superpos.theory.polytopes import TIGHT, KnownShape, prism


def test_a_command_is_one_file(monkeypatch, tmp_path, capsys):
    """`superpos greet WORD`: a file in the folder of commands, and nothing else."""
    (tmp_path / "greet.py").write_text(
        '''"""`superpos greet`."""\n\n\ndef greet(word: str = "you") -> None:\n    """Say hello."""\n    print(f"hello {word}")\n'''
    )
    monkeypatch.setattr(cli, "__path__", [*cli.__path__, str(tmp_path)])
    assert [command.__name__ for command in cli.commands()] == [*cli.FIRST, "greet"]
    monkeypatch.setattr(sys, "argv", ["superpos", "greet", "--word", "house"])
    cli.main()
    assert capsys.readouterr().out == "hello house\n"
    monkeypatch.delitem(sys.modules, "superpos.cli.greet")
    monkeypatch.delattr(cli, "greet")


@pytest.fixture
def hexagonal_prism(monkeypatch):
    """One line in `theory/polytopes.py`, in the list of special shapes."""
    shape, special = KnownShape("hexagonal prism", prism(6, TIGHT, twist=False)), polytopes._special()
    monkeypatch.setattr(polytopes, "_special", lambda: (*special, shape))
    tables = (polytopes.known_shapes, kinds, _look)
    for table in tables:
        table.cache_clear()
    yield shape
    for table in tables:
        table.cache_clear()


def test_a_shape_is_one_line(hexagonal_prism):
    """It is named in any rotation and scale, planted, coloured as its family is, and listed in errors."""
    W = 0.9 * ortho_group.rvs(3, random_state=0) @ hexagonal_prism.vertices.T
    geometry = sp.geometry(W)
    assert geometry.name == "hexagonal prism" and geometry.components[0].residual < 1e-5
    assert np.asarray(geometry.dimensionality) == pytest.approx(3 / 12, abs=1e-5)
    planted = sp.theory.arrangement(["hexagonal prism", "antipodal pair"], 14, 4).values
    assert sp.geometry(planted).name == "hexagonal prism + antipodal pair"
    assert shape_color("hexagonal prism") in FAMILIES["solid"]
    with pytest.raises(sp.ConfigError, match="hexagonal prism"):
        sp.theory.known_shape("hexagonal prysm")
