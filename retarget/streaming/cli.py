"""``python -m retarget.streaming``: a clip played as a stream, or a live one on standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

import tyro

import robots
from mimic_base.errors import InputError, input_error
from mimic_base.files import check_writable
from mimic_base.options import parse
from retarget.command.options import SkeletonMap, parse_skeleton_map

if TYPE_CHECKING:
    from mimic_base.surface import Surface
    from motions import HumanMotion
    from retarget.streaming.pose import RobotPose
    from robots.robot import Robot


@dataclass(frozen=True)
class Options:
    """Retarget frame by frame as frames come in: a clip played through, or a live stream."""

    clip: tyro.conf.Positional[str]
    """Human motion file, or - for JSON lines on standard input (docs/streaming.md)."""
    robot: str = "unitree_g1"
    """Robot name, or a description file (.toml)."""
    out: Path | None = None
    """Write the robot's motion here (.npz)."""
    calibration: Path | None = None
    """Clip of the same person and skeleton that calibrates; else the stream's first frames do."""
    ground: str = ""
    """Ground that the robot walks on, as in mimic retarget --ground."""
    source_ground: str = ""
    """Ground that the person walks on, as in mimic retarget --source-ground."""
    live: Path | None = None
    """Send the poses of a live stream to this socket, that of mimic deploy --live, in place of
    standard output."""
    realtime: bool = False
    """Play a clip at its own speed instead of as fast as it goes."""
    start: float = 0.0
    """Second of the clip to begin at."""
    end: float | None = None
    """Second of the clip to end at."""
    skeleton_map: SkeletonMap = ""
    """Joints of an unknown skeleton, such as pelvis=Root,left_hip=LHip."""
    unit: float | None = None
    """Metres per unit of the clip or the stream."""
    up: Literal["x", "y", "z", "-y"] | None = None
    """Vertical axis of the clip or the stream; --up=-y where y points down. A stream whose axis is
    said begins at once, without waiting for the person to stand."""
    quaternions: Literal["wxyz", "xyzw"] | None = None
    """Order of a live stream's quaternions; wxyz unless given."""


def main(
    arguments: Sequence[str] | None = None, *, prog: str = "python -m retarget.streaming"
) -> int:
    """Play a clip, or serve a live stream until it ends."""
    options = parse(Options, arguments, prog=prog)
    if options.out is not None and options.out.suffix != ".npz":
        raise input_error(
            options.out, "the motion is written as .npz", fix=f"--out {options.out}.npz"
        )
    from rich.console import Console

    from mimic_base.surface import FLAT
    from mimic_base.text import markup
    from motions import read_human_motion
    from retarget.batch.work import crop_seconds
    from retarget.page.table import detection_line, quality_table
    from retarget.streaming.play import latency_table, motion_of, play, quiet
    from retarget.streaming.retargeter import StreamingRetargeter
    from retarget.streaming.skeleton import Skeleton, frames_of

    skeleton_map = parse_skeleton_map(options.skeleton_map)
    if options.unit is not None and not 0.0 < options.unit < float("inf"):
        raise InputError(f"--unit must be metres per unit, above 0 (found {options.unit:g})")
    robot = robots.load(options.robot)
    grounds: dict[str, Any] = {
        "ground": _ground(options.ground),
        "source_ground": _ground(options.source_ground),
    }
    if options.out is not None:
        check_writable(options.out)
    calibration = None
    if options.calibration is not None:
        calibration = read_human_motion(options.calibration, skeleton_map=skeleton_map)
    if options.clip == "-":
        if options.realtime or options.start or options.end is not None:
            raise InputError("--realtime, --start and --end are for clips, not for a live stream")
        with _destination(options.live) as out:
            return _serve(options, robot, calibration, skeleton_map, grounds, out)
    if options.live is not None:
        raise InputError("--live is for a live stream: give - and lines on standard input")
    console = Console(soft_wrap=True)
    if options.quaternions is not None:
        raise InputError("--quaternions is for a live stream; a clip's reader knows its order")
    human = read_human_motion(
        Path(options.clip), skeleton_map=skeleton_map, unit=options.unit, up=options.up
    )
    human = crop_seconds(human, options.start, options.end)
    console.print(f"[bold]{markup(options.clip)}[/bold]: {markup(detection_line(human))}")
    retargeter = StreamingRetargeter(
        Skeleton.of(human), robot, human.fps, calibration=calibration, **grounds
    )
    with quiet():
        poses, watch = play(retargeter, frames_of(human), realtime=options.realtime)
    motion = motion_of(
        poses, robot, human.fps, human, human.name, ground=retargeter.ground or FLAT,
        source_ground=retargeter.source_ground,
    )  # fmt: skip
    console.print(quality_table(motion.quality))
    console.print(latency_table(watch, human.fps))
    if options.out is not None:
        motion.save(options.out)
        console.print(f"  wrote {markup(str(options.out))}: {motion.num_frames} frames")
    return 0


def _ground(spec: str) -> Surface | None:
    from motions.robot.terrain import ground_of
    from motions.robot.terrain_files import read_terrain

    # A stream's floor follows the resting soles as it is.
    return ground_of({"terrain": read_terrain(spec)}) if spec not in ("", "follow") else None


@contextmanager
def _destination(to: Path | None) -> Iterator[IO[str]]:
    """Where poses go: standard output, or the socket of a robot that listens."""
    if to is None:
        yield sys.stdout
        return
    import socket

    robot = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        robot.connect(str(to))
    except OSError as error:
        robot.close()
        raise InputError(
            f"--live {to}: nobody listens there ({error.strerror or error}); start "
            "mimic deploy POLICY --live with this place first"
        ) from error
    with robot, robot.makefile("w", encoding="utf-8") as out:
        yield out


def _serve(
    options: Options,
    robot: Robot,
    calibration: HumanMotion | None,
    skeleton_map: dict[str, str] | None,
    grounds: dict[str, Any],
    out: IO[str],
) -> int:
    """Poses go to standard output, so that all else goes to standard error."""
    from rich.console import Console

    from mimic_base.surface import FLAT
    from mimic_base.text import markup
    from retarget.streaming.door import Conventions
    from retarget.streaming.lines import LineStream
    from retarget.streaming.play import latency_table, motion_of, quiet

    said = Conventions(up=options.up, unit=options.unit, quaternions=options.quaternions)
    console = Console(stderr=True, soft_wrap=True)
    # A live stream has no end in sight: poses are kept only where they are asked for.
    poses: list[RobotPose] | None = None if options.out is None else []
    gone: BrokenPipeError | None = None
    with quiet():
        stream = LineStream(
            sys.stdin.buffer,
            out,
            sys.stderr,
            robot,
            calibration=calibration,
            skeleton_map=skeleton_map,
            conventions=said,
            **grounds,
        )
        stream.stamped = options.live is not None
        try:
            stream.run(poses)
        except KeyboardInterrupt:
            # The way to end a live stream; what came until now is kept.
            console.print("stopped")
        except BrokenPipeError as error:
            gone = error
            console.print("stopped: nobody reads the poses any more")
    if not stream.frames:
        raise gone or InputError("standard input: the stream ended before its first frame")
    if stream.shut and gone is None:
        raise InputError(f"standard input: no frame could be used: {stream.shut}")
    counts = ", ".join(f"{count} {status}" for status, count in stream.counts.items())
    console.print(f"{stream.frames} frames: {counts}; {stream.bad} lines could not be used")
    console.print(latency_table(stream.watch, stream.fps))
    if options.out is not None and poses is not None:
        if len(poses) < 2:
            raise input_error(
                options.out,
                "a motion needs at least two frames",
                found=f"{len(poses)} in the stream",
            )
        walked = stream.retargeter.ground if stream.retargeter is not None else None
        motion = motion_of(poses, robot, stream.fps, None, options.out.stem, ground=walked or FLAT)
        motion.save(options.out)
        console.print(f"  wrote {markup(str(options.out))}")
    if gone is not None:
        raise gone
    return 0
