"""Headless Chromium for tests of pages; without one they skip, and say so."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def chromium() -> str:
    """The browser's path, or a skip with its reason."""
    pytest.importorskip("playwright.sync_api", reason="the Python package playwright is not installed")
    names = (os.environ.get("SUPERPOS_CHROMIUM", "chromium"), "chromium-browser", "google-chrome")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    return found


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """A running browser."""
    path = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield running
        running.close()


VISIBLE = """const controls = [...document.querySelectorAll('button, input, select, summary, [tabindex="0"]')]
  .filter((c) => c.checkVisibility());"""
CONTROLS = f"""() => {{ {VISIBLE}
  const name = (c) => c.getAttribute('aria-label') || [...(c.labels ?? [])].map((l) => l.textContent).join(' ') || c.textContent;
  return controls.map((c) => `${{c.getAttribute('role') || c.tagName.toLowerCase()}}: ${{name(c).trim()}}`);
}}"""
SMALL = f"""() => {{ {VISIBLE}
  const small = (c) => [c, ...(c.labels ?? [])].every((x) => x.getBoundingClientRect().height < 23.5 || x.getBoundingClientRect().width < 23.5);
  return controls.filter((c) => !c.disabled && small(c)).map((c) => c.outerHTML.slice(0, 120));
}}"""


class Opened:
    """A page opened from disk, with what it complained about and what it asked for."""

    def __init__(self, running: Any, path: Path, *, link: str = "", **options: Any):
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.context = running.new_context(**options)
        self.page = self.context.new_page()
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda e: self.complaints.append(str(e)))
        self.page.on(
            "request", lambda r: self.requests.append(r.url) if not r.url.startswith(("data:", "blob:")) else None
        )
        self.page.goto(path.resolve().as_uri() + link)
        self.page.wait_for_selector("main section")

    def is_quiet(self) -> bool:
        """No complaint, and no request but for the page itself."""
        return not self.complaints and all(url.startswith("file:") for url in self.requests) and len(self.requests) <= 1

    def materialize(self, *, within: int, tries: int = 3) -> int:
        """Milliseconds until the page could be used; opened again where other work on the machine may have held it up."""
        best = int(self.page.locator("#app").get_attribute("data-ready"))
        while best >= within and tries > 1:
            self.page.reload()
            self.page.wait_for_selector("#app[data-ready]")
            best, tries = min(best, int(self.page.locator("#app").get_attribute("data-ready"))), tries - 1
        return best

    def violations(self) -> list[str]:
        """What axe-core finds against the accessibility of the page as it is, one line for each place."""
        bundled = pytest.importorskip(
            "axe_playwright_python", reason="the Python package axe-playwright-python is not installed"
        )
        self.page.evaluate((Path(bundled.__file__).parent / "axe.min.js").read_text(encoding="utf-8"))
        found = self.page.evaluate("axe.run()")
        assert len(found["passes"]) > 10  # it did look
        return [f"{v['id']}: {node['html'][:200]}" for v in found["violations"] for node in v["nodes"]]

    def unclear_controls(self) -> list[str]:
        """Controls without a name, or with the role and name of another, as a screen reader is told of them."""
        names = self.page.evaluate(CONTROLS)
        return sorted({name for name in names if names.count(name) > 1 or name.endswith(": ")})

    def small_controls(self) -> list[str]:
        """Controls that are less than 24 pixels high or wide."""
        return self.page.evaluate(SMALL)

    def close(self) -> None:
        """Close its context."""
        self.context.close()
