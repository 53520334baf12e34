"""GMR's dictionary, as TWIST, TWIST2 and GMT use it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mimic_base.rotations import quat_inv_rotate
from motions.robot.formats.format import Format, has
from motions.robot.formats.quaternions import store
from motions.robot.formats.raw import RawRobotMotion, array_of, names, numbers, rate, texts
from motions.robot.formats.trajectory import BodyPoses, RobotTrajectory


def read_gmr(path: Path, data: dict[str, Any]) -> RawRobotMotion:
    """GMR's dictionary, as TWIST, TWIST2 and GMT use it; pkl or npz."""
    root_pos = numbers(path, data, "root_pos", None, 3)
    links = names(data, "link_body_list") or ()
    local = data.get("local_body_pos")
    bodies = None
    if local is not None and array_of(local).size and links:
        pos = numbers(path, data, "local_body_pos", len(root_pos), len(links), 3)
        bodies = BodyPoses(names=links, pos=pos, in_root_frame=True)
    return RawRobotMotion(
        root_pos=root_pos,
        root_rot=numbers(path, data, "root_rot", len(root_pos), 4),
        joint_pos=numbers(path, data, "dof_pos", len(root_pos), None),
        fps=rate(path, data),
        joint_names=names(data, "joint_names"),
        bodies=bodies,
        link_names=links,
        name=path.stem,
    )


def write_gmr(trajectory: RobotTrajectory, form: Format) -> dict[str, Any]:
    """GMR's keys, quaternions xyzw, and the bodies in the base's frame."""
    arrays = {
        "fps": np.array(trajectory.fps),
        "root_pos": trajectory.root_pos,
        "root_rot": store(trajectory.root_quat, form.quaternion),
        "dof_pos": trajectory.joint_pos,
        "joint_names": texts(trajectory.joint_names),
    }
    bodies = trajectory.bodies
    if bodies is not None:
        local = bodies.pos
        if not bodies.in_root_frame:
            local = quat_inv_rotate(
                trajectory.root_quat[:, None], bodies.pos - trajectory.root_pos[:, None]
            )
        arrays["local_body_pos"] = local.astype(np.float32)
        arrays["link_body_list"] = texts(bodies.names)
    return arrays


FORMATS = (
    Format(
        name="gmr",
        title="GMR, TWIST, TWIST2, GMT: root_pos, root_rot xyzw, dof_pos (pkl read, npz written)",
        extensions=(".npz", ".pkl"),
        quaternion="xyzw",
        joint_orders=("g1-29", "g1-23"),
        read=read_gmr,
        write=write_gmr,
        recognise=has("root_pos", "root_rot"),
    ),
)
