"""A browser without a window, for tests of pages."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
"""The browser there is; None for none."""


def until(holds: Callable[[], Any], seconds: float = 90.0) -> None:
    """Wait until something holds; fail when it does not in this time."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came to pass"
        time.sleep(0.05)


@contextmanager
def browser(page: str, profile: Path, size: str = "900,600") -> Iterator[Callable[[str], Any]]:
    """A page in a browser without a window; what is given asks it for an expression's value."""
    from websockets.sync.client import connect

    assert CHROMIUM is not None
    process = subprocess.Popen(
        [
            CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--use-angle=swiftshader",
            "--enable-unsafe-swiftshader", f"--window-size={size}", "--remote-debugging-port=0",
            f"--user-data-dir={profile}", page,
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        said = profile / "DevToolsActivePort"
        until(lambda: said.is_file() and said.read_text().count("\n") > 0)
        port = said.read_text().split()[0]

        def pages() -> list[dict[str, str]]:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=20) as answer:
                return [each for each in json.load(answer) if each["type"] == "page"]

        until(lambda: bool(pages()))
        with connect(pages()[0]["webSocketDebuggerUrl"], max_size=None) as tools:

            def ask(expression: str) -> Any:
                order = {"id": 1, "method": "Runtime.evaluate"}
                tools.send(json.dumps({**order, "params": {"expression": expression}}))
                while "result" not in (answer := json.loads(tools.recv(60))):
                    pass
                return answer["result"]["result"].get("value")

            yield ask
    finally:
        process.kill()
        process.wait()
