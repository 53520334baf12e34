"""The robot: a compiled vendor model plus everything the rest of the road asks about it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from robots.kinematics import forward_kinematics

if TYPE_CHECKING:
    import mujoco


@dataclass(frozen=True, kw_only=True, eq=False)
class Robot:
    """A humanoid as every package sees it. Arrays over joints are in model (= actuator) order.

    Attributes:
        model: compiled robot alone: free joint, hinges, our overlay; no ground, and nothing that is
            only seen (`robots.shapes.drawn_model` has it).
        vendor_xml: the vendor's MJCF or URDF.
        joint_names: [J] hinge joints.
        body_names: [B] all bodies but the world; the first is the floating base.
        default_joint_pos: [J] rad. default_root_height: m, soles on the ground in that pose.
        kp, kd: [J] N m/rad, N m s/rad. effort_limit: [J] N m. velocity_limit: [J] rad/s.
        armature: [J] kg m^2. action_scale: [J] rad per unit action.
        joint_lower, joint_upper: [J] rad hard limits; soft_lower, soft_upper: the inner part.
        sole_points: per foot (left, right) [K, 3] points of the sole in the foot's frame, m.
        human_map: human role -> body whose origin is that key point.
        doubts: what its description says of itself that it is unsure of, a line each.
        content_hash: of the compiled model and description; stored in policy files.
    """

    name: str
    title: str
    vendor_xml: Path
    model_source: str
    model: mujoco.MjModel
    spec_factory: Callable[[], mujoco.MjSpec] = field(repr=False)
    vendor_factory: Callable[[], mujoco.MjSpec] = field(repr=False)
    joint_names: tuple[str, ...]
    body_names: tuple[str, ...]
    default_joint_pos: NDArray[np.float64]
    default_root_height: float
    kp: NDArray[np.float64]
    kd: NDArray[np.float64]
    effort_limit: NDArray[np.float64]
    velocity_limit: NDArray[np.float64]
    armature: NDArray[np.float64]
    action_scale: NDArray[np.float64]
    joint_lower: NDArray[np.float64]
    joint_upper: NDArray[np.float64]
    soft_lower: NDArray[np.float64]
    soft_upper: NDArray[np.float64]
    root_body: str
    anchor_body: str
    key_bodies: tuple[str, ...]
    end_effectors: tuple[str, ...]
    feet: tuple[str, str]
    sole_points: tuple[NDArray[np.float64], NDArray[np.float64]]
    human_map: Mapping[str, str]
    doubts: tuple[str, ...] = ()

    def spec(self) -> mujoco.MjSpec:
        """Return a fresh editable model (robot alone, overlay applied) for composing scenes."""
        return self.spec_factory()

    def vendor_spec(self) -> mujoco.MjSpec:
        """Return a fresh editable vendor's model: same joints, its own geometry, no overlay."""
        return self.vendor_factory()

    def body_poses(
        self,
        root_pos: NDArray[np.float64],
        root_quat: NDArray[np.float64],
        joint_pos: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Poses [T, B, 3] m and [T, B, 4] of all bodies; see `robots.kinematics`."""
        return forward_kinematics(self, root_pos, root_quat, joint_pos)

    @property
    def num_joints(self) -> int:
        return len(self.joint_names)

    @property
    def content_hash(self) -> str:
        """Hash of what a policy depends on: names, limits, gains, masses and geometry."""
        model = self.model
        digest = hashlib.sha256()
        for text in (self.name, *self.joint_names, *self.body_names, *self.key_bodies):
            digest.update(text.encode() + b"\0")
        arrays = (
            self.kp, self.kd, self.effort_limit, self.default_joint_pos, self.action_scale,
            self.joint_lower, self.joint_upper, model.body_mass, model.body_pos, model.body_quat,
            model.body_inertia, model.jnt_axis, model.dof_armature,
        )  # fmt: skip
        for array in arrays:
            # Rounded, so that the hash does not depend on the last bit of a compiler's arithmetic.
            # Adding zero turns a rounded -0.0 into 0.0.
            digest.update((np.round(np.asarray(array, np.float64), 9) + 0.0).tobytes())
        return digest.hexdigest()[:16]
