from __future__ import annotations

import numpy as np
import pytest

from mimic_base.signals import smooth_curve, stiffness, upper_envelope
from retarget.feet.contacts import detect_contacts, ground_height, planted, runs
from retarget.feet.footprints import slide_path
from retarget.person.scaling import Stance, fit_root

FPS = 50.0


def _steps(floor: float = 0.0, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ball and heel [T, 2, 3] of feet that stand 0.5 s and swing 0.5 s in turn; stance [T, 2]."""
    rng = np.random.default_rng(0)
    count = 200
    ball, stance = np.zeros((count, 2, 3)), np.zeros((count, 2), bool)
    for foot in (0, 1):
        phase = (np.arange(count) / FPS + 0.5 * foot) % 1.0
        step = np.floor(np.arange(count) / FPS + 0.5 * foot)
        swing = np.clip((phase - 0.5) / 0.5, 0, 1)
        ball[:, foot, 0] = step + 0.5 * (1 - np.cos(np.pi * swing))
        ball[:, foot, 1] = 0.1 - 0.2 * foot
        ball[:, foot, 2] = floor + 0.12 * np.sin(np.pi * swing)
        stance[:, foot] = phase < 0.5
    ball += noise * rng.normal(size=ball.shape)
    return ball, ball - np.array([0.2, 0, 0]), stance


@pytest.mark.parametrize("floor", [0.0, -0.03, 0.4])
def test_stances_and_floor_are_found(floor: float) -> None:
    ball, heel, stance = _steps(floor, noise=0.001)
    found = detect_contacts(ball, heel, FPS, 0.85)
    assert found.ground == pytest.approx(floor, abs=0.01)
    # Slow frames of the swing's ends may count as contact: three frames either side.
    for foot in (0, 1):
        for start, stop in runs(stance[:, foot]):
            assert found.foot[start + 1 : stop - 1, foot].all()
        for start, stop in runs(~stance[:, foot]):
            assert not found.foot[start + 6 : stop - 6, foot].any()
    assert ((found.confidence >= 0) & (found.confidence <= 1)).all()


def test_a_flicker_is_no_contact_and_no_gap() -> None:
    ball, heel, _ = _steps()
    ball[10, 0, 2] += 0.5
    heel[10, 0, 2] += 0.5
    found = detect_contacts(ball, heel, FPS, 0.85)
    assert found.foot[5:20, 0].all()


def test_a_clip_in_the_air_has_a_floor_below_it() -> None:
    t = np.arange(40) / FPS
    ball = np.zeros((40, 2, 3))
    ball[..., 0] = 3.0 * t[:, None]
    ball[..., 2] = 1.0 + t[:, None]
    assert ground_height(ball, ball, FPS, 0.85) == pytest.approx(1.0, abs=0.05)
    assert not detect_contacts(ball, ball, FPS, 0.85).foot.any()


def test_a_ground_that_feet_never_touch_is_found_by_the_rest_of_the_body() -> None:
    """A handstand: the feet are slow, and high up."""
    feet = np.zeros((50, 2, 3)) + np.array([0.0, 0.0, 1.8])
    hands = np.full(50, 0.05)
    assert detect_contacts(feet, feet, FPS, 0.85).ground == pytest.approx(1.8, abs=0.01)
    found = detect_contacts(feet, feet, FPS, 0.85, lowest=hands)
    assert found.ground == pytest.approx(0.02, abs=0.03)
    assert not found.foot.any()


def test_runs() -> None:
    assert runs(np.array([1, 1, 0, 1, 0, 0, 1], bool)) == [(0, 2), (3, 4), (6, 7)]
    assert runs(np.zeros(3, bool)) == []


def test_standing_feet_do_not_glide_and_gliding_ones_do() -> None:
    rng = np.random.default_rng(1)
    still = 0.004 * rng.normal(size=(50, 2))
    assert np.abs(slide_path(still, FPS)).max() == 0.0
    slid = still + np.linspace(0, 0.4, 50)[:, None] * np.array([1.0, 0.0])
    moved = slide_path(slid, FPS)
    assert moved[-1, 0] - moved[0, 0] > 0.25
    assert np.abs(np.diff(moved, axis=0)).max() < 0.05


def test_the_root_fit_makes_footprints_stand_still() -> None:
    """The body moves on smoothly; feet seen from it carry an error that a scaled path would show
    as sliding."""
    ball, _, stance = _steps()
    t = np.arange(len(ball)) / FPS
    root = np.stack([1.0 * t, 0.0 * t, np.full_like(t, 0.7)], axis=1)
    drift = np.stack([0.03 * np.sin(2 * t), 0.02 * np.cos(2 * t), 0.01 * np.sin(2 * t)], axis=1)
    stances = []
    for foot in (0, 1):
        for a, b in runs(stance[:, foot]):
            seen = ball[a:b, foot] - root[a:b] + drift[a:b]
            stances.append(Stance(foot, a, b, seen, np.zeros((b - a, 3)), np.ones(b - a)))
    fitted, prints = fit_root(root, stances, FPS)
    for stance_, place in zip(stances, prints, strict=True):
        where = fitted[stance_.start : stance_.stop] + stance_.offset
        assert np.abs(where - place).max() < 0.015
        assert place[2] == 0.0
    assert np.abs(fitted - (root - drift)).max() < 0.05


def test_without_stances_the_root_keeps_its_path() -> None:
    t = np.arange(60) / FPS
    path = np.stack([t, 0.2 * np.sin(3 * t), 0.8 + 0.1 * t], axis=1)
    fitted, prints = fit_root(path, [], FPS)
    assert len(prints) == 0
    assert np.abs(fitted - path).max() < 0.01


def test_smooth_curve_holds_where_it_is_told_to() -> None:
    value = np.zeros((40, 1))
    value[20:] = 1.0
    weight = np.ones(40)
    weight[:15] = weight[25:] = 1e3
    curve = smooth_curve(value, weight, stiffness(3.0, FPS))
    assert np.abs(curve[:14]).max() < 0.01 and np.abs(curve[26:] - 1).max() < 0.01
    assert np.abs(np.diff(curve[:, 0])).max() < 0.25


def test_upper_envelope_covers_and_is_smooth() -> None:
    depth = np.zeros(60)
    depth[30] = 0.05
    cover = upper_envelope(depth, FPS)
    assert (cover >= depth).all()
    assert cover[:15].max() == 0.0
    assert np.abs(np.diff(cover)).max() < 0.02


def test_a_foot_that_is_dragged_stands_but_is_not_planted() -> None:
    count = 60
    ball = np.zeros((count, 2, 3))
    ball[:, 1, 0] = np.cumsum(np.where(np.arange(count) < 30, 0.0, 0.4 / FPS))
    heel = ball - np.array([0.15, 0.0, 0.0])
    found = detect_contacts(ball, heel, FPS, 1.0)
    assert found.foot.all()
    mask = planted(found, ball, FPS, 1.0)
    assert mask[:, 0].all() and mask[:29, 1].all() and not mask[31:, 1].any()
