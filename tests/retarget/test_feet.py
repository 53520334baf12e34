"""The plan of the feet: what is held, how long, and how a foot rolls over its edge."""

from __future__ import annotations

import numpy as np
import pytest

from mimic_base.rotations import cross
from mimic_base.vectors import Array
from retarget.feet.contacts import FootContacts, detect_contacts
from retarget.feet.footprints import ankle_targets
from retarget.feet.plan import FootPlan, plan_feet, rolled_foot
from retarget.person.calibration import CalibratedHuman
from retarget.person.scaling import Stance
from robots.frames import RobotFrames, robot_frames
from robots.robot import Robot
from robots.segments import SegmentTrack

FPS = 30.0
LEAVES = 30
"""First frame in which the synthetic foot is off the ground."""


def person(steps: Array) -> tuple[CalibratedHuman, FootContacts]:
    """Both feet stand, then move by `steps` [n, 3] m a frame; level, pointing along x."""
    moved = np.concatenate([np.zeros((LEAVES, 3)), np.cumsum(steps, axis=0)])
    count = len(moved)
    ball = np.stack([moved + (0.0, side, 0.0) for side in (0.1, -0.1)], axis=1)
    heel = ball - np.array([0.2, 0.0, 0.0])
    up, ahead = (np.tile(axis, (count, 1)) for axis in ((0.0, 0.0, 1.0), (1.0, 0.0, 0.0)))
    track = SegmentTrack(up, ahead, np.ones(count))
    segments = {"left_foot": track, "right_foot": track}
    hips = np.zeros((count, 3))
    human = CalibratedHuman(FPS, segments, hips, ball, ball, heel, 1.0, 0.08)
    return human, detect_contacts(ball, heel, FPS, 1.0)


def leaving(first: tuple[float, float, float]) -> Array:
    """Steps of a foot that leaves by `first`, then swings ahead fast."""
    return np.array([first, first, *[(0.08, 0.0, 0.01)] * 12])


def test_a_foot_that_goes_straight_up_is_held_over_its_footprint_from_above_only() -> None:
    plan = plan_feet(*person(leaving((0.002, 0.0, 0.05))))
    for (foot, _, stop), lifted in zip(plan.stances, plan.lift_frames, strict=True):
        assert lifted == 2
        np.testing.assert_array_equal(plan.lock[stop : stop + lifted, foot, 0], 1.0)
        assert not plan.lock[stop:, foot, 1].any()  # its height is free
        assert not plan.lock[stop + lifted :, foot].any()
    assert len(plan.stances) == 2


def test_a_foot_that_moves_on_is_let_go_with_its_stance() -> None:
    plan = plan_feet(*person(leaving((0.06, 0.0, 0.05))))
    assert plan.lift_frames == (0, 0)
    for foot, _, stop in plan.stances:
        assert not plan.lock[stop:, foot].any()
        # Its height is still the ground's business.
        assert plan.confidence[stop, foot] > 0.0


def test_no_foot_rises_beyond_the_end_of_the_clip() -> None:
    human, contacts = person(np.array([(0.0, 0.0, 0.06), (0.0, 0.0, 0.06)]))
    contacts.ball[-1:], contacts.heel[-1:] = False, False
    plan = plan_feet(human, contacts)
    assert all(
        stop + n <= human.num_frames
        for (_, _, stop), n in zip(plan.stances, plan.lift_frames, strict=True)
    )


@pytest.mark.parametrize("pitch", [-40.0, 0.0, 25.0])
def test_a_rolling_foot_has_its_sources_pitch_and_its_footprints_heading(pitch: float) -> None:
    heading, angle = np.array([0.7]), np.radians(pitch)
    # The source is turned by eight degrees more and tilted by ten.
    source = _yaw(0.7 + np.radians(8.0)) @ _pitch(angle) @ _roll(np.radians(10.0))
    rolled = rolled_foot(heading, source[None])[0]
    np.testing.assert_allclose(rolled @ rolled.T, np.eye(3), atol=1e-12)
    assert rolled[2, 1] == pytest.approx(0.0, abs=1e-12)
    assert np.arctan2(-rolled[0, 1], rolled[1, 1]) == pytest.approx(0.7, abs=np.radians(2.0))
    assert np.arcsin(rolled[2, 0]) == pytest.approx(angle, abs=np.radians(1.0))


def test_a_foot_that_spins_on_its_edge_turns_with_its_source() -> None:
    turns = np.radians(np.linspace(-180.0, 180.0, 37)[1:-1])
    source = np.stack([_yaw(turn) @ _pitch(np.radians(-45.0)) for turn in turns])
    rolled = rolled_foot(np.zeros(len(turns)), source)
    left = rolled[..., 1]
    away = np.degrees(np.abs(np.arctan2(-left[:, 0], left[:, 1]) - turns))
    assert away.max() < 12.1
    # Without a jump on the way.
    heading = np.unwrap(np.arctan2(-left[:, 0], left[:, 1]))
    assert np.degrees(np.abs(np.diff(heading))).max() < 10.1


def test_the_ankle_of_a_rising_foot_stays_over_its_footprint(g1: Robot) -> None:
    frames: RobotFrames = robot_frames(g1)
    human, contacts = person(leaving((0.0, 0.0, 0.05)))
    plan: FootPlan = plan_feet(human, contacts)
    count = human.num_frames
    offsets = np.tile([0.0, 0.0, frames.sole_height], (count, 2, 1))
    stances, places = [], []
    for foot, start, stop in plan.stances:
        slide, weight = np.zeros((stop - start, 3)), plan.confidence[start:stop, foot]
        stances.append(Stance(foot, start, stop, slide, slide, weight))
        places.append([0.3, 0.1 - 0.2 * foot, 0.0])
    # The body would carry the foot on at 0.9 m/s as soon as it is off the ground.
    drift = np.maximum(np.arange(count) - LEAVES + 1, 0) * 0.03
    wanted = np.array(places)[None] + offsets + drift[:, None, None] * np.array([1.0, 0.0, 0.0])
    target = ankle_targets(plan, offsets, stances, np.array(places), wanted, frames, FPS)
    stop, lifted = plan.stances[0][2], plan.lift_frames[0]
    assert lifted == 2 and drift[stop + lifted - 1] > 0.05
    assert np.abs(target[: stop + lifted, 0, :2] - places[0][:2]).max() < 0.004


def _yaw(angle: float) -> Array:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def _pitch(angle: float) -> Array:
    """Toes up by `angle`."""
    forward = np.array([np.cos(angle), 0.0, np.sin(angle)])
    left = np.array([0.0, 1.0, 0.0])
    return np.stack([forward, left, cross(forward[None], left[None])[0]], axis=-1)


def _roll(angle: float) -> Array:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])
