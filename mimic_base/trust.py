"""Whose code a file may name.

Checkpoints, configurations and policies name code (a task, a reward, an algorithm) as
``package.module:Name``, and naming it means running it. Files come from strangers, so what they
name is run only where it is

- code of this program;
- code of the program that is running, that is a module it has imported which is neither Python's
  nor an installed package's;
- a module that the user has named: on a command line, now or on this machine before
  (``mimic train my_tasks:push``), with ``--trust my_tasks``, or by `consent`.

Anything else is refused in one line. Consent is by top-level module. It is kept beside the cache
with the place of the module, and holds for that place alone; child processes are told through the
environment variable `MIMIC_TRUST`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from mimic_base.errors import UserError
from mimic_base.text import plain

OPTION = "--trust"
VARIABLE = "MIMIC_TRUST"
PROGRAM = ("mimic", "mimic_base", "motions", "robots", "retarget")
"""Packages of this program."""
_NAME = re.compile(r"(?:--?[\w.-]+=)?([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):[A-Za-z_][\w.]*")
_RECORD = "trusted_modules.json"
_PROGRAMS = "programs of engines"
_MOST = 1000
"""Modules that are kept."""


def is_trusted(module: str) -> bool:
    """Whether a file may name code of this module."""
    top = module.partition(".")[0]
    return top in PROGRAM or top in _consented() or _is_running(top) or _is_kept(top)


def check_trusted(name: str, value: Any = None) -> None:
    """Raise a `UserError` unless a file may name this code.

    Args:
        name: ``package.module:Name``, as the file has it.
        value: what was found by that name, where its module has been imported: a name may lead
            through a module to what that has imported from elsewhere.
    """
    module, colon, _ = name.partition(":")
    if not colon or (value is None and _is_absent(module)):
        return  # whoever looks for it says that there is no such thing
    home = module if value is None else str(getattr(value, "__module__", None) or module)
    for each in (module, home):
        if not is_trusted(each):
            top = each.partition(".")[0]
            raise UserError(
                f"'{plain(name, 120)}' is code of the module '{plain(top, 60)}', which neither "
                "belongs to this program nor has been named by you before; files of strangers may "
                f"name anything: {OPTION} {plain(top, 60)} runs it"
            )


def consent(modules: Iterable[str], *, keep: bool = False) -> None:
    """Let files name code of these modules, in this process and those it starts.

    Args:
        keep: also later, on this machine, as long as the modules lie where they do now.
    """
    tops = list(dict.fromkeys(module.partition(".")[0] for module in modules if module))
    if not tops:
        return
    os.environ[VARIABLE] = ",".join(dict.fromkeys([*_consented(), *tops]))
    if keep:
        _keep({top: place for top in tops if (place := _place(top)) is not None})


def check_program(text: str) -> None:
    """Raise a `UserError` unless a file may say that a program is started (``remote:python=...``).

    A text is known where `remember_program` has been given it on this machine; the word before its
    colon may be trusted as a module is.
    """
    word = text.partition(":")[0]
    if word not in _consented() and text not in _kept().get(_PROGRAMS, []):
        raise UserError(
            f"'{plain(text, 200)}' starts another program, and has not been asked for by you here "
            f"before; files of strangers may name anything: {OPTION} {word} starts it"
        )


def remember_program(text: str) -> None:
    """What the user has asked for is known to `check_program` from here on."""
    _keep({_PROGRAMS: text})


def named_on_command_line(words: Sequence[str]) -> list[str]:
    """Modules of the words ``module:Name`` of a command line, which are no files."""
    found = []
    for word in words:
        match = _NAME.fullmatch(word)
        if match is None or Path(match[1]).exists() or Path(word).exists():
            continue
        top = match[1].partition(".")[0]
        if top not in PROGRAM and top not in sys.stdlib_module_names:
            found.append(top)
    return found


def _consented() -> list[str]:
    return [each for each in os.environ.get(VARIABLE, "").split(",") if each]


def _is_running(top: str) -> bool:
    """Whether the running program has imported the module from its own files."""
    module = sys.modules.get(top)
    if module is None or top in sys.stdlib_module_names:
        return False
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", [])]
    files = [Path(place).resolve() for place in places if place]
    return bool(files) and not any(
        "site-packages" in file.parts
        or "dist-packages" in file.parts
        or any(file.is_relative_to(folder) for folder in _installed())
        for file in files
    )


@cache
def _installed() -> tuple[Path, ...]:
    """Where Python's own modules and installed packages lie."""
    keys = ("stdlib", "platstdlib", "purelib", "platlib")
    return tuple({Path(sysconfig.get_path(key)).resolve() for key in keys})


def _is_absent(module: str) -> bool:
    top = module.partition(".")[0]
    return top not in sys.modules and _place(top) is None


def _place(top: str) -> str | None:
    """Where a top-level module lies; without importing it."""
    with suppress(ImportError, ValueError, AttributeError):
        spec = importlib.util.find_spec(top)
        if spec is not None and (spec.origin or spec.submodule_search_locations):
            return str(spec.origin or next(iter(spec.submodule_search_locations or ())))
    # A module in the current directory is found too, see `mimic.configuration.imported`.
    for path in (Path.cwd() / f"{top}.py", Path.cwd() / top / "__init__.py"):
        if path.is_file():
            return str(path)
    return None


def _record() -> Path:
    from mimic_base.cache import cache_folder

    return cache_folder() / _RECORD


def _kept() -> dict[str, list[str]]:
    with suppress(OSError, ValueError, RecursionError):
        known = json.loads(_record().read_text("utf-8"))
        if isinstance(known, dict):
            return {
                str(name): [str(place) for place in places]
                for name, places in known.items()
                if isinstance(places, list)
            }
    return {}


def _is_kept(top: str) -> bool:
    place = _place(top)
    return place is not None and place in _kept().get(top, [])


def _keep(places: dict[str, str]) -> None:
    from mimic_base.files import atomic_write_text

    known = _kept()
    if all(place in known.get(top, []) for top, place in places.items()):
        return
    for top, place in places.items():
        known[top] = list(dict.fromkeys([*known.get(top, []), place]))[-20:]
    # Where nothing can be kept, the user is asked again.
    with suppress(OSError, UserError):
        atomic_write_text(_record(), json.dumps(dict(list(known.items())[-_MOST:]), indent=1))
