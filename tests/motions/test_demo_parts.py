from __future__ import annotations

import numpy as np
import pytest

from motions.human.demo import skeleton
from motions.human.demo.balance import GRAVITY, centre_of_mass, pendulum_path, zero_moment_point
from motions.human.demo.curves import ease, smooth_below, through
from motions.human.demo.gait import Step, feet_motion
from motions.human.demo.posture import rot

RATE = 120.0


def test_ease_leaves_and_arrives_without_speed() -> None:
    x = np.linspace(-0.5, 1.5, 2001)
    y = ease(x)
    assert y[0] == 0.0 and y[-1] == 1.0
    assert np.abs(np.gradient(np.gradient(y, x), x)).max() < 6.0
    assert (np.diff(y) >= 0).all()


def test_through_passes_its_knots_and_holds_the_ends() -> None:
    t = np.linspace(0.0, 3.0, 301)
    y = through(t, [(0.5, 1.0), (1.0, -2.0), (2.0, 4.0)])
    np.testing.assert_allclose(y[[0, 50, 100, 200, 300]], [1.0, 1.0, -2.0, 4.0, 4.0], atol=1e-12)


def test_smooth_below_stays_under_the_limit_and_keeps_fixed_frames() -> None:
    t = np.arange(360) / RATE
    limit = 0.9 - 0.05 * np.abs(np.sin(5 * t)) * ((t > 0.6) & (t < 2.4))
    fixed = (t < 0.3) | (t > 2.7)
    curve = smooth_below(limit, fixed, RATE, 1e-6)
    np.testing.assert_allclose(curve[fixed], limit[fixed], atol=1e-4)
    assert (curve - limit).max() < 0.01
    assert np.abs(np.diff(curve, n=2)).max() < np.abs(np.diff(limit, n=2)).max() / 10


def test_the_pendulum_rests_at_both_ends_and_has_the_asked_zero_moment_point() -> None:
    t = np.arange(480) / RATE
    zmp = np.interp(t, [1.0, 1.5, 2.5, 3.0], [0.0, 0.1, 0.3, 0.4])

    def pulse(start: float) -> np.ndarray:
        x = np.clip((t - start) / 0.5, 0.0, 1.0)
        return x**3 * (1 - x) ** 3

    pulses = (pulse(0.5), pulse(3.0))
    path = pendulum_path(zmp, 0.9, RATE, pulses)
    np.testing.assert_allclose(path[:50], 0.0, atol=1e-9)
    np.testing.assert_allclose(path[-50:], 0.4, atol=1e-9)
    acc = np.diff(path, n=2) * RATE**2
    rest = path[1:-1] - 0.9 / GRAVITY * acc - zmp[1:-1]
    free = (pulses[0] + pulses[1])[1:-1] == 0
    np.testing.assert_allclose(rest[free], 0.0, atol=1e-9)


def test_a_body_at_rest_has_its_zero_moment_point_under_its_mass_centre() -> None:
    position = np.zeros((6, len(skeleton.NAMES), 3))
    for j, parent in enumerate(skeleton.PARENTS):
        position[:, j] = skeleton.OFFSETS[j] + (position[:, parent] if parent >= 0 else 0.0)
    rotation = np.broadcast_to(np.eye(3), (*position.shape, 3)).copy()
    centre = centre_of_mass(position, rotation)
    np.testing.assert_allclose(
        zero_moment_point(position, rotation, RATE), centre[:, :2], atol=1e-12
    )
    # An adult's mass centre stands at 55-59 % of the height (arms out raise it a little).
    assert 0.54 < centre[0, 2] / 1.75 < 0.62
    assert centre[0, 1] == pytest.approx(0.0, abs=1e-12)


def test_a_foot_pivots_about_ball_and_heel_without_leaving_them() -> None:
    t = np.arange(240) / RATE
    start, yaw = np.array([[0.0, 0.1], [0.0, -0.1]]), np.array([0.1, -0.1])
    step = Step(foot=0, lift=0.5, land=1.0, x=0.5, y=0.1, yaw=0.1, heel_off=0.3, toe_up=0.15)
    feet = feet_motion(t, (step,), start, yaw)

    def at(local: tuple[float, float, float]) -> np.ndarray:
        return feet.ankle[:, 0] + feet.foot_rot[:, 0] @ np.array(local)

    drop = skeleton.TOE_HEIGHT - skeleton.ANKLE_HEIGHT
    toe = at((skeleton.TOE_FORWARD, 0.0, drop))
    heel = at((-skeleton.HEEL_BACK, 0.0, -skeleton.ANKLE_HEIGHT))
    before, after = t <= step.lift, t >= step.land
    assert feet.pitch[before, 0].max() > 0.1
    assert feet.pitch[after, 0].min() < -0.05
    assert np.ptp(toe[before], axis=0).max() < 1e-12
    assert np.ptp(heel[after], axis=0).max() < 1e-12
    assert feet.contact[:, 1].all() and feet.flat[:, 1].all()
    np.testing.assert_allclose(feet.ankle[-1, 0], [0.5, 0.1, skeleton.ANKLE_HEIGHT], atol=1e-12)


def test_rot_turns_counter_clockwise() -> None:
    np.testing.assert_allclose(rot("z", np.pi / 2) @ [1, 0, 0], [0, 1, 0], atol=1e-15)
    np.testing.assert_allclose(rot("x", np.pi / 2) @ [0, 1, 0], [0, 0, 1], atol=1e-15)
    np.testing.assert_allclose(rot("y", np.pi / 2) @ [0, 0, 1], [1, 0, 0], atol=1e-15)
