"""`edit`: crop, change speed, mirror, blend, join, loop and ramp a robot motion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import tyro

from mimic_base.errors import InputError, input_error
from motions.robot.editing.basic import crop, mirror, time_scale
from motions.robot.editing.facts import RobotFacts
from motions.robot.editing.joining import align, blend, loop, stitch
from motions.robot.editing.ramps import ramp_in, ramp_out
from motions.robot.formats.cli import SourceOptions
from motions.robot.formats.formats import FORMATS, WRITTEN
from motions.robot.formats.reading import read_robot_trajectory
from motions.robot.formats.trajectory import RobotTrajectory, trajectory_of
from motions.robot.formats.writers import write_robot_trajectory
from motions.robot.motion import RobotMotion

Finish = Callable[[RobotTrajectory, int, int], RobotMotion]
"""A complete motion from the edited one and the frames of its ramps at the start and the end."""


@dataclass(frozen=True, kw_only=True)
class EditOptions(SourceOptions):
    """Edit a robot motion. Whatever the order of the options, the steps are: crop, time scale,
    mirror, blend, join, loop, ramps."""

    file: tyro.conf.Positional[Path]
    """Robot motion file of any known format."""
    out: Path
    """File to write."""
    to: str = "trajectory"
    """Format to write."""
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
    name: str | None = None
    """Name of the result; that of the output file unless given."""


@dataclass(frozen=True, kw_only=True)
class PlainEditOptions(EditOptions):
    """Edit a robot motion in generalised coordinates, without a robot's model.

    Mirroring, ramps and complete motion files need the robot: `python -m retarget.edit`.
    Whatever the order of the options, the steps are: crop, time scale, mirror, blend, join, loop,
    ramps.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m motions edit`."""
    return edit(tyro.cli(PlainEditOptions, args=arguments, prog="python -m motions edit"))


def edit(
    options: EditOptions, facts: RobotFacts | None = None, finish: Finish | None = None
) -> int:
    """Edit one motion and write the result. Raises `InputError` for whatever cannot be done."""
    robot_needed = options.mirror or options.ramp_in or options.ramp_out
    if options.to not in (*WRITTEN, "robot-motion"):
        expected = ", ".join(("robot-motion", *WRITTEN))
        raise input_error(None, "--to names no format that is written", found=repr(options.to),
                          expected=expected)  # fmt: skip
    if facts is None and (robot_needed or options.to == "robot-motion"):
        raise InputError(
            "mirroring, ramps and complete motion files need the robot; "
            "run: python -m retarget.edit FILE --robot NAME ... --out FILE"
        )
    suffix = ".npz" if options.to == "robot-motion" else FORMATS[options.to].extensions[0]
    if options.out.suffix.lower() != suffix:
        raise input_error(options.out, f"format {options.to} is written as {suffix}")
    for name in ("ramp_in", "ramp_out"):
        if not getattr(options, name) >= 0:
            raise input_error(None, f"--{name.replace('_', '-')} cannot be negative",
                              found=f"{getattr(options, name):g}")  # fmt: skip
    reading = options.read_options()
    motion = read_robot_trajectory(options.file, reading)
    others = {path: read_robot_trajectory(path, reading) for path in _others(options)}
    motion, head, tail = apply(motion, options, others, facts)
    motion = motion.with_texts(name=options.name or options.out.stem)
    complete = None if finish is None else finish(motion, head, tail)
    if complete is not None and options.to == "robot-motion":
        complete.save(options.out)
    else:
        if complete is not None:
            motion = trajectory_of(complete).with_texts(loop=motion.loop)
        write_robot_trajectory(motion, options.out, options.to)
    print(
        f"{options.out}: {motion.num_frames} frames at {motion.fps:g} fps, {motion.duration:.2f} s"
    )
    return 0


def apply(
    motion: RobotTrajectory,
    options: EditOptions,
    others: dict[Path, RobotTrajectory],
    facts: RobotFacts | None,
) -> tuple[RobotTrajectory, int, int]:
    """The edited motion, and how many of its frames are ramps at the start and at the end."""
    motion = crop(motion, options.start, options.end)
    if options.time_scale != 1.0:
        motion = time_scale(motion, options.time_scale)
    if options.mirror and facts is not None:
        motion = mirror(motion, facts.mirror)
    if options.blend is not None:
        other = others[options.blend].resample(motion.fps)
        motion = blend(motion, align(other, motion, 0), options.blend_weight)
    for path in options.join:
        motion = stitch(motion, others[path], options.transition)
    if options.loop:
        motion = loop(motion, options.transition)
    length, head = motion.num_frames, 0
    if options.ramp_in and facts is not None:
        motion = ramp_in(motion, facts, options.ramp_in)
        head = motion.num_frames - length
    if options.ramp_out and facts is not None:
        motion = ramp_out(motion, facts, options.ramp_out)
    loops = options.loop and not (options.ramp_in or options.ramp_out)
    return replace(motion, loop=loops, bodies=None), head, motion.num_frames - length - head


def _others(options: EditOptions) -> list[Path]:
    return [*options.join, *([options.blend] if options.blend is not None else [])]
