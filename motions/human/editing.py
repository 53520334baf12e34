"""Changing a human clip as a whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from motions.human.motion import HumanMotion

_REFLECT_POS = np.array([1.0, -1.0, 1.0])
_REFLECT_QUAT = np.array([1.0, -1.0, 1.0, -1.0])


def mirror_human(human: HumanMotion) -> HumanMotion:
    """The person in a mirror (the world's x-z plane): left becomes right.

    World and joint frames are reflected alike, so that rotations stay rotations and bones stay
    constant in their parents' frames. Joints keep their places and names; what changes is the role
    that each plays, so that the joint named LeftHand is then the right hand.
    """
    quat, rest = human.quat_w, human.rest_pos
    return replace(
        human,
        pos_w=human.pos_w * _REFLECT_POS,
        quat_w=None if quat is None else quat * _REFLECT_QUAT,
        rest_pos=None if rest is None else rest * _REFLECT_POS,
        roles={other_role(role): joint for role, joint in human.roles.items()},
    )


def other_role(role: str) -> str:
    """The role on the other side; a role on the middle line is its own."""
    for side, other in (("left_", "right_"), ("right_", "left_")):
        if role.startswith(side):
            return other + role.removeprefix(side)
    return role
