"""Figures that can be checked: a picture, its caption, a table of claims with what was measured, and an index of them."""

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from matplotlib.animation import Animation
from matplotlib.figure import Figure

import superpos
from superpos.console import say, terminal, word
from superpos.experiments.claims import (
    FAILS,
    HOLDS,
    IDENTITIES,
    IDENTITY,
    NEEDS_FULL,
    NOT_JUDGED,
    RED,
    VIOLATED,
    Claim,
    Claims,
    tally,
)
from superpos.experiments.sizes import size_of
from superpos.plot.appearance import save
from superpos.plot.paper import check_width, fit, watermark
from superpos.plot.written import free_figure, is_record
from superpos.script import seconds
from superpos.sweeping import outputs

# What the seconds of a record are.
SECONDS_OF = "reading the sweeps, training those that were not there, measuring what was not measured yet, and drawing"
# Of a paper; None is the width that a figure was designed at.
Width = Literal["column", "text"] | None


@dataclass(frozen=True)
class Published:
    """The files that were written, the picture first, and the claims that did not hold."""

    files: list[Path]
    failed: list[Claim]

    @property
    def status(self) -> int:
        """Exit status of a script: 1 if a claim failed or an identity is violated."""
        return int(bool(self.failed))


def publish(
    figure: Figure,
    caption: str,
    claims: Claims,
    *,
    path: str | Path,
    animation: Animation | None = None,
    width: Width = None,
    overwrite: bool = False,
) -> Published:
    """Write PATH.svg, PATH.png, PATH.pdf, PATH.txt (caption) and PATH.json (the record); print claims and files.

    A quick look, whose claims are not judged, is for no paper and has no PDF, which takes as long as the other pictures.

    The record holds the caption, the claims with what was measured and their source, the size ("quick", "laptop" or "full"),
    the version of superpos, and the seconds that the script took, None outside of a script, with what they are of. Models
    that were trained before are not trained again.
    With `width`, "column" or "text", the figure is laid out for a paper of that width (`superpos.plot.paper`), and PATH gets
    that ending. The claims of a quick look are written but only counted in print, and the picture says that it is one.

    An `animation` is written as PATH.gif, which the page of all figures shows below the picture. Files of an earlier figure
    are replaced, others only with `overwrite`.

    Raises:
        ConfigError: something else is there, or it is inside a result. Nothing is written.
    """
    more = [".gif"] * (animation is not None) + [".json"]
    check_width(width)
    path = Path(path) if width is None else Path(path).with_name(f"{Path(path).name}_{width}")
    places = free_figure(path, more, overwrite=overwrite)
    if width is not None:
        fit(figure, width)
    if not claims.judged:
        watermark(figure)
    files = save(figure, caption, path=path, overwrite=overwrite, pdf=claims.judged, exact=width is not None)
    took = seconds()
    record = {
        "caption": caption,
        "source": claims.source,
        "size": size_of(Path(path).stem),
        "superpos": superpos.__version__,
        "seconds": None if took is None else round(took, 1),
        "seconds_of": SECONDS_OF,
        "claims": [claim.record() for claim in claims.claims],
    }
    files += [named for named, _ in places.values()]
    if animation is not None:
        named, place = places[".gif"]
        outputs.write_by(place, lambda temporary: animation.save(temporary, writer="pillow"))
        record["extra"] = [named.name]
    outputs.write(places[".json"][1], (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode())
    if claims.judged or claims.failed:
        show(claims)
    else:
        n = sum(claim.verdict not in IDENTITIES for claim in claims.claims)
        say(f"A quick look, trained too little to judge: {n} claims were measured and not judged.")
    say("\n".join(str(file) for file in files))
    return Published(files, claims.failed)


def show(claims: Claims) -> None:
    """Print the claims as a table, identities after the others, and how many there are of each verdict."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=word(claims.source), title_justify="left", show_lines=False)
    for name in ("claim", "expected", "measured", ""):
        table.add_column(name, overflow="fold")
    colors = {HOLDS: "green", FAILS: "bold red", NEEDS_FULL: "yellow", NOT_JUDGED: "dim"}
    colors |= {IDENTITY: "dim", VIOLATED: "bold red"}
    ordered = identities_last([claim.record() for claim in claims.claims])
    n_claims = sum(claim["verdict"] not in IDENTITIES for claim in ordered)
    for k, claim in enumerate(ordered):
        words = [word(claim[key]) for key in ("statement", "wanted", "measured")]
        verdict = claim["verdict"]
        table.add_row(*words, Text(verdict, style=colors[verdict]), end_section=k == n_claims - 1)
    terminal().print(table)
    say(tally(claim["verdict"] for claim in ordered))


def identities_last(claims: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The claims of a record, those that are no identities first, otherwise in their order."""
    return sorted(claims, key=lambda claim: claim["verdict"] in IDENTITIES)


_TITLE = "<title>superpos: figures</title>"
_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
figure{margin:0 0 3rem;border-top:1px solid #ccc;padding-top:1rem} img{max-width:100%;height:auto;background:#fff}
figcaption{font-size:.9rem;color:#444} table{border-collapse:collapse;font-size:.85rem;width:100%;margin:.7rem 0}
td,th{border-bottom:1px solid #ddd;padding:.25rem .6rem .25rem 0;text-align:left;vertical-align:top}
.pass{color:#00664c}.FAIL{color:#b3261e;font-weight:bold}.other{color:#7a5b00}
"""


def index(folder: str | Path, entries: Sequence[tuple[str, float | None]]) -> Path:
    """Write FOLDER/index.html: every picture with its caption, its claims, and the seconds it took. Returns the page.

    `entries` are (base name of a published figure, seconds or None). One that is not there is said to be missing.
    """
    folder = Path(folder)
    parts = [_entry(folder, name, seconds) for name, seconds in entries]
    page = (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">\n'
        f"{_TITLE}<style>{_STYLE}</style>\n<h1>Toy Models of Superposition, figure by figure</h1>\n"
        f"<p>{html.escape(totals(folder, [name for name, _ in entries]))}</p>\n" + "\n".join(parts) + "\n</html>\n"
    )
    outputs.write(free_index(folder), page.encode())
    return folder / "index.html"


def free_index(folder: str | Path) -> Path:
    """Where the page of all figures lies, if there is none, or an earlier one.

    Raises:
        ConfigError: something else is there, or the folder is inside a result.
    """
    return outputs.free(Path(folder) / "index.html", "page", lambda head: _TITLE.encode() in head)


def _record(folder: Path, name: str) -> dict[str, Any] | None:
    file = folder / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8")) if is_record(file) else None


def totals(folder: str | Path, names: Sequence[str]) -> str:
    """How many claims the published figures of these names have, how they fared, and which figures have red ones."""
    records = {name: _record(Path(folder), name) for name in names}
    verdicts = {name: [claim["verdict"] for claim in record["claims"]] for name, record in records.items() if record}
    red = {name: sum(verdict in RED for verdict in listed) for name, listed in verdicts.items()}
    which = ", ".join(f"{count} of {name}" for name, count in red.items() if count)
    missing = len(names) - len(verdicts)
    text = f"{tally(verdict for listed in verdicts.values() for verdict in listed)}."
    return text + f" Red: {which}." * bool(which) + f" {missing} figures are missing." * bool(missing)


def _entry(folder: Path, name: str, seconds: float | None) -> str:
    record = _record(folder, name)
    title = f"<h2>{html.escape(name.replace('_', ' '))}</h2>"
    if record is None:
        return f'<figure>{title}<p class="FAIL">It was not drawn.</p></figure>'
    rows = []
    for claim in identities_last(record["claims"]):
        kind = FAILS if claim["verdict"] in RED else HOLDS if claim["verdict"] == HOLDS else "other"
        cells = "".join(f"<td>{html.escape(claim[key])}</td>" for key in ("statement", "wanted", "measured"))
        rows.append(f'<tr>{cells}<td class="{kind}">{html.escape(claim["verdict"])}</td></tr>')
    head = "<tr><th>claim</th><th>expected</th><th>measured</th><th></th></tr>"
    took = "" if seconds is None else f" Drawn in {seconds:.0f} s."
    extra = "".join(f'<p><img src="{html.escape(file)}" alt="animation"></p>' for file in record.get("extra", ()))
    return (
        f'<figure id="{html.escape(name)}">{title}<img src="{html.escape(name)}.svg" alt="{html.escape(record["caption"])}">'
        f"{extra}<figcaption>{html.escape(record['caption'] + took)} Source of the claims: {html.escape(record['source'])}."
        f"</figcaption><table>{head}{''.join(rows)}</table></figure>"
    )
