"""Which motor of a robot is which joint, by the numbers of its own messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_LEG = ("hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll")
_ARM = (
    "shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow", "wrist_roll", "wrist_pitch",
    "wrist_yaw",
)  # fmt: skip

G1_JOINTS: Sequence[str] = tuple(
    [f"{side}_{joint}_joint" for side in ("left", "right") for joint in _LEG]
    + [f"waist_{axis}_joint" for axis in ("yaw", "roll", "pitch")]
    + [f"{side}_{joint}_joint" for side in ("left", "right") for joint in _ARM]
)
"""The G1's motors in the order of their slots: left leg, right leg, waist, left arm, right arm."""
H1_JOINTS: Sequence[str] = (
    "right_hip_roll", "right_hip_pitch", "right_knee", "left_hip_roll", "left_hip_pitch",
    "left_knee", "torso", "left_hip_yaw", "right_hip_yaw", "", "left_ankle", "right_ankle",
    "right_shoulder_pitch", "right_shoulder_roll", "right_shoulder_yaw", "right_elbow",
    "left_shoulder_pitch", "left_shoulder_roll", "left_shoulder_yaw", "left_elbow",
)  # fmt: skip
"""The H1's, as Unitree's SDK numbers them; number 9 is none."""
SLOTS: Mapping[str, Sequence[str]] = {
    "unitree_g1": G1_JOINTS,
    "unitree_g1_23dof": G1_JOINTS,
    "unitree_h1": H1_JOINTS,
}
"""Robot -> joint of each motor's number; an empty text where no motor is."""
