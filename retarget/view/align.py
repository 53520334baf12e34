"""Which part of a source clip a robot motion was made from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mimic_base.errors import input_error
from mimic_base.rotations import quat_rotate
from mimic_base.vectors import Array, unit
from motions import HumanMotion, RobotMotion
from robots.frames import robot_frames
from robots.robot import Robot
from robots.segments import LIMBS

_SAMPLES = 48
_SLACK = 2
"""Frames by which rounding, or another tool's crop, may make the motion longer."""


def source_part(human: HumanMotion, motion: RobotMotion, robot: Robot) -> tuple[HumanMotion, float]:
    """The source at the motion's frames, and the second of the clip at which it begins.

    A clip longer than the motion was cropped for it: the part whose limbs point as the robot's do
    is taken (a motion file does not say which part it was made from).

    Raises:
        InputError: the clip is shorter than the motion.
    """
    human = human.resample(motion.fps)
    missing = motion.num_frames - human.num_frames
    if missing > _SLACK:
        raise input_error(
            human.name,
            "the clip is shorter than the robot motion, so it is not its source",
            found=f"{human.duration:.2f} s",
            expected=f"at least {motion.duration:.2f} s",
        )
    if missing > 0:
        last = np.minimum(np.arange(motion.num_frames), human.num_frames - 1)
        return _frames(human, last), 0.0
    start = 0 if missing == 0 else best_start(human, motion, robot)
    return human.crop(start, start + motion.num_frames), start / motion.fps


def best_start(human: HumanMotion, motion: RobotMotion, robot: Robot) -> int:
    """Frame of `human` (at the motion's rate) from which its limbs agree best with the robot's."""
    frames = np.unique(np.linspace(0, motion.num_frames - 1, _SAMPLES).astype(int))
    person = np.stack(
        [unit(human.role(end) - human.role(start)) for start, end in LIMBS.values()], axis=1
    )
    machine = _limb_axes(motion, robot)[frames]
    agreement = np.einsum("nlc,klc->nk", person, machine)
    starts = human.num_frames - motion.num_frames + 1
    total = np.zeros(starts)
    for k, frame in enumerate(frames):
        total += agreement[frame : frame + starts, k]
    return int(total.argmax())


def _limb_axes(motion: RobotMotion, robot: Robot) -> Array:
    """Directions [T, L, 3] of the robot's limbs, in the order of `LIMBS`."""
    links = robot_frames(robot).links
    columns = {name: k for k, name in enumerate(motion.body_names)}
    axes = []
    for limb in LIMBS:
        link = links[limb]
        quat = motion.body_quat_w[:, columns[robot.body_names[link.body - 1]]]
        axes.append(quat_rotate(quat, link.primary))
    return np.stack(axes, axis=1)


def _frames(human: HumanMotion, index: Array) -> HumanMotion:
    quat = None if human.quat_w is None else human.quat_w[index]
    return replace(human, pos_w=human.pos_w[index], quat_w=quat)
