"""Native MuJoCo on all cores: a C++ thread pool steps every environment with the GIL released."""

from __future__ import annotations

from collections.abc import Mapping

import mjbatch
import numpy as np
import torch

from mimic.sim.engine import Engine, Sample
from mimic.sim.errors import CannotVaryError
from mimic.sim.scene import Scene


class MujocoEngine(Engine):
    """``Engine`` on MuJoCo C through mjbatch. See ``mimic.sim.engine.Engine``.

    Every field of ``mjModel`` may differ between environments, but the data of meshes, textures,
    height fields and collision trees.
    """

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
        self._sample: Sample | None = None
        self._forces: torch.Tensor | None = None
        self._ctrl[:] = torch.as_tensor(scene.robot.default_joint_pos)
        self._publish(*self._read())

    def advance(self, targets: torch.Tensor) -> None:
        """The physics of ``step`` alone: state tensors are stale until the next ``step``."""
        self._ctrl.copy_(targets)
        if self._sample is None:
            self._batch.step(nstep=self.scene.decimation)
            return
        for _ in range(self.scene.decimation):
            self._batch.step(nstep=1)
            self._sample(self._torque, -self._sensors[:, self._feet])

    def watch(self, sample: Sample | None) -> bool:
        """Have ``sample`` called after every physics step, see ``Engine.watch``."""
        if not self._has_sensors:
            return False
        if sample is not None:
            self._torque = torch.from_numpy(self._batch.bind("actuator_force"))
            names = list(self.scene.contacts)
            first = len(self.scene.contact_bodies)
            feet = [first + names.index(name) for name in ("left_foot", "right_foot")]
            self._feet = torch.tensor([[3 * at, 3 * at + 1, 3 * at + 2] for at in feet])
        self._sample = sample
        return True

    def model_field(self, name: str) -> torch.Tensor:
        """Per-environment values [N, ...] of an ``mjModel`` field, a copy.

        Raises:
            EngineError: no such field, or the data of meshes and the like.
        """
        if name not in self._fields:
            try:
                self._fields[name] = torch.from_numpy(self._batch.expand(name))
            except (ValueError, KeyError, AttributeError, RuntimeError, TypeError) as error:
                raise CannotVaryError(self.name, name, f" ({error})") from error
        return self._fields[name].to(self.device, copy=True)

    def _write_model_field(self, name: str, values: torch.Tensor) -> None:
        """Set the per-environment values of an ``mjModel`` field."""
        self.model_field(name)
        self._fields[name].copy_(values)

    def set_external_force(
        self, env_ids: torch.Tensor, bodies: torch.Tensor, force: torch.Tensor
    ) -> None:
        """Forces on bodies of some environments, see ``Engine.set_external_force``."""
        if self._forces is None:
            self._forces = torch.from_numpy(self._batch.bind("xfrc_applied"))
        shaped = self._forces.view(self.num_envs, -1, 6)
        shaped[env_ids.cpu()[:, None], bodies.cpu(), :3] = force.to(shaped)

    def _read(self) -> tuple[torch.Tensor, torch.Tensor]:
        return (
            self._qpos.to(self.device, torch.float32),
            self._qvel.to(self.device, torch.float32),
        )

    def _read_contacts(self) -> torch.Tensor | None:
        # The sensor tells what its body does to others.
        return -self._sensors if self._has_sensors else None

    def _write(self, env_ids: torch.Tensor, qpos: torch.Tensor, qvel: torch.Tensor) -> None:
        ids = env_ids.cpu()
        self._qpos[ids] = qpos.to("cpu", torch.float64)
        self._qvel[ids] = qvel.to("cpu", torch.float64)
        self._warmstart[ids] = 0.0

    def _write_velocity(self, env_ids: torch.Tensor, qvel: torch.Tensor) -> None:
        self._qvel[env_ids.cpu()] = qvel.to("cpu", torch.float64)
