"""The README's first commands in a fresh environment, from the source distribution and not from the clone."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from itertools import takewhile
from pathlib import Path

import pytest
import snippets

ROOT = snippets.ROOT
COMMANDS = snippets.commands(ROOT / "README.md")
SMALL = "--densities 3 --seeds 2 --steps 20"
NO_INDEX = re.compile(r"hatchling.*\(from versions: none\)", re.DOTALL)
# Variables by which the tests' own environment would reach into the fresh one.
OF_TESTS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "XLA_FLAGS", "JAX_COMPILATION_CACHE_DIR", "MPLBACKEND")


def command(beginning):
    """The README's command that begins so."""
    (line,) = [line for line in COMMANDS if line.startswith(beginning)]
    return line


class Shell:
    """Bash in the folder of the unpacked source distribution, in an environment that holds nothing of the tests'."""

    def __init__(self, folder, home, variables):
        self.folder = folder
        self.variables = {k: v for k, v in os.environ.items() if k not in OF_TESTS}
        self.variables |= variables | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(home),
            "XDG_CACHE_HOME": str(home / "cache"),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_COMPILE": "0",  # so pip spells --no-compile: of a gigabyte, a small part is ever imported
        }

    def __call__(self, *lines):
        """Run lines one after the other, until one fails; what they printed."""
        script = "\n".join(["set -e", *lines])
        run = subprocess.run(
            ["bash", "-c", script], cwd=self.folder, env=self.variables, capture_output=True, text=True, timeout=540
        )
        assert run.returncode == 0, (script, run.stdout[-2_000:], run.stderr[-4_000:])
        return run.stdout


@pytest.fixture(scope="module")
def shell(tmp_path_factory, quick_environment):
    """A shell after the README's first commands, in a small size, whose programs are compiled as quickly as the tests' own."""
    home = tmp_path_factory.mktemp("first_hour")
    requires = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["build-system"]["requires"]
    install = [sys.executable, "-m", "pip", "install", "-q", "--target", home / "builder", *requires]
    builder = subprocess.run(install, capture_output=True, text=True, timeout=300)
    if NO_INDEX.search(builder.stderr):
        pytest.skip("pip reaches no index of packages, so nothing can be installed")
    assert builder.returncode == 0, builder.stderr
    build = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", home]
    subprocess.run(build, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(home / "builder")}, check=True, timeout=120)
    (archive,) = home.glob("superpos-*.tar.gz")
    with tarfile.open(archive) as files:
        files.extractall(home, filter="data")
    unpacked = Shell(home / archive.name.removesuffix(".tar.gz"), home, quick_environment)
    unpacked(command("python3 -m venv"), f"{command('pip install . && superpos demo')} {SMALL}")
    yield unpacked
    shutil.rmtree(home)  # a gigabyte, which pytest would keep for three sessions


ACTIVATE = ". .venv/bin/activate"


@pytest.mark.slow
def test_from_the_source_distribution_to_the_first_page(shell):
    """Installed, trained, drawn and explored; the package that ran is the one that pip built."""
    shell(ACTIVATE, command("superpos explore"))
    page = (shell.folder / "five_features.html").read_text("utf-8")
    assert page.startswith("<!doctype html>") and "http://" not in re.sub(r"http://www\.w3\.org/\S+", "", page)
    assert (shell.folder / "superpos-demo" / "five_features.png").exists()
    elsewhere = shell(ACTIVATE, "cd .venv", "python -c 'import superpos; print(superpos.__file__)'")
    assert "site-packages" in elsewhere


@pytest.mark.long
def test_the_command_for_learners_opens_the_notebooks(shell):
    """JupyterLab is installed, a hundred packages that are not ours, and serves the folder of the notebooks; it is ended as soon as it says so."""
    install, start = command("pip install . jupyterlab").split(" && ")
    assert start == "jupyter lab demos"
    shell(ACTIVATE, f"{install} -q")
    here = "--no-browser --allow-root --ip=127.0.0.1 --ServerApp.port=0"
    server = subprocess.Popen(
        ["bash", "-c", f"{ACTIVATE}; exec {start} {here}"],
        cwd=shell.folder,
        env=shell.variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with server:
        try:
            lines = iter(server.stdout.readline, "")
            log = list(takewhile(lambda line: "is running at" not in line, lines))
        finally:
            server.terminate()
    assert any(f"Serving notebooks from local directory: {shell.folder / 'demos'}\n" in line for line in log), log


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command_begins", "extra"), [("pip install . jupyterlab", None), ("pip install -e '.[docs]'", "docs")]
)
def test_commands_for_learners_and_for_the_site_install_what_they_need(shell, command_begins, extra):
    """Planned and not done; test_site.py builds the site with the command's other half."""
    install, then = command(command_begins).split(" && ")
    assert then == "jupyter lab demos" if extra is None else then.startswith("sphinx-build ")
    planned = shell(ACTIVATE, f"{install} --dry-run").lower().replace("_", "-")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    names = ["jupyterlab"] if extra is None else [re.split("[>=<]", requirement)[0] for requirement in extras[extra]]
    assert [name for name in names if f" {name}-" not in planned] == [], planned
