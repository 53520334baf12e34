"""Texts inside files that are no text but markup: they are shown as they are, and nothing runs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from mimic_base.errors import InputError
from motions import HumanMotion, RobotMotion
from retarget import retarget
from retarget.batch.jobs import read_manifest
from retarget.page.page import ClipEntry, clip_page, dataset_page
from robots.robot import Robot
from tests.browser import CHROMIUM, browser, until

RUNS = "<iframe srcdoc=\"<script>parent.document.title='RAN'</script>\"></iframe>"
"""Script that runs where HTML in a viewer's text is taken for HTML."""
EVIL = f"{RUNS}{{document.title='RAN'}}<img src=x onerror=\"document.title='RAN'\">\x1b]0;t\x07"


@contextmanager
def server() -> Iterator[Any]:
    pytest.importorskip("viser", minversion="1.1")
    from mimic_base.browser_page import close_server, open_server

    opened = open_server("127.0.0.1", 0, "test")
    try:
        yield opened
    finally:
        close_server(opened)


@pytest.fixture(scope="module")
def evil_motion(g1: Robot, walk: HumanMotion, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("evil") / "clip.npz"
    motion: RobotMotion = retarget(walk.crop(20, 30), g1)
    replace(motion, source=EVIL, name=EVIL, licence=EVIL).save(path)
    return path


@pytest.fixture(scope="module")
def shown(evil_motion: Path) -> list[str]:
    """The viewer's Markdown about a motion, and about one that cannot be read."""
    with server() as opened:
        from retarget.view.app import Entry, Viewer
        from retarget.view.sources import Pair, load_show

        def broken() -> Any:
            raise InputError(f"{EVIL}: cannot be read")

        good = Entry(EVIL, partial(load_show, Pair(evil_motion, None)))
        view = Viewer(opened, [good, Entry("bad", broken)], paused=True)
        texts = [view.title.content]
        view.choose("bad")
        return [*texts, view.title.content]


def test_the_viewer_is_sent_texts_without_markup(shown: list[str]) -> None:
    assert "<iframe srcdoc=" in unescape(shown[0]) and "cannot be read" in shown[1]
    for text in shown:
        assert not set(text) & set("<>{}[]\x1b\x07")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_no_script_of_a_file_runs_in_the_viewer(shown: list[str], tmp_path: Path) -> None:
    for texts, runs in (([RUNS], True), (shown, False)):
        with server() as opened:
            for text in texts:
                opened.gui.add_markdown(text)
            page = f"http://127.0.0.1:{opened.get_port()}"
            with browser(page, tmp_path / str(runs)) as ask:
                if runs:
                    until(lambda ask=ask: ask("document.title") == "RAN")
                    continue
                # What does not run is there to be read.
                wanted = f"document.body.innerText.split('<iframe srcdoc=').length > {len(shown)}"
                until(lambda ask=ask, wanted=wanted: ask(wanted))
                time.sleep(0.5)
                assert ask("document.title") != "RAN" and not ask(
                    "document.querySelector('iframe')"
                )


def test_pages_show_names_and_errors_as_texts() -> None:
    bad = [ClipEntry(name=EVIL, error=f"{EVIL}: no clip"), ClipEntry(name="b", detected=EVIL)]
    for page in (clip_page(bad, EVIL), dataset_page(bad, EVIL)):
        assert "<iframe" not in page and "<img src=x" not in page
        assert "&lt;iframe srcdoc=" in page


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_no_script_of_a_file_runs_in_a_page(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.html", tmp_path / "bad.html"
    text = clip_page([ClipEntry(name=EVIL, error=EVIL)], "g1")
    good.write_text(text, encoding="utf-8")
    bad.write_text(text.replace("<main>", f"<main>{RUNS}"), encoding="utf-8")
    with browser(bad.as_uri(), tmp_path / "a") as ask:
        until(lambda: ask("document.title") == "RAN")
    with browser(good.as_uri(), tmp_path / "b") as ask:
        until(lambda: ask("document.body.innerText.includes('<iframe srcdoc=')"))
        assert ask("document.title") != "RAN" and not ask("document.images.length")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_the_viewer_says_that_it_serves_this_machine_only(host: str) -> None:
    pytest.importorskip("viser", minversion="1.1")
    from mimic_base.browser_page import seen_by
    from retarget.view.cli import Options

    assert Options(files=()).host == "127.0.0.1"
    assert "this machine only" in seen_by(host)
    assert "every machine" in seen_by("0.0.0.0") and "every machine" in seen_by("::")


@pytest.mark.parametrize(
    "entry",
    [
        {"clip": "a.bvh", "name": "../a"},
        {"clip": "a.bvh", "name": "x/../../a"},
        {"clip": "a.bvh", "name": "/tmp/a"},
        {"clip": "a.bvh", "name": "a\x1b[2J"},
        {"clip": "a.bvh", "name": "a\0"},
        {"clip": "a.bvh", "name": "nul"},
        {"clip": "a.bvh", "name": "x" * 300},
        {"clip": "a.bvh", "name": ["a"]},
        {"clip": "a\0.bvh"},
        {"clip": "a\0.bvh", "name": "a"},
    ],
)
def test_names_in_a_manifest_stay_below_the_output(entry: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "list.jsonl"
    path.write_text(json.dumps(entry) + "\n")
    with pytest.raises(InputError, match="line 1 of the manifest") as raised:
        read_manifest(path)
    assert "\0" not in str(raised.value) and "\x1b" not in str(raised.value)


def test_a_dollar_sign_in_a_name_is_no_formula(g1: Robot, walk: HumanMotion) -> None:
    from retarget.page.entry import entry_of_clip

    clip = walk.crop(20, 30)
    motion = replace(retarget(clip, g1), name=r"a$\frac$b")
    assert entry_of_clip("a", clip, motion, g1).picture
