"""Put a physics engine of your own behind a task: a class with four methods.

    python examples/11_engine.py

Bodies, contacts by name, checks and `state` come from the base class. On the command line:
mimic train tracking --motion walk.npz --engine package.module:Class
"""

from __future__ import annotations

import mujoco
import numpy as np
import torch

import robots
from mimic.sim.engine import Engine
from mimic.sim.scene import Scene, make_scene


class OneByOne(Engine):
    """MuJoCo's own Python binding, one copy after the other: slow, and easy to read."""

    name = "one-by-one"

    def __init__(self, scene: Scene, num_envs: int, *, device: str = "cpu", threads: int = 0):
        super().__init__(scene, num_envs, device)
        self.copies = [mujoco.MjData(scene.model) for _ in range(num_envs)]
        self._publish(*self._read())

    def advance(self, targets: torch.Tensor) -> None:
        """A control step: the scene's servos hold the joint targets [N, J] rad."""
        for data, target in zip(self.copies, targets.cpu().numpy(), strict=True):
            data.ctrl[:] = target
            mujoco.mj_step(self.scene.model, data, nstep=self.scene.decimation)

    def _read(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Copies of the generalised coordinates [N, nq] and velocities [N, nv]."""
        qpos = np.stack([data.qpos for data in self.copies])
        qvel = np.stack([data.qvel for data in self.copies])
        return self._tensor(qpos), self._tensor(qvel)

    def _write(self, env_ids: torch.Tensor, qpos: torch.Tensor, qvel: torch.Tensor) -> None:
        for i, place, speed in zip(env_ids.tolist(), qpos, qvel, strict=True):
            mujoco.mj_resetData(self.scene.model, self.copies[i])
            self.copies[i].qpos[:], self.copies[i].qvel[:] = place.cpu(), speed.cpu()

    def _write_velocity(self, env_ids: torch.Tensor, qvel: torch.Tensor) -> None:
        for i, speed in zip(env_ids.tolist(), qvel, strict=True):
            self.copies[i].qvel[:] = speed.cpu()

    def _tensor(self, values: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=self.device)


def main() -> None:
    from mimic.sim import make_engine

    robot = robots.load("unitree_g1")
    scene = make_scene(robot)
    heights = {}
    for name, engine in (
        ("one-by-one", OneByOne(scene, 2)),
        ("mujoco", make_engine("mujoco", scene, 2)),
    ):
        everyone = torch.arange(2)
        pose = torch.tensor([[0.0, 0.0, robot.default_root_height, 1.0, 0.0, 0.0, 0.0]])
        joints = torch.tensor(robot.default_joint_pos, dtype=torch.float32)
        qpos = torch.cat([pose, joints[None]], 1).repeat(2, 1)
        engine.reset(everyone, qpos, torch.zeros(2, scene.model.nv))
        for _ in range(25):
            engine.step(joints.repeat(2, 1))
        heights[name] = float(engine.state.robot.root_pos_w[0, 2])
        print(f"{name}: after 0.5 s the base is at {heights[name]:.4f} m")
    print(f"they agree to {abs(heights['one-by-one'] - heights['mujoco']):.0e} m")


if __name__ == "__main__":
    main()
