"""A person made of joint positions, in any published order: a walk with straight, known bones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from motions.human.skeletons.layouts import Layout

Array = NDArray[Any]

# x left, y up, z ahead, m; a part stands for both sides, the right one mirrored.
_PLACES: dict[str, tuple[float, float, float]] = {
    "pelvis": (0, 0.95, 0), "spine": (0, 1.05, 0), "spine1": (0, 1.15, 0), "spine2": (0, 1.28, 0),
    "chest": (0, 1.3, 0), "neck": (0, 1.48, 0), "neck2": (0, 1.53, 0), "head": (0, 1.6, 0.02),
    "headend": (0, 1.75, 0.02), "face": (0, 1.65, 0.1),
    "hip": (0.09, 0.9, 0), "knee": (0.09, 0.48, 0.03), "ankle": (0.09, 0.08, -0.02),
    "toe": (0.09, 0.02, 0.12), "toeend": (0.09, 0.02, 0.17), "heel": (0.09, 0.02, -0.06),
    "collar": (0.05, 1.42, 0), "shoulder": (0.18, 1.43, 0), "elbow": (0.22, 1.15, -0.03),
    "wrist": (0.24, 0.9, 0.05), "hand": (0.245, 0.82, 0.08),
}  # fmt: skip
_PARTS = {
    "hips": "pelvis", "hipjoint": "pelvis", "torso": "spine", "spine3": "chest", "neck1": "neck",
    "jaw": "face", "eye": "face", "ear": "face", "nose": "face", "upleg": "hip", "leg": "knee",
    "shin": "knee", "foot": "ankle", "toebase": "toe", "toe": "toe", "footmod": "heel",
    "bigtoe": "toe", "smalltoe": "toe", "thorax": "collar", "arm": "shoulder", "forearm": "elbow",
    "handend": "hand", "handthumbend": "hand", "handmiddleend": "hand",
}  # fmt: skip


def place(layout: Layout, name: str) -> Array:
    """Where joint `name` of a layout stands, [3]."""
    low = name.lower().replace("_", "")
    side = 1.0
    for mark, sign in (("left", 1.0), ("right", -1.0), ("l", 1.0), ("r", -1.0)):
        rest = low.removeprefix(mark)
        if low.startswith(mark) and (len(mark) > 1 or name[1:2] == "_"):
            low, side = rest, sign
            break
    if layout.name.startswith("smpl") and low == "foot":
        low = "toe"
    elif layout.name in ("lafan22", "optitrack26", "mocap53", "soma30"):
        sided = name.lower().startswith(("left", "right"))
        low = {"shoulder": "collar", "hand": "wrist"}.get(low, low) if sided else low
        if layout.name == "soma30":
            low = {"leg": "hip"}.get(low, low)
    elif low == "hip":
        low = "hip"
    part = low if low in _PLACES else _PARTS.get(low, "hand")
    return np.array(_PLACES[part]) * np.array([side, 1.0, 1.0])


def walk(layout: Layout, frames: int = 40, fps: float = 30.0) -> Array:
    """Positions [T, J, 3] m, y up: limbs swing as stiff sticks, 1 m/s ahead along z."""
    rest = np.array([place(layout, n) for n in layout.joint_names])
    # Two joints at one place are one joint: fingers and helper joints are drawn apart.
    for joint in range(len(rest)):
        if any(np.allclose(rest[joint], rest[j]) for j in range(joint)):
            rest[joint] += np.array([0.0, -0.004, 0.003]) * (joint + 1)
    top = _swinging(layout)
    time = np.arange(frames) / fps
    pos = np.tile(rest, (frames, 1, 1))
    for joint, (pivot, sign) in enumerate(top):
        if pivot < 0:
            continue
        angle = sign * 0.4 * np.sin(2 * np.pi * time)
        arm = rest[joint] - rest[pivot]
        c, s = np.cos(angle), np.sin(angle)
        pos[:, joint, 1] = rest[pivot, 1] + c * arm[1] - s * arm[2]
        pos[:, joint, 2] = rest[pivot, 2] + s * arm[1] + c * arm[2]
    pos[..., 2] += 1.0 * time[:, None]
    return pos


def _swinging(layout: Layout) -> list[tuple[int, float]]:
    """Per joint the hip or shoulder it swings about (-1: none) and the direction."""
    found: list[tuple[int, float]] = []
    for joint, name in enumerate(layout.joint_names):
        parent = layout.parents[joint]
        start = place(layout, name)
        hip = np.allclose(np.abs(start), np.abs(_PLACES["hip"]), atol=0.01)
        shoulder = np.allclose(np.abs(start), np.abs(_PLACES["shoulder"]), atol=0.01)
        if parent >= 0 and found[parent][0] >= 0:
            found.append(found[parent])
        elif hip or shoulder:
            found.append((joint, float(np.sign(start[0])) * (1.0 if hip else -1.0)))
        else:
            found.append((-1, 0.0))
    return found
