"""The state by name is the state by coordinates, and an engine is what derives from ``Engine``."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
import torch

from mimic.sim import Engine, EngineError, make_engine
from mimic.sim.scene import Scene, make_scene
from robots import Robot
from tests.sim.engines import standing, wandering_targets


def test_names_of_the_robot_state(tiny_scene: Scene) -> None:
    robot = tiny_scene.robot
    engine = make_engine("mujoco", tiny_scene, 3, threads=1)
    kept = engine.state.robot
    for targets in wandering_targets(robot, 3, 4, 0.4):
        engine.step(targets)
    assert torch.equal(kept.root_pos_w, engine.qpos[:, :3])
    assert torch.equal(kept.root_quat_w, engine.qpos[:, 3:7])
    assert torch.equal(kept.joint_pos, engine.qpos[:, 7:])
    assert torch.equal(kept.root_lin_vel_w, engine.qvel[:, :3])
    assert torch.equal(kept.root_ang_vel_b, engine.qvel[:, 3:6])
    assert torch.equal(kept.joint_vel, engine.qvel[:, 6:])
    for name in ("body_pos_w", "body_quat_w", "body_lin_vel_w", "body_ang_vel_w"):
        assert torch.equal(getattr(kept, name), getattr(engine, name)), name
    torch.testing.assert_close(kept.body_pos_w[:, 0], kept.root_pos_w)
    assert kept.joint_pos.abs().max() > 0.1


def test_reset_to_is_reset_by_name(tiny_scene: Scene) -> None:
    one, other = (make_engine("mujoco", tiny_scene, 3, threads=1) for _ in range(2))
    generator = torch.Generator().manual_seed(0)
    qpos = torch.randn(2, 11, generator=generator)
    qpos[:, 3:7] = torch.nn.functional.normalize(qpos[:, 3:7], dim=1)
    qvel = torch.randn(2, 10, generator=generator)
    ids = torch.tensor([2, 0])
    one.reset(ids, qpos, qvel)
    other.reset_to(
        ids,
        root_pos_w=qpos[:, :3], root_quat_w=qpos[:, 3:7], joint_pos=qpos[:, 7:],
        root_lin_vel_w=qvel[:, :3], root_ang_vel_b=qvel[:, 3:6], joint_vel=qvel[:, 6:],
    )  # fmt: skip
    for engine in (one, other):
        engine.step(torch.zeros(3, 4))
    assert torch.equal(one.qpos, other.qpos) and torch.equal(one.qvel, other.qvel)


def test_a_push_changes_the_base_alone(tiny_scene: Scene) -> None:
    engine = make_engine("mujoco", tiny_scene, 2, threads=1)
    engine.reset(torch.arange(2), *standing(tiny_scene.robot, 2))
    engine.step(torch.zeros(2, 4))
    before = engine.qvel.clone()
    lin, ang = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[0.1, 0.2, 0.3]])
    engine.set_root_velocity(torch.tensor([1]), lin, ang)
    assert torch.equal(engine.state.robot.root_lin_vel_w[1], lin[0])
    assert torch.equal(engine.state.robot.root_ang_vel_b[1], ang[0])
    assert torch.equal(engine.qvel[0], before[0])
    assert torch.equal(engine.qvel[1, 6:], before[1, 6:])
    torch.testing.assert_close(engine.state.robot.body_lin_vel_w[1, 0], lin[0])


def test_feet_carry_the_weight(tiny_scene: Scene) -> None:
    robot = tiny_scene.robot
    engine = make_engine("mujoco", tiny_scene, 1, threads=1)
    # Legs straight: with bent ones nobody keeps its balance.
    qpos, qvel = torch.zeros(1, 11), torch.zeros(1, 10)
    qpos[0, 2], qpos[0, 3] = 0.52, 1.0
    engine.reset(torch.tensor([0]), qpos, qvel)
    for _ in range(50):
        engine.step(qpos[:, 7:])
    feet = engine.state.contacts
    assert list(feet) == ["left_foot", "right_foot"]  # no hands on this robot
    total = feet["left_foot"].force + feet["right_foot"].force
    weight = 9.81 * float(robot.model.body_mass.sum())
    np.testing.assert_allclose(total[0].numpy(), [0.0, 0.0, weight], atol=0.03 * weight)
    assert feet["left_foot"].magnitude[0] == pytest.approx(
        float(feet["left_foot"].force.norm()), rel=1e-6
    )
    engine.reset(torch.tensor([0]), qpos, qvel)
    assert not feet["left_foot"].force.any()


def test_hands_of_robots_that_have_them(g1: Robot, g1_scene: Scene) -> None:
    assert list(g1_scene.contacts) == ["left_foot", "right_foot", "left_hand", "right_hand"]
    assert g1_scene.contacts["right_hand"].body == "right_wrist_yaw_link"
    # Lying on its back the robot presses with its hands or not at all, never pulls.
    engine = make_engine("mujoco", g1_scene, 1, threads=1)
    qpos = torch.zeros(1, 36)
    qpos[0, 2], qpos[0, 3:7] = 0.15, torch.tensor([0.5**0.5, 0.0, -(0.5**0.5), 0.0])
    engine.reset(torch.tensor([0]), qpos, torch.zeros(1, 35))
    highest = torch.zeros(4)
    for _ in range(30):
        engine.step(torch.tensor(g1.default_joint_pos, dtype=torch.float32)[None])
        forces = torch.stack([c.force[0, 2] for c in engine.state.contacts.values()])
        highest = torch.maximum(highest, forces)
    assert highest.max() > 10.0


class Still(Engine):
    """The smallest engine there can be: nothing moves."""

    name = "still"
    options = {"height": "of the base, mm"}

    def __init__(
        self, scene: Scene, num_envs: int, *, device: str = "cpu", threads: int = 0,
        height: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(scene, num_envs, device)
        self.q = torch.as_tensor(scene.model.qpos0, dtype=torch.float32).repeat(num_envs, 1)
        self.q[:, 2] += 1e-3 * height
        self.v = torch.zeros(num_envs, scene.model.nv)
        self._publish(*self._read())

    def advance(self, targets: torch.Tensor) -> None:
        pass

    def _read(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self.q.clone(), self.v.clone()

    def _write(self, env_ids: torch.Tensor, qpos: torch.Tensor, qvel: torch.Tensor) -> None:
        self.q[env_ids], self.v[env_ids] = qpos, qvel

    def _write_velocity(self, env_ids: torch.Tensor, qvel: torch.Tensor) -> None:
        self.v[env_ids] = qvel


def test_a_strangers_engine_needs_four_methods(tiny: Robot) -> None:
    engine = Still(make_scene(tiny), 2)
    engine.step(torch.zeros(2, 4))
    data = mujoco.MjData(engine.scene.model)
    mujoco.mj_forward(engine.scene.model, data)
    np.testing.assert_allclose(engine.state.robot.body_pos_w[0], data.xpos[1:], atol=1e-6)
    assert not engine.state.contacts["left_foot"].force.any()
    with pytest.raises(EngineError, match="engine 'still' cannot vary the model field 'body_mass'"):
        engine.write_model_field("body_mass", torch.ones(2, 7))
    with pytest.raises(TypeError, match="abstract"):
        type("Half", (Engine,), {})(engine.scene, 1, "cpu")
