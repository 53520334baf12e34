"""Words that are the project's own stand in the glossary; words it gave up stay away."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
PACKAGES = ("mimic_base", "motions", "robots", "retarget", "mimic")
GLOSSARY = REPO / "docs" / "glossary.md"

OWN = (
    "anchor", "calibration", "command", "completion", "contract", "curation", "feedthrough",
    "float", "ghost", "hinge", "imagination", "judge", "judgement", "kick", "lead", "lift", "lock",
    "obstacle", "opener", "painter", "parity", "person", "pinned", "planted", "player", "posture",
    "preset", "projection", "protocol", "rank", "reflection", "role", "runner", "scene",
    "settled", "situation", "skate", "slide", "stage", "stance", "strip", "surface", "term",
    "verdict",
)  # fmt: skip
"""Words of names in the code that mean something narrower here than elsewhere."""
GIVEN_UP = {
    "trust": "confidence",
    "aim": "objective, goal, at_most",
    "aims": "objectives, goals",
    "inlet": "input filter",
    "glide": "slide",
    "twin": "mirror partner",
}
"""Private word -> the field's, which is used instead."""


@cache
def words_of_names() -> dict[str, set[str]]:
    """Word -> the names in the packages that it is part of, and their files."""
    found: dict[str, set[str]] = {}
    for root in PACKAGES:
        for path in sorted((REPO / root).rglob("*.py")):
            for name in _names(ast.parse(path.read_text("utf-8"))):
                for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name):
                    found.setdefault(word.lower(), set()).add(f"{path.relative_to(REPO)}: {name}")
    return found


def _names(tree: ast.AST) -> Iterator[str]:
    """Names of modules' functions, classes, arguments and variables."""
    for each in ast.walk(tree):
        if isinstance(each, ast.FunctionDef | ast.ClassDef):
            yield each.name
        elif isinstance(each, ast.arg):
            yield each.arg
        elif isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
            yield each.id
        elif isinstance(each, ast.Attribute):
            yield each.attr


def explained() -> set[str]:
    """Words in the first column of the glossary."""
    rows = re.findall(r"^\| ([^|]+) \|", GLOSSARY.read_text("utf-8"), re.M)
    return {word for row in rows for word in re.findall(r"[a-z]+", row.lower())}


@pytest.mark.parametrize("word", OWN)
def test_a_word_of_our_own_is_explained(word: str) -> None:
    known = explained()
    assert word in known or f"{word}s" in known
    used = words_of_names()
    folders = {path.stem for root in PACKAGES for path in (REPO / root).rglob("*")}
    forms = (word, f"{word}s", f"{word}ing")
    assert any(form in used or form in folders for form in forms), "no longer used: take it out"


@pytest.mark.parametrize("word", GIVEN_UP)
def test_a_word_that_was_given_up_stays_away(word: str) -> None:
    assert word not in explained()
    assert not words_of_names().get(word), f"the field says: {GIVEN_UP[word]}"


def test_every_row_has_three_cells_and_no_word_has_two() -> None:
    lines = GLOSSARY.read_text("utf-8").splitlines()
    rows = [line for line in lines if line.startswith("|") and not line.startswith("|---")]
    assert all(line.count(" | ") == 2 for line in rows)
    firsts = [line.split(" | ")[0] for line in rows if not line.startswith("| here")]
    assert len(firsts) > 60 and len(firsts) == len(set(firsts))
