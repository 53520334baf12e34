"""``mimic demo``: the whole road once, from generated human clips to video, report and policy.

mimic demo --clips walk squat --episodes 20 --no-video

It joins retargeting and policies, so that it is the one module of ``mimic`` that may import
``retarget``.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mimic.viewer.gl import MISSING, settle_backend
from mimic_base.errors import MimicError
from mimic_base.files import atomic_path, atomic_write_text, check_folder_writable

if TYPE_CHECKING:
    # MuJoCo reads MUJOCO_GL when it is imported: see `walk`.
    from rich.console import Console

    from mimic.evaluation import EvaluationResult
    from mimic.policy.player import PolicyPlayer
    from mimic.viewer.rollout import Rollout
    from motions import HumanMotion, RobotMotion
    from robots import Robot

SHIPPED_POLICY = Path(__file__).parents[1] / "assets" / "policy_g1_demo.onnx"
PROTOCOLS = ("appendix-f", "noisy-start")
MOMENTS = 7
STRIP_HEIGHT = 340


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Generate human clips, retarget them, play and evaluate a trained policy on them, report."""

    out: Path = Path("out/demo")
    """Directory for everything that is written."""
    clips: tuple[str, ...] = ()
    """Clips to use; by default those of the demo clips that the policy was trained on."""
    episodes: int = 100
    """Noisy episodes of each clip."""
    video: bool = True
    """Write walk.mp4 (or a video of the first clip)."""
    policy: Path = SHIPPED_POLICY
    """Policy file to play."""

    def run(self) -> int:
        """Walk the road; everything lands in ``out``."""
        return walk(self)


@dataclass
class Clip:
    """One clip on its way down the road."""

    name: str
    human: HumanMotion
    motion: RobotMotion
    rollout: Rollout | None = None
    pictures: dict[str, bytes] = field(default_factory=dict)


@dataclass
class Steps:
    """Announces the steps, times them and remembers both for the report."""

    total: int
    done: list[dict[str, Any]] = field(default_factory=list)

    @contextmanager
    def step(self, name: str, note: str) -> Iterator[None]:
        print(f"[{len(self.done) + 1}/{self.total}] {name}: {note}", flush=True)
        started = time.perf_counter()
        yield
        seconds = time.perf_counter() - started
        self.done.append({"name": name, "seconds": round(seconds, 2), "note": note})
        print(f"      {seconds:.1f} s\n", flush=True)


def walk(args: Demo) -> int:
    """Walk the road; everything lands in ``args.out``."""
    started = time.perf_counter()
    if settle_backend() is None:
        print(MISSING)
    import robots
    from mimic.policy.player import PolicyPlayer

    if not args.policy.is_file():
        raise MimicError(f"policy '{args.policy}' does not exist; name another with --policy")
    player = PolicyPlayer(args.policy)
    robot = robots.load(player.contract.robot.name)
    names = chosen_clips(args.clips, [motion.name for motion in player.contract.motions])
    check_folder_writable(args.out)
    steps = Steps(total=7 if args.video else 6)
    with steps.step("clips", f"{len(names)} human clips generated as BVH and read back"):
        humans = [_generate(name, args.out / "clips") for name in names]
    with steps.step("retarget", f"to {robot.title}, with nothing set by hand"):
        clips = [_retarget(human, robot, args.out / "motions") for human in humans]
        _print_quality(clips)
    with steps.step("evaluate", f"{args.policy.name}: once without noise, {args.episodes} noisy"):
        results = _evaluate(args, clips, robot)
    with steps.step("play", "one simulated robot, policy run by onnxruntime without torch"):
        for clip in clips:
            clip.rollout = _play(player, clip, robot)
    video: Path | None = None
    if args.video:
        main_clip = next((clip for clip in clips if clip.name == "walk"), clips[0])
        video = args.out / f"{main_clip.name}.mp4"
        with steps.step("video", f"{video.name}, the reference as a blue ghost"):
            _write_video(video, robot, main_clip)
    with steps.step("pictures", "moments of person, reference and simulated robot"):
        for clip in clips:
            clip.pictures = _draw_strips(clip, robot)
    with steps.step("report", "pictures, curves and figures on one page"):
        data = report_data(clips, results, player, robot, steps.done)
        _write_report(args.out, data, clips, video)
        with atomic_path(args.out / "policy.onnx") as temporary:
            shutil.copyfile(args.policy, temporary)
    _print_where(args.out, video, results, time.perf_counter() - started)
    return 0


def chosen_clips(wanted: tuple[str, ...], trained_on: list[str]) -> list[str]:
    """Names of the demo clips to use."""
    from motions.human import demo

    unknown = [name for name in wanted if name not in demo.names()]
    if unknown:
        raise MimicError(f"unknown demo clip '{unknown[0]}'; known: {', '.join(demo.names())}")
    if wanted:
        return list(dict.fromkeys(wanted))
    return [name for name in demo.names() if name in trained_on] or list(demo.names())


def _console() -> Console:
    """The terminal at its own width; elsewhere wide enough for every table."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 150)


def _generate(name: str, folder: Path) -> HumanMotion:
    from motions import read_human_motion
    from motions.human import demo

    folder.mkdir(parents=True, exist_ok=True)
    return read_human_motion(demo.write(name, folder / f"{name}.bvh"))


def _retarget(human: HumanMotion, robot: Robot, folder: Path) -> Clip:
    from motions import RobotMotion
    from retarget import retarget

    motion = retarget(human, robot)
    motion.save(folder / f"{human.name}.npz")
    # As anyone else would get it: from the file.
    return Clip(human.name, human, RobotMotion.load(folder / f"{human.name}.npz"))


def _evaluate(args: Demo, clips: list[Clip], robot: Robot) -> list[EvaluationResult]:
    from mimic.evaluation import evaluate, get_protocol

    console = _console()
    results = []
    for name in PROTOCOLS:
        episodes = None if name == "appendix-f" else args.episodes
        protocol = get_protocol(name, episodes=episodes)
        motions = [clip.motion for clip in clips]
        results.append(evaluate(args.policy, motions, protocol, robot=robot))
        console.print(results[-1].table())
    return results


def _play(player: PolicyPlayer, clip: Clip, robot: Robot) -> Rollout:
    from mimic.viewer.rollout import roll_out

    rollout = roll_out(player, player.reference(clip.motion), robot, clip=clip.name)
    print(f"      {rollout.summary()}")
    return rollout


def _write_video(path: Path, robot: Robot, clip: Clip) -> None:
    from mimic.viewer.video import write_rollouts

    assert clip.rollout is not None
    write_rollouts(path, robot, [clip.rollout])


def _draw_strips(clip: Clip, robot: Robot) -> dict[str, bytes]:
    """JPEG pictures: the person, the reference, the policy with its ghost."""
    import numpy as np

    from mimic.sim.states import States
    from mimic.viewer.painter import open_painter
    from mimic.viewer.strips import (
        human_strip,
        robot_strip,
        rollout_strip,
        strip_size,
        strip_times,
    )
    from mimic.viewer.video import jpeg

    assert clip.rollout is not None
    rollout, height = clip.rollout, robot.default_root_height
    times = strip_times(clip.motion.duration, MOMENTS)
    frames = np.round(times * clip.motion.fps).astype(int)
    motion = clip.motion.with_joint_order(robot.joint_names)
    wanted = States(
        root_pos_w=motion.root_pos, root_quat_w=motion.root_quat, joint_pos=motion.joint_pos
    )[frames]
    with open_painter(robot, *strip_size(MOMENTS, STRIP_HEIGHT)) as painter:
        return {
            "human": jpeg(human_strip(painter, clip.human, times)),
            "reference": jpeg(robot_strip(painter, wanted, root_height=height)),
            "policy": jpeg(rollout_strip(painter, rollout, times, root_height=height)),
        }


def quality_rows(motion: RobotMotion) -> list[dict[str, Any]]:
    """The retargeting figures of a motion against their goals."""
    from retarget.page.table import GOALS, figure

    rows = []
    for goal in GOALS:
        value = figure(motion.quality, goal)
        met = None if value is None or goal.most is None else goal.met(value)
        rows.append(
            {
                "title": goal.title,
                "value": value,
                "goal": goal.most,
                "unit": goal.unit,
                "digits": goal.digits,
                "met": met,
            }
        )
    return rows


def _print_quality(clips: list[Clip]) -> None:
    """One table: a measure a line, a clip a column."""
    from rich.table import Table

    from mimic.viewer.report import at_most, number

    table = Table(box=None, pad_edge=False)
    table.add_column("retargeting quality")
    for clip in clips:
        table.add_column(clip.name, justify="right")
    table.add_column("goal", justify="right")
    table.add_column("unit")
    columns = [quality_rows(clip.motion) for clip in clips]
    for lines in zip(*columns, strict=True):
        cells = [number(line["value"], line["digits"]) for line in lines]
        marked = [
            f"[yellow]{cell} ![/yellow]" if line["met"] is False else cell
            for cell, line in zip(cells, lines, strict=True)
        ]
        table.add_row(lines[0]["title"], *marked, at_most(lines[0]["goal"]), lines[0]["unit"])
    _console().print(table)


def report_data(
    clips: list[Clip],
    results: list[EvaluationResult],
    player: PolicyPlayer,
    robot: Robot,
    steps: list[dict[str, Any]],
) -> dict[str, Any]:
    """Everything the report shows but pictures, in plain numbers and texts."""
    from mimic.machine import machine_info
    from mimic.viewer.report import SCHEMA

    contract, noisy = player.contract, results[-1].total
    good = round(noisy.success * noisy.episodes)
    error = noisy.errors["key_body_mm"]
    names = ", ".join(clip.name.replace("_", " ") for clip in clips)
    trained = {motion.name: motion.hash for motion in contract.motions}
    hashes = zip(clips, results[-1].motion_hashes, strict=True)
    same = sum(trained.get(clip.name) == digest for clip, digest in hashes)
    return {
        "schema": SCHEMA,
        "title": f"From human clips to a tracking policy: {robot.title}",
        "summary": f"Generated human clips ({names}) were retargeted to the robot; one policy, "
        "trained beforehand on such references, tracks them in simulation.",
        "tiles": [
            {
                "value": f"{good} / {noisy.episodes}",
                "label": "noisy episodes without a failure",
                "mood": "good" if good == noisy.episodes else "bad",
            },
            {
                "value": "–" if error is None else f"{error:.0f} mm",
                "label": "key-body error in the world, noisy episodes",
            },
            {"value": f"{noisy.normalised_return:.2f}", "label": "normalised return, noisy"},
            {
                "value": f"{sum(clip.motion.duration for clip in clips):.0f} s",
                "label": f"of motion, clips: {len(clips)}",
            },
        ],
        "steps": steps,
        "evaluations": [result.to_dict() for result in results],
        "clips": [_clip_data(clip) for clip in clips],
        "policy": {
            "task": contract.task,
            "robot": contract.robot.name,
            "observations": ", ".join(f"{t.name} ({t.size})" for t in contract.observations),
            "actions": f"{contract.num_joints} joint targets every {1e3 * contract.control_dt:g} "
            f"ms (physics every {1e3 * contract.physics_dt:g} ms)",
            "trained on": ", ".join(motion.name for motion in contract.motions),
            "references": f"{same} of {len(clips)} are bit for bit those it was trained on",
            "training": ", ".join(f"{key} {value}" for key, value in contract.training.items()),
        },
        "machine": machine_info(),
    }


def _clip_data(clip: Clip) -> dict[str, Any]:
    from mimic.viewer.figures import rollout_series
    from retarget.page.table import detection_line

    assert clip.rollout is not None
    rollout = clip.rollout
    failed = rollout.failed_at
    return {
        "name": clip.name,
        "about": detection_line(clip.human),
        "outcome": rollout.summary(),
        "success": rollout.success,
        "failed_s": None if failed is None else failed * rollout.control_dt,
        "series": rollout_series(rollout, clip.motion),
        "quality": quality_rows(clip.motion),
    }


def _write_report(out: Path, data: dict[str, Any], clips: list[Clip], video: Path | None) -> None:
    from mimic.viewer.report import render_report

    assets = {f"{clip.name}/{kind}": blob for clip in clips for kind, blob in clip.pictures.items()}
    if video is not None:
        assets[f"video/{video.stem}"] = video.read_bytes()
    atomic_write_text(out / "report.json", json.dumps(data, indent=1, allow_nan=False) + "\n")
    atomic_write_text(out / "report.html", render_report(data, assets))


def _print_where(
    out: Path, video: Path | None, results: list[EvaluationResult], seconds: float
) -> None:
    noisy = results[-1].total
    print(
        f"{round(noisy.success * noisy.episodes)} of {noisy.episodes} noisy episodes without a "
        f"failure. Done in {seconds:.0f} s:\n"
        f"  report   {out / 'report.html'}  (figures: report.json)"
    )
    if video is not None:
        print(f"  video    {video}")
    print(
        f"  policy   {out / 'policy.onnx'}\n"
        f"  motions  {out / 'motions'}  (human clips: {out / 'clips'})\n"
        f"all clips on video: mimic play {out / 'policy.onnx'} --motion {out / 'motions'} "
        "--video all.mp4"
    )
