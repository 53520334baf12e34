"""Roles for skeletons whose joint names say nothing: from the tree, the bones and the poses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.errors import input_error
from motions.human.motion import REQUIRED_ROLES, SIDES, body_height
from motions.human.readers import detect
from motions.human.readers.raw import RawClip
from motions.human.readers.repair import toes_from_end_sites
from motions.human.skeletons import recognise
from motions.human.skeletons.topology import find_limbs

Array = NDArray[Any]

_POSES = 60
_LEAST_TURN = 1e-3
_MOMENT = 10
_LEAST_SURE = 0.3
"""Below this, left might be right (see `detect.handedness`; clips of people have 0.6 and more)."""
_UPRIGHT = 0.5
"""Cosine between legs and trunk that people reach and quadrupeds do not."""


def names_tell_nothing(joint_names: Sequence[str], parents: Sequence[int], pose: Array) -> bool:
    """Whether no joint of a limb is known by its name; `pose` is [J, 3]."""
    roles = recognise(joint_names, parents, pose).roles
    return not any(role in roles for role in REQUIRED_ROLES if role.startswith(SIDES))


def roles_by_shape(clip: RawClip, given: Mapping[str, int]) -> tuple[dict[str, int], str]:
    """Roles of limbs, neck and head of a skeleton without telling names, and the note about it.

    Joints in `given` keep their role; one of the left or right side settles the sides, else knees,
    elbows and toes show where the front is.

    Raises:
        InputError: the skeleton is not clearly a person's, or its sides cannot be told apart.
    """
    some = np.unique(np.linspace(0, len(clip.pos) - 1, _POSES).astype(int))
    pos = clip.pos[some]
    angles = clip.local_angles()
    turns = None
    if angles is not None:
        # Over a moment even a head is still: there, what is turned at all counts.
        least = angles.min(axis=0) if len(angles) >= _MOMENT else 0.0
        turns = np.asarray(angles.max(axis=0) - least > _LEAST_TURN)
    found = find_limbs(clip.parents, pos, turns)
    if found.problem:
        raise _unclear(clip, found.problem)
    roles = _same_sides(found.roles, pos)
    if not _stands(clip, roles, pos):
        raise _unclear(clip, "its trunk lies across its legs in every frame, as in a quadruped")
    footed, with_toes, _ = toes_from_end_sites(clip, roles)
    sure = detect.handedness(footed.pos, with_toes)
    by_hand = _side_of(given, roles)
    if by_hand is None and abs(sure) < _LEAST_SURE:
        raise _unclear(clip, "left and right cannot be told apart (no bent knee or elbow, no toes)")
    if by_hand is False or (by_hand is None and sure < 0):
        roles = {other_side(role): joint for role, joint in roles.items()}
    settled = "as given" if by_hand is not None else f"{100 * abs(sure):.0f} % sure"
    listed = ", ".join(f"{r}={clip.joint_names[j]}" for r, j in sorted(roles.items()))
    note = (
        f"the joint names say nothing: roles follow the skeleton's shape, left and right {settled} "
        f"({listed}); --skeleton-map ROLE=JOINT corrects one"
    )
    return {**roles, **given}, note


def _same_sides(roles: dict[str, int], pos: Array) -> dict[str, int]:
    """Arms paired with the legs of their own side: the trunk twists by less than half a turn."""
    hips = pos[:, roles["left_hip"]] - pos[:, roles["right_hip"]]
    shoulders = pos[:, roles["left_shoulder"]] - pos[:, roles["right_shoulder"]]
    if np.sum(hips * shoulders, axis=-1).sum() >= 0:
        return roles
    arms = ("shoulder", "elbow", "wrist", "hand")
    return {other_side(r) if r.endswith(arms) else r: joint for r, joint in roles.items()}


def other_side(role: str) -> str:
    """The same role of the other side; roles of the midline are their own."""
    for side, other in (SIDES, SIDES[::-1]):
        if role.startswith(f"{side}_"):
            return other + role[len(side) :]
    return role


def _side_of(given: Mapping[str, int], roles: Mapping[str, int]) -> bool | None:
    """Whether the sides agree with the joints given by hand; None when none of these tells."""
    for role, joint in given.items():
        for mine, at in roles.items():
            if at == joint and role.startswith(SIDES) and mine.startswith(SIDES):
                return role.split("_")[0] == mine.split("_")[0]
    return None


def _stands(clip: RawClip, roles: Mapping[str, int], pos: Array) -> bool:
    poses = [pos] if clip.rest_pos is None else [pos, clip.rest_pos[None]]
    for pose in poses:
        hips = detect.middle(pose, roles, "hip")
        legs = hips - detect.middle(pose, roles, "ankle")
        trunk = detect.middle(pose, roles, "shoulder") - hips
        size = np.linalg.norm(legs, axis=-1) * np.linalg.norm(trunk, axis=-1)
        if (np.sum(legs * trunk, axis=-1) > _UPRIGHT * np.maximum(size, 1e-12)).any():
            return body_height(pos, roles) > 0
    return False


def _unclear(clip: RawClip, why: str) -> Exception:
    names = ", ".join(clip.joint_names)
    return input_error(
        clip.path,
        f"unknown skeleton: the joint names say nothing, and its shape does not settle it: {why}",
        found=f"{len(clip.joint_names)} joints: {names}",
        fix="say which joints are a person's: --skeleton-map left_hip=NAME,left_knee=NAME,...",
    )
