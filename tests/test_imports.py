"""The road has one direction: which package may import which, read from the source itself."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]

# The table of docs/architecture.md. The scripts at the top level may import everything.
MAY_IMPORT: dict[str, frozenset[str]] = {
    "mimic_base": frozenset(),
    "robots": frozenset({"mimic_base"}),
    "motions": frozenset({"mimic_base", "robots"}),
    "retarget": frozenset({"mimic_base", "motions", "robots"}),
    "mimic": frozenset({"mimic_base", "motions", "robots"}),
}
# `mimic demo` walks the whole road; it may import what the rest of its package may not.
WHOLE_ROAD = {"mimic.commands.demo": frozenset({"retarget"})}
SCRIPTS = frozenset({"train", "play", "demo"})
OURS = frozenset(MAY_IMPORT) | SCRIPTS

# What runs on a robot's computer, where torch is not installed.
TORCH_FREE = ("mimic.policy.player", "mimic.policy.observations")
TORCH_FAMILY = frozenset({"torch", "tensordict", "rsl_rl"})


def imported_modules(source: str, package: str) -> Iterator[tuple[int, str]]:
    """Yield (line, absolute dotted name) of every import, inside functions too.

    `package` is the dotted package the file lies in, against which relative imports resolve.
    """
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield node.lineno, alias.name
            case ast.ImportFrom(module=module, names=names, level=level):
                parents = package.split(".")[: len(package.split(".")) - level + 1] if level else []
                base = ".".join([*parents, *([module] if module else [])])
                for alias in names:
                    yield node.lineno, f"{base}.{alias.name}"
            case ast.Call(
                func=ast.Name(id="__import__" | "import_module")
                | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield node.lineno, name


def forbidden_imports(source: str, package: str, module: str = "") -> list[str]:
    """The imports of one file that the table does not allow, as 'line N: name'."""
    own = package.split(".")[0]
    allowed = MAY_IMPORT[own] | {own} | WHOLE_ROAD.get(module, frozenset())
    return [
        f"line {line}: {name}"
        for line, name in imported_modules(source, package)
        if (top := name.split(".")[0]) in OURS and top not in allowed
    ]


def package_files() -> list[Path]:
    return sorted(path for name in MAY_IMPORT for path in (REPO / name).rglob("*.py"))


def dotted_package(path: Path) -> str:
    return ".".join(path.relative_to(REPO).parent.parts)


def dotted_module(path: Path) -> str:
    return ".".join(path.relative_to(REPO).with_suffix("").parts)


@pytest.mark.parametrize(
    ("package", "source", "expected"),
    [
        ("robots", "import motions", ["line 1: motions"]),
        ("mimic_base", "from robots.loader import load", ["line 1: robots.loader.load"]),
        ("motions", "def f():\n    import mimic.sim", ["line 2: mimic.sim"]),
        ("mimic.envs", "from retarget import pipeline", ["line 1: retarget.pipeline"]),
        ("mimic", "import importlib\nimportlib.import_module('retarget')", ["line 2: retarget"]),
        ("retarget", "from train import main", ["line 1: train.main"]),
        ("retarget", "import motions, robots\nfrom . import ik", []),
        ("mimic.envs", "from ..sim import mujoco\nfrom . import robots\nimport robotsx", []),
        ("robots", "import mujoco\nimport robots.loader", []),
    ],
)
def test_the_check_sees_every_form_of_import(
    package: str, source: str, expected: list[str]
) -> None:
    assert forbidden_imports(source, package) == expected


@pytest.mark.parametrize("name", MAY_IMPORT)
def test_every_package_of_the_table_has_files(name: str) -> None:
    assert (REPO / name / "__init__.py").is_file()


def test_packages_import_only_what_the_table_allows() -> None:
    wrong = [
        f"{path.relative_to(REPO)} {found}"
        for path in package_files()
        for found in forbidden_imports(
            path.read_text(encoding="utf-8"), dotted_package(path), dotted_module(path)
        )
    ]
    assert not wrong, "imports against the table of docs/architecture.md:\n" + "\n".join(wrong)


@pytest.mark.parametrize("module", TORCH_FREE)
def test_the_player_names_no_torch_even_lazily(module: str) -> None:
    path = REPO / (module.replace(".", "/") + ".py")
    found = [
        f"{path.name}:{line} {name}"
        for line, name in imported_modules(path.read_text("utf-8"), module.rpartition(".")[0])
        if name.split(".")[0] in TORCH_FAMILY
    ]
    assert not found


@pytest.mark.parametrize("module", TORCH_FREE)
def test_the_player_loads_where_torch_is_not_installed(module: str) -> None:
    hide = "; ".join(f"sys.modules[{name!r}] = None" for name in sorted(TORCH_FAMILY))
    run = subprocess.run(
        [sys.executable, "-c", f"import sys; {hide}; import {module}"],
        cwd=REPO, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
