"""Files: written so that a reader never sees half of one, and archives of arrays read safely."""

from __future__ import annotations

import errno
import io
import os
import secrets
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mimic_base.errors import InputError, input_error

_SAMPLE = 1 << 16
"""Bytes by which an array is judged."""
_HEADERS = threading.Lock()
"""Held while the header of an array is read. numpy parses it as a Python literal, and CPython 3.11
fails with a SystemError ("AST constructor recursion depth mismatch") where two threads parse."""
_REASONS = {
    errno.ENOENT: "the directory does not exist and cannot be made",
    errno.EACCES: "the directory is not writable",
    errno.EPERM: "the directory is not writable",
    errno.EROFS: "the file system is read-only",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.ENOTDIR: "a part of the path is a file, not a directory",
    errno.EEXIST: "a part of the path is a file, not a directory",
    errno.EISDIR: "the path is a directory",
    errno.ENAMETOOLONG: "the file name is too long",
}


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Give a temporary path beside `path`; it becomes `path` when the block ends well.

    Missing parent directories are made. The data are on disk before the rename (fsync), the
    temporary file is removed when the block raises, and a directory that cannot be written or a
    full disk raises an `InputError` naming the path.
    """
    path = Path(path)
    # The suffix is kept: writers such as numpy and ffmpeg choose the format by it.
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.tmp{path.suffix}")
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        # Asked for here, so that a long computation is not started for a place that cannot take it.
        temporary.touch(exist_ok=False)
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        refusal = _write_error(path, error)
        if refusal is None:
            raise
        raise refusal from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def check_writable(path: Path | str) -> None:
    """Raise an `InputError` where `atomic_path` would; for asking before a long computation.

    Nothing is made, and a file that is there already stays as it is.
    """
    path = Path(path)
    if not path.parent.is_dir():
        _try_folder(path.parent, path)
        return
    with suppress(_Enough), atomic_path(path):
        raise _Enough


def check_folder_writable(folder: Path | str) -> None:
    """Raise an `InputError` where files cannot be written into `folder`, or where it is missing and
    cannot be made. It is not made: a command that then refuses its input leaves nothing behind."""
    _try_folder(Path(folder), Path(folder))


def _try_folder(folder: Path, path: Path) -> None:
    there = folder
    while not os.path.lexists(there) and there != there.parent:
        there = there.parent
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        refusal = _write_error(path, error)
        if refusal is None:
            raise
        raise refusal from error


class _Enough(Exception):
    """Leaves `atomic_path` before it has written anything."""


def _write_error(path: Path, error: OSError) -> InputError | None:
    reason = _REASONS.get(error.errno or 0)
    if reason is None:
        return None
    return input_error(
        path, f"cannot write: {reason}", fix="choose another output path or make room there"
    )


def atomic_write_bytes(path: Path | str, data: bytes) -> None:
    """Write `data` to `path`, all of it or nothing."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def atomic_write_text(path: Path | str, text: str) -> None:
    """Write `text` (UTF-8, newlines as given) to `path`, all of it or nothing."""
    atomic_write_bytes(path, text.encode("utf-8"))


def save_npz(path: Path | str, **arrays: ArrayLike) -> None:
    """Write an ``.npz`` in one piece; object arrays (pickles) are refused.

    Arrays are compressed where that makes them at least a fifth smaller: trajectories hardly are,
    and compressing them would take as long as a tenth of what computes them.
    """
    plain = {name: np.asarray(value) for name, value in arrays.items()}
    for name, value in plain.items():
        if value.dtype.hasobject:
            raise TypeError(f"array {name!r} holds Python objects; only plain arrays are written")
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, value in plain.items():
            entry = zipfile.ZipInfo(f"{name}.npy")
            if _shrinks(value):
                entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, value, allow_pickle=False)


def _shrinks(value: NDArray[Any]) -> bool:
    """Whether a stretch from the middle of an array can be made a fifth smaller."""
    if value.nbytes <= _SAMPLE:
        sample = value.tobytes()
    else:
        count = max(1, _SAMPLE // value.itemsize)
        first = (value.size - count) // 2
        sample = np.ascontiguousarray(value.reshape(-1)[first : first + count]).tobytes()
    return len(zlib.compress(sample, 1)) < 0.8 * len(sample)


def _member(archive: np.lib.npyio.NpzFile, key: str) -> Any:
    """An array of an archive; several threads may read archives at the same time."""
    names = archive.zip.namelist() if archive.zip is not None else []
    name = f"{key}.npy"
    if archive.zip is None or name not in names:
        return archive[key]
    # Unpacking is the long part, and needs no lock.
    data = archive.zip.read(name)
    with _HEADERS:
        return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)


def load_npz(
    path: Path | str,
    *,
    what: str = ".npz",
    missing: str | None = None,
    fix: str = "copy or export it again; numbers and texts only, no Python objects",
) -> dict[str, NDArray[Any]]:
    """All arrays of an ``.npz`` by name; no pickle in it is ever run.

    Args:
        what: what the file should be, for the error. missing: what mends an absent file.
        fix: what mends a damaged one.

    Raises `InputError` when the file is absent, empty, a directory, damaged, no archive, or holds
    Python objects.
    """
    path = Path(path)
    if path.is_dir():
        raise input_error(path, "a motion file is expected, not a directory")
    if not path.exists():
        raise input_error(path, "no such file", fix=missing)
    if path.stat().st_size == 0:
        raise input_error(path, "the file is empty", fix=fix)
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise input_error(path, "a .npz archive is expected, not a single array", fix=fix)
        with archive:
            return {key: _member(archive, key) for key in archive.files}
    except InputError:
        raise
    except PermissionError:
        raise  # the command line tells it as it is
    except (
        ValueError, EOFError, KeyError, OSError, SyntaxError, MemoryError, OverflowError,
        NotImplementedError, zipfile.BadZipFile, zlib.error,
    ) as error:  # fmt: skip
        reason = " ".join(str(error).split()) or type(error).__name__
        if "pickle" in reason.lower():
            # numpy says the same of any file that is no archive at all.
            reason = "it holds pickled objects or is no .npz archive"
        raise input_error(path, f"not a readable {what}: {reason}", fix=fix) from error
