"""Parts of the program that lie in a file of the user's own, named ``package.module:name``."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from mimic_base.errors import MimicError


def is_path(text: str) -> bool:
    """Whether a text names something by module, ``package.module:name``."""
    module, colon, name = text.partition(":")
    words = [*module.split("."), *name.split(".")]
    return bool(colon) and all(word.isidentifier() for word in words)


def object_at(text: str, what: str) -> Any:
    """The object named ``package.module:name``; modules of the working directory are found too.

    Args:
        what: what is looked for, for the error: ``engine``, ``task``.

    Raises:
        MimicError: no such module or name, or the module itself cannot be imported.
    """
    module, _, name = text.partition(":")
    if "" not in sys.path:
        # A program that pip has installed does not see the working directory.
        sys.path.append("")
    try:
        found: Any = importlib.import_module(module)
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise MimicError(
            f"{what} '{text}': module '{module}' cannot be imported ({reason}); "
            "run from the folder it lies in, or set PYTHONPATH"
        ) from error
    for part in name.split("."):
        if not hasattr(found, part):
            have = ", ".join(key for key in vars(found) if not key.startswith("_"))
            raise MimicError(f"{what} '{text}': no '{name}' in '{module}'; it has: {have[:200]}")
        found = getattr(found, part)
    return found
