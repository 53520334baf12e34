"""A clip as a live stream, for the tests of streaming."""

from __future__ import annotations

import json

from motions import HumanMotion
from retarget.streaming import Skeleton, StreamingRetargeter
from robots.robot import Robot


def stream_of(human: HumanMotion, robot: Robot, **options: object) -> StreamingRetargeter:
    return StreamingRetargeter(Skeleton.of(human), robot, human.fps, **options)  # pyright: ignore[reportArgumentType]


def lines_of(human: HumanMotion, **header: object) -> list[str]:
    assert human.quat_w is not None and human.rest_pos is not None
    skeleton = {
        "joint_names": human.joint_names,
        "parents": human.parents,
        "rest_pos": human.rest_pos.tolist(),
    }
    lines = [json.dumps({"skeleton": skeleton, "fps": human.fps, **header})]
    for pos, quat in zip(human.pos_w, human.quat_w, strict=True):
        lines.append(json.dumps({"pos": pos.tolist(), "quat": quat.tolist()}))
    return lines
