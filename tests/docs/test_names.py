"""Functions, classes and files that the tour and the architecture name are there."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
PAGES = [*sorted((REPO / "docs" / "tour").glob("*.md")), REPO / "docs" / "architecture.md"]
ROOTS = ("mimic_base", "robots", "motions", "retarget", "mimic")
DOTTED = re.compile(rf"`((?:{'|'.join(ROOTS)})(?:\.\w+)+)`")
FILE = re.compile(rf"`((?:{'|'.join(ROOTS)}|examples|tests|scripts)/[\w/]+\.(?:py|toml))`")


def there(dotted: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for name in parts[count:]:
            if not hasattr(found, name):
                return False
            found = getattr(found, name)
        return True
    return False


def test_the_check_sees_what_is_not_there() -> None:
    assert there("retarget.person.scaling.fit_root")
    assert not there("retarget.person.scaling.fit_the_root")
    assert not there("retarget.hinges")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_named_code_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    missing = [name for name in sorted(set(DOTTED.findall(text))) if not there(name)]
    missing += [name for name in sorted(set(FILE.findall(text))) if not (REPO / name).is_file()]
    assert not missing
