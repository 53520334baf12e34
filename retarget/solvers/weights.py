"""Weights of the objectives that a person makes, and the posture that nothing asks to leave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import mujoco
import numpy as np

from mimic_base.vectors import Array
from robots.robot import Robot


def _segments() -> dict[str, tuple[float, float]]:
    return {
        "pelvis": (3.0, 3.0),
        "chest": (2.0, 1.5),
        "thigh": (1.5, 0.15),
        "shank": (1.5, 0.15),
        "upper_arm": (1.5, 0.1),
        "forearm": (1.5, 0.1),
        "foot": (0.6, 0.3),
        "hand": (0.15, 0.15),
    }


@dataclass(frozen=True)
class ObjectiveWeights:
    """Weights per radian (directions, joints) and per metre (points); a cost is their square."""

    segments: Mapping[str, tuple[float, float]] = field(default_factory=_segments)
    """Segment kind -> weights of the directions of its primary and secondary axis."""
    standing_foot: tuple[float, float] = (4.0, 1.0)
    """Added to the foot's axes where it stands on its whole sole (stage 2)."""
    root: float = 30.0
    """Weight of the root's place."""
    ankle: float = 15.0
    """Weight of the ankles' places."""
    standing_edge: float = 60.0
    """Weight of the place, along the ground, of an edge of the sole that stands."""
    standing_height: float = 60.0
    """Weight of the height of an edge of the sole that stands."""
    rest_waist: float = 0.08
    """Pull of the waist joints to straight."""
    rest_wrist: float = 0.10
    """Pull of the wrist joints to straight."""
    rest_other: float = 0.01
    """Pull of every other joint to the robot's default pose."""


def rest_posture(robot: Robot, weights: ObjectiveWeights) -> tuple[Array, Array]:
    """Angles [J] rad that joints are drawn to, and their weights [J] per radian.

    Waist and wrists are drawn to straight, all others to the robot's default pose.
    """
    model = robot.model
    rest = robot.default_joint_pos.copy()
    weight = np.full(len(rest), weights.rest_other)
    chains = [
        ("pelvis", "chest", weights.rest_waist),
        ("left_elbow", "left_wrist", weights.rest_wrist),
        ("right_elbow", "right_wrist", weights.rest_wrist),
    ]
    for top, bottom, value in chains:
        ends = (model.body(robot.human_map[role]).id for role in (top, bottom))
        for body in bodies_between(model, *ends):
            for joint in range(
                model.body_jntadr[body], model.body_jntadr[body] + model.body_jntnum[body]
            ):
                if joint > 0:  # the free joint has no angle
                    rest[joint - 1] = 0.0
                    weight[joint - 1] = value
    return np.clip(rest, robot.joint_lower, robot.joint_upper), weight


def bodies_between(model: mujoco.MjModel, first: int, second: int) -> list[int]:
    """Bodies whose joints turn `second` against `first`; either may be the nearer to the root."""

    def above(body: int) -> list[int]:
        way = [body]
        while way[-1] > 0:
            way.append(int(model.body_parentid[way[-1]]))
        return way

    a, b = above(first), above(second)
    return [x for x in a if x not in b] + [x for x in b if x not in a]
