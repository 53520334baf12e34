"""The formats by name: those of the `layouts` folder, and any other by ``package.module:NAME``."""

from __future__ import annotations

from types import MappingProxyType

from mimic_base.errors import input_error
from mimic_base.plugins import found_in, load_object
from motions.robot.formats import layouts
from motions.robot.formats.format import Format

_OWN = ("robot-motion", "trajectory")


def _known() -> dict[str, Format]:
    """All formats that modules of `layouts` declare, our own first."""
    found = [form for forms in found_in(layouts, "FORMATS").values() for form in forms]
    found.sort(key=lambda form: (form.name not in _OWN, form.name))
    twice = sorted({f.name for f in found if sum(g.name == f.name for g in found) > 1})
    if twice:
        raise ValueError(f"two formats are called {', '.join(twice)}")
    return {form.name: form for form in found}


FORMATS = MappingProxyType(_known())
"""Every format by its name on the command line."""

WRITTEN = tuple(name for name, form in FORMATS.items() if form.written)
NEEDS_BODIES = tuple(name for name in WRITTEN if FORMATS[name].needs_bodies)
"""Formats whose files carry the pose of every body."""


def find_format(name: str, option: str = "--format") -> Format:
    """The format of this name, or what ``package.module:NAME`` names; `InputError` for others."""
    if name in FORMATS:
        return FORMATS[name]
    if ":" in name:
        return load_object(name, Format, option)
    raise input_error(
        None, f"{option} is unknown", found=repr(name),
        expected=f"{', '.join(FORMATS)}, or package.module:NAME",
    )  # fmt: skip
