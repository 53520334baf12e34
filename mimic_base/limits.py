"""How much a file may hold: one table of limits, and the option that lifts one.

Files come from strangers. What one declares (frames, joints, members of an archive, depth) is held
against this table before anything of that size is made, and the refusal names the limit and the
option that lifts it: ``--limit frames=2000000``, which every command takes. Child processes are
told through the environment variable `MIMIC_LIMITS` (``frames=2000000,bytes=8589934592``).
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from mimic_base.errors import InputError, UserError, input_error

OPTION = "--limit"
VARIABLE = "MIMIC_LIMITS"
_SUFFIXES = {"k": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A limit on what a file may hold."""

    default: float
    """The greatest value that is allowed unless the user says otherwise."""
    meaning: str
    """What is counted, for help and documentation."""


LIMITS: Mapping[str, Limit] = MappingProxyType(
    {
        "bytes": Limit(default=1 << 30, meaning="bytes of a file, or of what an archive unpacks"),
        "ratio": Limit(default=50, meaning="times its size that a file unpacks to, above 64 MiB"),
        "members": Limit(default=10_000, meaning="members of an archive"),
        "frames": Limit(default=1_000_000, meaning="frames of a clip"),
        "joints": Limit(default=1_000, meaning="joints, markers or links of a skeleton or table"),
        "items": Limit(default=10_000_000, meaning="values in a pickle or a JSON file"),
        "depth": Limit(default=100, meaning="levels of nesting"),
        "text": Limit(default=1 << 20, meaning="characters of one text or name"),
        "elements": Limit(
            default=100_000, meaning="elements of a robot's model, with all copies that it orders"
        ),
        "cells": Limit(default=1 << 26, meaning="cells of a height field, pixels of a picture"),
        "xml": Limit(default=64 << 20, meaning="bytes of a robot's model and what it includes"),
        "download": Limit(default=100 << 20, meaning="bytes of a file that is fetched"),
        "seconds": Limit(
            default=3,
            meaning="processor seconds of a library for 5 MB of a file (C3D, FBX)",
        ),
        "compile": Limit(
            default=60, meaning="processor seconds of MuJoCo for a robot's model that is new to us"
        ),
        "memory": Limit(default=2 << 30, meaning="bytes of memory of such a library"),
        "magnitude": Limit(default=1e6, meaning="greatest absolute number of a motion, file units"),
    }
)
"""Name -> limit; a name is what ``--limit NAME=VALUE`` takes."""

_HARMLESS = 64 << 20
"""Bytes that anything may unpack to."""
_EXACT = 1e15
"""Below it floats are whole numbers without loss."""
_read: tuple[str, Mapping[str, float]] = ("", {})
"""The last content of the environment variable and what it says."""


def limit(name: str) -> float:
    """The limit of that name as it stands now: the user's, else the default."""
    return _lifted().get(name, LIMITS[name].default)


def check_limit(path: Path | str | None, name: str, found: float, what: str) -> None:
    """Raise `over_limit` where `found` is above the limit `name`."""
    if not found <= limit(name):
        raise over_limit(path, name, found, what)


def check_growth(path: Path | str | None, unpacked: int, packed: int, what: str) -> None:
    """Refuse what becomes too large in memory, before it does.

    Args:
        path: the file.
        unpacked: bytes that its content takes. packed: bytes of the file itself.
        what: what grows, e.g. "the archive's content".

    More than the limit ``bytes`` is refused, and above 64 MiB more than ``ratio`` times the file.
    """
    check_limit(path, "bytes", unpacked, f"the size of {what}")
    if unpacked > _HARMLESS:
        growth = math.ceil(unpacked / max(packed, 1))
        check_limit(path, "ratio", growth, f"the growth of {what} (to {unpacked >> 20} MiB)")


def over_limit(path: Path | str | None, name: str, found: float | None, what: str) -> InputError:
    """The refusal of a file that holds too much.

    Args:
        path: the file, or the file and the place in it.
        name: the limit, a key of `LIMITS`.
        found: the value found, None where counting was given up at the limit.
        what: what is too large, e.g. "the number of frames".
    """
    most = _number(limit(name))
    value = f"more than {most}" if found is None else _number(found)
    return input_error(
        path,
        f"{what} is above the limit '{name}'",
        found=value,
        expected=f"at most {most}",
        fix=f"{OPTION} {name}={_enough(found)} lifts it for a file that you trust",
    )


@contextmanager
def lifted(**limits: float) -> Iterator[None]:
    """Limits that hold inside the block, in this process and in the children that it starts."""
    before = os.environ.get(VARIABLE)
    set_limits([f"{name}={value!r}" for name, value in limits.items()])
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = before


def set_limits(settings: Iterable[str]) -> None:
    """Set limits from texts ``NAME=VALUE``; `UserError` for an unknown name or a bad value."""
    limits = dict(_lifted())
    for setting in settings:
        name, value = _parse(setting, OPTION)
        limits[name] = value
    if limits:
        os.environ[VARIABLE] = ",".join(f"{name}={value!r}" for name, value in limits.items())


def _lifted() -> Mapping[str, float]:
    global _read
    text = os.environ.get(VARIABLE, "")
    if text != _read[0]:
        parsed = [_parse(part, VARIABLE) for part in text.split(",") if part.strip()]
        _read = (text, dict(parsed))
    return _read[1]


def _parse(setting: str, where: str) -> tuple[str, float]:
    name, equals, text = (part.strip() for part in setting.partition("="))
    if name not in LIMITS or not equals:
        raise UserError(
            f"{where}: a limit is NAME=VALUE (found {setting[:60]!r}, NAME is one of "
            f"{', '.join(LIMITS)}); for example {OPTION} frames=2000000"
        )
    factor = _SUFFIXES.get(text[-1:], 1)
    try:
        value = float(text[:-1] if factor > 1 else text) * factor
    except ValueError:
        value = math.nan
    if not (value > 0 and math.isfinite(value)):
        raise UserError(
            f"{where}: the limit '{name}' must be a positive number (found {text[:40]!r}, "
            f"expected such as {_number(LIMITS[name].default)}, 2e6 or 4G)"
        )
    return name, value


def _number(value: float) -> str:
    """A number for an error line: whole where it is whole, else six digits."""
    if abs(value) < _EXACT and value == int(value):
        return str(int(value))
    try:
        return f"{float(value):.6g}"
    except OverflowError:
        return f"a number of {int(value).bit_length()} bits"


def _enough(found: float | None) -> str:
    """What to lift a limit to for `found` to pass."""
    try:
        if found is None or not math.isfinite(found):
            return "VALUE"
    except OverflowError:
        return "VALUE"
    if found < _EXACT:
        return str(math.ceil(found))
    return repr(math.nextafter(float(found), math.inf))
