"""Records torques, contacts and actions of a round of episodes for the figures of smoothness."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import torch

from mimic.evaluation.smoothness import FIGURES, Signals, figures

if TYPE_CHECKING:
    from mimic.envs.environment import Environment

FEET = ("left_foot", "right_foot")


class SmoothnessRecorder:
    """Listens to an environment while its ``with`` block runs.

    Torques and forces on the feet are taken after every step of the physics, where the engine can
    be watched, else once a control step (then torques are those of the servos in the new state).

    Args:
        count: the first ``count`` environments are recorded.
    """

    def __init__(self, env: Environment, count: int) -> None:
        self._env, self._count = env, count
        self._torque: list[torch.Tensor] = []
        self._force: list[torch.Tensor] = []
        self._steps: list[tuple[torch.Tensor, ...]] = []
        self._length = torch.zeros(count, dtype=torch.long)
        self._per_step = 1
        robot = env.robot
        self._feet = [robot.body_names.index(name) for name in robot.feet]
        self._gains = [
            torch.as_tensor(each, dtype=torch.float32, device=env.device)
            for each in (robot.kp, robot.kd, robot.effort_limit)
        ]

    def __enter__(self) -> SmoothnessRecorder:
        if self._env.engine.watch(self._sample):
            self._per_step = self._env.scene.decimation
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._env.engine.watch(None)

    def _sample(self, torque: torch.Tensor, feet: torch.Tensor) -> None:
        """Keep torques [N, J] (N m) and forces on the feet [N, 2, 3] (N, world)."""
        self._torque.append(torque[: self._count].float().cpu().clone())
        self._force.append(feet[: self._count, :, 2].float().cpu().clone())

    def end_step(self, counts: torch.Tensor) -> None:
        """Keep the state after a control step.

        Args:
            counts: [count] bool, whether the step belongs to the episode.
        """
        env, robot = self._env, self._env.state.robot
        feet = torch.stack([env.state.contacts[name].force for name in FEET], 1)
        if self._per_step == 1:
            kp, kd, limit = self._gains
            effort = kp * (env.targets(env.actions) - robot.joint_pos) - kd * robot.joint_vel
            self._sample(torch.clamp(effort, -limit, limit), feet)
        kept = (
            robot.joint_vel,
            env.actions,
            robot.body_ang_vel_w[:, 0, :2],
            torch.linalg.vector_norm(robot.body_lin_vel_w[:, self._feet, :2], dim=-1),
            feet[..., 2],
        )
        self._steps.append(tuple(each[: self._count].cpu().clone() for each in kept))
        self._length += counts

    def figures(self) -> dict[str, torch.Tensor]:
        """[count] each of ``FIGURES``; NaN where an episode was too short for it."""
        torque, force = torch.stack(self._torque).numpy(), torch.stack(self._force).numpy()
        steps = [torch.stack(each).numpy() for each in zip(*self._steps, strict=True)]
        env = self._env
        weight = float(
            env.robot.model.body_mass.sum() * np.linalg.norm(env.scene.model.opt.gravity)
        )
        found = {name: torch.full((self._count,), torch.nan) for name in FIGURES}
        for episode, length in enumerate(self._length.tolist()):
            if length < 2:
                continue
            samples = slice(0, length * self._per_step)
            velocity, action, torso, speed, then = (each[:length, episode] for each in steps)
            signals = Signals(
                torque=torque[samples, episode], foot_force=force[samples, episode],
                physics_dt=env.control_dt / self._per_step, joint_velocity=velocity,
                action=action, torso_rate=torso, foot_speed=speed, foot_force_then=then,
                control_dt=env.control_dt, effort_limit=env.robot.effort_limit, weight=weight,
            )  # fmt: skip
            for name, value in figures(signals).items():
                found[name][episode] = value
        return found
