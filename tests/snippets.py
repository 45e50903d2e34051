"""Code in pages: found, made small, and run in order in one namespace."""

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

# What makes an example small: long trainings are written with an underscore, and nothing else in a page's code is.
STEPS = (r"\b\d{1,3}_000\b|\b\d_\d00\b", "20")
SMALLER = (
    STEPS,
    (r"\bsteps=(?!500)\d{3}\b", "steps=20"),  # those 500 must end in a minimum, whose coefficient is measured
    (r"TrainConfig\((?![^()]*\bsteps=)", "TrainConfig(steps=20, "),
    (r"(geomspace\([^()]*?), \d+\)", r"\1, 3)"),
    (r"range\((?:8|16)\)", "range(2)"),
    # One batch, where the usual 128 take longer than the training.
    (r"evaluation_samples=[\d_]+", "evaluation_samples=1_024"),
    # With the fewest terms that the library would choose; along an axis from these starts alone.
    (r"starts=\d+", "starts=8, order=32"),
    (r"(starts=8, order=32), along", r"\1, candidates=False, along"),
    (r"sp\.llc\(run\)", "sp.llc(run, draws=50, warmup=50)"),
    (r"TrainConfig\((?![^()]*evaluation_samples)", "TrainConfig(evaluation_samples=1_024, "),
)


def python_blocks(page: Path) -> list[str]:
    """The Python of a page, block by block. A block that only shows, and does not run, has another language."""
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def commands(page: Path) -> list[str]:
    """Lines of a page's indented and shell blocks, without comments."""
    text = page.read_text(encoding="utf-8")
    fenced = re.findall(r"^```(?:bash|console|sh)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line for block in fenced for line in block.splitlines()] + re.findall(r"^    (\S.*)$", text, re.MULTILINE)
    return [stripped for line in lines if (stripped := re.sub(r"(^|\s+)#.*", "", line).strip())]


def smaller(code: str) -> str:
    """The same code with few steps, densities and seeds."""
    for pattern, instead in SMALLER:
        code = re.sub(pattern, instead, code)
    return code


def run(page: Path, *, full: bool = False) -> dict[str, Any]:
    """Run a page's Python in the working folder; what it defined. `full` runs it as it is written."""
    names: dict[str, Any] = {"__name__": "page"}
    for number, block in enumerate(python_blocks(page)):
        code = block if full else smaller(block)
        exec(compile(code, f"{page.name}, block {number}", "exec"), names)
    return names
