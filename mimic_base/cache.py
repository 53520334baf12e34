"""Results that are dear to compute, kept on disk under the hash of all they depend on.

An entry is an .npz file and is used only when it is whole: the format carries checksums. A cache
that is absent, damaged or cannot be written costs time and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.errors import UserError
from mimic_base.files import atomic_path

BESIDE = ".bin"
_KEPT = 4
"""Entries of one name that stay when another is written; older ones are of earlier states."""
_LEFT_S = 3600.0
"""A half-written file untouched for so long will not be finished."""


def cache_folder() -> Path:
    """Where the program keeps what it can make again: ``MIMIC_CACHE``, else the user's cache."""
    given = os.environ.get("MIMIC_CACHE", "").strip()
    if given:
        return Path(given)
    cache = os.environ.get("XDG_CACHE_HOME", "").strip()
    return (Path(cache) if cache else Path.home() / ".cache") / "humanoid-mimic"


def digest_of(parts: Iterable[str | Path]) -> str:
    """Hash of texts and of files' contents.

    Raises:
        OSError: a file cannot be read.
    """
    digest = hashlib.sha256()
    for part in parts:
        content = part.read_bytes() if isinstance(part, Path) else part.encode()
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()


def load_arrays(kind: str, name: str, key: str) -> dict[str, NDArray[Any]] | None:
    """What was kept under the key; None where there is nothing, or nothing whole."""
    try:
        with np.load(_file(kind, name, key), allow_pickle=False) as archive:
            return {each: archive[each] for each in archive.files}
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None


def load_file(kind: str, name: str, key: str, checksum: int) -> Path | None:
    """The file that `save_arrays` kept beside the arrays, if it has that checksum (CRC-32)."""
    try:
        path = _file(kind, name, key).with_suffix(BESIDE)
        return path if zlib.crc32(np.fromfile(path, np.uint8).data) == checksum else None
    except (OSError, RuntimeError):
        return None


def save_arrays(
    kind: str,
    name: str,
    key: str,
    arrays: Mapping[str, NDArray[Any]],
    beside: NDArray[np.uint8] | None = None,
) -> None:
    """Keep arrays, each file in one step, where that is possible.

    Args:
        beside: bytes for a file of their own, for readers that want a file; see `load_file`.
    """
    with contextlib.suppress(OSError, RuntimeError, UserError):
        path = _file(kind, name, key)
        # Not synchronised: what the disk may lose is made again, and told by its checksum.
        if beside is not None:
            with atomic_path(path.with_suffix(BESIDE), durable=False) as temporary:
                beside.tofile(temporary)
        with atomic_path(path, durable=False) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)  # type: ignore[arg-type]
        same = path.parent.glob(f"{path.stem[: -len(_short(key))]}*.npz")
        for old in sorted(same, key=lambda entry: entry.stat().st_mtime)[:-_KEPT]:
            old.unlink(missing_ok=True)
            old.with_suffix(BESIDE).unlink(missing_ok=True)
        # Earlier versions' own, left by a kill: nobody else writes here.
        for left in path.parent.glob(".????????.tmp"):
            if time.time() - left.stat().st_mtime > _LEFT_S:
                left.unlink(missing_ok=True)


def _file(kind: str, name: str, key: str) -> Path:
    plain = "".join(c if c.isalnum() or c in "_-" else "_" for c in name)[:60]
    return cache_folder() / kind / f"{plain}-{_short(key)}.npz"


def _short(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:16]
