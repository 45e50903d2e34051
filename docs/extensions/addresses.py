"""Where the project lives: the one place that notebooks and site take the repository's address from.

The address itself is `Repository` in `[project.urls]` of pyproject.toml, and nowhere else.
"""

import os
import re
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
COLAB = "https://colab.research.google.com/github"


def stated() -> str | None:
    """The address that pyproject.toml states. Notebooks, which lie in the clone, have this one or none."""
    return tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"].get("urls", {}).get("Repository")


def repository() -> str | None:
    """The address that pyproject.toml states, or where a forge builds the site, its own.

    None where neither is known; then no page offers Colab or links to sources.
    """
    server, name = os.environ.get("GITHUB_SERVER_URL"), os.environ.get("GITHUB_REPOSITORY")
    return stated() or (f"{server}/{name}" if server and name else None)


def colab(address: str | None, notebook: str) -> str | None:
    """Where Colab opens a notebook of `demos/` from an address; it does so from GitHub alone."""
    name = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?", address or "")
    return f"{COLAB}/{name[1]}/blob/main/demos/{notebook}" if name else None
