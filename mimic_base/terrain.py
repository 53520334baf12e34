"""Terrain as data: what a robot stands on, the parts it is made of, and its height for everybody.

Every terrain is made of one plane, any number of boxes and at most one height field. The same parts
give the geoms of a simulated scene (`mimic.sim.terrain`), the scene of a motion file
(`motions.robot.terrain`) and the function ``TerrainSurface.height(x, y)`` that retargeter, quality
figures, spawns and rewards ask, so that they cannot differ. World frame, z up, metres, radians.
"""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mimic_base.errors import MimicError
from mimic_base.limits import check_limit
from mimic_base.rotations import quat_to_matrix
from mimic_base.surface import Surface

if TYPE_CHECKING:
    import torch

Array = NDArray[np.float64]
_UPRIGHT = (1.0, 0.0, 0.0, 0.0)
_BELOW_FIELD = 0.05
"""m; the plane that surrounds a height field lies so much under its lowest point, so that nothing
that stands on the field touches both."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """A box of a terrain."""

    pos: tuple[float, float, float]
    """Centre in the world, m."""
    half_size: tuple[float, float, float]
    """Half lengths along its own axes, m."""
    quat: tuple[float, float, float, float] = _UPRIGHT
    """Orientation in the world, wxyz."""

    def __post_init__(self) -> None:
        _all_positive("block: half_size", self.half_size)
        if not 0.99 < sum(x * x for x in self.quat) < 1.01:
            raise MimicError(f"block: quat must be a unit quaternion wxyz, got {self.quat}")

    def scaled(self, factor: float) -> Block:
        """The box in a world that is `factor` times as large, about the origin."""
        x, y, z = (factor * value for value in self.pos)
        a, b, c = (factor * value for value in self.half_size)
        return replace(self, pos=(x, y, z), half_size=(a, b, c))


@dataclass(frozen=True, kw_only=True)
class TerrainParts:
    """What a terrain is made of."""

    plane_height: float = 0.0
    """Height of the plane under the origin, m."""
    plane_gradient: tuple[float, float] = (0.0, 0.0)
    """dz/dx and dz/dy of the plane."""
    blocks: tuple[Block, ...] = ()
    field_heights: Array | None = None
    """[Ny, Nx] heights in the world, m; rows follow y, columns follow x."""
    field_size: tuple[float, float] = (0.0, 0.0)
    """Extent of the field along x and y, m."""
    field_pos: tuple[float, float] = (0.0, 0.0)
    """Place x, y of the field's middle, m."""

    def scaled(self, factor: float) -> TerrainParts:
        """The parts in a world that is `factor` times as large, about the origin."""
        if not factor > 0.0:
            raise MimicError(f"terrain: a scale must be greater than zero, got {factor}")
        fields = self.field_heights
        return replace(
            self,
            plane_height=factor * self.plane_height,
            blocks=tuple(block.scaled(factor) for block in self.blocks),
            field_heights=None if fields is None else factor * fields,
            field_size=_times(factor, self.field_size),
            field_pos=_times(factor, self.field_pos),
        )


@dataclass(frozen=True, kw_only=True)
class Terrain(ABC):
    """Ground under everything."""

    friction: float = 1.0
    """Sliding friction; a robot's feet rule their contacts by a friction of their own."""

    @abstractmethod
    def parts(self) -> TerrainParts:
        """What the terrain is made of.

        Raises:
            MimicError: numbers that make no terrain.
        """


@dataclass(frozen=True, kw_only=True)
class Plane(Terrain):
    """The level floor z = 0, without end."""

    def parts(self) -> TerrainParts:
        return TerrainParts()


@dataclass(frozen=True, kw_only=True)
class Slope(Terrain):
    """A tilted plane through the origin, without end: z = tan(angle) along the heading."""

    angle: float = 0.1
    """Inclination, rad; positive rises towards the heading."""
    heading: float = 0.0
    """Direction of the rise, rad from x towards y."""

    def parts(self) -> TerrainParts:
        if not abs(self.angle) < 0.5 * math.pi:
            raise MimicError(f"slope: angle must be within +-pi/2 rad, got {self.angle}")
        rise = math.tan(self.angle)
        return TerrainParts(
            plane_gradient=(rise * math.cos(self.heading), rise * math.sin(self.heading))
        )


@dataclass(frozen=True, kw_only=True)
class Steps(Terrain):
    """Stairs up along x, a landing, and stairs down again, on a level floor."""

    rise: float = 0.15
    """Height of a step, m."""
    tread: float = 0.3
    """Depth of a step, m."""
    count: int = 4
    """Steps up, and as many down."""
    landing: float = 1.0
    """Length of the highest level, m."""
    width: float = 4.0
    """Extent along y, m, centred on the x axis."""
    start: float = 1.0
    """x of the first step's edge, m."""

    def parts(self) -> TerrainParts:
        _all_positive("steps: rise, tread, landing, width", (self.rise, self.tread, self.landing,
                                                             self.width))  # fmt: skip
        if self.count < 1:
            raise MimicError(f"steps: count must be at least 1, got {self.count}")
        whole = 2 * (self.count - 1) * self.tread + self.landing
        blocks = []
        for level in range(self.count):
            # One layer on the other: the walls of a step are those of its own layer.
            length = whole - 2 * level * self.tread
            blocks.append(
                Block(
                    pos=(self.start + 0.5 * whole, 0.0, (level + 0.5) * self.rise),
                    half_size=(0.5 * length, 0.5 * self.width, 0.5 * self.rise),
                )
            )
        return TerrainParts(blocks=tuple(blocks))


@dataclass(frozen=True, kw_only=True)
class Ramp(Terrain):
    """A ramp up along x, a landing and a ramp down, on a level floor."""

    angle: float = 0.2
    """Inclination, rad."""
    height: float = 0.5
    """Height of the landing, m."""
    landing: float = 1.0
    """Length of the landing, m."""
    width: float = 4.0
    """Extent along y, m, centred on the x axis."""
    start: float = 1.0
    """x of the foot of the ramp, m."""

    def parts(self) -> TerrainParts:
        _all_positive("ramp: height, landing, width", (self.height, self.landing, self.width))
        if not 0.0 < self.angle < 0.45 * math.pi:
            raise MimicError(f"ramp: angle must be between 0 and 1.41 rad, got {self.angle}")
        run = self.height / math.tan(self.angle)
        length = self.height / math.sin(self.angle)
        thick = 0.5 * min(self.height, 0.2)
        sin, cos = math.sin(self.angle), math.cos(self.angle)

        def ramp(middle: float, turn: float) -> Block:
            # The middle of the upper face lies half-way up; the box hangs under it.
            down = math.copysign(thick * sin, turn)
            return Block(
                pos=(middle - down, 0.0, 0.5 * self.height - thick * cos),
                half_size=(0.5 * length, 0.5 * self.width, thick),
                quat=(math.cos(0.5 * turn), 0.0, math.sin(0.5 * turn), 0.0),
            )

        centre = self.start + run + 0.5 * self.landing
        top = Block(
            pos=(centre, 0.0, 0.5 * self.height),
            half_size=(0.5 * self.landing, 0.5 * self.width, 0.5 * self.height),
        )
        up = ramp(self.start + 0.5 * run, -self.angle)
        down = ramp(self.start + 1.5 * run + self.landing, self.angle)
        return TerrainParts(blocks=(up, top, down))


@dataclass(frozen=True, kw_only=True)
class Boxes(Terrain):
    """Boxes of one's own on a level floor: platforms, beams, stones."""

    blocks: tuple[Block, ...] = ()
    """The boxes; what lies under the floor is not felt."""

    def parts(self) -> TerrainParts:
        return TerrainParts(blocks=tuple(self.blocks))


@dataclass(frozen=True, kw_only=True)
class HeightField(Terrain):
    """Given heights on a grid, two triangles a cell, on a level plane."""

    heights: tuple[tuple[float, ...], ...] = ((0.0, 0.0), (0.0, 0.0))
    """[Ny][Nx] m; rows follow y, columns follow x."""
    size: tuple[float, float] = (8.0, 8.0)
    """Extent along x and y, m."""
    pos: tuple[float, float] = (0.0, 0.0)
    """Place x, y of its middle, m."""
    around: float | None = None
    """Height of the plane around and under it, m; 5 cm under its lowest point where not given."""

    def parts(self) -> TerrainParts:
        lengths = {len(row) for row in self.heights}
        if len(self.heights) < 2 or len(lengths) != 1 or min(lengths) < 2:
            raise MimicError(
                f"height field: {len(self.heights)} rows of {sorted(lengths)} heights; expected "
                "two rows at least, of one length of at least two"
            )
        parts = _field(np.asarray(self.heights, float), self.size)
        level = parts.plane_height if self.around is None else self.around
        return replace(parts, field_pos=self.pos, plane_height=level)


@dataclass(frozen=True, kw_only=True)
class RoughGround(Terrain):
    """A height field drawn from a seed: smooth bumps of a given size."""

    seed: int = 0
    """The same seed gives the same ground."""
    size: tuple[float, float] = (8.0, 8.0)
    """Extent along x and y, m."""
    spacing: float = 0.1
    """Distance of neighbouring points of the grid, m."""
    bump: float = 0.4
    """Distance over which the height changes, m."""
    height: float = 0.08
    """Height of the highest point over the lowest, m."""

    def parts(self) -> TerrainParts:
        _all_positive("rough ground: spacing, bump, height", (self.spacing, self.bump, self.height))
        _all_positive("rough ground: size", self.size)
        for step in (self.spacing, self.bump):
            # In floats: what is too much may not fit into whole numbers.
            cells = (self.size[0] / step + 1.0) * (self.size[1] / step + 1.0)
            check_limit("rough ground", "cells", cells, "the number of points")
        columns, rows = (round(extent / self.spacing) + 1 for extent in self.size)
        coarse = [max(2, round(extent / self.bump) + 1) for extent in self.size]
        drawn = np.random.default_rng(self.seed).uniform(size=(coarse[1], coarse[0]))
        y, x = np.linspace(0, coarse[1] - 1, rows), np.linspace(0, coarse[0] - 1, columns)
        heights = _smooth(_smooth(drawn, y).T, x).T
        span = float(np.ptp(heights)) or 1.0
        return _field(self.height * (heights - heights.min()) / span, self.size)


def _field(heights: Array, size: tuple[float, float]) -> TerrainParts:
    _all_positive("height field: size", size)
    if not np.isfinite(heights).all():
        raise MimicError("height field: every height must be finite")
    return TerrainParts(
        plane_height=float(heights.min()) - _BELOW_FIELD, field_heights=heights, field_size=size
    )


def _smooth(values: Array, places: Array) -> Array:
    """[P, M] values [K, M] at fractional rows, with level tangents at the rows."""
    low = np.minimum(places.astype(int), len(values) - 2)
    share = (places - low)[:, None]
    share = share * share * (3.0 - 2.0 * share)
    return (1.0 - share) * values[low] + share * values[low + 1]


def _times(factor: float, pair: tuple[float, float]) -> tuple[float, float]:
    return (factor * pair[0], factor * pair[1])


def _all_positive(what: str, values: Sequence[float]) -> None:
    if not all(value > 0.0 for value in values):
        raise MimicError(f"{what}: must be greater than zero, got {tuple(values)}")


class TerrainSurface(Surface):
    """The height of a terrain over every place: the highest of its parts.

    A ``mimic_base.surface.Surface``, so that the retargeter takes it as its ground. Walls have no
    gradient: it is that of the face that a vertical line from above meets.
    """

    def __init__(self, parts: TerrainParts) -> None:
        self.parts = parts
        # Along the vertical line over (x, y) a point of a block's frame is a + z e.
        self._blocks = [
            (
                quat_to_matrix(np.array(block.quat, float)),
                np.array(block.pos, float),
                np.array(block.half_size, float),
            )
            for block in parts.blocks
        ]
        self._field_on: dict[torch.device, torch.Tensor] = {}

    @overload
    def height(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor: ...
    @overload
    def height(self, x: ArrayLike, y: ArrayLike) -> Array: ...
    def height(self, x: Any, y: Any) -> Any:
        """Height z of the ground over places.

        Args:
            x, y: [...] m in the world; torch tensors on any device, or what numpy takes.

        Returns:
            [...] m, of the same kind and type.
        """
        # Where nobody has imported torch there is no tensor either.
        tensors: Any = sys.modules.get("torch")
        if tensors is not None and isinstance(x, tensors.Tensor):
            return self._height(tensors, x, y)
        x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
        return self._height(np, x, y)

    def gradient(self, x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
        """Derivatives dz/dx and dz/dy, [...] each, of the part that is highest there."""
        x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
        parts = self.parts
        along_x, along_y = (np.full(x.shape, float(g)) for g in parts.plane_gradient)
        height = parts.plane_height + along_x * x + along_y * y
        for block in self._blocks:
            top, top_x, top_y = _block_top(np, x, y, *block)
            higher = top > height
            height = np.where(higher, top, height)
            along_x, along_y = (
                np.where(higher, top_x, along_x), np.where(higher, top_y, along_y)
            )  # fmt: skip
        if parts.field_heights is not None:
            a, right, left, u, v, inside = self._triangles(np, x, y)
            du, dv = (np.where(u >= v, one, two) for one, two in zip(right, left, strict=True))
            higher = inside & (a + u * du + v * dv > height)
            rows, columns = parts.field_heights.shape
            along_x = np.where(higher, du * (columns - 1) / parts.field_size[0], along_x)
            along_y = np.where(higher, dv * (rows - 1) / parts.field_size[1], along_y)
        return along_x, along_y

    def scaled(self, factor: float) -> TerrainSurface:
        """The terrain in a world that is `factor` times as large, about the origin."""
        return TerrainSurface(self.parts.scaled(factor))

    def _height(self, xp: Any, x: Any, y: Any) -> Any:
        parts = self.parts
        along_x, along_y = parts.plane_gradient
        height = parts.plane_height + along_x * x + along_y * y
        for block in self._blocks:
            height = xp.maximum(height, _block_top(xp, x, y, *block)[0])
        if parts.field_heights is not None:
            a, right, left, u, v, inside = self._triangles(xp, x, y)
            lower, upper = (a + u * du + v * dv for du, dv in (right, left))
            field = xp.where(inside, xp.where(u >= v, lower, upper), xp.full_like(u, -math.inf))
            height = xp.maximum(height, field)
        return height

    def _triangles(self, xp: Any, x: Any, y: Any) -> tuple[Any, ...]:
        """The field's cell below each place.

        The height of its first corner, the slopes along its two sides of the triangle with u >= v
        and of the other one, the place (u, v) within the cell, and whether the place is over the
        field at all.
        """
        heights: Any = self.parts.field_heights
        if xp is not np:
            if x.device not in self._field_on:
                self._field_on[x.device] = xp.as_tensor(heights, device=x.device)
            heights = self._field_on[x.device].to(x.dtype)
        rows, columns = heights.shape
        (width, depth), (middle_x, middle_y) = self.parts.field_size, self.parts.field_pos
        u = ((x - middle_x) / width + 0.5) * (columns - 1)
        v = ((y - middle_y) / depth + 0.5) * (rows - 1)
        inside = (u >= 0) & (u <= columns - 1) & (v >= 0) & (v <= rows - 1)
        u, v = xp.where(inside, u, 0 * u), xp.where(inside, v, 0 * v)
        integer = (lambda a: a.long()) if xp is not np else (lambda a: a.astype(np.int64))
        i = xp.minimum(integer(u), xp.full_like(integer(u), columns - 2))
        j = xp.minimum(integer(v), xp.full_like(integer(v), rows - 2))
        a, b = heights[j, i], heights[j, i + 1]
        c, d = heights[j + 1, i], heights[j + 1, i + 1]
        # MuJoCo cuts every cell along the diagonal from (0, 0) to (1, 1).
        return a, (b - a, d - b), (d - c, c - a), u - i, v - j, inside

    @property
    def is_flat(self) -> bool:
        """Whether this is the plane z = 0."""
        parts = self.parts
        return (
            parts.plane_height == 0.0
            and parts.plane_gradient == (0.0, 0.0)
            and not parts.blocks
            and parts.field_heights is None
        )


def _block_top(
    xp: Any, x: Any, y: Any, rotation: Array, centre: Array, half: Array
) -> tuple[Any, Any, Any]:
    """Where the vertical line over (x, y) leaves a box, minus infinity where it misses.

    Also the derivatives along x and y of that height, of the face it leaves by.
    """
    dx, dy = x - float(centre[0]), y - float(centre[1])
    nowhere, level = xp.full_like(dx, -math.inf), xp.zeros_like(dx)
    if abs(rotation[2, 2]) > 1.0 - 1e-12:
        # Most boxes stand upright: a rectangle with one height.
        (c, s), (a, b, h) = rotation[:2, 0].tolist(), half.tolist()
        inside = (abs(c * dx + s * dy) <= a) & (abs(c * dy - s * dx) <= b)
        return xp.where(inside, level + (h + float(centre[2])), nowhere), level, level
    low, high = nowhere, xp.full_like(dx, math.inf)
    slope_x, slope_y = level, level
    for axis in range(3):
        along = rotation[:, axis].tolist()
        a, e, h = along[0] * dx + along[1] * dy, along[2], float(half[axis])
        if abs(e) < 1e-9:
            high = xp.where((a < -h) | (a > h), nowhere, high)
            continue
        near, far = (-h - a) / e, (h - a) / e
        if e < 0:
            near, far = far, near
        low = xp.maximum(low, near)
        leaves = far < high
        high = xp.where(leaves, far, high)
        slope_x = xp.where(leaves, level - along[0] / e, slope_x)
        slope_y = xp.where(leaves, level - along[1] / e, slope_y)
    return xp.where(high >= low, high + float(centre[2]), nowhere), slope_x, slope_y
