"""Objectives: what a solver is to reach, as weighted least-squares rows on the robot's bodies.

A solver minimises the sum over its objectives k and frames t of squared residuals

    J(x) = sum_k sum_t | w_k(t) r_k(x_t, t) |^2

beside its own terms (rest posture, joint limits, smoothness; see `solvers.whole_clip.solver`). With
R_b the axes of body b in the world, p_b its origin, and a body-fixed vector v, the residuals are

    Direction     r = R_b v - d                          v, d unit vectors
    Point         r = p_b + R_b v - g                    g a place in the world
    Distance      r = |p_c + R_c u - p_b - R_b v| - s    or the difference vector itself
    Height        r = z - h(x, y) - s                    (x, y, z) = p_b + R_b v, h the surface
    Orientation   r = log(R_b R_g^T)                     the world rotation vector from R_g to R_b
    Posture       r = q - q_g                            of the joints themselves

An objective of another kind is any object with a `name`, a method `at` that takes some of its
frames, and a method `add` that adds its rows to a `NormalEquations` at the poses it is given there.
A row on one body enters by its derivative after the body's twist (angular velocity, velocity of the
point of the body at the root's origin), which `NormalEquations.rows` takes as 6-vectors: no
objective knows a joint. See `Height.add` for the pattern.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Protocol, Self

import numpy as np

from mimic_base.rotations import quat_to_matrix
from mimic_base.surface import FLAT, Surface
from mimic_base.vectors import Array
from retarget.solvers.normal import NormalEquations, point_rows
from retarget.solvers.tree import BodyTree, left_jacobian_inverse, rotation_vector

Frames = Array | slice
"""Which frames: indices, a mask, or a slice."""
Weight = Array | float
"""Per frame [T], or one for all."""


class Objective(Protocol):
    """Something a solver is to reach, over the frames of a clip."""

    @property
    def name(self) -> str:
        """What it is called, for those who look it up in a list or replace it."""
        ...

    def at(self, frames: Frames) -> Objective:
        """The same objective for some of its frames."""
        ...

    def add(self, normal: NormalEquations) -> None:
        """Add its rows at ``normal.pose``, which holds as many frames as the objective."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class _OverTime:
    """Fields over time: `at` takes frames of those that have more axes than a single value."""

    name: str
    """What the objective is called."""

    def at(self, frames: Frames) -> Self:
        part = {}
        for each in fields(self):
            axes = each.metadata.get("axes")
            value = getattr(self, each.name)
            if axes is not None and np.ndim(value) > axes:
                part[each.name] = value[frames]
        return replace(self, **part)


def _over_time(axes: int) -> Any:
    """A field whose value for one frame has `axes` axes; with one more, the first is time."""
    return field(metadata={"axes": axes})


@dataclass(frozen=True, kw_only=True, eq=False)
class Direction(_OverTime):
    """A body's axis points along a direction of the world: ``r = R_b axis - target``."""

    body: str
    """Name of the body."""
    axis: Array
    """[3] unit vector in the body's frame."""
    target: Array = _over_time(1)
    """[T, 3] or [3] unit vectors in the world."""
    weight: Weight = _over_time(0)
    """[T] or one number, per radian."""

    def add(self, normal: NormalEquations) -> None:
        """Add its rows."""
        DirectionStack.of([self], normal.tree, normal.frames).add(normal)


@dataclass(frozen=True, kw_only=True, eq=False)
class Point(_OverTime):
    """A point of a body is at a place of the world: ``r = p_b + R_b point - target``."""

    body: str
    """Name of the body."""
    point: Array
    """[3] m in the body's frame."""
    target: Array = _over_time(1)
    """[T, 3] or [3] m in the world."""
    weight: Weight = _over_time(0)
    """Per metre: one number, [T], or [T, 3] for each axis of the world."""

    def add(self, normal: NormalEquations) -> None:
        """Add its rows."""
        PointStack.of([self], normal.tree, normal.frames).add(normal)


@dataclass(frozen=True, kw_only=True, eq=False)
class Distance(_OverTime):
    """Points of two bodies keep a distance, or a difference vector of the world.

    With the difference ``d = (p_c + R_c other_point) - (p_b + R_b point)`` the residual is
    ``r = |d| - target`` where the target is a number per frame, ``r = d - target`` where it is a
    vector.
    """

    body: str
    """Name of the first body."""
    point: Array
    """[3] m in its frame."""
    other_body: str
    """Name of the second body."""
    other_point: Array
    """[3] m in its frame."""
    target: Array
    """[T] m, a distance per frame, or [T, 3] m, a vector from the first point to the second."""
    weight: Weight = _over_time(0)
    """[T] or one number, per metre."""

    def at(self, frames: Frames) -> Self:
        """The same objective for some of its frames."""
        weight = self.weight[frames] if isinstance(self.weight, np.ndarray) else self.weight
        return replace(self, target=self.target[frames], weight=weight)

    def add(self, normal: NormalEquations) -> None:
        """Add its rows: J = n^T (J_c - J_b) with n the unit difference, or J_c - J_b itself."""
        tree, pose, count = normal.tree, normal.pose, normal.frames
        frame = np.arange(count)
        ends, jacobians = [], []
        for name, local in ((self.body, self.point), (self.other_body, self.other_point)):
            body = tree.body(name)
            at = (pose.pos[body] + np.einsum("ijt,j->it", pose.mat[body], local)).T
            ends.append(at)
            jacobians.append(point_rows(tree, pose, np.full(count, body), frame, at))
        apart, rows = ends[1] - ends[0], jacobians[1] - jacobians[0]
        weight = np.broadcast_to(self.weight, count)
        if np.ndim(self.target) == 2:
            for k in range(3):
                residual = weight * (apart[:, k] - self.target[:, k])
                normal.dense(frame, weight[:, None] * rows[:, k], residual)
            return
        length = np.linalg.norm(apart, axis=1)
        along = apart / np.maximum(length, 1e-9)[:, None]
        rows = np.einsum("tk,tkn->tn", along, rows)
        normal.dense(frame, weight[:, None] * rows, weight * (length - self.target))


@dataclass(frozen=True, kw_only=True, eq=False)
class Height(_OverTime):
    """A point of a body is at a height over a surface: ``r = z - h(x, y) - target``.

    Its derivative after the point's place is ``g = (-dh/dx, -dh/dy, 1)``.
    """

    body: str
    """Name of the body."""
    point: Array
    """[3] m in the body's frame."""
    surface: Surface = FLAT
    """The surface z = h(x, y)."""
    target: Weight = _over_time(0)
    """[T] or one number: height over the surface along the vertical, m."""
    weight: Weight = _over_time(0)
    """[T] or one number, per metre."""

    def add(self, normal: NormalEquations) -> None:
        """Add its rows."""
        pose, body = normal.pose, normal.tree.body(self.body)
        at = pose.pos[body] + np.einsum("ijt,j->it", pose.mat[body], self.point)  # from the root
        x, y, z = at + pose.root
        along_x, along_y = self.surface.gradient(x, y)
        slope = np.stack([-along_x, -along_y, np.ones_like(x)])
        # The velocity of the point is v + w x p, so that g . (v + w x p) = g . v + (p x g) . w.
        row = np.concatenate([np.cross(at, slope, axis=0), slope])
        weight = np.broadcast_to(self.weight, x.shape)
        residual = weight * (z - self.surface.height(x, y) - self.target)
        normal.rows(body, (weight * row)[None], residual[None])


@dataclass(frozen=True, kw_only=True, eq=False)
class Orientation(_OverTime):
    """A body turns like a target frame: ``r = log(R_b R_g^T)``, a rotation vector of the world."""

    body: str
    """Name of the body."""
    target: Array = _over_time(1)
    """[T, 4] or [4] quaternions wxyz."""
    weight: Weight = _over_time(0)
    """[T] or one number, per radian."""

    def add(self, normal: NormalEquations) -> None:
        """Add its rows: d log(exp(dw) exp(e)) = J_l(e)^-1 dw, the left Jacobian of SO(3)."""
        body, count = normal.tree.body(self.body), normal.frames
        goal = np.broadcast_to(quat_to_matrix(np.asarray(self.target, float)), (count, 3, 3))
        error = rotation_vector(np.einsum("ijt,tkj->ikt", normal.pose.mat[body], goal))
        weight = np.broadcast_to(self.weight, count)
        rows = np.zeros((3, 6, count))
        rows[:, :3] = weight * left_jacobian_inverse(error)
        normal.rows(body, rows, weight * error)


@dataclass(frozen=True, kw_only=True, eq=False)
class Posture(_OverTime):
    """The joints are at target angles: ``r = q - target``."""

    target: Array = _over_time(1)
    """[T, J] or [J] rad, in the robot's order."""
    weight: Array | float = _over_time(1)
    """[T, J], [J] or one number, per radian."""

    def add(self, normal: NormalEquations) -> None:
        """Add its rows."""
        joints = normal.pose.joints
        target = np.broadcast_to(self.target, joints.T.shape).T
        weight = np.broadcast_to(self.weight, joints.T.shape).T
        normal.coordinates(slice(6, None), joints - target, weight)


@dataclass(frozen=True, eq=False)
class DirectionStack:
    """Many `Direction`s whose rows are added in one compiled loop."""

    body: Array
    """[K] indices of bodies."""
    axis: Array
    """[K, 3] unit."""
    target: Array
    """[K, 3, T] unit."""
    weight: Array
    """[K, T] per radian."""
    name: str = "directions"
    """What the stack is called."""

    @classmethod
    def of(cls, objectives: Sequence[Direction], tree: BodyTree, frames: int) -> DirectionStack:
        """The stack of objectives over so many frames."""
        target, weight = np.empty((len(objectives), 3, frames)), np.empty((len(objectives), frames))
        for k, each in enumerate(objectives):
            target[k], weight[k] = _last(each.target), each.weight
        body = np.array([tree.body(each.body) for each in objectives], np.int64)
        return cls(body, np.array([each.axis for each in objectives], float), target, weight)

    def at(self, frames: Frames) -> DirectionStack:
        """The same objectives for some of their frames."""
        target, weight = self.target[..., frames], self.weight[..., frames]
        # One memory order: one compiled form of the loop, and neighbours in time side by side.
        target, weight = np.ascontiguousarray(target), np.ascontiguousarray(weight)
        return DirectionStack(self.body, self.axis, target, weight, self.name)

    def add(self, normal: NormalEquations) -> None:
        """Add their rows."""
        normal.directions(self.body, self.axis, self.target, self.weight)


@dataclass(frozen=True, eq=False)
class PointStack:
    """Many `Point`s whose rows are added in one compiled loop."""

    body: Array
    """[K] indices of bodies."""
    point: Array
    """[K, 3] m."""
    target: Array
    """[K, 3, T] m."""
    weight: Array
    """[K, 3, T] per metre."""
    name: str = "points"
    """What the stack is called."""

    @classmethod
    def of(cls, objectives: Sequence[Point], tree: BodyTree, frames: int) -> PointStack:
        """The stack of objectives over so many frames."""
        target, weight = np.empty((2, len(objectives), 3, frames))
        for k, each in enumerate(objectives):
            target[k], weight[k] = _last(each.target), np.transpose(each.weight)
        body = np.array([tree.body(each.body) for each in objectives], np.int64)
        return cls(body, np.array([each.point for each in objectives], float), target, weight)

    def at(self, frames: Frames) -> PointStack:
        """The same objectives for some of their frames."""
        target, weight = self.target[..., frames], self.weight[..., frames]
        target, weight = np.ascontiguousarray(target), np.ascontiguousarray(weight)
        return PointStack(self.body, self.point, target, weight, self.name)

    def add(self, normal: NormalEquations) -> None:
        """Add their rows."""
        normal.points(self.body, self.point, self.target, self.weight)


def _last(target: Array) -> Array:
    """A target [T, 3] with time last, or a constant one [3] as a column [3, 1]."""
    target = np.asarray(target)
    return target.T if target.ndim == 2 else target[:, None]


def stacked(objectives: Iterable[Objective], tree: BodyTree, frames: int) -> list[Objective]:
    """The same objectives for `frames` frames, directions and points gathered into stacks.

    A sum does not know an order: solvers call this once per clip, and what they evaluate is a few
    compiled loops instead of an object per row.
    """
    directions: list[Direction] = []
    points: list[Point] = []
    others: list[Objective] = []
    for each in objectives:
        if isinstance(each, Direction):
            directions.append(each)
        elif isinstance(each, Point):
            points.append(each)
        else:
            others.append(each)
    result: list[Objective] = []
    if directions:
        result.append(DirectionStack.of(directions, tree, frames))
    if points:
        result.append(PointStack.of(points, tree, frames))
    return result + others


def named(objectives: Iterable[Objective]) -> dict[str, Objective]:
    """The objectives by their names; of those that share one, the last."""
    return {each.name: each for each in objectives}
