"""Can a foreign motion be what it says, on this robot? Units, joint order, left and right.

A file without names or body poses is believed as its format declares it, unless the robot
contradicts: its base at a height that no robot has, joints far out of their ranges, feet that slide
and would not if left and right were exchanged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mimic_base.errors import RobotError, input_error
from mimic_base.rotations import quat_rotate
from mimic_base.surface import FLAT, Surface
from mimic_base.vectors import Array
from motions.robot.formats.orders import JOINT_ORDERS
from motions.robot.formats.trajectory import RobotTrajectory
from robots.kinematics import forward_kinematics
from robots.robot import Robot
from robots.symmetry import mirror_map

HEIGHTS = (0.05, 4.0)
"""Median height of the base, as shares of its default: it may lie on the ground or climb stairs."""
FAR_OUT, FAR_OUT_SHARE = 1.0, 0.02
"""rad beyond a joint's range, in such a share of the frames: a glitch is for curation to find."""
OUT, OUT_SHARE = 0.1, 0.25
"""rad beyond a joint's range in a quarter of the frames. Good files: 0.05 rad in 5 %."""
AFLOAT = 0.3
"""m of the lowest sole point over or under z = 0, in the median, that is worth a note."""
SLIDES, LESS_SLIDING = 0.03, 0.65
"""m/s of the standing sole, and the share of it that is left once left and right are exchanged:
good clips keep 0.8 of it or more."""
EXCHANGED_OUT = 0.05
"""Share of frames out of range that left and right exchanged have to explain."""


@dataclass(frozen=True, kw_only=True)
class _Excess:
    """How far joints are out of range: per frame the worst, and whose it is."""

    worst: Array
    joint: str

    @property
    def share(self) -> float:
        """Share of the frames in which some joint is over a milliradian out of its range."""
        return float((self.worst > 1e-3).mean())

    @property
    def gross(self) -> bool:
        return bool(
            np.quantile(self.worst, 1.0 - FAR_OUT_SHARE) > FAR_OUT
            or np.quantile(self.worst, 1.0 - OUT_SHARE) > OUT
        )

    @property
    def text(self) -> str:
        return f"{self.share:.0%} of the frames, at most {self.worst.max():.2f} rad ({self.joint})"


def sole_path(robot: Robot, foot: int, body_pos: Array, body_quat: Array) -> Array:
    """Sole points of a foot (0 left, 1 right) in the world, [T, K, 3] m."""
    body = robot.body_names.index(robot.feet[foot])
    points = robot.sole_points[foot]
    return body_pos[:, body, None] + quat_rotate(body_quat[:, body, None], points[None])


def sliding(robot: Robot, pos: Array, quat: Array, fps: float) -> float:
    """Median horizontal speed in m/s of the lowest sole point while it is the lowest."""
    paths = np.concatenate([sole_path(robot, foot, pos, quat) for foot in (0, 1)], axis=1)
    speed = np.linalg.norm(np.diff(paths[..., :2], axis=0), axis=-1) * fps
    lowest = paths[..., 2].argmin(axis=1)[:-1]
    return float(np.median(speed[np.arange(len(speed)), lowest]))


def check_height(motion: RobotTrajectory, robot: Robot) -> None:
    """`InputError` when the base is at a height no robot has: in another unit, or not upwards."""
    height = float(np.median(motion.root_pos[:, 2]))
    share = height / robot.default_root_height
    if HEIGHTS[0] <= share <= HEIGHTS[1]:
        return
    guess = "check that the third column is the height (z up)"
    for factor, unit in ((100.0, "centimetres"), (1000.0, "millimetres")):
        if 0.5 * factor < share < 2.0 * factor:
            guess = f"are these {unit}? convert to metres before"
    low, high = (h * robot.default_root_height for h in HEIGHTS)
    raise input_error(
        motion.where,
        f"the base is at a height that robot {robot.name} cannot have",
        found=f"{height:.2f} m, the median",
        expected=f"{low:.2f} to {high:.1f} m",
        fix=f"{guess}, or --no-check if it is right",
    )


def ground_note(robot: Robot, pos: Array, quat: Array, ground: Surface = FLAT) -> list[str]:
    """A note when the feet are not where the ground is: terrain that no scene tells, or a height
    that means another."""
    paths = [sole_path(robot, foot, pos, quat) for foot in (0, 1)]
    soles = [ground.clearance(path).min(axis=1) for path in paths]
    height = float(np.median(np.min(soles, axis=0)))
    if abs(height) <= AFLOAT:
        return []
    side = "above" if height > 0 else "below"
    where = "the ground (z = 0)" if ground.is_flat else "its scene's ground"
    return [f"warning: the lower foot is {abs(height):.2f} m {side} {where} mostly"]


def check_limits(motion: RobotTrajectory, robot: Robot) -> list[str]:
    """A note when joints leave their ranges; `InputError` when they do so as no good file does.

    Args:
        motion: joints in the robot's order.
    """
    excess = _excess(motion.joint_pos, robot)
    if excess.gross:
        order = _fitting_order(motion.joint_pos, robot)
        fix = f"--joint-order {order} would fit" if order else "check --robot and --joint-order"
        raise input_error(
            motion.where,
            f"the joints are far out of the ranges of robot {robot.name}",
            found=excess.text,
            expected=f"at most {FAR_OUT:g} rad, and {OUT:g} rad in three quarters of the frames",
            fix=f"{fix}; or --no-check if it is right",
        )
    return [f"joints beyond the robot's limits in {excess.text}"] if excess.share > 0 else []


def _excess(joint_pos: Array, robot: Robot) -> _Excess:
    beyond = np.maximum(robot.joint_lower - joint_pos, joint_pos - robot.joint_upper)
    worst = int(beyond.max(axis=0).argmax())
    return _Excess(worst=np.maximum(beyond.max(axis=1), 0.0), joint=robot.joint_names[worst])


def _fitting_order(joint_pos: Array, robot: Robot) -> str | None:
    """Another known order of the same joints in which the columns stay within the ranges."""
    known = {n: o for n, o in JOINT_ORDERS.items() if set(o) == set(robot.joint_names)}
    names = robot.joint_names
    for read in known.values():
        columns = joint_pos[:, [names.index(n) for n in read]]
        for name, order in known.items():
            other = columns[:, [order.index(n) for n in names]]
            if order != read and _excess(other, robot).worst.max() < FAR_OUT / 2:
                return name
    return None


def exchanged_sides(motion: RobotTrajectory, robot: Robot, pos: Array, quat: Array) -> list[str]:
    """A warning when the motion makes more sense with left and right columns exchanged.

    Args:
        motion: joints in the robot's order. pos, quat: poses of its bodies, [T, B, 3], [T, B, 4].

    The sole that stands hardly slides and keeps its height, on the right legs; that, or joints out
    of range that would not be. Standing on the spot tells nothing.
    """
    try:
        partner = mirror_map(robot).joint_index
    except RobotError:
        return []
    joint_pos = motion.joint_pos[:, list(partner)]
    other = forward_kinematics(robot, motion.root_pos, motion.root_quat, joint_pos)
    slide, less = (sliding(robot, *poses, motion.fps) for poses in ((pos, quat), other))
    found = []
    steadier = _unsteadiness(robot, *other) <= _unsteadiness(robot, pos, quat)
    if slide > SLIDES and less < LESS_SLIDING * slide and steadier:
        found.append(f"the feet slide at {slide:.2f} m/s, exchanged at {less:.2f}")
    excess, rest = _excess(motion.joint_pos, robot), _excess(joint_pos, robot)
    if (
        excess.share >= EXCHANGED_OUT
        and excess.worst.max() > OUT
        and rest.worst.max() < 0.2 * excess.worst.max()
    ):
        found.append(
            f"joints are up to {excess.worst.max():.2f} rad out of range, exchanged "
            f"{rest.worst.max():.2f}"
        )
    if not found:
        return []
    return [f"warning: left and right joints may be exchanged ({'; '.join(found)})"]


def _unsteadiness(robot: Robot, pos: Array, quat: Array) -> float:
    """Metres between the 10th and the 90th percentile of the lowest sole point's height."""
    heights = [sole_path(robot, foot, pos, quat)[..., 2].min(axis=1) for foot in (0, 1)]
    low, high = np.quantile(np.min(heights, axis=0), [0.1, 0.9])
    return float(high - low)
