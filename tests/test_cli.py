"""The command line, as a user types it."""

import inspect
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import pytest

import superpos as sp
from superpos.cli import commands, main, sweepfile
from superpos.cli.sweep import in_words
from superpos.errors import ConfigError

RUN = [sys.executable, "-c", "from superpos.cli import main; main()"]


def superpos(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["superpos", *arguments])
    main()


def test_help_answers_without_importing_jax():
    code = (
        "import sys\n"
        "from superpos.cli import main\n"
        "for command in sys.argv[1:]:\n"
        "    sys.argv = ['superpos', *command.split(), '--help']\n"
        "    try: main()\n"
        "    except SystemExit as end: print('code', end.code)\n"
        "print([m for m in ('jax', 'numpy', 'matplotlib', 'xarray', 'flax') if m in sys.modules])"
    )
    commands = ["", "demo", "phase", "sweep", "geometry", "explore", "decompose", "doctor"]
    run = subprocess.run([sys.executable, "-c", code, *commands], capture_output=True, text=True, timeout=60)
    assert run.stdout.count("code 0\n") == len(commands) and run.stdout.endswith("\n[]\n"), run.stdout + run.stderr
    assert run.stdout.lower().count("usage: superpos") >= len(commands)


@pytest.mark.parametrize("command", [c for c in commands() if "out" in inspect.signature(c).parameters])
def test_out_is_short_for_every_command_that_writes(command, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        superpos(monkeypatch, command.__name__, "--help")
    assert re.search(r"-o [^,]*, --out", capsys.readouterr().out)


def test_importing_superpos_imports_nothing_heavy():
    code = "import superpos, sys; print([m for m in ('jax', 'numpy', 'xarray') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.slow
def test_train_and_sweep_are_functions_whatever_is_imported_first():
    """One process that imports superpos again and again; what it stands on stays imported, but for slow parts of SciPy."""
    code = (
        "import sys\n"
        "for first in sys.argv[1:]:\n"
        "    for name in [m for m in sys.modules if m.partition('.')[0] == 'superpos']: del sys.modules[name]\n"
        "    import superpos as sp\n"
        "    getattr(sp, first)\n"
        "    from superpos.sweeping.grid import Grid\n"
        "    print(sp.train.__name__, sp.sweep.__name__)\n"
        "import superpos.plot\n"
        "print([m for m in ('scipy.optimize', 'scipy.signal', 'scipy.stats') if m in sys.modules])"
    )
    first = ["TrainConfig", "Grid", "geometry", "open", "train", "sweep"]
    run = subprocess.run([sys.executable, "-c", code, *first], capture_output=True, text=True)
    assert run.stdout == len(first) * "train sweep\n" + "[]\n", run.stderr


def test_all_public_names_exist():
    for name in sp.__all__:
        assert getattr(sp, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        sp.nonsense  # noqa: B018


def test_version(monkeypatch, capsys):
    superpos(monkeypatch, "--version")
    assert capsys.readouterr().out == f"superpos {sp.__version__}\n"


@pytest.mark.slow
def test_demo_writes_figure_and_result_twice(monkeypatch, tmp_path, capsys):
    """The second time as Windows redirects to a file: what its code page lacks is spelt, the rest is the same.

    That time with its page, where no browser is.
    """
    monkeypatch.chdir(tmp_path)
    opened = []
    monkeypatch.setattr("superpos.explorer.browse.open_in_browser", opened.append)
    for again in range(2):
        if again:
            monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "cp1252", write_through=True))
        superpos(monkeypatch, "demo", "--steps", "400", "--densities", "5", "--seeds", "6", *["--open"] * again)
        printed = sys.stdout.buffer.getvalue().decode("cp1252") if again else capsys.readouterr().out
        assert ("1 - S" if again else "1 − S") in printed
        assert "pentagon" in printed and "2 × dedicated" in printed and "%" in printed
        files = sorted(p.name for p in Path("superpos-demo").iterdir())
        page = ["five_features.html"] * again
        assert files == [*page, *(f"five_features.{ending}" for ending in ("png", "svg", "txt", "zarr"))]
    assert opened == [Path("superpos-demo/five_features.html")]
    assert f"{opened[0]} (no browser was found here: open this file in one)" in printed
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert "5 features in 2 hidden dimensions" in Path("superpos-demo/five_features.txt").read_text()
    superpos(monkeypatch, "geometry", "superpos-demo/five_features.zarr")
    assert "pentagon" in capsys.readouterr().out
    result = sp.open("superpos-demo/five_features.zarr")
    assert result.sizes == {"feature_probability": 5, "seed": 6}


FILE = """
[task]
n_features = 4
n_hidden = 2
magnitude = "constant"
importance = "0.5^i"
correlated_sets = [[0, 1]]
[train]
steps = 20
batch_size = 16
evaluation_samples = 16
[grid]
feature_probability = { geomspace = [1.0, 0.1, 3] }
relative_importance = { entry = "importance[-1]", values = [0.1, 1.0] }
n_hidden = [1, 2]
seed = { range = 2 }
[sweep]
block_size = 2
"""
SMALLER = ("train.steps=10", "task.activation=gelu")  # the same in several tests: compiled once


def test_a_sweep_file_is_trained_and_saved(monkeypatch, tmp_path, capsys, caplog):
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(FILE)
    small = (*SMALLER, "grid.seed={range=3}")
    superpos(monkeypatch, "sweep", "mine.toml", *small, "--dry-run")
    printed = capsys.readouterr().out
    for words in (
        "models            36",
        "compile families  2",
        "memory",
        "padding           0 models",
        "measured here",
        "estimated time    a moment: ",
    ):
        assert words in printed
    assert "arithmetic" in printed and "within a factor of 2" in printed
    assert [p.name for p in Path().iterdir()] == ["mine.toml"]
    superpos(monkeypatch, "sweep", "mine.toml", *small)
    assert "next      superpos explore runs/mine.zarr\n" in capsys.readouterr().out
    result = sp.open("runs/mine.zarr")
    assert result.sizes == {"feature_probability": 3, "relative_importance": 2, "n_hidden": 2, "seed": 3}
    assert result.attrs["train"]["steps"] == 10 and result.attrs["task"]["activation"] == "gelu"
    assert result.attrs["task"]["importance"] == [1, 0.5, 0.25, 0.125]
    capsys.readouterr()
    superpos(monkeypatch, "geometry", "runs/mine.zarr", "--rows", "5")
    assert "and 7 more rows" in capsys.readouterr().out
    superpos(monkeypatch, "sweep", "mine.toml", *small, "train.learning_rate=1e9", "--overwrite")
    assert "36 diverged" in capsys.readouterr().out
    assert caplog.text.count("step=0") == 36


@pytest.mark.slow
def test_a_dry_run_can_be_timed(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(FILE)
    superpos(monkeypatch, "sweep", "mine.toml", "--dry-run", "--timed")
    printed = capsys.readouterr().out
    assert printed.index("output") < printed.index("measured: compiling") < printed.index("memory  ")
    assert "padding           0 models" in printed and "estimated time    a moment: " in printed
    with pytest.raises(SystemExit, match="2"):
        superpos(monkeypatch, "sweep", "mine.toml", "--timed")
    assert "timed says how --dry-run estimates; add --dry-run." in capsys.readouterr().err


@pytest.mark.slow
def test_a_sweep_goes_on_is_watched_packed_and_exported(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(FILE)
    monkeypatch.setattr(sys.modules["superpos.sweeping.layout"], "CELLS_PER_CHUNK", 2)
    superpos(monkeypatch, "sweep", "mine.toml", *SMALLER, "--out", "r.zarr", "--worker", "0/2")
    assert "UNFINISHED" in capsys.readouterr().out
    superpos(monkeypatch, "status", "r.zarr")
    printed = capsys.readouterr().out
    assert "models    12 of 24 (50.0%)" in printed and "models/s" in printed and "time left" in printed
    with pytest.raises(SystemExit) as caught:
        superpos(monkeypatch, "pack", "r.zarr")
    assert caught.value.code == 1 and "is not finished" in capsys.readouterr().err
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "4")  # an array that begins at 3: the second of two
    monkeypatch.setenv("SLURM_ARRAY_TASK_MIN", "3")
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "2")
    superpos(monkeypatch, "sweep", "mine.toml", *SMALLER, "--out", "r.zarr", "--resume", "must")
    printed = capsys.readouterr()
    assert "UNFINISHED" not in printed.out and "worker 1/2, of an array job" in printed.err
    superpos(monkeypatch, "status", "r.zarr")
    assert "finished" in capsys.readouterr().out
    superpos(monkeypatch, "pack", "r.zarr")
    superpos(monkeypatch, "geometry", "r.zarr.zip")
    pytest.importorskip("safetensors")
    superpos(monkeypatch, "export", "r.zarr.zip", "--out", "r.safetensors")
    assert sorted(p.name for p in Path().iterdir()) == ["mine.toml", "r.log", "r.safetensors", "r.zarr", "r.zarr.zip"]


def test_workers_are_read_from_array_jobs():
    from superpos.cli.sweep import worker_of

    assert worker_of({}) is None
    assert worker_of({"SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_TASK_COUNT": "4"}) == "2/4"
    assert worker_of({"JOB_COMPLETION_INDEX": "0", "JOB_COMPLETIONS": "8"}) == "0/8"
    for wrong in ({"JOB_COMPLETION_INDEX": "0"}, {"SLURM_ARRAY_TASK_ID": "x", "SLURM_ARRAY_TASK_COUNT": "4"}):
        with pytest.raises(sp.ConfigError, match=next(iter(wrong))):
            worker_of(wrong)


@pytest.mark.slow
def test_losses_along_every_axis_go_to_tensorboard_and_wandb(tmp_path, quick_result, monkeypatch):
    from superpos.sweeping import loggers

    rows = loggers.along_axes(quick_result)
    loss = quick_result["loss"]
    assert [value for value, _, _ in rows["seed"]] == [0, 1, 2, 3]
    for value, mean, least in rows["feature_probability"]:
        there = loss.sel(feature_probability=value)
        assert mean == pytest.approx(float(there.mean())) and least == pytest.approx(float(there.min()))
    with monkeypatch.context() as patch:
        patch.setattr(loggers, "find_spec", lambda name: None)
        with pytest.raises(sp.ConfigError, match=r"pip install .*\[tensorboard\]"):
            loggers.check(tmp_path, None)
        with pytest.raises(sp.ConfigError, match=r"pip install .*\[wandb\]"):
            loggers.check(None, "project")
    pytest.importorskip("tensorboardX")
    loggers.write(quick_result, tensorboard=tmp_path / "tb")
    assert next(p.name for p in (tmp_path / "tb").iterdir()).startswith("events.out")


def test_every_design_can_be_written_down(tmp_path):
    head = FILE.split("[grid]")[0]
    path = tmp_path / "d.toml"
    path.write_text(
        head
        + "[design]\nkind='random'\nn_cells=7\nrandom_seed=3\n[grid]\nfeature_probability={loguniform=[0.1,1]}\nseed=[0,1]\n"
    )
    assert sweepfile.read(path).grid.n_cells == 7
    path.write_text(head + "[design]\nkind='zipped'\n[grid]\nfeature_probability=[0.1,0.2]\nseed=[0,1]\n")
    assert sweepfile.read(path).grid.sizes == {"cell": 2}
    path.write_text(head + "[[points]]\nfeature_probability=0.1\nseed=3\n[[points]]\nfeature_probability=0.2\nseed=4\n")
    assert sweepfile.read(path).grid.columns()["seed"].tolist() == [3, 4]
    path.write_text(
        head
        + "[grid]\nd={decay='importance',linspace=[0.5,1,3]}\ninit_scale={uniform=[0,1]}\n[design]\nkind='random'\nn_cells=2\n"
    )
    assert sweepfile.read(path).grid.describe()["axes"][0]["rule"] == "decay"


def test_none_can_be_written_in_a_sweep_file(tmp_path):
    """TOML has no None: the word says it where a field may be None, and stays a word (`revival`) or is refused elsewhere."""
    path = tmp_path / "worlds.toml"
    sizes, grid = "n_features = 5\nn_hidden = 2\n", "[grid]\nseed = { range = 2 }\n"
    path.write_text(f'[task]\nkind = "world_toy"\nworld = "none"\nhidden_l1 = "none"\n{sizes}{grid}')
    task = sweepfile.read(path).task
    assert task.world is None and task.hidden_l1 is None
    assert sweepfile.read(path, ["task.world=line", "task.log_odds=-2"]).task.world == "line"
    assert sweepfile.read(path, ["task.world=none"]).task.world is None
    with pytest.raises(ConfigError, match="feature_probability must be a number"):
        sweepfile.read(path, ["task.feature_probability=none"])
    path.write_text(f'[task]\nkind = "sparse_autoencoder"\nrevival = "none"\nn_latents = 5\n{sizes}{grid}')
    assert sweepfile.read(path).task.revival == "none"


def test_the_example_sweep_file_is_valid():
    given = sweepfile.read(Path(__file__).parents[1] / "sweeps" / "five_features.toml")
    assert given.grid.n_cells == 192


@pytest.mark.slow
def test_doctor_finds_this_machine_healthy(monkeypatch, capsys):
    superpos(monkeypatch, "doctor", "--thorough")
    printed = capsys.readouterr().out
    assert printed.count("ok  ") == 4 and "FAIL" not in printed and "device 0: cpu" in printed


@pytest.mark.slow
def test_doctor_takes_a_second(tmp_path):
    """It imports neither flax nor superpos's training, and measures the device once; JAX's start is most of the rest."""
    code = (
        "import sys\n"
        "from superpos.cli import main\n"
        "sys.argv = ['superpos', 'doctor']\n"
        "main()\n"
        "print([m for m in ('flax', 'optax', 'xarray', 'superpos.training') if m in sys.modules])"
    )
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(tmp_path)}
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment).stdout
        for _ in range(2)
    ]
    assert all(run.count("ok  ") == 4 and run.endswith("[]\n") for run in runs)
    assert "kept for --dry-run" in runs[0] and "measured before" in runs[1]


def test_doctor_says_versions_before_it_starts_jax():
    code = (
        "import sys\n"
        "from superpos.cli import doctor\n"
        "def say(text):\n"
        "    print('jax' in sys.modules, text)\n"
        "    if text.startswith('Starting JAX'): sys.exit()\n"
        "doctor.say = say\n"
        "doctor.doctor()"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    first, second = run.stdout.splitlines()
    assert first.startswith(f"False superpos {sp.__version__}, python 3.") and f"jax {jax.__version__}" in first
    assert second.startswith("False Starting JAX")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "a moment"),
        (22, "about half a minute"),
        (130, "about 2 minutes"),
        (4_000, "about an hour"),
        (3e5, "about 3 days"),
    ],
)
def test_times_in_words(seconds, words):
    assert in_words(seconds) == words


@pytest.mark.slow
def test_a_closed_pipe_ends_quietly(tmp_path, quick_result):
    quick_result.save(tmp_path / "r.zarr")
    command = f"{sys.executable} -c 'from superpos.cli import main; main()' geometry {tmp_path / 'r.zarr'} | head -c 10"
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120)
    assert "Traceback" not in run.stderr
