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

# Rooms of mimic, the ground floor first: each may import those before it. A file that is a room of
# its own stands by its name; the two of the program are one room. The opener of policies reads
# checkpoints of learning besides policy files, so it stands above both.
MIMIC_ROOMS = (
    ("machine",),
    ("configuration",),
    ("sim",),
    ("envs",),
    ("tasks",),
    ("policy",),
    ("deploy",),
    ("learning",),
    ("policy.opener",),
    ("evaluation",),
    ("viewer",),
    ("benchmark",),
    ("commands",),
    ("cli", "completion"),
)
FLOOR = {name: floor for floor, names in enumerate(MIMIC_ROOMS) for name in names}

# What runs on a robot's computer, where torch is not installed.
# The simulated robot and what steps it need MuJoCo.
DEPLOY = tuple(
    ".".join(path.relative_to(REPO).with_suffix("").parts)
    for folder in ("", "page")
    for path in sorted((REPO / "mimic" / "deploy" / folder).glob("[a-z]*.py"))
)
SIMULATED = tuple(f"mimic.deploy.{name}" for name in ("simulated", "lockstep", "robot_process"))
TORCH_FREE = ("mimic.policy.player", "mimic.policy.observations", *DEPLOY)
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


def room_of(module: str) -> str | None:
    """The room of a module of mimic: the longest beginning of its name that is one."""
    parts = module.split(".")[1:]
    beginnings = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((name for name in beginnings if name in FLOOR), None)


def climbing_imports(source: str, package: str, own: str) -> list[str]:
    """The imports of a file of the room `own` of mimic from rooms that stand above it."""
    return [
        f"line {line}: {name}"
        for line, name in imported_modules(source, package)
        if name.startswith("mimic.") and FLOOR.get(room_of(name) or "", -1) > FLOOR[own]
    ]


def module_name(path: Path) -> str:
    parts = path.relative_to(REPO).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_at_load(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The import statements that run when a module is imported, type checking left out."""
    for node in body:
        match node:
            case ast.Import() | ast.ImportFrom():
                yield node
            case ast.If(test=ast.Name(id="TYPE_CHECKING"), orelse=other):
                yield from imports_at_load(other)
            case ast.If() | ast.Try() | ast.With() | ast.ClassDef():
                for block in ("body", "orelse", "finalbody"):
                    yield from imports_at_load(getattr(node, block, []))


def load_graph(sources: dict[str, tuple[str, str]]) -> dict[str, set[str]]:
    """Module -> modules of ours that its import loads; `sources`: name -> (package, text)."""
    graph: dict[str, set[str]] = {}
    for name, (package, text) in sources.items():
        found: set[str] = set()
        for node in imports_at_load(ast.parse(text).body):
            for _, target in imported_modules(ast.unparse(node), package):
                # Of `from a.b import c` c is a module, or else a name of the module a.b.
                known = target if target in sources else target.rpartition(".")[0]
                if known in sources and known != name:
                    found.add(known)
        graph[name] = found
    return graph


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Circles of a graph, one for each module through which one is found."""
    done: set[str] = set()
    found: list[list[str]] = []

    def walk(name: str, way: list[str]) -> None:
        if name in way:
            found.append([*way[way.index(name) :], name])
        elif name not in done:
            for after in sorted(graph[name]):
                walk(after, [*way, name])
            done.add(name)

    for name in sorted(graph):
        walk(name, [])
    return found


@pytest.mark.parametrize(
    ("own", "source", "expected"),
    [
        ("sim", "from mimic.envs import terms", ["line 1: mimic.envs.terms"]),
        ("envs", "def f():\n    import mimic.tasks", ["line 2: mimic.tasks"]),
        ("tasks", "from mimic.envs import terms\nfrom mimic.sim.scene import Scene", []),
        ("cli", "from mimic.completion import script", []),
        ("policy", "from mimic.policy import opener", ["line 1: mimic.policy.opener"]),
        ("policy.opener", "from mimic.policy import player\nimport mimic.learning", []),
    ],
)
def test_the_check_sees_imports_from_above(own: str, source: str, expected: list[str]) -> None:
    assert climbing_imports(source, f"mimic.{own}", own) == expected


def test_rooms_of_mimic_import_only_what_stands_below_them() -> None:
    wrong, unknown = [], set()
    for path in sorted((REPO / "mimic").rglob("*.py")):
        module = module_name(path)
        if module in ("mimic", "mimic.__main__"):
            continue
        own = room_of(module)
        if own is None:
            unknown.add(module)
            continue
        found = climbing_imports(path.read_text("utf-8"), dotted_package(path), own)
        wrong += [f"{path.relative_to(REPO)} {each}" for each in found]
    assert not unknown, "rooms that docs/architecture.md and MIMIC_ROOMS do not name"
    assert not wrong, "imports against MIMIC_ROOMS:\n" + "\n".join(wrong)


def test_the_check_sees_circles() -> None:
    sources = {
        "a": ("", "import b"),
        "b": ("", "from c import x"),
        "c": ("", "def f():\n    import a\nif TYPE_CHECKING:\n    import a\nimport d"),
        "d": ("", "class D:\n    import b"),
    }
    assert circles(load_graph(sources)) == [["b", "c", "d", "b"]]


def test_no_module_is_in_an_import_circle() -> None:
    sources = {
        module_name(path): (dotted_package(path), path.read_text("utf-8"))
        for path in package_files()
    }
    found = circles(load_graph(sources))
    assert not found, "import circles:\n" + "\n".join(" -> ".join(each) for each in found)


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
    hidden = TORCH_FAMILY if module in SIMULATED else TORCH_FAMILY | {"mujoco"}
    hide = "; ".join(f"sys.modules[{name!r}] = None" for name in sorted(hidden))
    run = subprocess.run(
        [sys.executable, "-c", f"import sys; {hide}; import {module}"],
        cwd=REPO, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
