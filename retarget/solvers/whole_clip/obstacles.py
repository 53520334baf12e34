"""What a pose must keep clear of: the ground, and the robot's own body.

Both use the vendor's full collision geometry, the same that results are judged on.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Protocol

import mujoco
import numpy as np

from mimic_base.rotations import quat_to_matrix
from mimic_base.surface import FLAT, Surface
from mimic_base.vectors import Array
from retarget.solvers.normal import NormalEquations, point_rows
from retarget.solvers.tree import BodyTree, TreePose
from retarget.solvers.whole_clip import contact_kernels
from retarget.solvers.whole_clip.marks import Marks, SparseMarks
from robots.collision import check_geometry, may_collide
from robots.robot import Robot

CARRIED = 0.5
"""Share of a link's depth; points less deep come up with the deeper ones."""

HOLD = 0.003
"""m above the margin up to which a point that was in the ground is held at it."""


class Obstacle(Protocol):
    """What is in the way."""

    def __call__(self, normal: NormalEquations, pose: TreePose, frames: Array) -> None:
        """Add its rows at the clip's `frames` [T], whose poses are given.

        In a clip that is solved in windows it may be called twice for the same frames and poses
        before `after`, and has to add the same rows.
        """
        ...

    def after(self, tree: BodyTree, pose: TreePose, frames: Array, step: Array) -> Array:
        """Learn of the step [T, n] that was found; how far [T] m it lifts what was held."""
        ...


class Ground:
    """Pushes what is under the ground out of it, along the ground's normal.

    All vertices of the vendor's collision geometry count, and of feet the points of their soles.
    Points that a link's deepest ones carry along are left alone: asked to rise by just their own
    depth, they would turn a thick foot until its whole front face lies down. A point that was
    pushed out stays held while it is close: let go at once, it would sink back in the next step.
    """

    def __init__(
        self,
        robot: Robot,
        frames: int,
        weight: float = 150.0,
        margin: float = 0.001,
        surface: Surface = FLAT,
        *,
        sparse: bool = False,
    ) -> None:
        """For a clip of `frames`; `weight` per metre; points rest `margin` m above the ground.

        `sparse` keeps what touches in little memory, for clips that are solved in windows.

        On a `surface` z = h(x, y) the distance of a point is ``(z - h) / sqrt(1 + |grad h|^2)``,
        its normal the surface's at the point's place, both renewed in every step.
        """
        self.weight, self.margin, self.surface = weight, margin, surface
        parts = [
            (hull.body, hull.points, hull.radius)
            for hull in check_geometry(robot).hulls
            if len(hull.points)
        ]
        parts += [(foot, s, 0.0) for foot, s in zip(robot.feet, robot.sole_points, strict=True)]
        self.body = np.array([robot.model.body(body).id for body, _, _ in parts], np.int64)
        self.start = np.cumsum([0] + [len(points) for _, points, _ in parts])
        self.points = np.ascontiguousarray(np.concatenate([points for _, points, _ in parts]).T)
        self.lift = np.array([radius for _, _, radius in parts]) + margin
        boxes = np.array([[points.min(axis=0), points.max(axis=0)] for _, points, _ in parts])
        self.middle, self.half = boxes.mean(axis=1), 0.5 * (boxes[:, 1] - boxes[:, 0])
        self.count = np.diff(self.start)
        self.marks = (SparseMarks if sparse else Marks)(frames, self.points.shape[1])

    @property
    def touching(self) -> Array:
        """Marks [T, P] of the clip's frames, where they are not kept sparsely."""
        return self.marks.touching

    def __call__(self, normal: NormalEquations, pose: TreePose, frames: Array) -> None:
        """Add the rows of the clip's `frames` [T], whose poses are given."""
        touching, index = self.marks.take(frames)
        if self.surface.is_flat:
            normal.cost += contact_kernels.ground(
                normal.gram, normal.force, pose.pos, pose.mat, np.ascontiguousarray(pose.root[2]),
                index, touching, self.body, self.start, self.points, self.lift, self.middle,
                self.half, self.weight**2, CARRIED, HOLD,
            )  # fmt: skip
        else:
            self._on_surface(normal, pose, touching, index)
        self.marks.keep(frames)

    def after(self, tree: BodyTree, pose: TreePose, frames: Array, step: Array) -> Array:
        """Let go of points that the `step` [T, n] found for these frames lifts off the ground.

        Held points push, but do not pull: what is drawn up leaves the ground (an active set, by
        the sign of its multipliers: Nocedal and Wright, Numerical Optimization, 16.5). Returns how
        far [T] m the highest of them rises.
        """
        rise = np.zeros(len(frames))
        touching, index = self.marks.take(frames)
        if self.surface.is_flat:
            contact_kernels.let_go(
                step, pose.basis, pose.pos, pose.mat, np.ascontiguousarray(pose.root[2]), index,
                touching, self.body, self.start, self.points, self.lift, tree.mover_start,
                tree.mover, rise,
            )  # fmt: skip
        else:
            self._let_go_of_surface(tree, pose, touching, index, step, rise)
        self.marks.keep(frames)
        return rise

    def _on_surface(
        self, normal: NormalEquations, pose: TreePose, touching: Array, frames: Array
    ) -> None:
        """As the compiled loop for the flat ground: marks what touches and adds its rows."""
        flags = touching[frames]
        flags[:] &= 1
        part, frame = self._candidates(pose)
        if not len(part):
            touching[frames] = 0
            return
        count = self.count[part]
        begin = np.cumsum(count) - count
        pair = np.repeat(np.arange(len(part)), count)
        point = self.start[part][pair] + np.arange(len(pair)) - begin[pair]
        at = np.empty((3, len(pair)))
        contact_kernels.point_places(
            pose.pos, pose.mat, self.body, self.start, self.count, self.points, part, frame, at
        )
        depth, away = self._depth(at + pose.root[:, frame[pair]], self.lift[part][pair])
        deepest = np.maximum.reduceat(depth, begin)
        least = np.maximum(0.0, CARRIED * deepest)[pair]
        held = (flags[frame[pair], point] == 1) & (depth > -HOLD)
        on = (deepest[pair] > -HOLD) & ((depth > least) | held)
        flags[:] = 0
        flags[frame[pair], point] = on
        flags[frame[pair][on], self.start[part[pair]][on]] |= 2
        touching[frames] = flags
        at, away = at[:, on], away[:, on]
        rows = self.weight * np.concatenate([np.cross(at, away, axis=0), away])
        normal.cost += contact_kernels.sparse_rows(
            normal.gram, normal.force, self.body[part[pair]][on], frame[pair][on], rows,
            -self.weight * depth[on],
        )  # fmt: skip

    def _candidates(self, pose: TreePose) -> tuple[Array, Array]:
        """Pairs of a part and a frame whose box may reach the surface: indices [M] of both.

        The box's lowest height is compared with the highest of nine heights of the surface around
        it, corners of the circumscribed square among them.
        """
        mat = pose.mat[self.body]
        centre = pose.pos[self.body] + np.einsum("kijt,kj->kit", mat, self.middle) + pose.root
        low = centre[:, 2] - np.einsum("kjt,kj->kt", np.abs(mat[:, 2]), self.half)
        low -= self.lift[:, None]
        radius = np.linalg.norm(self.half, axis=1)[:, None]
        top = np.full(low.shape, -np.inf)
        for x in (-1.0, 0.0, 1.0):
            for y in (-1.0, 0.0, 1.0):
                place = centre[:, 0] + x * radius, centre[:, 1] + y * radius
                np.maximum(top, self.surface.height(*place), out=top)
        part, frame = np.nonzero(low < top + HOLD)
        return part, frame

    def _depth(self, at: Array, lift: Array) -> tuple[Array, Array]:
        """Depths [N] m of points `at` [3, N] of the world that rest at `lift` [N] m; normals."""
        x, y, z = at
        along_x, along_y = self.surface.gradient(x, y)
        away = np.stack([-along_x, -along_y, np.ones_like(x)])
        away /= np.linalg.norm(away, axis=0)
        return lift - (z - self.surface.height(x, y)) * away[2], away

    def _let_go_of_surface(
        self,
        tree: BodyTree,
        pose: TreePose,
        touching: Array,
        frames: Array,
        step: Array,
        rise: Array,
    ) -> None:
        """Take the marks off points that the step lifts off the surface, as `let_go` does."""
        flags = touching[frames] & 1
        frame, point = np.nonzero(flags)
        part = np.searchsorted(self.start, point, side="right") - 1
        body = self.body[part]
        turned = np.einsum("nij,jn->in", pose.mat[body, :, :, frame], self.points[:, point])
        at = pose.pos[body, :, frame].T + turned
        depth, away = self._depth(at + pose.root[:, frame], self.lift[part])
        twist = np.empty((6, len(point)))
        for each in np.unique(body):
            moved = tree.moves[each]
            all_frames = np.einsum("dit,td->it", pose.basis[moved], step[:, moved])
            mine = body == each
            twist[:, mine] = all_frames[:, frame[mine]]
        moves = (away * (twist[3:] + np.cross(twist[:3], at, axis=0))).sum(axis=0)
        after = moves - depth
        free = after > 0.0
        flags[frame[free], point[free]] = 0
        np.maximum.at(rise, frame[free], after[free])
        flags[frame[~free], self.start[part[~free]]] |= 2
        touching[frames] = flags


@dataclass(frozen=True)
class Capsule:
    """A bounding capsule: ends [2, 3] m in a body's frame, and its radius."""

    ends: Array
    radius: float

    @classmethod
    def around(cls, points: Array, radius: float) -> Capsule:
        """Along the longest extent of `points` [K, 3], each a sphere of `radius`."""
        centre = points.mean(axis=0)
        if len(points) == 1:
            return cls(np.stack([centre, centre]), radius)
        axis = np.linalg.svd(points - centre, full_matrices=False)[2][0]
        along = (points - centre) @ axis
        away = np.linalg.norm(points - centre - along[:, None] * axis, axis=1)
        widest = float(away.max())
        # The round ends reach beyond the segment, which may therefore be shorter than the points.
        spare = np.sqrt(np.maximum(widest**2 - away**2, 0.0))
        low, high = (along + spare).min(), (along - spare).max()
        if low > high:
            low = high = 0.5 * (low + high)
        return cls(centre + np.outer([low, high], axis), widest + radius)


class OwnBody:
    """Pushes links apart that are nearer to each other than `margin`.

    Distances and normals are MuJoCo's, between the vendor's own geoms, where their bounding
    capsules leave the possibility.
    """

    def __init__(self, robot: Robot, weight: float = 30.0, margin: float = 0.003) -> None:
        """`weight` per metre; links rest `margin` m from each other."""
        self.weight, self.margin = weight, margin
        geometry = check_geometry(robot)
        self.model = model = geometry.model
        self.data = mujoco.MjData(model)
        self.capsules: dict[int, Capsule] = {}
        self.body: dict[int, int] = {}
        for geom, hull in geometry.geoms.items():
            if len(hull.points):
                self.capsules[geom] = Capsule.around(hull.points, hull.radius)
                self.body[geom] = int(robot.model.body(hull.body).id)
        self.pairs = [
            (a, b)
            for a, b in combinations(sorted(self.capsules), 2)
            if may_collide(model, a, b, geometry.touching)
        ]
        self._geoms = np.array(list(self.capsules))
        self._place = model.geom_pos[self._geoms]
        self._turn = quat_to_matrix(model.geom_quat[self._geoms])
        index = {geom: k for k, geom in enumerate(self.capsules)}
        self._bodies = np.array([self.body[geom] for geom in self.capsules], np.int64)
        capsules = list(self.capsules.values())
        self._ends = np.stack([capsule.ends for capsule in capsules])
        self._first = np.array([index[a] for a, _ in self.pairs], np.int64)
        self._second = np.array([index[b] for _, b in self.pairs], np.int64)
        radius = np.array([capsule.radius for capsule in capsules])
        self._limit = radius[self._first] + radius[self._second] + margin
        half = 0.5 * np.linalg.norm(self._ends[:, 1] - self._ends[:, 0], axis=1)
        self._apart = half[self._first] + half[self._second] + self._limit

    def __call__(self, normal: NormalEquations, pose: TreePose, frames: Array) -> None:
        """Add the rows of frames [T] whose poses are given."""
        del frames
        near = np.empty((len(self.pairs), pose.root.shape[1]), bool)
        contact_kernels.close_pairs(
            pose.pos, pose.mat, self._bodies, self._ends, self._first, self._second,
            self._apart, self._limit, near,
        )  # fmt: skip
        frame, pair = np.nonzero(near.T)
        if len(pair):
            self._push(normal, pose, pair, frame)

    def after(self, tree: BodyTree, pose: TreePose, frames: Array, step: Array) -> Array:
        """Nothing is held from one step to the next."""
        del tree, pose, step
        return np.zeros(len(frames))

    def _push(self, normal: NormalEquations, pose: TreePose, pair: Array, frame: Array) -> None:
        """Add the rows of pairs [K] at frames [K], where the capsules say they may be too close."""
        first, second = self._first[pair], self._second[pair]
        distance, points = self._distances(pose, self._geoms[first], self._geoms[second], frame)
        hit = (distance < self.margin) & (np.abs(distance) > 1e-9)
        if not hit.any():
            return
        frame, gap, at = frame[hit], distance[hit], points[hit]
        away = (at[:, 3:] - at[:, :3]) / gap[:, None]
        moves = [
            point_rows(normal.tree, pose, self._bodies[capsules], frame, ends)
            for capsules, ends in ((first[hit], at[:, :3]), (second[hit], at[:, 3:]))
        ]
        rows = np.einsum("ki,kin->kn", away, moves[1] - moves[0])
        normal.dense(frame, self.weight * rows, self.weight * (gap - self.margin))

    def _distances(
        self, pose: TreePose, first: Array, second: Array, frame: Array
    ) -> tuple[Array, Array]:
        """Distances [K] m of geoms at frames [K] that only rise, and the nearest points [K, 6]."""
        frames, begin = np.unique(frame, return_index=True)
        at = np.zeros((len(frames), self.model.ngeom, 3))
        axes = np.zeros((len(frames), self.model.ngeom, 9))
        contact_kernels.placed(
            pose.pos, pose.mat, self._geoms, self._bodies, self._place, self._turn, frames, at, axes
        )
        distance, points = np.empty(len(frame)), np.empty((len(frame), 6))
        model, data, margin, measure = self.model, self.data, self.margin, mujoco.mj_geomDistance
        where, turned = data.geom_xpos, data.geom_xmat
        pairs = list(zip(first.tolist(), second.tolist(), points, strict=True))
        for k, (low, high) in enumerate(pairwise([*begin.tolist(), len(frame)])):
            where[:], turned[:] = at[k], axes[k]
            distance[low:high] = [
                measure(model, data, a, b, margin, fromto) for a, b, fromto in pairs[low:high]
            ]
        return distance, points
