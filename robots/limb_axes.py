"""Where a limb's bone points at the zero pose: along the axis it is drawn for, or as it is drawn.

Robots are drawn with straight limbs along the world's axes, and their joints lie beside that line
by the size of a motor. On a long bone such an offset turns the line between two joints by a few
degrees, on an upper arm of 4 cm by 35. An arm drawn away from the body is turned as much, and that
is a pose. The bone after it and the hinge between them tell the two apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mimic_base.vectors import Array, unit

NEAR_DEG = 30.0
"""A bone so near to an axis is drawn along it."""
FAR_DEG = 50.0
"""A bone so far from every axis is drawn as it stands."""
_POSE_DEG = 12.0
"""Two bones that are both this far off the axis, in one line, are a pose."""
_LINE_DEG = 4.0


@dataclass(frozen=True, kw_only=True)
class BoneAxis:
    """Direction of a bone and what is doubtful about it."""

    along: Array
    """[3] unit."""
    doubt: str = ""
    """One clause, empty where the evidence agrees."""


def bone_axes(upper: Array, lower: Array, hinge: Array | None) -> tuple[BoneAxis, BoneAxis]:
    """Directions of thigh and shank, or of upper arm and forearm.

    `upper` and `lower` [3] m lead from joint to joint at the zero pose; `hinge` [3] is the axis of
    the knee or elbow between them, None where there is none.
    """
    drawn = _in_one_line(upper, lower)
    return _axis(upper, lower, hinge, drawn), _axis(lower, upper, hinge, drawn)


def off_axis(bone: Array) -> tuple[Array, float]:
    """The world's axis [3] nearest to a bone, and the angle to it (degrees)."""
    v = unit(bone)
    k = int(np.abs(v).argmax())
    axis = np.zeros(3)
    axis[k] = np.sign(v[k])
    return axis, float(np.degrees(np.arccos(np.clip(axis @ v, -1.0, 1.0))))


def _in_one_line(upper: Array, lower: Array) -> bool:
    """Whether both bones are as oblique and in one line: a limb drawn away from the body."""
    between = float(np.degrees(np.arccos(np.clip(unit(upper) @ unit(lower), -1.0, 1.0))))
    return between < _LINE_DEG and min(off_axis(upper)[1], off_axis(lower)[1]) > _POSE_DEG


def _axis(bone: Array, other: Array, hinge: Array | None, drawn: bool) -> BoneAxis:
    axis, off = off_axis(bone)
    if drawn or off >= FAR_DEG:
        return BoneAxis(along=unit(bone))
    if off < NEAR_DEG:
        return BoneAxis(along=axis)
    # An offset along the hinge moves the joint, not the limb.
    flat = bone if hinge is None else bone - (bone @ unit(hinge)) * unit(hinge)
    votes = (
        off_axis(other)[1] < 20.0 and float(off_axis(other)[0] @ axis) > 0.9,
        off_axis(flat)[1] < NEAR_DEG and float(off_axis(flat)[0] @ axis) > 0.9,
        float(np.linalg.norm(bone)) < 0.5 * float(np.linalg.norm(other)),
    )
    snapped = sum(votes) >= 2
    doubt = ""
    if sum(votes) in (1, 2) and not (votes[0] and sum(votes) == 2):
        taken = "taken along the axis" if snapped else "taken as drawn"
        doubt = f"a bone of {100 * np.linalg.norm(bone):.1f} cm is {off:.0f} deg oblique, {taken}"
    return BoneAxis(along=axis if snapped else unit(bone), doubt=doubt)
