"""One robot in its scene, stepped by MuJoCo's own binding: numpy arrays by name, no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from mimic.sim.scene import Scene
from mimic.sim.states import States, free_objects
from mimic_base.rotations import quat_inv_rotate

Array = NDArray[Any]
LIMIT = 1e3
"""Coordinates larger than this (m, rad) have blown up."""


class SingleRobot:
    """A robot and the objects of its scene. What is returned is a copy."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.model, self.data = scene.model, mujoco.MjData(scene.model)
        self._objects = free_objects(scene)
        self._joints = len(scene.robot.joint_names)
        self._feet = [self.model.body(name).id for name in scene.robot.feet]

    def start(
        self, state: States, root_lin_vel_w: Array, root_ang_vel_b: Array, joint_vel: Array
    ) -> None:
        """Begin in a state of the robot; the objects rest where the scene has put them.

        Args:
            root_lin_vel_w: [3] m/s in the world. root_ang_vel_b: [3] rad/s along the base's own
                axes. joint_vel: [J] rad/s.
        """
        mujoco.mj_resetData(self.model, self.data)
        velocity = np.concatenate([root_lin_vel_w, root_ang_vel_b, joint_vel])
        self.data.qvel[: len(velocity)] = velocity
        self.data.ctrl[:] = self.scene.robot.default_joint_pos
        state.put(self.model, self.data)

    def step(self, targets: Array) -> None:
        """A control step towards joint positions [J] rad."""
        self.data.ctrl[:] = targets
        mujoco.mj_step(self.model, self.data, nstep=self.scene.decimation)
        # Poses of the new state. A whole forward pass would also change the solver's warm start.
        mujoco.mj_kinematics(self.model, self.data)

    def put(self, qpos: Array, qvel: Array) -> None:
        """Into a state [7 + J], [6 + J] that something else has computed: bodies follow, forces do
        not."""
        self.data.qpos[:], self.data.qvel[:] = qpos, qvel
        if self.fine:
            mujoco.mj_kinematics(self.model, self.data)

    @property
    def fine(self) -> bool:
        """Whether the state is finite and has not blown up."""
        return bool(np.isfinite(self.data.qpos).all() and np.abs(self.data.qpos).max() < LIMIT)

    @property
    def state(self) -> States:
        """The robot and the objects."""
        return States.of(self.data.qpos.copy(), self._objects)

    @property
    def joint_vel(self) -> Array:
        """[J] rad/s."""
        return self.data.qvel[6 : 6 + self._joints].copy()

    @property
    def root_lin_vel_b(self) -> Array:
        """[3] m/s of the base's origin along its own axes."""
        return quat_inv_rotate(self.data.qpos[3:7], self.data.qvel[:3])

    @property
    def root_ang_vel_b(self) -> Array:
        """[3] rad/s along the base's own axes."""
        return self.data.qvel[3:6].copy()

    @property
    def torques(self) -> Array:
        """[J] N m of the motors in the last physics step."""
        return self.data.actuator_force.copy()

    def body_ids(self, names: Sequence[str]) -> list[int]:
        """What ``bodies`` takes."""
        return [self.model.body(name).id for name in names]

    def bodies(self, ids: Sequence[int]) -> tuple[Array, Array]:
        """Positions [B, 3] m and orientations [B, 4] wxyz of bodies in the world."""
        return self.data.xpos[ids], self.data.xquat[ids]

    def feet_on_ground(self) -> list[bool]:
        """Whether the left, right foot touches what stands still."""
        # That belongs to the world, body 0: floor, terrain and furniture.
        pairs = self.model.geom_bodyid[self.data.contact.geom].reshape(-1, 2)
        touching = set(pairs[(pairs == 0).any(axis=1)].ravel().tolist())
        return [foot in touching for foot in self._feet]
