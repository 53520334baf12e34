"""Blending motions, one after another or one over the other.

Transitions cross-fade with the quintic ``w(u) = 6u^5 - 15u^4 + 10u^3``, whose first and second
derivative vanish at both ends. Over a transition of D seconds between coordinates that differ by
at most `g` and velocities that differ by at most `v`, the result's acceleration stays within that
of the two motions plus ``5.78 g / D^2 + 3.75 v / D``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mimic_base.errors import input_error
from mimic_base.rotations import quat_mul, quat_of_yaw, quat_rotate, slerp, yaw_of_quat
from motions.robot.formats.trajectory import RobotTrajectory
from motions.robot.objects import blend_objects, join_objects
from motions.robot.scene import is_flat

Array = NDArray[Any]


def fade_weight(progress: ArrayLike) -> Array:
    """Weight 0..1 of the second motion at `progress` 0..1 through a transition."""
    u = np.clip(np.asarray(progress, dtype=np.float64), 0.0, 1.0)
    return u**3 * (u * (6.0 * u - 15.0) + 10.0)


def align(motion: RobotTrajectory, to: RobotTrajectory, at: int, frame: int = 0) -> RobotTrajectory:
    """`motion` turned about the vertical and shifted on the ground (heights stay) so that the
    place and heading of its base at `frame` are those of `to` at frame `at`.

    Objects move along. Raises `InputError` for a clip whose scene stands still.
    """
    start = motion.root_quat[frame]
    turn = quat_of_yaw(yaw_of_quat(to.root_quat[at]) - yaw_of_quat(start))
    pos = quat_rotate(turn, motion.root_pos)
    shift = (to.root_pos[at] - pos[frame]) * [1.0, 1.0, 0.0]
    if not is_flat(motion.scene):
        raise input_error(
            motion.where,
            "a clip on terrain cannot be moved to where another one ends",
            found="terrain or fixed objects in its scene",
            fix="take them out with --without-objects",
        )
    objects = motion.objects
    return replace(
        motion,
        root_pos=pos + shift,
        root_quat=quat_mul(turn, motion.root_quat),
        bodies=None,
        objects=None if objects is None else objects.moved(turn, shift),
    )


def blend(
    first: RobotTrajectory, second: RobotTrajectory, weight: float | Array
) -> RobotTrajectory:
    """Frame by frame the mean of two motions of equal length, `weight` (or [T]) of the second.

    Angles and positions are mixed linearly, the base's rotation on the great circle, so joint
    limits that both keep are kept. Raises `InputError` when lengths, rates or joints differ.
    """
    _check_same_kind(first, second)
    if first.num_frames != second.num_frames:
        raise input_error(
            second.where, f"only clips of equal length can be blended (with {first.where})",
            found=f"{first.num_frames} and {second.num_frames} frames", fix="crop one first",
        )  # fmt: skip
    w = np.broadcast_to(np.asarray(weight, dtype=np.float64), (first.num_frames,))
    if not ((w >= 0.0) & (w <= 1.0)).all():
        raise input_error(None, "a blending weight lies between 0 and 1", found=f"{weight}")
    column = w[:, None]
    other = second.joint_pos[:, [second.joint_names.index(n) for n in first.joint_names]]
    contact = None
    if first.contact is not None and second.contact is not None:
        contact = first.contact + column * (second.contact - first.contact)
    return replace(
        first,
        root_pos=first.root_pos + column * (second.root_pos - first.root_pos),
        root_quat=slerp(first.root_quat, second.root_quat, w),
        joint_pos=first.joint_pos + column * (other - first.joint_pos),
        bodies=None,
        contact=contact,
        objects=blend_objects(first.objects, second.objects, w),
    )


def stitch(first: RobotTrajectory, second: RobotTrajectory, seconds: float) -> RobotTrajectory:
    """`second` after `first`, aligned in place and heading, cross-faded over `seconds`.

    The last `seconds` of the one and the first of the other are laid over each other, so the
    result lasts the sum less `seconds`. Raises `InputError` when a clip is too short for that.
    """
    second = second.resample(first.fps)
    _check_same_kind(first, second)
    overlap = transition_frames(seconds, first.fps)
    for motion in (first, second):
        if motion.num_frames <= overlap:
            raise input_error(
                motion.where,
                "the clip is shorter than the transition",
                found=f"{motion.num_frames} frames",
                expected=f"more than {overlap} for --transition {seconds:g}",
            )
    begin = first.num_frames - overlap
    second = align(second, first, begin)
    fade = fade_weight(np.linspace(0.0, 1.0, overlap))
    middle = blend(first.with_frames(begin, first.num_frames), second.with_frames(0, overlap), fade)
    return concatenate(
        [first.with_frames(0, begin), middle, second.with_frames(overlap, second.num_frames)]
    )


def loop(motion: RobotTrajectory, seconds: float) -> RobotTrajectory:
    """A clip that can be repeated: its last frame has the pose of its first.

    The clip's end is faded into its own beginning over `seconds`; it becomes that much shorter.
    The base goes on travelling: one round moves it by the distance and turn of the round.
    """
    overlap = transition_frames(seconds, motion.fps)
    if motion.num_frames <= 2 * overlap:
        raise input_error(
            motion.where, "the clip is too short to loop", found=f"{motion.num_frames} frames",
            expected=f"more than {2 * overlap} for {seconds:g} s of transition",
        )  # fmt: skip
    twice = stitch(motion, motion, seconds)
    period = motion.num_frames - overlap
    return replace(twice.with_frames(overlap, overlap + period + 1), loop=True)


def concatenate(parts: list[RobotTrajectory]) -> RobotTrajectory:
    """Parts of the same kind one after the other, as they are."""
    first = parts[0]
    contacts = [part.contact for part in parts]
    known = [contact for contact in contacts if contact is not None]
    return replace(
        first,
        root_pos=np.concatenate([part.root_pos for part in parts]),
        root_quat=np.concatenate([part.root_quat for part in parts]),
        joint_pos=np.concatenate(
            [
                part.joint_pos[:, [part.joint_names.index(n) for n in first.joint_names]]
                for part in parts
            ]
        ),
        bodies=None,
        contact=np.concatenate(known) if len(known) == len(parts) else None,
        objects=join_objects([part.objects for part in parts]),
        loop=False,
    )


def transition_frames(seconds: float, fps: float) -> int:
    """Frames of a transition, at least two; `InputError` unless the time is positive."""
    if not seconds > 0:
        raise input_error(None, "a transition lasts longer than 0 s", found=f"{seconds:g} s")
    return max(2, round(seconds * fps) + 1)


def _check_same_kind(first: RobotTrajectory, second: RobotTrajectory) -> None:
    names = [set() if m.objects is None else set(m.objects.names) for m in (first, second)]
    if names[0] != names[1] or first.scene != second.scene:
        found = ", ".join(sorted(names[0] ^ names[1])) or "another terrain, shape or mass"
        raise input_error(
            second.where, f"it has other objects or another scene than {first.where}", found=found,
            fix="take them out with --without-objects",
        )  # fmt: skip
    if set(first.joint_names) != set(second.joint_names):
        raise input_error(
            second.where, f"it has other joints than {first.where}",
            found=f"{len(second.joint_names)} joints", expected=f"the {len(first.joint_names)}",
        )  # fmt: skip
    if abs(first.fps - second.fps) > 1e-6 * first.fps:
        raise input_error(
            second.where, f"its frame rate is not that of {first.where}",
            found=f"{second.fps:g} fps", expected=f"{first.fps:g}",
        )  # fmt: skip
