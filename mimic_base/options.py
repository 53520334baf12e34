"""Options of a command, read into a dataclass; every mistake in them is told in one line.

``tyro`` reads the options. What it refuses it tells in a frame of several lines and ends the
process; here that becomes an `InputError` with the option, the value found and what was expected,
so that a mistyped option looks like every other mistake of a user.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from mimic_base.errors import InputError

T = TypeVar("T")

WIDTH = 10_000
"""Columns of the frame that is taken apart: no line of it is broken."""
EXPECTED = {"INT": "a whole number", "FLOAT": "a number", "STR": "a text", "PATH": "a path"}
"""Words for the kinds of values that `tyro` writes in capitals."""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_PARSING = re.compile(r"Error parsing (.+?): (.*)", re.DOTALL)
_NO_TYPE = re.compile(r"no type matching (.+) could be instantiated from \[(.*)\]\.")
_NO_TUPLE = re.compile(r"Could not (?:parse|find valid parse for) arguments:? \[(.*?)\]")
_NO_NUMBER = re.compile(r"(?:invalid literal for (int)\(\)|could not convert string to float).*: ")
_CHOICE = re.compile(r"invalid choice (.+) for argument '(.+)'\. Expected one of \((.*?),?\)")
_NO_VALUE = re.compile(r"Missing value for argument '(.+)'\. Expected (\d+)")


def parse(
    kind: type[T],
    arguments: Sequence[str] | None,
    *,
    prog: str,
    description: str | None = None,
    default: T | None = None,
    renamed: Mapping[str, str] | None = None,
) -> T:
    """Options of the command line as an instance of a dataclass.

    Args:
        kind: the dataclass; each field is an option.
        arguments: words of the command line, by default the process's own.
        prog: how the command is called, for help and refusals.
        description: text of the help instead of the dataclass's own.
        default: values of what is not given.
        renamed: other spellings that are accepted and not listed, such as older ones: the option
            as it may be given -> as it is called now.

    Raises:
        InputError: an unknown option, a missing one, a value of the wrong kind, or one that the
            dataclass refuses.
        SystemExit: help was asked for and printed.
    """
    import tyro

    words = list(sys.argv[1:] if arguments is None else arguments)
    words, spelled = respelled(words, renamed or {})
    more: dict[str, Any] = {} if default is None else {"default": default}
    outside, told = sys.exc_info()[1], io.StringIO()
    refusal: SystemExit | ValueError
    helping = any(word in ("-h", "--help") for word in words)
    try:
        with contextlib.redirect_stderr(told), _columns(None if helping else WIDTH):
            found = tyro.cli(kind, args=words, prog=prog, description=description, **more)
    except SystemExit as leaving:
        if leaving.code in (None, 0):
            raise
        refusal = leaving
    except ValueError as error:
        # A version of tyro that lets the dataclass's own refusal through.
        refusal = error
    else:
        sys.stderr.write(told.getvalue())
        return found
    text = _refused_by_dataclass(refusal, outside, told.getvalue(), words)
    if text is None:
        text = f"{_in_one_line(told.getvalue(), prog)} (see '{prog} --help')"
    for name, first in spelled.items():
        text = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])", first, text)
    raise InputError(text) from refusal


def respelled(
    arguments: Sequence[str], names: Mapping[str, str]
) -> tuple[list[str], dict[str, str]]:
    """Arguments with the options' present names, and those names -> as they were given.

    ``--no-NAME`` is renamed as ``--NAME`` is. What follows ``--`` is left alone.
    """
    found, spelled = [], {}
    arguments = list(arguments)
    end = arguments.index("--") if "--" in arguments else len(arguments)
    for each in arguments[:end]:
        option, equals, value = each.partition("=")
        name = option.replace("_", "-")
        if option.startswith("--") and name in names:
            now = names[name]
        elif name.startswith("--no-") and f"--{name[5:]}" in names:
            group, dot, last = names[f"--{name[5:]}"][2:].rpartition(".")
            now = f"--{group}{dot}no-{last}"
        else:
            found.append(each)
            continue
        spelled[now] = option
        found.append(now + equals + value)
    return found + arguments[end:], spelled


def given(arguments: Sequence[str], option: str) -> str | None:
    """The value that an option has on the command line, before it is parsed; None where absent."""
    value = None
    for each, after in zip(arguments, [*arguments[1:], None], strict=True):
        if each == "--":
            break
        name, equals, rest = each.partition("=")
        if name.replace("_", "-") == option:
            value = rest if equals else after
    return value


@contextlib.contextmanager
def _columns(width: int | None) -> Iterator[None]:
    """A terminal of that width, or the real one."""
    before = os.environ.get("COLUMNS")
    if width is not None:
        os.environ["COLUMNS"] = str(width)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("COLUMNS", None)
        else:
            os.environ["COLUMNS"] = before


def _refused_by_dataclass(
    refusal: BaseException, outside: BaseException | None, told: str, words: Sequence[str]
) -> str | None:
    """The refusal of a dataclass's ``__post_init__``, with the option's name; else None."""
    chain: list[BaseException] = []
    error: BaseException | None = refusal
    while error is not None and error is not outside:
        chain.append(error)
        error = error.__context__
    # Where tyro could place it at one option, a value could not be read: its own text says more.
    placed = [getattr(each, "arg", None) for each in chain]
    if any(each is not None and not isinstance(each, str) for each in placed):
        return None
    found = next((each for each in reversed(chain) if isinstance(each, ValueError)), None)
    if found is None:
        return None
    text = " ".join(str(found).split())
    match = _PARSING.match(" ".join(_rows(told)))
    group = match[1] if match and match[1] in placed else ""
    return _named(text, group, words)


def _named(text: str, group: str, words: Sequence[str]) -> str:
    """A refusal with the option that it is about, where that is among the words.

    Args:
        text: the refusal; it may begin with the name of a field.
        group: dotted name of the group of options that the refused dataclass is; may be empty.
    """
    found = [word.partition("=")[0] for word in words if word.startswith("--")]
    options = list(dict.fromkeys(each.replace("_", "-") for each in found))
    # The group's own name is the field's, which an option may have another name for.
    first, dot, rest = group.replace("_", "-").partition(".")
    start = f"--{first.removesuffix('-config')}{dot}{rest}." if group else "--"
    options = [each for each in options if each.startswith(start)] or options
    name = re.split(r"[\s:,]", text, maxsplit=1)[0]
    for each in options:
        if re.split(r"^--|\.", each)[-1] == name.replace("_", "-"):
            return each + text[len(name) :]
    if not group:
        return text
    said = set(re.findall(r"[a-z-]+", text.lower().replace("_", "-")))
    about = [each for each in options if each.rpartition(".")[2] in said]
    if len(about or options) == 1:
        return f"{(about or options)[0]}: {text}"
    return f"{start.removesuffix('.')}: {text}"


def _rows(told: str) -> list[str]:
    """Lines of a frame without the frame; a line across it is empty."""
    rows = []
    for line in _COLOUR.sub("", told).splitlines():
        if line[:1] in "╭╰+" and line[:1]:
            continue
        row = re.sub(r"^[│|] ?| ?[│|]$", "", line).rstrip()
        rows.append("" if re.fullmatch(r"[─-]*", row) else row)
    return rows


def _in_one_line(told: str, prog: str) -> str:
    """What tyro tells in a frame, in one line: the option, what was found, what is expected."""
    rows = _rows(told)
    across = rows.index("") if "" in rows else len(rows)
    first = " ".join(" ".join(rows[:across]).split())
    if rows and rows[0].startswith("Missing from "):
        return f"{prog}: {_missing(rows)}"
    if rows and rows[0].startswith("Unrecognized options: "):
        return f"{prog}: {_unknown(rows)}"
    if match := _CHOICE.match(first):
        # They may come in any order.
        choices = sorted(each.strip(" '\"") for each in match[3].split(","))
        return f"{match[2]}: found {match[1]}, expected {_listed(_none_last(choices))}"
    if match := _NO_VALUE.match(first):
        count = int(match[2])
        values = "a value" if count == 1 else f"{count} values"
        return f"{prog}: {match[1]} wants {values}, and fewer are given"
    if match := _PARSING.match(first):
        name, text = match.groups()
        if kinds := _NO_TYPE.match(text):
            return f"{name}: found {kinds[2]}, expected {_kinds(kinds[1])}"
        if values := _NO_TUPLE.match(text):
            # What is expected stands where the option is explained, as INT INT or [INT [INT ...]].
            wanted = next((row for row in rows if row.strip().startswith(f"{name} ")), "")
            kind = next((each for each in ("INT", "FLOAT") if each in wanted), "")
            many = EXPECTED[kind].removeprefix("a ") + "s" if kind else "other values"
            count = "" if "..." in wanted or not kind else f"{wanted.count(kind)} "
            return f"{name}: found {values[1]}, expected {count}{many}"
        if number := _NO_NUMBER.match(text):
            value = re.match(r"'[^']*'|\S+", text[number.end() :])
            expected = EXPECTED["INT" if number[1] else "FLOAT"]
            return f"{name}: found {value[0] if value else text}, expected {expected}"
    # Another text, or that of another version: what stands before the first line across.
    return f"{prog}: {first.removesuffix('.') or 'these options cannot be used'}"


def _missing(rows: Sequence[str]) -> str:
    across = rows.index("") if "" in rows else len(rows)
    parts = []
    for row, below in zip(rows[:across], [*rows[1:across], ""], strict=True):
        if not re.match(r" {4}\S", row):
            continue
        about = re.split(r"[.;](?:\s|$)|\s*\(required\)", below.strip(), maxsplit=1)[0]
        parts.append(row.strip() + (f" ({about})" if about else ""))
    return f"missing {', '.join(parts)}"


def _unknown(rows: Sequence[str]) -> str:
    tokens = rows[0].partition(": ")[2].split(", ")
    options = [each for each in tokens if each.startswith("-") and len(each) > 1]
    if not options:
        return f"unexpected argument '{tokens[0]}'"
    near = next((row.split()[0] for row in rows if re.match(r" {4}--\S", row)), None)
    hint = f"; did you mean '{near.rstrip(',')}'?" if near else ""
    return f"unknown option '{options[0]}'{hint}"


def _kinds(text: str) -> str:
    """``{None}|INT`` in words."""
    found = []
    for each in text.split("|"):
        if each.startswith("{") and each.endswith("}"):
            found += each[1:-1].split(",")
        else:
            found.append(EXPECTED.get(each, each))
    return _listed(_none_last(found))


def _none_last(names: Sequence[str]) -> list[str]:
    return sorted(names, key="None".__eq__)


def _listed(names: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
