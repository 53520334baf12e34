"""The state of the world by name: ``engine.state.robot.joint_pos``, ``.objects``, ``.contacts``.

Everything here is a view: reading a quantity gives the engine's tensor of this moment, so that an
object of this module may be kept while the engine steps. Tensors are [N, ...] with environments
first, float32 on the engine's device, quaternions wxyz, world frame z up.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from mimic.sim.engine import Engine


class RowsOfEnvironments:
    """Marks an object whose tensors hold one row for each environment.

    Terms may read the rows of some environments only, see ``mimic.envs.rows``.
    """

    rows_of_environments = True


class RobotState(RowsOfEnvironments):
    """Pose and velocity of the robot. J joints and B bodies in the robot's own order."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        joints = engine.scene.robot.num_joints
        self._joint_pos = slice(7, 7 + joints)
        self._joint_vel = slice(6, 6 + joints)

    @property
    def root_pos_w(self) -> torch.Tensor:
        """[N, 3] position of the floating base in the world, m."""
        return self._engine.qpos[:, :3]

    @property
    def root_quat_w(self) -> torch.Tensor:
        """[N, 4] orientation of the floating base in the world, wxyz."""
        return self._engine.qpos[:, 3:7]

    @property
    def root_lin_vel_w(self) -> torch.Tensor:
        """[N, 3] velocity of the floating base's origin along the axes of the world, m/s."""
        return self._engine.qvel[:, :3]

    @property
    def root_ang_vel_b(self) -> torch.Tensor:
        """[N, 3] angular velocity of the floating base along its own axes, rad/s."""
        return self._engine.qvel[:, 3:6]

    @property
    def joint_pos(self) -> torch.Tensor:
        """[N, J] joint angles, rad."""
        return self._engine.qpos[:, self._joint_pos]

    @property
    def joint_vel(self) -> torch.Tensor:
        """[N, J] joint speeds, rad/s."""
        return self._engine.qvel[:, self._joint_vel]

    @property
    def body_pos_w(self) -> torch.Tensor:
        """[N, B, 3] origins of all bodies in the world, m."""
        return self._engine.body_pos_w

    @property
    def body_quat_w(self) -> torch.Tensor:
        """[N, B, 4] orientations of all bodies in the world, wxyz."""
        return self._engine.body_quat_w

    @property
    def body_lin_vel_w(self) -> torch.Tensor:
        """[N, B, 3] velocities of the bodies' origins in the world, m/s."""
        return self._engine.body_lin_vel_w

    @property
    def body_ang_vel_w(self) -> torch.Tensor:
        """[N, B, 3] angular velocities of the bodies along the axes of the world, rad/s."""
        return self._engine.body_ang_vel_w


class ObjectState(Protocol):
    """Pose and velocity of an object's body frame: [N, 3] m, [N, 4], [N, 3] m/s, rad/s."""

    @property
    def pos_w(self) -> torch.Tensor: ...
    @property
    def quat_w(self) -> torch.Tensor: ...
    @property
    def lin_vel_w(self) -> torch.Tensor: ...
    @property
    def ang_vel_w(self) -> torch.Tensor: ...


class ContactState(RowsOfEnvironments):
    """The contact force on one named body, of the last physics step of the control step.

    Physics computes contacts before it moves on, so the force belongs to the state one physics
    step before the published one, on every engine alike. It is zero after a reset.
    """

    def __init__(self, engine: Engine, index: int) -> None:
        self._engine = engine
        self._index = index

    @property
    def force(self) -> torch.Tensor:
        """[N, 3] sum of the contact forces that act on the body, in the world, N."""
        return self._engine.named_contact_force[:, self._index]

    @property
    def magnitude(self) -> torch.Tensor:
        """[N] length of ``force``, N."""
        return torch.linalg.vector_norm(self.force, dim=-1)


class SceneState(RowsOfEnvironments):
    """The robot, the objects and the named contacts of a scene, all environments at once."""

    def __init__(self, engine: Engine) -> None:
        self.robot = RobotState(engine)
        self.objects: Mapping[str, ObjectState] = MappingProxyType({})
        self.contacts: Mapping[str, ContactState] = MappingProxyType(
            {name: ContactState(engine, i) for i, name in enumerate(engine.scene.contacts)}
        )
