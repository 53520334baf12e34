"""Zip archives of others, read within limits: nothing unpacks to more than it says or may."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from mimic_base.errors import InputError, input_error
from mimic_base.limits import check_growth, check_limit, limit, over_limit
from mimic_base.reading import opened

ZIP_MAGIC = b"PK\x03\x04"
AGAIN = "export or download the file again"
_END = b"PK\x05\x06"
_ENTRY_BYTES = 46
"""Least size of an entry of a zip archive's table of contents."""
_MARKS = 8
"""Marks of an end that are looked at: a record has room for five inside."""
_AT_ONCE = 16 << 20
"""Bytes of an archive that is read as a whole before its members are."""
_ENCRYPTED = 0x1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@contextmanager
def checked_archive(
    path: Path, data: bytes | None = None, *, what: str = "archive"
) -> Iterator[zipfile.ZipFile]:
    """A zip archive whose number of members, sizes and growth are within the limits.

    Args:
        path: the file. data: its content, where it has been read already.
        what: what the file should be, for errors.

    Encrypted members, names that occur twice and methods other than "stored" and "deflated" are
    refused (`InputError`), and so is whatever the block finds damaged.
    """
    size = 0
    try:
        with contextlib.ExitStack() as stack:
            source: BinaryIO
            if data is None:
                source = stack.enter_context(opened(path))
                size = os.fstat(source.fileno()).st_size
                check_limit(path, "bytes", size, "the size of the file")
                # What is small is read at once: its members are then found without the disk.
                if size <= _AT_ONCE:
                    source = io.BytesIO(source.read(size))
            else:
                source, size = io.BytesIO(data), len(data)
            source.seek(max(0, size - (1 << 16) - 22))
            _check_contents_size(path, source.read(), size)
            archive = stack.enter_context(zipfile.ZipFile(source))
            _check_contents(path, archive.infolist(), size)
            yield archive
    except (InputError, FileNotFoundError, PermissionError):
        raise
    except Exception as error:
        # zipfile and zlib raise nearly anything on a damaged archive (BadZipFile, zlib.error,
        # EOFError, OSError, struct.error, OverflowError, NotImplementedError, ValueError).
        raise _unreadable(path, what, size, error) from error


def read_members(
    path: Path,
    data: bytes,
    wanted: Callable[[str], bool] = lambda _: True,
    *,
    what: str = "archive",
) -> dict[str, bytes]:
    """The wanted members of a zip archive by name, see `checked_archive`.

    Args:
        wanted: whether a member of that name is read; the others are not unpacked.

    A member never yields more than the table of contents says, and its checksum is verified.
    """
    with checked_archive(path, data, what=what) as archive:
        infos = archive.infolist()
        return {i.filename: _member(archive, i) for i in infos if wanted(i.filename)}


def read_member(path: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    """One member of an open archive within the limits of size and growth.

    Args:
        path: the file, for errors.

    Raises `KeyError` where there is none, `InputError` where it is too large, and what `zipfile`
    raises on a damaged one.
    """
    info = archive.getinfo(name)
    if info.flag_bits & _ENCRYPTED or info.compress_type not in _METHODS:
        raise input_error(
            path, f"{name[:80]} is encrypted or packed by an unknown method", fix=AGAIN
        )
    what = f"the content of {name[:80]}"
    check_growth(path, info.file_size, info.compress_size, what)
    return _member(archive, info)


@contextmanager
def open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """A zip archive on disk, opened when its table of contents is of a sensible size; members are
    read with `read_member`. Raises what `zipfile` raises on a damaged one."""
    with opened(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        stream.seek(max(0, size - (1 << 16) - 22))
        _check_contents_size(path, stream.read(), size)
        with zipfile.ZipFile(stream) as archive:
            yield archive


def check_archive(path: Path, *, what: str = "archive") -> None:
    """Hold the contents of a zip archive on disk against the limits, before another reader unpacks
    it (`InputError`)."""
    size = path.stat().st_size
    check_limit(path, "bytes", size, "the size of the file")
    try:
        with opened(path) as stream:
            if stream.read(len(ZIP_MAGIC)) != ZIP_MAGIC:
                # Another reader may take what stands before the archive for the file.
                raise ValueError("it does not begin as an archive does")
            stream.seek(max(0, size - (1 << 16) - 22))
            _check_contents_size(path, stream.read(), size)
        with zipfile.ZipFile(path) as archive:
            _check_contents(path, archive.infolist(), size)
    except (InputError, FileNotFoundError, PermissionError):
        raise
    except Exception as error:
        raise _unreadable(path, what, size, error) from error


def _unreadable(path: Path, what: str, size: int, error: Exception) -> InputError:
    return input_error(
        path,
        f"not a readable {what} (is it truncated?)",
        found=f"{size} bytes, {str(error)[:200] or type(error).__name__}",
        fix=AGAIN,
    )


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    with archive.open(info) as stream:
        # With a size, zipfile never unpacks more than that; without one, all that there is.
        data = stream.read(info.file_size)
    if len(data) != info.file_size:
        raise EOFError(f"{info.filename} breaks off after {len(data)} of {info.file_size} bytes")
    return data


def _check_contents_size(path: Path, end: bytes, whole: int) -> None:
    """Refuse a table of contents that alone would take minutes to read.

    Args:
        end: the last 65,557 bytes of the file. whole: how many it has.
    """
    # The last mark may stand inside the record itself, so that each of the last few counts.
    size, at = 0, len(end)
    for _ in range(_MARKS):
        at = end.rfind(_END, 0, at)
        if at < 0:
            break  # zipfile tells it
        if at + 22 <= len(end):
            size = max(size, struct.unpack_from("<I", end, at + 12)[0])
    # Beyond 4 GiB the true size stands elsewhere; it cannot be more than the file.
    entries = min(size, whole) // _ENTRY_BYTES
    # Names make entries longer than the least: only an absurd size is told here.
    if entries > 10 * limit("members"):
        raise over_limit(path, "members", entries, "the number of members of the archive")


def _check_contents(path: Path, infos: list[zipfile.ZipInfo], size: int) -> None:
    check_limit(path, "members", len(infos), "the number of members of the archive")
    names: set[str] = set()
    total = 0
    for info in infos:
        name = info.filename[:80]
        if info.flag_bits & _ENCRYPTED:
            raise input_error(
                path, "the archive is encrypted", found=f"member {name}", fix="save it unencrypted"
            )
        if info.compress_type not in _METHODS:
            raise input_error(
                path,
                "the archive is packed by an unknown method",
                found=f"method {info.compress_type} for {name}",
                expected="stored or deflated",
                fix="pack it again as an ordinary zip",
            )
        if info.filename in names:
            raise input_error(path, "two members of the archive have one name", found=name)
        names.add(info.filename)
        total += info.file_size
    check_growth(path, total, size, "the archive's content")
