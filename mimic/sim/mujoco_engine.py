"""Native MuJoCo on all cores: a C++ thread pool steps every environment with the GIL released."""

from __future__ import annotations

import mjbatch
import numpy as np
import torch

from mimic.sim.kinematics import Kinematics
from mimic.sim.scene import Scene

# Joint speeds no real motor reaches: the state has blown up even if it is still finite.
MAX_SPEED = 1e3


class MujocoEngine:
    """``Engine`` on MuJoCo C through mjbatch. See ``mimic.sim.engine.Engine``."""

    name = "mujoco"

    def __init__(self, scene: Scene, num_envs: int, *, device: str = "cpu", threads: int = 0):
        self.scene = scene
        self.num_envs = num_envs
        self.device = torch.device(device)
        self._batch = mjbatch.Batch(scene.model, num_envs, threads)
        # Live views of the simulations' own memory, double precision.
        self._qpos = torch.from_numpy(self._batch.bind("qpos"))
        self._qvel = torch.from_numpy(self._batch.bind("qvel"))
        self._warmstart = torch.from_numpy(self._batch.bind("qacc_warmstart"))
        self._ctrl = torch.from_numpy(self._batch.bind("ctrl"))
        self._has_sensors = scene.model.nsensordata > 0
        if self._has_sensors:
            self._sensors = torch.from_numpy(self._batch.bind("sensordata", np.float32))
        self._fields: dict[str, torch.Tensor] = {}
        self._kinematics = Kinematics(scene.robot, self.device)
        self._ctrl[:] = torch.as_tensor(scene.robot.default_joint_pos)
        self.contact_force = torch.zeros(
            num_envs, len(scene.contact_bodies), device=self.device
        )
        self._refresh()

    def step(self, targets: torch.Tensor) -> None:
        """Advance one control step with joint position targets [N, J] (rad)."""
        self.advance(targets)
        self._refresh()
        if self._has_sensors:
            forces = self._sensors.view(self.num_envs, -1, 3)
            self.contact_force = torch.linalg.vector_norm(forces, dim=-1).to(self.device)

    def advance(self, targets: torch.Tensor) -> None:
        """The physics of ``step`` alone: state tensors are stale until the next ``step``."""
        self._ctrl.copy_(targets)
        self._batch.step(nstep=self.scene.decimation)

    def reset(self, env_ids: torch.Tensor, qpos: torch.Tensor, qvel: torch.Tensor) -> None:
        """Put the environments ``env_ids`` [n] into the states [n, 7 + J], [n, 6 + J]."""
        ids = env_ids.cpu()
        self._qpos[ids] = qpos.to("cpu", torch.float64)
        self._qvel[ids] = qvel.to("cpu", torch.float64)
        self._warmstart[ids] = 0.0
        self.contact_force[env_ids] = 0.0
        self._refresh(env_ids)

    def set_velocity(self, env_ids: torch.Tensor, qvel: torch.Tensor) -> None:
        """Replace the velocities [n, 6 + J] of some environments."""
        self._qvel[env_ids.cpu()] = qvel.to("cpu", torch.float64)
        self._refresh(env_ids)

    def model_field(self, name: str) -> torch.Tensor:
        """Per-environment values [N, ...] of an ``mjModel`` field, a copy."""
        if name not in self._fields:
            self._fields[name] = torch.from_numpy(self._batch.expand(name))
        return self._fields[name].to(self.device, copy=True)

    def write_model_field(self, name: str, values: torch.Tensor) -> None:
        """Set the per-environment values of an ``mjModel`` field."""
        self.model_field(name)
        self._fields[name].copy_(values)

    def non_finite(self) -> torch.Tensor:
        """[N] bool: environments whose state is not finite or has blown up."""
        # A sum or a maximum over one non-finite value is not finite: two reductions are enough.
        fine = torch.isfinite(self.qpos.sum(1)) & (self.qvel.abs().amax(1) < MAX_SPEED)
        return ~fine

    def _refresh(self, env_ids: torch.Tensor | None = None) -> None:
        if env_ids is None:
            self.qpos = self._qpos.to(self.device, torch.float32)
            self.qvel = self._qvel.to(self.device, torch.float32)
            state = self._kinematics(self.qpos, self.qvel)
            self.body_pos_w, self.body_quat_w, self.body_lin_vel_w, self.body_ang_vel_w = state
            return
        ids = env_ids.cpu()
        qpos = self._qpos[ids].to(self.device, torch.float32)
        qvel = self._qvel[ids].to(self.device, torch.float32)
        self.qpos[env_ids] = qpos
        self.qvel[env_ids] = qvel
        pos, quat, lin_vel, ang_vel = self._kinematics(qpos, qvel)
        self.body_pos_w[env_ids] = pos
        self.body_quat_w[env_ids] = quat
        self.body_lin_vel_w[env_ids] = lin_vel
        self.body_ang_vel_w[env_ids] = ang_vel
