"""BONES-SEED's csv, as soma-retargeter writes it and SONIC trains on it: named columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mimic_base.errors import input_error
from mimic_base.rotations import quat_exp, quat_mul
from motions.robot.formats.format import Format
from motions.robot.formats.raw import RawRobotMotion

_POSITION = tuple(f"root_translate{axis}" for axis in "XYZ")
_ROTATION = tuple(f"root_rotate{axis}" for axis in "XYZ")
_ENDING = "_dof"


def _is_bones_seed(content: dict[str, Any]) -> bool:
    return {*_POSITION, *_ROTATION} <= set(content.get("columns", ()))


def read_bones_seed(path: Path, data: dict[str, Any]) -> RawRobotMotion:
    """Root in centimetres; its rotation and the joints in degrees, joints by their names.

    The root turns about the fixed axes x, y and z in this order: R = Rz Ry Rx.
    """
    heading, table = tuple(data.get("columns", ())), data["table"]
    absent = [name for name in (*_POSITION, *_ROTATION) if name not in heading]
    if absent:
        raise input_error(path, "the heading lacks columns", expected=", ".join(absent))
    if len(heading) != table.shape[1]:
        raise input_error(
            path, "the heading names another number of columns than the rows have",
            found=f"{len(heading)} names", expected=f"{table.shape[1]} columns",
        )  # fmt: skip
    twice = sorted({name for name in heading if heading.count(name) > 1})
    if twice:
        raise input_error(path, "the heading names a column twice", found=", ".join(twice))
    angles = np.radians(table[:, [heading.index(name) for name in _ROTATION]])
    rotation = quat_exp(np.eye(3)[0] * angles[:, :1])
    for axis in (1, 2):
        rotation = quat_mul(quat_exp(np.eye(3)[axis] * angles[:, axis : axis + 1]), rotation)
    joints = [k for k, name in enumerate(heading) if name.endswith(_ENDING)]
    return RawRobotMotion(
        root_pos=0.01 * table[:, [heading.index(name) for name in _POSITION]],
        root_rot=rotation,
        joint_pos=np.radians(table[:, joints]),
        joint_names=tuple(heading[k].removesuffix(_ENDING) for k in joints),
        name=path.stem,
        notes=("named columns in centimetres and degrees, root turned about fixed x, y, z",),
    )


FORMATS = (
    Format(
        name="bones-seed-csv",
        title="BONES-SEED, soma-retargeter: named columns, cm and degrees; 120 fps (read only)",
        extensions=(".csv",),
        fps=120.0,
        read=read_bones_seed,
        recognise=_is_bones_seed,
    ),
)
