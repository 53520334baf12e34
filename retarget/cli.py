"""The command line of the retargeter."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import robots
from motions import read_human_motion
from motions.cli import USER_ERROR_EXIT_CODE, user_error_text
from motions.errors import InputError, input_error
from motions.files import atomic_write_text
from retarget import page
from retarget.batch import find_jobs, merge_jobs, read_manifest, shard_of
from retarget.batch.run import Backend
from retarget.batch.summary import run_with_progress, summary_table
from retarget.batch.work import Work, crop_seconds
from retarget.page.entry import entries_of_records, entry_of_clip
from retarget.pipeline import Method, RetargetSettings, retarget
from retarget.report import detection_line, quality_table
from robots.robot import Robot


@dataclass(frozen=True)
class Options:
    """Turn human clips into references for a robot.

    Skeleton, unit, up axis and facing are detected and reported; an option overrides each.
    """

    clips: tyro.conf.Positional[tuple[Path, ...]]
    """Human motion files (BVH, AMC, C3D, DeepMimic JSON, joint positions, SMPL, video pose), or
    folders of them."""
    out: Path
    """Directory for the results, one .npz per clip; existing ones are replaced."""
    manifest: Path | None = None
    """File that lists clips: a path per line, or JSON lines with clip, name, start, end."""
    workers: int | None = None
    """Processes that share the clips, 1 unless given; 0 is one per core. Folders, manifests,
    several workers and shards make a batch: clips that are done are left out when it is run
    again."""
    backend: Backend = "processes"
    """What a batch runs on: processes of this machine, or a Ray cluster (extra `ray`), by default
    on all of its CPUs."""
    ray_address: str | None = None
    """Running Ray cluster: auto, HOST:PORT or ray://HOST:PORT; without it Ray is started here."""
    shard: str = ""
    """Part of the clips for one of several machines, such as 2/8."""
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
    report: Path | None = None
    """Also write an HTML page: figures against goals, curves, pictures, worst moments; of a batch
    the figures of all clips."""
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
    if not options.clips and options.manifest is None:
        raise InputError("no clips given; say which: python -m retarget CLIP... --out DIR")
    reading = reading_options(options)
    if options.fps != "source" and not options.fps > 0:
        raise input_error(None, "--fps must be above zero", found=options.fps, fix="try --fps 50")
    robot = robots.load(options.robot)
    _check_writable(options.out)
    console = Console(soft_wrap=True)
    if is_batch(options):
        return batch(options, robot, reading, console)
    if options.report is not None:
        _check_writable(options.report.parent)
    broken = 0
    entries = []
    for clip, name in zip(options.clips, output_names(options.clips), strict=True):
        try:
            entry = _one(clip, options.out / f"{name}.npz", robot, options, reading, console)
            entries += [entry] if entry is not None else []
        except Exception as error:
            text = user_error_text(error)
            if text is None:
                raise
            console.file.flush()
            print(f"error: {text}", file=sys.stderr, flush=True)
            broken += 1
            if options.report is not None:
                entries.append(page.ClipEntry(name=name, error=text))
    if options.report is not None:
        atomic_write_text(options.report, page.clip_page(entries, robot.title))
        console.print(f"wrote {escape(str(options.report))}")
    if len(options.clips) > 1:
        console.print(f"{len(options.clips) - broken} of {len(options.clips)} clips retargeted")
    return USER_ERROR_EXIT_CODE if broken else 0


def _one(
    clip: Path,
    out: Path,
    robot: Robot,
    options: Options,
    reading: dict[str, Any],
    console: Console,
) -> page.ClipEntry | None:
    human = read_human_motion(clip, **reading)
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
    if options.report is None:
        return None
    return entry_of_clip(out.stem, human, motion, robot)


def is_batch(options: Options) -> bool:
    """Whether clips go through a pool with a record of each, rather than one after the other."""
    several = options.manifest is not None or bool(options.shard)
    several = several or options.workers not in (None, 1) or options.backend == "ray"
    return several or any(clip.is_dir() for clip in options.clips)


def batch(options: Options, robot: Robot, reading: dict[str, Any], console: Console) -> int:
    """Retarget the clips of folders and manifests; see `main` for the exit code."""
    workers = options.workers
    if workers is not None and workers < 0:
        raise input_error(None, "--workers must not be negative", found=workers)
    if options.ray_address is not None and options.backend != "ray":
        raise input_error(None, "--ray-address is for --backend ray", found=options.backend)
    jobs = find_jobs(options.clips, options.out)
    if options.manifest is not None:
        jobs = merge_jobs(jobs, read_manifest(options.manifest))
    if options.shard:
        jobs = shard_of(jobs, options.shard)
    work = Work(
        robot=options.robot,
        robot_hash=robot.content_hash,
        fps=options.fps,
        settings=RetargetSettings(method=options.method),
        reading=reading,
        start=options.start,
        end=options.end,
    )
    if options.backend == "processes":
        workers = (os.cpu_count() or 1) if workers == 0 else workers or 1
        workers = min(workers, max(1, len(jobs)))
    records = run_with_progress(
        jobs, options.out, work, workers, console, backend=options.backend,
        ray_address=options.ray_address,
    )  # fmt: skip
    console.print(summary_table(records))
    if options.report is not None:
        text = page.dataset_page(entries_of_records(records), robot.title)
        atomic_write_text(options.report, text)
        console.print(f"wrote {escape(str(options.report))}")
    return USER_ERROR_EXIT_CODE if any(record.error for record in records) else 0


def reading_options(options: Options) -> dict[str, Any]:
    """Keyword arguments of `read_human_motion`."""
    return {
        "unit": options.unit,
        "up": options.up,
        "skeleton_map": parse_skeleton_map(options.skeleton_map),
        "drop_first": options.drop_first,
        "fps": options.source_fps,
        "layout": options.layout,
        "body_models": options.body_models,
        "height": options.height,
    }


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
