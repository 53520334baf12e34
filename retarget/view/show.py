"""What the viewer plays, whatever it was made from: bodies and skeletons over time, with curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.ndimage import gaussian_filter1d

from mimic_base.rotations import yaw_of_quat
from mimic_base.terrain import TerrainParts, TerrainSurface
from mimic_base.vectors import Array
from retarget.page.curves import Moment
from retarget.page.rows import Row
from retarget.person.bones import Bone
from robots.shapes import Shape


@dataclass(frozen=True)
class BodyTrack:
    """Rigid bodies over T frames.

    Attributes:
        shapes: what is seen of them. body_names: [B] columns of the poses.
        pos: [T, B, 3] m, world. quat: [T, B, 4] wxyz.
        tint: red, green, blue in 0..1 instead of the shapes' own colours. opacity: 0..1.
    """

    shapes: Sequence[Shape]
    body_names: tuple[str, ...]
    pos: Array
    quat: Array
    tint: tuple[float, float, float] | None = None
    opacity: float = 1.0


@dataclass(frozen=True)
class SkeletonTrack:
    """A person over T frames.

    Attributes:
        pos: [T, J, 3] m in the person's own world. bones: pairs of joints.
        ground: m, height of the ground there. scale: the robot's legs over the person's.
        level: m, height of the robot's ground where it begins.
    """

    pos: Array
    bones: Sequence[Bone]
    root: int
    ground: float = 0.0
    scale: float = 1.0
    level: float = 0.0

    def beside(self, bodies: BodyTrack, offset: Array, *, scaled: bool) -> Array:
        """Joints [T, J, 3] m in the robot's world, its base at first `offset` [3] from the robot's.

        `scaled` gives the person the robot's legs, so that both walk equally far.
        """
        size = self.scale if scaled else 1.0
        start = np.append(self.pos[0, self.root, :2], self.ground)
        return size * (self.pos - start) + np.append(bodies.pos[0, 0, :2], self.level) + offset


@dataclass(frozen=True)
class Show:
    """One clip to play: T frames at `fps`; the first of `bodies` is what the camera follows.

    `moments` are frames worth a look, `notes` lines about where things come from, `terrain` is what
    the robot stands on.
    """

    name: str
    fps: float
    bodies: tuple[BodyTrack, ...]
    skeleton: SkeletonTrack | None = None
    rows: tuple[Row, ...] = ()
    moments: tuple[Moment, ...] = ()
    notes: tuple[str, ...] = ()
    terrain: TerrainParts = field(default_factory=TerrainParts)

    @property
    def num_frames(self) -> int:
        return len(self.bodies[0].pos)

    @property
    def heading(self) -> float:
        """rad about z, of the base in the first frame."""
        return float(yaw_of_quat(self.bodies[0].quat[0, 0]))

    def focus(self, seconds: float = 0.35) -> Array:
        """Path [T, 3] m on the ground that the camera follows: the base's without its sway."""
        path = np.array(self.bodies[0].pos[:, 0], np.float64)
        path[:, 2] = TerrainSurface(self.terrain).height(path[:, 0], path[:, 1])
        return gaussian_filter1d(path, seconds * self.fps, axis=0, mode="nearest")
