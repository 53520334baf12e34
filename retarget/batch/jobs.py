"""What a batch consists of: clips from files, folders and manifests, each with a place to go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mimic_base.errors import InputError, input_error
from mimic_base.files import is_hidden
from mimic_base.json_text import parse_json
from mimic_base.reading import read_bounded
from mimic_base.text import is_file_path
from mimic_base.text_files import decoded
from motions.human.readers import EXTENSIONS, is_human_clip

_GROUNDS = ("ground", "source_ground")
_LONGEST_S = 1e6
"""Times in a manifest are below this."""


@dataclass(frozen=True)
class Job:
    """One clip of a batch, or a part of one.

    Attributes:
        name: the result's path below the output folder, without ending.
        start: second to begin at; None leaves it to the batch's own option, like ``end``.
        ground, source_ground: terrains that the robot and the person walk on, in place of the
            batch's own; see `motions.robot.scene`.
        entry: where the job was asked for, such as ``line 3 of clips.jsonl``; empty when it is a
            file or a folder's.
    """

    clip: Path
    name: str
    start: float | None = None
    end: float | None = None
    entry: str = ""
    ground: Mapping[str, Any] | None = None
    source_ground: Mapping[str, Any] | None = None


def find_jobs(paths: Iterable[Path], out: Path | None = None) -> list[Job]:
    """Jobs of files and, with the folders below them, of folders; sorted, each name once.

    A file keeps its stem, a file found in a folder its path below that folder. What lies in `out`
    are results, not clips.

    Raises:
        InputError: a path is absent, a folder holds no clip, or two clips would share a name.
    """
    jobs: list[Job] = []
    for path in paths:
        if path.is_dir():
            found = sorted(
                file
                for file in path.rglob("*")
                if file.is_file()
                and not is_hidden(file, path)
                and is_human_clip(file)
                and not (out and file.is_relative_to(out))
            )
            if not found:
                raise input_error(
                    path, "the folder holds no clip", expected=", ".join(EXTENSIONS) + " files"
                )
            jobs += [Job(each, _stem(each.relative_to(path))) for each in found]
        elif path.exists():
            jobs.append(Job(path, path.stem))
        else:
            raise input_error(path, "no such file or folder")
    return _distinct(jobs)


def read_manifest(path: Path) -> list[Job]:
    """Jobs of a manifest: a path per line, or JSON lines with clip and maybe name, start, end (s).

    Paths are relative to the manifest; empty lines and lines that begin with # do not count.

    Raises:
        InputError: the manifest is absent or a line of it cannot be used.
    """
    try:
        text = decoded(path, read_bounded(path))
    except OSError as error:
        raise input_error(path, f"cannot read the manifest: {error.strerror or error}") from error
    jobs = []
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if line and not line.startswith("#"):
            job = _job_of_line(path, number, line)
            jobs.append(replace(job, clip=path.parent / job.clip))
    if not jobs:
        raise input_error(path, "the manifest names no clip")
    return _distinct(jobs)


def merge_jobs(*lists: Sequence[Job]) -> list[Job]:
    """Jobs of several sources as one batch.

    Raises:
        InputError: two clips would share a name.
    """
    return _distinct([job for jobs in lists for job in jobs])


def shard_of(jobs: Sequence[Job], shard: str) -> list[Job]:
    """The jobs of one of several machines: ``"i/n"``, i from 1 to n.

    Raises:
        InputError: the text is not of this form.
    """
    first, slash, second = shard.partition("/")
    if slash and first.isdecimal() and second.isdecimal() and 1 <= int(first) <= int(second):
        return list(jobs[int(first) - 1 :: int(second)])
    raise input_error(None, "--shard must be I/N", found=shard, expected="1/4 to 4/4, for instance")


def _job_of_line(path: Path, number: int, line: str) -> Job:
    where = f"line {number} of the manifest"
    if not line.startswith("{"):
        if "\0" in line:
            raise input_error(path, f"{where} is no path", found=repr(line[:80]))
        return Job(Path(line), Path(line).stem)
    entry: Any = parse_json(path, line, nan=True, rule=f"{where} is not JSON")
    unknown = sorted(set(entry) - {"clip", "name", "start", "end", *_GROUNDS})
    if unknown or not isinstance(entry.get("clip"), str):
        raise input_error(
            path,
            f"{where} needs clip and may have name, start, end, ground and source_ground",
            found=", ".join(sorted(entry)) or "nothing",
        )
    name = entry.get("name", Path(entry["clip"]).stem)
    if "\0" in entry["clip"]:
        raise input_error(path, f"{where}: clip is no path", found=repr(entry["clip"][:80]))
    if not is_file_path(name):
        raise input_error(path, f"{where}: name must be a path below the output", found=repr(name))
    times: list[float | None] = []
    for each in (entry.get("start"), entry.get("end")):
        number_given = isinstance(each, int | float) and not isinstance(each, bool)
        if each is not None and not (number_given and abs(each) < _LONGEST_S):
            raise input_error(path, f"{where}: start and end are seconds", found=repr(each))
        times.append(None if each is None else float(each))
    return Job(
        Path(entry["clip"]),
        name,
        start=times[0],
        end=times[1],
        entry=f"line {number} of {path.name}",
        ground=_ground(path, where, entry.get("ground")),
        source_ground=_ground(path, where, entry.get("source_ground")),
    )


def _ground(path: Path, where: str, spec: Any) -> dict[str, Any] | None:
    """The terrain that a manifest's line names; files are beside the manifest, like clips."""
    if spec is None:
        return None
    if not isinstance(spec, str):
        raise input_error(path, f"{where}: a ground is a text", found=repr(spec)[:40])
    from motions.robot.terrain_files import read_terrain

    beside = path.parent / spec
    return read_terrain(str(beside) if beside.is_file() else spec)


def _stem(path: Path) -> str:
    return path.with_suffix("").as_posix()


def _distinct(jobs: list[Job]) -> list[Job]:
    """Tell clips of one name apart by their format (a.bvh, a.amc); refuse what is left."""
    count = Counter(job.name for job in jobs)
    named = [
        job if count[job.name] == 1 else replace(job, name=f"{job.name}_{job.clip.suffix[1:]}")
        for job in jobs
    ]
    count = Counter(job.name for job in named)
    for job in named:
        if count[job.name] > 1:
            same = [str(each.clip) for each in named if each.name == job.name]
            raise InputError(
                f"{' and '.join(same[:2])}: both would be written as {job.name}.npz; "
                "give their common folder instead, or names in a manifest"
            )
    return named
