"""Files of a figure: which of them an earlier figure left, and may be replaced, and writing each whole or not at all."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from superpos.sweeping import outputs

MARK = "superpos"  # what pictures name as their source
ENDINGS = (".svg", ".png", ".txt")
RECORD = {"caption", "source", "claims"}
MAX_RECORD = 16 * 2**20  # bytes of one


def free_figure(
    path: str | Path, endings: Sequence[str] = ENDINGS, *, overwrite: bool = False
) -> dict[str, tuple[Path, Path]]:
    """The files of a figure by their endings, as they are named and where they lie, if all of them may be written.

    Nothing is there, or what an earlier figure left: pictures say so themselves; captions and animations belong to the
    picture beside them.

    Raises:
        ConfigError: something else is there, and `overwrite` was not asked for; or it is inside a result.
    """
    base = Path(path)
    base = base.with_suffix("") if base.suffix in (".svg", ".png") else base
    picture = _head(base.with_name(base.name + ".svg"))
    judges: dict[str, Callable[[bytes], bool]] = {
        ".svg": _is_svg,
        ".png": lambda head: head.startswith(b"\x89PNG") and (_is_svg(picture) or MARK.encode() in head),
        ".pdf": lambda head: head.startswith(b"%PDF") and _is_svg(picture),
        ".txt": lambda head: _is_svg(picture) and b"\0" not in head,
        ".gif": lambda head: _is_svg(picture) and head.startswith(b"GIF8"),
        ".json": lambda _: is_record(base.with_name(base.name + ".json")),
    }
    named = {ending: base.with_name(base.name + ending) for ending in endings}
    return {
        ending: (file, outputs.free(file, "figure", judges[ending], overwrite=overwrite))
        for ending, file in named.items()
    }


def is_record(path: Path) -> bool:
    """Whether a file is what `superpos.plot.publish` notes about a figure: its caption, and claims with their source."""
    try:
        if path.stat().st_size > MAX_RECORD:
            return False
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(record, dict) and set(record) >= RECORD and isinstance(record["claims"], list)


def _is_svg(head: bytes) -> bool:
    """Whether Matplotlib drew it for superpos; earlier versions said so only by leaving out the date."""
    return b"<dc:title>Matplotlib" in head and (f"<dc:source>{MARK}".encode() in head or b"<dc:date>" not in head)


def _head(path: Path) -> bytes:
    try:
        if path.is_file():  # to open a pipe would wait for ever
            with path.open("rb") as file:
                return file.read(outputs.HEAD_BYTES)
    except OSError:
        pass  # it cannot be judged by
    return b""
