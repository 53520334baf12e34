"""Ways of changing a human clip that the retargeter must follow."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from mimic_base.rotations import quat_mul, quat_of_yaw, quat_rotate
from motions import HumanMotion
from motions.human import demo


@cache
def demo_clip(name: str, start: int, stop: int, every: int = 1) -> HumanMotion:
    clip = demo.generate(name).crop(start, stop)
    assert clip.quat_w is not None
    return replace(
        clip, fps=clip.fps / every, pos_w=clip.pos_w[::every], quat_w=clip.quat_w[::every]
    )


def moved(human: HumanMotion, yaw: float, shift: np.ndarray, scale: float = 1.0) -> HumanMotion:
    """The clip turned about the vertical, then shifted, by a person `scale` times as tall."""
    turn = quat_of_yaw(yaw)
    pos = quat_rotate(turn, scale * human.pos_w) + shift
    quat = None if human.quat_w is None else quat_mul(turn, human.quat_w)
    # The rest pose belongs to the file's own axes: in a turned world its frames are turned too.
    rest = None if human.rest_pos is None else quat_rotate(turn, scale * human.rest_pos)
    return replace(human, pos_w=pos, quat_w=quat, rest_pos=rest)
