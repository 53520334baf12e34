"""Packages that import their names when asked for name modules that have them."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
PACKAGES = ("mimic_base", "motions", "robots", "retarget", "mimic")


def lazy_packages() -> list[str]:
    """Packages whose ``__init__`` calls ``lazy_attributes``."""
    found = []
    for top in PACKAGES:
        for path in sorted((REPO / top).rglob("__init__.py")):
            calls = [
                node for node in ast.walk(ast.parse(path.read_text("utf-8")))
                if isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "lazy_attributes"
            ]  # fmt: skip
            if calls:
                found.append(".".join(path.parent.relative_to(REPO).parts))
    return found


@pytest.mark.parametrize("name", lazy_packages())
def test_every_promised_name_is_there(name: str) -> None:
    package = importlib.import_module(name)
    for each in package.__all__:
        assert getattr(package, each) is not None, each


def test_there_are_such_packages() -> None:
    assert "retarget" in lazy_packages() and "robots" in lazy_packages()
