"""NumPy files: what is in them, without ever running a pickle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.errors import input_error
from mimic_base.numpy_files import NPY_MAGIC, NotPlain, load_npy, npz_arrays
from motions.human.readers.raw import read_bytes

Array = NDArray[Any]

ROBOT_MOTION = (
    "it needs no retargeting: mimic motions convert FILE --robot NAME --out DIR makes it a "
    "complete motion (without --robot another format)"
)
START = 1 << 12
"""Bytes by which a file of numbers is known."""
UNNAMED = "the array"
"""The key of the only array of a .npy file."""

# Keys that only robot motions have, by the tool that writes them.
_ROBOT_KEYS: tuple[tuple[str, frozenset[str]], ...] = (
    ("BeyondMimic, mjlab or this project", frozenset({"joint_pos", "body_pos_w"})),
    ("GMR, TWIST2 or PHC", frozenset({"dof_pos", "root_pos"})),
    ("GMR, TWIST2 or PHC", frozenset({"dof_pos", "root_rot"})),
    ("a retargeter", frozenset({"qpos"})),
    ("a retargeter", frozenset({"dof", "root_rot"})),
    ("AMASS-to-robot tools", frozenset({"dof", "root_trans_offset"})),
)
_KIMODO_G1 = 34


def load_arrays(path: Path) -> dict[str, Array]:
    """The plain arrays of a .npy file (key `UNNAMED`) or of a .npz archive.

    Arrays of Python objects are pickles: those of plain data are read (`mimic_base.pickle_data`),
    others are left out of an archive, and a file that holds nothing else is refused.
    """
    start = read_bytes(path, START)
    fix = "save each array of numbers on its own with numpy.savez"
    if start.startswith(NPY_MAGIC):
        try:
            return {UNNAMED: load_npy(path)}
        except NotPlain as error:
            raise input_error(path, f"{path.name}: {error}", fix=fix) from error
    found, refused = npz_arrays(path)
    if not found and refused is not None:
        raise input_error(path, f"no array can be read: {refused}", fix=fix) from refused
    if not found:
        raise input_error(path, "there is no array in this archive")
    return found


def refuse_robot_motion(path: Path, keys: Mapping[str, Any]) -> None:
    """`InputError` when the arrays are the motion of a robot: it needs no retargeting."""
    present = set(keys)
    tool = next((t for t, wanted in _ROBOT_KEYS if wanted <= present), None)
    joints = np.shape(keys["posed_joints"]) if "posed_joints" in keys else ()
    if tool is None and len(joints) == 3 and joints[1] == _KIMODO_G1:
        tool = "Kimodo, 34 bodies of the Unitree G1"
    if tool is None:
        return
    raise input_error(
        path,
        f"this is the motion of a robot ({tool}), not of a person",
        found=f"the arrays {', '.join(sorted(map(str, present))[:8])}",
        fix=ROBOT_MOTION,
    )


def check_finite(path: Path, what: str, values: Array, names: tuple[str, ...] = ()) -> None:
    """`InputError` that names the first frame (and joint) with a value that is not finite."""
    if np.isfinite(values).all():
        return
    bad = np.argwhere(~np.isfinite(values))
    first = tuple(int(i) for i in bad[0])
    where = f"frame {first[0]}"
    if names and len(first) > 1:
        where += f", joint {names[first[1]]}"
    raise input_error(
        path,
        f"every number of {what} must be finite",
        found=f"{values[first]} in {where}, {len(np.unique(bad[:, 0]))} frames affected",
        fix="repair or cut the clip before that frame",
    )


def numbers(path: Path, what: str, values: Any) -> Array:
    """`values` as float64; `InputError` when they are no numbers."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise input_error(path, f"{what} must be numbers", found=f"type {array.dtype}")
    return np.asarray(array, np.float64)


def stated_fps(keys: Mapping[str, Any]) -> float | None:
    """The frame rate under one of its usual names, None when there is none."""
    for key in ("fps", "mocap_framerate", "mocap_frame_rate", "framerate", "frame_rate"):
        value = np.asarray(keys[key]) if key in keys else np.zeros(0)
        if value.dtype.kind in "fiu" and len(np.unique(value)) == 1:
            return float(np.ravel(value)[0])
        if value.dtype.kind in "US" and value.size == 1:
            try:
                return float(np.ravel(value)[0])
            except ValueError:
                continue
    return None


def listing(keys: Mapping[str, Any]) -> str:
    """Names and shapes of the arrays, for an error line."""
    parts = [f"{k} {list(np.shape(v))}" for k, v in keys.items()]
    return ", ".join(parts[:8]) + (" ..." if len(parts) > 8 else "")
