"""Joint orders of arrays that carry positions and no names.

A layout is a published order: the joint's place in the array is all that says which joint it is.
Which layout an array has is told by its number of joints and, where several have that number, by
geometry: only in the right order are the bones of constant length and of human proportions.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.rotations import norm
from mimic_base.stretches import by_stretches
from motions.human.skeletons.recognise import recognise

Array = NDArray[Any]

LEAST_RIGID = 0.15
"""Bones that vary more than this (standard deviation over length) are not bones."""


@dataclass(frozen=True)
class Layout:
    """A joint order; parents stand before their children, -1 is the root's."""

    name: str
    title: str
    joint_names: tuple[str, ...]
    parents: tuple[int, ...]
    usual_fps: str = ""
    """What files of this kind usually have, for the line that asks for the rate."""


@dataclass(frozen=True)
class Fit:
    """How well an array agrees with a layout."""

    layout: Layout
    rigidity: float
    """Median over the bones of the standard deviation of the length over its mean."""
    problem: str | None
    """What no person has, in this order; None when all is well."""


def _chains(*chains: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names and parents of a tree, from chains that begin at a joint already named.

    The order of first mention is the order of the joints.
    """
    names: list[str] = [chains[0].split()[0]]
    parents = [-1]
    for chain in chains:
        for above, joint in pairwise(chain.split()):
            parents.append(names.index(above))
            names.append(joint)
    return tuple(names), tuple(parents)


def _fingers(hand: str, fingers: str, side: str = "") -> tuple[str, ...]:
    return tuple(
        " ".join([hand, *(f"{side}{finger}{i}" for i in (1, 2, 3))]) for finger in fingers.split()
    )


def _mocap_hand(side: str) -> tuple[str, ...]:
    chain = f"Spine1 {side}Shoulder {side}Arm {side}ForeArm {side}Hand"
    return chain, *_fingers(f"{side}Hand", "Thumb Index Middle Ring Pinky", f"{side}Hand")


def _smplh_arm(side: str) -> tuple[str, ...]:
    chain = f"Chest {side}_Thorax {side}_Shoulder {side}_Elbow {side}_Wrist"
    return chain, *_fingers(f"{side}_Wrist", "Index Middle Pinky Ring Thumb", f"{side}_")


SMPL_BODY: tuple[str, ...] = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2",
    "left_ankle", "right_ankle", "spine3", "left_foot", "right_foot", "neck", "left_collar",
    "right_collar", "head", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow",
    "left_wrist", "right_wrist",
)  # fmt: skip
"""The 22 body joints that SMPL, SMPL-H and SMPL-X share, in their order."""
SMPL_BODY_PARENTS: tuple[int, ...] = (
    -1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19,
)  # fmt: skip
_SMPL_HANDS = ("left_hand", "right_hand")
# The points on the skin that follow the 24 joints in the output of common SMPL code: face, feet,
# finger tips.
_SMPL_EXTRA = (
    "nose", "right_eye", "left_eye", "right_ear", "left_ear",
    "left_big_toe", "left_small_toe", "left_heel",
    "right_big_toe", "right_small_toe", "right_heel",
    *(f"{s}_{f}" for s in ("left", "right") for f in
      ("thumb_tip", "index_tip", "middle_tip", "ring_tip", "pinky_tip")),
)  # fmt: skip
_SMPL_EXTRA_PARENTS = (15,) * 5 + (7,) * 3 + (8,) * 3 + (20,) * 5 + (21,) * 5

LAYOUTS: tuple[Layout, ...] = (
    Layout(
        "lafan22",
        "LAFAN1",
        *_chains(
            "Hips LeftUpLeg LeftLeg LeftFoot LeftToe",
            "Hips RightUpLeg RightLeg RightFoot RightToe",
            "Hips Spine Spine1 Spine2 Neck Head",
            "Spine2 LeftShoulder LeftArm LeftForeArm LeftHand",
            "Spine2 RightShoulder RightArm RightForeArm RightHand",
        ),
        "LAFAN1 has 30",
    ),
    Layout("smpl22", "SMPL (22 joints)", SMPL_BODY, SMPL_BODY_PARENTS, "HumanML3D has 20"),
    Layout(
        "smpl24",
        "SMPL (24 joints)",
        (*SMPL_BODY, *_SMPL_HANDS),
        (*SMPL_BODY_PARENTS, 20, 21),
        "video estimates have the video's rate",
    ),
    Layout(
        "smpl45",
        "SMPL (45 joints)",
        (*SMPL_BODY, *_SMPL_HANDS, *_SMPL_EXTRA),
        (*SMPL_BODY_PARENTS, 20, 21, *_SMPL_EXTRA_PARENTS),
        "video estimates have the video's rate",
    ),
    Layout(
        "smplh52",
        "SMPL-H (52 joints, simulation order)",
        *_chains(
            "Pelvis L_Hip L_Knee L_Ankle L_Toe",
            "Pelvis R_Hip R_Knee R_Ankle R_Toe",
            "Pelvis Torso Spine Chest Neck Head",
            *_smplh_arm("L"),
            *_smplh_arm("R"),
        ),
        "OMOMO has 30",
    ),
    Layout(
        "optitrack26",
        "OptiTrack",
        *_chains(
            "Hips Spine Spine1 Neck Head HeadEnd",
            "Neck LeftShoulder LeftArm LeftForeArm LeftHand LeftHandEnd",
            "Neck RightShoulder RightArm RightForeArm RightHand RightHandEnd",
            "Hips LeftUpLeg LeftLeg LeftFoot LeftToeBase LeftToeEnd",
            "Hips RightUpLeg RightLeg RightFoot RightToeBase RightToeEnd",
        ),
        "cameras record 120 or 240, thinned exports have 30",
    ),
    Layout(
        "soma30",
        "SOMA (30 joints)",
        *_chains(
            "Hips Spine1 Spine2 Chest Neck1 Neck2 Head Jaw",
            "Head LeftEye",
            "Head RightEye",
            "Chest LeftShoulder LeftArm LeftForeArm LeftHand LeftHandThumbEnd",
            "LeftHand LeftHandMiddleEnd",
            "Chest RightShoulder RightArm RightForeArm RightHand RightHandThumbEnd",
            "RightHand RightHandMiddleEnd",
            "Hips LeftLeg LeftShin LeftFoot LeftToeBase",
            "Hips RightLeg RightShin RightFoot RightToeBase",
        ),
        "Kimodo has 30",
    ),
    Layout(
        "mocap53",
        "mocap with fingers (53 joints)",
        *_chains(
            "Hips Spine Spine1 Neck Head",
            *_mocap_hand("Left"),
            *_mocap_hand("Right"),
            "Hips LeftUpLeg LeftLeg LeftFoot LeftToeBase",
            "Hips RightUpLeg RightLeg RightFoot RightToeBase",
            "LeftFoot LeftFootMod",
            "RightFoot RightFootMod",
        ),
        "the climbing clips do not say theirs",
    ),
)
BY_NAME = {layout.name: layout for layout in LAYOUTS}


def fit(pos: Array, layout: Layout) -> Fit:
    """Judge positions [T, J, 3], in any unit, against a layout of J joints."""
    child = np.array([j for j, p in enumerate(layout.parents) if p >= 0])
    parent = np.array([p for p in layout.parents if p >= 0])
    length = by_stretches(lambda part: norm(part[:, child] - part[:, parent]), pos)
    mean = length.mean(axis=0)
    there = mean > 1e-6 * max(float(mean.max()), 1e-12)
    spread = length.std(axis=0)[there] / mean[there]
    found = recognise(layout.joint_names, layout.parents, pos[len(pos) // 2])
    problems = [*found.misplaced, *found.unlikely]
    rigidity = float(np.median(spread)) if len(spread) else np.inf
    return Fit(layout, rigidity, problems[0] if problems else None)


def of_size(joints: int) -> list[Layout]:
    """The layouts of so many joints."""
    return [layout for layout in LAYOUTS if len(layout.joint_names) == joints]
