"""Whole-clip fit of a person to landmarks in pixels and in metres.

All frames are solved together by Levenberg-Marquardt: the normal matrix is banded along time (two
frames of coupling), so a step costs as much per frame in a long clip as in a short one. Between
the rounds of steps the bones' lengths, the ground and the standing feet are estimated anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.rotations import norm
from mimic_base.signals import low_pass
from motions.human.video import body
from motions.human.video.residuals import Problem, Smoothness, frame_rows, robust

Array = NDArray[Any]

GUESSED_FOV = 60.0
"""Angle of view over the longer side of the picture where none is known, degrees."""
_PIXEL_SHARE = 0.015
_LEAST_PIXELS = 1.5
_ROUNDS = ((0.15, 1.0, 4), (0.08, 0.6, 5), (0.05, 0.4, 6))
"""Height m and speed m/s at which a foot counts as standing, and steps, of each round."""
_TILT = 0.15
_POINTS = len(body.POINTS)
_N = 3 * _POINTS
_BAND = 2 * _N + 4
_LONGEST = 600
_OVERLAP = 60


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A still pinhole camera."""

    focal: float
    """Focal length, pixels."""
    width: int
    """Width of the picture, pixels."""
    height: int
    """Height of the picture, pixels."""
    guessed: bool = False
    """Whether the focal length is a guess."""

    @classmethod
    def of(cls, width: int, height: int, fov: float | None = None) -> Camera:
        """From the angle of view over the longer side, degrees; a guess where it is None."""
        angle = np.radians(GUESSED_FOV if fov is None else fov)
        focal = 0.5 * max(width, height) / np.tan(0.5 * angle)
        return cls(focal=float(focal), width=width, height=height, guessed=fov is None)


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A person in the world: y up, the ground at y = 0, the camera above the origin."""

    pos: Array
    """`body.POINTS` in the world, [T, P, 3] m."""
    confidence: Array
    """How far each point was seen, [T, P]."""
    tilt_deg: float
    """How far the camera looks down on the ground that was found."""
    pixel_error: float
    """Median distance between the fitted points and the landmarks, pixels."""


def fit_clip(world: Array, pixels: Array, confidence: Array, fps: float, camera: Camera) -> Fit:
    """Fit landmarks, `world` [T, 33, 3] m and `pixels` [T, 33, 2], with confidence [T, 33].

    Camera axes (x right, y down, z away). Frames with confidence 0 are bridged by the rest.
    """
    prior, seen = body.points_of(world), body.points_of(confidence[..., None])[..., 0]
    picture = body.points_of(pixels)
    prior = prior - prior[:, :2].mean(axis=1, keepdims=True)
    there = seen.any(axis=1)
    size = np.ptp(picture[there][..., 1], axis=1)
    centre = 0.5 * np.array([camera.width, camera.height], dtype=np.float64)
    problem = Problem(
        fps=fps,
        focal=camera.focal,
        centre=centre,
        pixels=picture,
        confidence=seen,
        pixel_tolerance=max(_LEAST_PIXELS, _PIXEL_SHARE * float(np.median(size))),
        prior=prior,
        lengths=body.bone_lengths(prior[there]),
        contact=np.zeros((len(prior), len(body.FEET))),
        plane=np.zeros(3),
    )
    x = _start(problem)
    for height, speed, steps in _ROUNDS:
        plane, contact = _standing(x, problem, height, speed)
        problem = replace(problem, plane=plane, contact=contact)
        x = _solve(x, problem, steps)
        # Lengths of noisy bones are too long; about the camera's centre the size changes no pixel.
        size_found = _size(x, problem)
        x = x * size_found
        problem = replace(problem, lengths=body.bone_lengths(x[there]))
    plane, _ = _standing(x, problem, *_ROUNDS[-1][:2])
    error = norm(problem.focal * x[..., :2] / x[..., 2:] + centre - picture)[seen > 0.5]
    up = np.array([plane[1], -1.0, plane[2]])
    return Fit(
        pos=_to_world(x, plane),
        confidence=seen,
        tilt_deg=float(np.degrees(np.arctan2(-up[2], -up[1]))),
        pixel_error=float(np.median(error)) if len(error) else float("nan"),
    )


def _size(x: Array, p: Problem) -> float:
    """How much larger than `x` the estimator's poses are, by regression of these on the fit."""
    own = x - x[:, :2].mean(axis=1, keepdims=True)
    weight = p.confidence[..., None] / np.array([1.0, 1.0, 6.0])
    return float((weight * own * p.prior).sum() / (weight * own * own).sum())


def _start(p: Problem) -> Array:
    """The estimator's pose at the place from which the pixels see it, smooth over time.

    (X + t_x) = u (Z + t_z) and (Y + t_y) = v (Z + t_z) are linear in t, two equations a point.
    """
    ray = (p.pixels - p.centre) / p.focal
    weight = p.confidence
    u, v = ray[..., 0], ray[..., 1]
    rows = np.zeros((len(ray), 2 * _POINTS, 3))
    rows[:, :_POINTS, 0] = rows[:, _POINTS:, 1] = 1.0
    rows[:, :_POINTS, 2], rows[:, _POINTS:, 2] = -u, -v
    right = np.concatenate(
        [u * p.prior[..., 2] - p.prior[..., 0], v * p.prior[..., 2] - p.prior[..., 1]], axis=1
    )
    twice = np.concatenate([weight, weight], axis=1)
    gram = np.einsum("tri,tr,trj->tij", rows, twice, rows)
    force = np.einsum("tri,tr->ti", rows, twice * right)
    index = np.flatnonzero(weight.sum(axis=1) > 2.0)
    path = np.linalg.solve(gram[index] + 1e-9 * np.eye(3), force[index][..., None])[..., 0]
    path[:, 2] = np.clip(path[:, 2], 0.7, 100.0)
    frames = np.arange(len(ray))
    full = np.stack([np.interp(frames, index, column) for column in path.T], axis=1)
    return p.prior + low_pass(full, p.fps, min(1.5, 0.4 * p.fps))[:, None]


def _standing(x: Array, p: Problem, height: float, speed: float) -> tuple[Array, Array]:
    """The ground [3] and how likely each foot point stands on it, [T, F].

    The ground is a plane through the slow low points; a camera is level within about 9 degrees
    unless the points say otherwise.
    """
    feet = x[:, body.FEET]
    smooth = low_pass(feet, p.fps, min(6.0, 0.4 * p.fps))
    pace = norm(np.gradient(smooth, 1.0 / p.fps, axis=0))
    still = np.exp(-((pace / speed) ** 2))
    lowest = feet[..., 1].max(axis=1, keepdims=True)
    weight = still * np.exp(-(((feet[..., 1] - lowest) / height) ** 2)) + 1e-6
    plane = np.zeros(3)
    for _ in range(4):
        rows = np.stack([np.ones_like(pace), feet[..., 0], feet[..., 2]], axis=-1)
        # Points of neighbouring frames err together: a tenth of a second counts once.
        certainty = weight / (height**2 * max(0.1 * p.fps, 1.0) * 2.0)
        middle = (certainty[..., None] * feet).sum(axis=(0, 1)) / certainty.sum()
        rows[..., 1] -= middle[0]
        rows[..., 2] -= middle[2]
        gram = np.einsum("tfi,tf,tfj->ij", rows, certainty, rows)
        gram += np.diag([0.0, 1.0 / _TILT**2, 1.0 / _TILT**2])
        slope = np.linalg.solve(gram, np.einsum("tfi,tf->i", rows, certainty * feet[..., 1]))
        plane = np.array([slope[0] - slope[1] * middle[0] - slope[2] * middle[2], *slope[1:]])
        above = plane[0] + feet[..., 0] * plane[1] + feet[..., 2] * plane[2] - feet[..., 1]
        weight = still * np.exp(-((above / height) ** 2)) + 1e-6
    return plane, weight


def _solve(x: Array, p: Problem, steps: int) -> Array:
    """Levenberg-Marquardt over all frames; long clips in stretches that overlap and are blended."""
    if len(x) <= _LONGEST:
        return _descend(x, p, steps)
    result = x.copy()
    for start in range(0, len(x) - _OVERLAP, _LONGEST - _OVERLAP):
        at = slice(start, start + _LONGEST)
        part = replace(p, pixels=p.pixels[at], confidence=p.confidence[at], prior=p.prior[at],
                       contact=p.contact[at])  # fmt: skip
        solved = _descend(x[at], part, steps)
        if start:
            share = np.linspace(0.0, 1.0, _OVERLAP)[:, None, None]
            solved[:_OVERLAP] = share * solved[:_OVERLAP] + (1 - share) * result[at][:_OVERLAP]
        result[at] = solved
    return result


def _descend(x: Array, p: Problem, steps: int) -> Array:
    smooth = Smoothness.of(p)
    damping = 1e-3
    residual, rows = frame_rows(x, p)
    cost = robust(residual)[0] + smooth.cost(x)[0]
    for _ in range(steps):
        band, gradient = normal_equations(x, residual, rows, smooth)
        for _ in range(4):
            step = _step(band, gradient, damping)
            trial, trial_rows = frame_rows(x + step, p)
            trial_cost = robust(trial)[0] + smooth.cost(x + step)[0]
            if trial_cost < cost:
                break
            damping *= 10.0
        else:
            return x
        gain = (cost - trial_cost) / cost
        x, residual, rows, cost = x + step, trial, trial_rows, trial_cost
        damping = max(damping / 5.0, 1e-6)
        if gain < 1e-4:
            break
    return x


def normal_equations(
    x: Array, residual: Array, rows: Array, smooth: Smoothness
) -> tuple[Array, Array]:
    """Lower band [K, T, 3 P] of the normal matrix, and half the gradient of the cost [T, 3 P]."""
    weight = robust(residual)[1]
    weighted = rows * weight[..., None]
    blocks = np.matmul(rows.transpose(0, 2, 1), weighted)
    low, high = np.tril_indices(_N)
    band = np.zeros((_BAND, len(x), _N))
    band[low - high, :, high] = blocks[:, low, high].T
    smooth.add_to(band)
    gradient = np.einsum("tri,tr->ti", weighted, residual)
    return band, gradient + smooth.cost(x)[1].reshape(len(x), _N)


def _step(band: Array, gradient: Array, damping: float) -> Array:
    from scipy.linalg import solveh_banded

    damped = band.copy()
    damped[0] += damping * band[0] + 1e-9
    step = solveh_banded(
        damped.reshape(_BAND, -1), -gradient.ravel(), lower=True, overwrite_ab=True,
        check_finite=False,
    )  # fmt: skip
    return step.reshape(len(gradient), _POINTS, 3)


def _to_world(x: Array, plane: Array) -> Array:
    """Camera axes to a world with y up whose ground is y = 0, heading away from the camera kept."""
    up = np.array([plane[1], -1.0, plane[2]])
    up /= np.linalg.norm(up)
    away = np.array([0.0, 0.0, 1.0]) - up[2] * up
    away /= np.linalg.norm(away)
    # x right, y up, z towards the camera.
    turn = np.stack([np.cross(up, -away), up, -away])
    world = x @ turn.T
    ground = np.array([0.0, plane[0], 0.0]) @ turn.T
    world[..., 1] -= ground[1]
    return world
