"""Column orders that published formats declare for files without names.

Facts of the vendors and of the simulators that wrote the files: Unitree's SDK numbers the G1's
motors as MuJoCo walks the tree (limb by limb), Isaac Lab walks it level by level.
"""

from __future__ import annotations

from mimic_base.errors import input_error

_LEG = ("hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll")
_WAIST = ("waist_yaw", "waist_roll", "waist_pitch")
_UPPER_ARM = ("shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow")
_WRIST = ("wrist_roll", "wrist_pitch", "wrist_yaw")


def _sided(side: str, stems: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{side}_{stem}" for stem in stems)


def _depth_first(arm: tuple[str, ...]) -> tuple[str, ...]:
    legs = _sided("left", _LEG) + _sided("right", _LEG)
    return legs + _WAIST + _sided("left", arm) + _sided("right", arm)


def _breadth_first(arm: tuple[str, ...]) -> tuple[str, ...]:
    limbs = [_sided("left", _LEG), _sided("right", _LEG), _WAIST]
    arms = [_sided("left", arm), _sided("right", arm)]
    # The arms hang on the waist's last link, so their first joints are its next level.
    order: list[str] = []
    for level in range(len(_WAIST) + len(arm)):
        order += [limb[level] for limb in limbs if level < len(limb)]
        order += [limb[level - 3] for limb in arms if 3 <= level < 3 + len(limb)]
    return tuple(order)


def _joints(stems: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{stem}_joint" for stem in stems)


JOINT_ORDERS: dict[str, tuple[str, ...]] = {
    "g1-29": _joints(_depth_first(_UPPER_ARM + _WRIST)),
    "g1-29-isaaclab": _joints(_breadth_first(_UPPER_ARM + _WRIST)),
    "g1-23": _joints(_depth_first(_UPPER_ARM)),
}
"""`--joint-order` by name: the Unitree G1 in MuJoCo's and the SDK's order, in Isaac Lab's order,
and TWIST's G1 without wrists."""

ROBOT_OF_ORDER = {name: "unitree_g1" for name in JOINT_ORDERS}


def parse_joint_order(text: str | None) -> tuple[str, ...] | None:
    """`--joint-order` as names: one of `JOINT_ORDERS` or names joined by commas; None for none."""
    if text is None:
        return None
    if text in JOINT_ORDERS:
        return JOINT_ORDERS[text]
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if len(names) < 2:
        raise input_error(
            None,
            "--joint-order names no known order",
            found=repr(text),
            expected=f"{', '.join(JOINT_ORDERS)}, or all joint names joined by commas",
        )
    return names


def link_of_joint(joint: str) -> str:
    """The G1's link that a joint moves: its name with another ending, the torso excepted."""
    return "torso_link" if joint == "waist_pitch_joint" else joint.removesuffix("_joint") + "_link"


def body_order(joints: tuple[str, ...]) -> tuple[str, ...]:
    """The G1's bodies when each joint carries one: the base, then the links in joint order."""
    return ("pelvis", *(link_of_joint(joint) for joint in joints))


def parent_joint(joint: str) -> str | None:
    """The G1's joint that carries the link before `joint`; None when that is the base."""
    for side in ("left", "right"):
        for limb, above in ((_LEG, None), (_UPPER_ARM + _WRIST, "waist_pitch_joint")):
            chain = _joints(_sided(side, limb))
            if joint in chain:
                level = chain.index(joint)
                return chain[level - 1] if level else above
    chain = _joints(_WAIST)
    level = chain.index(joint)
    return chain[level - 1] if level else None
