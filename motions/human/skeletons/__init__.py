"""Finding out which joint of a foreign skeleton is the left knee."""

from __future__ import annotations

from motions.human.skeletons.names import JointName, parse_joint_name
from motions.human.skeletons.recognise import Recognition, recognise

__all__ = ["JointName", "Recognition", "parse_joint_name", "recognise"]
