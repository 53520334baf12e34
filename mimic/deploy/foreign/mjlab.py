"""Tracking policies of BeyondMimic and mjlab: ONNX with the clip inside, metadata as CSV texts.

Inputs ``obs``, ``time_step``; outputs ``actions`` and the clip's frame at the time step. The
metadata keys are those of their exporters; numbers there have three digits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from mimic.deploy.foreign.player import Foreign, reference_of
from mimic.policy.contract import ObservationInfo
from mimic.policy.observations import Reference
from mimic_base.errors import MimicError
from mimic_base.limits import limit

if TYPE_CHECKING:
    from mimic.deploy.foreign import PolicyFile

KEYS = ("joint_names", "joint_stiffness", "joint_damping", "default_joint_pos", "action_scale")
NAMES = {
    "command": "command", "motion_anchor_pos_b": "motion_anchor_pos_b",
    "motion_anchor_ori_b": "motion_anchor_ori_b", "base_lin_vel": "base_lin_vel",
    "base_ang_vel": "base_ang_vel", "joint_pos": "joint_pos", "joint_pos_rel": "joint_pos",
    "joint_vel": "joint_vel", "joint_vel_rel": "joint_vel", "actions": "actions",
    "last_action": "actions", "projected_gravity": "projected_gravity",
}  # fmt: skip
"""Their observations and ours."""


def sizes_of(joints: int) -> dict[str, int]:
    """Entries of our observations, by name."""
    three = ("motion_anchor_pos_b", "base_lin_vel", "base_ang_vel", "projected_gravity")
    per_joint = ("joint_pos", "joint_vel", "actions")
    return {
        "command": 2 * joints, "motion_anchor_ori_b": 6,
        **dict.fromkeys(three, 3), **dict.fromkeys(per_joint, joints),
    }  # fmt: skip


def read(policy: PolicyFile) -> Foreign | None:
    """The policy of a file with their metadata."""
    if policy.session is None or not {*KEYS, "observation_names"} <= set(policy.metadata):
        return None
    meta = policy.metadata
    joints = tuple(texts(meta["joint_names"]))
    robot, missing = policy.robot_of(joints)
    bodies = tuple(texts(meta.get("body_names", "")))
    anchor = meta.get("anchor_body_name", "").strip()
    if not bodies or anchor not in bodies:
        raise MimicError("the metadata lacks body_names or anchor_body_name")
    if robot.body_names[0] not in bodies:
        raise MimicError(
            f"body_names lack the base '{robot.body_names[0]}', whose direction has to be known"
        )
    scale = numbers("action_scale", meta, len(joints))
    sizes, terms = sizes_of(len(joints)), []
    names = texts(meta["observation_names"])
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise MimicError(f"observation {', '.join(unknown)} is not known here")
    scales = optional("observation_terms_scale", meta, len(names), 1.0)
    history = optional("observation_terms_history_length", meta, len(names), 1.0)
    if any(text not in ("", "None") for text in texts(meta.get("observation_terms_clip", ""))):
        missing = (*missing, "clips of observations: they are not applied")
    for name, factor, past in zip(names, scales, history, strict=True):
        own = NAMES[name]
        terms.append(
            ObservationInfo(name=own, size=sizes[own], scale=factor, history=max(1, round(past)))
        )
    total = sum(term.size * term.history for term in terms)
    if policy.sizes.get("obs") != total:
        raise MimicError(
            f"its observations ({', '.join(names)}) have {total} entries, the network takes "
            f"{policy.sizes.get('obs')}"
        )
    dt = policy.description.control_dt
    if not policy.described:
        missing = (*missing, f"the control step: taken to be {dt:g} s")
    return Foreign(
        format="BeyondMimic/mjlab",
        robot=robot,
        joint_names=joints,
        default_joint_pos=numbers("default_joint_pos", meta, len(joints)),
        action_scale=scale,
        kp=numbers("joint_stiffness", meta, len(joints)),
        kd=numbers("joint_damping", meta, len(joints)),
        observations=tuple(terms),
        anchor_body=anchor,
        body_names=bodies,
        control_dt=dt,
        network=lambda obs, time: policy.session.run(
            ["actions"], {"obs": obs, "time_step": np.full((len(obs), 1), time, np.float32)}
        )[0],
        clip=clip_of(policy, [each.name for each in fields(Reference)], len(joints)),
        missing=(*missing, "digits of gains and scales: the file has three"),
    )


def clip_of(policy: PolicyFile, outputs: Sequence[str], joints: int) -> Reference:
    """The clip, frame by frame; it has ended where nothing changes any more."""
    rows = frames_of(policy, outputs)
    arrays = {name: np.stack([row[k] for row in rows]) for k, name in enumerate(outputs)}
    if arrays["joint_pos"].shape[1:] != (joints,):
        raise MimicError(f"the clip inside has the joints {arrays['joint_pos'].shape[1:]}")
    return reference_of(arrays)


def frames_of(policy: PolicyFile, outputs: Sequence[str]) -> list[list[np.ndarray]]:
    """Outputs [T] of the time steps until they stay as they are in the end."""
    lacking = [name for name in (*outputs, "time_step") if name not in policy.sizes]
    if lacking:
        raise MimicError(f"the network has no input or output '{lacking[0]}'")
    obs = np.zeros((1, policy.sizes["obs"]), np.float32)

    def at(time: float) -> list[np.ndarray]:
        feed = {"obs": obs, "time_step": np.full((1, 1), time, np.float32)}
        return [np.asarray(each)[0] for each in policy.session.run(list(outputs), feed)]

    try:
        last, rows = at(1e6), []
        for time in range(int(limit("frames"))):
            rows.append(at(time))
            if all(np.array_equal(a, b) for a, b in zip(rows[-1], last, strict=True)):
                return rows if len(rows) > 1 else rows * 2
    except MimicError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:160]
        raise MimicError(f"the clip inside cannot be read ({reason})") from error
    raise MimicError(f"the clip inside has no end within {len(rows)} frames")


def texts(line: str) -> list[str]:
    """The entries of a CSV text."""
    return [each.strip() for each in line.split(",") if each.strip()]


def numbers(key: str, meta: object, count: int) -> list[float]:
    """The numbers of a CSV text: ``count`` of them, or one for all."""
    assert hasattr(meta, "get")
    try:
        found = [float(each) for each in texts(str(meta.get(key, "")))]  # type: ignore[attr-defined]
    except ValueError as error:
        raise MimicError(f"metadata '{key}' is no list of numbers ({error})") from error
    found = found * count if len(found) == 1 else found
    if len(found) != count or not all(math.isfinite(each) for each in found):
        raise MimicError(f"metadata '{key}' has {len(found)} numbers, expected {count}")
    return found


def optional(key: str, meta: object, count: int, usual: float) -> list[float]:
    """As `numbers`; where the key is absent or says None: the usual value."""
    assert hasattr(meta, "get")
    found = texts(str(meta.get(key, "")))  # type: ignore[attr-defined]
    if not found or len(found) != count:
        return [usual] * count
    try:
        return [usual if each in ("None", "0", "0.000") else float(each) for each in found]
    except ValueError as error:
        raise MimicError(f"metadata '{key}' is no list of numbers ({error})") from error
