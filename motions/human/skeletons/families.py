"""Skeletons that have a name of their own, told by joint names only they use together."""

from __future__ import annotations

from collections.abc import Sequence

_SIGNATURES: tuple[tuple[str, frozenset[str]], ...] = (
    ("CMU (ASF bones)", frozenset({"lhipjoint", "lfemur", "lclavicle", "lhumerus", "thorax"})),
    ("CMU cgspeed (MotionBuilder names)", frozenset({"LHipJoint", "LeftUpLeg", "LeftFingerBase"})),
    ("CMU cgspeed (3ds Max names)", frozenset({"LHipJoint", "LeftHip", "LeftCollar"})),
    ("MakeHuman (MocapNET)", frozenset({"abdomen", "lbuttock", "lhip", "lshoulder", "lcollar"})),
    ("Bandai-Namco", frozenset({"joint_Root", "UpperLeg_L", "LowerArm_R"})),
    (
        "LAFAN1",
        frozenset({"LeftUpLeg", "LeftToe", "Spine2", "LeftForeArm"}),
    ),
    ("AMP humanoid", frozenset({"torso", "right_thigh", "right_shin", "left_upper_arm"})),
    ("DeepMimic humanoid", frozenset({"root", "right_hip", "right_wrist", "left_shoulder"})),
)


def family_of(joint_names: Sequence[str]) -> str:
    """The family's name, or "generic"."""
    if any(n.lower().startswith("mixamorig") for n in joint_names):
        return "Mixamo"
    present = set(joint_names)
    return next((name for name, wanted in _SIGNATURES if wanted <= present), "generic")
