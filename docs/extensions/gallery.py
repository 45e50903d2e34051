"""The gallery: a page for every published figure, made from the record that `publish` wrote beside its picture."""

import ast
import json
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from superpos.experiments.claims import HOLDS, IDENTITIES, RED, tally

FLAGS = {"laptop": "", "full": " --full", "quick": " --quick"}
INTRODUCTION = """\
# Gallery

Every picture below is drawn by a script of `figures/`. Beside its picture the script writes a record: the caption, made from
the configuration, and the paper's claims, each with what was measured and whether it holds. These pages are made from the
records. Theorems, true of any weights, stand below the claims as *identities*: they check the program and are not counted.
"""


def build(app: Sphinx) -> None:
    """Write gallery/*.md from gallery/*.json."""
    folder = Path(app.srcdir) / "gallery"
    scripts = Path(app.srcdir).parent / "figures"
    records = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))}
    sentences = {name: sentence_of(scripts, name) for name in records}
    texts = {f"{name}.md": page_of(folder, name, record, sentences[name]) for name, record in records.items()}
    texts["index.md"] = index_of(records, sentences)
    for file in folder.glob("*.md"):
        if file.name not in texts:
            file.unlink()
    for name, text in texts.items():
        if not (folder / name).exists() or (folder / name).read_text(encoding="utf-8") != text:
            (folder / name).write_text(text, encoding="utf-8")


def script_of(name: str) -> str:
    """The script that draws a figure; its name may end with the size."""
    return name.removesuffix("_full").removesuffix("_quick")


def title_of(name: str) -> str:
    """A figure's name in words."""
    words = name.replace("_", " ").replace("sae", "SAE")
    return words[0].upper() + words[1:]


def sentence_of(scripts: Path, name: str) -> str:
    """The first sentence of the script."""
    doc = ast.get_docstring(ast.parse((scripts / f"{script_of(name)}.py").read_text(encoding="utf-8"))) or name
    return " ".join(doc.split("\n\n")[0].split())


def index_of(records: dict[str, Any], sentences: dict[str, str]) -> str:
    """All pictures as cards, and how many claims they have together."""
    cards = [
        f"""\
:::::{{grid-item-card}} {title_of(name)}
:link: {name}
:link-type: doc
:img-top: {name}.png
:img-alt: {plain(sentences[name])}

{plain(sentences[name])}

::::{{card-footer}}
{tally(claim["verdict"] for claim in record["claims"])}
::::
:::::
"""
        for name, record in records.items()
    ]
    verdicts = [claim["verdict"] for record in records.values() for claim in record["claims"]]
    total = f"**{len(records)} figures, {tally(verdicts)}.**"
    pages = "\n".join(["```{toctree}", ":hidden:", *records, "```"])
    return "\n\n".join([INTRODUCTION, total, "::::::{grid} 1 2 2 3\n:gutter: 3", *cards, "::::::", pages]) + "\n"


def page_of(folder: Path, name: str, record: dict[str, Any], sentence: str) -> str:
    """Picture, caption, claims, and how it was made."""
    version = f" with superpos {record['superpos']}" if "superpos" in record else ""
    took = (
        ""
        if record["seconds"] is None
        else f" The run that made this page{version} took {duration(record['seconds'])}."
    )
    command = f"python figures/{script_of(name)}.py{FLAGS[record['size']]}"
    animations = "".join(f"![An animation of the same]({file})\n\n" for file in record.get("extra", ()))
    rows = []
    for claim in sorted(record["claims"], key=lambda claim: claim["verdict"] in IDENTITIES):  # identities last
        kind = "red" if claim["verdict"] in RED else "holds" if claim["verdict"] == HOLDS else "other"
        cells = " | ".join(plain(claim[key]) for key in ("statement", "wanted", "measured"))
        rows.append(f"| {cells} | [{claim['verdict']}]{{.{kind}}} |")
    table = "\n".join(["| claim | expected | measured | |", "|---|---|---|---|", *rows])
    return f"""\
# {title_of(name)}

{plain(sentence)}

![{plain(sentence)}]({name}.png)

{animations}{plain(record["caption"])}

## Claims

Source: {plain(record["source"])}. {tally(claim["verdict"] for claim in record["claims"])}.

:::{{div}} claims
{table}
:::

## Draw it yourself

    {command}

What is trained, measured, claimed and drawn is said in `superpos/experiments/{module_of(folder, name)}`.{took} Models that
were trained before were read, and tables that were measured before, too. So these are the seconds of drawing, and of
measuring where that was new; training takes longer.
"""


def module_of(folder: Path, name: str) -> str:
    """The experiment's file or folder."""
    package = folder.parents[1] / "superpos" / "experiments" / script_of(name)
    return f"{script_of(name)}/" if package.is_dir() else f"{script_of(name)}.py"


def duration(seconds: float) -> str:
    """Seconds up to two minutes, minutes above."""
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def plain(text: str) -> str:
    """Text in Markdown in which no sign means anything but itself."""
    return re.sub(r"([\\`*_{}\[\]<>#|$])", r"\\\1", " ".join(text.split()))


def link_pictures(app: Sphinx, tree: nodes.document, docname: str) -> None:
    """A picture on a figure's page leads to itself in full size."""
    if not docname.startswith("gallery/") or docname == "gallery/index":
        return
    for image in list(tree.findall(nodes.image)):
        name = app.env.images[image["uri"]][1]
        link = nodes.reference("", "", refuri=f"../{app.builder.imagedir}/{name}", internal=True)
        image.replace_self(link)
        link += image


def setup(app: Sphinx) -> dict[str, Any]:
    """Pages are written before Sphinx looks for them."""
    app.connect("builder-inited", build)
    app.connect("doctree-resolved", link_pictures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
