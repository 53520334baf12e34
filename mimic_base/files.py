"""Files: written so that a reader never sees half of one.

While a file is written it has a temporary name beside its own, ``.NAME.mimic~OWNER~N.part``:
hidden, with an ending that no reader takes for a motion, and with the process that writes it
(`mimic_base.owner`). Who next writes into that folder removes what dead processes left there.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
import shutil
import stat
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mimic_base.errors import InputError, input_error
from mimic_base.owner import TOKEN, owner, owner_of

_SAMPLE = 1 << 16
"""Bytes by which an array is judged."""
_REASONS = {
    errno.ENOENT: "the directory does not exist and cannot be made",
    errno.EACCES: "the directory is not writable",
    errno.EPERM: "the directory is not writable",
    errno.EROFS: "the file system is read-only",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would be larger than is allowed (ulimit -f, or the file system's limit)",
    errno.EIO: "the disk fails (input/output error)",
    errno.ESTALE: "the network file system has lost the directory",
    errno.ENOTDIR: "a part of the path is a file, not a directory",
    errno.EEXIST: "a part of the path is a file, not a directory",
    errno.EISDIR: "the path is a directory",
    errno.ENAMETOOLONG: "the file name is too long",
    errno.EINVAL: "the file system does not take this name",
    errno.ELOOP: "the path leads in a circle",
    errno.EMFILE: "too many files are open (ulimit -n)",
    errno.ENFILE: "too many files are open on this machine",
}
_GONE = "the directory disappeared while the file was written"
_NAMED_ONLY = (errno.ENOENT, errno.EINVAL, errno.EISDIR, errno.ENOTDIR, errno.EEXIST)
"""Errors that say nothing of a file unless they name it."""
TEMPORARY = re.compile(rf"\..*\.mimic~(?P<owner>{TOKEN.pattern})~\d+\.part", re.DOTALL)
"""Temporary names; `temporary_path` makes them."""
_EARLIER = re.compile(
    r"\..+\.[0-9a-f]{8}\.tmp(\.[^.]*)?|\.last\.pt\.tmp|\..+\.(toml|png)\.partial", re.DOTALL
)
"""Temporary names of earlier versions, which did not say whose they are."""
_ELSEWHERE_S = 24 * 3600.0
"""A file untouched for so long is left over, though its owner cannot be looked for from here."""
_EARLIER_S = 3600.0
"""The same of files that name no owner."""
_number = itertools.count()
_swept: set[tuple[int, str]] = set()


def temporary_path(path: Path) -> Path:
    """A new temporary name beside `path`, with this process in it; never too long."""
    # Other names of the folder may be as long as they can be; this one says enough with its start.
    start = path.name.encode()[:40].decode(errors="ignore")
    return path.with_name(f".{start}.mimic~{owner().token}~{next(_number)}.part")


def is_temporary(name: str) -> bool:
    """Whether a file of this name is one that a writer of this program has not finished."""
    return bool(name.startswith(".") and (TEMPORARY.fullmatch(name) or _EARLIER.fullmatch(name)))


def is_hidden(path: Path, below: Path | None = None) -> bool:
    """Whether a path, or a folder on the way to it from `below`, is hidden: no reader takes it."""
    parts = (path.name,) if below is None else path.relative_to(below).parts
    return any(part.startswith(".") for part in parts)


def is_left_over(path: Path) -> bool:
    """Whether a file is temporary and nobody will finish it.

    That is so when its owner has ended. Where that cannot be seen (another machine, a container),
    it is when nothing was written for a day; where no owner is named (earlier versions), an hour.
    """
    found = TEMPORARY.fullmatch(path.name)
    if found is None and not _EARLIER.fullmatch(path.name):
        return False
    patience = _EARLIER_S
    if found is not None:
        whose = owner_of(found["owner"])
        alive = None if whose is None else whose.alive()
        if alive is not None:
            return not alive
        patience = _ELSEWHERE_S
    try:
        return time.time() - path.lstat().st_mtime > patience
    except OSError:
        return False


def sweep(folder: Path, *, again: bool = False) -> list[Path]:
    """Remove what dead writers left in a folder; the files that are gone.

    A process looks once into each folder, unless `again` is asked for: what was left before it
    began is gone then. A folder that cannot be read is left as it is.
    """
    known = (os.getpid(), os.path.abspath(folder))
    if known in _swept and not again:
        return []
    _swept.add(known)
    gone = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            path = Path(entry.path)
            if entry.name.startswith(".") and is_left_over(path):
                with suppress(OSError):
                    path.unlink()
                    gone.append(path)
    return gone


def sweep_below(folder: Path) -> list[Path]:
    """`sweep` of a folder and of all folders below it."""
    return [path for each, _, _ in os.walk(folder) for path in sweep(Path(each), again=True)]


def make_temporary_folder(title: str) -> Path:
    """A new folder among the system's temporary ones, for this user alone; who makes it removes it.

    Folders of this `title` whose process has ended without doing so are removed first.
    """
    place = Path(tempfile.gettempdir())
    left = re.compile(rf"{re.escape(title)}~(?P<owner>{TOKEN.pattern})~\w+")
    with suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            found = left.fullmatch(entry.name)
            whose = None if found is None else owner_of(found["owner"])
            if whose is not None and whose.alive() is False:
                with suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        shutil.rmtree(entry.path)
    return Path(tempfile.mkdtemp(prefix=f"{title}~{owner().token}~"))


@contextmanager
def temporary_folder(title: str) -> Iterator[Path]:
    """`make_temporary_folder` for the length of a block."""
    folder = make_temporary_folder(title)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def atomic_path(path: Path | str, *, durable: bool = True) -> Iterator[Path]:
    """Give a temporary path beside `path`; it becomes `path` when the block ends well.

    Missing parent directories are made. The data are on disk before the rename (fsync, unless
    `durable` is false), the temporary file is removed when the block raises, and a directory that
    cannot be written or a full disk raises an `InputError` naming the path. The temporary name does
    not end as `path` does: writers that choose a format by the name have to be told it. What stands
    at `path` and is no file (``/dev/stdout``, a pipe) is written into, not replaced.
    """
    path = Path(path)
    device = _is_device(path)
    temporary = temporary_path(Path(tempfile.gettempdir(), path.name) if device else path)
    made = False
    try:
        if _mode(path) is not None and path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(temporary.parent)
        # Asked for here, so that a long computation is not started for a place that cannot take it.
        temporary.touch(exist_ok=False)
        made = True
        yield temporary
        if device:
            with temporary.open("rb") as source, path.open("wb") as target:
                shutil.copyfileobj(source, target)
            return
        if durable:
            with temporary.open("rb+") as stream:
                os.fsync(stream.fileno())
        os.replace(temporary, path)
        if durable:
            _sync_folder(path.parent)
    except OSError as error:
        refusal = _write_error(path, error, temporary, made=made)
        if refusal is None:
            raise
        raise refusal from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _mode(path: Path) -> int | None:
    """What stands at a path; None for nothing. A name too long is an error already here."""
    try:
        return path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_device(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _sync_folder(folder: Path) -> None:
    """Have the new name on disk too, where folders can be synchronised."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def append_line(path: Path | str, line: str) -> None:
    """Add a line to a file of lines, whole or not at all; half a line at its end is cut off.

    Its folder is not made: one that is gone has been taken away.

    Raises:
        InputError: it cannot be written.
    """
    path = Path(path)
    try:
        with path.open("ab+") as stream:
            end = _end_of_lines(stream)
            stream.truncate(end)
            try:
                stream.write(line.encode("utf-8") + b"\n")
                stream.flush()
            except OSError:
                with suppress(OSError):
                    os.ftruncate(stream.fileno(), end)
                raise
    except OSError as error:
        refusal = _write_error(path, error, path)
        if refusal is None:
            raise
        raise refusal from error


def _end_of_lines(stream: Any) -> int:
    """Where the last whole line of a file ends: a killed process may have left half of another."""
    size = stream.seek(0, os.SEEK_END)
    where = size
    while where > 0:
        start = max(0, where - _SAMPLE)
        stream.seek(start)
        found = stream.read(where - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        where = start
    return 0


def check_writable(path: Path | str) -> None:
    """Raise an `InputError` where `atomic_path` would; for asking before a long computation.

    Nothing is made, and a file that is there already stays as it is.
    """
    path = Path(path)
    if not path.parent.is_dir():
        _try_folder(path.parent, path)
        return
    if _is_device(path):
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
        _mode(path)
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        refusal = _write_error(path, error)
        if refusal is None:
            raise
        raise refusal from error


class _Enough(Exception):
    """Leaves `atomic_path` before it has written anything."""


def _write_error(
    path: Path, error: OSError, temporary: Path | None = None, *, made: bool = False
) -> InputError | None:
    """The line about a file that could not be written; None for an error of something else.

    Args:
        temporary: its name for now; with it, errors that name other files are something else.
    """
    reason = _REASONS.get(error.errno or 0)
    named = [os.fsdecode(name) for name in (error.filename, error.filename2)
             if isinstance(name, str | bytes | os.PathLike)]  # fmt: skip
    if reason is None:
        return None
    if temporary is not None:
        ours = {str(temporary), *map(str, (path, *path.parents))}
        if named and not ours.intersection(named):
            return None
        if not named and error.errno in _NAMED_ONLY:
            return None
    if made and error.errno == errno.ENOENT:
        reason = _GONE
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


def save_npz(path: Path | str, **arrays: ArrayLike | Callable[[], ArrayLike]) -> None:
    """Write an ``.npz`` in one piece; object arrays (pickles) are refused.

    Where a function stands for an array it is called when its turn has come, so that not all arrays
    of a long clip are in memory.

    Arrays are compressed where that makes them at least a fifth smaller: trajectories hardly are,
    and compressing them would take as long as a tenth of what computes them.
    """
    for name, given in arrays.items():
        if not callable(given):
            _plain(name, given)
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, given in arrays.items():
            value = _plain(name, given() if callable(given) else given)
            entry = zipfile.ZipInfo(f"{name}.npy")
            if _shrinks(value):
                entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, value, allow_pickle=False)


def _plain(name: str, value: ArrayLike) -> NDArray[Any]:
    """`value` as an array that needs no pickle."""
    plain = np.asarray(value)
    if plain.dtype.hasobject:
        raise TypeError(f"array {name!r} holds Python objects; only plain arrays are written")
    return plain


def _shrinks(value: NDArray[Any]) -> bool:
    """Whether a stretch from the middle of an array can be made a fifth smaller."""
    if value.nbytes <= _SAMPLE:
        sample = value.tobytes()
    else:
        count = max(1, _SAMPLE // value.itemsize)
        first = (value.size - count) // 2
        sample = np.ascontiguousarray(value.reshape(-1)[first : first + count]).tobytes()
    return len(zlib.compress(sample, 1)) < 0.8 * len(sample)
