"""Where the SMPL parameters are in a file: every tool has its own names and nesting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.errors import input_error
from mimic_base.rotations import matrix_to_quat, norm, quat_exp
from motions.human.readers.arrays import check_finite, listing, numbers

Array = NDArray[Any]

BODY_JOINTS = 21
"""Joints of the body without the pelvis, in SMPL, SMPL-H and SMPL-X alike."""
_ROTATION_TOLERANCE = 0.02
_GREATEST_ANGLE = 4 * np.pi
"""Fits wind a joint up once, rarely twice; degrees are far beyond."""
# Rotations that go by one key: the body alone (22 joints, 21 without the pelvis), SMPL's 24 with
# two hands, SMPL-H's 52 with fingers, SMPL-X's 55 with jaw and eyes besides.
_COUNTS = {1: (1,), BODY_JOINTS: (21, 23, 51, 54), 1 + BODY_JOINTS: (22, 24, 52, 55)}


@dataclass(frozen=True)
class _Names:
    """Keys of one tool: all rotations together, or the root's and the body's; the translation."""

    tool: str
    poses: str | None
    root: str | None
    body: str | None
    trans: str


_KNOWN: tuple[_Names, ...] = (
    _Names("AMASS", None, "root_orient", "pose_body", "trans"),
    _Names("AMASS", "poses", None, None, "trans"),
    _Names("WHAM (world)", "pose_world", None, None, "trans_world"),
    _Names("GLAMR (world)", None, "smpl_orient_world", "smpl_pose", "root_trans_world"),
    _Names("AIST++", "smpl_poses", None, None, "smpl_trans"),
    _Names("SMPL parameters", None, "global_orient", "body_pose", "transl"),
    _Names("SMPL parameters", None, "global_orient", "body_pose", "trans"),
    _Names("SMPL parameters", "pose", None, None, "trans"),
)
# Containers that hold the world's parameters beside the camera's (GVHMR), or a person each.
_NESTED = ("smpl_params_global", "smpl_params", "smpl", "person_data", "results")


@dataclass(frozen=True)
class SmplParameters:
    """Pose parameters of one person: T frames, SMPL's own axes and world."""

    tool: str
    model: str
    """"smpl", "smplh" or "smplx"."""
    quats: Array
    """[T, 22, 4] local rotations, wxyz: the pelvis and 21 joints."""
    trans: Array
    """[T, 3] m."""
    betas: Array
    """[B] shape coefficients, none when the file has none."""
    gender: str
    notes: tuple[str, ...] = ()


def find_smpl(keys: Any) -> list[tuple[str, Mapping[Any, Any], _Names]]:
    """The persons with SMPL parameters in nested containers: (where, their keys, the names)."""
    return [(where, group, names) for where, group, names in _search(keys, "", 0)]


def _search(keys: Any, where: str, depth: int) -> Iterator[tuple[str, Mapping[Any, Any], _Names]]:
    if isinstance(keys, list | tuple) and len(keys) <= 64:
        keys = dict(enumerate(keys))
    if not isinstance(keys, Mapping) or depth > 3:
        return
    for nested in _NESTED:
        if isinstance(keys.get(nested), Mapping | list):
            below = list(_search(keys[nested], f"{where}{nested}/", depth + 1))
            if below:
                yield from below
                return
    for names in _KNOWN:
        wanted = [k for k in (names.poses, names.root, names.body, names.trans) if k]
        if all(k in keys for k in wanted):
            yield where.rstrip("/"), keys, names
            return
    for key, value in keys.items():
        if isinstance(value, Mapping):
            yield from _search(value, f"{where}{key}/", depth + 1)


def parameters(path: Path, keys: Mapping[Any, Any], names: _Names) -> SmplParameters:
    """The pose of one person, checked; `InputError` for wrong shapes and numbers."""
    notes: list[str] = []
    trans = numbers(path, names.trans, keys[names.trans])
    if trans.ndim != 2 or trans.shape[1] != 3:
        raise input_error(
            path,
            f"{names.trans} has the wrong shape",
            found=list(trans.shape),
            expected="[frames, 3]",
        )
    frames = len(trans)
    if not frames:
        raise input_error(path, f"{names.trans} is empty", fix="export the clip again")
    width = 0
    if names.poses is not None:
        poses = numbers(path, names.poses, keys[names.poses])
        width = int(np.prod(poses.shape[1:]))
        quats = _rotations(path, names.poses, poses, frames, 1 + BODY_JOINTS)
    else:
        assert names.root is not None and names.body is not None
        body = numbers(path, names.body, keys[names.body])
        width = int(np.prod(body.shape[1:])) + 3
        root = _rotations(path, names.root, numbers(path, names.root, keys[names.root]), frames, 1)
        quats = np.concatenate(
            [root, _rotations(path, names.body, body, frames, BODY_JOINTS)], axis=1
        )
    check_finite(path, names.trans, trans)
    if names.tool == "AIST++" and "smpl_scaling" in keys:
        trans = trans / float(np.ravel(numbers(path, "smpl_scaling", keys["smpl_scaling"]))[0])
    return SmplParameters(
        tool=names.tool,
        model=_model(keys, names, width),
        quats=quats,
        trans=trans,
        betas=_betas(path, keys, notes),
        gender=_gender(keys),
        notes=tuple(notes),
    )


def _rotations(path: Path, key: str, values: Array, frames: int, joints: int) -> Array:
    """The first `joints` rotations of `values`, as quaternions [T, joints, 4].

    Rotation vectors [T, 3 J] or [T, J, 3], or matrices [T, J, 3, 3].
    """
    matrices = values.ndim == 4 and values.shape[2:] == (3, 3)
    width = int(np.prod(values.shape[1:]))
    flat = values.reshape(len(values), width) if values.ndim >= 2 else values
    size = 9 if matrices else 3
    widths = [size * count for count in _COUNTS[joints]]
    if values.ndim < 2 or len(values) != frames or flat.shape[1] not in widths:
        across = values.ndim == 2 and values.shape[1] == frames and len(values) in widths
        count = str(frames) if values.ndim < 2 or len(values) != frames else "frames"
        raise input_error(
            path,
            f"{key} has the wrong shape",
            found=list(values.shape),
            expected=f"[{count}, {' or '.join(map(str, widths))}], the rotation vectors of SMPL, "
            "SMPL-H or SMPL-X",
            fix="transpose it" if across else None,
        )
    check_finite(path, key, flat)
    part = flat[:, : size * joints]
    if matrices:
        turns = part.reshape(frames, joints, 3, 3)
        off = np.abs(turns @ np.swapaxes(turns, -1, -2) - np.eye(3)).max()
        if off > _ROTATION_TOLERANCE or (np.linalg.det(turns) < 0).any():
            raise input_error(
                path,
                f"every matrix of {key} must be a rotation",
                found=f"one that is {off:.2g} from orthonormal"
                if off > _ROTATION_TOLERANCE
                else "a mirrored one",
            )
        return matrix_to_quat(turns)
    vectors = part.reshape(frames, joints, 3)
    angle = norm(vectors)
    if angle.max() > _GREATEST_ANGLE:
        raise input_error(
            path,
            f"{key} holds rotation vectors in radians",
            found=f"a turn by {angle.max():.4g} in frame {int(angle.max(axis=1).argmax())}",
            expected="up to about 2 pi",
            fix="convert degrees to radians" if angle.max() < 1000 else "export the clip again",
        )
    return quat_exp(vectors)


def _model(keys: Mapping[Any, Any], names: _Names, width: int) -> str:
    """The body model: as stated, else by the angles (SMPL 72, SMPL-H 156, SMPL-X 165)."""
    stated = _text(keys.get("surface_model_type", keys.get("model_type", ""))).lower()
    for model in ("smplx", "smplh", "smpl"):
        if stated.replace("-", "").replace("+", "").startswith(model):
            return model
    if width >= 165 or "pose_jaw" in keys or "jaw_pose" in keys:
        return "smplx"
    if width >= 156 or "pose_hand" in keys:
        return "smplh"
    # 21 body joints without hands: SMPL-X conventions (GVHMR, AMASS stage II); SMPL itself has 23.
    return "smplx" if width == 3 * (1 + BODY_JOINTS) else "smpl"


def _betas(path: Path, keys: Mapping[Any, Any], notes: list[str]) -> Array:
    key = next((k for k in ("betas", "smpl_beta", "beta", "shape") if k in keys), None)
    if key is None:
        return np.zeros(0)
    values = numbers(path, key, keys[key])
    if not values.size:
        return np.zeros(0)
    values = values.reshape(-1, values.shape[-1]) if values.ndim else values.reshape(1, 1)
    check_finite(path, key, values)
    if len(values) > 1 and np.ptp(values, axis=0).max() > 1e-6:
        notes.append("the shape coefficients change over the clip: their median is used")
    return np.median(values, axis=0) if len(values) else np.zeros(0)


def _gender(keys: Mapping[Any, Any]) -> str:
    text = _text(keys.get("gender", "neutral")).lower()
    return next((g for g in ("female", "male", "neutral") if g in text), "neutral")


def _text(value: Any) -> str:
    item = np.asarray(value)
    if item.size != 1 or item.dtype.kind not in "US":
        return ""
    plain = item.reshape(()).item()
    return plain.decode("latin1") if isinstance(plain, bytes) else str(plain)


def nothing_found(path: Path, keys: Any) -> Exception:
    """What to say about a pickle without a motion."""
    shown = listing(keys) if isinstance(keys, Mapping) else type(keys).__name__
    return input_error(
        path,
        "no human motion is recognised in this file",
        found=shown or "nothing",
        expected="SMPL parameters, such as poses and trans, or joint positions [T, J, 3]",
    )
