"""Any tree of frozen dataclasses as JSON, and back exactly.

``to_plain`` turns a configuration into what ``json`` can write, ``from_plain`` turns it back into
an equal one, guided by the classes' own annotations:

===========================  ====================================================================
value                        JSON
===========================  ====================================================================
number, text, bool, None     itself; a float that is not finite is ``{"$float": "nan"}``
tuple                        a list
dataclass                    a mapping of its fields; ``"$type": "module:Class"`` is added where
                             the annotation does not name that very class
mapping with text keys       a mapping
function, class              ``"module:qualname"`` where the annotation says so, else
                             ``{"$ref": "module:qualname"}``
enumeration                  its member's name where the annotation says so, else ``$ref``
path                         its text where the annotation says so, else ``{"$path": ...}``
list, set, other mappings    ``$list``, ``$set`` with entries; ``$map`` with pairs of key and value
===========================  ====================================================================

A name ``module:qualname`` is imported when it is read, if a file may name it at all
(`mimic_base.trust`). ``imports=False`` reads everything else of a file and refuses such names.
"""

from __future__ import annotations

import dataclasses
import difflib
import enum
import importlib
import inspect
import json
import math
import reprlib
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence, Set
from functools import cache
from pathlib import Path, PurePath
from typing import Any, Literal, TypeVar, Union, cast

from mimic_base.errors import MimicError, UserError
from mimic_base.json_text import check_nesting
from mimic_base.reading import read_bounded
from mimic_base.trust import check_trusted

T = TypeVar("T")

TYPE, REF, PATH, FLOAT, LIST, SET, MAP = [
    "$type",
    "$ref",
    "$path",
    "$float",
    "$list",
    "$set",
    "$map",
]
DEEPEST = 100
"""Levels below which a tree is taken for one that contains itself."""


# names of code -------------------------------------------------------------------------------


def name_of(value: Any) -> str:
    """``module:qualname`` of a function or class that can be imported by it.

    Raises:
        MimicError: a lambda, a function inside a function, or one of a program's main file.
    """
    module = getattr(value, "__module__", None)
    name = getattr(value, "__qualname__", None)
    if module is None or name is None:
        raise MimicError(f"{value!r} has no name to be found by again; use a function of a module")
    if module == "__main__":
        raise MimicError(
            f"'{name}' belongs to the program that was started, where nobody else can find it; "
            "move it into a module of its own"
        )
    try:
        found = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        found = None
    if found is not value:
        raise MimicError(
            f"'{module}:{name}' cannot be found again by its name (a lambda, or a function inside "
            "a function); use a function at the top level of a module"
        )
    return f"{module}:{name}"


def resolve(name: str) -> Any:
    """What ``module:qualname`` names; the module is imported.

    A module is looked for where Python looks, then in the current directory, as ``python -m`` does.

    Raises:
        MimicError: not such a name, no such module, or nothing of that name in it.
    """
    module, colon, qualname = name.partition(":")
    parts = [*module.split("."), *qualname.split(".")]
    if not colon or not all(part.isidentifier() for part in parts):
        raise MimicError(f"'{name}' is not of the form package.module:Name")
    try:
        found: Any = imported(module)
    except ModuleNotFoundError as error:
        absent = error.name or ""
        if module != absent and not module.startswith(absent + "."):
            raise MimicError(f"'{name}': {module} needs '{absent}', which is absent") from error
        raise MimicError(
            f"'{name}': there is no module '{absent}'; install it, or put its folder into "
            "PYTHONPATH"
        ) from error
    for part in qualname.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            names = [each for each in vars(found) if not each.startswith("_")]
            raise MimicError(
                f"'{name}': {module} has no '{qualname}'{nearest(part, names)}"
            ) from None
    return found


def imported(module: str) -> Any:
    """A module that Python finds, or that lies in the current directory.

    Raises:
        ImportError: neither.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        here = str(Path.cwd())
        if error.name != module.partition(".")[0] or here in sys.path or "" in sys.path:
            raise
        sys.path.append(here)
        try:
            return importlib.import_module(module)
        except ModuleNotFoundError:
            sys.path.remove(here)
            raise


def nearest(name: str, known: Sequence[str]) -> str:
    """``; did you mean 'x'?`` where some known name is close, else nothing."""
    found = difflib.get_close_matches(name, known, 1)
    return f"; did you mean '{found[0]}'?" if found else ""


# writing ---------------------------------------------------------------------------------------


def to_plain(value: Any, declared: Any = Any) -> Any:
    """A configuration as numbers, texts, lists and mappings that JSON can hold.

    Args:
        declared: the annotation of the place that ``value`` stands in.

    Raises:
        MimicError: a value that could not be read back, with the path of its field.
    """
    return _plain(value, declared, ())


def _plain(value: Any, declared: Any, path: tuple[str, ...]) -> Any:
    if len(path) > DEEPEST:
        raise MimicError(f"{_text(path[:6])}...: a configuration that contains itself")
    declared = _bare(declared)
    if value is None or isinstance(value, bool | str | int) and not isinstance(value, enum.Enum):
        return value
    if isinstance(value, enum.Enum):
        if isinstance(declared, type) and type(value) is declared:
            return value.name
        return {REF: f"{_name_at(type(value), path)}.{value.name}"}
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {FLOAT: repr(float(value))}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain_dataclass(value, declared, path)
    if isinstance(value, PurePath):
        return str(value) if _takes(declared, Path) else {PATH: str(value)}
    if isinstance(value, tuple) and type(value) is tuple:
        kinds = _entries(declared, len(value))
        return [
            _plain(v, k, (*path, str(i))) for i, (v, k) in enumerate(zip(value, kinds, strict=True))
        ]
    if isinstance(value, list):
        kinds = _entries(declared, len(value))
        items = [
            _plain(v, k, (*path, str(i))) for i, (v, k) in enumerate(zip(value, kinds, strict=True))
        ]
        return items if typing.get_origin(declared) is list else {LIST: items}
    if isinstance(value, Set):
        items = [_plain(each, Any, path) for each in value]
        return {SET: sorted(items, key=repr)}
    if isinstance(value, Mapping):
        return _plain_mapping(value, declared, path)
    if isinstance(value, type) or inspect.isroutine(value):
        name = _name_at(value, path)
        return name if _takes_code(declared) else {REF: name}
    raise MimicError(
        f"{_text(path)}: a {type(value).__name__} cannot be written into a configuration; use "
        "numbers, texts, tuples, mappings, dataclasses or module-level functions"
    )


def _plain_dataclass(value: Any, declared: Any, path: tuple[str, ...]) -> dict[str, Any]:
    kind = type(value)
    plain: dict[str, Any] = {}
    if not _takes(declared, kind):
        plain[TYPE] = _name_at(kind, path)
    hints = _hints(kind)
    for each in dataclasses.fields(kind):
        if each.init:
            inner = getattr(value, each.name)
            plain[each.name] = _plain(inner, hints[each.name], (*path, each.name))
    return plain


def _plain_mapping(value: Mapping[Any, Any], declared: Any, path: tuple[str, ...]) -> Any:
    kind = _mapped(declared)
    if all(isinstance(key, str) and not key.startswith("$") for key in value):
        return {key: _plain(each, kind, (*path, key)) for key, each in value.items()}
    return {
        MAP: [
            [_plain(key, Any, path), _plain(each, kind, (*path, str(key)))]
            for key, each in value.items()
        ]
    }


def _name_at(value: Any, path: tuple[str, ...]) -> str:
    try:
        return name_of(value)
    except MimicError as error:
        raise MimicError(f"{_text(path)}: {error}") from error


# reading ---------------------------------------------------------------------------------------


def from_plain(
    kind: type[T],
    plain: Any,
    *,
    source: Path | str = "configuration",
    imports: bool = True,
    lenient: bool = False,
) -> T:
    """The configuration that ``to_plain`` has written.

    Args:
        kind: its class.
        source: file the values come from, named in refusals.
        imports: whether names of functions and classes may be imported.
        lenient: leave out entries that ``kind`` does not know, which are of another version.

    Raises:
        MimicError: an unknown or missing field, or a value of another type: one line with the
            file, the path of the field and the names that are known.
    """
    return cast("T", _Reader(str(source), imports, lenient).read(plain, kind, ()))


@dataclasses.dataclass(frozen=True)
class _Reader:
    source: str
    imports: bool
    lenient: bool

    def fail(self, path: tuple[str, ...], text: str) -> MimicError:
        return MimicError(f"{self.source}: {_text(path)}: {text}")

    def wrong(self, path: tuple[str, ...], plain: Any, expected: str) -> MimicError:
        shown = reprlib.repr(plain) if isinstance(plain, dict | list) else repr(plain)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        return self.fail(path, f"found {shown}, expected {expected}")

    def read(self, plain: Any, declared: Any, path: tuple[str, ...]) -> Any:
        if len(path) > DEEPEST:
            raise self.fail(path[:6], "nested too deeply for a configuration")
        declared = _bare(declared)
        origin, arguments = typing.get_origin(declared), typing.get_args(declared)
        if isinstance(plain, dict) and any(key in plain for key in (FLOAT, REF, PATH, MAP, SET)):
            return self.tagged(plain, declared, path)
        if origin in (Union, types.UnionType):
            return self.union(plain, arguments, path)
        if isinstance(plain, dict) and TYPE in plain:
            return self.dataclass(plain, self.type_of(plain[TYPE], declared, path), path)
        if declared in (Any, object) or isinstance(declared, TypeVar):
            return self.anything(plain, path)
        if declared in (None, types.NoneType):
            if plain is not None:
                raise self.wrong(path, plain, "null")
            return None
        if origin is Literal:
            for choice in arguments:
                if plain == choice and type(plain) is type(choice):
                    return choice
            known = [str(choice) for choice in arguments]
            near = nearest(plain, known) if isinstance(plain, str) else ""
            raise self.wrong(path, plain, f"one of {', '.join(known)}{near}")
        if dataclasses.is_dataclass(declared):
            return self.dataclass(plain, cast("type", declared), path)
        if declared is bool or declared is str or declared is int or declared is float:
            return self.scalar(plain, declared, path)
        if isinstance(declared, type) and issubclass(declared, enum.Enum):
            members = list(declared.__members__)
            if not isinstance(plain, str) or plain not in members:
                near = nearest(plain, members) if isinstance(plain, str) else ""
                raise self.wrong(path, plain, f"one of {', '.join(members)}{near}")
            return declared[plain]
        if isinstance(declared, type) and issubclass(declared, PurePath):
            if not isinstance(plain, str):
                raise self.wrong(path, plain, "a path")
            return declared(plain)
        if declared is tuple or origin is tuple or declared is list or origin is list:
            return self.sequence(plain, declared, path)
        if _takes_code(declared):
            return self.code(plain, declared, path)
        if _is_mapping(declared):
            if not isinstance(plain, dict):
                raise self.wrong(path, plain, "a mapping")
            kind = _mapped(declared)
            return {key: self.read(each, kind, (*path, key)) for key, each in plain.items()}
        return self.anything(plain, path)

    def tagged(self, plain: dict[str, Any], declared: Any, path: tuple[str, ...]) -> Any:
        if len(plain) != 1:
            raise self.wrong(path, plain, "a tagged value alone in its mapping")
        ((tag, value),) = plain.items()
        if tag == FLOAT:
            if value not in ("nan", "inf", "-inf"):
                raise self.wrong(path, value, "nan, inf or -inf")
            return float(value)
        if tag == REF:
            return self.code(value, declared, path)
        if tag == PATH:
            if not isinstance(value, str):
                raise self.wrong(path, value, "a path")
            return Path(value)
        if not isinstance(value, list):
            raise self.wrong(path, value, "a list")
        if tag == SET:
            return frozenset(self.read(each, Any, path) for each in value)
        kind = _mapped(declared)
        found = {}
        for pair in value:
            if not isinstance(pair, list) or len(pair) != 2:
                raise self.wrong(path, pair, "a pair of key and value")
            key = self.read(pair[0], Any, path)
            found[key] = self.read(pair[1], kind, (*path, str(key)))
        return found

    def anything(self, plain: Any, path: tuple[str, ...]) -> Any:
        if isinstance(plain, list):
            return tuple(self.read(v, Any, (*path, str(i))) for i, v in enumerate(plain))
        if isinstance(plain, dict):
            if LIST in plain:
                return self.sequence(plain, Any, path)
            return {key: self.read(each, Any, (*path, key)) for key, each in plain.items()}
        return plain

    def sequence(self, plain: Any, declared: Any, path: tuple[str, ...]) -> Any:
        kind = tuple if declared is tuple or typing.get_origin(declared) is tuple else list
        if isinstance(plain, dict) and set(plain) == {LIST}:
            kind, plain = list, plain[LIST]
        if not isinstance(plain, list):
            raise self.wrong(path, plain, "a list")
        arguments = typing.get_args(declared)
        if kind is tuple and arguments and Ellipsis not in arguments:
            wanted = 0 if arguments == ((),) else len(arguments)
            if len(plain) != wanted:
                raise self.wrong(path, plain, f"{wanted} values")
        kinds = _entries(declared, len(plain))
        return kind(
            self.read(v, k, (*path, str(i)))
            for i, (v, k) in enumerate(zip(plain, kinds, strict=True))
        )

    def union(self, plain: Any, choices: tuple[Any, ...], path: tuple[str, ...]) -> Any:
        if plain is None and types.NoneType in choices:
            return None
        found: MimicError | None = None
        if isinstance(plain, dict) and TYPE in plain:
            for choice in choices:
                if dataclasses.is_dataclass(_bare(choice)):
                    try:
                        kind = self.type_of(plain[TYPE], choice, path)
                    except MimicError as error:
                        found = error
                        continue
                    return self.dataclass(plain, kind, path)
        # An integer is a float too: the exact type goes first.
        choices = tuple(choice for choice in choices if choice is not types.NoneType)
        ordered = sorted(choices, key=lambda choice: choice is not type(plain))
        for choice in ordered:
            try:
                return self.read(plain, choice, path)
            except MimicError as error:
                found = error
        assert found is not None
        if len(choices) == 1:
            # Beside None there is one choice: its own complaint says most.
            raise found
        names = ", ".join(getattr(choice, "__name__", str(choice)) for choice in choices)
        raise self.wrong(path, plain, f"one of {names}")

    def scalar(self, plain: Any, kind: type, path: tuple[str, ...]) -> Any:
        if kind is float and isinstance(plain, int) and not isinstance(plain, bool):
            # Beyond 2^53 not every integer is a float: such a one stays what it is.
            return float(plain) if abs(plain) <= 2**53 else plain
        if type(plain) is not kind:
            names = {bool: "true or false", str: "a text", int: "an integer", float: "a number"}
            raise self.wrong(path, plain, names[kind])
        return plain

    def code(self, name: Any, declared: Any, path: tuple[str, ...]) -> Any:
        if not isinstance(name, str):
            raise self.wrong(path, name, "package.module:Name")
        if not self.imports:
            raise self.fail(path, f"'{name}' names code, which is not to be imported here")
        try:
            check_trusted(name)
            found = resolve(name)
            check_trusted(name, found)
        except UserError as error:
            raise self.fail(path, str(error)) from error
        origin = typing.get_origin(declared) or declared
        if origin is type:
            (base, *_) = (*typing.get_args(declared), object)
            base = object if base is Any else base
            if (
                not isinstance(found, type)
                or isinstance(base, type)
                and not issubclass(found, base)
            ):
                raise self.wrong(path, name, f"a class derived from {base}")
        elif _takes_code(declared) and not callable(found):
            raise self.wrong(path, name, "a function")
        return found

    def type_of(self, name: Any, declared: Any, path: tuple[str, ...]) -> type[Any]:
        """The dataclass that ``$type`` names, where the annotation lets it stand."""
        declared = _bare(declared)
        plain_kind = isinstance(declared, type) and dataclasses.is_dataclass(declared)
        # Its own class needs no import to be recognised.
        if plain_kind and name == f"{declared.__module__}:{declared.__qualname__}":
            return declared
        kind: Any = self.code(name, Any, path)
        if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
            raise self.wrong(path, name, "a dataclass")
        base: Any = typing.get_origin(declared) or declared
        free = base in (Any, object) or not isinstance(base, type) or _is_protocol(base)
        if not free and base not in kind.__mro__:
            raise self.wrong(path, name, f"a {base.__name__}")
        return kind

    def dataclass(self, plain: Any, kind: type, path: tuple[str, ...]) -> Any:
        if not isinstance(plain, dict):
            raise self.wrong(path, plain, f"the fields of {kind.__name__}")
        known = {each.name: each for each in dataclasses.fields(kind) if each.init}
        given = {key: value for key, value in plain.items() if key != TYPE}
        for name in given:
            if name not in known and not self.lenient:
                raise self.fail(
                    (*path, str(name)),
                    f"unknown field of {kind.__name__}{nearest(str(name), list(known))}; known: "
                    f"{', '.join(known)}",
                )
        hints = _hints(kind)
        values: dict[str, Any] = {}
        for name, each in known.items():
            if name in given:
                values[name] = self.read(given[name], hints[name], (*path, name))
            elif (
                each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
            ):
                raise self.fail(
                    (*path, name),
                    f"missing field of {kind.__name__}; given: {', '.join(map(str, given)) or '-'}",
                )
        try:
            return kind(**values)
        except MimicError as error:
            raise self.fail(path, str(error)) from error


# files -----------------------------------------------------------------------------------------


def to_json(value: Any, declared: Any = Any) -> str:
    """``to_plain`` as indented text of strict JSON."""
    return json.dumps(to_plain(value, declared), indent=2, allow_nan=False) + "\n"


def read_json(path: Path) -> dict[str, Any]:
    """The mapping in a JSON file.

    Raises:
        MimicError: not JSON, not a mapping, or a key given twice. OSError: no such file.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise MimicError(f"{path}: '{twice}' is given twice")
        return found

    def no_number(name: str) -> float:
        raise ValueError(f"{name} is no number of JSON")

    try:
        text = read_bounded(path).decode("utf-8")
        data = json.loads(text, object_pairs_hook=unique, parse_constant=no_number)
        check_nesting(path, data)
    except UserError:
        raise
    except (ValueError, RecursionError) as error:
        raise MimicError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(data, dict):
        raise MimicError(f"{path}: holds a {type(data).__name__}, expected a mapping")
    return data


# annotations -----------------------------------------------------------------------------------


def _text(path: tuple[str, ...]) -> str:
    return ".".join(path) or "configuration"


@cache
def _hints(kind: type) -> dict[str, Any]:
    """The annotation of every field; ``Any`` where it names what only type checkers import."""
    names = [each.name for each in dataclasses.fields(kind)]
    try:
        found = typing.get_type_hints(kind)
    except Exception:
        found = {}
        for each in dataclasses.fields(kind):
            owner = next(c for c in kind.__mro__ if each.name in vars(c).get("__annotations__", {}))
            space = vars(importlib.import_module(owner.__module__))
            try:
                text = owner.__annotations__[each.name]
                found[each.name] = eval(text, space) if isinstance(text, str) else text
            except Exception:
                found[each.name] = Any
    return {name: found.get(name, Any) for name in names}


def _bare(declared: Any) -> Any:
    """An annotation without ``Annotated`` and without the name of an alias."""
    while True:
        if typing.get_origin(declared) is typing.Annotated:
            declared = typing.get_args(declared)[0]
        elif hasattr(declared, "__value__"):
            declared = declared.__value__
        elif isinstance(declared, str):
            return Any
        else:
            return declared


def _choices(declared: Any) -> tuple[Any, ...]:
    if typing.get_origin(declared) in (Union, types.UnionType):
        return tuple(_bare(each) for each in typing.get_args(declared))
    return (declared,)


def _takes(declared: Any, kind: type) -> bool:
    """Whether the annotation is that class, alone or beside None."""
    choices = [each for each in _choices(declared) if each is not types.NoneType]
    return len(choices) == 1 and choices[0] is kind


def _takes_code(declared: Any) -> bool:
    choices = [each for each in _choices(declared) if each is not types.NoneType]
    if len(choices) != 1:
        return False
    origin = typing.get_origin(choices[0]) or choices[0]
    return origin is type or origin is Callable or origin is types.FunctionType


def _is_mapping(declared: Any) -> bool:
    origin = typing.get_origin(declared) or declared
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _mapped(declared: Any) -> Any:
    """The annotation of a mapping's values."""
    for choice in _choices(declared):
        arguments = typing.get_args(choice)
        if _is_mapping(choice) and len(arguments) == 2:
            return arguments[1]
    return Any


def _entries(declared: Any, count: int) -> tuple[Any, ...]:
    """The annotation of each of ``count`` entries of a tuple or list."""
    for choice in _choices(declared):
        origin, arguments = typing.get_origin(choice), typing.get_args(choice)
        if origin is list and arguments:
            return arguments * count
        if origin is tuple and arguments:
            if len(arguments) == 2 and arguments[1] is Ellipsis:
                return (arguments[0],) * count
            if len(arguments) == count:
                return arguments
    return (Any,) * count


def _is_protocol(kind: type) -> bool:
    return bool(getattr(kind, "_is_protocol", False))
