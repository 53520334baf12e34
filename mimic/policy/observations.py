"""The actor's observation terms in numpy, by the names the contract uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mimic.policy.contract import PolicyContract
from mimic_base.errors import MimicError
from mimic_base.frame_fields import FrameArrays
from mimic_base.rotations import quat_conj, quat_inv_rotate, quat_mul, quat_to_matrix

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class RobotState:
    """What one robot measures in a control step; joints in the contract's order.

    Attributes:
        joint_pos, joint_vel: [J] rad, rad/s.
        root_ang_vel_b: [3] rad/s, gyroscope of the floating base in its own frame.
        anchor_quat_w: [4] wxyz, orientation of the anchor body.
        anchor_pos_w: [3] m; only policies trained with state estimation need it.
        root_lin_vel_b: [3] m/s of the floating base in its own frame; likewise.
    """

    joint_pos: ArrayLike
    joint_vel: ArrayLike
    root_ang_vel_b: ArrayLike
    anchor_quat_w: ArrayLike
    anchor_pos_w: ArrayLike | None = None
    root_lin_vel_b: ArrayLike | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference(FrameArrays[Array]):
    """A clip at the control rate; joints and bodies in the contract's order."""

    @property
    def num_frames(self) -> int:
        return len(self.joint_pos)

    def frame(self, t: int) -> Reference:
        """Frame ``t`` alone, without the leading axis; the last one where the clip has ended."""
        index = min(max(int(t), 0), self.num_frames - 1)
        return Reference(**{name: values[index] for name, values in self.frame_fields().items()})


@dataclass(frozen=True)
class Situation:
    """What an observation term may look at."""

    contract: PolicyContract
    state: RobotState
    reference: Reference
    last_action: Array

    @property
    def anchor(self) -> int:
        return self.contract.body_names.index(self.contract.anchor_body)

    def measured(self, name: str) -> Array:
        """An entry of the state, refused when the robot does not give it."""
        value = getattr(self.state, name)
        if value is None:
            raise MimicError(
                f"this policy observes '{name}', which the robot does not measure; use a policy "
                "of a task without state estimation"
            )
        return np.asarray(value, np.float64)


Term = Callable[[Situation], Array]


def command(s: Situation) -> Array:
    """Reference joint positions and velocities, [2 J]."""
    return np.concatenate([s.reference.joint_pos, s.reference.joint_vel])


def motion_anchor_pos_b(s: Situation) -> Array:
    """Reference anchor position in the robot's anchor frame, [3] m."""
    offset = s.reference.body_pos_w[s.anchor] - s.measured("anchor_pos_w")
    return quat_inv_rotate(s.measured("anchor_quat_w"), offset)


def motion_anchor_ori_b(s: Situation) -> Array:
    """Reference anchor orientation in the robot's anchor frame, two matrix columns, [6]."""
    inverse = quat_conj(s.measured("anchor_quat_w"))
    relative = quat_mul(inverse, s.reference.body_quat_w[s.anchor])
    return quat_to_matrix(relative)[:, :2].reshape(6)


def base_lin_vel(s: Situation) -> Array:
    """Velocity of the floating base in its own frame, [3] m/s."""
    return s.measured("root_lin_vel_b")


def base_ang_vel(s: Situation) -> Array:
    """Angular velocity of the floating base in its own frame, [3] rad/s."""
    return s.measured("root_ang_vel_b")


def joint_pos(s: Situation) -> Array:
    """Joint positions relative to the default pose, [J] rad."""
    return s.measured("joint_pos") - np.asarray(s.contract.default_joint_pos)


def joint_vel(s: Situation) -> Array:
    """Joint velocities, [J] rad/s."""
    return s.measured("joint_vel")


def actions(s: Situation) -> Array:
    """Last action as the policy gave it, [J]."""
    return np.asarray(s.last_action, np.float64)


TERMS: Mapping[str, Term] = {
    term.__name__: term
    for term in (
        command, motion_anchor_pos_b, motion_anchor_ori_b, base_lin_vel, base_ang_vel,
        joint_pos, joint_vel, actions,
    )
}  # fmt: skip


def build_observation(situation: Situation) -> NDArray[np.float32]:
    """The observation [D] as the contract lays it out.

    Raises:
        MimicError: a term without a function here, of another size, with a history, or one that
            needs what the robot does not measure.
    """
    parts = []
    for info in situation.contract.observations:
        if info.name not in TERMS:
            raise MimicError(
                f"this policy observes '{info.name}', which this program cannot build; known: "
                f"{', '.join(TERMS)}"
            )
        if info.history != 1:
            raise MimicError(
                f"this policy observes a history of {info.history} of '{info.name}', which this "
                "program cannot build"
            )
        value = TERMS[info.name](situation)
        if value.shape != (info.size,):
            raise MimicError(
                f"observation '{info.name}' has shape {value.shape}, the contract says "
                f"({info.size},)"
            )
        parts.append(value * info.scale)
    return np.concatenate(parts).astype(np.float32)
