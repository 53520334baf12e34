"""Latency and quality of streaming retargeting, beside the methods that see the whole clip.

    python scripts/bench_streaming.py CLIP... [--robot unitree_g1] [--frames 600] [--runs 3]

Prints two tables. Latency: every step's wall time and processor time, garbage collections and all.
With several runs also the quietest run of every step: the frames, hence the work, are the same each
time, so what differs between runs is other programs on the machine. Quality: the figures of
`motions.robot.quality.metrics`, and by how many frames the joints and the root trail the
whole-clip method.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from mimic_base.options import parse

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO))

import robots  # noqa: E402
from mimic_base.command_line import exit_on_user_error  # noqa: E402
from mimic_base.errors import input_error  # noqa: E402
from motions import HumanMotion, RobotMotion, read_human_motion  # noqa: E402
from retarget.choices import Method  # noqa: E402
from retarget.page.table import GOALS, figure  # noqa: E402
from retarget.pipeline import retarget  # noqa: E402
from retarget.settings import RetargetSettings  # noqa: E402
from retarget.streaming import Skeleton, StreamingRetargeter, frames_of  # noqa: E402
from retarget.streaming.play import Watch, lag_frames, motion_of, play, quiet  # noqa: E402
from robots.robot import Robot  # noqa: E402

METHODS: tuple[Method, ...] = ("per-frame", "whole-clip")
HEADS = {
    "any geometry > 1 cm under ground": "> 1 cm under ground %",
    "deepest point under ground": "deepest mm",
    "stance skate, mean": "skate cm/s",
    "self-collision > 1 cm": "self-collision %",
    "over a joint's own speed limit": "over speed limit %",
    "limb direction error, mean": "limb error °",
    "joint speed, max": "speed max rad/s",
    "joint jerk, mean": "joint jerk",
    "root jerk, mean": "root jerk",
}


@dataclass(frozen=True)
class Options:
    """Measure streaming retargeting."""

    clips: tyro.conf.Positional[tuple[Path, ...]]
    """Human motion files."""
    robot: str = "unitree_g1"
    """Robot name, or a description file (.toml)."""
    frames: int = 600
    """Frames of each clip to play."""
    runs: int = 1
    """Times that each clip is played."""
    calibrated: bool = False
    """Calibrate from the clip itself beforehand, not from the stream's first frames."""
    methods: bool = True
    """Also retarget with the methods that see the whole clip."""


def main() -> int:
    options = parse(Options, None, prog="scripts/bench_streaming.py")
    if not options.clips or options.frames < 20 or options.runs < 1:
        raise input_error(
            None, "nothing to measure", expected="a clip, 20 frames and one run at least"
        )
    robot = robots.load(options.robot)
    console = Console(width=170)
    latency = Table("clip", "clock", "p50", "p95", "p99", "max", "first frame", box=None)
    heads = list(HEADS.values())
    quality = Table("clip", "method", *heads, "lag joints", "lag root", box=None)
    for path in options.clips:
        human = read_human_motion(path)
        human = human.crop(0, min(options.frames, human.num_frames))
        motion, watches = stream(human, robot, options)
        for clock, figures in latencies(watches).items():
            columns = ("p50", "p95", "p99", "max", "first")
            latency.add_row(path.stem, clock, *(f"{figures[c]:.2f}" for c in columns))
        others: dict[str, RobotMotion] = {}
        if options.methods:
            for method in METHODS:
                settings = RetargetSettings(method=method)
                others[method] = retarget(human, robot, settings=settings)
        best = others.get("whole-clip")
        for name, result in {"streaming": motion, **others}.items():
            cells = [shown(result.quality, title) for title in HEADS]
            lags = ["", ""]
            if best is not None and result is not best:
                pairs = (result.joint_pos, best.joint_pos), (result.root_pos, best.root_pos)
                lags = [f"{lag_frames(a, b):.1f}" for a, b in pairs]
            quality.add_row(path.stem, name, *cells, *lags)
    console.print(f"ms per frame, {robot.title}")
    console.print(latency)
    console.print(quality)
    return 0


def stream(human: HumanMotion, robot: Robot, options: Options) -> tuple[RobotMotion, list[Watch]]:
    """The streamed motion, and the times of each run."""
    watches, poses = [], []
    for _ in range(options.runs):
        retargeter = StreamingRetargeter(
            Skeleton.of(human),
            robot,
            human.fps,
            calibration=human if options.calibrated else None,
        )
        with quiet():
            poses, watch = play(retargeter, frames_of(human))
        watches.append(watch)
    return motion_of(poses, robot, human.fps, human, human.name), watches


def latencies(watches: list[Watch]) -> dict[str, dict[str, float]]:
    """Percentiles by clock; of several runs the last one's, and every step's quietest."""
    result = watches[-1].figures()
    named = {"wall": result["wall"], "processor": result["cpu"]}
    if len(watches) > 1:
        best = Watch()
        for step in np.min([np.stack([w.wall, w.cpu], axis=1) for w in watches], axis=0):
            best.add(*map(float, step))
        quietest = best.figures()
        named[f"wall, quietest of {len(watches)}"] = quietest["wall"]
        named[f"processor, quietest of {len(watches)}"] = quietest["cpu"]
    return named


def shown(quality: Any, title: str) -> str:
    goal = next(goal for goal in GOALS if goal.title == title)
    value = figure(quality, goal)
    return "–" if value is None else f"{value:.{goal.digits}f}"


if __name__ == "__main__":
    exit_on_user_error(main)
