"""The state of the world by name: ``engine.state.robot.joint_pos``, ``.objects``, ``.contacts``.

Everything here is a view: reading a quantity gives the engine's tensor of this moment, so that an
object of this module may be kept while the engine steps. Tensors are [N, ...] with environments
first, float32 on the engine's device, quaternions wxyz, world frame z up.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from mimic_base.rotations_torch import quat_inv_rotate, quat_rotate

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
    def root_lin_vel_b(self) -> torch.Tensor:
        """[N, 3] velocity of the floating base's origin along its own axes, m/s."""
        return quat_inv_rotate(self.root_quat_w, self.root_lin_vel_w)

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


class ObjectState(RowsOfEnvironments, ABC):
    """Pose and velocity of an object's body frame in the world."""

    @property
    @abstractmethod
    def pos_w(self) -> torch.Tensor:
        """[N, 3] origin of the object, m; the centre of a primitive."""

    @property
    @abstractmethod
    def quat_w(self) -> torch.Tensor:
        """[N, 4] orientation, wxyz."""

    @property
    @abstractmethod
    def lin_vel_w(self) -> torch.Tensor:
        """[N, 3] velocity of the origin, m/s."""

    @property
    @abstractmethod
    def ang_vel_w(self) -> torch.Tensor:
        """[N, 3] angular velocity along the axes of the world, rad/s."""


class FreeObject(ObjectState):
    """An object with coordinates of its own."""

    def __init__(self, engine: Engine, qpos: int, qvel: int) -> None:
        self._engine = engine
        self._pos, self._quat = slice(qpos, qpos + 3), slice(qpos + 3, qpos + 7)
        self._lin, self._ang = slice(qvel, qvel + 3), slice(qvel + 3, qvel + 6)

    @property
    def pos_w(self) -> torch.Tensor:
        return self._engine.qpos[:, self._pos]

    @property
    def quat_w(self) -> torch.Tensor:
        return self._engine.qpos[:, self._quat]

    @property
    def lin_vel_w(self) -> torch.Tensor:
        return self._engine.qvel[:, self._lin]

    @property
    def ang_vel_w(self) -> torch.Tensor:
        # The coordinate is along the object's own axes.
        return quat_rotate(self.quat_w, self._engine.qvel[:, self._ang])


class FixedObject(ObjectState):
    """An object that stays where the model has it, in each environment in its own place."""

    def __init__(self, engine: Engine, body: int) -> None:
        model, rows = engine.scene.model, (engine.num_envs, 1)
        self.body = body

        def everywhere(values: NDArray[np.float64]) -> torch.Tensor:
            return torch.tensor(values, dtype=torch.float32, device=engine.device).repeat(rows)

        self._pos = everywhere(model.body_pos[body])
        self._quat = everywhere(model.body_quat[body])
        self._zero = torch.zeros(engine.num_envs, 3, device=engine.device)

    @property
    def pos_w(self) -> torch.Tensor:
        return self._pos

    @property
    def quat_w(self) -> torch.Tensor:
        return self._quat

    @property
    def lin_vel_w(self) -> torch.Tensor:
        return self._zero

    @property
    def ang_vel_w(self) -> torch.Tensor:
        return self._zero

    def moved(self, field: str, values: torch.Tensor) -> None:
        """Take the values [N, nbody, 3 | 4] that ``body_pos`` or ``body_quat`` now has."""
        target = self._pos if field == "body_pos" else self._quat
        target.copy_(values[:, self.body])


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
        self.objects: Mapping[str, ObjectState] = MappingProxyType(
            {
                name: FixedObject(engine, each.body)
                if each.qpos is None or each.qvel is None
                else FreeObject(engine, each.qpos, each.qvel)
                for name, each in engine.scene.objects.items()
            }
        )
        self.contacts: Mapping[str, ContactState] = MappingProxyType(
            {name: ContactState(engine, i) for i, name in enumerate(engine.scene.contacts)}
        )
