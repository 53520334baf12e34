"""What a worker process does with one clip."""

from __future__ import annotations

import glob
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePath
from typing import Any, Literal

import robots
from mimic_base.command_line import user_error_text
from mimic_base.errors import RobotError, UserError, input_error
from mimic_base.locks import Lock
from mimic_base.resample import frames_between
from mimic_base.surface import Surface
from motions import HumanMotion, RobotMotion, read_human_motion
from motions.robot.terrain import ground_of
from retarget.batch.jobs import Job
from retarget.batch.record import Record, file_hash, finished, lock_path, record_path
from retarget.batch.source import solver_version
from retarget.settings import RetargetSettings
from robots.robot import Robot


@dataclass(frozen=True)
class Work:
    """What every clip of a batch has in common; travels to the workers.

    Attributes:
        reading: keyword arguments of ``read_human_motion``.
        robot_hash: of the robot the batch was started with.
        picture: whether a picture lies beside each result.
        ground, source_ground: terrains (see `motions.robot.scene`) that the robot and the person
            walk on; None as in `retarget.pipeline.retarget`.
        follow: whether the floor is wherever the person's feet stand, see `retarget.feet.follow`.
    """

    robot: str
    robot_hash: str
    fps: float | Literal["source"] = "source"
    settings: RetargetSettings = field(default_factory=RetargetSettings)
    reading: Mapping[str, Any] = field(default_factory=dict)
    start: float = 0.0
    end: float | None = None
    picture: bool = False
    ground: Mapping[str, Any] | None = None
    source_ground: Mapping[str, Any] | None = None
    follow: bool = False

    @property
    def configuration(self) -> str:
        """Hash of everything but the clip that shapes a result, the solver's code included."""
        try:
            release = version("humanoid-mimic")
        except PackageNotFoundError:
            release = "source"
        parts = [
            release,
            solver_version(),
            self.robot_hash,
            repr(self.fps),
            repr(plain(self.settings)),
        ]
        parts += [repr(sorted(self.reading.items(), key=str)), repr((self.start, self.end))]
        parts += [json.dumps((self.ground, self.source_ground), sort_keys=True)]
        parts += ["follow"] if self.follow else []
        return hashlib.sha256("|".join(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Held:
    """Another process is at work on this clip, perhaps another batch; the line says who."""

    line: str


Task = Callable[[Job, str, Path], Record | Held]
"""What is done with a job, its key and the output folder: `retarget_job`, or a test's own."""
PATIENCE_S = 1.0
"""So long a process waits for a clip of another one before it turns to the next."""

_work: Work | None = None
_robot: Robot | None = None


def begin_worker(work: Work) -> None:
    """Load the robot once per process.

    Raises:
        RobotError: the robot has changed since the batch was started.
    """
    global _work, _robot
    if _robot is None or _robot.content_hash != work.robot_hash:
        _robot = robots.load(work.robot)
        if _robot.content_hash != work.robot_hash:
            raise RobotError(
                f"{work.robot}: the robot here is not the one that the batch was started with "
                f"(found {_robot.content_hash}, expected {work.robot_hash}); the same versions "
                "must be installed wherever the batch runs"
            )
    _work = work


@dataclass(frozen=True)
class Outcome:
    """What one clip became.

    Attributes:
        seconds: of retargeting alone, without reading and writing. picture: the file, if any.
        source_ground: what the person stood on; None for a floor.
    """

    human: HumanMotion
    motion: RobotMotion
    seconds: float
    picture: Path | None = None
    source_ground: Surface | None = None


def retarget_clip(
    job: Job,
    path: Path,
    robot: Robot,
    work: Work,
    *,
    read: Callable[[HumanMotion], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Outcome:
    """Read one clip, retarget it, and write the result and its picture: every clip goes this way.

    Args:
        path: of the result; the picture has the same name and ends in .png.
        read: called with the clip before it is retargeted. progress: see `pipeline.retarget`.

    Raises:
        InputError: the clip cannot be used, or the result would replace it.
    """
    from retarget.pipeline import retarget

    check_not_its_clip(path, job.clip)
    human = read_human_motion(job.clip, **work.reading)
    human = crop_job(human, job, work.start, work.end)
    if work.follow:
        from retarget.feet.follow import following

        human = following(human)
    if read is not None:
        read(human)
    started = time.perf_counter()
    ground, source_ground = (
        None if terrain is None else ground_of({"terrain": terrain})
        for terrain in (job.ground or work.ground, job.source_ground or work.source_ground)
    )
    motion = retarget(
        human, robot, fps=work.fps, settings=work.settings, ground=ground,
        source_ground=source_ground, progress=progress,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    picture = picture_path(path) if work.picture else None
    if picture is not None:
        from retarget.page.picture import draw_clip

        path.parent.mkdir(parents=True, exist_ok=True)
        draw_clip(picture, human, motion, robot, source_ground=source_ground)
    # Last: a result is there only when all that belongs to it is.
    motion.save(path)
    return Outcome(human, motion, seconds, picture, source_ground)


def picture_path(result: Path) -> Path:
    """The file of a result's picture."""
    return result.with_name(f"{result.name.removesuffix(result.suffix)}.png")


def retarget_job(job: Job, key: str, out: Path) -> Record | Held:
    """Retarget one clip, write it below `out`, and leave a record of how it went.

    A user's mistake becomes the record's error; a bug too, with its kind, since one clip must not
    stop thousands. Two batches may write into one folder: each clip's files are written by one
    process at a time, and what the other batch has done meanwhile is not done again.
    """
    assert _work is not None and _robot is not None
    lock = Lock(lock_path(out, job.name))
    try:
        holder = lock.acquire(PATIENCE_S)
    except OSError as error:
        reason = error.strerror or error
        return broken(job, key, f"{lock.path}: cannot write: {reason}")
    if holder is not None:
        return Held(f"{job.name}: is being written by {holder}")
    try:
        done = finished(out, job, key, picture=_work.picture)
        return done if done is not None else _retarget_job(job, key, out, _work, _robot)
    finally:
        lock.release()


def _retarget_job(job: Job, key: str, out: Path, work: Work, robot: Robot) -> Record:
    started = time.perf_counter()
    path = out / f"{job.name}.npz"
    try:
        for file in (path, record_path(out, job.name)):
            # Of a run of an earlier version that was killed while it wrote; see `files.sweep`.
            for stale in file.parent.glob(f".{glob.escape(file.stem)}.*.tmp{file.suffix}"):
                stale.unlink(missing_ok=True)
        motion = retarget_clip(job, path, robot, work).motion
        record = Record(
            job.name,
            str(job.clip),
            key,
            result=file_hash(path),
            frames=motion.num_frames,
            fps=motion.fps,
            seconds=time.perf_counter() - started,
            quality=dict(motion.quality),
        )
    except Exception as error:
        text = user_error_text(error) or f"{job.clip}: {type(error).__name__}: {error}"
        return broken(job, key, text, out)
    try:
        record.save(out)
    except (UserError, OSError) as error:
        # Without a record a result is not known to be whole: the next run does it again.
        return broken(job, key, user_error_text(error) or str(error))
    return record


def broken(job: Job, key: str, error: str, out: Path | None = None) -> Record:
    """The record of a clip that cannot be done; written where `out` is given and takes it."""
    record = Record(job.name, str(job.clip), key, error=" ".join(error.split()))
    if out is not None:
        with suppress(UserError, OSError):
            record.save(out)
    return record


def check_not_its_clip(out: Path, clip: Path) -> None:
    """Raise an `InputError` where the result would replace the clip (an SMPL file is .npz too)."""
    if out.exists() and clip.exists() and out.samefile(clip):
        raise input_error(out, "the result would replace the clip", fix="choose another --out")


def crop_seconds(
    human: HumanMotion,
    start: float,
    end: float | None,
    *,
    where: object = None,
    said: tuple[str, str] = ("--start", "--end"),
) -> HumanMotion:
    """The part of a clip between two times, s; its own end when ``end`` is None.

    ``where`` and ``said`` name the clip and what gave the two times, for the error; see
    `mimic_base.resample.frames_between`.

    Raises:
        InputError: the times lie outside the clip, or less than two frames would be left.
    """
    if start == 0.0 and end is None:
        return human
    place = human.name if where is None else where
    return human.crop(*frames_between(human.num_frames, human.fps, start, end, place, said=said))


def crop_job(human: HumanMotion, job: Job, start: float, end: float | None) -> HumanMotion:
    """The part of its clip that a job asks for, else the one between the options' times."""
    entry = job.entry or "the job"
    said = (
        "--start" if job.start is None else f"start in {entry}",
        "--end" if job.end is None else f"end in {entry}",
    )
    # Clips of one stem, and parts of one clip, are told apart by the name of the result.
    named = "" if PurePath(job.name).name == job.clip.stem else f" (as {job.name})"
    return crop_seconds(
        human,
        start if job.start is None else job.start,
        end if job.end is None else job.end,
        where=f"{job.clip}{named}",
        said=said,
    )


def plain(value: Any) -> Any:
    """Nested settings as plain dictionaries, whose text is the same in every process."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in sorted(value.items(), key=lambda item: str(item[0]))}
    return value
