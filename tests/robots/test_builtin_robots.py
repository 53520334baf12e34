"""Every built-in robot carries its constants, is symmetric, stands, and keeps standing."""

from __future__ import annotations

from fnmatch import fnmatchcase

import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray

import robots
from mimic.sim.scene import make_scene
from robots import Robot
from robots.mirror import Mirror
from robots.models import load_spec, skeleton

# robot: (hinges, mass kg, height of the root m, {pattern: (armature, effort, velocity)})
Constants = dict[str, tuple[float, float, float]]
ROBOTS: dict[str, tuple[int, float, float, Constants]] = {
    "unitree_g1_23dof": (
        23, 33.341, 0.757,
        {
            "*_shoulder_*": (0.003609725, 25.0, 37.0),
            "*_elbow_joint": (0.003609725, 25.0, 37.0),
            "*_wrist_roll_joint": (0.003609725, 25.0, 37.0),
            "*_hip_pitch_joint": (0.010177520, 88.0, 32.0),
            "*_hip_yaw_joint": (0.010177520, 88.0, 32.0),
            "waist_yaw_joint": (0.010177520, 88.0, 32.0),
            "*_hip_roll_joint": (0.025101925, 139.0, 20.0),
            "*_knee_joint": (0.025101925, 139.0, 20.0),
            "*_ankle_*": (0.00721945, 50.0, 37.0),
        },
    ),
    "unitree_h1": (
        19, 51.437, 1.0052,
        {
            "*_hip_*": (0.032, 200.0, 23.0),
            "torso": (0.032, 200.0, 23.0),
            "*_knee": (0.048, 300.0, 14.0),
            "*_ankle": (0.0064, 40.0, 9.0),
            "*_shoulder_pitch": (0.0064, 40.0, 9.0),
            "*_shoulder_roll": (0.0064, 40.0, 9.0),
            "*_shoulder_yaw": (0.00288, 18.0, 20.0),
            "*_elbow": (0.00288, 18.0, 20.0),
        },
    ),
    "booster_t1": (
        23, 31.614, 0.6551,
        {
            "*ead_*": (0.0018, 7.0, 12.57),
            "*_Shoulder_*": (0.0282528, 18.0, 17.59),
            "*_Elbow_*": (0.0282528, 18.0, 17.59),
            "Waist": (0.0478125, 30.0, 14.66),
            "*_Hip_Pitch": (0.0523908, 45.0, 12.57),
            "*_Hip_Roll": (0.0478125, 30.0, 14.66),
            "*_Hip_Yaw": (0.0478125, 30.0, 14.66),
            "*_Knee_Pitch": (0.0636012, 60.0, 12.57),
            "*_Ankle_Pitch": (0.0679104, 20.0, 12.57),
            "*_Ankle_Roll": (0.0679104, 15.0, 12.57),
        },
    ),
    "apptronik_apollo": (
        32, 80.898, 1.073,
        {
            "torso_yaw": (0.23142, 120.0, 12.0),
            "torso_roll": (1.56493, 414.0, 12.0),
            "torso_pitch": (0.97069, 315.0, 12.0),
            "neck_yaw": (0.0368, 10.6, 20.0),
            "neck_roll": (0.00306, 34.2, 20.0),
            "neck_pitch": (0.00256, 34.2, 20.0),
            "?_hip_ie": (0.23142, 120.0, 12.0),
            "?_hip_aa": (0.3994, 494.0, 12.0),
            "?_hip_fe": (0.1871, 342.0, 12.0),
            "?_knee_fe": (0.29226, 336.0, 12.0),
            "?_ankle_ie": (0.12187, 120.0, 12.0),
            "?_ankle_pd": (0.20546, 150.0, 12.0),
            "?_shoulder_aa": (0.09828, 78.0, 15.0),
            "?_shoulder_ie": (0.08231, 67.0, 15.0),
            "?_shoulder_fe": (0.11277, 114.0, 15.0),
            "?_elbow_fe": (0.10265, 114.0, 15.0),
            "?_wrist_roll": (0.0368, 10.6, 20.0),
            "?_wrist_yaw": (0.00329, 34.2, 20.0),
            "?_wrist_pitch": (0.00288, 34.2, 20.0),
        },
    ),
    "robotis_op3": (20, 3.147, 0.2692, {"*": (0.045, 5.0, 4.8)}),
}  # fmt: skip


@pytest.fixture(scope="module", params=ROBOTS)
def robot(request: pytest.FixtureRequest) -> Robot:
    return robots.load(request.param)


def constants(robot: Robot) -> NDArray[np.float64]:
    """Armature, effort and velocity [J, 3] as the table above says."""
    rows = []
    for joint in robot.joint_names:
        (found,) = [v for p, v in ROBOTS[robot.name][3].items() if fnmatchcase(joint, p)]
        rows.append(found)
    return np.array(rows)


def put(model: mujoco.MjModel, robot: Robot) -> mujoco.MjData:
    data = mujoco.MjData(model)
    data.qpos[:7] = [0, 0, robot.default_root_height, 1, 0, 0, 0]
    data.qpos[7:] = robot.default_joint_pos
    mujoco.mj_forward(model, data)
    return data


def soles(robot: Robot, data: mujoco.MjData) -> NDArray[np.float64]:
    """World positions [K, 3] of the points of both soles."""
    placed = [
        points @ data.body(foot).xmat.reshape(3, 3).T + data.body(foot).xpos
        for foot, points in zip(robot.feet, robot.sole_points, strict=True)
    ]
    return np.concatenate(placed)


def test_constants_are_in_the_compiled_model(robot: Robot) -> None:
    joints, mass, _, _ = ROBOTS[robot.name]
    model = robot.model
    armature, effort, velocity = constants(robot).T
    assert robot.num_joints == model.nu == joints
    assert model.body_mass.sum() == pytest.approx(mass, abs=2e-3)
    np.testing.assert_allclose(model.dof_armature[6:], armature)
    np.testing.assert_allclose(model.actuator_forcerange, np.stack([-effort, effort], axis=1))
    np.testing.assert_allclose(robot.velocity_limit, velocity)
    omega = 2.0 * np.pi * 10.0
    np.testing.assert_allclose(model.actuator_gainprm[:, 0], armature * omega**2)
    np.testing.assert_allclose(model.actuator_biasprm[:, 1], -armature * omega**2)
    # The damping ratio is 2, but for H1's ankle.
    ankle = [robot.name == "unitree_h1" and name.endswith("_ankle") for name in robot.joint_names]
    damping = 2.0 * np.where(ankle, 12.0, 2.0) * armature * omega
    np.testing.assert_allclose(model.actuator_biasprm[:, 2], -damping)
    np.testing.assert_allclose(robot.action_scale, 0.25 * effort / (armature * omega**2))
    # What damps and holds is the servo alone.
    for passive in (model.dof_damping, model.dof_frictionloss, model.jnt_stiffness):
        assert not np.any(passive)
    assert not model.jnt_actfrclimited.any()


def test_vendor_efforts_are_kept(robot: Robot) -> None:
    """Where the vendor's model states a torque limit, the description's is the same."""
    vendor = skeleton(load_spec(robot.vendor_xml)).compile()
    stated = {}
    for actuator in range(vendor.nu):
        joint = int(vendor.actuator_trnid[actuator, 0])
        limit = float(vendor.jnt_actfrcrange[joint, 1]) or float(
            vendor.actuator_forcerange[actuator, 1]
        )
        if not limit and vendor.actuator_biastype[actuator] == 0:
            limit = float(vendor.actuator_ctrlrange[actuator, 1])
        if limit:
            stated[vendor.joint(joint).name] = limit
    known = [j for j in robot.joint_names if j in stated]
    assert len(known) == robot.num_joints
    for joint, effort in zip(robot.joint_names, robot.effort_limit, strict=True):
        assert effort == pytest.approx(stated[joint], rel=1e-6), joint


def test_soft_limits_hold_the_default_pose(robot: Robot) -> None:
    hard = robot.joint_upper - robot.joint_lower
    np.testing.assert_allclose(robot.soft_upper - robot.soft_lower, 0.9 * hard)
    assert (robot.default_joint_pos >= robot.soft_lower - 0.07).all()
    assert (robot.default_joint_pos <= robot.soft_upper + 1e-9).all()


def test_default_pose_stands_on_flat_feet(robot: Robot) -> None:
    assert robot.default_root_height == pytest.approx(ROBOTS[robot.name][2], abs=2e-3)
    data = put(robot.model, robot)
    points = soles(robot, data)
    assert points[:, 2].min() == pytest.approx(0.0, abs=1e-9)
    assert points[:, 2].max() < 1e-3
    x, y, _ = data.subtree_com[0]
    length, width = np.ptp(points[:, 0]), np.ptp(points[:, 1])
    assert points[:, 0].min() + 0.2 * length < x < points[:, 0].max() - 0.2 * length
    assert abs(y) < 0.05 * width
    # Knees are bent, the human way: the knee is ahead of the line from hip to ankle.
    for side in ("left", "right"):
        hip, knee, ankle = (
            data.body(robot.human_map[f"{side}_{part}"]).xpos for part in ("hip", "knee", "ankle")
        )
        share = (hip[2] - knee[2]) / (hip[2] - ankle[2])
        assert knee[0] > hip[0] + share * (ankle[0] - hip[0]) + 0.02 * robot.default_root_height


def carrying_targets(robot: Robot, model: mujoco.MjModel) -> NDArray[np.float64]:
    """Joint targets whose PD torques carry the robot's weight in its default pose.

    Each foot is pressed by half of the weight under the centre of mass.
    """
    data = put(model, robot)
    torque = data.qfrc_bias.copy()
    for foot in robot.feet:
        jacobian = np.zeros((3, model.nv))
        point = np.array([data.subtree_com[0][0], data.body(foot).xpos[1], 0.0])
        mujoco.mj_jac(model, data, jacobian, None, point, model.body(foot).id)
        torque -= jacobian.T @ [0.0, 0.0, 0.5 * 9.81 * model.body_mass.sum()]
    assert np.abs(torque[:6]).max() < 2e-3 * 9.81 * model.body_mass.sum()
    assert (np.abs(torque[6:]) < 0.5 * robot.effort_limit).all()
    return robot.default_joint_pos + torque[6:] / robot.kp


def test_stands_still_for_a_second(robot: Robot) -> None:
    scene = make_scene(robot)
    data = put(scene.model, robot)
    start = data.qpos.copy()
    data.ctrl[:] = carrying_targets(robot, scene.model)
    for _ in range(200):
        mujoco.mj_step(scene.model, data)
    assert np.degrees(np.arccos(min(1.0, data.body(robot.root_body).xmat[8]))) < 2.0
    assert np.abs(data.qpos[:3] - start[:3]).max() < 0.03 * robot.default_root_height
    assert np.abs(data.qpos[7:] - robot.default_joint_pos).max() < 0.03
    assert np.abs(data.qvel).max() < 0.2


def test_left_and_right_are_mirror_images(robot: Robot) -> None:
    data = put(robot.model, robot)
    mirror = Mirror.of(robot.model)
    scale = robot.default_root_height
    pairs = 0
    for role, body in robot.human_map.items():
        place = data.body(body).xpos
        if not role.startswith(("left", "right")):
            assert abs(place[1]) < 1e-3 * scale
            continue
        assert place[1] * (1 if role.startswith("left") else -1) > 0.02 * scale
        if role.startswith("left"):
            other = robot.human_map[role.replace("left", "right")]
            assert mirror.body(body) == other
            image = data.body(other).xpos * (1, -1, 1)
            np.testing.assert_allclose(place, image, atol=2e-3 * scale)
            pairs += 1
    assert pairs == 6
    # Collision geometry, seen in the world, is the same on both sides.
    model = robot.model
    shapes = [
        (*data.geom_xpos[g], *model.geom_size[g])
        for g in range(model.ngeom)
        if model.geom_contype[g] or model.geom_conaffinity[g]
    ]
    every = np.array(shapes)
    for shape in every:
        image = shape * (1, -1, 1, 1, 1, 1)
        assert np.abs(every - image).max(axis=1).min() < 3e-3 * scale


def test_names_fit_the_rest_of_the_road(robot: Robot) -> None:
    assert robot.key_bodies[0] == robot.root_body == robot.body_names[0]
    assert set(robot.feet) | {robot.anchor_body} <= set(robot.key_bodies)
    assert set(robot.end_effectors) <= set(robot.key_bodies)
    assert len(robot.end_effectors) == 4
    assert put(robot.model, robot).ncon <= 8  # the spheres of the feet, nothing else


def test_summary_is_that_of_the_loaded_robot(robot: Robot) -> None:
    joints, bodies, mass = robots.summary(robot.name)
    assert (joints, bodies) == (robot.num_joints, len(robot.body_names))
    assert mass == pytest.approx(robot.model.body_mass.sum())


def test_fixed_joints_are_gone_and_their_links_stay(g1: Robot) -> None:
    lean = robots.load("unitree_g1_23dof")
    gone = set(g1.joint_names) - set(lean.joint_names)
    assert gone == {
        "waist_roll_joint", "waist_pitch_joint",
        "left_wrist_pitch_joint", "left_wrist_yaw_joint",
        "right_wrist_pitch_joint", "right_wrist_yaw_joint",
    }  # fmt: skip
    assert lean.body_names == g1.body_names
    np.testing.assert_allclose(lean.model.body_mass, g1.model.body_mass)


def test_end_points_are_massless_bodies_at_the_end_of_the_forearm() -> None:
    robot = robots.load("unitree_h1")
    model = robot.model
    wrist = model.body("left_wrist")
    assert model.body(wrist.parentid[0]).name == "left_elbow_link"
    assert wrist.mass[0] == 0.0
    np.testing.assert_allclose(model.body("right_wrist").pos, wrist.pos)
    assert model.nbody == 23  # 21 of the vendor, two points
