from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import find_peaks
from scipy.spatial import ConvexHull

from mimic_base.rotations import angular_velocity, quat_conj, quat_mul
from motions import HumanMotion, InputError
from motions.human import demo
from motions.human.demo import skeleton
from motions.human.demo.balance import zero_moment_point
from motions.human.demo.clips import CLIPS
from motions.human.demo.compose import PLAN_RATE, Body, Plan, realise

NAMES = demo.names()
GAITS = ("walk", "walk_turn", "side_step")


@pytest.fixture(scope="module")
def bodies() -> dict[str, tuple[Plan, Body]]:
    plans = {name: CLIPS[name]() for name in NAMES}
    return {name: (plan, realise(plan)) for name, plan in plans.items()}


def heading(motion: HumanMotion) -> np.ndarray:
    across = motion.role("left_hip") - motion.role("right_hip")
    return np.unwrap(np.arctan2(-across[:, 0], across[:, 1]))


def in_pelvis_frame(motion: HumanMotion, frame: int) -> np.ndarray:
    yaw = heading(motion)[frame]
    turn = np.array([[np.cos(yaw), np.sin(yaw)], [-np.sin(yaw), np.cos(yaw)]])
    pose = motion.pos_w[frame] - motion.role("pelvis")[frame] * [1, 1, 0]
    return np.concatenate([pose[:, :2] @ turn.T, pose[:, 2:]], axis=1)


def flat_feet(motion: HumanMotion, side: str, within: float = 1e-9) -> np.ndarray:
    """Frames where ankle and toe are as high as on a sole that lies on the ground."""
    ankle, toe = motion.role(f"{side}_ankle")[:, 2], motion.role(f"{side}_toe")[:, 2]
    low = np.abs(ankle - skeleton.ANKLE_HEIGHT) < within
    return low & (np.abs(toe - skeleton.TOE_HEIGHT) < within)


def knee_flexion(motion: HumanMotion, side: str) -> np.ndarray:
    thigh = motion.role(f"{side}_knee") - motion.role(f"{side}_hip")
    shank = motion.role(f"{side}_ankle") - motion.role(f"{side}_knee")
    cosine = np.sum(thigh * shank, axis=1) / (skeleton.THIGH * skeleton.SHANK)
    return np.arccos(np.clip(cosine, -1, 1))


def support_margin(plan: Plan, point: np.ndarray, frame: int) -> float:
    """Distance of a ground point inside the hull of the touching soles (negative: outside)."""
    corners = []
    for k in range(2):
        if not plan.feet.contact[frame, k]:
            continue
        pitch, yaw = plan.feet.pitch[frame, k], plan.feet.yaw[frame, k]
        # A pitched foot touches with its toes or with its heel only.
        back = skeleton.TOE_FORWARD - 0.02 if pitch > 0.03 else -skeleton.HEEL_BACK
        front = -skeleton.HEEL_BACK + 0.04 if pitch < -0.03 else skeleton.TOE_TIP
        ahead, left = np.array([np.cos(yaw), np.sin(yaw)]), np.array([-np.sin(yaw), np.cos(yaw)])
        for x in (back, front):
            for y in (-skeleton.FOOT_HALF_WIDTH, skeleton.FOOT_HALF_WIDTH):
                corners.append(plan.feet.sole[frame, k, :2] + x * ahead + y * left)
    planes = ConvexHull(np.array(corners)).equations
    return -float((planes[:, :2] @ point + planes[:, 2]).max())


def test_the_clips_have_names_and_an_unknown_one_is_refused() -> None:
    assert NAMES == ("walk", "walk_turn", "side_step", "squat", "wave")
    with pytest.raises(InputError, match="moonwalk.*walk_turn"):
        demo.generate("moonwalk")


@pytest.mark.parametrize("name", NAMES)
def test_a_clip_starts_and_ends_standing_still_in_one_pose(name: str) -> None:
    motion = demo.generate(name)
    assert 3.0 < motion.duration < 9.0
    still = round(0.4 * motion.fps)
    for part in (motion.pos_w[:still], motion.pos_w[-still:]):
        assert np.abs(part - part[0]).max() < 1e-4
    start, end = in_pelvis_frame(motion, 0), in_pelvis_frame(motion, motion.num_frames - 1)
    np.testing.assert_allclose(start, end, atol=1e-3)
    # Arms hang (no T-pose) and the left side is on the left.
    for side, sign in (("left", 1), ("right", -1)):
        wrist, shoulder = (start[motion.roles[f"{side}_{p}"]] for p in ("wrist", "shoulder"))
        assert wrist[2] < shoulder[2] - 0.4
        assert sign * shoulder[1] > 0.1


@pytest.mark.parametrize("name", NAMES)
def test_bones_keep_their_length(name: str) -> None:
    motion = demo.generate(name)
    for joint, parent in enumerate(motion.parents):
        if parent >= 0:
            length = np.linalg.norm(motion.pos_w[:, joint] - motion.pos_w[:, parent], axis=1)
            expected = np.linalg.norm(skeleton.OFFSETS[joint])
            np.testing.assert_allclose(length, expected, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_standing_feet_neither_move_nor_sink_and_one_is_always_down(name: str) -> None:
    motion = demo.generate(name)
    on_ground = np.zeros((motion.num_frames, 2), dtype=bool)
    for k, side in enumerate(("left", "right")):
        flat = flat_feet(motion, side)
        on_ground[:, k] = flat_feet(motion, side, within=0.003)
        for part in ("ankle", "toe"):
            path = motion.role(f"{side}_{part}")
            speed = np.linalg.norm(np.diff(path, axis=0), axis=1) * motion.fps
            assert speed[flat[1:] & flat[:-1]].max() < 1e-3
            assert path[:, 2].min() > 0.02
    assert on_ground.any(axis=1).all()
    if name in ("squat", "wave"):
        assert on_ground.all()


@pytest.mark.parametrize("name", NAMES)
def test_knees_are_never_locked_and_joints_move_at_human_speed(name: str) -> None:
    motion = demo.generate(name)
    assert motion.quat_w is not None
    for side in ("left", "right"):
        knee = knee_flexion(motion, side)
        assert knee.min() > 0.15
        assert knee.max() < 1.8
    parent = [p for p in motion.parents if p >= 0]
    child = [j for j, p in enumerate(motion.parents) if p >= 0]
    local = quat_mul(quat_conj(motion.quat_w[:, parent]), motion.quat_w[:, child])
    speed = angular_velocity(local, motion.fps)
    assert np.linalg.norm(speed, axis=-1).max() < 8.0
    assert np.abs(np.diff(speed, axis=0)).max() * motion.fps < 300.0
    acceleration = np.diff(motion.pos_w, n=2, axis=0) * motion.fps**2
    assert np.abs(acceleration[:, motion.roles["pelvis"]]).max() < 5.0


@pytest.mark.parametrize("name", NAMES)
def test_the_zero_moment_point_stays_in_the_support_polygon(
    name: str, bodies: dict[str, tuple[Plan, Body]]
) -> None:
    plan, body = bodies[name]
    zmp = zero_moment_point(body.position, body.rotation, PLAN_RATE)
    inside = [support_margin(plan, zmp[i], i) > 0 for i in range(0, len(zmp), 4)]
    assert np.mean(inside) >= 0.98


@pytest.mark.parametrize("name", NAMES)
def test_the_head_stays_level(name: str) -> None:
    motion = demo.generate(name)
    rise = motion.role("head") - motion.role("neck")
    tilt = np.arccos(rise[:, 2] / np.linalg.norm(rise, axis=1))
    assert np.ptp(tilt) < (0.5 if name == "squat" else 0.1)


def test_walk_goes_straight_ahead_at_a_walking_speed() -> None:
    motion = demo.generate("walk")
    pelvis = motion.role("pelvis")
    middle = slice(round(2.5 * motion.fps), round(4.9 * motion.fps))
    speed = np.gradient(pelvis[:, 0])[middle].mean() * motion.fps
    assert 0.8 < speed < 0.9
    assert np.abs(pelvis[:, 1]).max() < 0.08
    assert 0.015 < np.ptp(pelvis[middle, 2]) < 0.045
    for side in ("left", "right"):
        steps = np.diff(flat_feet(motion, side).astype(int))
        assert (steps == -1).sum() in (4, 5)


def test_walk_swings_each_arm_with_the_other_leg() -> None:
    motion = demo.generate("walk")
    middle = slice(round(2.5 * motion.fps), round(4.9 * motion.fps))
    for side, other in (("left", "right"), ("right", "left")):
        arm = (motion.role(f"{side}_wrist") - motion.role(f"{side}_shoulder"))[middle, 0]
        leg = (motion.role(f"{other}_ankle") - motion.role("pelvis"))[middle, 0]
        assert np.ptp(arm) > 0.25
        assert np.corrcoef(arm, leg)[0, 1] > 0.8


def test_walk_turn_turns_left_by_a_quarter() -> None:
    turned = heading(demo.generate("walk_turn"))
    assert turned[-1] - turned[0] == pytest.approx(np.pi / 2, abs=1e-3)
    pelvis = demo.generate("walk_turn").role("pelvis")
    assert pelvis[-1, 0] > 1.0
    assert pelvis[-1, 1] > 1.0


def test_side_step_goes_left_and_comes_back_facing_ahead() -> None:
    motion = demo.generate("side_step")
    pelvis = motion.role("pelvis")
    assert 0.3 < pelvis[:, 1].max() < 0.6
    np.testing.assert_allclose(pelvis[-1], pelvis[0], atol=1e-3)
    assert np.abs(heading(motion)).max() < 0.05


@pytest.mark.parametrize("name", GAITS)
def test_swinging_feet_clear_the_ground(name: str) -> None:
    motion = demo.generate(name)
    for side in ("left", "right"):
        lift = motion.role(f"{side}_ankle")[:, 2] - skeleton.ANKLE_HEIGHT
        peaks, _ = find_peaks(lift, height=0.03)
        assert len(peaks) >= 4
        assert (lift[peaks] > 0.05).all()


def test_squat_goes_down_with_the_arms_forward_and_the_trunk_leaning() -> None:
    motion = demo.generate("squat")
    pelvis = motion.role("pelvis")
    lowest = int(pelvis[:, 2].argmin())
    assert 0.25 < pelvis[0, 2] - pelvis[lowest, 2] < 0.30
    reach = motion.role("left_wrist")[lowest] - motion.role("left_shoulder")[lowest]
    assert reach[0] > 0.45
    assert pelvis[lowest, 0] < pelvis[0, 0] - 0.1


def test_wave_moves_the_raised_right_hand_to_and_fro() -> None:
    motion = demo.generate("wave")
    hand = motion.role("right_wrist") - motion.role("right_shoulder")
    up = hand[:, 2] > 0.05
    assert 2.0 < up.sum() / motion.fps < 3.5
    sway = hand[up, 1]
    peaks, _ = find_peaks(-sway, prominence=0.05)
    assert len(peaks) in (3, 4, 5)
    left = motion.role("left_wrist") - motion.role("left_shoulder")
    assert left[:, 2].max() < -0.4
