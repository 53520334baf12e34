"""The six arrays of a frame that references, libraries, policies and files share, listed once.

T frames, J joints, B bodies; SI units, radians; world frame with z up; quaternions wxyz.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

A = TypeVar("A")
"""The kind of array: numpy's in files and players, torch's in libraries."""

JOINT_FIELDS = ("joint_pos", "joint_vel")
"""Fields [T, J] whose columns are joints."""
BODY_FIELDS = ("body_pos_w", "body_quat_w", "body_lin_vel_w", "body_ang_vel_w")
"""Fields [T, B, 3 | 4] whose columns are bodies."""
FRAME_FIELDS = JOINT_FIELDS + BODY_FIELDS
"""All six, in the order in which files, tables and policy outputs hold them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FrameArrays(Generic[A]):
    """What has the six arrays of every frame of a clip, or of many clips end to end."""

    joint_pos: A
    """[T, J] rad."""
    joint_vel: A
    """[T, J] rad/s."""
    body_pos_w: A
    """[T, B, 3] m, origins of the bodies in the world."""
    body_quat_w: A
    """[T, B, 4] wxyz, unit, orientations of the bodies in the world."""
    body_lin_vel_w: A
    """[T, B, 3] m/s of the bodies' origins in the world."""
    body_ang_vel_w: A
    """[T, B, 3] rad/s in world axes."""

    def frame_fields(self) -> dict[str, A]:
        """The six arrays by name, in the order of `FRAME_FIELDS`."""
        return {name: getattr(self, name) for name in FRAME_FIELDS}


def frame_shapes(frames: int, joints: int, bodies: int) -> dict[str, tuple[int, ...]]:
    """The shape that each of the six arrays must have."""
    shapes: dict[str, tuple[int, ...]] = {name: (frames, joints) for name in JOINT_FIELDS}
    for name in BODY_FIELDS:
        shapes[name] = (frames, bodies, 4 if name == "body_quat_w" else 3)
    return shapes
