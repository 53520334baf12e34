"""The ground as a function: the height of a surface over every place, and its gradient.

A surface is ``z = height(x, y)`` in the world, metres. Everything that asks for the ground
(contacts, foot plans, obstacles, quality figures, terrain of a simulator) asks these functions, so
that a slope, a stair or a height field takes the place of the floor without a change elsewhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mimic_base.errors import input_error

Array = NDArray[np.float64]

_DIFFERENCE = 1e-4
"""m; half the distance of the two heights whose difference stands for a derivative."""


class Surface(ABC):
    """A ground surface, one height over each place."""

    @abstractmethod
    def height(self, x: ArrayLike, y: ArrayLike) -> Array:
        """Heights z, m, over places `x`, `y`, m, arrays of one shape [...]."""

    def gradient(self, x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
        """Derivatives dz/dx and dz/dy, [...] each; central differences unless overridden."""
        x, y = np.asarray(x, float), np.asarray(y, float)
        e = _DIFFERENCE
        along_x = (self.height(x + e, y) - self.height(x - e, y)) / (2.0 * e)
        along_y = (self.height(x, y + e) - self.height(x, y - e)) / (2.0 * e)
        return along_x, along_y

    def normal(self, x: ArrayLike, y: ArrayLike) -> Array:
        """Unit normals [..., 3] that point up: ``(-dz/dx, -dz/dy, 1) / sqrt(1 + |grad z|^2)``."""
        along_x, along_y = self.gradient(x, y)
        up = np.stack([-along_x, -along_y, np.ones_like(along_x)], axis=-1)
        return up / np.linalg.norm(up, axis=-1, keepdims=True)

    def clearance(self, points: Array) -> Array:
        """Height [...] m of `points` [..., 3] m over the surface, measured along the vertical."""
        return points[..., 2] - self.height(points[..., 0], points[..., 1])

    def scaled(self, factor: float) -> Surface:
        """The surface in a world that is `factor` times as large, about the origin."""
        return HeightFunction(
            lambda x, y: factor * self.height(x / factor, y / factor),
            lambda x, y: self.gradient(x / factor, y / factor),
        )

    @property
    def is_flat(self) -> bool:
        """Whether this is the plane z = 0, for which fast ways exist."""
        return False


@dataclass(frozen=True)
class Flat(Surface):
    """A level floor."""

    level: float = 0.0
    """Height of the floor, m."""

    def height(self, x: ArrayLike, y: ArrayLike) -> Array:
        return np.full(np.broadcast(x, y).shape, self.level)

    def gradient(self, x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
        zero = np.zeros(np.broadcast(x, y).shape)
        return zero, zero.copy()

    @property
    def is_flat(self) -> bool:
        return self.level == 0.0


FLAT = Flat()
"""The floor z = 0."""


@dataclass(frozen=True)
class Slope(Surface):
    """A tilted plane, ``z = level + along_x x + along_y y``."""

    along_x: float = 0.0
    """dz/dx, the tangent of the slope's angle along x."""
    along_y: float = 0.0
    """dz/dy."""
    level: float = 0.0
    """Height at the origin, m."""

    def height(self, x: ArrayLike, y: ArrayLike) -> Array:
        return self.level + self.along_x * np.asarray(x, float) + self.along_y * np.asarray(y)

    def gradient(self, x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
        shape = np.broadcast(x, y).shape
        return np.full(shape, self.along_x), np.full(shape, self.along_y)


@dataclass(frozen=True)
class Steps(Surface):
    """Stairs: level treads that begin at the places `edges` along a horizontal direction.

    Over ``s = x cos(heading) + y sin(heading)`` the height is ``level`` before the first edge and
    ``heights[k]`` from ``edges[k]`` on. Treads are level, so the gradient is zero everywhere.
    """

    edges: tuple[float, ...]
    """Where the treads begin along the direction, m, rising."""
    heights: tuple[float, ...]
    """Height of each tread, m."""
    level: float = 0.0
    """Height before the first edge, m."""
    heading: float = 0.0
    """Direction of the stairs, rad from x towards y."""

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip(self.edges[:-1], self.edges[1:], strict=True))
        if len(self.edges) != len(self.heights) or not self.edges or not rising:
            raise input_error(
                None,
                "stairs need one height per edge, edges in rising order",
                found=f"{len(self.edges)} edges and {len(self.heights)} heights",
            )

    def height(self, x: ArrayLike, y: ArrayLike) -> Array:
        along = np.cos(self.heading) * np.asarray(x, float) + np.sin(self.heading) * np.asarray(y)
        treads = np.array([self.level, *self.heights])
        return treads[np.searchsorted(self.edges, along, side="right")]

    def gradient(self, x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
        zero = np.zeros(np.broadcast(x, y).shape)
        return zero, zero.copy()


@dataclass(frozen=True, eq=False)
class HeightField(Surface):
    """Heights on a regular grid, bilinear between its points and constant beyond its border."""

    heights: Array
    """[Ny, Nx] m; rows follow y, columns follow x (MuJoCo's order of a height field)."""
    spacing: float
    """Distance of neighbouring grid points, m."""
    origin: tuple[float, float] = (0.0, 0.0)
    """Place x, y, m, of ``heights[0, 0]``."""

    def __post_init__(self) -> None:
        heights = np.asarray(self.heights, float)
        if heights.ndim != 2 or min(heights.shape) < 2 or not np.isfinite(heights).all():
            raise input_error(
                None,
                "a height field needs finite heights on a grid",
                found=f"shape {heights.shape}",
                expected="[Ny, Nx], two at least each",
            )
        if not self.spacing > 0.0:
            raise input_error(
                None, "a height field needs a spacing above 0", found=repr(self.spacing)
            )
        object.__setattr__(self, "heights", heights)

    def _cell(self, x: ArrayLike, y: ArrayLike) -> tuple[Array, ...]:
        """The four heights around each place and its share along x and y within the cell."""
        rows, columns = self.heights.shape
        u = np.clip((np.asarray(x, float) - self.origin[0]) / self.spacing, 0.0, columns - 1.0)
        v = np.clip((np.asarray(y, float) - self.origin[1]) / self.spacing, 0.0, rows - 1.0)
        i = np.minimum(u.astype(int), columns - 2)
        j = np.minimum(v.astype(int), rows - 2)
        z = self.heights
        return z[j, i], z[j, i + 1], z[j + 1, i], z[j + 1, i + 1], u - i, v - j

    def height(self, x: ArrayLike, y: ArrayLike) -> Array:
        a, b, c, d, u, v = self._cell(x, y)
        return (1 - v) * ((1 - u) * a + u * b) + v * ((1 - u) * c + u * d)

    def gradient(self, x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
        a, b, c, d, u, v = self._cell(x, y)
        along_x = ((1 - v) * (b - a) + v * (d - c)) / self.spacing
        along_y = ((1 - u) * (c - a) + u * (d - b)) / self.spacing
        low = np.array(self.origin)
        high = low + self.spacing * (np.array(self.heights.shape[::-1]) - 1)
        outside_x = (np.asarray(x) < low[0]) | (np.asarray(x) > high[0])
        outside_y = (np.asarray(y) < low[1]) | (np.asarray(y) > high[1])
        return np.where(outside_x, 0.0, along_x), np.where(outside_y, 0.0, along_y)


@dataclass(frozen=True, eq=False)
class HeightFunction(Surface):
    """Any function of numpy arrays as a surface, with its gradient where it is known."""

    function: Callable[[Array, Array], Array]
    """``z = function(x, y)``."""
    slope: Callable[[Array, Array], tuple[Array, Array]] | None = None
    """``dz/dx, dz/dy = slope(x, y)``; central differences of the function without it."""

    def height(self, x: ArrayLike, y: ArrayLike) -> Array:
        return np.asarray(self.function(np.asarray(x, float), np.asarray(y, float)), float)

    def gradient(self, x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
        if self.slope is None:
            return super().gradient(x, y)
        return self.slope(np.asarray(x, float), np.asarray(y, float))
