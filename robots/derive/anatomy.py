"""What a model's kinematics say about legs, arms, trunk and feet; see `find_anatomy`."""

from __future__ import annotations

from dataclasses import dataclass, field

import mujoco
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Guess:
    """How sure a derived value is, 0..1, and why it was chosen."""

    confidence: float
    reason: str


@dataclass(frozen=True)
class Limb:
    """A leg or an arm; bodies and joints are indices of the model.

    Attributes:
        bodies: from the first moving body to foot or hand. joints: their hinges in order.
        upper: body that carries thigh or upper arm. middle: body of knee or elbow.
        end: body of foot or wrist.
        tip: [3] m, where the wrist is in the frame of `end`; zero when it is the body's origin.
        bend: joint of knee or elbow.
    """

    bodies: tuple[int, ...]
    joints: tuple[int, ...]
    upper: int
    middle: int
    end: int
    bend: int
    tip: Array = field(default_factory=lambda: np.zeros(3))

    @property
    def second(self) -> int:
        """The body in the middle of the hip's or shoulder's joints, a key body by custom."""
        return self.bodies[min(1, len(self.bodies) - 1)]


@dataclass(frozen=True)
class Anatomy:
    """Left and right limbs and the trunk of a humanoid model at its zero pose.

    Attributes:
        model: the vendor's model. data: its kinematics at the zero pose.
        partner: body -> its mirror image; bodies of the middle are their own.
        pelvis: body that carries the legs. chest: body that carries the arms.
        guesses: name of a decision -> its confidence and reason.
        points: body -> world points [K, 3] of its geometry at the zero pose, m.
    """

    model: mujoco.MjModel
    data: mujoco.MjData
    partner: dict[int, int]
    root: int
    pelvis: int
    chest: int
    legs: tuple[Limb, Limb]
    arms: tuple[Limb, Limb]
    guesses: dict[str, Guess]
    points: dict[int, Array]

    def name(self, body: int) -> str:
        return self.model.body(body).name

    def shoulder(self, side: int) -> int:
        """The arm's first body outside the trunk: a clavicle's hinge is in the middle of it."""
        arm = self.arms[side]
        out = 0.5 * abs(float(self.data.xpos[arm.upper][1]))
        return next((b for b in arm.bodies if abs(self.data.xpos[b][1]) >= out), arm.upper)


def hinges(model: mujoco.MjModel, body: int) -> list[int]:
    """Hinge joints of a body."""
    first, count = int(model.body_jntadr[body]), int(model.body_jntnum[body])
    kinds = [(j, int(model.jnt_type[j])) for j in range(first, first + count)]
    return [j for j, kind in kinds if kind == int(mujoco.mjtJoint.mjJNT_HINGE)]


def children(model: mujoco.MjModel, body: int) -> list[int]:
    return [b for b in range(1, model.nbody) if b != body and int(model.body_parentid[b]) == body]


def subtree(model: mujoco.MjModel, body: int) -> list[int]:
    """The body and all that hang below it."""
    found = [body]
    for b in found:
        found += children(model, b)
    return found


def world_axis(anatomy_data: mujoco.MjData, model: mujoco.MjModel, joint: int) -> Array:
    """Axis [3] of a joint in the world."""
    body = int(model.jnt_bodyid[joint])
    return anatomy_data.xmat[body].reshape(3, 3) @ model.jnt_axis[joint]


def joint_limits(model: mujoco.MjModel, joint: int) -> tuple[float, float]:
    """Range of a hinge, rad; half a turn either way where the file gives none."""
    if model.jnt_limited[joint]:
        low, high = model.jnt_range[joint]
        return float(low), float(high)
    return -np.pi, np.pi
