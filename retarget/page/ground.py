"""The ground in a picture: small patches of a height function, shaded by their slope."""

from __future__ import annotations

import numpy as np

from mimic_base.surface import Surface
from mimic_base.vectors import Array, unit

_CELL = 0.05
"""m; side of a patch. Walls are one patch wide."""
_SQUARE = 0.3
"""m; side of the squares in two tones that tell distances."""
_TONES = np.array([[0.86, 0.81, 0.74], [0.79, 0.74, 0.67]])
_LIGHT = unit(np.array([-0.35, 0.45, 0.82]))


def ground_patches(ground: Surface, middle: Array, reach: float) -> tuple[Array, Array]:
    """The ground within `reach` m of `middle` [2] m: patches [N, 4, 3] m, colours [N, 3].

    Patches keep their places in the world whatever the middle, so that pictures in a row agree.
    """
    low = np.floor((np.asarray(middle) - reach) / _CELL)
    steps = np.arange(int(2.0 * reach / _CELL) + 2)
    x, y = np.meshgrid((low[0] + steps) * _CELL, (low[1] + steps) * _CELL)
    points = np.stack([x, y, ground.height(x, y)], axis=-1)
    patches = np.stack(
        [points[:-1, :-1], points[:-1, 1:], points[1:, 1:], points[1:, :-1]], axis=2
    ).reshape(-1, 4, 3)
    across = np.cross(patches[:, 2] - patches[:, 0], patches[:, 3] - patches[:, 1])
    shade = 0.45 + 0.55 * np.clip(unit(across) @ _LIGHT, 0.0, 1.0) / _LIGHT[2]
    square = np.floor(patches.mean(axis=1)[:, :2] / _SQUARE).astype(int).sum(axis=1) % 2
    return patches, np.clip(_TONES[square] * shade[:, None], 0.0, 1.0)
