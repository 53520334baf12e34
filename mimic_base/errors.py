"""One hierarchy of errors: what a user can mend, told in one line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mimic_base.text import plain


class UserError(ValueError):
    """A mistake that the user can fix: a file, a value, an option, an environment.

    The text is one line that names the file, the rule, the value found, what was expected and
    what fixes it; line breaks in it become spaces, and control characters, which a file's names may
    hold, are written out (``\\x1b``). Command-line programs print it without a traceback and exit
    with code 2 (`mimic_base.command_line.exit_on_user_error`).
    """

    def __init__(self, message: str) -> None:
        super().__init__(plain(" ".join(str(message).split())))


class InputError(UserError):
    """An input that cannot be used: a motion file, a clip, a value of an option."""


class RobotError(UserError):
    """A robot that cannot be loaded or described."""


class MimicError(UserError):
    """A task, run, policy or engine that cannot be used as asked."""


def input_error(
    path: Path | str | None,
    rule: str,
    *,
    found: object = None,
    expected: object = None,
    fix: str | None = None,
) -> InputError:
    """Build an `InputError` in the house form: ``file: rule (found X, expected Y); fix``."""
    details = []
    if found is not None:
        details.append(f"found {found}")
    if expected is not None:
        details.append(f"expected {expected}")
    text = f"{path}: {rule}" if path is not None else rule
    if details:
        text += f" ({', '.join(details)})"
    if fix:
        text += f"; {fix}"
    return InputError(text)


@contextmanager
def about(path: Path | str) -> Iterator[None]:
    """Let an `OSError` of the block that names no file name `path`.

    A failed read or write of an open file says "Invalid argument" or "File too large" and not of
    which file.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = os.fspath(path)
        raise
