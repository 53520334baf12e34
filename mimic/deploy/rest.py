"""Whether a robot can stay in a pose, and the pose to go to where it cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimic.deploy import clips as moves
from mimic.policy.contract import PolicyContract
from mimic.policy.observations import Reference
from mimic_base.rotations import quat_rotate
from robots import Robot

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class RestRules:
    """When a robot can stay in a frame of a clip."""

    speed: float = 0.25
    """m/s of any of its bodies."""
    lean: float = 0.35
    """rad between the base's vertical axis and the world's."""
    lift: float = 0.03
    """m of a foot above the height at which it stands."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Rest:
    """Poses that a robot can stay in.

    Attributes:
        root: index of the base among the policy's bodies. feet: of the feet, and heights [F] m at
            which they stand.
        pose: two frames of the pose that is gone to: the quietest of the clips in which the robot
            can stay, since the policy knows it, else standing with the default joints.
    """

    root: int
    feet: tuple[int, ...]
    heights: Array
    pose: Reference
    rules: RestRules = RestRules()

    @classmethod
    def of(
        cls, contract: PolicyContract, robot: Robot, clips: Sequence[Reference],
        rules: RestRules | None = None,
    ) -> Rest:  # fmt: skip
        """The poses of a policy's robot, for clips in the policy's order."""
        standing = standing_reference(contract, robot)
        names = contract.body_names
        feet = tuple(names.index(foot) for foot in robot.feet if foot in names)
        found = cls(
            root=names.index(contract.root_body),
            feet=feet,
            heights=standing.body_pos_w[0, list(feet), 2],
            pose=standing,
            rules=rules or RestRules(),
        )
        quiet = [(*found.quietest(clip), clip) for clip in clips]
        quiet = [each for each in quiet if np.isfinite(each[0])]
        if not quiet:
            return found
        _, frame, clip = min(quiet, key=lambda each: each[0])
        return cls(
            root=found.root, feet=feet, heights=found.heights, rules=found.rules,
            pose=moves.held(clip, frame, 2),
        )  # fmt: skip

    def quietest(self, clip: Reference) -> tuple[float, int]:
        """The fastest body's speed (m/s) in the quietest frame in which a robot can stay, infinite
        where there is none, and that frame."""
        fastest = np.linalg.norm(clip.body_lin_vel_w, axis=-1).max(-1)
        up = quat_rotate(clip.body_quat_w[:, self.root], np.array([0.0, 0.0, 1.0]))
        may = (fastest <= self.rules.speed) & (up[:, 2] >= np.cos(self.rules.lean))
        if self.feet:
            lifted = np.abs(clip.body_pos_w[:, list(self.feet), 2] - self.heights)
            may &= lifted.max(-1) <= self.rules.lift
        speeds = np.where(may, fastest, np.inf)
        frame = int(np.argmin(speeds))
        return float(speeds[frame]), frame

    def may_stay(self, reference: Reference, frame: int) -> bool:
        """Whether a robot can stay in a frame."""
        index = min(max(frame, 0), reference.num_frames - 1)
        one = Reference(
            **{name: values[index : index + 1] for name, values in reference.frame_fields().items()}
        )
        return bool(np.isfinite(self.quietest(one)[0]))


def standing_reference(contract: PolicyContract, robot: Robot) -> Reference:
    """Two frames of the robot's standing pose, at rest, soles on the ground, at the origin."""
    order = [contract.joint_names.index(name) for name in robot.joint_names]
    joints = np.asarray(contract.default_joint_pos)[order]
    place = np.array([[0.0, 0.0, robot.default_root_height]])
    pos, quat = robot.body_poses(place, np.array([[1.0, 0.0, 0.0, 0.0]]), joints[None])
    bodies = [robot.body_names.index(name) for name in contract.body_names]
    one = Reference(
        joint_pos=np.asarray(contract.default_joint_pos, np.float64)[None],
        joint_vel=np.zeros((1, contract.num_joints)),
        body_pos_w=pos[:, bodies],
        body_quat_w=quat[:, bodies],
        body_lin_vel_w=np.zeros((1, len(bodies), 3)),
        body_ang_vel_w=np.zeros((1, len(bodies), 3)),
    )
    return moves.held(one, 0, 2)
