"""The human in OMOMO's rows of 591 numbers, as InterMimic stores human and object."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.errors import input_error
from mimic_base.rotations import norm
from mimic_base.stretches import by_stretches, stretches
from motions.human.readers.arrays import check_finite
from motions.human.readers.joint_frames import carried_frames
from motions.human.readers.raw import RawClip, ReadOptions, need_fps
from motions.human.skeletons.layouts import BY_NAME, LEAST_RIGID, fit

Array = NDArray[Any]

WIDTH = 591


def read_omomo(path: Path, rows: Array, options: ReadOptions) -> RawClip:
    """The human of OMOMO as InterMimic stores it, rows [T, 591] of numbers, z up, metres.

    Columns 162-317 are the positions of 52 joints, 383-590 their orientations (xyzw); the object
    in columns 318-324 is left to a reader of scenes.
    """
    layout = BY_NAME["smplh52"]
    joints = len(layout.joint_names)
    pos = rows[:, 162:318].astype(np.float64).reshape(-1, joints, 3)
    check_finite(path, "the human's joint positions", pos, layout.joint_names)
    found = fit(pos, layout)
    if found.problem or found.rigidity > LEAST_RIGID:
        raise input_error(
            path,
            "columns 162-317 are no human",
            found=found.problem or f"bones change their length by {100 * found.rigidity:.0f} %",
            expected="the positions of 52 joints in the order of smplh52",
        )
    report: dict[str, Any] = {
        "layout": layout.name,
        "bone_length_spread": round(found.rigidity, 4),
        "object": "not read: columns 318-330 move an object",
        "warnings": [],
    }
    xyzw = rows[:, 383:591].reshape(-1, joints, 4)
    quat = rest = None
    if all(_are_unit(xyzw[part]) for part in stretches(len(xyzw))):
        wxyz = by_stretches(_unit_wxyz, xyzw)
        quat, rest = carried_frames(wxyz, pos, layout.joint_names, layout.parents, report)
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


def _are_unit(xyzw: Array) -> bool:
    """Whether rotations [T, J, 4] are finite and of length one."""
    quat = xyzw.astype(np.float64)
    return bool(np.isfinite(quat).all() and (np.abs(norm(quat) - 1) < 1e-2).all())


def _unit_wxyz(xyzw: Array) -> Array:
    quat = xyzw[..., [3, 0, 1, 2]].astype(np.float64)
    return quat / norm(xyzw.astype(np.float64))[..., None]
