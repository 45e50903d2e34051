"""Where the project lives: the one place that README, notebooks and site take the repository's address from."""

import os
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def repository() -> str | None:
    """The repository's address: `Repository` in `[project.urls]` of pyproject.toml, or where a forge builds, its own.

    None where neither is known; then no page offers Colab or links to sources.
    """
    urls = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"].get("urls", {})
    server, name = os.environ.get("GITHUB_SERVER_URL"), os.environ.get("GITHUB_REPOSITORY")
    return urls.get("Repository") or (f"{server}/{name}" if server and name else None)
