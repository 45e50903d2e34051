"""Pages in the reader's browser, with a stand-in that notes what it was asked to show."""

import stat
import sys
import time
import webbrowser

import pytest

from superpos.explorer.browse import open_in_browser


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """A browser that takes a second to write its argument down."""
    program, seen = tmp_path / "browser", tmp_path / "seen"
    program.write_text(
        f"#!{sys.executable}\nimport sys, time\ntime.sleep(1)\nopen({str(seen)!r}, 'w').write(sys.argv[1])\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("BROWSER", f"{program} %s")
    monkeypatch.setattr(webbrowser, "_tryorder", None)  # it looks for browsers once in a process
    return seen


def until_written(path, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end and not (path.exists() and path.read_text()):
        time.sleep(0.05)
    return path.read_text()


def test_a_page_is_opened_and_nothing_waits(stand_in, tmp_path):
    page = tmp_path / "a page.html"
    begin = time.monotonic()
    assert open_in_browser(page)
    assert time.monotonic() - begin < 0.9 and not stand_in.exists()
    assert until_written(stand_in) == page.as_uri()


@pytest.mark.parametrize("browser", [None, webbrowser.GenericBrowser("w3m")])
def test_without_a_browser_with_windows_there_is_none(monkeypatch, tmp_path, browser):
    def get():
        if browser is None:
            raise webbrowser.Error("could not locate runnable browser")
        return browser

    monkeypatch.setattr(webbrowser, "get", get)
    monkeypatch.delenv("BROWSER", raising=False)
    assert not open_in_browser(tmp_path / "page.html")
