"""List the versions of the site that lie side by side, for the switcher in their sidebars and for the page above them.

    python docs/versions.py pages https://owner.github.io/superpos

`pages` has a folder for every version: `latest` and those of tags, `v0.2.0`. Written are `pages/versions.json`, which the
theme's switcher reads (docs/conf.py), and `pages/index.html`.
"""

import json
import re
import sys
from html import escape
from pathlib import Path

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>superpos</title>
<h1>superpos</h1>
<ul>
{items}
</ul>
</html>
"""


def in_order(folder: Path) -> tuple[bool, list[int], str]:
    """What versions are sorted by: `latest` is above all, then the numbers of a tag, a release above what led to it."""
    numbers, ending = re.fullmatch(r"v?([\d.]*)(.*)", folder.name).groups()
    return (
        folder.name == "latest",
        [int(number) for number in numbers.split(".") if number],
        ending or "~",
    )


def main(pages: Path, address: str) -> None:
    """Write both files into `pages`, the newest version first; `address` is where `pages` is published."""
    folders = sorted((f for f in pages.iterdir() if (f / "index.html").exists()), key=in_order, reverse=True)
    names = [folder.name for folder in folders]
    known = [{"version": name, "url": f"{address.rstrip('/')}/{name}/"} for name in names]
    (pages / "versions.json").write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    items = "\n".join(f'<li><a href="{escape(name)}/">{escape(name)}</a></li>' for name in names)
    (pages / "index.html").write_text(PAGE.format(items=items), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
