"""A page in the reader's browser."""

import os
import subprocess
import sys
import threading
import webbrowser
from pathlib import Path


def open_in_browser(path: str | Path) -> bool:
    """Show a page that lies on disk in the reader's browser, and go on at once. Returns whether there is one to show it.

    Whichever browser Python's `webbrowser` finds, or the environment variable BROWSER names, is started by another process,
    so nothing waits for it. Browsers in the terminal count as none, unless BROWSER asks for them.
    """
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return False
    in_terminal = isinstance(browser, webbrowser.GenericBrowser) and not isinstance(
        browser, webbrowser.BackgroundBrowser
    )
    if in_terminal and not os.environ.get("BROWSER"):
        return False
    starter = subprocess.Popen(
        [sys.executable, "-m", "webbrowser", Path(path).resolve().as_uri()],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    threading.Thread(target=starter.wait, daemon=True).start()  # or its end would never be taken note of
    return True
