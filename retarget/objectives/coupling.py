"""Hinges that follow other hinges (gears, mimic joints), as an objective of the solvers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mimic_base.vectors import Array
from robots.constraints import Coupling, couplings
from robots.robot import Robot

if TYPE_CHECKING:
    from retarget.objectives.objective import Frames
    from retarget.solvers.normal import NormalEquations

WEIGHT = 20.0
"""Per radian; directions have about 1."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Coupled:
    """``r = q_follower - p(q_leader)`` with p the model's polynomial."""

    coupling: Coupling
    reference: tuple[float, float]
    """Readings of follower and leader in the drawn pose, rad."""
    name: str = "coupling"
    weight: float = WEIGHT

    def at(self, frames: Frames) -> Coupled:
        """The same objective: it is the same in every frame."""
        del frames
        return self

    def add(self, normal: NormalEquations) -> None:
        """Add its rows."""
        joints = normal.pose.joints
        follower, leader = self.coupling.follower - 1, self.coupling.leader - 1
        frames = joints.shape[1]
        rows = np.zeros((frames, normal.tree.num_dofs))
        rows[:, 6 + follower] = self.weight
        at = np.full(frames, self.reference[1]) if leader < 0 else joints[leader]
        wanted, slope = self.coupling.value(at, self.reference)
        if leader >= 0:
            rows[:, 6 + leader] -= self.weight * slope
        residual: Array = self.weight * (joints[follower] - wanted)
        normal.dense(np.arange(frames), rows, residual)


def coupled(robot: Robot) -> list[Coupled]:
    """An objective for every hinge of the robot that follows another one."""
    model = robot.model

    def drawn(joint: int) -> float:
        return 0.0 if joint < 0 else float(model.qpos0[model.jnt_qposadr[joint]])

    return [
        Coupled(coupling=each, reference=(drawn(each.follower), drawn(each.leader)))
        for each in couplings(model)
    ]
