"""Joint positions without rotations: which array, which joint order, what the file says besides."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.errors import input_error
from motions.human.readers.arrays import (
    UNNAMED,
    check_finite,
    listing,
    numbers,
    stated_fps,
)
from motions.human.readers.joint_frames import kimodo_frames
from motions.human.readers.omomo import WIDTH, read_omomo
from motions.human.readers.raw import RawClip, ReadOptions, check_unique, need_fps
from motions.human.skeletons.layouts import BY_NAME, LAYOUTS, LEAST_RIGID, Fit, Layout, fit, of_size

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
_CLEARLY_BETTER = 0.5
_MOST_JOINTS = max(len(layout.joint_names) for layout in LAYOUTS)
_HUMANML_FEATURES = (251, 263)


def read_positions(path: Path, keys: Mapping[str, Array], options: ReadOptions) -> RawClip:
    """A clip of joint positions, [T, J, 3] in some unit, from the arrays of a file.

    Understood besides: `joint_names` and `parents` beside the positions, Kimodo's
    `global_rot_mats` [T, J, 3, 3], and the rows of 591 numbers in which OMOMO's human and object
    travel (human part only). Without names, `Layout`s are tried.
    """
    key = _positions_key(path, keys)
    shape = np.shape(keys[key])
    if len(shape) == 2 and shape[0] and shape[1] == WIDTH and keys[key].dtype.kind in "fiu":
        return read_omomo(path, keys[key], options)
    pos = numbers(path, key, keys[key])
    if not pos.size:
        raise input_error(
            path, f"{key} is empty", found=f"shape {list(pos.shape)}", fix="export the clip again"
        )
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
            fix=_reshaping(pos.shape),
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
    quat, rest = kimodo_frames(path, keys, pos, names, parents, report)
    if "height" in keys and np.size(keys["height"]) == 1:
        stated = np.reshape(keys["height"], ())
        if stated.dtype.kind in "fiu" and np.isfinite(stated):
            report["height_stated_m"] = float(stated)
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


def _reshaping(shape: tuple[int, ...]) -> str | None:
    """What makes joint positions of an array that is nearly one."""
    if len(shape) == 3 and shape[1] == 3 and of_size(shape[2]):
        return "the last two axes are the wrong way round: swap them"
    if len(shape) == 2 and shape[1] % 3 == 0 and of_size(shape[1] // 3):
        return f"if these are x y z of {shape[1] // 3} joints, reshape it to [frames, joints, 3]"
    if len(shape) == 4 and shape[0] == 1:
        return "take the first of the first axis"
    return None


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
            fix="the first two axes are the wrong way round: swap them"
            if of_size(len(pos)) and joints > _MOST_JOINTS
            else "store joint_names and parents beside the positions in an .npz",
        )
    whole = pos
    if not np.isfinite(pos).all():
        whole = pos[np.isfinite(pos).all(axis=(1, 2))]
    if not len(whole):
        check_finite(path, "the positions", pos, candidates[0].joint_names)
    if not (whole != whole[:, :1]).any():
        raise input_error(path, "all joints are at one point: this is no person")
    fits = sorted(
        (fit(whole, layout) for layout in candidates),
        key=lambda f: (f.problem is not None, f.rigidity),
    )
    best = fits[0]
    if wanted:
        return best
    if best.problem or best.rigidity > LEAST_RIGID:
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
    above = numbers(path, "parents", keys["parents"]).ravel()
    check_finite(path, "parents", above[:, None])
    parents = tuple(int(p) for p in above)
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
