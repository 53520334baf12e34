"""States of one robot and of what moves around it, by name, as numpy arrays: rollouts, pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from mimic.sim.scene import Scene

Array = NDArray[Any]
_BASE = 7
"""Coordinates of a floating base: position and quaternion."""


@dataclass(frozen=True, kw_only=True, eq=False)
class States:
    """A state, or one for each of T frames; J joints in the robot's order."""

    root_pos_w: Array
    """[..., 3] m, the floating base in the world."""
    root_quat_w: Array
    """[..., 4] wxyz."""
    joint_pos: Array
    """[..., J] rad."""
    objects: Mapping[str, Array] = field(default_factory=dict)
    """[..., 7] position (m) and orientation (wxyz) of each free object of the scene, in the
    scene's order."""

    @classmethod
    def of(cls, coordinates: ArrayLike, objects: Sequence[str] = ()) -> States:
        """From generalised coordinates [..., 7 + J + 7 K] of a robot and K free objects."""
        values = np.asarray(coordinates, np.float64)
        last = values.shape[-1] - _BASE * len(objects)
        starts = range(last, values.shape[-1], _BASE)
        return cls(
            root_pos_w=values[..., :3],
            root_quat_w=values[..., 3:_BASE],
            joint_pos=values[..., _BASE:last],
            objects={n: values[..., a : a + _BASE] for n, a in zip(objects, starts, strict=True)},
        )

    @classmethod
    def stack(cls, states: Sequence[States]) -> States:
        """Single states as frames."""
        first = states[0]
        return cls(
            root_pos_w=np.stack([each.root_pos_w for each in states]),
            root_quat_w=np.stack([each.root_quat_w for each in states]),
            joint_pos=np.stack([each.joint_pos for each in states]),
            objects={n: np.stack([each.objects[n] for each in states]) for n in first.objects},
        )

    @property
    def coordinates(self) -> Array:
        """[..., 7 + J + 7 K] as the simulation orders them: the robot's, then the objects'."""
        parts = (self.root_pos_w, self.root_quat_w, self.joint_pos, *self.objects.values())
        return np.concatenate(parts, axis=-1)

    def __len__(self) -> int:
        """T."""
        return len(self.root_pos_w)

    def __getitem__(self, frames: Any) -> States:
        """The states of some frames, or of one."""
        return States(
            root_pos_w=self.root_pos_w[frames],
            root_quat_w=self.root_quat_w[frames],
            joint_pos=self.joint_pos[frames],
            objects={name: values[frames] for name, values in self.objects.items()},
        )

    def beside(self, objects: Mapping[str, Array]) -> States:
        """The same robot with these objects around it."""
        return States(
            root_pos_w=self.root_pos_w,
            root_quat_w=self.root_quat_w,
            joint_pos=self.joint_pos,
            objects=objects,
        )

    def moved(self, shift: ArrayLike) -> States:
        """The robot alone, moved by ``shift`` [3] m."""
        return States(
            root_pos_w=self.root_pos_w + np.asarray(shift),
            root_quat_w=self.root_quat_w,
            joint_pos=self.joint_pos,
        )

    def put(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        """Pose a model by one state: the robot, and the objects where the model has them."""
        values = self.coordinates[: model.nq]
        data.qpos[: len(values)] = values
        mujoco.mj_kinematics(model, data)


def free_objects(scene: Scene) -> tuple[str, ...]:
    """The scene's free objects in the order of their coordinates."""
    found = {name: each.qpos for name, each in scene.objects.items() if each.qpos is not None}
    return tuple(sorted(found, key=lambda name: found[name] or 0))
