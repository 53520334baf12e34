"""What every command-line program does with an error."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import NoReturn

from mimic_base.errors import UserError
from mimic_base.limits import OPTION as LIMIT_OPTION
from mimic_base.limits import set_limits
from mimic_base.text import LONGEST_LINE, guard_streams, plain
from mimic_base.trust import OPTION as TRUST_OPTION
from mimic_base.trust import consent, named_on_command_line

USER_ERROR_EXIT_CODE = 2
INTERRUPTED_EXIT_CODE = 130
_ODD_NUMBERS = r"(overflow|invalid value|divide by zero|underflow) encountered"
"""How NumPy's warnings of floating-point errors begin."""


def exit_on_user_error(main: Callable[[], int | None]) -> NoReturn:
    """Run `main` and leave the process with its exit code.

    A `UserError`, and any `OSError` (missing file, no
    permission, disk full, read-only directory), becomes one line ``error: ...`` on standard error
    and exit code 2. Ctrl-C becomes exit code 130. Every other exception keeps its traceback: it
    is a bug, not a user's mistake. Control characters in what the program writes, which come from
    names of files and in files, are shown and not sent to the terminal.

    ``--limit NAME=VALUE`` and ``--trust MODULE`` are taken from the command line before `main`
    reads it (`take_common_options`).

    NumPy's warnings of numbers that overflow or are none are not shown: they name a line of code,
    and files hold any numbers. Whoever reads or writes a file checks that its numbers are finite.
    """
    guard_streams()
    warnings.filterwarnings("ignore", _ODD_NUMBERS, RuntimeWarning)
    try:
        sys.argv[1:] = take_common_options(sys.argv[1:])
        code = main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED_EXIT_CODE)
    except BrokenPipeError:
        # The reader of our output left (`... | head`); say nothing and keep the interpreter from
        # failing a second time when it flushes standard output at exit.
        _drop_output()
        sys.exit(1)
    except Exception as error:
        text = user_error_text(error)
        if text is None:
            raise
        try:
            sys.stdout.flush()
        except OSError:
            _drop_output()
        print(f"error: {text}", file=sys.stderr)
        sys.exit(USER_ERROR_EXIT_CODE)
    sys.exit(code or 0)


def _drop_output() -> None:
    """Send what is left of standard output nowhere, lest it fails again when the process ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def take_common_options(arguments: Sequence[str]) -> list[str]:
    """The arguments without ``--limit NAME=VALUE`` and ``--trust MODULE``, which hold from here on.

    Every command takes them, as often as wanted (`mimic_base.limits`, `mimic_base.trust`); what
    follows a bare ``--`` is left alone. Naming code as ``module:Name`` is trusting its module.
    """
    rest: list[str] = []
    values: dict[str, list[str]] = {LIMIT_OPTION: [], TRUST_OPTION: []}
    words = list(arguments)
    while words:
        word = words.pop(0)
        if word == "--":
            rest += [word, *words]
            break
        option, equals, value = word.partition("=")
        if word in values:
            values[word].append(words.pop(0) if words else "")
        elif equals and option in values:
            values[option].append(value)
        else:
            rest.append(word)
    set_limits(values[LIMIT_OPTION])
    trusted = values[TRUST_OPTION]
    wrong = [each for each in trusted if not all(map(str.isidentifier, each.split(".")))]
    if wrong:
        raise UserError(
            f"{TRUST_OPTION}: a module is a name such as my_tasks (found {plain(wrong[0], 60)!r})"
        )
    consent([*trusted, *named_on_command_line(rest)], keep=True)
    return rest


def user_error_text(error: BaseException) -> str | None:
    """The one line to show for `error`, or None when it is not a user's mistake.

    It holds no control characters, and the middle of a very long one is left out.
    """
    if isinstance(error, UserError):
        text = str(error)
    elif isinstance(error, OSError) and error.strerror:
        name = error.filename if error.filename is not None else ""
        name = os.fsdecode(name) if isinstance(name, bytes) else name
        text = f"{name}: {error.strerror}" if name != "" else error.strerror
    elif isinstance(error, OSError):
        text = str(error)
    else:
        return None
    return plain(text, LONGEST_LINE) or type(error).__name__
