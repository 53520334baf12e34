"""The one exception for mistakes a user can fix."""

from __future__ import annotations

from pathlib import Path


class InputError(ValueError):
    """Bad input from the user: a file, a value, an option.

    The text is one line that names the file, the rule, the value found, what was expected and
    what fixes it. Command-line programs print it without a traceback and exit with code 2 (see
    `motions.cli.exit_on_user_error`). Other packages may define their own exceptions with the
    class attribute `user_error = True` to be treated alike.
    """

    user_error = True

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(str(message).split()))


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
