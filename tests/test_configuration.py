"""A configuration goes to JSON and comes back equal; what does not fit is one clear line."""

from __future__ import annotations

import enum
import json
import math
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest

from mimic.configuration import from_plain, read_json, resolve, to_json, to_plain
from mimic_base.errors import MimicError

if TYPE_CHECKING:
    from somewhere_absent import OnlyForTypeCheckers  # type: ignore[import-not-found]


class Colour(enum.Enum):
    RED = 1
    GREEN = 2


@dataclass(frozen=True, kw_only=True)
class Term:
    function: Callable[..., Any]
    weight: float = 1.0
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Base:
    size: int = 1


@dataclass(frozen=True)
class Derived(Base):
    more: str = "x"


def some_term(env: object) -> None:
    """A function to be named."""


@dataclass(frozen=True, kw_only=True)
class Whole:
    terms: Mapping[str, Term] = field(default_factory=dict)
    groups: Mapping[str, Mapping[str, Term]] = field(default_factory=dict)
    command: Base = Base()
    maybe: Base | None = None
    pair: tuple[float, float] = (0.0, 1.0)
    widths: tuple[int, ...] = (1, 2)
    mode: Literal["adaptive", "fixed"] = "fixed"
    colour: Colour = Colour.RED
    where: Path = Path("runs")
    kind: type[Base] = Base
    text: Annotated[str, "a label"] = ""
    odd: OnlyForTypeCheckers = None
    anything: Any = None
    number: float | None = None
    names: list[str] = field(default_factory=list)


@pytest.fixture(autouse=True)
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files here may name the standard library's functions too."""
    monkeypatch.setenv("MIMIC_TRUST", "math,enum,pathlib,builtins,collections,operator")


def there_and_back(value: Any) -> Any:
    text = to_json(value, type(value))
    return from_plain(type(value), json.loads(text), source="config.json")


HOSTILE = [
    {"$type": "os:system"},
    {"$ref": "os:system", "$map": []},
    {"a": {"$list": 1}},
    {1: "one", (2, 3): "pair", None: 0},
    {"": "", "ä": "\ud800", "a.b": [1, (2, [3])]},
    (1, 1.0, True, None, "1", -0.0, 1e-320, 2**70),
    [(), [], {}, frozenset({"a"})],
    (math.inf, -math.inf),
    Colour.GREEN,
    Path("/tmp/a b"),
    (some_term, Term, Derived(2, "y")),
    {"nested": Term(function=some_term, parameters={"x": Base(3)})},
]


@pytest.mark.parametrize("value", HOSTILE)
def test_any_value_comes_back_equal_and_of_its_type(value: Any) -> None:
    found = there_and_back(Whole(anything=value)).anything
    assert found == value
    assert repr(found) == repr(value)


def test_a_tree_comes_back_equal() -> None:
    whole = Whole(
        terms={"a b": Term(function=some_term, weight=-0.1, parameters={"std": 0.3, "n": 3})},
        groups={"actor": {"x": Term(function=math.hypot)}, "empty": {}},
        command=Derived(5, "more"), maybe=Base(7), pair=(1e-5, math.inf), widths=(),
        mode="adaptive", colour=Colour.GREEN, where=Path("a/b"), kind=Derived, text='"\n',
        number=3.0, names=["a"],
    )  # fmt: skip
    back = there_and_back(whole)
    assert back == whole
    assert type(back.command) is Derived and back.terms["a b"].function is some_term
    assert there_and_back(Whole()) == Whole()


def test_nan_comes_back() -> None:
    assert math.isnan(there_and_back(Whole(pair=(math.nan, 0.0))).pair[0])


def refused(plain: dict[str, Any], *parts: str, **options: Any) -> None:
    with pytest.raises(MimicError) as caught:
        from_plain(Whole, plain, source="run/config.json", **options)
    text = str(caught.value)
    assert text.startswith("run/config.json: ") and "\n" not in text
    for part in parts:
        assert part in text, text


@pytest.mark.parametrize(
    ("plain", "parts"),
    [
        ({"widhts": [1]}, ["widhts", "unknown field of Whole", "did you mean 'widths'?", "colour"]),
        ({"terms": {"a": {"weight": 1.0}}}, ["terms.a.function", "missing field of Term"]),
        ({"terms": {"a": {"function": "math:sin", "wieght": 2}}}, ["terms.a.wieght", "'weight'"]),
        ({"mode": "adaptve"}, ["mode", "'adaptve'", "adaptive, fixed", "did you mean"]),
        ({"colour": "BLUE"}, ["colour", "RED, GREEN"]),
        ({"pair": [1, 2, 3]}, ["pair", "2 values"]),
        ({"pair": [1, "2"]}, ["pair.1", "'2'", "a number"]),
        ({"pair": 4}, ["pair", "found 4", "a list"]),
        ({"widths": [1.5]}, ["widths.0", "an integer"]),
        ({"widths": [True]}, ["widths.0", "an integer"]),
        ({"text": 3}, ["text", "a text"]),
        ({"command": None}, ["command", "the fields of Base"]),
        ({"command": {"$type": "builtins:dict"}}, ["command", "a dataclass"]),
        ({"command": {"$type": f"{__name__}:Term", "function": "math:sin"}}, ["command", "a Base"]),
        ({"maybe": {"size": "x"}}, ["maybe.size", "an integer"]),
        ({"kind": "math:sin"}, ["kind", "a class"]),
        ({"kind": f"{__name__}:Term"}, ["kind", "derived from"]),
        ({"terms": {"a": {"function": "math:pi"}}}, ["terms.a.function", "a function"]),
        ({"terms": {"a": {"function": "math:sinn"}}}, ["no 'sinn'", "did you mean 'sin'?"]),
        ({"terms": {"a": {"function": "no_such_pkg.x:f"}}}, ["no module 'no_such_pkg'"]),
        ({"terms": {"a": {"function": "sin"}}}, ["package.module:Name"]),
        ({"terms": {"a": {"function": "math:__import__('os')"}}}, ["package.module:Name"]),
        ({"terms": [1]}, ["terms", "a mapping"]),
        ({"anything": {"$float": "1e5"}}, ["anything", "nan, inf or -inf"]),
        ({"anything": {"$map": [1]}}, ["anything", "pair of key and value"]),
        ({"anything": {"$ref": "math:pi", "b": 1}}, ["anything", "alone"]),
    ],
)
def test_what_does_not_fit_is_one_line(plain: dict[str, Any], parts: list[str]) -> None:
    refused(plain, *parts)


def test_entries_of_another_version_can_be_left_out() -> None:
    found = from_plain(Whole, {"new_in_2031": 1, "widths": [4]}, lenient=True)
    assert found == Whole(widths=(4,))


def test_a_check_of_the_class_itself_names_the_place() -> None:
    from mimic.envs.terms import RewardTerm

    with pytest.raises(MimicError, match="f: configuration: .*positive weight"):
        from_plain(
            RewardTerm, {"function": "math:sin", "weight": -1.0, "tracking": True}, source="f"
        )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (lambda: 0, "cannot be found again"),
        (object(), "a object cannot be written"),
        (1j, "a complex cannot be written"),
        (b"x", "a bytes cannot be written"),
    ],
)
def test_what_could_not_be_read_back_is_not_written(value: Any, text: str) -> None:
    with pytest.raises(MimicError, match=f"anything.x: .*{text}"):
        to_plain(Whole(anything={"x": value}))


def test_a_function_inside_a_function_and_a_main_file_are_not_written() -> None:
    def local() -> None: ...

    with pytest.raises(MimicError, match=r"terms\.a\.function: .*top level of a module"):
        to_plain(Whole(terms={"a": Term(function=local)}))
    script = (
        "from mimic.configuration import to_plain\n"
        "def f(): ...\n"
        "to_plain(f)\n"
    )  # fmt: skip
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert "belongs to the program that was started" in run.stderr


def test_a_tree_that_contains_itself_is_refused() -> None:
    loop: dict[str, Any] = {}
    loop["again"] = loop
    with pytest.raises(MimicError, match="contains itself"):
        to_plain(Whole(anything=loop))
    deep: Any = 0
    for _ in range(200):
        deep = [deep]
    refused({"anything": deep}, "nested too deeply")


def test_code_is_imported_only_where_it_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "spy_module.py").write_text("raise SystemExit('imported')\n")
    script = (
        "import sys\n"
        "from dataclasses import dataclass\n"
        "from typing import Any\n"
        "from mimic.configuration import from_plain\n"
        "@dataclass(frozen=True)\n"
        "class Widths:\n"
        "    hidden: tuple[int, ...]\n"
        "    other: Any = None\n"
        "print(from_plain(Widths, {'hidden': [8]}, imports=False).hidden)\n"
        "try:\n"
        "    plain = {'hidden': [8], 'other': {'$ref': 'spy_module:f'}}\n"
        "    from_plain(Widths, plain, imports=False)\n"
        "except ValueError as error:\n"
        "    print(error)\n"
        "print('torch' in sys.modules, 'spy_module' in sys.modules)\n"
    )  # fmt: skip
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
    )  # fmt: skip
    lines = run.stdout.splitlines()
    assert lines[0] == "(8,)", run.stderr
    assert "other: 'spy_module:f' names code, which is not to be imported here" in lines[1]
    assert lines[2] == "False False"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid JSON"),
        ("[1]", "holds a list, expected a mapping"),
        ('{"a": NaN}', "NaN is no number of JSON"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "'c' is given twice"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_files_that_are_no_configuration(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(MimicError, match=re.escape(message)) as caught:
        read_json(path)
    assert "config.json" in str(caught.value)


def test_a_module_that_lacks_another_says_which(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "needs_more.py").write_text("import absent_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MimicError, match="needs_more needs 'absent_dependency', which is absent"):
        resolve("needs_more:f")


def test_every_task_comes_back_equal() -> None:
    from mimic.tasks.registry import task_config, task_names

    for name in task_names():
        task = task_config(name)
        assert there_and_back(task) == task
