"""Live retargeting: one frame of a person in, one pose of the robot out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mimic_base.lazy import lazy_attributes

if TYPE_CHECKING:
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

__getattr__ = lazy_attributes(
    __name__,
    {
        "HumanFrame": "retarget.streaming.skeleton",
        "RobotPose": "retarget.streaming.pose",
        "Skeleton": "retarget.streaming.skeleton",
        "StreamSettings": "retarget.streaming.settings",
        "StreamingRetargeter": "retarget.streaming.retargeter",
        "frames_of": "retarget.streaming.skeleton",
    },
)
