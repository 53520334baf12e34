"""`edit`: crop, change speed, mirror, blend, join, loop and ramp a robot motion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from mimic_base.errors import InputError, input_error
from mimic_base.options import parse
from motions.robot.editing.basic import crop, mirror, time_scale
from motions.robot.editing.joining import align, blend, loop, stitch
from motions.robot.editing.ramps import ramp_in, ramp_out, settle
from motions.robot.formats.cli import SOURCE_OLDER, SourceOptions, load_robot, target_format, warn
from motions.robot.formats.formats import find_format
from motions.robot.formats.reading import read_robot_trajectory
from motions.robot.formats.trajectory import RobotTrajectory, trajectory_of
from motions.robot.formats.writers import write_robot_trajectory

if TYPE_CHECKING:
    from robots import Robot


@dataclass(frozen=True, kw_only=True)
class EditOptions(SourceOptions):
    """Edit a robot motion. Whatever the order of the options, the steps are: crop, time scale,
    mirror, blend, join, loop, ramps.

    With --robot the result can be mirrored and ramped, and becomes a complete motion file with the
    pose of every body; without it, it stays in generalised coordinates.
    """

    file: tyro.conf.Positional[Path]
    """Robot motion file of any known format."""
    out: Path
    """File to write."""
    robot: str | None = None
    """Robot name, or a description file (.toml); needed for mirroring, ramps and body poses."""
    to: str | None = None
    """Format to write: with a robot robot-motion, else trajectory, unless given."""
    start: float = 0.0
    """Second to begin at."""
    end: float | None = None
    """Second to end at; the clip's own end unless given."""
    time_scale: float = 1.0
    """Stretch time: 2 is half as fast."""
    mirror: bool = False
    """Left becomes right."""
    blend: Path | None = None
    """Motion of the same length to mix in, aligned at the first frame."""
    blend_weight: float = 0.5
    """Share of the other motion, 0 to 1."""
    join: tuple[Path, ...] = ()
    """Motions that follow, each aligned in place and heading to the end of the one before."""
    transition: float = 0.4
    """Seconds of cross-fade between joined motions, and at the seam of a loop."""
    loop: bool = False
    """Fade the end into the beginning, so that the clip can be repeated."""
    ramp_in: float = 0.0
    """Seconds from the robot's default pose into the clip."""
    ramp_out: float = 0.0
    """Seconds from the clip back to the default pose."""
    without_objects: bool = False
    """Take objects and terrain out of the clips before anything else."""
    name: str | None = None
    """Name of the result; that of the output file unless given."""


def main(
    arguments: Sequence[str] | None = None,
    *,
    prog: str = "mimic motions edit",
    robot: str | None = None,
) -> int:
    """Edit one motion as the command line says; 0 when all went well.

    Args:
        prog: name of the program, for its help.
        robot: what --robot is unless given.
    """
    default = EditOptions(file=tyro.MISSING, out=tyro.MISSING, robot=robot)
    options = parse(EditOptions, arguments, prog=prog, default=default, renamed=SOURCE_OLDER)
    return edit(options)


def edit(options: EditOptions) -> int:
    """Edit one motion and write the result. Raises `InputError` for whatever cannot be done."""
    to = target_format(options.to, options.robot)
    robot_needed = options.mirror or options.ramp_in or options.ramp_out
    if options.robot is None and (robot_needed or to == "robot-motion"):
        raise InputError(
            "mirroring, ramps and complete motion files need the robot; say which with --robot NAME"
        )
    suffix = ".npz" if to == "robot-motion" else find_format(to).extensions[0]
    if options.out.suffix.lower() != suffix:
        raise input_error(options.out, f"format {to} is written as {suffix}")
    for name in ("ramp_in", "ramp_out"):
        if not getattr(options, name) >= 0:
            raise input_error(None, f"--{name.replace('_', '-')} cannot be negative",
                              found=f"{getattr(options, name):g}")  # fmt: skip
    reading = options.read_options()

    def read(path: Path) -> RobotTrajectory:
        found = read_robot_trajectory(path, reading)
        return found.without_objects() if options.without_objects else found

    motion = read(options.file)
    others = {path: read(path) for path in _others(options)}
    robot = None if options.robot is None else load_robot(options.robot)
    motion, head, tail = apply(motion, options, others, robot)
    motion = motion.with_texts(name=options.name or options.out.stem)
    if robot is not None:
        from motions.robot.completion import complete

        motion = settle(motion.with_joint_order(robot.joint_names), robot, head, tail)
        whole = complete(motion, robot, check=False)
        if to == "robot-motion":
            whole.save(options.out)
        motion = trajectory_of(whole).with_texts(loop=motion.loop)
    if to != "robot-motion":
        warn(write_robot_trajectory(motion, options.out, to))
    print(
        f"{options.out}: {motion.num_frames} frames at {motion.fps:g} fps, {motion.duration:.2f} s"
    )
    return 0


def apply(
    motion: RobotTrajectory,
    options: EditOptions,
    others: dict[Path, RobotTrajectory],
    robot: Robot | None,
) -> tuple[RobotTrajectory, int, int]:
    """The edited motion, and how many of its frames are ramps at the start and at the end."""
    motion = crop(motion, options.start, options.end)
    if options.time_scale != 1.0:
        motion = time_scale(motion, options.time_scale)
    if options.mirror and robot is not None:
        motion = mirror(motion, robot)
    if options.blend is not None:
        other = others[options.blend].resample(motion.fps)
        motion = blend(motion, align(other, motion, 0), options.blend_weight)
    for path in options.join:
        motion = stitch(motion, others[path], options.transition)
    if options.loop:
        motion = loop(motion, options.transition)
    length, head = motion.num_frames, 0
    if options.ramp_in and robot is not None:
        motion = ramp_in(motion, robot, options.ramp_in)
        head = motion.num_frames - length
    if options.ramp_out and robot is not None:
        motion = ramp_out(motion, robot, options.ramp_out)
    loops = options.loop and not (options.ramp_in or options.ramp_out)
    return replace(motion, loop=loops, bodies=None), head, motion.num_frames - length - head


def _others(options: EditOptions) -> list[Path]:
    return [*options.join, *([options.blend] if options.blend is not None else [])]
