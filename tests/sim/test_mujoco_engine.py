"""The MuJoCo engine is plain MuJoCo, many times, with per-environment parameters."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
import pytest
import torch

from mimic.sim import Engine, make_engine
from mimic.sim.scene import Scene
from robots import Robot

STATE = (
    "qpos", "qvel", "body_pos_w", "body_quat_w", "body_lin_vel_w", "body_ang_vel_w",
    "contact_force",
)  # fmt: skip


def standing(robot: Robot, count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Perturbed standing states [count, 7 + J], [count, 6 + J]."""
    rng = np.random.default_rng(seed)
    joints = robot.default_joint_pos + rng.uniform(-0.1, 0.1, (count, robot.num_joints))
    qpos = np.zeros((count, 7 + robot.num_joints))
    qpos[:, 2] = robot.default_root_height + 0.02
    qpos[:, 3] = 1.0
    qpos[:, 7:] = joints
    qvel = rng.normal(size=(count, 6 + robot.num_joints)) * 0.3
    return torch.tensor(qpos, dtype=torch.float32), torch.tensor(qvel, dtype=torch.float32)


def targets(robot: Robot, count: int, steps: int) -> torch.Tensor:
    rng = np.random.default_rng(5)
    noise = rng.normal(size=(steps, count, robot.num_joints)) * 0.2
    return torch.tensor(robot.default_joint_pos + noise, dtype=torch.float32)


def started(scene: Scene, count: int, threads: int = 1) -> Engine:
    engine = make_engine("mujoco", scene, count, threads=threads)
    engine.reset(torch.arange(count), *standing(scene.robot, count))
    return engine


def snapshot(engine: Engine) -> dict[str, torch.Tensor]:
    return {name: getattr(engine, name).clone() for name in STATE}


def test_steps_equal_a_plain_loop(g1_scene: Scene) -> None:
    robot, count = g1_scene.robot, 3
    engine = started(g1_scene, count)
    qpos, qvel = standing(robot, count)
    wanted = targets(robot, count, 20)
    for step in range(20):
        engine.step(wanted[step])
    for env in range(count):
        data = mujoco.MjData(g1_scene.model)
        data.qpos[:], data.qvel[:] = qpos[env].double(), qvel[env].double()
        for step in range(20):
            data.ctrl[:] = wanted[step, env].double()
            for _ in range(g1_scene.decimation):
                mujoco.mj_step(g1_scene.model, data)
        np.testing.assert_allclose(engine.qpos[env], data.qpos, atol=1e-6)
        np.testing.assert_allclose(engine.qvel[env], data.qvel, atol=1e-5, rtol=1e-6)


def test_body_states_belong_to_the_new_state(g1_scene: Scene) -> None:
    engine = started(g1_scene, 2)
    for step in range(3):
        engine.step(targets(g1_scene.robot, 2, 3)[step])
    data = mujoco.MjData(g1_scene.model)
    for env in range(2):
        data.qpos[:], data.qvel[:] = engine.qpos[env].double(), engine.qvel[env].double()
        mujoco.mj_forward(g1_scene.model, data)
        np.testing.assert_allclose(engine.body_pos_w[env], data.xpos[1:], atol=1e-5)
        alike = (engine.body_quat_w[env].double().numpy() * data.xquat[1:]).sum(-1)
        np.testing.assert_allclose(np.abs(alike), 1.0, atol=1e-5)
        velocity = np.zeros(6)
        for index, name in enumerate(g1_scene.robot.body_names):
            body = g1_scene.model.body(name).id
            mujoco.mj_objectVelocity(
                g1_scene.model, data, mujoco.mjtObj.mjOBJ_XBODY, body, velocity, 0
            )
            np.testing.assert_allclose(engine.body_ang_vel_w[env, index], velocity[:3], atol=1e-4)
            np.testing.assert_allclose(engine.body_lin_vel_w[env, index], velocity[3:], atol=1e-4)


def test_reset_puts_chosen_environments_into_the_state(g1_scene: Scene) -> None:
    engine = started(g1_scene, 4)
    engine.step(targets(g1_scene.robot, 4, 1)[0])
    before = snapshot(engine)
    qpos, qvel = standing(g1_scene.robot, 2, seed=9)
    chosen, others = torch.tensor([3, 1]), torch.tensor([0, 2])
    engine.reset(chosen, qpos, qvel)
    assert torch.equal(engine.qpos[chosen], qpos) and torch.equal(engine.qvel[chosen], qvel)
    torch.testing.assert_close(engine.body_pos_w[chosen, 0], qpos[:, :3])
    for name in STATE:
        assert torch.equal(getattr(engine, name)[others], before[name][others]), name


def test_reset_of_some_does_not_disturb_the_physics_of_others(g1_scene: Scene) -> None:
    robot = g1_scene.robot
    calm, disturbed = started(g1_scene, 3), started(g1_scene, 3)
    wanted = targets(robot, 3, 10)
    for step in range(10):
        if step == 5:
            disturbed.reset(torch.tensor([1]), *standing(robot, 1, seed=2))
        calm.step(wanted[step])
        disturbed.step(wanted[step])
    for name in STATE:
        ours, reference = getattr(disturbed, name), getattr(calm, name)
        assert torch.equal(ours[[0, 2]], reference[[0, 2]]), name
    assert not torch.allclose(disturbed.qpos[1], calm.qpos[1], atol=1e-3)


def test_a_reset_environment_forgets_its_past(g1_scene: Scene) -> None:
    used, fresh = started(g1_scene, 1), started(g1_scene, 1)
    wanted = targets(g1_scene.robot, 1, 8)
    for step in range(8):
        used.step(wanted[step])
    # Back into the very state it is in: the solver's first guess would now be a good one.
    qpos, qvel = used.qpos.clone(), used.qvel.clone()
    for engine in (used, fresh):
        engine.reset(torch.tensor([0]), qpos, qvel)
    for step in range(5):
        used.step(wanted[step])
        fresh.step(wanted[step])
    for name in STATE:
        assert torch.equal(getattr(used, name), getattr(fresh, name)), name


def test_set_velocity_changes_only_velocities(g1_scene: Scene) -> None:
    engine = started(g1_scene, 3)
    before = snapshot(engine)
    pushed = before["qvel"][[2]] + 1.0
    engine.set_velocity(torch.tensor([2]), pushed)
    assert torch.equal(engine.qvel[2], pushed[0])
    assert torch.equal(engine.qpos, before["qpos"])
    assert torch.equal(engine.qvel[:2], before["qvel"][:2])
    torch.testing.assert_close(engine.body_lin_vel_w[2, 0], pushed[0, :3])
    torch.testing.assert_close(engine.body_pos_w, before["body_pos_w"])


def test_thread_count_does_not_change_results(g1_scene: Scene) -> None:
    one, two = started(g1_scene, 5, threads=1), started(g1_scene, 5, threads=2)
    for wanted in targets(g1_scene.robot, 5, 6):
        one.step(wanted)
        two.step(wanted)
    for name in STATE:
        assert torch.equal(getattr(one, name), getattr(two, name)), name


def test_friction_of_one_environment(tiny_scene: Scene) -> None:
    robot, model = tiny_scene.robot, tiny_scene.model
    plain, changed = (make_engine("mujoco", tiny_scene, 2, threads=1) for _ in range(2))
    feet = [model.body(name).id for name in robot.feet]
    geoms = [g for g in range(model.ngeom) if int(model.geom_bodyid[g]) in feet]
    values = changed.model_field("geom_friction")
    assert values.shape == (2, model.ngeom, 3)
    values[1, geoms, 0] = 0.01
    changed.write_model_field("geom_friction", values)
    assert torch.equal(changed.model_field("geom_friction"), values)
    qpos = torch.zeros(2, 11)
    qpos[:, 2], qpos[:, 3] = robot.default_root_height, 1.0
    qpos[:, 7:] = torch.tensor(robot.default_joint_pos)
    qvel = torch.zeros(2, 10)
    qvel[:, 1] = 0.6  # sideways, where the feet are wide
    for engine in (plain, changed):
        engine.reset(torch.arange(2), qpos, qvel)
        for _ in range(15):
            engine.step(qpos[:, 7:])
    assert torch.equal(changed.qpos[0], plain.qpos[0])
    foot = robot.body_names.index("left_foot")
    slipped = changed.body_pos_w[1, foot, 1] - changed.body_pos_w[0, foot, 1]
    assert slipped > 0.05


@pytest.mark.parametrize("name", ["g1", "tiny"])
def test_centre_of_mass_of_one_environment(name: str, request: pytest.FixtureRequest) -> None:
    # In free fall a spinning robot turns about its centre of mass. The tiny robot's chest has its
    # inertial frame on its body frame, which MuJoCo treats in a way of its own.
    scene: Scene = request.getfixturevalue(f"{name}_scene")
    robot = scene.robot
    plain, changed = (make_engine("mujoco", scene, 2, threads=1) for _ in range(2))
    values = changed.model_field("body_ipos")
    values[1, scene.model.body(robot.anchor_body).id] += torch.tensor([0.025, -0.05, 0.05])
    changed.write_model_field("body_ipos", values)
    qpos, qvel = standing(robot, 2)
    qpos[:, 2] += 1.0
    qvel[:, 3] = 3.0
    for engine in (plain, changed):
        engine.reset(torch.arange(2), qpos, qvel)
        for _ in range(10):
            engine.step(qpos[:, 7:])
    assert torch.equal(changed.qpos[0], plain.qpos[0])
    assert (changed.qpos[1] - plain.qpos[1]).abs().max() > 1e-3


def fallen(robot: Robot, pose: str) -> torch.Tensor:
    qpos = torch.zeros(1, 7 + robot.num_joints)
    qpos[0, 3] = 1.0
    qpos[0, 7:] = torch.tensor(robot.default_joint_pos)
    half = float(np.sqrt(0.5))
    if pose == "standing":
        qpos[0, 2] = robot.default_root_height
    elif pose == "in the air":
        qpos[0, 2] = 3.0
    elif pose == "on the back":
        qpos[0, 2] = 0.15
        qpos[0, 3:7] = torch.tensor([half, 0.0, -half, 0.0])
    else:  # kneeling: shins behind, thighs upright
        qpos[0, 2] = 0.5
        for side in ("left", "right"):
            qpos[0, 7 + robot.joint_names.index(f"{side}_hip_pitch_joint")] = 0.0
            qpos[0, 7 + robot.joint_names.index(f"{side}_knee_joint")] = 1.8
    return qpos


@pytest.mark.parametrize(
    ("pose", "touching", "free"),
    [
        ("standing", set(), None),
        ("in the air", set(), None),
        ("on the back", {"pelvis", "torso_link"}, {"left_knee_link"}),
        ("kneeling", {"left_knee_link", "right_knee_link"}, {"pelvis", "torso_link"}),
    ],
)
def test_contact_forces_name_the_bodies_that_touch(
    pose: str, touching: set[str], free: set[str] | None, g1_scene: Scene
) -> None:
    robot = g1_scene.robot
    engine = make_engine("mujoco", g1_scene, 1, threads=1)
    qpos = fallen(robot, pose)
    engine.reset(torch.tensor([0]), qpos, torch.zeros(1, 6 + robot.num_joints))
    assert not engine.contact_force.any()
    largest = torch.zeros(len(g1_scene.contact_bodies))
    for _ in range(15):
        engine.step(qpos[:, 7:])
        largest = torch.maximum(largest, engine.contact_force[0])
    force = dict(zip(g1_scene.contact_bodies, largest.tolist(), strict=True))
    assert all(force[name] > 10.0 for name in touching)
    quiet = set(g1_scene.contact_bodies) if free is None else free
    assert all(force[name] == 0.0 for name in quiet)


def test_contact_force_at_rest_is_the_weight(g1_scene: Scene) -> None:
    robot = g1_scene.robot
    engine = make_engine("mujoco", g1_scene, 1, threads=1)
    qpos = fallen(robot, "kneeling")
    engine.reset(torch.tensor([0]), qpos, torch.zeros(1, 6 + robot.num_joints))
    for _ in range(40):
        engine.step(qpos[:, 7:])
    weight = 9.81 * float(robot.model.body_mass.sum())
    assert float(engine.contact_force.sum()) == pytest.approx(weight, rel=0.05)
    engine.reset(torch.tensor([0]), fallen(robot, "standing"), torch.zeros(1, 35))
    assert not engine.contact_force.any()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e5])
@pytest.mark.parametrize("part", ["base", "joint"])
def test_blown_up_states_are_seen_and_recover(
    value: float, part: str, tiny_scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # MuJoCo appends warnings to a log in the working directory
    robot = tiny_scene.robot
    engine, calm = started(tiny_scene, 3), started(tiny_scene, 3)
    assert not engine.non_finite().any()
    qvel = engine.qvel[[1]].clone()
    qvel[0, 0 if part == "base" else 8] = value
    engine.set_velocity(torch.tensor([1]), qvel)
    wanted = targets(robot, 3, 2)
    engine.step(wanted[0])
    calm.step(wanted[0])
    assert engine.non_finite().tolist() == [False, True, False]
    engine.reset(torch.tensor([1]), *standing(robot, 1))
    assert not engine.non_finite().any()
    engine.step(wanted[1])
    calm.step(wanted[1])
    for name in STATE:
        assert torch.isfinite(getattr(engine, name)).all(), name
        assert torch.equal(getattr(engine, name)[[0, 2]], getattr(calm, name)[[0, 2]]), name


def test_state_tensors_are_single_precision_on_the_device(tiny_scene: Scene) -> None:
    engine = started(tiny_scene, 2)
    for name in STATE:
        tensor = getattr(engine, name)
        assert tensor.dtype == torch.float32 and tensor.device == engine.device


def test_earlier_tensors_are_not_overwritten_by_a_step(tiny_scene: Scene) -> None:
    engine = started(tiny_scene, 2)
    kept, copies = engine.qpos, engine.qpos.clone()
    engine.step(targets(tiny_scene.robot, 2, 1)[0])
    assert torch.equal(kept, copies)
