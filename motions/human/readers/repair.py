"""Skeletons that lack a joint: what can be put back, and what the user must know of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from mimic_base.rotations import quat_rotate
from motions.human.motion import SIDES, body_height
from motions.human.readers import detect
from motions.human.readers.raw import RawClip


def toes_from_end_sites(
    clip: RawClip, roles: dict[str, int]
) -> tuple[RawClip, dict[str, int], list[str]]:
    """Make the tip of a foot without a toe joint a joint: it shows where the foot points."""
    added: list[str] = []
    for side in SIDES:
        ankle, toe = roles[f"{side}_ankle"], f"{side}_toe"
        tip = clip.end_sites.get(ankle)
        quat, rest = clip.quat, clip.rest_pos
        if toe in roles or tip is None or not np.linalg.norm(tip) > 0:
            continue
        if quat is None or rest is None:
            continue
        name = f"{clip.joint_names[ankle]}_End"
        if name in clip.joint_names:
            continue
        tip_pos = clip.pos[:, ankle] + quat_rotate(quat[:, ankle], tip)
        roles = {**roles, toe: len(clip.joint_names)}
        clip = replace(
            clip,
            joint_names=(*clip.joint_names, name),
            parents=(*clip.parents, ankle),
            pos=np.concatenate([clip.pos, tip_pos[:, None]], axis=1),
            quat=np.concatenate([quat, quat[:, ankle : ankle + 1]], axis=1),
            rest_pos=np.concatenate([rest, rest[ankle : ankle + 1] + tip]),
        )
        added.append(name)
    return clip, roles, added


def lost_bones(clip: RawClip, roles: Mapping[str, int]) -> list[str]:
    """Warn of conversions that lost bones: CMU's BVH variants have no thorax and no wrist bone.

    There the neck and both collar bones begin at the last spine joint itself, one spine bone
    (about 12 cm) below where they belong.
    """
    if "chest" not in roles or "neck" not in roles or clip.rest_pos is None:
        return []
    chest = roles["chest"]
    trunk = np.linalg.norm(
        detect.middle(clip.rest_pos, roles, "shoulder") - detect.middle(clip.rest_pos, roles, "hip")
    )
    neck = clip.rest_pos[roles["neck"]] - clip.rest_pos[chest]
    collars = [_first_below(clip, chest, roles[f"{s}_shoulder"]) for s in SIDES]
    at_chest = [np.linalg.norm(clip.rest_pos[c] - clip.rest_pos[chest]) for c in collars]
    near = 0.01 * trunk
    if np.linalg.norm(neck) > near or any(d > near for d in at_chest):
        return []
    above = clip.parents[chest]
    lost = np.linalg.norm(clip.rest_pos[chest] - clip.rest_pos[above]) if above >= 0 else 0.0
    lost_cm = 100.0 * lost * detect.detect_unit(body_height(clip.pos, roles), clip.unit)[0]
    return [
        f"this conversion lost the thorax bone: arms and head sit about {lost_cm:.0f} cm too low; "
        "use the ASF/AMC original or an exact conversion of it"
    ]


def _first_below(clip: RawClip, top: int, bottom: int) -> int:
    """The child of `top` on the way down to `bottom`."""
    joint = bottom
    while clip.parents[joint] != top and clip.parents[joint] >= 0:
        joint = clip.parents[joint]
    return joint
