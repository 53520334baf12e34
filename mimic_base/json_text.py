"""JSON and TOML of others: values within limits, or one line."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

from mimic_base.errors import InputError, input_error
from mimic_base.limits import check_limit, limit, over_limit
from mimic_base.text_files import decoded

_LONG_NUMBER = re.compile(r"[0-9]{19}")
_HALF_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]")
_INT_BITS = 64
_LEAVES = frozenset((int, float, str, bool, type(None)))


def parse_json(
    where: Path | str, text: str | bytes, *, nan: bool = False, rule: str = "not valid JSON"
) -> Any:
    """The value of a JSON text.

    Args:
        where: the file, or the file and the place in it, for errors.
        text: of any usual encoding.
        nan: whether the words NaN and Infinity are numbers, which JSON does not have.
        rule: what to say of a text that is no JSON.

    Raises `InputError` for what is no JSON, is nested deeper than the limit ``depth``, has more
    values than ``items``, or holds a whole number of more than 64 bits or half a character.
    """

    def no_number(name: str) -> float:
        raise ValueError(f"{name} is no number of JSON")

    def whole(digits: str) -> int:
        if len(digits) > 21 or int(digits).bit_length() > _INT_BITS:
            raise ValueError(f"a whole number of {len(digits)} digits")
        return int(digits)

    try:
        if isinstance(text, bytes):
            text = decoded(where, text)
        options: dict[str, Any] = {} if nan else {"parse_constant": no_number}
        if _LONG_NUMBER.search(text):
            options["parse_int"] = whole
        value = json.loads(text, **options)
        if _HALF_CHARACTER.search(text):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError as error:
        raise over_limit(where, "depth", None, "the nesting of this JSON") from error
    except InputError:
        raise
    except UnicodeEncodeError as error:
        raise input_error(where, f"{rule}: a text holds half a character") from error
    except ValueError as error:
        raise input_error(where, f"{rule}: {str(error)[:160]}") from error
    check_nesting(where, value, text.count("[") + text.count("{"))
    return value


def parse_toml(
    where: Path | str, text: str | bytes, *, rule: str = "not valid TOML"
) -> dict[str, Any]:
    """The tables of a TOML text, within the same limits as JSON."""
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        value = tomllib.loads(text)
    except RecursionError as error:
        raise over_limit(where, "depth", None, "the nesting of this TOML") from error
    except ValueError as error:
        raise input_error(where, f"{rule}: {str(error)[:160]}") from error
    check_nesting(where, value, text.count("[") + text.count("{") + text.count("."))
    return value


def check_nesting(where: Path | str, value: Any, brackets: int | None = None) -> None:
    """Refuse a tree of lists and dictionaries that is too deep or has too many values.

    Args:
        brackets: how many lists and dictionaries there are at most, where that is known: few
            enough cannot be too deep.
    """
    deepest = limit("depth")
    if brackets is not None and brackets <= deepest:
        return
    level: list[Any] = [value]
    count, depth = 0, 0
    while level:
        containers = [v for v in level if isinstance(v, dict | list | tuple)]
        depth += bool(containers)
        if depth > deepest:
            raise over_limit(where, "depth", None, "the nesting of the file")
        level = []
        for each in containers:
            values = each.values() if isinstance(each, dict) else each
            count += len(values)
            # Rows of plain numbers are most of a large file: no need to look at each number.
            if not _LEAVES.issuperset(map(type, values)):
                level += values
        check_limit(where, "items", count, "the number of values")
