"""`convert`: robot motions from one format into another."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import tyro

from mimic_base.command_line import USER_ERROR_EXIT_CODE, user_error_text
from mimic_base.errors import InputError, input_error
from mimic_base.resample import check_fps
from motions.robot.formats.detect import EXTENSIONS, ReadOptions
from motions.robot.formats.formats import FORMATS, WRITTEN
from motions.robot.formats.orders import parse_joint_order
from motions.robot.formats.reading import read_robot_trajectory
from motions.robot.formats.trajectory import RobotTrajectory, trajectory_of
from motions.robot.formats.writers import write_robot_trajectory
from motions.robot.motion import RobotMotion

Complete = Callable[[RobotTrajectory, float | None], RobotMotion]
"""Gives a trajectory the poses of all bodies, at another frame rate where one is given."""


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """What the user may say about the files that are read."""

    format: str | None = None
    """Format of the files; detected unless given (see `python -m motions info --formats`)."""
    fps: float | None = None
    """Frames per second of the files, where they carry none."""
    joint_order: str | None = None
    """Order of unnamed joint columns: g1-29, g1-29-isaaclab, g1-23, or all names with commas."""
    quaternion_order: Literal["wxyz", "xyzw"] | None = None
    """Order of the base's quaternion columns, where the files break with their format."""

    def read_options(self) -> ReadOptions:
        if self.fps is not None:
            check_fps(self.fps, "--fps")
        if self.format is not None and self.format not in FORMATS:
            raise input_error(
                None, "--format is unknown", found=repr(self.format), expected=", ".join(FORMATS)
            )
        return ReadOptions(
            format=self.format,
            fps=self.fps,
            joint_order=parse_joint_order(self.joint_order),
            quaternion_order=self.quaternion_order,
        )


@dataclass(frozen=True, kw_only=True)
class ConvertOptions(SourceOptions):
    """Convert robot motions between formats."""

    files: tyro.conf.Positional[tuple[Path, ...]]
    """Robot motion files, or folders of them."""
    out: Path
    """Directory for the results, one file per clip; existing ones are replaced."""
    to: str = "trajectory"
    """Format to write."""
    resample: float | None = None
    """Frames per second of the results; those of the file unless given."""
    output_joint_order: str | None = None
    """Order of the columns written; the format's own unless given."""
    licence: str | None = None
    """Licence to note in the results, where the format has room for it."""


@dataclass(frozen=True, kw_only=True)
class PlainConvertOptions(ConvertOptions):
    """Convert robot motions between formats, without a robot's model.

    Formats that hold the poses of all bodies can be read, and written from files that hold them;
    `python -m retarget.convert` adds them with the robot's kinematics and checks the files by it.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m motions convert`; 0 when all went well, 2 when a file could not be used."""
    options = tyro.cli(PlainConvertOptions, args=arguments, prog="python -m motions convert")
    return convert(options)


def convert(options: ConvertOptions, complete: Complete | None = None) -> int:
    """Convert every file; a file that cannot be used is one line, and the others go on.

    Args:
        complete: the robot's kinematics; without it body poses are only carried over.
    """
    if options.to not in (*WRITTEN, "robot-motion"):
        raise input_error(
            None,
            "--to names no format that is written",
            found=repr(options.to),
            expected=", ".join(("robot-motion", *WRITTEN)),
        )
    if options.to == "robot-motion" and complete is None:
        raise InputError(
            "a complete motion file needs the robot's kinematics; "
            "run: python -m retarget.convert FILE... --robot NAME --out DIR"
        )
    reading = options.read_options()
    if options.resample is not None:
        check_fps(options.resample, "--resample", "try --resample 50")
    columns = parse_joint_order(options.output_joint_order)
    files = find_motion_files(options.files)
    suffix = ".npz" if options.to == "robot-motion" else FORMATS[options.to].extensions[0]

    def one(path: Path, name: str) -> None:
        out = options.out / f"{name}{suffix}"
        if out.resolve() == path.resolve():
            raise input_error(path, "the result would replace the file", fix="another --out")
        trajectory = read_robot_trajectory(path, reading)
        if options.licence is not None:
            trajectory = trajectory.with_texts(licence=options.licence)
        notes = trajectory.notes
        if complete is not None:
            # Errors name the file; the motion keeps its own name.
            motion = complete(trajectory.with_texts(name=str(path)), options.resample)
            motion = replace(motion, name=trajectory.name)
            notes = motion.quality.get("import", {}).get("notes", notes)
            if options.to == "robot-motion":
                motion.save(out)
            trajectory = trajectory_of(motion).with_texts(loop=trajectory.loop)
        elif options.resample is not None:
            trajectory = trajectory.resample(options.resample)
        if options.to != "robot-motion":
            write_robot_trajectory(trajectory, out, options.to, columns)
        print(
            f"{path}: {trajectory.num_frames} frames at {trajectory.fps:g} fps, "
            f"{len(trajectory.joint_names)} joints -> {out}"
        )
        for note in notes:
            print(f"  {note}")

    return for_each(files, one)


def for_each(files: Sequence[Path], action: Callable[[Path, str], None]) -> int:
    """Run `action(path, output name)`; errors of the user are one line each. The exit code."""
    from collections import Counter

    stems = Counter(path.stem for path in files)
    broken = 0
    for path in files:
        name = path.stem
        if stems[path.stem] > 1:
            name = f"{path.resolve().parent.name}_{path.stem}_{path.suffix.removeprefix('.')}"
        try:
            action(path, name)
        except Exception as error:
            message = user_error_text(error)
            if message is None:
                raise
            sys.stdout.flush()
            print(f"error: {message}", file=sys.stderr, flush=True)
            broken += 1
    if len(files) > 1:
        print(f"{len(files) - broken} of {len(files)} files done")
    return USER_ERROR_EXIT_CODE if broken else 0


def find_motion_files(paths: Sequence[Path]) -> list[Path]:
    """The files meant: a folder stands for the robot motions in it."""
    files = list(_expand(paths))
    if not files:
        raise InputError("no robot motion files given; say which: FILE... or a folder")
    return files


def _expand(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = sorted(p for p in path.iterdir() if p.suffix.lower() in EXTENSIONS)
        if not found:
            raise input_error(
                path, "the folder holds no robot motion", expected=", ".join(EXTENSIONS)
            )
        yield from found
