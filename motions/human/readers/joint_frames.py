"""Joint frames beside joint positions: believed when they carry the bones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.rotations import matrix_to_quat, quat_inv_rotate
from mimic_base.stretches import by_stretches, stretches
from motions.human.readers.arrays import check_finite, numbers
from motions.human.skeletons import recognise

Array = NDArray[Any]

_ROTATION_TOLERANCE = 1e-3
_BONE_TOLERANCE = 0.02


def kimodo_frames(
    path: Path,
    keys: Mapping[str, Array],
    pos: Array,
    names: tuple[str, ...],
    parents: tuple[int, ...],
    report: dict[str, Any],
) -> tuple[Array | None, Array | None]:
    """Joint frames [T, J, 4] and rest pose [J, 3] of Kimodo's `global_rot_mats`, if they are real.

    They are believed when every matrix is a rotation and every bone constant in its parent's frame.
    """
    if "global_rot_mats" not in keys:
        return None, None
    matrix = numbers(path, "global_rot_mats", keys["global_rot_mats"])
    if matrix.shape != (*pos.shape, 3):
        report["warnings"].append(
            f"global_rot_mats of shape {list(matrix.shape)} do not belong to these positions"
        )
        return None, None
    check_finite(path, "global_rot_mats", matrix)
    if not all(_are_rotations(matrix[part]) for part in stretches(len(matrix))):
        report["warnings"].append("global_rot_mats are no rotations: positions alone are used")
        return None, None
    quat = by_stretches(matrix_to_quat, matrix)
    return carried_frames(quat, pos, names, parents, report)


def _are_rotations(matrix: Array) -> bool:
    """Whether matrices [T, J, 3, 3] are all orthonormal and not mirrored."""
    off = np.abs(matrix @ np.swapaxes(matrix, -1, -2) - np.eye(3)).max()
    return bool(off <= _ROTATION_TOLERANCE and (np.linalg.det(matrix) >= 0).all())


def carried_frames(
    quat: Array,
    pos: Array,
    names: tuple[str, ...],
    parents: tuple[int, ...],
    report: dict[str, Any],
) -> tuple[Array | None, Array | None]:
    """`quat` and the rest pose it implies, or two times None when the bones disagree.

    Fingers may disagree: published files have broken ones, and no role hangs on them.
    """
    above = np.maximum(np.array(parents), 0)

    def offsets(quat: Array, pos: Array) -> Array:
        return quat_inv_rotate(quat[:, above], pos - pos[:, above])

    offset = by_stretches(offsets, quat, pos)
    mean = offset.mean(axis=0)
    away = np.maximum(offset.max(axis=0) - mean, mean - offset.min(axis=0)).max(axis=1)
    away[np.array(parents) < 0] = 0.0
    bad = set(np.flatnonzero(away > _BONE_TOLERANCE * np.abs(mean[1:]).max()).tolist())
    if bad & _carrying(names, parents, pos):
        report["warnings"].append("the rotations do not carry the bones: positions alone are used")
        return None, None
    if bad:
        report["warnings"].append(
            f"the rotations do not carry {', '.join(names[j] for j in sorted(bad))}"
        )
    rest = np.zeros_like(mean)
    for joint, parent in enumerate(parents):
        if parent >= 0:
            rest[joint] = rest[parent] + mean[joint]
    return quat, rest


def _carrying(names: tuple[str, ...], parents: tuple[int, ...], pos: Array) -> set[int]:
    """The joints that have a role, and all above them."""
    found: set[int] = set()
    for joint in recognise(names, parents, pos[len(pos) // 2]).roles.values():
        while joint >= 0 and joint not in found:
            found.add(joint)
            joint = parents[joint]
    return found
