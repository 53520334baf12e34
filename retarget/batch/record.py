"""What is kept about each clip of a batch, so that a second run does only what is left."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mimic_base.files import atomic_write_text
from mimic_base.reading import opened
from retarget.batch.jobs import Job

_PIECE = 1 << 20
"""Bytes of a clip that are read at a time for its hash."""
FOLDER = ".retarget"
"""Below the output folder: a record per clip."""


@dataclass(frozen=True)
class Record:
    """The outcome of one clip.

    Attributes:
        key: hash of the clip's content and of everything that shapes the result.
        error: the one line that says why there is no result; empty when there is one.
        result: hash of the written file.
    """

    name: str
    clip: str
    key: str
    error: str = ""
    result: str = ""
    frames: int = 0
    fps: float = 0.0
    seconds: float = 0.0
    quality: Mapping[str, Any] = field(default_factory=dict)

    def save(self, out: Path) -> None:
        """Write the record below the output folder."""
        atomic_write_text(record_path(out, self.name), json.dumps(asdict(self), indent=1) + "\n")


def record_path(out: Path, name: str) -> Path:
    return out / FOLDER / f"{name}.json"


def lock_path(out: Path, name: str) -> Path:
    """The lock of a clip: it is held by the process that works on it (`mimic_base.locks`)."""
    return out / FOLDER / f"{name}.lock"


def finished(out: Path, job: Job, key: str, *, picture: bool = False) -> Record | None:
    """The record of a clip that needs no more work: same key, and its file as it was written.

    With `picture` its picture must be there too.
    """
    try:
        values = json.loads(record_path(out, job.name).read_text(encoding="utf-8"))
        record = Record(**values)
        written = file_hash(out / f"{job.name}.npz")
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    fits = record.key == key and not record.error and record.result == written
    fits = fits and (not picture or (out / f"{job.name}.png").is_file())
    return record if fits else None


def job_key(job: Job, configuration: str) -> str:
    """Hash of a clip's content, of the skeleton beside it, of its part and of the configuration.

    Raises:
        OSError: the clip cannot be read.
        InputError: it is a pipe or a device.
    """
    digest = hashlib.sha256(configuration.encode())
    digest.update(f"|{job.name}|{job.start!r}|{job.end!r}|".encode())
    if job.ground is not None or job.source_ground is not None:
        digest.update(json.dumps((job.ground, job.source_ground), sort_keys=True).encode())
    _feed(digest, job.clip)
    if job.clip.suffix.lower() == ".amc":
        # The clip's skeleton is one of the files beside it.
        for skeleton in sorted(job.clip.parent.glob("*.[aA][sS][fF]")):
            digest.update(skeleton.name.encode())
            _feed(digest, skeleton)
    return digest.hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 of a file's content."""
    digest = hashlib.sha256()
    _feed(digest, path)
    return digest.hexdigest()


def _feed(digest: hashlib._Hash, path: Path) -> None:
    """Let a digest take an ordinary file's content, piece by piece."""
    with opened(path) as stream:
        while piece := stream.read(_PIECE):
            digest.update(piece)
