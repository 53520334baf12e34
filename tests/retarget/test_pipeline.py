from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mimic_base.rotations import quat_inv_rotate, quat_mul, quat_of_yaw, quat_rotate
from motions import HumanMotion, InputError, RobotMotion
from motions.robot.editing import mirror_human
from retarget.pipeline import retarget
from robots.robot import Robot
from tests.conftest import corpus_path
from tests.retarget.helpers import moved


@pytest.fixture(scope="module")
def walked(robot: Robot, walk: HumanMotion) -> RobotMotion:
    return retarget(walk, robot)


def test_a_walk_is_clean(walked: RobotMotion) -> None:
    quality = walked.quality
    assert quality["any_geom_ground_pen"]["max_m"] < 0.003
    assert quality["source_contact"]["skate_mean_mps"] < 0.015
    assert quality["source_contact"]["float_rate_3cm"] == 0.0
    assert quality["fidelity"]["limb_dir_err_mean_deg"] < 1.5
    assert quality["jumps"]["count"] == 0
    assert quality["velocity"]["over_own_limit_rate"] == 0.0
    assert quality["joint_limit"]["sample_rate"] == 0.0
    assert quality["self_collision"]["rate_deep"] == 0.0


def test_the_robot_stands_walks_and_looks_as_the_person(
    robot: Robot, walk: HumanMotion, walked: RobotMotion
) -> None:
    up = quat_rotate(walked.root_quat, np.array([0.0, 0.0, 1.0]))
    assert up[:, 2].min() > 0.9
    path = walk.role("pelvis")[-1] - walk.role("pelvis")[0]
    ours = walked.root_pos[-1] - walked.root_pos[0]
    path, ours = path[:2], ours[:2]
    assert path @ ours / np.linalg.norm(path) / np.linalg.norm(ours) > 0.99
    forward = quat_rotate(walked.root_quat, np.array([1.0, 0.0, 0.0]))
    assert (forward[:, :2] @ path > 0.7 * np.linalg.norm(path)).all()
    feet = [walked.body_names.index(name) for name in robot.feet]
    sideways = quat_inv_rotate(
        walked.root_quat, walked.body_pos_w[:, feet[0]] - walked.body_pos_w[:, feet[1]]
    )
    assert (sideways[:, 1] > 0.02).all(), "the left foot is on the left"
    assert walked.contact.shape == (walked.num_frames, 2)
    assert walked.joint_names == robot.joint_names and walked.body_names == robot.body_names


def test_left_and_right_limbs_follow_their_own_side(robot: Robot, walk: HumanMotion) -> None:
    """Raise the left arm of the person: the robot's left arm goes up, the right one does not."""
    pos = walk.pos_w.copy()
    shoulder = walk.roles["left_shoulder"]
    for name in ("left_elbow", "left_wrist"):
        joint = walk.roles[name]
        below = pos[:, shoulder, 2] - pos[:, joint, 2]
        pos[:, joint, 2] = pos[:, shoulder, 2] + np.abs(below)
    raised = replace(walk.crop(0, 8), pos_w=pos[:8], quat_w=None, rest_pos=None)
    motion = retarget(raised, robot)
    left, right = (
        motion.body_pos_w[:, motion.body_names.index(robot.human_map[f"{s}_elbow"]), 2]
        - motion.body_pos_w[:, motion.body_names.index(robot.human_map[f"{s}_shoulder"]), 2]
        for s in ("left", "right")
    )
    assert (left > 0.05).all() and (right < 0).all()


def test_a_turned_and_moved_source_gives_the_turned_and_moved_robot(
    robot: Robot, walk: HumanMotion, walked: RobotMotion
) -> None:
    yaw, shift = -1.2, np.array([5.0, 2.0, 0.0])
    other = retarget(moved(walk, yaw, shift), robot)
    assert np.abs(other.joint_pos - walked.joint_pos).max() < 0.03
    turn = quat_of_yaw(yaw)
    aligned = np.abs(np.sum(quat_mul(turn, walked.root_quat) * other.root_quat, axis=-1))
    assert np.degrees(2 * np.arccos(np.clip(aligned, -1, 1))).max() < 1.0
    path = quat_rotate(turn, walked.root_pos - walked.root_pos[:1])
    assert np.abs(other.root_pos - other.root_pos[:1] - path).max() < 0.01


def test_a_taller_person_gives_the_same_robot(
    robot: Robot, walk: HumanMotion, walked: RobotMotion
) -> None:
    other = retarget(moved(walk, 0.0, np.zeros(3), scale=1.25), robot)
    assert np.abs(other.joint_pos - walked.joint_pos).max() < 0.15
    assert np.abs(other.joint_pos - walked.joint_pos).mean() < 0.02


def test_a_mirrored_source_gives_the_mirrored_robot(
    robot: Robot, walk: HumanMotion, walked: RobotMotion
) -> None:
    other = retarget(mirror_human(walk), robot)
    names = list(robot.joint_names)
    twin = [
        names.index(n.replace("left", "right") if "left" in n else n.replace("right", "left"))
        for n in names
    ]
    sign = np.array([-1.0 if "roll" in n or "yaw" in n else 1.0 for n in names])
    back = other.joint_pos[:, twin] * sign
    # The vendor's left and right legs differ by 2 mm.
    assert np.abs(back - walked.joint_pos).mean() < 0.01
    assert np.abs(back - walked.joint_pos).max() < 0.08


def test_the_ground_is_found_wherever_the_source_has_it(
    robot: Robot, walk: HumanMotion, walked: RobotMotion
) -> None:
    other = retarget(moved(walk, 0.0, np.array([0.0, 0.0, -0.4])), robot)
    assert np.abs(other.root_pos[:, 2] - walked.root_pos[:, 2]).max() < 2e-3


def test_another_frame_rate(robot: Robot, walk: HumanMotion, walked: RobotMotion) -> None:
    motion = retarget(walk.crop(0, 20), robot, fps=50.0)
    assert motion.fps == 50.0
    assert motion.duration == pytest.approx(19 / walk.fps, abs=0.03)
    assert motion.quality["source_contact"]["skate_mean_mps"] < 0.03


def test_positions_alone_are_enough(robot: Robot, walk: HumanMotion) -> None:
    bare = replace(walk.crop(0, 20), quat_w=None, rest_pos=None)
    motion = retarget(bare, robot)
    assert motion.quality["fidelity"]["limb_dir_err_mean_deg"] < 2.0
    assert motion.quality["any_geom_ground_pen"]["max_m"] < 0.005


def test_progress_counts_to_the_end(robot: Robot, walk: HumanMotion) -> None:
    seen: list[tuple[int, int]] = []
    retarget(walk.crop(0, 4), robot, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1]
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


@pytest.mark.parametrize("fps", [0.0, -30.0, float("nan")])
def test_impossible_frame_rates_are_refused(robot: Robot, walk: HumanMotion, fps: float) -> None:
    with pytest.raises(InputError, match="fps"):
        retarget(walk.crop(0, 4), robot, fps=fps)


@pytest.mark.corpus
@pytest.mark.parametrize(
    "clip",
    ["lafan1_bvh/walk.bvh", "bandai_namco/dataset-1_walk_normal_001.bvh", "cmu_asf_amc/02_01.amc"],
)
def test_real_clips_stand_upright_and_keep_still_feet(robot: Robot, clip: str) -> None:
    from motions import read_human_motion

    human = read_human_motion(corpus_path() / clip)
    human = human.crop(0, min(human.num_frames, round(2 * human.fps)))
    motion = retarget(human, robot, fps=30.0)
    quality = motion.quality
    assert quality["fidelity"]["limb_dir_err_mean_deg"] < 3.0
    assert quality["source_contact"]["skate_mean_mps"] < 0.04
    assert quality["any_geom_ground_pen"]["max_m"] < 0.01
    assert quality["jumps"]["count"] == 0
    up = quat_rotate(motion.root_quat, np.array([0.0, 0.0, 1.0]))
    assert up[:, 2].min() > 0.85
