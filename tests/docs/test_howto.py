"""The code of the how-to pages is that of the examples, which tests/examples runs."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

REPO = Path(__file__).resolve().parents[2]
PAGES = sorted((REPO / "docs" / "howto").glob("*.md"))


@pytest.fixture(scope="module")
def refresh() -> ModuleType:
    spec = importlib.util.spec_from_file_location("refresh", REPO / "scripts/refresh_howto.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_old_code_is_seen(refresh: ModuleType) -> None:
    page = "Text.\n<!-- examples/01_retarget.py: main -->\n```python\nold\n```\nMore.\n"
    assert "read_human_motion(clip)" in refresh.refreshed(page)
    assert "import sys" not in refresh.refreshed(page)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_a_page_shows_the_present_code_of_its_examples(page: Path, refresh: ModuleType) -> None:
    text = page.read_text("utf-8")
    assert refresh.PLACE.search(text), "the page shows no code of an example"
    assert refresh.refreshed(text) == text, "run scripts/refresh_howto.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_other_code_blocks_of_a_page_are_python(page: Path) -> None:
    for block in re.findall(r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S):
        compile(block, str(page), "exec")


def test_every_example_is_on_a_page() -> None:
    shown = "\n".join(page.read_text("utf-8") for page in PAGES)
    missing = [p.name for p in (REPO / "examples").glob("[0-9]*.py") if p.name not in shown]
    assert not missing
