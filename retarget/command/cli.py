"""The command line of the retargeter."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import robots
from mimic_base.command_line import USER_ERROR_EXIT_CODE, user_error_text
from mimic_base.errors import InputError, input_error
from mimic_base.files import atomic_write_text, check_folder_writable, check_writable
from mimic_base.options import parse
from mimic_base.resample import check_fps
from retarget.command.options import (
    OLDER,
    Options,
    is_batch,
    names_a_file,
    output_files,
    reading_options,
)

if TYPE_CHECKING:
    from rich.console import Console

    from motions import HumanMotion
    from retarget import page
    from retarget.batch.work import Work
    from robots.robot import Robot


def main(arguments: Sequence[str] | None = None, *, prog: str = "python -m retarget") -> int:
    """Retarget every clip; 0 when all went well, 2 when one could not be used."""
    options = parse(Options, arguments, prog=prog, renamed=OLDER)
    if not options.clips and options.manifest is None:
        raise InputError("no clips given; say which: mimic retarget CLIP... --out DIR")
    reading = reading_options(options)
    if options.fps != "source":
        check_fps(options.fps, "--out-fps", "try --out-fps 50")
    if options.source_fps is not None:
        check_fps(options.source_fps, "--source-fps")
    if options.report is not None and options.report.is_dir():
        raise input_error(
            options.report, "--report names a directory", expected="a file",
            fix=f"--report {options.report / 'report.html'}",
        )  # fmt: skip
    from rich.console import Console

    from motions import native

    native.warm(options.clips)
    one_file = names_a_file(options)
    robot = robots.load(options.robot)
    check_writable(options.out) if one_file else check_folder_writable(options.out)
    if options.report is not None:
        check_writable(options.report)
    console = Console(soft_wrap=True)
    from mimic_base.text import markup
    from robots.doubts import doubts_of

    for doubt in doubts_of(robot):
        console.print(f"[yellow]{markup(robot.name)} is unsure: {markup(doubt)}[/yellow]")
    work = _work(options, robot, reading)
    if is_batch(options):
        return batch(options, robot, work, console)
    broken = 0
    entries: list[page.ClipEntry] = []
    for clip, out in zip(options.clips, output_files(options), strict=True):
        try:
            entry = _one(clip, out, robot, options, work, console)
            entries += [entry] if entry is not None else []
        except Exception as error:
            text = user_error_text(error)
            if text is None:
                raise
            console.file.flush()
            print(f"error: {text}", file=sys.stderr, flush=True)
            broken += 1
            if options.report is not None:
                from retarget import page

                entries.append(page.ClipEntry(name=out.stem, error=text))
    if options.report is not None:
        from retarget import page

        atomic_write_text(options.report, page.clip_page(entries, robot.title))
        console.print(f"wrote {markup(str(options.report))}")
    if len(options.clips) > 1:
        console.print(f"{len(options.clips) - broken} of {len(options.clips)} clips retargeted")
    return USER_ERROR_EXIT_CODE if broken else 0


def _one(
    clip: Path,
    out: Path,
    robot: Robot,
    options: Options,
    work: Work,
    console: Console,
) -> page.ClipEntry | None:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        ProgressColumn,
        Task,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    from mimic_base.text import markup
    from retarget.batch.jobs import Job
    from retarget.batch.work import retarget_clip
    from retarget.page.table import detection_line, quality_table

    def read(human: HumanMotion) -> None:
        console.print(f"[bold]{markup(str(clip))}[/bold]: {markup(detection_line(human))}")
        for warning in human.report.get("warnings", ()):
            console.print(f"  [yellow]{markup(str(warning))}[/yellow]")

    class Rate(ProgressColumn):
        """Frames solved a second; each is solved several times."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:,.0f} solved frames/s")

    with Progress(
        TextColumn("  solving"),
        BarColumn(30),
        TaskProgressColumn(),
        Rate(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        # Where nobody watches, a bar would leave an empty line.
        disable=not sys.stderr.isatty(),
    ) as bar:
        task = bar.add_task("solve", total=None)

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        done = retarget_clip(Job(clip, clip.stem), out, robot, work, read=read, progress=progress)
    motion, seconds = done.motion, done.seconds
    console.print(quality_table(motion.quality))
    closed = motion.quality.get("constraints")
    if closed:
        style = "yellow" if closed["frame_rate"] else "none"
        console.print(
            f"  [{style}]gears and loops of the robot: open by {1000 * closed['max']:.2g} mm or "
            f"mrad at most, by more than 1 in {100 * closed['frame_rate']:.1f} % of the frames"
            f"[/{style}]"
        )
    console.print(
        f"  wrote {markup(str(out))}: {motion.num_frames} frames at {motion.fps:g} fps in "
        f"{seconds:.1f} s ({motion.num_frames / seconds:.0f} frames/s)"
    )
    if done.picture is not None:
        console.print(f"  wrote {markup(str(done.picture))}")
    if options.report is None:
        return None
    from retarget.page.entry import entry_of_clip

    return entry_of_clip(out.stem, done.human, motion, robot, done.source_ground)


def _work(options: Options, robot: Robot, reading: dict[str, Any]) -> Work:
    """What the options say of every clip."""
    if options.ground == "follow" and options.source_ground:
        raise InputError("--ground follow is for a floor: leave out --source-ground")
    from motions.robot.terrain_files import read_terrain
    from retarget.batch.work import Work
    from retarget.choices import FLOORS
    from retarget.settings import RetargetSettings

    return Work(
        robot=options.robot,
        robot_hash=robot.content_hash,
        fps=options.fps,
        settings=RetargetSettings(method=options.method),
        reading=reading,
        start=options.start,
        end=options.end,
        picture=options.picture,
        ground=read_terrain(options.ground) if options.ground not in ("", *FLOORS) else None,
        follow=options.ground == "follow",
        source_ground=read_terrain(options.source_ground) if options.source_ground else None,
    )


def batch(options: Options, robot: Robot, work: Work, console: Console) -> int:
    """Retarget the clips of folders and manifests; see `main` for the exit code."""
    from mimic_base.text import markup
    from retarget.batch import find_jobs, merge_jobs, read_manifest, shard_of
    from retarget.batch.summary import run_with_progress, summary_table

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
    if options.backend == "processes":
        workers = (os.cpu_count() or 1) if workers == 0 else workers or 1
        workers = min(workers, max(1, len(jobs)))
    records = run_with_progress(
        jobs, options.out, work, workers, console, backend=options.backend,
        ray_address=options.ray_address,
    )  # fmt: skip
    console.print(summary_table(records))
    if options.report is not None:
        from retarget import page
        from retarget.page.entry import entries_of_records

        text = page.dataset_page(entries_of_records(records), robot.title)
        atomic_write_text(options.report, text)
        console.print(f"wrote {markup(str(options.report))}")
    return USER_ERROR_EXIT_CODE if any(record.error for record in records) else 0
