"""Give the floating base a frame that is upright and faces forward."""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np

_IDENTITY = (1.0, 0.0, 0.0, 0.0)


def level_root(spec: mujoco.MjSpec, root: mujoco.MjsBody, turn: Sequence[float]) -> None:
    """Put the root unturned above the origin; `turn` [4] (wxyz) all that it carries about it.

    Where a scene has put the robot, and which way round, is not the robot's.
    """
    root.alt.type = mujoco.mjtOrientation.mjORIENTATION_QUAT
    root.quat = np.array(_IDENTITY)
    root.pos = np.array([0.0, 0.0, float(root.pos[2])])
    if tuple(turn) == _IDENTITY:
        return
    parts = [*root.geoms, *root.sites, *root.cameras, *root.lights, *root.bodies, *root.frames]
    quat = np.asarray(turn, float) / np.linalg.norm(turn)
    frame = root.add_frame(quat=quat)
    for part in parts:
        if part.frame is None:
            part.set_frame(frame)
    matrix = np.zeros(9)
    mujoco.mju_quat2Mat(matrix, quat)
    matrix = matrix.reshape(3, 3)
    if not root.explicitinertial:
        return
    root.ipos = matrix @ root.ipos
    full = np.array(root.fullinertia)
    if np.isfinite(full).all() and full.any():
        xx, yy, zz, xy, xz, yz = full
        tensor = matrix @ np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]) @ matrix.T
        root.fullinertia = np.array([*np.diag(tensor), tensor[0, 1], tensor[0, 2], tensor[1, 2]])
        return
    own = np.array(root.iquat)
    if int(root.ialt.type) != int(mujoco.mjtOrientation.mjORIENTATION_QUAT):
        own = np.array(
            spec.resolve_orientation(
                degree=spec.compiler.degree,
                sequence="".join(spec.compiler.eulerseq),
                orientation=root.ialt,
            )
        )
        root.ialt.type = mujoco.mjtOrientation.mjORIENTATION_QUAT
    turned = np.zeros(4)
    mujoco.mju_mulQuat(turned, quat, own)
    root.iquat = turned
