"""MuJoCo behind the protocol of engines in other processes: the stand-in that tests use.

Also the shortest example of a worker. Runs wherever mujoco and mjbatch do.
"""

import os
import sys
from typing import Any, Dict, List

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from worker_protocol import Simulator, serve  # noqa: E402


class MujocoSimulator(Simulator):
    """The scene of the parent, as it is."""

    def __init__(self) -> None:
        import mjbatch
        import mujoco

        self._mujoco, self._mjbatch = mujoco, mjbatch

    def open(self, request: Dict[str, Any]) -> List[str]:
        model = self._mujoco.MjModel.from_binary_path(request["model"])
        self._batch = self._mjbatch.Batch(model, request["num_envs"], request["threads"])
        self._decimation = int(request["decimation"])
        self._qpos, self._qvel = self._batch.bind("qpos"), self._batch.bind("qvel")
        self._warmstart, self._ctrl = self._batch.bind("qacc_warmstart"), self._batch.bind("ctrl")
        self._sensors = self._batch.bind("sensordata", np.float32) if model.nsensordata else None
        self._fields: Dict[str, np.ndarray] = {}
        self._publish()
        return [
            "geom_friction", "geom_size", "geom_rbound", "geom_aabb", "body_mass", "body_inertia",
            "body_ipos", "body_pos", "body_quat", "body_subtreemass", "body_invweight0", "dof_M0",
            "dof_invweight0", "dof_armature", "actuator_gainprm", "actuator_biasprm",
        ]  # fmt: skip

    def step(self) -> None:
        self._ctrl[:] = self.arrays["targets"]
        self._batch.step(nstep=self._decimation)
        self._publish()
        if self._sensors is not None:
            # The sensor tells what its body does to others.
            forces = self.arrays["forces"]
            forces[:] = -self._sensors.reshape(forces.shape)

    def reset(self, ids: np.ndarray, qpos: np.ndarray, qvel: np.ndarray) -> None:
        self._qpos[ids], self._qvel[ids], self._warmstart[ids] = qpos, qvel, 0.0

    def velocity(self, ids: np.ndarray, qvel: np.ndarray) -> None:
        self._qvel[ids] = qvel

    def field(self, name: str, values: np.ndarray) -> None:
        if name not in self._fields:
            self._fields[name] = self._batch.expand(name)
        self._fields[name][:] = values

    def _publish(self) -> None:
        self.arrays["qpos"][:], self.arrays["qvel"][:] = self._qpos, self._qvel


if __name__ == "__main__":
    sys.exit(serve(MujocoSimulator, "mujoco"))
