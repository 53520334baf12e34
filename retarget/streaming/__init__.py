"""Live retargeting: one frame of a person in, one pose of the robot out."""

from __future__ import annotations

from retarget.streaming.pose import RobotPose
from retarget.streaming.retargeter import StreamingRetargeter
from retarget.streaming.settings import StreamSettings
from retarget.streaming.skeleton import HumanFrame, Skeleton, frames_of

__all__ = [
    "HumanFrame",
    "RobotPose",
    "Skeleton",
    "StreamSettings",
    "StreamingRetargeter",
    "frames_of",
]
