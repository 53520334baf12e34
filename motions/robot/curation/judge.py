"""Keep, repair or reject: a clip cut into chunks, each with its reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np

from motions.robot.curation.faults import Fault, find_faults, folded
from motions.robot.curation.measures import (
    Measures,
    ground_height,
    measure_paths,
    sole_points_path,
)
from motions.robot.curation.repair import Repaired, repair
from motions.robot.curation.scores import ScoredWindow, worst_between
from motions.robot.curation.settings import CurationSettings, Thresholds
from motions.robot.formats.trajectory import RobotTrajectory
from motions.robot.scene import is_flat
from robots.robot import Robot

Verdict = Literal["keep", "repair", "reject"]
VISIBLE_SHIFT = 0.01
"""m; a clip moved less onto the ground does not count as repaired."""

_AT_LEAST = ("contact_score", "base_height_min")
_PHRASES = {
    "contact_score": ("no foot on the ground: contact score {value:.2f}", "at least {limit:.2f}"),
    "root_jerk": ("base jerks: {value:.0f} m/s^3", "at most {limit:.0f}"),
    "base_height_min": ("base down to {value:.2f} of its height", "at least {limit:.2f}"),
    "base_height_max": ("base up to {value:.2f} of its height", "at most {limit:.2f}"),
    "support_distance": ("out of balance: {value:.3f} m off the feet", "at most {limit:.3f}"),
    "penetration": ("{value:.3f} m under the ground", "at most {limit:.3f}"),
    "penetration_rate": ("under the ground in {value:.0%} of the frames", "at most {limit:.0%}"),
    "limit_excess": ("joint {value:.2f} rad out of its range", "at most {limit:.2f}"),
    "fast_rate": ("joints faster than their motors: {value:.1%}", "at most {limit:.1%}"),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Chunk:
    """A part of a clip: frames `start` to `stop` (excluded) of the repaired motion."""

    start: int
    stop: int
    verdict: Verdict
    reasons: tuple[str, ...]
    measures: Measures | None


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipVerdict:
    """A judged clip.

    Attributes:
        motion: after repair, on the ground. first: index in the file of its first frame.
        repairs: what was done to it, being parted at jumps included.
    """

    motion: RobotTrajectory
    first: int
    repairs: tuple[str, ...]
    chunks: tuple[Chunk, ...]

    @property
    def verdict(self) -> Literal["keep", "repair", "in part", "reject"]:
        found = {chunk.verdict for chunk in self.chunks}
        if found <= {"reject"}:
            return "reject"
        if "reject" in found:
            return "in part"
        return "repair" if "repair" in found or self.repairs else "keep"

    @property
    def kept(self) -> list[tuple[int, int]]:
        """Runs of frames (start, stop excluded) that belong to a chunk not rejected.

        Two chunks on both sides of a jump touch, but are not one run.
        """
        result: list[tuple[int, int]] = []
        for chunk in self.chunks:
            if chunk.verdict == "reject":
                continue
            if result and chunk.start < result[-1][1]:
                result[-1] = (result[-1][0], chunk.stop)
            else:
                result.append((chunk.start, chunk.stop))
        return result

    @property
    def kept_seconds(self) -> float:
        return sum(stop - start for start, stop in self.kept) / self.motion.fps

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; times in s from the start of the file."""
        fps = self.motion.fps
        return {
            "name": self.motion.name,
            "verdict": self.verdict,
            "fps": fps,
            "seconds": self.motion.num_frames / fps,
            "kept_seconds": self.kept_seconds,
            "cut_off_start": self.first,
            "repairs": list(self.repairs),
            "chunks": [
                {
                    "from": (self.first + c.start) / fps,
                    "to": (self.first + c.stop) / fps,
                    "verdict": c.verdict,
                    "reasons": list(c.reasons),
                    "measures": None if c.measures is None else c.measures.as_dict(),
                }
                for c in self.chunks
            ],
        }


def curate(
    motion: RobotTrajectory,
    robot: Robot,
    settings: CurationSettings | None = None,
    scores: Sequence[ScoredWindow] = (),
) -> ClipVerdict:
    """Judge a clip chunk by chunk, after repairing what is short.

    Args:
        motion: of `robot`; joints are put into its order. Raises `InputError` when they differ.
        scores: how well its windows can be followed, in seconds of the motion as it is given.
    """
    settings = settings or CurationSettings()
    motion = replace(motion.with_joint_order(robot.joint_names), bodies=None)
    if settings.repair:
        state = repair(motion, robot, settings.faults)
    else:
        state = Repaired(
            motion=motion,
            changed=np.zeros(motion.num_frames, dtype=bool),
            first=0,
            done=(),
            left=tuple(find_faults(motion, settings.faults)),
        )
    motion, done = state.motion, list(state.done)
    jumps = [fault for fault in state.left if fault.kind == "jump"]
    done += folded("parted", jumps, motion.fps, state.first)
    _, _, left, right = sole_points_path(motion, robot)
    ground = ground_height(np.concatenate([left, right], axis=1)[..., 2].min(axis=1))
    shifted = False
    # On terrain the soles' own height says nothing of the clip's.
    if settings.repair and 1e-4 < abs(ground) <= settings.shift_ground and is_flat(motion.scene):
        down = np.array([0.0, 0.0, -ground])
        objects = motion.objects
        motion = replace(
            motion,
            root_pos=motion.root_pos + down,
            objects=None if objects is None else replace(objects, pos_w=objects.pos_w + down),
        )
        shifted = abs(ground) > VISIBLE_SHIFT
        if shifted:
            done.append(f"{'lowered' if ground > 0 else 'lifted'} by {abs(ground) * 100:.1f} cm")
    paths = measure_paths(motion, robot)
    chunks = []
    for start, stop, jump in _pieces(motion, state.left, state.first):
        for a, b in chunk_ranges(start, stop, motion.fps, settings):
            if (b - a) / motion.fps < settings.shortest:
                why = "shorter than a chunk may be" + (f", beside a {jump}" if jump else "")
                chunks.append(
                    Chunk(start=a, stop=b, verdict="reject", reasons=(why,), measures=None)
                )
                continue
            figures = paths.measures(a, b)
            reasons = list(refusals(figures, settings.thresholds))
            began, ended = ((state.first + frame) / motion.fps for frame in (a, b))
            reasons += hard_to_follow(scores, began, ended, settings.feasibility)
            reasons += [
                f.text(motion.fps, state.first)
                for f in state.left
                if f.kind != "jump" and f.start < b and f.stop > a
            ]
            touched = shifted or bool(state.changed[a:b].any())
            verdict: Verdict = "reject" if reasons else "repair" if touched else "keep"
            chunks.append(
                Chunk(start=a, stop=b, verdict=verdict, reasons=tuple(reasons), measures=figures)
            )
    return ClipVerdict(motion=motion, first=state.first, repairs=tuple(done), chunks=tuple(chunks))


def _pieces(
    motion: RobotTrajectory, left: Sequence[Fault], first: int
) -> list[tuple[int, int, str]]:
    """Parts between jumps that could not be repaired, with the jump that ends or begins each."""
    jumps = [f for f in left if f.kind in ("jump", "spike")]
    cuts = sorted({f.start + 1 if f.kind == "jump" else f.start for f in jumps})
    cuts += [f.stop for f in jumps if f.kind == "spike"]
    edges = [0, *sorted(set(cuts)), motion.num_frames]
    pieces = []
    for a, b in zip(edges, edges[1:], strict=False):
        beside = [f.text(motion.fps, first) for f in jumps if a - 1 <= f.start <= b]
        pieces.append((a, b, beside[0] if beside else ""))
    return pieces


def chunk_ranges(
    start: int, stop: int, fps: float, settings: CurationSettings
) -> list[tuple[int, int]]:
    """Chunks of `chunk` seconds with `overlap` between them, as frames (start, stop excluded).

    What would be left shorter than `shortest` at the end is added to the chunk before.
    """
    length = max(2, round(settings.chunk * fps))
    stride = max(1, length - round(settings.overlap * fps))
    ranges = []
    at = start
    while True:
        end = min(at + length, stop)
        rest = stop - end
        if rest < round(settings.shortest * fps) - round(settings.overlap * fps) or rest <= 0:
            ranges.append((at, stop))
            return ranges
        ranges.append((at, end))
        at += stride


def refusals(measures: Measures, thresholds: Thresholds) -> list[str]:
    """Why a chunk is rejected, one phrase per measure beyond its threshold."""
    reasons = []
    for field in fields(thresholds):
        value, limit = getattr(measures, field.name), getattr(thresholds, field.name)
        beyond = value < limit if field.name in _AT_LEAST else value > limit
        if beyond:
            said, wanted = _PHRASES[field.name]
            reasons.append(f"{said.format(value=value)} ({wanted.format(limit=limit)})")
    return reasons


def hard_to_follow(
    scores: Sequence[ScoredWindow], from_s: float, to_s: float, least: float
) -> list[str]:
    """Why a learned model refuses a chunk: its hardest window, where it is below ``least``."""
    worst = worst_between(scores, from_s, to_s)
    if worst is None or worst.score >= least:
        return []
    return [
        f"hard to follow: feasibility {worst.score:.2f} at {worst.from_s:.2f} s (at least "
        f"{least:.2f})"
    ]


def thresholds_from(measures: Sequence[Measures], margin: float = 0.25) -> Thresholds:
    """Thresholds that keep a set of chunks known to be good, with room of `margin`.

    Each limit is the 99th percentile (the 1st of what has to be at least so much) over the chunks,
    moved outwards by `margin` of itself; shares that are zero in all of them keep their default.
    """
    default = Thresholds()
    values: dict[str, float] = {}
    for field in fields(Thresholds):
        column = np.array([getattr(m, field.name) for m in measures])
        if field.name in _AT_LEAST:
            values[field.name] = float(np.quantile(column, 0.01) * (1.0 - margin))
        else:
            limit = float(np.quantile(column, 0.99) * (1.0 + margin))
            values[field.name] = limit if limit > 0 else getattr(default, field.name)
    return replace(default, **values)
