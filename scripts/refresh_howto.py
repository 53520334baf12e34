"""Put the code of the examples into the how-to pages.

    python scripts/refresh_howto.py

Below a line ``<!-- examples/NAME.py -->`` in docs/howto stands that file from its imports on, below
``<!-- examples/NAME.py: one two -->`` its definitions ``one`` and ``two``; both are renewed.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from mimic_base.files import atomic_write_text

REPO = Path(__file__).resolve().parents[1]
PAGES = REPO / "docs" / "howto"
PLACE = re.compile(
    r"^<!-- (examples/[\w/]+\.\w+)(?:: ([\w ]+))? -->\n+```\w+\n(.*?)^```$", re.M | re.S
)


def code(path: Path, names: str | None) -> str:
    """What of a file is shown: all after its docstring, or some of its definitions."""
    text = path.read_text("utf-8")
    if path.suffix != ".py":
        return text
    tree, lines = ast.parse(text), text.splitlines(keepends=True)
    if names is None:
        first = tree.body[1] if ast.get_docstring(tree) else tree.body[0]
        return "".join(lines[first.lineno - 1 :])
    found: dict[str, str] = {}
    for node in tree.body:
        begin = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        for name in _names(node):
            found[name] = "".join(lines[begin - 1 : node.end_lineno])
    return "\n\n".join(found[name] for name in names.split())


def _names(node: ast.stmt) -> list[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            return [target.id for target in targets if isinstance(target, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
    return []


def refreshed(text: str) -> str:
    """A page with the present code of its examples."""

    def renew(place: re.Match[str]) -> str:
        name, names, old = place.groups()
        head = place.group(0)[: place.start(3) - place.start()]
        del old
        return f"{head}{code(REPO / name, names)}```"

    return PLACE.sub(renew, text)


def main() -> None:
    for page in sorted(PAGES.glob("*.md")):
        old = page.read_text("utf-8")
        new = refreshed(old)
        if new != old:
            atomic_write_text(page, new)
            print(page.relative_to(REPO))


if __name__ == "__main__":
    main()
