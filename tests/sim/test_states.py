"""States by name: put together and taken apart in the simulation's order; nobody else slices it."""

from __future__ import annotations

import re
from pathlib import Path

import mujoco
import numpy as np
import pytest

from mimic.sim.objects import ObjectConfig
from mimic.sim.scene import SceneConfig, make_scene
from mimic.sim.single import SingleRobot
from mimic.sim.states import States, free_objects
from mimic_base.rotations import quat_inv_rotate
from robots import Robot

REPO = Path(__file__).resolve().parents[2]
SLICED = re.compile(r"\bq(pos|vel)\s*\[")


@pytest.fixture
def scene(tiny: Robot):
    size = (0.1, 0.1, 0.1)
    objects = {
        "ball": ObjectConfig(shape="sphere", size=(0.1,), pos=(1.0, 0.0, 0.5)),
        "table": ObjectConfig(size=size, pos=(2.0, 0.0, 0.1), fixed=True),
        "box": ObjectConfig(size=size, pos=(-1.0, 0.0, 0.5)),
    }
    return make_scene(tiny, SceneConfig(objects=objects))


def test_coordinates_have_names(scene, tiny: Robot) -> None:
    names = scene.coordinate_names
    assert len(names) == scene.model.nq and len(scene.velocity_names) == scene.model.nv
    assert names[:7] == ("base x", "base y", "base z", *(f"base quaternion {a}" for a in "wxyz"))
    assert names[7 : 7 + tiny.num_joints] == tiny.joint_names
    assert free_objects(scene) == ("ball", "box") and names[-7] == "box x"
    # Where MuJoCo itself has them.
    for name in ("ball", "box"):
        at = int(scene.model.joint(scene.model.body(name).jntadr[0]).qposadr[0])
        assert names[at] == f"{name} x"


def test_they_are_taken_apart_and_put_together(scene) -> None:
    values = np.random.default_rng(0).normal(size=(3, scene.model.nq))
    states = States.of(values, free_objects(scene))
    assert len(states) == 3 and states.objects["box"].shape == (3, 7)
    np.testing.assert_array_equal(states.coordinates, values)
    np.testing.assert_array_equal(states[1].coordinates, values[1])
    stacked = States.stack([states[i] for i in range(3)])
    np.testing.assert_array_equal(stacked.coordinates, values)
    moved = states[0].moved([1.0, 2.0, 0.0])
    np.testing.assert_allclose(moved.root_pos_w, values[0, :3] + [1.0, 2.0, 0.0])
    assert not moved.objects
    np.testing.assert_array_equal(moved.beside(states[2].objects).objects["ball"],
                                  states[2].objects["ball"])  # fmt: skip


def test_a_single_robot_is_what_mujoco_computes(scene, tiny: Robot) -> None:
    robot = SingleRobot(scene)
    default = np.asarray(tiny.default_joint_pos)
    height = tiny.default_root_height
    start = States.of([0.0, 0.0, height, 1.0, 0.0, 0.0, 0.0, *default])
    robot.start(start, np.array([0.3, 0.0, 0.0]), np.array([0.0, 0.0, 1.0]), 0.1 * default)
    assert robot.state.objects["ball"][0] == pytest.approx(1.0)
    data = mujoco.MjData(scene.model)
    data.qpos[:], data.qvel[:] = robot.data.qpos, robot.data.qvel
    for _ in range(3):
        robot.step(default + 0.05)
        data.ctrl[:] = default + 0.05
        mujoco.mj_step(scene.model, data, nstep=scene.decimation)
    np.testing.assert_array_equal(robot.state.coordinates, data.qpos)
    np.testing.assert_array_equal(robot.joint_vel, data.qvel[6 : 6 + tiny.num_joints])
    np.testing.assert_array_equal(robot.root_ang_vel_b, data.qvel[3:6])
    expected = quat_inv_rotate(data.qpos[3:7], data.qvel[:3])
    np.testing.assert_allclose(robot.root_lin_vel_b, expected)
    mujoco.mj_kinematics(scene.model, data)
    positions, _ = robot.bodies(robot.body_ids(tiny.feet))
    np.testing.assert_allclose(positions, data.xpos[robot.body_ids(tiny.feet)])
    assert robot.fine
    robot.data.qpos[0] = np.nan
    assert not robot.fine


def test_only_the_simulation_slices_coordinates() -> None:
    wrong = [
        f"{path.relative_to(REPO)}:{number}"
        for path in (REPO / "mimic").rglob("*.py")
        if not path.is_relative_to(REPO / "mimic" / "sim")
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if SLICED.search(line)
    ]
    assert not wrong, "read env.state, mimic.sim.states or mimic.sim.single instead"
