"""What every engine publishes, computed from positions and velocities alone."""

from __future__ import annotations

from collections.abc import Callable

import torch

from mimic.sim.kinematics import Kinematics
from mimic.sim.scene import Scene

BodyKinematics = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, ...]]
MAX_SPEED = 1e3
"""Joint speeds no real motor reaches: the state has blown up even if it is still finite."""


class EngineState:
    """State tensors of an engine (see ``mimic.sim.engine.Engine``) and the check on them.

    Poses and velocities of bodies come from one batched kinematics in torch behind every engine,
    so that they belong to the new state and differ between engines only as ``qpos`` does.
    """

    rows_of_environments = True
    """Terms may read the rows of some environments, see ``mimic.envs.rows``."""

    qpos: torch.Tensor
    qvel: torch.Tensor
    body_pos_w: torch.Tensor
    body_quat_w: torch.Tensor
    body_lin_vel_w: torch.Tensor
    body_ang_vel_w: torch.Tensor
    contact_force: torch.Tensor

    def __init__(self, scene: Scene, num_envs: int, device: torch.device | str) -> None:
        self.scene = scene
        self.num_envs = num_envs
        self.device = torch.device(device)
        self._kinematics = Kinematics(scene.robot, self.device)
        self._kinematics_of_all: BodyKinematics = self._kinematics
        self.contact_force = torch.zeros(num_envs, len(scene.contact_bodies), device=self.device)

    def wrap_kinematics(self, wrap: Callable[[BodyKinematics], BodyKinematics]) -> None:
        """Compute the bodies of all environments through ``wrap`` of the function that does it."""
        self._kinematics_of_all = wrap(self._kinematics)

    def non_finite(self) -> torch.Tensor:
        """[N] bool: environments whose state is not finite or has blown up."""
        # A sum or a maximum over one non-finite value is not finite: two reductions are enough.
        fine = torch.isfinite(self.qpos.sum(1)) & (self.qvel.abs().amax(1) < MAX_SPEED)
        return ~fine

    def _publish(self, qpos: torch.Tensor, qvel: torch.Tensor) -> None:
        """Make [N, 7 + J], [N, 6 + J] the state; the tensors must not change afterwards."""
        self.qpos, self.qvel = qpos, qvel
        state = self._kinematics_of_all(qpos, qvel)
        self.body_pos_w, self.body_quat_w, self.body_lin_vel_w, self.body_ang_vel_w = state

    def _publish_some(self, env_ids: torch.Tensor, qpos: torch.Tensor, qvel: torch.Tensor) -> None:
        """Replace the rows ``env_ids`` [n] of the state by [n, 7 + J], [n, 6 + J]."""
        self.qpos[env_ids] = qpos
        self.qvel[env_ids] = qvel
        pos, quat, lin_vel, ang_vel = self._kinematics(qpos, qvel)
        self.body_pos_w[env_ids] = pos
        self.body_quat_w[env_ids] = quat
        self.body_lin_vel_w[env_ids] = lin_vel
        self.body_ang_vel_w[env_ids] = ang_vel

    def _publish_contact(self, forces: torch.Tensor) -> None:
        """Take [N, 3 C] or [N, C, 3] net contact forces (N) of ``scene.contact_bodies``."""
        vectors = forces.reshape(self.num_envs, -1, 3)
        self.contact_force = torch.linalg.vector_norm(vectors, dim=-1).to(self.device)
