"""Whole-body tracking policies of holosoma: ONNX with the clip inside, metadata as JSON.

Outputs ``actions``, ``joint_pos``, ``joint_vel``, ``ref_pos_xyz`` and ``ref_quat_xyzw``; metadata
``dof_names``, ``kp``, ``kd``. The observations have BeyondMimic's order without state estimation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mimic.deploy.foreign.mjlab import frames_of, sizes_of
from mimic.deploy.foreign.player import Foreign, reference_of
from mimic.deploy.kinematics import Chain
from mimic.policy.contract import ObservationInfo
from mimic.policy.observations import Reference
from mimic_base.errors import InputError, MimicError
from mimic_base.json_text import parse_json
from mimic_base.rotations import (
    angular_velocity,
    matrix_to_quat,
    quat_conj,
    quat_mul,
    quat_normalize,
    quat_rotate,
)

if TYPE_CHECKING:
    from mimic.deploy.foreign import PolicyFile
    from robots import Robot

ORDER = (
    "command", "motion_anchor_ori_b", "base_ang_vel", "joint_pos", "joint_vel", "actions",
)  # fmt: skip
OUTPUTS = ("joint_pos", "joint_vel", "ref_pos_xyz", "ref_quat_xyzw")


def read(policy: PolicyFile) -> Foreign | None:
    """The policy of a file with their metadata and outputs."""
    if policy.session is None or "dof_names" not in policy.metadata:
        return None
    if "ref_quat_xyzw" not in policy.sizes:
        raise MimicError(
            "a holosoma policy without a clip inside; describe what it observes with --describe"
        )
    joints = tuple(str(each) for each in plain(policy, "dof_names"))
    robot, missing = policy.robot_of(joints)
    said, sizes = policy.description, sizes_of(len(joints))
    terms = tuple(ObservationInfo(name=name, size=sizes[name]) for name in ORDER)
    total = sum(term.size for term in terms)
    if policy.sizes.get("obs") != total:
        raise MimicError(
            f"the network takes {policy.sizes.get('obs')} entries, expected {total}: "
            f"{', '.join(ORDER)}"
        )
    anchor = said.anchor_body or robot.anchor_body
    default = [
        said.default_joint_pos.get(name, float(robot.default_joint_pos[k]))
        for name, k in ((name, robot.joint_names.index(name)) for name in joints)
    ]
    if not said.default_joint_pos:
        missing = (*missing, "default_joint_pos: the robot's own")
    if "action_scale" in policy.metadata:
        found = plain(policy, "action_scale")
        scale = numbers("action_scale", found if isinstance(found, list) else [found] * len(joints))
    else:
        scale = [said.action_scale] * len(joints)
        missing = (*missing, f"action_scale: {said.action_scale:g} for all")
    return Foreign(
        format="holosoma",
        robot=robot,
        joint_names=joints,
        default_joint_pos=default,
        action_scale=scale,
        kp=numbers("kp", plain(policy, "kp")),
        kd=numbers("kd", plain(policy, "kd")),
        observations=terms,
        anchor_body=anchor,
        body_names=tuple(dict.fromkeys((robot.body_names[0], anchor))),
        control_dt=said.control_dt,
        network=lambda obs, time: policy.session.run(
            ["actions"], {"obs": obs, "time_step": np.full((len(obs), 1), time, np.float32)}
        )[0],
        clip=clip_of(policy, robot, joints, anchor, said.control_dt),
        missing=(
            *missing, f"the clip's body: taken to be '{anchor}'",
            f"the control step: {said.control_dt:g} s",
        ),
    )  # fmt: skip


def clip_of(
    policy: PolicyFile, robot: Robot, joints: tuple[str, ...], anchor: str, dt: float
) -> Reference:
    """The clip: the anchor as the file has it, the base from it and the joints."""
    rows = frames_of(policy, OUTPUTS)
    joint_pos, joint_vel, pos, quat = (
        np.stack([np.asarray(row[k], np.float64).reshape(-1) for row in rows]) for k in range(4)
    )
    quat = quat_normalize(quat[:, [3, 0, 1, 2]])
    base_pos, base_quat, chain = pos.copy(), quat.copy(), Chain.of(robot, anchor, joints)
    for k, row in enumerate(joint_pos):
        offset, turn = chain.pose(row)
        base_quat[k] = quat_mul(quat[k], quat_conj(matrix_to_quat(turn)))
        base_pos[k] = pos[k] - quat_rotate(base_quat[k], offset)
    same = anchor == robot.body_names[0]
    body_pos = pos[:, None] if same else np.stack([base_pos, pos], axis=1)
    body_quat = quat[:, None] if same else np.stack([base_quat, quat], axis=1)
    return reference_of(
        {
            "joint_pos": joint_pos,
            "joint_vel": joint_vel,
            "body_pos_w": body_pos,
            "body_quat_w": body_quat,
            "body_lin_vel_w": np.gradient(body_pos, dt, axis=0),
            "body_ang_vel_w": angular_velocity(body_quat, 1.0 / dt),
        }
    )


def numbers(key: str, told: Any) -> list[float]:
    """The numbers of a JSON list."""
    try:
        return [float(each) for each in told]
    except (TypeError, ValueError, OverflowError) as error:
        raise MimicError(f"metadata '{key}' is no list of numbers ({error})") from error


def plain(policy: PolicyFile, key: str) -> Any:
    """A JSON value of the metadata."""
    try:
        return parse_json(f"metadata '{key}'", policy.metadata[key])
    except KeyError as error:
        raise MimicError(f"the metadata lacks {key}") from error
    except InputError as error:
        raise MimicError(str(error)) from error
