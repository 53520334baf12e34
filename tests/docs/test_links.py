"""Links between the documents: every file and every heading that is named exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [*REPO.glob("*.md"), *(REPO / "docs").rglob("*.md"), *(REPO / "scripts").rglob("*.md")]
)
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")
PATH_IN_CODE = re.compile(r"\bdocs/[\w/.-]+\.(?:md|png)\b")
PACKAGES = ("mimic_base", "robots", "motions", "retarget", "mimic", "scripts", "examples", "tests")


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ +(.*)$", page.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


def broken_links(page: Path) -> list[str]:
    found = []
    for target, anchor in LINK.findall(page.read_text("utf-8")):
        if target.startswith(("http:", "https:", "mailto:")):
            continue
        path = page.parent / target if target else page
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path)):
            found.append(f"{target}#{anchor}" if anchor else target)
    return found


def test_the_check_sees_files_and_headings_that_are_not_there(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    page.write_text("# One `way`, two\n[x](#one-way-two) [y](b.md) [z](#three) [w](https://a.b)\n")
    assert broken_links(page) == ["b.md", "#three"]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(REPO)))
def test_links_lead_somewhere(page: Path) -> None:
    assert not broken_links(page)


def test_documents_named_in_the_code_exist() -> None:
    files = [REPO / "pyproject.toml", REPO / "Makefile", REPO / "CHANGELOG.md"]
    files += [path for name in PACKAGES for path in (REPO / name).rglob("*.py")]
    wrong = [
        f"{path.relative_to(REPO)}: {name}"
        for path in files
        for name in PATH_IN_CODE.findall(path.read_text("utf-8"))
        if not (REPO / name).exists()
    ]
    assert not wrong
