"""Where the camera stands: beside the robot, following smoothly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter1d

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class View:
    """A free camera: it looks at ``lookat`` (m) from ``distance`` metres; angles in degrees.

    ``azimuth`` 90 looks along +y, ``elevation`` is negative from above, ``fovy`` is the vertical
    field of view. ``reach`` is how far around ``lookat`` shadows are drawn, m.
    """

    lookat: tuple[float, float, float] = (0.0, 0.0, 0.65)
    distance: float = 3.2
    azimuth: float = 130.0
    elevation: float = -13.0
    fovy: float = 34.0
    reach: float = 1.6

    @classmethod
    def of_height(cls, root_height: float, distance: float = 3.2) -> View:
        """A view that shows a whole robot.

        Args:
            root_height: m, of the robot's base as it stands by default.
            distance: m, for a robot like Unitree's G1, whose base is 0.757 m high.
        """
        scale = root_height / 0.757
        return cls(lookat=(0.0, 0.0, 0.65 * scale), distance=distance * scale, reach=1.6 * scale)

    @property
    def right(self) -> Array:
        """Unit vector to the right of the picture."""
        turn = np.radians(self.azimuth)
        return np.array([np.sin(turn), -np.cos(turn), 0.0])

    @property
    def ahead(self) -> Array:
        """Unit vector of the direction of view."""
        turn, tilt = np.radians(self.azimuth), np.radians(self.elevation)
        flat = np.cos(tilt)
        return np.array([flat * np.cos(turn), flat * np.sin(turn), np.sin(tilt)])

    @property
    def position(self) -> Array:
        return np.array(self.lookat) - self.distance * self.ahead


def project(points: ArrayLike, view: View, width: int, height: int) -> tuple[Array, Array]:
    """Pixels [..., 2] (x right, y up, from the lower left) and depths [...] (m) of points."""
    offset = np.asarray(points, dtype=np.float64) - view.position
    ahead, right = view.ahead, view.right
    depth = offset @ ahead
    scale = 0.5 * height / np.tan(np.radians(0.5 * view.fovy)) / np.maximum(depth, 1e-3)
    x = 0.5 * width + scale * (offset @ right)
    y = 0.5 * height + scale * (offset @ np.cross(right, ahead))
    return np.stack([x, y], axis=-1), depth


def smooth_path(root_pos: Array, fps: float, seconds: float = 0.35) -> Array:
    """What the camera looks at, [T, 3]: the base's path without the sway of the steps.

    The height is the clip's median, so that a squat is seen as one.
    """
    path = np.array(root_pos, dtype=np.float64)
    # nearest: at both ends the camera rests where the robot does.
    path[:, :2] = gaussian_filter1d(path[:, :2], seconds * fps, axis=0, mode="nearest")
    path[:, 2] = np.median(path[:, 2])
    return path


def heading(quat: Array) -> float:
    """Heading of a base orientation (wxyz), degrees about z."""
    w, x, y, z = quat
    return float(np.degrees(np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))))
