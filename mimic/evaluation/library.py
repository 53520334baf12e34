"""Judges a policy on a whole library of clips: in parallel, by splits, past clips that are bad."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from mimic.evaluation.evaluate import check_protocol, evaluate
from mimic.evaluation.jobs import KEPT, Job, digest, run_jobs
from mimic.evaluation.metrics import Summary, Sums
from mimic.evaluation.policies import LoadedPolicy, named_task, open_policy, robot_of
from mimic.evaluation.protocols import Protocol
from mimic.evaluation.result import units
from mimic.evaluation.result_head import ProtocolResult
from mimic_base.errors import InputError, MimicError, UserError
from motions.robot.dataset import MotionFile, distinct_names, find_motion_files, read_header
from motions.robot.motion import check_fits

SCHEMA = "humanoid-mimic/library-evaluation/1"
CHUNK_ENVS = 256
"""Episodes that are played side by side by one process. A part of the result: how clips are put
together decides which random numbers each sees."""
CHUNK_CLIPS = 32
SPLITS = ("train", "validation", "test")
"""Splits in the order in which they are told; others follow."""


@dataclass(frozen=True, kw_only=True)
class ClipRow:
    """A clip of the library and how it went."""

    summary: Summary
    sums: Sums
    hash: str
    file: MotionFile
    index: int

    def to_dict(self) -> dict[str, Any]:
        """In plain values."""
        return {
            **self.summary.to_dict(),
            "hash": self.hash,
            "split": self.file.split,
            "tags": list(self.file.tags),
            "file": str(self.file.path),
        }


@dataclass(frozen=True, kw_only=True)
class LibraryResult(ProtocolResult):
    """What ``evaluate_library`` found.

    Attributes:
        clips: worst first: by success, then by the protocol's first error.
        splits: a summary of each split that the library has, where it has any.
        bad: one line for each clip that could not be judged.
    """

    clips: tuple[ClipRow, ...]
    splits: tuple[Summary, ...]
    total: Summary
    bad: tuple[str, ...] = ()

    @property
    def failed(self) -> int:
        """Number of clips of which not all episodes succeed."""
        return sum(row.summary.success < 1.0 for row in self.clips)

    def to_dict(self) -> dict[str, Any]:
        """Everything in plain numbers and texts."""
        return {
            **self.head(SCHEMA),
            "units": units(self.protocol),
            "total": self.total.to_dict(),
            "splits": [each.to_dict() for each in self.splits],
            "clips": [row.to_dict() for row in self.clips],
            "bad": list(self.bad),
            **self.tail(),
        }


@dataclass(frozen=True, kw_only=True)
class _Common:
    """What all chunks share; travels to other processes."""

    policy: str
    motions: tuple[str, ...]
    protocol: Protocol
    robot: str | None
    engine: str
    device: str
    seed: int
    motion_scene: bool
    interface: str | None


def evaluate_library(
    policy: Path | str,
    motions: Sequence[Path | str],
    protocol: Protocol,
    *,
    workers: int = 1,
    robot: Path | str | None = None,
    engine: str = "auto",
    device: str = "auto",
    seed: int = 0,
    motion_scene: bool = True,
    interface: str | None = None,
    folder: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> LibraryResult:
    """Judge a policy on every clip of a library; figures do not depend on ``workers``.

    Args:
        policy: an .onnx file, a run directory or a checkpoint.
        motions: motion files, folders, manifests or packs, perhaps of one split
            (``SET.pack:test``); by default those the policy comes with.
        workers: processes.
        interface: see ``mimic.evaluation.policies.open_policy``.
        folder: where finished parts are kept; a call that was interrupted goes on there.
        progress: called with (clips done, clips there are).

    Raises:
        MimicError, InputError, RobotError: a policy, protocol or set that cannot be used, or a set
            of which no clip can. Single clips that cannot are told in ``LibraryResult.bad``.
    """
    loaded = open_policy(policy, interface)
    body = robot_of(loaded, robot)
    config, notes = named_task(loaded)
    check_protocol(config, protocol)
    paths = tuple(str(each) for each in motions or _own(loaded))
    files = _files(paths)
    common = _Common(
        policy=str(policy), motions=paths, protocol=protocol, robot=None if robot is None else
        str(robot), engine=engine, device=device, seed=seed, motion_scene=motion_scene,
        interface=interface,
    )  # fmt: skip
    chunks = _chunks(files, protocol, motion_scene)
    jobs = [
        Job(
            title=f"clips {', '.join(str(files[i]) for i in chunk[:2])} ...",
            arguments={
                "clips": chunk, "seed": number + 1_000_003 * seed,
                "files": [_identity(files[i]) for i in chunk],
            },
        )
        for number, chunk in enumerate(chunks)
    ]  # fmt: skip
    finished = 0

    def done(job: Job, result: Mapping[str, Any], found: bool) -> None:
        nonlocal finished
        finished += len(job.arguments["clips"])
        if progress is not None:
            progress(finished, len(files))

    results = run_jobs(
        "mimic.evaluation.library:evaluate_chunk", common, jobs, workers=workers,
        keep=None if folder is None else folder / KEPT, done=done,
        identity=digest(policy_identity(policy), protocol.to_dict(), body.content_hash, engine,
                        motion_scene, loaded.interface),
    )  # fmt: skip
    judged = [(result, clip) for result in results for clip in result["clips"]]
    bad = sorted((e["index"], e["line"]) for r in results for e in r["bad"])
    if not judged:
        raise InputError(f"none of {len(files)} clips can be judged; the first: {bad[0][1]}")
    about = judged[0][0]
    judged.sort(key=lambda each: each[1]["index"])
    indices = [clip["index"] for _, clip in judged]
    names = distinct_names(
        [clip["name"] for _, clip in judged], [_path(files[index]) for index in indices]
    )
    dt = float(about["control_dt"])
    rows = []
    for (_, clip), name, index in zip(judged, names, indices, strict=True):
        sums = Sums.from_dict(clip["sums"])
        rows.append(
            ClipRow(
                summary=sums.summary(name, dt), sums=sums, hash=clip["hash"], file=files[index],
                index=index,
            )
        )  # fmt: skip
    notes += [note for result in results for note in result["notes"]]
    return LibraryResult(
        protocol=protocol,
        policy=str(policy),
        task=about["task"],
        robot=body.name,
        robot_hash=body.content_hash,
        engine=about["engine"],
        seed=seed,
        control_dt=dt,
        clips=tuple(sorted(rows, key=lambda row: _badness(row.summary), reverse=True)),
        splits=_splits(rows, dt),
        total=Sums.joined([row.sums for row in rows]).summary("total", dt),
        bad=tuple(line for _, line in bad),
        notes=tuple(dict.fromkeys(notes)),
        details=loaded.details,
    )


def evaluate_chunk(common: _Common, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of some clips of the library, in plain values."""
    files = _files(common.motions)
    policy = _policy(common.policy, common.interface)
    body = robot_of(policy, common.robot)
    bad: list[dict[str, Any]] = []
    good = []
    for index in arguments["clips"]:
        try:
            motion = files[index].load()
            check_fits(motion, body, bodies=body.key_bodies, where=str(files[index]))
        except InputError as error:
            bad.append({"index": index, "line": str(error)})
        else:
            good.append((index, replace(motion, name=_name(files[index], motion.name))))

    def play(clips: Sequence[tuple[int, Any]]) -> list[Any]:
        if not clips:
            return []
        try:
            return [
                (clips, evaluate(
                    policy, [motion for _, motion in clips], common.protocol, robot=body,
                    engine=common.engine, device=common.device, seed=arguments["seed"],
                    max_envs=CHUNK_ENVS, threads=1, motion_scene=common.motion_scene,
                ))
            ]  # fmt: skip
        except UserError as error:
            if len(clips) > 1:
                # One of them it is: alone each tells of itself.
                return [each for clip in clips for each in play([clip])]
            index = clips[0][0]
            if not isinstance(error, InputError):
                raise
            bad.append({"index": index, "line": str(error)})
            return []

    found: dict[str, Any] = {"clips": [], "bad": bad, "notes": []}
    for clips, result in play(good):
        found |= {"control_dt": result.control_dt, "task": result.task, "engine": result.engine}
        found["notes"] += result.notes
        found["clips"] += [
            {"index": index, "name": motion.name, "hash": digest_, "sums": vars(sums)}
            for (index, motion), digest_, sums in zip(
                clips, result.motion_hashes, result.sums, strict=True
            )
        ]
    return found


def policy_identity(policy: Path | str) -> str:
    """A hash of the files that a policy is made of."""
    from importlib.metadata import version

    from mimic.policy.opener import find_policy

    source = find_policy(policy, prefer="checkpoint")
    content = hashlib.sha256(source.file.read_bytes()).hexdigest()
    return digest(content, dict(source.config), version("humanoid-mimic"))


@lru_cache(maxsize=1)
def _policy(path: str, interface: str | None) -> LoadedPolicy:
    return open_policy(path, interface)


@lru_cache(maxsize=2)
def _files(paths: tuple[str, ...]) -> list[MotionFile]:
    return find_motion_files(list(paths))


def _own(policy: LoadedPolicy) -> list[str]:
    paths = [str(each) for each in policy.motions if isinstance(each, Path)]
    if not paths:
        raise MimicError(
            f"{policy.source}: the policy comes without motion files; name some with --motion DIR"
        )
    return paths


def _chunks(files: Sequence[MotionFile], protocol: Protocol, motion_scene: bool) -> list[list[int]]:
    """Clips [each a list of indices] that are played side by side: alike in scene and length."""
    size = max(1, min(CHUNK_CLIPS, CHUNK_ENVS // protocol.episodes))
    groups: dict[str, list[tuple[float, int]]] = {}
    for index, file in enumerate(files):
        header = read_header(file)
        scene = header.scene if header is not None and motion_scene else ""
        seconds = header.frames / header.fps if header is not None else 0.0
        groups.setdefault(scene, []).append((seconds, index))
    return [
        [index for _, index in ordered[first : first + size]]
        for ordered in (sorted(group) for group in groups.values())
        for first in range(0, len(ordered), size)
    ]


def _identity(file: MotionFile) -> list[Any]:
    """What tells whether a clip is still the one that was judged."""
    entry = getattr(file, "pack", None)
    if entry is not None:
        return [str(file.path), entry.entries[file.index].hash]  # type: ignore[attr-defined]
    try:
        state = os.stat(file.path)
    except OSError:
        return [str(file.path)]
    return [str(file.path), state.st_size, state.st_mtime_ns]


def _path(file: MotionFile) -> Path | None:
    return None if hasattr(file, "pack") else file.path


def _name(file: MotionFile, own: str) -> str:
    return file.name or own or file.path.stem


def _badness(row: Summary) -> tuple[float, float]:
    errors = [each for each in row.errors.values() if each is not None]
    return (1.0 - row.success, errors[0] if errors else float("inf"))


def _splits(rows: Sequence[ClipRow], dt: float) -> tuple[Summary, ...]:
    names = {row.file.split for row in rows}
    if names <= {""}:
        return ()
    order = [*(name for name in SPLITS if name in names), *sorted(names - set(SPLITS))]
    return tuple(
        Sums.joined([row.sums for row in rows if row.file.split == name]).summary(
            name or "(no split)", dt
        )
        for name in order
    )
