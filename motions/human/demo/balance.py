"""Whole-body balance: mass centre, zero-moment point and the mass-centre path that belongs to it.

The planner is the linear inverted pendulum with a prescribed zero-moment point (Kajita et al.,
"Biped walking pattern generation by using preview control of zero-moment point", ICRA 2003),
solved over the whole clip at once as a boundary value problem; the difference to the jointed
body is fed back as in the same paper's dynamics filter.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.linalg import spsolve

from motions.human.demo import skeleton
from motions.human.demo.skeleton import INDEX

Array = NDArray[Any]
GRAVITY = 9.81


def mass_points(position: Array, rotation: Array) -> tuple[Array, Array]:
    """Point masses [P] and their paths [T, P, 3] that stand for the segments.

    Two points a segment, a radius of gyration to both sides of its mass centre, give it the
    moments of inertia across its axis.
    """
    masses: list[float] = []
    paths: list[Array] = []
    for segment in skeleton.SEGMENTS:
        j = INDEX[segment.joint]
        if segment.to is None:
            axis = rotation[:, j] @ skeleton.END_OFFSETS[segment.joint]
        else:
            axis = position[:, INDEX[segment.to]] - position[:, j]
        for offset in (-segment.gyration, segment.gyration):
            masses.append(0.5 * segment.mass)
            paths.append(position[:, j] + (segment.centre + offset) * axis)
    mass = np.array(masses)
    return mass / mass.sum(), np.stack(paths, axis=1)


def centre_of_mass(position: Array, rotation: Array) -> Array:
    """Whole-body mass centre [T, 3]."""
    mass, path = mass_points(position, rotation)
    return np.einsum("p,tpx->tx", mass, path)


def zero_moment_point(position: Array, rotation: Array, rate: float) -> Array:
    """Point of the ground plane [T, 2] about which gravity and inertia have no tilting moment."""
    mass, path = mass_points(position, rotation)
    acc = np.gradient(np.gradient(path, axis=0), axis=0) * rate * rate
    acc[[0, 1, -2, -1]] = 0.0
    lift = acc[..., 2] + GRAVITY
    force = np.einsum("p,tp->t", mass, lift)
    tilt = lift[..., None] * path[..., :2] - path[..., 2:] * acc[..., :2]
    return np.einsum("p,tpx->tx", mass, tilt) / force[:, None]


def pendulum_path(zmp: Array, height: float, rate: float, pulses: tuple[Array, Array]) -> Array:
    """Mass-centre path [T, 2] of a linear inverted pendulum with zero-moment point near `zmp`.

    The path starts and ends at rest above the first and last point. As two ends at rest are two
    conditions too many, `zmp` is allowed one multiple of each of the two `pulses` [T]: the shift
    of weight before the first step and the one after the last.
    """
    frames = len(zmp)
    gain = height / GRAVITY * rate * rate
    # Interior rows: c[i] - gain (c[i-1] - 2 c[i] + c[i+1]) - sum_k a_k pulse_k[i] = zmp[i]
    inner = np.arange(1, frames - 1)
    row = inner - 1
    entries = [
        (row, inner - 1, np.full(len(row), -gain)),
        (row, inner, np.full(len(row), 1 + 2 * gain)),
        (row, inner + 1, np.full(len(row), -gain)),
        (row, np.full(len(row), frames), -pulses[0][inner]),
        (row, np.full(len(row), frames + 1), -pulses[1][inner]),
    ]
    for k, at in enumerate((0, 1, frames - 2, frames - 1)):
        entries.append((np.array([frames - 2 + k]), np.array([at]), np.array([1.0])))
    rows, columns, values = (np.concatenate(part) for part in zip(*entries, strict=True))
    matrix = coo_array((values, (rows, columns)), shape=(frames + 2, frames + 2)).tocsc()
    right = np.concatenate([zmp[1:-1], zmp[:1], zmp[:1], zmp[-1:], zmp[-1:]])
    return np.asarray(spsolve(matrix, right))[:frames]
