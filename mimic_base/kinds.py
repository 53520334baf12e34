"""What a file is, by how it begins: for the line that refuses it where another kind belongs."""

from __future__ import annotations

import string
from pathlib import Path

from mimic_base.errors import MimicError
from mimic_base.text import LONGEST_NAME

START = 4096
"""Bytes that `kind_of` looks at."""
_ZIP = b"PK\x03\x04"
_NAME_AT = 30
"""Where a member's name begins in its head; its length stands four bytes before."""
_MAGIC = (
    (b"\x93NUMPY", "a NumPy array (.npy)"),
    (b"Kaydara FBX Binary", "an FBX scene"),
    (b"HIERARCHY", "a BVH clip"),
    (b"\x1f\x8b", "a gzip file"),
    (b"\x89PNG", "a picture (PNG)"),
    (b"GIF8", "a picture (GIF)"),
    (b"\xff\xd8\xff", "a picture (JPEG)"),
    (b"%PDF", "a PDF"),
)
_TEXT = frozenset(string.printable.encode())


def kind_of(start: bytes) -> str | None:
    """The kind of a file in words; None where its first bytes do not tell.

    Args:
        start: its first `START` bytes, or all of it.
    """
    start = start[:START]
    if not start:
        return "an empty file"
    if start.startswith(_ZIP):
        return _kind_of_archive(start)
    found = next((kind for magic, kind in _MAGIC if start.startswith(magic)), None)
    if found is not None:
        return found
    # A protocol buffer: field 1, a small number (the version), then field 2, a text (the producer).
    if len(start) > 3 and start[0] == 0x08 and start[1] < 100 and start[2] == 0x12:
        return "an ONNX network"
    if len(start) > 1 and start[0] == 0x80 and 2 <= start[1] <= 5:
        return "a pickle"
    if not _TEXT.issuperset(start):
        return None
    first = start.lstrip()[:1]
    return {b"{": "a JSON text", b"<": "an XML text"}.get(first, "a text")


def _kind_of_archive(start: bytes) -> str:
    length = int.from_bytes(start[_NAME_AT - 4 : _NAME_AT - 2], "little")
    name = start[_NAME_AT : _NAME_AT + min(length, LONGEST_NAME)]
    if name.endswith(b".npy"):
        return "a NumPy archive (.npz), such as motions are"
    if b"/data.pkl" in start or b"/.format_version" in start or b"/byteorder" in start:
        return "a PyTorch archive (.pt), such as checkpoints are"
    return "a zip archive"


def refuse_other_kind(path: Path, start: bytes, right: str, what: str, fix: str) -> None:
    """Raise `MimicError`, one line, for a file that surely is of another kind than the right one.

    Args:
        start: its first bytes.
        right: a part of what `kind_of` says of the right kind, such as "PyTorch".
        what: what the file should be. fix: what to give instead.
    """
    found = kind_of(start)
    if found is not None and right not in found:
        raise MimicError(f"{path}: not a readable {what}: it is {found}; {fix}")
