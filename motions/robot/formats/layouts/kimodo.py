"""Kimodo's npz of a G1: poses of the skeleton's joints instead of joint angles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mimic_base.errors import input_error
from mimic_base.rotations import matrix_to_quat
from mimic_base.stretches import by_stretches
from motions.robot.formats.format import Format, has
from motions.robot.formats.orders import JOINT_ORDERS, link_of_joint
from motions.robot.formats.raw import RawRobotMotion, numbers, rate
from motions.robot.formats.trajectory import BodyPoses

KIMODO_JOINTS = 34
# Kimodo's axes (y up, z forward, x left) in terms of ours (z up, x forward, y left).
_FROM_Y_UP = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def read_kimodo(path: Path, data: dict[str, Any]) -> RawRobotMotion:
    """Kimodo's G1 skeleton: positions and rotations of its links, no joint angles."""
    pos = numbers(path, data, "posed_joints", None, None, 3)
    if pos.shape[1] != KIMODO_JOINTS:
        raise input_error(
            path,
            "this Kimodo file is not a G1's",
            found=f"{pos.shape[1]} joints",
            expected=f"{KIMODO_JOINTS} (30 and 77 are its human skeleton SOMA)",
            fix="generate the clip with a Kimodo G1 model",
        )
    turn = numbers(path, data, "global_rot_mats", len(pos), KIMODO_JOINTS, 3, 3)
    if not (np.isfinite(pos).all() and np.isfinite(turn).all()):
        raise input_error(path, "it holds a value that is not finite", fix="export it again")
    keep = [index for index, name in enumerate(_kimodo_links()) if name]
    pos = pos[:, keep] @ _FROM_Y_UP.T
    quat = by_stretches(
        lambda turn: matrix_to_quat(_FROM_Y_UP @ turn[:, keep] @ _FROM_Y_UP.T), turn
    )
    contact = None
    if "foot_contacts" in data:
        feet = numbers(path, data, "foot_contacts", len(pos), 4)
        contact = np.stack([feet[:, :2].max(axis=1), feet[:, 2:].max(axis=1)], axis=1)
    return RawRobotMotion(
        root_pos=pos[:, 0],
        root_rot=quat[:, 0],
        joint_pos=np.zeros((len(pos), 0)),
        fps=rate(path, data),
        joint_names=(),
        bodies=BodyPoses(names=tuple(name for name in _kimodo_links() if name), pos=pos, quat=quat),
        robot="unitree_g1",
        name=path.stem,
        contact=contact,
        notes=("joint angles are found from the links' rotations",),
    )


def _kimodo_links() -> tuple[str, ...]:
    """The G1's link of each of Kimodo's 34 joints; empty for toe and hand end points."""
    links = [link_of_joint(joint) for joint in JOINT_ORDERS["g1-29"]]
    left_leg, right_leg, waist = links[:6], links[6:12], links[12:15]
    left_arm, right_arm = links[15:22], links[22:]
    ends = [[*left_leg, ""], [*right_leg, ""], waist, [*left_arm, ""], [*right_arm, ""]]
    return ("pelvis", *(name for limb in ends for name in limb))


FORMATS = (
    Format(
        name="kimodo-npz",
        title="Kimodo's G1 npz: poses of 34 skeleton joints, y up, 30 fps",
        extensions=(".npz",),
        fps=30.0,
        read=read_kimodo,
        recognise=has("posed_joints"),
    ),
)
