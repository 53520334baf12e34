from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mimic_base.rotations import quat_of_yaw, quat_rotate
from motions import HumanMotion
from motions.robot.editing import mirror_human
from retarget.person.calibration import calibrate
from robots.frames import robot_frames
from robots.robot import Robot
from robots.segments import SIDES
from tests.retarget.helpers import moved


def _angle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.degrees(np.arccos(np.clip(np.sum(a * b, axis=-1), -1, 1)))


def test_robot_frames_are_anatomical(robot: Robot) -> None:
    frames = robot_frames(robot)
    assert 0.6 < frames.leg_length < 0.7
    assert frames.sole_height == pytest.approx(0.035, abs=1e-3)
    for i, side in enumerate(SIDES):
        name = robot.model.body(frames.links[f"{side}_thigh"].body).name
        assert name == f"{side}_hip_yaw_link"
        # Knees flex about the left axis, elbows (forearm forward) about the right one.
        assert frames.links[f"{side}_shank"].secondary[1] > 0.99
        assert frames.links[f"{side}_forearm"].secondary[1] < -0.99
        assert frames.ball[i][0] > 0.1 > 0 > frames.heel[i][0]
    palms = [frames.links[f"{s}_hand"].secondary[1] for s in SIDES]
    assert palms[0] < -0.99 and palms[1] > 0.99, "palms face each other at the zero pose"


def test_standing_feet_are_flat_and_the_trunk_upright(squat: HumanMotion) -> None:
    person = calibrate(squat.crop(0, 5))
    for side in SIDES:
        assert person.segments[f"{side}_foot"].primary[:, 2].min() > np.cos(np.radians(3))
    assert person.segments["pelvis"].secondary[:, 2].min() > np.cos(np.radians(15))
    assert person.segments["chest"].primary[:, 2].min() > np.cos(np.radians(15))
    assert 0.04 < person.ankle_height < 0.12


def test_axes_are_unit_and_perpendicular(walk: HumanMotion) -> None:
    for name, track in calibrate(walk).segments.items():
        assert np.allclose(np.linalg.norm(track.primary, axis=1), 1, atol=1e-9), name
        assert np.allclose(np.linalg.norm(track.secondary, axis=1), 1, atol=1e-9), name
        assert np.abs(np.sum(track.primary * track.secondary, axis=1)).max() < 1e-6, name


def test_left_stays_left_and_forward_forward(walk: HumanMotion) -> None:
    person = calibrate(walk)
    heading = walk.role("pelvis")[-1] - walk.role("pelvis")[0]
    left = np.cross([0, 0, 1], heading / np.linalg.norm(heading))
    assert (person.segments["pelvis"].primary @ left > 0.8).all()
    for side in SIDES:
        assert np.median(person.segments[f"{side}_foot"].secondary @ heading) > 0
        assert (person.segments[f"{side}_shank"].secondary @ left > 0.5).all()


@pytest.mark.parametrize("scale", [1.0, 0.7])
def test_turning_moving_and_scaling_the_source_turns_the_frames(
    walk: HumanMotion, scale: float
) -> None:
    yaw, shift = 2.1, np.array([3.0, -4.0, 0.0])
    here, there = calibrate(walk), calibrate(moved(walk, yaw, shift, scale))
    turn = quat_of_yaw(yaw)
    for name, track in here.segments.items():
        other = there.segments[name]
        assert _angle(quat_rotate(turn, track.primary), other.primary).max() < 0.6, name
        assert _angle(quat_rotate(turn, track.secondary), other.secondary).max() < 2.0, name
    assert there.leg_length == pytest.approx(scale * here.leg_length)


def test_a_mirrored_clip_has_mirrored_frames(walk: HumanMotion) -> None:
    here, there = calibrate(walk), calibrate(mirror_human(walk))
    flip = np.array([1.0, -1.0, 1.0])
    for side, other in (("left", "right"), ("right", "left")):
        for limb in ("thigh", "shank", "upper_arm", "forearm"):
            a, b = here.segments[f"{side}_{limb}"], there.segments[f"{other}_{limb}"]
            assert _angle(a.primary * flip, b.primary).max() < 1e-3
            # Flexion axes are axial vectors: a mirror turns them round as well.
            assert _angle(-a.secondary * flip, b.secondary).max() < 1.0
        a, b = here.segments[f"{side}_foot"], there.segments[f"{other}_foot"]
        assert _angle(a.secondary * flip, b.secondary).max() < 1.0


def test_positions_alone_are_enough(walk: HumanMotion) -> None:
    full, bare = calibrate(walk), calibrate(replace(walk, quat_w=None, rest_pos=None))
    assert "left_hand" not in bare.segments
    for name, track in bare.segments.items():
        limit = 15 if name in ("pelvis", "chest") or "foot" in name else 1e-3
        assert np.median(_angle(track.primary, full.segments[name].primary)) < limit, name


def test_straight_limbs_keep_a_sensible_flexion_axis(walk: HumanMotion) -> None:
    """Legs as straight as sticks: the knees still bend about the body's left."""
    pos = walk.pos_w.copy()
    for side in SIDES:
        hip, knee, ankle = (walk.roles[f"{side}_{p}"] for p in ("hip", "knee", "ankle"))
        pos[:, knee] = 0.5 * (pos[:, hip] + pos[:, ankle])
    person = calibrate(replace(walk, pos_w=pos, quat_w=None, rest_pos=None))
    left = person.segments["pelvis"].primary
    for side in SIDES:
        axis = person.segments[f"{side}_thigh"].secondary
        assert np.isfinite(axis).all()
        assert _angle(axis, left).max() < 30


def test_out_toeing_is_taken_for_anatomy(walk: HumanMotion) -> None:
    """Toes turned out by 12 degrees against the knees leave the planned feet as they were."""
    pos = walk.pos_w.copy()
    for side, angle in (("left", 12.0), ("right", -12.0)):
        toe, ankle = walk.roles[f"{side}_toe"], walk.roles[f"{side}_ankle"]
        pos[:, toe] = pos[:, ankle] + quat_rotate(
            quat_of_yaw(np.radians(angle)), pos[:, toe] - pos[:, ankle]
        )
    bare = replace(walk, quat_w=None, rest_pos=None)
    here, there = calibrate(bare), calibrate(replace(bare, pos_w=pos))
    for side in SIDES:
        a, b = here.segments[f"{side}_foot"].secondary, there.segments[f"{side}_foot"].secondary
        assert np.median(_angle(a, b)) < 3.0
