"""The command line of the retargeter."""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import robots
from motions import HumanMotion, read_human_motion
from motions.cli import USER_ERROR_EXIT_CODE, user_error_text
from motions.errors import InputError, input_error
from retarget.pipeline import Method, RetargetSettings, retarget
from retarget.report import detection_line, quality_table
from robots.robot import Robot


@dataclass(frozen=True)
class Options:
    """Turn human clips into references for a robot.

    Skeleton, unit, up axis and facing are detected and reported; an option overrides each.
    """

    clips: tyro.conf.Positional[tuple[Path, ...]]
    """Human motion files: BVH, AMC, C3D, DeepMimic JSON, joint positions, SMPL, video pose."""
    out: Path
    """Directory for the results, one .npz per clip; existing ones are replaced."""
    robot: str = "unitree_g1"
    """Robot name, or a description file (.toml)."""
    fps: float | Literal["source"] = "source"
    """Frame rate of the result: the clip's own, or a number."""
    start: float = 0.0
    """Second of the clips to begin at."""
    end: float | None = None
    """Second of the clips to end at; their own end unless given."""
    method: Method = "whole-clip"
    """Solve all frames at once, or one after the other."""
    picture: bool = False
    """Also write a picture per clip: the person above, the robot below."""
    unit: float | None = None
    """Metres per unit of the file."""
    up: Literal["y", "z"] | None = None
    """Vertical axis of the file."""
    skeleton_map: Annotated[str, tyro.conf.arg(metavar="ROLE=JOINT,...")] = ""
    """Joints of an unknown skeleton, such as pelvis=Root,left_hip=LHip."""
    drop_first: int | None = None
    """Frames to leave out at the start (a T-pose is found without it)."""
    source_fps: float | None = None
    """Frame rate of the clips, when the file is wrong or silent about it."""
    layout: str | None = None
    """Joint order of an array without names, such as lafan22 or smpl22; found unless given."""
    body_models: Path | None = None
    """Folder of licensed SMPL-family body models (else MIMIC_BODY_MODELS)."""
    height: float | None = None
    """Standing height of the person in metres, where the clip is SMPL parameters or video pose."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Retarget every clip; 0 when all went well, 2 when one could not be used."""
    options = tyro.cli(Options, args=arguments, prog="python -m retarget")
    if not options.clips:
        raise InputError("no clips given; say which: python -m retarget CLIP... --out DIR")
    mapping = parse_skeleton_map(options.skeleton_map)
    if options.fps != "source" and not options.fps > 0:
        raise input_error(None, "--fps must be above zero", found=options.fps, fix="try --fps 50")
    robot = robots.load(options.robot)
    _check_writable(options.out)
    console = Console(soft_wrap=True)
    broken = 0
    for clip, name in zip(options.clips, output_names(options.clips), strict=True):
        try:
            _one(clip, options.out / f"{name}.npz", robot, options, mapping, console)
        except Exception as error:
            text = user_error_text(error)
            if text is None:
                raise
            console.file.flush()
            print(f"error: {text}", file=sys.stderr, flush=True)
            broken += 1
    if len(options.clips) > 1:
        console.print(f"{len(options.clips) - broken} of {len(options.clips)} clips retargeted")
    return USER_ERROR_EXIT_CODE if broken else 0


def _one(
    clip: Path,
    out: Path,
    robot: Robot,
    options: Options,
    mapping: dict[str, str] | None,
    console: Console,
) -> None:
    human = read_human_motion(
        clip,
        unit=options.unit,
        up=options.up,
        skeleton_map=mapping,
        drop_first=options.drop_first,
        fps=options.source_fps,
        layout=options.layout,
        body_models=options.body_models,
        height=options.height,
    )
    human = crop_seconds(human, options.start, options.end)
    console.print(f"[bold]{escape(str(clip))}[/bold]: {escape(detection_line(human))}")
    for warning in human.report.get("warnings", ()):
        console.print(f"  [yellow]{escape(str(warning))}[/yellow]")
    started = time.perf_counter()
    with Progress(
        TextColumn("  solving"),
        BarColumn(30),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task("solve", total=None)

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        settings = RetargetSettings(method=options.method)
        motion = retarget(human, robot, fps=options.fps, settings=settings, progress=progress)
    seconds = time.perf_counter() - started
    motion.save(out)
    console.print(quality_table(motion.quality))
    console.print(
        f"  wrote {escape(str(out))}: {motion.num_frames} frames at {motion.fps:g} fps in "
        f"{seconds:.1f} s ({motion.num_frames / seconds:.0f} frames/s)"
    )
    if options.picture:
        from retarget.picture import draw_clip

        image = out.with_suffix(".png")
        draw_clip(image, human, motion, robot)
        console.print(f"  wrote {escape(str(image))}")


def crop_seconds(human: HumanMotion, start: float, end: float | None) -> HumanMotion:
    """The part of a clip between two times, s; its own end when ``end`` is None.

    Raises:
        InputError: less than two frames would be left.
    """
    if start == 0.0 and end is None:
        return human
    last = human.duration if end is None else end
    half = 0.5 / human.fps  # times are rounded to frames
    if not (0.0 <= start <= last - half and last <= human.duration + half):  # NaN fits nowhere
        raise input_error(
            human.name,
            "--start and --end must lie inside the clip, at least a frame apart",
            found=f"{start:g} s to {last:g} s",
            expected=f"times between 0 and {human.duration:.2f} s",
            fix="leave out --end for the clip's own end",
        )
    return human.crop(round(start * human.fps), round(last * human.fps) + 1)


def parse_skeleton_map(text: str) -> dict[str, str] | None:
    """``role=joint,role=joint`` as a mapping; None for an empty text."""
    if not text.strip():
        return None
    mapping = {}
    for part in text.split(","):
        role, equals, joint = part.partition("=")
        if not equals or not role.strip() or not joint.strip():
            raise input_error(
                None,
                "--skeleton-map has a part that names no joint",
                found=repr(part),
                expected="ROLE=JOINT, such as pelvis=Hips,left_hip=LHip",
            )
        mapping[role.strip()] = joint.strip()
    return mapping


def output_names(clips: Sequence[Path]) -> list[str]:
    """A file name per clip: its stem, with the folder's name where two stems are the same."""
    stems = Counter(clip.stem for clip in clips)
    names = [c.stem if stems[c.stem] == 1 else f"{c.resolve().parent.name}_{c.stem}" for c in clips]
    seen: Counter[str] = Counter()
    for i, name in enumerate(names):
        seen[name] += 1
        if seen[name] > 1:
            names[i] = f"{name}_{seen[name]}"
    return names


def _check_writable(out: Path) -> None:
    """Find out before the work whether the results can be kept."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise input_error(
            out,
            f"cannot write there: {error.strerror or error}",
            fix="choose another directory with --out",
        ) from error
