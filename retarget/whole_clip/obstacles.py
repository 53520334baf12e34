"""What a pose must keep clear of: the ground, and the robot's own body.

Both use the vendor's full collision geometry, the same that results are judged on.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import mujoco
import numpy as np

from motions.rotations import quat_to_matrix
from retarget.geometry import check_geometry, may_collide
from retarget.vectors import Array
from retarget.whole_clip.normal import NormalEquations, point_rows
from retarget.whole_clip.tree import TreePose, rotate
from robots.robot import Robot

KEEP = 0.02
"""m; links further apart than this beyond the margin are not looked at in every iteration."""

CARRIED = 0.5
"""Share of a link's depth; points less deep come up with the deeper ones."""

HOLD = 0.003
"""m above the margin up to which a point that was in the ground is held at it."""


class Ground:
    """Pushes what is under the ground up to it.

    All vertices of the vendor's collision geometry count, and of feet the points of their soles.
    """

    def __init__(
        self, robot: Robot, frames: int, weight: float = 150.0, margin: float = 0.001
    ) -> None:
        """For a clip of `frames`; `weight` per metre; points rest `margin` m above the ground."""
        self.weight, self.margin = weight, margin
        self.parts = [
            _Part(int(robot.model.body(hull.body).id), hull.points, hull.radius)
            for hull in check_geometry(robot).hulls
            if len(hull.points)
        ]
        for foot, sole in zip(robot.feet, robot.sole_points, strict=True):
            self.parts.append(_Part(int(robot.model.body(foot).id), sole, 0.0))
        self._active = [np.zeros((frames, len(part.points)), bool) for part in self.parts]

    def __call__(self, normal: NormalEquations, pose: TreePose, frames: Array, fresh: bool) -> None:
        """Add the rows of the clip's `frames` [T], whose poses are given."""
        del fresh
        for part, touching in zip(self.parts, self._active, strict=True):
            near, depth = self._depth(pose, part)
            # Points that a link's deepest ones carry along are left alone: asked to rise by just
            # their own depth, they would turn a thick foot until its whole front face lies down.
            # A point that was pushed out stays held while it is close: let go at once, it would
            # sink back in the next step.
            deep = depth > np.maximum(0.0, CARRIED * depth.max(axis=0, initial=0.0))
            active = deep | (touching[frames[near]].T & (depth > -HOLD))
            touching[frames] = False
            touching[frames[near]] = active.T
            for k in np.flatnonzero(active.any(axis=1)):
                hit = active[k]
                self._push(normal, pose, part.body, part.points[k], near[hit], depth[k, hit])

    def _depth(self, pose: TreePose, part: _Part) -> tuple[Array, Array]:
        """Frames [K] at which a part may touch the ground, and the depth of its points [P, K]."""
        height = pose.root[2] + pose.pos[part.body, 2] - self.margin - part.radius
        near = np.flatnonzero(height < part.reach)
        return near, -(height[near] + part.points @ pose.mat[part.body, 2][:, near])

    def _push(
        self,
        normal: NormalEquations,
        pose: TreePose,
        body: int,
        point: Array,
        frames: Array,
        depth: Array,
    ) -> None:
        at = pose.pos[body][:, frames] + rotate(pose.mat[body][..., frames], point)
        normal.heights(body, frames, at, -depth, self.weight)


class _Part:
    """Points [P, 3] m of a body, each the centre of a sphere of `radius`."""

    def __init__(self, body: int, points: Array, radius: float) -> None:
        self.body, self.points, self.radius = body, points, radius
        self.reach = float(np.linalg.norm(points, axis=1).max())


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

    def __init__(
        self, robot: Robot, frames: int, weight: float = 30.0, margin: float = 0.003
    ) -> None:
        """For a clip of `frames`; `weight` per metre; links rest `margin` m from each other."""
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
        self.place = {g: model.geom_pos[g].copy() for g in self.capsules}
        self.turn = {g: quat_to_matrix(model.geom_quat[g]) for g in self.capsules}
        index = {geom: k for k, geom in enumerate(self.capsules)}
        self._first = np.array([index[a] for a, _ in self.pairs], int)
        self._second = np.array([index[b] for _, b in self.pairs], int)
        reach = np.array(
            [0.5 * np.linalg.norm(c.ends[1] - c.ends[0]) + c.radius for c in self.capsules.values()]
        )
        self._apart = (reach[self._first] + reach[self._second] + margin + KEEP) ** 2
        self._close = np.zeros((len(self.pairs), frames), bool)

    def __call__(self, normal: NormalEquations, pose: TreePose, frames: Array, fresh: bool) -> None:
        """Add the rows of the clip's `frames` [T], whose poses are given; `fresh` looks at all
        pairs again, not only at those that were close."""
        close = self._search(normal) if fresh else self._close[:, frames]
        for k in np.flatnonzero(close.any(axis=1)):
            close[k] = self._push(normal, pose, *self.pairs[k], np.flatnonzero(close[k]))
        self._close[:, frames] = close

    def _search(self, normal: NormalEquations) -> Array:
        """[P, T] bool: pairs of geoms and frames at which their capsules come close."""
        ends = [
            np.stack([normal.place(self.body[geom], end) for end in capsule.ends])
            for geom, capsule in self.capsules.items()
        ]
        # One centre and radius per geom rule out most pairs over the whole clip.
        centre = np.stack([e.mean(axis=0) for e in ends])
        gap = centre[self._first] - centre[self._second]
        near = np.einsum("pkt,pkt->pt", gap, gap) < self._apart[:, None]
        for k in np.flatnonzero(near.any(axis=1)):
            a, b = self.pairs[k]
            frames = np.flatnonzero(near[k])
            first, second = ends[self._first[k]], ends[self._second[k]]
            distance = segment_distance(first[..., frames], second[..., frames])
            limit = self.capsules[a].radius + self.capsules[b].radius + self.margin + KEEP
            near[k, frames] = distance < limit
        return near

    def _push(
        self, normal: NormalEquations, pose: TreePose, a: int, b: int, frames: Array
    ) -> Array:
        """Add the rows of a pair at `frames`; [T] bool, where it is worth looking at again."""
        close = np.zeros(pose.root.shape[1], bool)
        found, distance, points = [], [], []
        fromto = np.empty(6)
        model, data, margin = self.model, self.data, self.margin
        where, turned = data.geom_xpos, data.geom_xmat
        poses = [self._poses(pose, geom, frames) for geom in (a, b)]
        for t, pos_a, mat_a, pos_b, mat_b in zip(frames, *poses[0], *poses[1], strict=True):
            where[a], turned[a], where[b], turned[b] = pos_a, mat_a, pos_b, mat_b
            gap = mujoco.mj_geomDistance(model, data, a, b, margin + KEEP, fromto)
            if gap < margin + KEEP:
                close[t] = True
            if gap < margin and abs(gap) > 1e-9:
                found.append(t)
                distance.append(gap)
                points.append(fromto.copy())
        if found:
            frame, gap, at = np.array(found), np.array(distance), np.stack(points)
            away = (at[:, 3:] - at[:, :3]) / gap[:, None]
            count = len(frame)
            first = point_rows(normal.tree, pose, np.full(count, self.body[a]), frame, at[:, :3])
            second = point_rows(normal.tree, pose, np.full(count, self.body[b]), frame, at[:, 3:])
            rows = np.einsum("ki,kin->kn", away, second - first)
            normal.dense(frame, self.weight * rows, self.weight * (gap - margin))
        return close

    def _poses(self, pose: TreePose, geom: int, frames: Array) -> tuple[Array, Array]:
        """Centres [K, 3] and rotations [K, 9] of a geom, seen from the root."""
        body = self.body[geom]
        mat = pose.mat[body][..., frames].transpose(2, 0, 1)
        pos = pose.pos[body][:, frames].T + mat @ self.place[geom]
        return pos, (mat @ self.turn[geom]).reshape(-1, 9)


def segment_distance(a: Array, b: Array) -> Array:
    """Distance [K] between segments with ends [2, 3, K] each (Ericson, Real-Time Collision
    Detection, 5.1.9)."""
    d1, d2, r = a[1] - a[0], b[1] - b[0], a[0] - b[0]
    aa, bb, ab = (d1 * d1).sum(0), (d2 * d2).sum(0), (d1 * d2).sum(0)
    ar, br = (d1 * r).sum(0), (d2 * r).sum(0)
    tiny = 1e-12
    denominator = aa * bb - ab * ab
    # Where b is a point or parallel to a, any place along a serves to begin with.
    s = np.where(denominator > tiny, ab * br - ar * bb, -ar)
    s = (s / np.maximum(np.where(denominator > tiny, denominator, aa), tiny)).clip(0.0, 1.0)
    t = (ab * s + br) / np.maximum(bb, tiny)
    inside = t.clip(0.0, 1.0)
    s = np.where(t == inside, s, ((ab * inside - ar) / np.maximum(aa, tiny)).clip(0.0, 1.0))
    gap = r + s * d1 - inside * d2
    return np.sqrt((gap * gap).sum(0))
