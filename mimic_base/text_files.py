"""The one door for text that others wrote: byte order marks, UTF-16 and the older encodings.

A file says nothing of its encoding, so it is told by its bytes: a mark at the beginning, zeros at
every other place (UTF-16 without a mark), valid UTF-8, and for what is left the older encodings of
motion capture, Shift-JIS, GBK and Windows-1252, by the characters that each of them would give.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from mimic_base.errors import input_error

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LOOKED_AT = 1 << 20
"""Bytes by which an encoding is told; what follows is of the same."""
_ALONE = re.compile(rb"(?<![\x80-\xff])[\x80-\xff](?![\x80-\xff])")
_HIGH = re.compile(rb"[\x80-\xff]")


def decoded(path: Path | str, data: bytes) -> str:
    """`data` as text, without a byte order mark; `InputError` where it is binary."""
    encoding = encoding_of(path, data)
    # A byte that no encoding knows does not make the numbers beside it unreadable.
    return data.decode(encoding, errors="replace")


def encoding_of(path: Path | str, data: bytes) -> str:
    """Name of the encoding of a text, as `bytes.decode` and `open` take it.

    Args:
        path: the file, for the error where this is no text.
        data: the file or its beginning.
    """
    for mark, name in _MARKS:
        if data.startswith(mark):
            return name
    head = data[:_LOOKED_AT]
    if b"\0" in head[:4096]:
        first = head[:4096]
        even, odd = (part.count(0) / max(1, len(part)) for part in (first[::2], first[1::2]))
        if odd > 0.8 and even < 0.1:
            return "utf-16-le"
        if even > 0.8 and odd < 0.1:
            return "utf-16-be"
        raise input_error(path, "a text file is expected, this one is binary")
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(head)  # a character that is cut off at the end is let pass
        return "utf-8"
    except UnicodeDecodeError:
        return _older(head)


def _older(head: bytes) -> str:
    """Which of the encodings before Unicode gives letters that stand beside each other."""
    if len(_ALONE.findall(head)) == len(_HIGH.findall(head)) and _readable(head, "cp1252"):
        # Single letters between plain ones: "Hüfte". Kana and Chinese come in pairs of bytes,
        # whose second may be a plain one, so those are asked first where they make sense.
        text = _text(head, "cp932")
        if text is None or not _is_east_asian(text):
            return "cp1252"
    for name in ("cp932", "gbk"):
        text = _text(head, name)
        if text is not None and _is_east_asian(text):
            return name
    return "cp1252" if _readable(head, "cp1252") else "latin-1"


def _text(head: bytes, name: str) -> str | None:
    """The text in an encoding; None where it is none. A character cut off at the end is left."""
    try:
        return codecs.getincrementaldecoder(name)().decode(head)
    except UnicodeDecodeError:
        return None


def _readable(head: bytes, name: str) -> bool:
    text = _text(head, name)
    return text is not None and all(c.isalnum() for c in text if ord(c) > 0xA0)


def _is_east_asian(text: str) -> bool:
    """Whether what is not ASCII is kana, Chinese characters and full-width letters.

    Half-width katakana and characters for private use come out where bytes of another encoding are
    taken for Shift-JIS.
    """
    foreign = [c for c in text if ord(c) >= 0x80]
    good = sum(
        0x3000 <= ord(c) <= 0x30FF or 0x4E00 <= ord(c) <= 0x9FFF or 0xFF01 <= ord(c) <= 0xFF5E
        for c in foreign
    )
    return bool(foreign) and good >= 0.9 * len(foreign)
