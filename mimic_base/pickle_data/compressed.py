"""Pickles that joblib compressed, unpacked within limits."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from mimic_base.errors import input_error
from mimic_base.limits import check_growth

_PIECE = 1 << 24
"""Bytes that are unpacked at a time."""
_XZ_MEMORY = 256 << 20
"""Memory that a stream may ask of the unpacker of xz."""
_MAGIC = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bz2"),
    (b"\xfd7zXZ", "xz"),
    (b"]\x00\x00", "lzma"),
    (b"\x04\x22\x4d\x18", "lz4"),
)


def compression(data: bytes) -> str | None:
    """By which method the file is compressed; None for a pickle as it is."""
    if data[:1] == b"\x78" and len(data) > 1 and int.from_bytes(data[:2], "big") % 31 == 0:
        return "zlib"
    return next((name for magic, name in _MAGIC if data.startswith(magic)), None)


def uncompressed(path: Path, data: bytes) -> bytes:
    """The pickle in a file of joblib (zlib, gzip, bz2, xz or lzma); other files as they are.

    It is unpacked piece by piece and refused as soon as it is larger than the limits allow.
    """
    method = compression(data)
    if method is None:
        return data
    if method not in _UNPACK:
        raise input_error(
            path,
            f"a file compressed by {method} is not read",
            expected=f"{', '.join(_UNPACK)} or none",
            fix="save it again: joblib.dump(data, file, compress=False)",
        )
    parts: list[bytes] = []
    total = 0
    for part in _UNPACK[method](data):
        total += len(part)
        check_growth(path, total, len(data), "the pickle's content")
        parts.append(part)
    return b"".join(parts)


def _zlib(data: bytes) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)  # zlib or gzip, as its head says
    while not unpacker.eof:
        part = unpacker.decompress(data, _PIECE)
        data = unpacker.unconsumed_tail
        if not part and not data and not unpacker.eof:
            raise EOFError("the compressed content breaks off")
        yield part


def _bz2(data: bytes) -> Iterator[bytes]:
    yield from _pieces(bz2.BZ2Decompressor(), data)


def _lzma(data: bytes) -> Iterator[bytes]:
    yield from _pieces(lzma.LZMADecompressor(memlimit=_XZ_MEMORY), data)


def _pieces(unpacker: bz2.BZ2Decompressor | lzma.LZMADecompressor, data: bytes) -> Iterator[bytes]:
    while not unpacker.eof:
        part = unpacker.decompress(data, _PIECE)
        data = b""
        if not part and unpacker.needs_input:
            raise EOFError("the compressed content breaks off")
        yield part


_UNPACK: dict[str, Callable[[bytes], Iterator[bytes]]] = {
    "zlib": _zlib, "gzip": _zlib, "bz2": _bz2, "xz": _lzma, "lzma": _lzma,
}  # fmt: skip
