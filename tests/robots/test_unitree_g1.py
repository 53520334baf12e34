"""The compiled Unitree G1 carries the published constants and keeps the vendor's body."""

from __future__ import annotations

from fnmatch import fnmatchcase

import mujoco
import numpy as np
import pytest

from robots import Robot
from robots.shapes import drawn_model

# motor: (joint patterns, armature, kp, kd, effort, action scale), as published
MOTORS = {
    "5020": (
        ["*_shoulder_*_joint", "*_elbow_joint", "*_wrist_roll_joint"],
        (0.003609725, 14.25, 0.907, 25.0, 0.4386),
    ),
    "7520-14": (
        ["*_hip_pitch_joint", "*_hip_yaw_joint", "waist_yaw_joint"],
        (0.010177520, 40.18, 2.558, 88.0, 0.5475),
    ),
    "7520-22": (
        ["*_hip_roll_joint", "*_knee_joint"],
        (0.025101925, 99.10, 6.309, 139.0, 0.3507),
    ),
    "4010": (
        ["*_wrist_pitch_joint", "*_wrist_yaw_joint"],
        (0.00425, 16.78, 1.068, 5.0, 0.0745),
    ),
    "2x5020": (
        ["*_ankle_*_joint", "waist_roll_joint", "waist_pitch_joint"],
        (0.00721945, 28.50, 1.814, 50.0, 0.4386),
    ),
}
COUNT = {"5020": 10, "7520-14": 5, "7520-22": 4, "4010": 4, "2x5020": 6}


@pytest.fixture(scope="module")
def vendor(g1: Robot) -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_path(str(g1.vendor_xml))


def motor_of(joint: str) -> str:
    (found,) = [
        name
        for name, (patterns, _) in MOTORS.items()
        if any(fnmatchcase(joint, p) for p in patterns)
    ]
    return found


def test_every_joint_has_the_published_motor_constants(g1: Robot) -> None:
    assert len(g1.joint_names) == 29
    found = [motor_of(joint) for joint in g1.joint_names]
    assert {name: found.count(name) for name in MOTORS} == COUNT
    for index, motor in enumerate(found):
        armature, kp, kd, effort, scale = MOTORS[motor][1]
        assert g1.armature[index] == armature
        assert g1.kp[index] == pytest.approx(kp, abs=6e-3)
        assert g1.kd[index] == pytest.approx(kd, abs=6e-4)
        assert g1.effort_limit[index] == effort
        assert g1.action_scale[index] == pytest.approx(scale, abs=6e-5)


def test_gains_follow_from_armature_frequency_and_damping(g1: Robot) -> None:
    omega = 2 * np.pi * 10.0
    np.testing.assert_allclose(g1.kp, g1.armature * omega**2, rtol=1e-12)
    np.testing.assert_allclose(g1.kd, 2 * 2.0 * g1.armature * omega, rtol=1e-12)
    np.testing.assert_allclose(g1.action_scale, 0.25 * g1.effort_limit / g1.kp, rtol=1e-12)


def test_compiled_actuators_are_position_servos_in_joint_order(g1: Robot) -> None:
    model = g1.model
    assert model.nu == 29
    assert tuple(model.actuator(i).name for i in range(model.nu)) == g1.joint_names
    joints = [model.joint(int(i)).name for i in model.actuator_trnid[:, 0]]
    assert tuple(joints) == g1.joint_names
    np.testing.assert_allclose(model.actuator_gainprm[:, 0], g1.kp)
    np.testing.assert_allclose(model.actuator_biasprm[:, 0], 0.0)
    np.testing.assert_allclose(model.actuator_biasprm[:, 1], -g1.kp)
    np.testing.assert_allclose(model.actuator_biasprm[:, 2], -g1.kd)
    np.testing.assert_allclose(model.actuator_forcerange[:, 0], -g1.effort_limit)
    np.testing.assert_allclose(model.actuator_forcerange[:, 1], g1.effort_limit)
    np.testing.assert_allclose(model.actuator_gear[:, 0], 1.0)
    assert model.actuator_forcelimited.all()
    assert not model.actuator_ctrllimited.any()
    assert not model.jnt_actfrclimited.any()


def test_joints_carry_armature_and_no_friction_or_damping(g1: Robot) -> None:
    np.testing.assert_allclose(g1.model.dof_armature[6:], g1.armature)
    np.testing.assert_allclose(g1.model.dof_armature[:6], 0.0)
    np.testing.assert_allclose(g1.model.dof_frictionloss, 0.0)
    np.testing.assert_allclose(g1.model.dof_damping, 0.0)


def test_torque_is_the_clipped_pd_law(g1: Robot) -> None:
    rng = np.random.default_rng(0)
    data = mujoco.MjData(g1.model)
    data.qpos[3:7] = [1, 0, 0, 0]
    q = data.qpos[7:] = rng.uniform(g1.joint_lower, g1.joint_upper)
    qd = data.qvel[6:] = rng.normal(size=29) * 5
    target = data.ctrl[:] = q + rng.normal(size=29) * 2
    mujoco.mj_forward(g1.model, data)
    torque = g1.kp * (target - q) - g1.kd * qd
    expected = np.clip(torque, -g1.effort_limit, g1.effort_limit)
    np.testing.assert_allclose(data.actuator_force, expected, atol=1e-9)
    assert (np.abs(torque) > g1.effort_limit).any()


def test_vendor_body_is_unchanged(g1: Robot, vendor: mujoco.MjModel) -> None:
    model = g1.model
    assert model.nbody == vendor.nbody and model.njnt == vendor.njnt
    for field in ("body_mass", "body_inertia", "body_ipos", "body_pos", "body_quat", "jnt_axis"):
        np.testing.assert_allclose(getattr(model, field), getattr(vendor, field), atol=1e-12)
    np.testing.assert_allclose(model.jnt_range, vendor.jnt_range)
    np.testing.assert_allclose(np.stack([g1.joint_lower, g1.joint_upper], 1), vendor.jnt_range[1:])
    assert [model.body(i).name for i in range(model.nbody)] == [
        vendor.body(i).name for i in range(vendor.nbody)
    ]
    assert model.body_mass.sum() == pytest.approx(33.34, abs=0.01)


def test_visual_meshes_stay_and_do_not_collide(g1: Robot) -> None:
    model = drawn_model(g1)
    meshes = model.geom_type == int(mujoco.mjtGeom.mjGEOM_MESH)
    assert meshes.sum() >= 29
    assert not model.geom_contype[meshes].any()
    assert not model.geom_conaffinity[meshes].any()


def test_default_pose_is_knees_bent(g1: Robot) -> None:
    pose = dict(zip(g1.joint_names, g1.default_joint_pos, strict=True))
    for side, sign in (("left", 1.0), ("right", -1.0)):
        assert pose.pop(f"{side}_hip_pitch_joint") == -0.312
        assert pose.pop(f"{side}_knee_joint") == 0.669
        assert pose.pop(f"{side}_ankle_pitch_joint") == -0.363
        assert pose.pop(f"{side}_elbow_joint") == 0.6
        assert pose.pop(f"{side}_shoulder_pitch_joint") == 0.2
        assert pose.pop(f"{side}_shoulder_roll_joint") == sign * 0.2
    assert set(pose.values()) == {0.0}


def test_soft_limits_are_nine_tenths_about_the_centre(g1: Robot) -> None:
    hard, soft = g1.joint_upper - g1.joint_lower, g1.soft_upper - g1.soft_lower
    np.testing.assert_allclose(soft, 0.9 * hard)
    np.testing.assert_allclose(g1.soft_upper + g1.soft_lower, g1.joint_upper + g1.joint_lower)
    assert (g1.default_joint_pos > g1.soft_lower).all()
    assert (g1.default_joint_pos < g1.soft_upper).all()


def test_key_bodies_are_the_fourteen_of_the_task(g1: Robot) -> None:
    sides = [
        f"{side}_{part}"
        for side in ("left", "right")
        for part in (
            "hip_roll_link", "knee_link", "ankle_roll_link",
            "shoulder_roll_link", "elbow_link", "wrist_yaw_link",
        )
    ]  # fmt: skip
    assert set(g1.key_bodies) == {"pelvis", "torso_link", *sides}
    assert len(g1.key_bodies) == 14
    assert g1.key_bodies[0] == g1.root_body == g1.body_names[0] == "pelvis"
    assert g1.anchor_body == "torso_link"
    assert set(g1.end_effectors) == {
        f"{side}_{part}"
        for side in ("left", "right")
        for part in ("ankle_roll_link", "wrist_yaw_link")
    }
    assert g1.feet == ("left_ankle_roll_link", "right_ankle_roll_link")


def standing(g1: Robot) -> mujoco.MjData:
    data = mujoco.MjData(g1.model)
    data.qpos[:7] = [0, 0, g1.default_root_height, 1, 0, 0, 0]
    data.qpos[7:] = g1.default_joint_pos
    mujoco.mj_forward(g1.model, data)
    return data


def test_soles_touch_the_ground_in_the_default_pose(g1: Robot) -> None:
    assert g1.default_root_height == pytest.approx(0.757, abs=1e-3)
    data = standing(g1)
    for foot, points in zip(g1.feet, g1.sole_points, strict=True):
        placed = points @ data.body(foot).xmat.reshape(3, 3).T + data.body(foot).xpos
        assert placed[:, 2].min() == pytest.approx(0.0, abs=1e-9)
        assert placed[:, 2].max() < 2e-3
        assert np.ptp(points[:, 0]) > 0.15 and np.ptp(points[:, 1]) > 0.04
    # Nothing that touches the ground lies below the soles.
    model = g1.model
    touching = np.flatnonzero(model.geom_conaffinity & 1)
    assert (data.geom_xpos[touching, 2] - model.geom_size[touching, 0]).min() > -1e-6


def test_left_is_left_and_collision_geometry_is_mirrored(g1: Robot) -> None:
    data = standing(g1)
    for role, body in g1.human_map.items():
        y = data.body(body).xpos[1]
        sign = {"left": 1.0, "righ": -1.0}.get(role[:4], 0.0)
        assert y * sign > 0.05 if sign else abs(y) < 1e-6
    model = g1.model

    def shapes(side: str) -> list[tuple]:
        found = []
        for geom in range(model.ngeom):
            body = model.body(model.geom_bodyid[geom]).name
            if body.startswith(side) and (model.geom_contype[geom] or model.geom_conaffinity[geom]):
                place = model.geom_pos[geom] * (1, 1 if side == "left" else -1, 1)
                size = model.geom_size[geom]
                found.append((body[len(side) :], *place.round(9), *size.round(9)))
        return sorted(found)

    assert shapes("left") == shapes("right") != []


def test_no_self_collision_in_the_default_pose(g1: Robot) -> None:
    assert standing(g1).ncon == 0


def test_spec_is_fresh_each_time(g1: Robot) -> None:
    first, second = g1.spec(), g1.spec()
    first.worldbody.add_geom(name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[1, 1, 1])
    plain = g1.spec().compile().ngeom
    assert second.compile().ngeom == plain
    assert first.compile().ngeom == plain + 1
