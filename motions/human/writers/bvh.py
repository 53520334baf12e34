"""BVH, the text format most animation tools read: a skeleton and its channels a frame."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from mimic_base.errors import input_error
from mimic_base.files import atomic_write_text
from mimic_base.rotations import quat_to_matrix
from motions.human.motion import HumanMotion

Array = NDArray[Any]

# World of the file (y up) to ours (z up): (x, y, z) -> (x, -z, y).
_TO_Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
_CM = 100.0
_RIGID = 0.002


def write_bvh(
    motion: HumanMotion,
    path: Path | str,
    *,
    order: str = "ZXY",
    end_sites: Mapping[str, ArrayLike] | None = None,
) -> None:
    """Write a clip as BVH: centimetres, y up, a translated root and rotating joints.

    `order` names the rotation channels, applied as intrinsic rotations from left to right.
    `end_sites` gives the tip of leaf joints, metres in the z-up rest pose; others get a tip of
    zero length. The clip needs joint frames (`quat_w`) and bones of constant length; an
    `InputError` says which is missing. The file appears whole or not at all.
    """
    if motion.quat_w is None:
        raise input_error(
            motion.name,
            "BVH holds joint rotations, the clip has positions only",
            fix="write it as .npz instead",
        )
    if sorted(order) != ["X", "Y", "Z"]:
        raise input_error(None, "BVH rotation order", found=order, expected="a permutation of XYZ")
    rotation, offsets, to_rest = _to_file_frames(motion)
    children = _children(motion.parents)
    depth_first = _depth_first(children, motion.parents.index(-1))
    tips = {name: to_rest @ np.asarray(tip, float) for name, tip in (end_sites or {}).items()}
    text = ["HIERARCHY"]
    _joint(text, motion.joint_names, children, offsets, tips, order, depth_first[0], 0)
    values = _channels(motion, rotation, depth_first, order)
    text += ["MOTION", f"Frames: {len(values)}", f"Frame Time: {1.0 / motion.fps:.8f}"]
    # Adding zero turns the minus zeros of rounding into plain ones.
    text += [" ".join(f"{v:.6f}" for v in row) for row in np.round(values, 6) + 0.0]
    atomic_write_text(path, "\n".join(text) + "\n")


def _to_file_frames(motion: HumanMotion) -> tuple[Array, Array, Array]:
    """Joint rotations [T, J, 3, 3] and bone offsets [J, 3] (cm) in the file's y-up world.

    Also the rotation that takes a vector of the z-up rest pose to the file's rest pose. A bone is
    constant in its parent's frame, so the offsets follow from the motion itself; `rest_pos` only
    decides how the joint frames stand when all rotations are zero.
    """
    world = quat_to_matrix(motion.quat_w if motion.quat_w is not None else np.zeros((0, 4)))
    to_file = _TO_Z_UP.T
    zero_pose = to_file
    local = np.zeros((len(motion.parents), 3))
    for j, parent in enumerate(motion.parents):
        if parent < 0:
            continue
        bone = motion.pos_w[:, j] - motion.pos_w[:, parent]
        turned = np.einsum("tji,tj->ti", world[:, parent], bone)
        local[j] = turned.mean(axis=0)
        stray = float(np.abs(turned - local[j]).max())
        if stray > _RIGID:
            raise input_error(
                motion.name,
                f"the bone to joint {motion.joint_names[j]} changes its length or direction",
                found=f"{stray * 1e3:.1f} mm",
                expected=f"at most {_RIGID * 1e3:.0f} mm",
                fix="BVH describes rigid skeletons: write it as .npz instead",
            )
    rotation = to_file @ world
    if motion.rest_pos is not None and _stands_at_rest(motion, local):
        # The joint frames stand upright in the z-up rest pose: turn them into the file's axes.
        rotation, local = rotation @ _TO_Z_UP, local @ _TO_Z_UP
    return rotation, local * _CM, zero_pose


def _stands_at_rest(motion: HumanMotion, local: Array) -> bool:
    """Whether unit joint frames give `rest_pos` itself rather than its y-up original."""
    assert motion.rest_pos is not None
    child = [j for j, parent in enumerate(motion.parents) if parent >= 0]
    parent = [motion.parents[j] for j in child]
    bones = motion.rest_pos[child] - motion.rest_pos[parent]
    upright = np.abs(bones - local[child]).sum()
    return bool(upright < np.abs(bones - local[child] @ _TO_Z_UP.T).sum())


def _children(parents: Sequence[int]) -> list[list[int]]:
    below: list[list[int]] = [[] for _ in parents]
    for j, parent in enumerate(parents):
        if parent >= 0:
            below[parent].append(j)
    return below


def _depth_first(children: Sequence[Sequence[int]], joint: int) -> list[int]:
    return [joint, *(k for child in children[joint] for k in _depth_first(children, child))]


def _joint(
    text: list[str],
    names: Sequence[str],
    children: Sequence[Sequence[int]],
    offsets: Array,
    tips: Mapping[str, Array],
    order: str,
    joint: int,
    depth: int,
) -> None:
    tab = "\t" * depth
    rotations = " ".join(f"{axis}rotation" for axis in order)
    channels = f"6 Xposition Yposition Zposition {rotations}" if depth == 0 else f"3 {rotations}"
    text += [
        f"{tab}{'JOINT' if depth else 'ROOT'} {names[joint]}",
        f"{tab}{{",
        f"{tab}\tOFFSET {_numbers(offsets[joint])}",
        f"{tab}\tCHANNELS {channels}",
    ]
    for child in children[joint]:
        _joint(text, names, children, offsets, tips, order, child, depth + 1)
    if not children[joint]:
        tip = tips.get(names[joint], np.zeros(3)) * _CM
        text += [f"{tab}\tEnd Site", f"{tab}\t{{", f"{tab}\t\tOFFSET {_numbers(tip)}", f"{tab}\t}}"]
    text.append(f"{tab}}}")


def _numbers(vector: Array) -> str:
    return " ".join(f"{v:.6f}" for v in np.round(vector, 6) + 0.0)


def _channels(motion: HumanMotion, rotation: Array, joints: Sequence[int], order: str) -> Array:
    """Channel values [T, 3 + 3 J]: root position in cm, then angles in degrees, continuous."""
    values = [motion.pos_w[:, joints[0]] @ _TO_Z_UP * _CM]
    for j in joints:
        local, parent = rotation[:, j], motion.parents[j]
        if parent >= 0:
            local = np.swapaxes(rotation[:, parent], -1, -2) @ local
        with warnings.catch_warnings():
            # At gimbal lock the angles are not unique; the ones chosen are still exact.
            warnings.simplefilter("ignore", UserWarning)
            angles = Rotation.from_matrix(local).as_euler(order, degrees=True)
        values.append(np.unwrap(angles, period=360.0, axis=0))
    return np.concatenate(values, axis=1)
