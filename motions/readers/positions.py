"""Joint positions without rotations: which array, which joint order, what the file says besides."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motions.errors import input_error
from motions.readers.arrays import (
    UNNAMED,
    check_finite,
    listing,
    numbers,
    stated_fps,
)
from motions.readers.raw import RawClip, ReadOptions, check_unique, need_fps
from motions.rotations import matrix_to_quat, quat_inv_rotate
from motions.skeletons import recognise
from motions.skeletons.layouts import BY_NAME, LAYOUTS, Fit, Layout, fit, of_size

Array = NDArray[Any]

# Names that tools give to positions in the world, the surest first.
_KEYS = (
    UNNAMED,
    "global_joint_positions",
    "posed_joints",
    "joint_positions",
    "joints_positions",
    "global_positions",
    "positions",
    "pos_w",
    "joints",
    "joints3d",
    "joints_3d",
    "keypoints3d",
)
_LEAST_RIGID = 0.15
"""Bones that vary more than this (standard deviation over length) are not bones."""
_CLEARLY_BETTER = 0.5
_HUMANML_FEATURES = (251, 263)
_OMOMO_WIDTH = 591
_ROTATION_TOLERANCE = 1e-3
_BONE_TOLERANCE = 0.02


def read_positions(path: Path, keys: Mapping[str, Array], options: ReadOptions) -> RawClip:
    """A clip of joint positions, [T, J, 3] in some unit, from the arrays of a file.

    Understood besides: `joint_names` and `parents` beside the positions, Kimodo's
    `global_rot_mats` [T, J, 3, 3], and the rows of 591 numbers in which OMOMO's human and object
    travel (human part only). Without names, `Layout`s are tried.
    """
    key = _positions_key(path, keys)
    pos = numbers(path, key, keys[key])
    if pos.ndim == 2 and pos.shape[1] == _OMOMO_WIDTH:
        return _omomo(path, pos, options)
    if pos.ndim == 2 and pos.shape[1] in _HUMANML_FEATURES:
        raise input_error(
            path,
            "these are HumanML3D feature vectors, not positions",
            found=list(pos.shape),
            fix="use the clip's file in new_joints/ ([T, 22, 3])",
        )
    if pos.ndim != 3 or pos.shape[2] != 3:
        raise input_error(
            path,
            f"{key} is no array of joint positions",
            found=f"shape {list(pos.shape)}",
            expected="[frames, joints, 3]",
        )
    report: dict[str, Any] = {"warnings": []}
    if "joint_names" in keys and "parents" in keys and options.layout is None:
        names, parents = _named(path, keys, pos.shape[1])
        found, usual, family = None, "", None
    else:
        found = choose_layout(path, pos, options.layout)
        names, parents = found.layout.joint_names, found.layout.parents
        usual, family = found.layout.usual_fps, found.layout.title
        report["layout"] = found.layout.name
        report["bone_length_spread"] = round(found.rigidity, 4)
        if found.problem:
            report["warnings"].append(found.problem)
    check_finite(path, key, pos, names)
    fps = need_fps(path, options, stated_fps(keys), usual)
    quat, rest = _rotations(path, keys, pos, names, parents, report)
    if "height" in keys and np.size(keys["height"]) == 1:
        report["height_stated_m"] = float(np.reshape(keys["height"], ()))
    return RawClip(
        path=path,
        format="joint positions" if quat is None else "joint positions and rotations",
        fps=fps,
        joint_names=names,
        parents=parents,
        pos=pos,
        quat=quat,
        rest_pos=rest,
        family=family,
        report=report,
    )


def choose_layout(path: Path, pos: Array, wanted: str | None) -> Fit:
    """The layout of positions [T, J, 3]: the one asked for, else the only one that fits."""
    joints = pos.shape[1]
    if wanted is not None and wanted not in BY_NAME:
        raise input_error(
            None, f"--layout: no such joint order {wanted!r}", expected=", ".join(BY_NAME)
        )
    if wanted is not None and len(BY_NAME[wanted].joint_names) != joints:
        raise input_error(
            path,
            f"the layout {wanted} does not fit",
            found=f"{joints} joints",
            expected=f"{len(BY_NAME[wanted].joint_names)}",
            fix="leave out --layout, or choose another one",
        )
    candidates = [BY_NAME[wanted]] if wanted else of_size(joints)
    if not candidates:
        known = ", ".join(f"{layout.name} ({len(layout.joint_names)})" for layout in LAYOUTS)
        raise input_error(
            path,
            "no joint order of so many joints is known",
            found=f"{joints} joints",
            expected=known,
            fix="store joint_names and parents beside the positions in an .npz",
        )
    whole = pos[np.isfinite(pos).all(axis=(1, 2))]
    if not len(whole):
        check_finite(path, "the positions", pos, candidates[0].joint_names)
    if not np.ptp(whole, axis=1).any():
        raise input_error(path, "all joints are at one point: this is no person")
    fits = sorted(
        (fit(whole, layout) for layout in candidates),
        key=lambda f: (f.problem is not None, f.rigidity),
    )
    best = fits[0]
    if wanted:
        return best
    if best.problem or best.rigidity > _LEAST_RIGID:
        raise _unfit(path, best, candidates)
    near = [f for f in fits[1:] if not f.problem and best.rigidity > _CLEARLY_BETTER * f.rigidity]
    if near:
        raise input_error(
            path,
            "two joint orders fit these positions",
            found=f"{best.layout.name} and {near[0].layout.name}",
            fix=f"say which: --layout {best.layout.name}",
        )
    return best


def _unfit(path: Path, best: Fit, candidates: list[Layout]) -> Exception:
    why = best.problem or f"bones change their length by {100 * best.rigidity:.0f} %"
    names = ", ".join(layout.name for layout in candidates)
    return input_error(
        path,
        f"{len(best.layout.joint_names)} joints in no known order",
        found=f"as {best.layout.name}: {why}",
        expected=names,
        fix=f"--layout {best.layout.name} if that is the order, or store joint_names and parents "
        "beside the positions in an .npz",
    )


def _positions_key(path: Path, keys: Mapping[str, Array]) -> str:
    for key in _KEYS:
        if key in keys:
            return key
    shaped = [
        k
        for k, v in keys.items()
        if np.ndim(v) == 3 and np.shape(v)[2] == 3 and np.shape(v)[1] != 3  # 3 x 3 are matrices
    ]
    if len(shaped) == 1:
        return shaped[0]
    raise input_error(
        path,
        "no human motion is recognised in these arrays",
        found=listing(keys),
        expected="joint positions [T, J, 3], SMPL parameters (poses, trans) or BlazePose "
        "world_landmarks [T, 33, 3]",
        fix="name the positions 'joint_positions'" if shaped else None,
    )


def _named(
    path: Path, keys: Mapping[str, Array], joints: int
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    names = tuple(str(n) for n in np.ravel(keys["joint_names"]))
    parents = tuple(int(p) for p in numbers(path, "parents", keys["parents"]).ravel())
    if len(names) != joints or len(parents) != joints:
        raise input_error(
            path,
            "joint_names and parents must have an entry per joint",
            found=f"{len(names)} names, {len(parents)} parents",
            expected=f"{joints} of each",
        )
    check_unique(path, list(names))
    if any(not -1 <= p < i for i, p in enumerate(parents)):
        raise input_error(
            path,
            "each parent must stand before its children",
            found=f"parents {list(parents)}",
            expected="-1 for the root, else the index of an earlier joint",
        )
    return names, parents


def _rotations(
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
    off = np.abs(matrix @ np.swapaxes(matrix, -1, -2) - np.eye(3)).max()
    if off > _ROTATION_TOLERANCE or (np.linalg.det(matrix) < 0).any():
        report["warnings"].append("global_rot_mats are no rotations: positions alone are used")
        return None, None
    return _checked_frames(matrix_to_quat(matrix), pos, names, parents, report)


def _checked_frames(
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
    offset = quat_inv_rotate(quat[:, above], pos - pos[:, above])
    mean = offset.mean(axis=0)
    away = np.abs(offset - mean).max(axis=(0, 2))
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


def _omomo(path: Path, rows: Array, options: ReadOptions) -> RawClip:
    """The human of OMOMO as InterMimic stores it, 591 numbers a frame, z up, metres.

    Columns 162-317 are the positions of 52 joints, 383-590 their orientations (xyzw); the object
    in columns 318-324 is left to a reader of scenes.
    """
    layout = BY_NAME["smplh52"]
    joints = len(layout.joint_names)
    pos = rows[:, 162:318].reshape(-1, joints, 3)
    check_finite(path, "the human's joint positions", pos, layout.joint_names)
    found = fit(pos, layout)
    if found.problem or found.rigidity > _LEAST_RIGID:
        raise _unfit(path, found, [layout])
    report: dict[str, Any] = {
        "layout": layout.name,
        "bone_length_spread": round(found.rigidity, 4),
        "object": "not read: columns 318-330 move an object",
        "warnings": [],
    }
    xyzw = rows[:, 383:591].reshape(-1, joints, 4)
    quat = rest = None
    if np.isfinite(xyzw).all() and (np.abs(np.linalg.norm(xyzw, axis=-1) - 1) < 1e-2).all():
        wxyz = xyzw[..., [3, 0, 1, 2]] / np.linalg.norm(xyzw, axis=-1, keepdims=True)
        quat, rest = _checked_frames(wxyz, pos, layout.joint_names, layout.parents, report)
    return RawClip(
        path=path,
        format="OMOMO rows (591)",
        fps=need_fps(path, options, None, layout.usual_fps),
        joint_names=layout.joint_names,
        parents=layout.parents,
        pos=pos,
        quat=quat,
        rest_pos=rest,
        unit=1.0,
        family=layout.title,
        report=report,
    )
