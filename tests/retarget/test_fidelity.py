"""How feet and hands are turned and placed, measured on persons made from a robot's own pose."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import robots
from mimic_base.rotations import quat_inv_rotate, quat_rotate
from motions import HumanMotion
from motions.robot.editing import mirror_human
from retarget import retarget
from retarget.person.calibration import CalibratedHuman
from retarget.person.fidelity import (
    ankle_freedom,
    asymmetry,
    mirror_qpos,
    orientation_errors,
    position_errors,
    wrist_freedom,
)
from robots.frames import robot_frames
from robots.kinematics import forward_kinematics
from robots.robot import Robot
from robots.segments import SEGMENTS, SegmentTrack
from robots.symmetry import mirror_map

FRAMES = 4


def poses(robot: Robot, spread: float = 0.3) -> np.ndarray:
    """Random poses [4, 7 + J] near the default one."""
    rng = np.random.default_rng(3)
    qpos = np.zeros((FRAMES, 7 + robot.num_joints))
    qpos[:, :3] = rng.normal(size=(FRAMES, 3)) + [0.0, 0.0, 1.0]
    qpos[:, 3] = 1.0
    qpos[:, 3:7] += 0.3 * rng.normal(size=(FRAMES, 4))
    qpos[:, 3:7] /= np.linalg.norm(qpos[:, 3:7], axis=1, keepdims=True)
    qpos[:, 7:] = robot.default_joint_pos + spread * rng.normal(size=(FRAMES, robot.num_joints))
    return qpos


def bodies(robot: Robot, qpos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return forward_kinematics(robot, qpos[:, :3], qpos[:, 3:7], qpos[:, 7:])


def person_of(robot: Robot, qpos: np.ndarray) -> tuple[HumanMotion, CalibratedHuman]:
    """Someone of the robot's size who does just what the robot does."""
    frames = robot_frames(robot)
    pos, quat = bodies(robot, qpos)
    roles = list(robot.human_map)
    place = {role: pos[:, robot.body_names.index(robot.human_map[role])] for role in roles}
    segments = {}
    for name in SEGMENTS:
        link = frames.links[name]
        turn = quat[:, link.body - 1]
        axes = quat_rotate(turn, link.primary), quat_rotate(turn, link.secondary)
        segments[name] = SegmentTrack(*axes, np.ones(FRAMES))
    ankles = np.stack([place["left_ankle"], place["right_ankle"]], axis=1)
    human = HumanMotion(
        name="robot", fps=30.0, joint_names=tuple(roles), parents=(-1,) + (0,) * (len(roles) - 1),
        pos_w=np.stack([place[role] for role in roles], axis=1), quat_w=None,
        roles={role: k for k, role in enumerate(roles)},
    )  # fmt: skip
    person = CalibratedHuman(
        30.0, segments, pos[:, 0] + quat_rotate(quat[:, 0], frames.hips), ankles, ankles, ankles,
        frames.leg_length, frames.sole_height,
    )  # fmt: skip
    return human, person


def test_who_does_the_same_has_no_error(g1: Robot) -> None:
    qpos = poses(g1)
    human, person = person_of(g1, qpos)
    turned = orientation_errors(g1, person, bodies(g1, qpos)[1])
    assert set(turned) == {"left_foot", "right_foot", "left_hand", "right_hand"}
    assert max(error.max() for error in turned.values()) < 0.02
    placed = position_errors(g1, human, person, 0.0, *bodies(g1, qpos))
    assert set(placed) == set(turned)
    for error in placed.values():
        assert error.own is not None
        assert max(error.world.max(), error.root.max()) < 1e-9
        assert error.own.max() < 1e-4  # the arm's axes are perpendicular to 0.01 degrees only


@pytest.mark.parametrize(
    ("joint", "end"),
    [("left_ankle_pitch_joint", "left_foot"), ("right_wrist_roll_joint", "right_hand")],
)  # fmt: skip
def test_a_turned_end_is_off_by_its_angle_and_stays_in_place(
    g1: Robot, joint: str, end: str
) -> None:
    qpos = poses(g1)
    human, person = person_of(g1, qpos)
    qpos[:, 7 + g1.joint_names.index(joint)] += np.radians([0.0, 10.0, -20.0, 150.0])
    turned = orientation_errors(g1, person, bodies(g1, qpos)[1])
    np.testing.assert_allclose(turned.pop(end), [0.0, 10.0, 20.0, 150.0], atol=0.02)
    assert max(error.max() for error in turned.values()) < 0.02
    own = position_errors(g1, human, person, 0.0, *bodies(g1, qpos))[end].own
    assert own is not None and own.max() < 1e-4


def test_a_bent_elbow_moves_the_hand_along_its_arc(g1: Robot) -> None:
    qpos = poses(g1)
    human, person = person_of(g1, qpos)
    qpos[:, 7 + g1.joint_names.index("left_elbow_joint")] += np.radians(10.0)
    placed = position_errors(g1, human, person, 0.0, *bodies(g1, qpos))
    error = placed.pop("left_hand")
    pos = bodies(g1, qpos)[0]
    elbow, wrist = (
        pos[:, g1.body_names.index(name)] for name in ("left_elbow_link", "left_wrist_roll_link")
    )
    chord = 2.0 * np.sin(np.radians(5.0)) * np.linalg.norm(wrist - elbow, axis=1)
    assert error.own is not None
    # The wrist lies 2 mm beside the plane of the elbow's turn.
    np.testing.assert_allclose(error.own, chord, rtol=0.01)
    assert (error.root > error.own).all()
    assert all(other.root.max() < 1e-9 for other in placed.values())


def test_a_displaced_robot_is_off_in_the_world_only(g1: Robot) -> None:
    qpos = poses(g1)
    human, person = person_of(g1, qpos)
    qpos[:, 0] += 0.25
    for error in position_errors(g1, human, person, 0.0, *bodies(g1, qpos)).values():
        np.testing.assert_allclose(error.world, 0.25)
        assert error.root.max() < 1e-9
    for error in position_errors(g1, human, person, 0.1, *bodies(g1, poses(g1))).values():
        np.testing.assert_allclose(error.world, 0.1)  # heights count above the source's ground


def test_a_taller_person_is_scaled(g1: Robot) -> None:
    qpos = poses(g1)
    human, person = person_of(g1, qpos)
    taller = replace(
        person, hips=2.0 * person.hips, leg_length=2.0 * person.leg_length,
        ankle_height=2.0 * person.ankle_height,
    )  # fmt: skip
    human = replace(human, pos_w=2.0 * human.pos_w)
    pos, quat = bodies(g1, qpos)
    placed = position_errors(g1, human, taller, 0.0, pos, quat)
    assert max(error.root.max() for error in placed.values()) < 1e-9
    # Twice the ankle's height is half of it too much; heights begin above it.
    lift = person.ankle_height * 0.5
    assert max(error.world.max() for error in placed.values()) < lift


def test_a_head_counts_where_both_have_one(g1: Robot) -> None:
    robot = replace(g1, human_map={**g1.human_map, "head": "torso_link"})
    human, person = person_of(robot, poses(g1))
    pos, quat = bodies(g1, poses(g1))
    error = position_errors(robot, human, person, 0.0, pos, quat)["head"]
    assert error.own is None and error.root.max() < 1e-9
    assert "head" not in position_errors(g1, human, person, 0.0, pos, quat)


@pytest.mark.parametrize(
    ("name", "ankle", "wrist"),
    [("unitree_g1", 2, 3), ("unitree_g1_23dof", 2, 1), ("unitree_h1", 1, 0), ("booster_t1", 2, 0)],
)
def test_hands_count_where_a_wrist_can_turn(name: str, ankle: int, wrist: int) -> None:
    robot = robots.load(name)
    assert (ankle_freedom(robot), wrist_freedom(robot)) == (ankle, wrist)
    person = person_of(robot, poses(robot))[1]
    turned = orientation_errors(robot, person, bodies(robot, poses(robot))[1])
    assert ("left_hand" in turned) == (wrist > 0)
    bare = {k: v for k, v in person.segments.items() if "hand" not in k}
    turned = orientation_errors(
        robot, replace(person, segments=bare), bodies(robot, poses(robot))[1]
    )
    assert set(turned) == {"left_foot", "right_foot"}


def test_a_retargeted_clip_tells_its_figures(g1: Robot, walk: HumanMotion) -> None:
    found = retarget(walk.crop(0, 20), g1).quality["fidelity"]
    assert 0.0 < found["foot_deg"] < 15.0 and 0.0 < found["hand_deg"] < 15.0
    assert 0.0 < found["hand_own_m"] < 0.02 and 0.0 < found["foot_root_m"] < 0.1
    assert found["head_root_m"] is None
    bare = retarget(replace(walk.crop(0, 20), quat_w=None, rest_pos=None), g1)
    assert bare.quality["fidelity"]["hand_deg"] is None


def test_mirroring_a_person(walk: HumanMotion) -> None:
    other = mirror_human(walk)
    np.testing.assert_array_equal(
        other.role("left_toe"), walk.role("right_toe") * np.array([1.0, -1.0, 1.0])
    )
    assert walk.quat_w is not None and other.quat_w is not None
    for joint, parent in enumerate(other.parents):
        if parent >= 0:
            bone = other.pos_w[:, joint] - other.pos_w[:, parent]
            local = quat_inv_rotate(other.quat_w[:, parent], bone)
            assert np.ptp(local, axis=0).max() < 1e-9
    again = mirror_human(other)
    assert again.roles == walk.roles
    np.testing.assert_array_equal(again.pos_w, walk.pos_w)
    np.testing.assert_array_equal(again.quat_w, walk.quat_w)  # type: ignore[arg-type]


def test_asymmetry_tells_a_difference_by_joint_and_root(g1: Robot) -> None:
    pairs, qpos = mirror_map(g1), poses(g1)
    other = mirror_qpos(qpos, pairs)
    np.testing.assert_allclose(mirror_qpos(other, pairs), qpos)
    other[:, 3:7] *= -1.0  # the same rotation
    assert asymmetry(qpos, other, pairs).turn.max() < 1e-7
    k = g1.joint_names.index("left_knee_joint")
    other[2, 7 + k] += 0.1
    other[1, :3] += [0.0, 0.003, 0.004]
    left = asymmetry(qpos, other, pairs)
    assert left.joint[2, g1.joint_names.index("right_knee_joint")] == pytest.approx(0.1)
    assert left.joint.sum() == pytest.approx(0.1)
    assert left.root[1] == pytest.approx(0.005)


class Nothing:
    """No obstacle."""

    def __init__(self, *_: Any) -> None: ...

    def __call__(self, *_: Any) -> None: ...

    def after(self, tree: Any, pose: Any, frames: Any, step: Any) -> Any:
        del tree, pose, step
        return np.zeros(len(frames))


@pytest.mark.parametrize(("single", "most"), [(0.0, 1e-6), (240.0, 5e-5)])
def test_the_solver_takes_no_side(
    g1: Robot, walk: HumanMotion, monkeypatch: pytest.MonkeyPatch, single: float, most: float
) -> None:
    """Only the vendor's left and right meshes, which are not drawn alike, tell the sides apart;
    and the rounding of single precision."""
    monkeypatch.setattr("retarget.solvers.whole_clip.solver.SINGLE", single)
    monkeypatch.setattr("retarget.solvers.whole_clip.clip.OwnBody", Nothing)
    results = [retarget(clip, g1) for clip in (walk, mirror_human(walk))]
    here, there = (np.concatenate([m.root_pos, m.root_quat, m.joint_pos], axis=1) for m in results)
    left = asymmetry(here, there, mirror_map(g1))
    assert max(left.joint.max(), left.root.max(), left.turn.max()) < most
