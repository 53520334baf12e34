"""Finding parts without tables: by scanning a folder of modules, or by ``package.module:NAME``."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import Any, TypeVar

from mimic_base.errors import InputError, input_error

T = TypeVar("T")


def found_in(package: ModuleType, attribute: str) -> dict[str, Any]:
    """What every module of `package` calls `attribute`, by the module's name, in its order.

    Modules are imported in the order of their names; those without the attribute are left out.
    """
    found: dict[str, Any] = {}
    for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda info: info.name):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        if hasattr(module, attribute):
            found[info.name] = getattr(module, attribute)
    return found


def load_object(reference: str, kind: type[T], what: str) -> T:
    """The object that ``package.module:NAME`` names.

    Args:
        kind: what it has to be. what: the option or setting that names it, for the error.

    Raises `InputError` when there is no such module or name, or it is of another kind.
    """
    module_name, _, name = reference.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise InputError(
            f"{what} {reference}: module {module_name} cannot be imported ({error}); is its folder "
            "on PYTHONPATH?"
        ) from error
    value = getattr(module, name, None)
    if not isinstance(value, kind):
        known = [key for key, each in vars(module).items() if isinstance(each, kind)]
        raise input_error(
            None,
            f"{what} {reference}: {module_name} has no {kind.__name__} called {name!r}",
            found=f"the names {', '.join(known)}" if known else f"no {kind.__name__} at all",
        )
    return value
