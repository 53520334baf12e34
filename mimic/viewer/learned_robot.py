"""One robot in a learned model, beside the simulated one: for `mimic play --engine learned`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mimic.learning.learned_engine import LearnedEngine
from mimic.learning.learned_model import LearnedModel
from mimic.sim.scene import Scene
from mimic.sim.single import SingleRobot
from mimic.sim.states import States
from mimic.viewer.rollout import Rollout
from robots import Robot

Array = NDArray[Any]
MOMENTS_S = (0.02, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Times after the start at which the distance of model and simulation is told."""


class LearnedRobot(SingleRobot):
    """``SingleRobot`` whose steps are a model's; MuJoCo only poses its bodies.

    Contacts are absent: no foot ever touches the ground. Torques are those that the servos ask for
    in the new state, clipped to the effort limits.
    """

    def __init__(self, scene: Scene, model: LearnedModel) -> None:
        super().__init__(scene)
        self._engine = LearnedEngine(scene, 1, model=model)
        robot = scene.robot
        self._gains = (robot.kp, robot.kd, robot.effort_limit)
        self._asked = np.zeros(robot.num_joints)

    def start(
        self, state: States, root_lin_vel_w: Array, root_ang_vel_b: Array, joint_vel: Array
    ) -> None:
        super().start(state, root_lin_vel_w, root_ang_vel_b, joint_vel)
        qpos, qvel = (
            torch.as_tensor(each, dtype=torch.float32)[None]
            for each in (self.data.qpos, self.data.qvel)
        )
        self._engine.reset(torch.zeros(1, dtype=torch.long), qpos, qvel)

    def step(self, targets: Array) -> None:
        self._asked = np.asarray(targets, np.float64)
        self._engine.step(torch.as_tensor(self._asked, dtype=torch.float32)[None])
        engine = self._engine
        pos, vel = (each[0].numpy() for each in (engine.qpos, engine.qvel))
        self.put(pos, vel)

    @property
    def torques(self) -> Array:
        kp, kd, limit = self._gains
        asked = kp * (self._asked - self.state.joint_pos) - kd * self.joint_vel
        return np.clip(asked, -limit, limit)

    def feet_on_ground(self) -> list[bool]:
        return [False, False]


def beside(real: Rollout, learned: Rollout) -> Rollout:
    """The simulated rollout with the model's robot as the ghost, as long as both last."""
    frames = min(len(real.states), len(learned.states))
    cut = {
        name: getattr(real, name)[:frames]
        for name in ("key_body_error", "key_body_error_anchor", "joint_error", "foot_contact")
    }
    cut |= {
        name: getattr(real, name)[: frames - 1] for name in ("observations", "actions", "torques")
    }
    return replace(real, states=real.states[:frames], reference=learned.states[:frames], **cut)


def distances(robot: Robot, real: Rollout, learned: Rollout) -> Array:
    """[T] mean distance of the key bodies between simulation and model, m; each acts for itself
    from the same start."""
    frames = min(len(real.states), len(learned.states))
    key = [robot.body_names.index(name) for name in robot.key_bodies]
    places = []
    for each in (real.states[:frames], learned.states[:frames]):
        pos, _ = robot.body_poses(each.root_pos_w, each.root_quat_w, each.joint_pos)
        places.append(pos[:, key])
    return np.linalg.norm(places[0] - places[1], axis=-1).mean(-1)


def told(apart: Array, control_dt: float) -> str:
    """One line: how far model and simulation are apart after some times."""
    at = [(s, round(s / control_dt)) for s in MOMENTS_S]
    found = [f"{1e3 * apart[i]:.0f} mm after {s:g} s" for s, i in at if 0 < i < len(apart)]
    return "model and simulation apart by " + ", ".join(found)
