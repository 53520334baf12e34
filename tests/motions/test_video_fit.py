"""The whole-clip fit: its derivatives, and a known walk filmed by a known camera."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motions import InputError, read_human_motion
from motions.human import demo
from motions.human.video import body
from motions.human.video.fit import normal_equations
from motions.human.video.residuals import Problem, Smoothness, frame_rows, robust

FPS, FOCAL, WIDTH, HEIGHT = 30.0, 1000.0, 1280, 720
FOV = float(np.degrees(2 * np.arctan(0.5 * WIDTH / FOCAL)))
_OF_ROLE = {"shoulder": 11, "elbow": 13, "wrist": 15, "hip": 23, "knee": 25, "ankle": 27}


def _person(name: str, folder: Path) -> Any:
    """BlazePose's 33 points [T, 33, 3] of a demo clip in its z-up world, at 30 fps."""
    motion = read_human_motion(demo.write(name, folder / f"{name}.bvh")).resample(FPS)
    points = np.repeat(motion.role("head")[:, None], 33, axis=1)
    for part, first in _OF_ROLE.items():
        for offset, side in enumerate(("left", "right")):
            points[:, first + offset] = motion.role(f"{side}_{part}")
    for offset, side in enumerate(("left", "right")):
        elbow, wrist = motion.role(f"{side}_elbow"), motion.role(f"{side}_wrist")
        for index in (17, 19, 21):
            points[:, index + offset] = wrist + 0.3 * (wrist - elbow)
        ankle, toe = motion.role(f"{side}_ankle"), motion.role(f"{side}_toe")
        points[:, 29 + offset] = ankle - 0.3 * (toe - ankle) * [1, 1, 0]
        points[:, 29 + offset, 2] = toe[:, 2]
        points[:, 31 + offset] = toe
    return points


def _filmed(points: Any, *, view: float, noise: float, seed: int = 0) -> dict[str, Any]:
    """What an estimator that errs would say of `points` seen from 6 m away at angle `view` rad."""
    rng = np.random.default_rng(seed)
    c, s = np.cos(view), np.sin(view)
    middle = points[:, [23, 24]].mean(axis=1).mean(axis=0) * [1, 1, 0]
    turned = (points - middle) @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]).T
    camera = np.stack([turned[..., 0], 1.0 - turned[..., 2], 6.0 + turned[..., 1]], axis=-1)
    pixels = FOCAL * camera[..., :2] / camera[..., 2:] + [WIDTH / 2, HEIGHT / 2]
    pixels = pixels + noise * 4.0 * rng.normal(size=pixels.shape)
    world = camera - camera[:, [23, 24]].mean(axis=1, keepdims=True)
    # Errors of an estimator last for some frames.
    slow = rng.normal(size=world.shape)
    for _ in range(3):
        slow[1:] = 0.5 * (slow[1:] + slow[:-1])
    world = world + noise * slow / slow.std() * [0.04, 0.04, 0.08]
    return {
        "world_landmarks": world, "image_landmarks_px": pixels,
        "visibility": np.ones((len(world), 33)),
        "detected": np.ones(len(world), bool), "fps": FPS, "width": WIDTH, "height": HEIGHT,
    }  # fmt: skip


def _errors(motion: Any, points: Any) -> tuple[float, float, float]:
    """Path over the true one; error in m about the hips, and in the world, once aligned."""
    pairs = [
        (f"{s}_{p}", i + k) for p, i in _OF_ROLE.items() for k, s in enumerate(("left", "right"))
    ]
    found = np.stack([motion.role(role) for role, _ in pairs], axis=1)
    true = np.stack([points[:, index] for _, index in pairs], axis=1)
    a, b = found - found.mean(axis=(0, 1)), true - true.mean(axis=(0, 1))
    u, _, vt = np.linalg.svd(np.einsum("tji,tjk->ik", a, b))
    turn = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt
    a = a @ turn
    world = float(np.linalg.norm(a - b, axis=2).mean())
    hips = [pairs.index((f"{s}_hip", i)) for s, i in (("left", 23), ("right", 24))]
    centred = (a - a[:, hips].mean(axis=1, keepdims=True)) - (
        b - b[:, hips].mean(axis=1, keepdims=True)
    )

    def length(x: Any) -> float:
        path = x[:, hips].mean(axis=1)[::6]
        return float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())

    return length(a) / length(b), float(np.linalg.norm(centred, axis=2).mean()), world


def _problem(frames: int = 5) -> tuple[Problem, Any]:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(frames, len(body.POINTS), 3)) * 0.5 + [0, 0, 4.0]
    problem = Problem(
        fps=30.0, focal=800.0, centre=np.array([320.0, 240.0]),
        pixels=rng.normal(size=(*x.shape[:2], 2)) * 100 + [320, 240],
        confidence=rng.uniform(0.2, 1.0, size=x.shape[:2]), pixel_tolerance=4.0,
        prior=rng.normal(size=x.shape) * 0.4, lengths=rng.uniform(0.2, 0.6, size=len(body.BONE_A)),
        contact=rng.uniform(size=(frames, 4)), plane=np.array([0.3, 0.1, -0.2]),
    )  # fmt: skip
    return problem, x


def test_every_derivative_is_that_of_finite_differences() -> None:
    problem, x = _problem(2)
    _, rows = frame_rows(x, problem)
    step = 1e-6
    for number in range(3 * len(body.POINTS)):
        move = np.zeros((1, 3 * len(body.POINTS)))
        move[0, number] = step
        move = move.reshape(1, -1, 3)
        ahead, behind = frame_rows(x + move, problem)[0], frame_rows(x - move, problem)[0]
        expected = (ahead - behind) / (2 * step)
        np.testing.assert_allclose(rows[..., number], expected, rtol=1e-5, atol=1e-4)
    # Every kind of residual was there to be compared.
    assert (np.abs(rows).sum(axis=2) > 0).any(axis=0).mean() > 0.9


def test_gradient_and_band_are_those_of_the_whole_cost() -> None:
    problem, x = _problem()
    smooth = Smoothness.of(problem)
    residual, rows = frame_rows(x, problem)
    band, gradient = normal_equations(x, residual, rows, smooth)

    def cost(at: Any) -> float:
        return robust(frame_rows(at, problem)[0])[0] + smooth.cost(at)[0]

    rng = np.random.default_rng(1)
    for _ in range(5):
        way = rng.normal(size=x.shape)
        slope = (cost(x + 1e-6 * way) - cost(x - 1e-6 * way)) / 2e-6
        assert slope == pytest.approx(2 * float((gradient.reshape(x.shape) * way).sum()), rel=1e-4)
    # The band without the frames' own share is the linear part, whose product is its gradient.
    alone, _ = normal_equations(x, residual, 0 * rows, smooth)
    size = x.size
    flat = alone.reshape(len(alone), size)
    full = np.zeros((size, size))
    for k, diagonal in enumerate(flat):
        full[np.arange(k, size), np.arange(size - k)] += diagonal[: size - k]
    full = full + np.tril(full, -1).T
    np.testing.assert_allclose(full @ x.ravel(), smooth.cost(x)[1].ravel(), rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("view", [0.0, np.pi / 4])
def test_a_filmed_walk_is_recovered(tmp_path: Path, view: float) -> None:
    points = _person("walk", tmp_path)
    path = tmp_path / "filmed.npz"
    np.savez(path, **_filmed(points, view=view, noise=1.0))
    motion = read_human_motion(path, fov=FOV)
    covered, centred, world = _errors(motion, points)
    print(f"view {view:.2f}: path {covered:.3f}, hips {centred:.3f} m, world {world:.3f} m")
    assert 0.94 <= covered <= 1.06
    assert centred < 0.07 and world < 0.08
    assert motion.report["fov"] == "as given"


def test_missing_frames_are_bridged_and_wrong_pixels_do_not_pull(tmp_path: Path) -> None:
    points = _person("walk", tmp_path)
    said = _filmed(points, view=0.0, noise=1.0)
    rng = np.random.default_rng(5)
    lost = rng.uniform(size=len(points)) < 0.15
    lost[[0, -1]] = False
    said["detected"] = ~lost
    said["world_landmarks"][lost] = np.nan
    said["image_landmarks_px"][lost] = np.nan
    said["image_landmarks_px"][~lost, 15] += np.where(
        rng.uniform(size=(~lost).sum()) < 0.1, 150, 0
    )[:, None]
    path = tmp_path / "gaps.npz"
    np.savez(path, **said)
    motion = read_human_motion(path, fov=FOV)
    covered, centred, world = _errors(motion, points)
    print(f"gaps: path {covered:.3f}, hips {centred:.3f} m, world {world:.3f} m")
    assert motion.num_frames == len(points) and motion.report["filled_frames"] == lost.sum()
    assert 0.94 <= covered <= 1.06 and centred < 0.07 and world < 0.09


def test_a_guessed_camera_is_reported_and_bad_ones_are_refused(tmp_path: Path) -> None:
    said = _filmed(_person("squat", tmp_path), view=0.3, noise=0.5)
    path = tmp_path / "squat.npz"
    np.savez(path, **said)
    assert read_human_motion(path).report["fov"].startswith("guessed")
    with pytest.raises(InputError, match="angle of view.*found 200"):
        read_human_motion(path, fov=200.0)
    np.savez(path, **{**said, "image_landmarks_px": np.zeros((3, 33, 2))})
    with pytest.raises(InputError, match="image_landmarks_px must have a row"):
        read_human_motion(path)


def test_a_camera_that_follows_is_noticed(tmp_path: Path) -> None:
    """The person stays in the middle of the picture while the feet walk."""
    said = _filmed(_person("walk", tmp_path), view=0.0, noise=0.3)
    hips = said["image_landmarks_px"][:, [23, 24]].mean(axis=1, keepdims=True)
    said["image_landmarks_px"] = said["image_landmarks_px"] - hips + [WIDTH / 2, HEIGHT / 2]
    path = tmp_path / "followed.npz"
    np.savez(path, **said)
    motion = read_human_motion(path, fov=FOV)
    assert "the camera follows" in " ".join(motion.report["warnings"])
    way = motion.role("pelvis")[-1] - motion.role("pelvis")[0]
    assert np.linalg.norm(way[:2]) > 2.0
