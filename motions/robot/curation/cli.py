"""``python -m retarget.curation``: judge robot motions, and write what is worth keeping."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

import robots
from mimic_base.errors import InputError
from mimic_base.files import atomic_write_text
from mimic_base.options import parse
from motions.robot.curation.scores import ScoredWindow, read_scores, scores_of
from motions.robot.curation.settings import CurationSettings, Thresholds
from motions.robot.formats.cli import SOURCE_OLDER, SourceOptions, find_motion_files, for_each
from motions.robot.formats.reading import read_robot_trajectory
from motions.robot.motion import RobotMotion

if TYPE_CHECKING:
    from rich.table import Table

    from motions.robot.curation.judge import ClipVerdict
    from motions.robot.curation.measures import Measures
    from robots.robot import Robot

_COLOURS = {"keep": "green", "repair": "cyan", "in part": "yellow", "reject": "red"}


@dataclass(frozen=True, kw_only=True)
class Options(SourceOptions):
    """Evaluate robot motions chunk by chunk: keep, repair or reject, with reasons.

    Short faults are repaired; with --out the parts worth keeping are written as motion files.
    """

    files: tyro.conf.Positional[tuple[Path, ...]]
    """Robot motion files of any known format, or folders of them."""
    robot: str = "unitree_g1"
    """Robot name, or a description file (.toml)."""
    out: Path | None = None
    """Directory for what is kept, one .npz per unbroken part; existing ones are replaced."""
    json: Path | None = None
    """Also write everything into this file: verdicts, measures and reasons."""
    reference: tuple[Path, ...] = ()
    """Motions known to be good: the thresholds are set by their measures."""
    repair: bool = True
    """Repair short faults; else each is a reason to reject."""
    feasibility: Path | None = None
    """Scores of these files by a learned model, as `mimic motions feasibility --json` writes them:
    what cannot be followed is rejected too."""
    least_feasibility: float = CurationSettings().feasibility
    """Least score of a chunk's hardest window, 0 to 1."""
    fill_missing_joints: bool = False
    """Hold joints that a file lacks at the robot's default pose."""
    thresholds: Thresholds = Thresholds()
    """Limits on the measures."""


def main(arguments: Sequence[str] | None = None, *, prog: str = "mimic motions curate") -> int:
    """Judge every file; 0 when all could be read, 2 otherwise (a rejection is no error)."""
    options = parse(Options, arguments, prog=prog, renamed=SOURCE_OLDER)
    from rich.console import Console

    robot = robots.load(options.robot)
    settings = CurationSettings(
        repair=options.repair,
        thresholds=options.thresholds,
        feasibility=options.least_feasibility,
    )
    scores = None if options.feasibility is None else read_scores(options.feasibility)
    if options.reference:
        settings = replace(settings, thresholds=_from_references(options, robot, settings))
        print("thresholds: " + ", ".join(_limits(settings.thresholds)))
    files = find_motion_files(options.files)
    verdicts: list[tuple[Path, ClipVerdict]] = []

    def one(path: Path, name: str) -> None:
        windows = () if scores is None else scores_of(scores, path, str(options.feasibility))
        verdict = _judge(path, options, robot, settings, windows)
        verdicts.append((path, verdict))
        if options.out is not None:
            for motion in kept_motions(verdict, robot, name):
                motion.save(options.out / f"{motion.name}.npz")

    code = for_each(files, one)
    console = Console(soft_wrap=True)
    if verdicts:
        console.print(table(verdicts))
        for line in details(verdicts):
            console.print(line)
    if options.json is not None:
        content = {
            "robot": robot.name,
            "thresholds": settings.thresholds.__dict__,
            "clips": [{"file": str(path), **verdict.as_dict()} for path, verdict in verdicts],
        }
        atomic_write_text(options.json, json.dumps(content, indent=1) + "\n")
    return code


def _judge(
    path: Path,
    options: Options,
    robot: Robot,
    settings: CurationSettings,
    windows: Sequence[ScoredWindow] = (),
) -> ClipVerdict:
    from motions.robot.completion import joints_from_bodies
    from motions.robot.curation.judge import curate

    trajectory = read_robot_trajectory(path, options.read_options())
    if not trajectory.joint_names:
        trajectory = joints_from_bodies(trajectory, robot)
    fill = robot.default_joint_pos if options.fill_missing_joints else None
    ordered = trajectory.with_joint_order(robot.joint_names, fill)
    return curate(ordered, robot, settings, windows)


def _from_references(options: Options, robot: Robot, settings: CurationSettings) -> Thresholds:
    from motions.robot.curation.judge import thresholds_from

    figures: list[Measures] = []
    for path in find_motion_files(options.reference):
        verdict = _judge(path, options, robot, settings)
        figures += [c.measures for c in verdict.chunks if c.measures is not None]
    if not figures:
        raise InputError("--reference: no clip there is long enough to set thresholds by")
    return thresholds_from(figures)


def _limits(thresholds: Thresholds) -> list[str]:
    return [f"{name} {value:.3g}" for name, value in thresholds.__dict__.items()]


def kept_motions(verdict: ClipVerdict, robot: Robot, name: str) -> list[RobotMotion]:
    """The parts worth keeping, as complete motions; numbered when there are several."""
    from motions.robot.completion import complete

    parts = [part for part in verdict.kept if part[1] - part[0] > 1]
    result = []
    for number, (start, stop) in enumerate(parts, start=1):
        motion = complete(verdict.motion.with_frames(start, stop), robot, check=False)
        fps = verdict.motion.fps
        figures: dict[str, Any] = {
            "curation": {
                "verdict": verdict.verdict,
                "repairs": list(verdict.repairs),
                "from_s": (verdict.first + start) / fps,
                "to_s": (verdict.first + stop) / fps,
            }
        }
        title = name if len(parts) == 1 else f"{name}_{number:02d}"
        result.append(replace(motion, name=title, quality={**motion.quality, **figures}))
    return result


def table(verdicts: Sequence[tuple[Path, ClipVerdict]]) -> Table:
    """One line per clip; measures are the worst of its chunks."""
    from rich.table import Table

    from mimic_base.text import markup

    grid = Table(padding=(0, 0))
    grid.add_column("file", overflow="fold", min_width=10)
    grid.add_column("verdict")
    for heading in (
        "kept\n(s)", "of\n(s)", "contact\nscore", "root jerk\n(m/s³)", "base down\nto (share)",
        "off feet\n(mm)", "under\n(mm)", "chunks\nrejected",
    ):  # fmt: skip
        grid.add_column(heading, justify="right", no_wrap=True)
    for path, verdict in verdicts:
        motion = verdict.motion
        known = [c.measures for c in verdict.chunks if c.measures is not None]
        cells = ["-"] * 5
        if known:
            cells = [
                f"{min(m.contact_score for m in known):.2f}",
                f"{max(m.root_jerk for m in known):.0f}",
                f"{min(m.base_height_min for m in known):.2f}",
                f"{1000 * max(m.support_distance for m in known):.0f}",
                f"{1000 * max(m.penetration for m in known):.0f}",
            ]
        rejected = sum(c.verdict == "reject" for c in verdict.chunks)
        colour = _COLOURS[verdict.verdict]
        grid.add_row(
            markup(path.name),
            f"[{colour}]{verdict.verdict}[/{colour}]",
            f"{verdict.kept_seconds:.1f}",
            f"{motion.num_frames / motion.fps:.1f}",
            *cells,
            f"{rejected} of {len(verdict.chunks)}",
        )
    return grid


def details(verdicts: Sequence[tuple[Path, ClipVerdict]]) -> list[str]:
    """What was repaired, and why and where chunks were rejected; times in the file."""
    from mimic_base.text import markup

    lines = []
    for path, verdict in verdicts:
        fps = verdict.motion.fps
        lines += [f"{markup(path.name)}: {markup(text)}" for text in verdict.repairs]
        for chunk in verdict.chunks:
            if chunk.verdict == "reject":
                start, stop = ((verdict.first + t) / fps for t in (chunk.start, chunk.stop))
                why = "; ".join(chunk.reasons)
                lines.append(
                    f"{markup(path.name)}: rejected {start:.2f} to {stop:.2f} s: {markup(why)}"
                )
    return lines
