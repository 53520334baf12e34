"""Native MuJoCo on all cores: a C++ thread pool steps every environment with the GIL released."""

from __future__ import annotations

from collections.abc import Mapping

import mjbatch
import numpy as np
import torch

from mimic.sim.scene import Scene
from mimic.sim.state import EngineState


class MujocoEngine(EngineState):
    """``Engine`` on MuJoCo C through mjbatch. See ``mimic.sim.engine.Engine``."""

    name = "mujoco"
    options: Mapping[str, str] = {}

    def __init__(self, scene: Scene, num_envs: int, *, device: str = "cpu", threads: int = 0):
        super().__init__(scene, num_envs, device)
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
        self._ctrl[:] = torch.as_tensor(scene.robot.default_joint_pos)
        self._refresh()

    def step(self, targets: torch.Tensor) -> None:
        """Advance one control step with joint position targets [N, J] (rad)."""
        self.advance(targets)
        self._refresh()
        if self._has_sensors:
            self._publish_contact(self._sensors)

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

    def _refresh(self, env_ids: torch.Tensor | None = None) -> None:
        rows = slice(None) if env_ids is None else env_ids.cpu()
        qpos = self._qpos[rows].to(self.device, torch.float32)
        qvel = self._qvel[rows].to(self.device, torch.float32)
        if env_ids is None:
            self._publish(qpos, qvel)
        else:
            self._publish_some(env_ids, qpos, qvel)
