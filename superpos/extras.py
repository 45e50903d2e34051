"""How to install what is optional: the command for this copy of superpos."""

import shlex
from pathlib import Path


def install_command(extra: str) -> str:
    """What installs one of the extras: from the clone that this copy lies in, else the published package.

    >>> from superpos.extras import install_command
    >>> install_command("widget").endswith("[widget]'")
    True
    """
    clone = Path(__file__).parents[1]
    if not (clone / "pyproject.toml").is_file():
        return f"pip install 'superpos[{extra}]'"
    folder = "." if clone == Path.cwd() else str(clone)
    return f"pip install -e {shlex.quote(f'{folder}[{extra}]')}"
