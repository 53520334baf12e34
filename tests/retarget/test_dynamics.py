"""Feasibility of motions whose dynamics are known beforehand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import mujoco
import numpy as np
import pytest

from mimic_base.vectors import Array
from motions import InputError, RobotMotion
from motions.robot.dynamics.inverse import bare_model, derivatives
from motions.robot.dynamics.support import polygon_margin
from retarget.projection import DynamicsSettings, check_dynamics
from robots.kinematics import forward_kinematics
from robots.robot import Robot

REPO = Path(__file__).resolve().parents[2]
FPS = 50.0


def motion_of(robot: Robot, root: Array, joints: Array | None = None) -> RobotMotion:
    """A motion of an upright base along `root` [T, 3]."""
    frames = len(root)
    quat = np.tile([1.0, 0.0, 0.0, 0.0], (frames, 1))
    joints = np.tile(robot.default_joint_pos, (frames, 1)) if joints is None else joints
    pos, turned = forward_kinematics(robot, root, quat, joints)
    return RobotMotion.build(
        fps=FPS, joint_pos=joints, body_pos_w=pos, body_quat_w=turned, robot=robot.name,
        joint_names=robot.joint_names, body_names=robot.body_names, name="made",
    )  # fmt: skip


def still(robot: Robot, above: float = 0.0, frames: int = 12) -> Array:
    return np.tile([0.0, 0.0, robot.default_root_height + above], (frames, 1))


def test_standing_still_is_feasible(g1: Robot) -> None:
    result = check_dynamics(motion_of(g1, still(g1)), g1)
    assert result.feasible.all() and result.residual.max() < 1e-3
    assert (result.contacts >= 8).all() and result.zmp_margin.min() > 0.02
    # The zero-moment point of a body at rest is below its centre of mass.
    model = bare_model(g1)
    data = mujoco.MjData(model)
    data.qpos[:] = [0, 0, g1.default_root_height, 1, 0, 0, 0, *g1.default_joint_pos]
    mujoco.mj_forward(model, data)
    soles = np.concatenate(
        [
            data.body(foot).xpos + points @ data.body(foot).xmat.reshape(3, 3).T
            for foot, points in zip(g1.feet, g1.sole_points, strict=True)
        ]
    )
    expected = polygon_margin(soles[:, :2], data.subtree_com[1, :2])
    assert result.zmp_margin[5] == pytest.approx(expected, abs=2e-3)


def test_hanging_in_the_air_asks_for_the_whole_weight(g1: Robot) -> None:
    result = check_dynamics(motion_of(g1, still(g1, above=0.2)), g1)
    assert not result.feasible.any()
    np.testing.assert_allclose(result.residual, 1.0, atol=1e-6)
    assert (result.contacts == 0).all() and np.isnan(result.zmp_margin).all()


def test_a_ballistic_flight_is_feasible(g1: Robot) -> None:
    time = np.arange(30) / FPS
    root = still(g1, above=0.5, frames=30)
    root[:, 0] += 0.8 * time
    root[:, 2] += 2.0 * time - 0.5 * 9.81 * time**2
    # The filter would round the parabola's ends.
    result = check_dynamics(motion_of(g1, root), g1, DynamicsSettings(cutoff_hz=100.0))
    assert result.residual[2:-2].max() < 1e-3 and result.feasible[2:-2].all()


def test_leaning_beyond_the_toes_leaves_a_torque(g1: Robot) -> None:
    motion = motion_of(g1, still(g1))
    lean = 0.5
    quat = np.array([np.cos(lean / 2), 0, np.sin(lean / 2), 0])
    joints = g1.default_joint_pos.copy()
    for side in ("left", "right"):
        joints[g1.joint_names.index(f"{side}_ankle_pitch_joint")] -= lean
    root = still(g1)
    pos, _ = forward_kinematics(g1, root[:1], quat[None], joints[None])
    root[:, 2] -= (
        pos[0, g1.body_names.index(g1.feet[0]), 2]
        - (motion.body_pos_w[0, g1.body_names.index(g1.feet[0]), 2])
    )
    joints = np.tile(joints, (len(root), 1))
    turned = np.tile(quat, (len(root), 1))
    pos, body_quat = forward_kinematics(g1, root, turned, joints)
    leaning = RobotMotion.build(
        fps=FPS, joint_pos=joints, body_pos_w=pos, body_quat_w=body_quat, robot=g1.name,
        joint_names=g1.joint_names, body_names=g1.body_names, name="leaning",
    )  # fmt: skip
    result = check_dynamics(leaning, g1)
    assert result.zmp_margin.max() < -0.05
    assert not result.feasible.any() and result.moment.min() > 0.05


def test_sliding_start_needs_friction(g1: Robot) -> None:
    time = np.arange(20) / FPS
    root = still(g1, frames=20)
    root[:, 0] = 0.5 * 6.0 * time**2  # 6 m/s^2 is 0.61 of gravity
    motion = motion_of(g1, root)
    settings = DynamicsSettings(cutoff_hz=100.0)
    slippery = check_dynamics(motion, g1, DynamicsSettings(cutoff_hz=100.0, friction=0.3))
    assert check_dynamics(motion, g1, settings).friction[10] == pytest.approx(6 / 9.81, abs=1e-3)
    assert slippery.residual[10] > 0.2


def test_derivatives_are_those_of_a_known_motion(g1: Robot) -> None:
    model = bare_model(g1)
    time = np.arange(40) / FPS
    qpos = np.tile([0, 0, 1.0, 1, 0, 0, 0, *g1.default_joint_pos], (40, 1))
    qpos[:, 7] += 0.3 * np.sin(4 * time)
    qpos[:, 3], qpos[:, 6] = np.cos(time / 2), np.sin(time / 2)  # one radian a second about z
    velocity, acceleration = derivatives(model, qpos, FPS, 100.0)
    np.testing.assert_allclose(velocity[2:-2, 6], 1.2 * np.cos(4 * time[2:-2]), atol=0.01)
    np.testing.assert_allclose(acceleration[2:-2, 6], -4.8 * np.sin(4 * time[2:-2]), atol=0.05)
    np.testing.assert_allclose(velocity[2:-2, 5], 1.0, atol=1e-6)


def test_margins_of_a_square_a_line_and_a_point() -> None:
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0.5, 0.5]], float)
    assert polygon_margin(square, np.array([0.5, 0.4])) == pytest.approx(0.4)
    assert polygon_margin(square, np.array([1.3, 1.4])) == pytest.approx(-0.5)
    line = np.array([[0, 0], [0.5, 0], [1, 0]], float)
    assert polygon_margin(line, np.array([0.5, 0.2])) == pytest.approx(-0.2)
    assert polygon_margin(line[:1], np.array([3.0, 4.0])) == pytest.approx(-5.0)


def test_a_motion_too_short_is_refused(g1: Robot) -> None:
    with pytest.raises(InputError, match="accelerations need four frames"):
        check_dynamics(motion_of(g1, still(g1, frames=3)), g1)


def test_the_command_prints_and_writes(g1: Robot, tmp_path: Path) -> None:
    path = tmp_path / "still.npz"
    motion_of(g1, still(g1)).save(path)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "retarget.dynamics", *arguments]
        return subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)

    done = run(str(path), "--json", str(tmp_path / "d.json"))
    assert done.returncode == 0 and "100 %" in done.stdout
    (entry,) = json.loads((tmp_path / "d.json").read_text()).values()
    assert entry["feasible_rate"] == 1.0 and len(entry["curves"]["residual"]) == 12
    for bad, text in (
        ([str(tmp_path / "absent.npz")], "absent.npz"),
        ([], "no motions given"),
        ([str(path), "--friction", "0"], "--friction must be a number above zero"),
    ):
        done = run(*bad)
        assert done.returncode == 2 and text in done.stderr and "Traceback" not in done.stderr
