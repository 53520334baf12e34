"""What every robot motion has to satisfy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mimic_base.errors import input_error
from mimic_base.frame_fields import frame_shapes

if TYPE_CHECKING:
    from motions.robot.motion import RobotMotion

_UNIT_TOLERANCE = 1e-3


def check(motion: RobotMotion, where: str) -> None:
    """Refuse values, shapes and names that no motion can have; `where` begins each error."""
    for what, names in (("joint", motion.joint_names), ("body", motion.body_names)):
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise input_error(
                where, f"{what} names must be unique", found=f"twice: {', '.join(twice)}"
            )
    frames = len(motion.joint_pos) if motion.joint_pos.ndim else 0
    joints, bodies = len(motion.joint_names), len(motion.body_names)
    shapes = frame_shapes(frames, joints, bodies) | {"contact": (frames, 2)}
    for key, shape in shapes.items():
        value = getattr(motion, key)
        if value.shape != shape:
            raise input_error(
                where,
                f"{key} has the wrong shape",
                found=list(value.shape),
                expected=f"{list(shape)} from {frames} frames, {joints} joint names and "
                f"{bodies} body names",
            )
        if not np.isfinite(value).all():
            frame = int(np.argwhere(~np.isfinite(value))[0][0])
            raise input_error(
                where,
                f"{key} holds a value that is not finite",
                found=f"frame {frame}",
                fix="retarget the clip again or crop it before that frame",
            )
    if bodies == 0:
        raise input_error(where, "there are no bodies", expected="body 0, the base")
    if frames < 2:
        raise input_error(
            where,
            "a clip needs at least two frames",
            found=frames,
            fix="use a longer clip: velocities need a neighbour frame",
        )
    error = np.abs(np.linalg.norm(motion.body_quat_w, axis=-1) - 1.0)
    if error.max() > _UNIT_TOLERANCE:
        frame, body = np.unravel_index(int(error.argmax()), error.shape)
        norm = float(np.linalg.norm(motion.body_quat_w[frame, body]))
        raise input_error(
            where,
            "body_quat_w must hold unit quaternions (wxyz)",
            found=f"length {norm:.4f} at frame {frame}, body {motion.body_names[body]}",
        )


def column_order(
    where: str, what: str, have: Sequence[str], want: Sequence[str], robot: str, *, whole: bool
) -> list[int]:
    """Where the columns `want` stand in `have`; with `whole` both must be the same set."""
    missing = [n for n in want if n not in have]
    extra = [n for n in have if n not in want] if whole else []
    if missing or extra:
        parts = []
        if missing:
            parts.append(f"it lacks {what} {', '.join(missing)}")
        if extra:
            parts.append(f"it has {what} {', '.join(extra)} that the robot lacks")
        raise input_error(
            where,
            f"the motion does not fit the robot: {'; '.join(parts)}",
            found=f"a motion of robot {robot!r} with {len(have)} {what} names",
            fix="retarget the clip for this robot",
        )
    return [have.index(n) for n in want]
