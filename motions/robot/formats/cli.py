"""`convert`: robot motions from one format into another."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from mimic_base.command_line import USER_ERROR_EXIT_CODE, user_error_text
from mimic_base.errors import InputError, input_error
from mimic_base.files import is_hidden
from mimic_base.options import parse
from mimic_base.reading import real_path
from mimic_base.resample import check_fps
from motions.robot.formats.detect import EXTENSIONS, ReadOptions
from motions.robot.formats.formats import WRITTEN, find_format
from motions.robot.formats.orders import parse_joint_order
from motions.robot.formats.reading import read_robot_trajectory
from motions.robot.formats.trajectory import trajectory_of
from motions.robot.formats.writers import write_robot_trajectory

if TYPE_CHECKING:
    from robots import Robot


SOURCE_OLDER = {"--fps": "--source-fps"}
"""Older spelling of an option of `SourceOptions` -> its name."""
OLDER = {
    **SOURCE_OLDER,
    "--resample": "--out-fps",
    "--output-joint-order": "--out-joint-order",
}
"""Older spelling of an option of `ConvertOptions` -> its name."""


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """What the user may say about the files that are read."""

    format: str | None = None
    """Format of the files, a name (see `mimic motions info --formats`) or package.module:NAME;
    detected unless given."""
    fps: Annotated[float | None, tyro.conf.arg(name="source-fps")] = None
    """Frames per second of the files, where they carry none."""
    joint_order: str | None = None
    """Order of unnamed joint columns: g1-29, g1-29-isaaclab, g1-23, or all names with commas."""
    quaternion_order: Literal["wxyz", "xyzw"] | None = None
    """Order of the base's quaternion columns, where the files break with their format."""

    def read_options(self) -> ReadOptions:
        if self.fps is not None:
            check_fps(self.fps, "--source-fps")
        if self.format is not None:
            find_format(self.format)
        return ReadOptions(
            format=self.format,
            fps=self.fps,
            joint_order=parse_joint_order(self.joint_order),
            quaternion_order=self.quaternion_order,
        )


@dataclass(frozen=True, kw_only=True)
class ConvertOptions(SourceOptions):
    """Convert robot motions between formats.

    With --robot the poses of all bodies are computed, and the file's joint order, quaternion order
    and body poses are checked against the robot. Without it body poses are only carried over.
    """

    files: tyro.conf.Positional[tuple[Path, ...]]
    """Robot motion files, or folders of them."""
    out: Path
    """Directory for the results, one file per clip; existing ones are replaced."""
    robot: str | None = None
    """Robot name, or a description file (.toml); completes the motions and checks them."""
    to: str | None = None
    """Format to write: with a robot robot-motion, else trajectory, unless given."""
    resample: Annotated[float | None, tyro.conf.arg(name="out-fps")] = None
    """Frames per second of the results; those of the file unless given."""
    output_joint_order: Annotated[str | None, tyro.conf.arg(name="out-joint-order")] = None
    """Order of the columns written; the format's own unless given."""
    licence: str | None = None
    """Licence to note in the results, where the format has room for it."""
    fill_missing_joints: bool = False
    """Hold joints that the file lacks at the robot's default pose (a 23-DoF G1 has no wrists)."""
    check: bool = True
    """Compare the file's bodies, feet, height and joint ranges with the robot's."""


def main(
    arguments: Sequence[str] | None = None,
    *,
    prog: str = "mimic motions convert",
    robot: str | None = None,
) -> int:
    """Convert files as the command line says; 0 when all went well, 2 when one cannot be used.

    Args:
        prog: name of the program, for its help.
        robot: what --robot is unless given.
    """
    default = ConvertOptions(files=tyro.MISSING, out=tyro.MISSING, robot=robot)
    options = parse(ConvertOptions, arguments, prog=prog, default=default, renamed=OLDER)
    return convert(options)


def target_format(to: str | None, robot: str | None) -> str:
    """The format that `--to` names; without it a complete motion where the robot is known."""
    if to is None:
        return "trajectory" if robot is None else "robot-motion"
    if to not in (*WRITTEN, "robot-motion") and not (":" in to and find_format(to, "--to").written):
        raise input_error(
            None,
            "--to names no format that is written",
            found=repr(to),
            expected=", ".join(("robot-motion", *WRITTEN)),
        )
    return to


def load_robot(name: str) -> Robot:
    """The robot that `--robot` names; the physics engine is imported only then."""
    import robots

    return robots.load(name)


def convert(options: ConvertOptions) -> int:
    """Convert every file; a file that cannot be used is one line, and the others go on."""
    to = target_format(options.to, options.robot)
    if options.robot is None:
        for said, option in ((to == "robot-motion", "--to robot-motion"),
                             (options.fill_missing_joints, "--fill-missing-joints")):  # fmt: skip
            if said:
                raise InputError(
                    f"{option} needs the robot's kinematics; say which robot with --robot NAME"
                )
    reading = options.read_options()
    if options.resample is not None:
        check_fps(options.resample, "--out-fps", "try --out-fps 50")
    columns = parse_joint_order(options.output_joint_order)
    files = find_motion_files(options.files)
    robot = None if options.robot is None else load_robot(options.robot)
    if robot is not None:
        reading = replace(reading, robot=robot.name, robot_joints=tuple(robot.joint_names))
    suffix = ".npz" if to == "robot-motion" else find_format(to).extensions[0]

    def one(path: Path, name: str) -> None:
        out = options.out / f"{name}{suffix}"
        if real_path(out) == real_path(path):
            raise input_error(path, "the result would replace the file", fix="another --out")
        trajectory = read_robot_trajectory(path, reading)
        if options.licence is not None:
            trajectory = trajectory.with_texts(licence=options.licence)
        notes = trajectory.notes
        if robot is not None:
            from motions.robot.completion import complete

            # Errors name the file; the motion keeps its own name.
            motion = complete(
                trajectory.with_texts(name=str(path)),
                robot,
                fill_missing=options.fill_missing_joints,
                fps=options.resample,
                check=options.check,
            )
            motion = replace(motion, name=trajectory.name)
            notes = motion.quality.get("import", {}).get("notes", notes)
            if to == "robot-motion":
                motion.save(out)
            trajectory = trajectory_of(motion).with_texts(loop=trajectory.loop)
        elif options.resample is not None:
            trajectory = trajectory.resample(options.resample)
        if to != "robot-motion":
            warn(write_robot_trajectory(trajectory, out, to, columns))
        print(
            f"{path}: {trajectory.num_frames} frames at {trajectory.fps:g} fps, "
            f"{len(trajectory.joint_names)} joints -> {out}"
        )
        for note in notes:
            print(f"  {note}")

    return for_each(files, one)


def warn(sentences: Sequence[str]) -> None:
    """Say what a format has no room for, one line each on standard error."""
    for sentence in sentences:
        print(f"warning: {sentence}", file=sys.stderr, flush=True)


def for_each(files: Sequence[Path], action: Callable[[Path, str], None]) -> int:
    """Run `action(path, output name)`; errors of the user are one line each. The exit code."""
    from collections import Counter

    stems = Counter(path.stem for path in files)
    broken = 0
    for path in files:
        name = path.stem
        if stems[path.stem] > 1:
            name = f"{real_path(path).parent.name}_{path.stem}_{path.suffix.removeprefix('.')}"
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
        found = sorted(
            p for p in path.iterdir() if p.suffix.lower() in EXTENSIONS and not is_hidden(p)
        )
        if not found:
            raise input_error(
                path, "the folder holds no robot motion", expected=", ".join(EXTENSIONS)
            )
        yield from found
