"""Observations of a reference that nobody needs a map or a compass for: now and some steps later.

What a robot can be told of a clip without knowing where it stands or which way it faces: joints,
the direction of gravity in the base, the base's velocity along its own heading, its rate of turn,
its height (as in TWIST, arXiv 2505.02833). Each is one function for training and for the player,
see ``mimic.envs.observation``. Nothing here imports torch where it is loaded.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from mimic.envs.features import gravity_in
from mimic.envs.observation import (
    beside,
    flat,
    joined,
    joints,
    observable,
    opposite,
    polar,
    rotations_of,
    unchanged,
)
from mimic_base.frame_fields import BODY_FIELDS

ROOT = 0
"""Place of the floating base among the key bodies."""
Steps = tuple[int, ...]
ROOT_RULE = beside(polar(), polar(), opposite(), unchanged())


def frames_ahead(command: Any, steps: Steps) -> Any:
    """The frames of a motion command's clip ``steps`` control steps after the coming one.

    The last frame stands for all that would come after it.

    Args:
        command: ``mimic.envs.commands.MotionCommand``, a view of its rows, one that is imagined,
            or a player's.

    Returns:
        ``joint_pos``, ``joint_vel`` [..., K, J]; of the floating base ``root_pos_w``,
        ``root_lin_vel_w``, ``root_ang_vel_w`` [..., K, 3] and ``root_quat_w`` [..., K, 4].
    """
    given = getattr(command, "frames_ahead", None)
    if given is not None:
        return given(steps)
    library, rows = command.library, _rows_ahead(command, steps)
    return SimpleNamespace(
        joint_pos=library.joint_pos[rows],
        joint_vel=library.joint_vel[rows],
        root_pos_w=library.body_pos_w[:, ROOT][rows],
        root_quat_w=library.body_quat_w[:, ROOT][rows],
        root_lin_vel_w=library.body_lin_vel_w[:, ROOT][rows],
        root_ang_vel_w=library.body_ang_vel_w[:, ROOT][rows],
    )


def bodies_ahead(command: Any, steps: Steps, bodies: Any) -> Any:
    """Some key bodies in those frames.

    Args:
        command: as above.
        bodies: [b] places among the key bodies, an array of the command's own kind.

    Returns:
        ``body_pos_w``, ``body_lin_vel_w``, ``body_ang_vel_w`` [..., K, b, 3] and ``body_quat_w``
        [..., K, b, 4].
    """
    given = getattr(command, "bodies_ahead", None)
    if given is not None:
        return given(steps, bodies)
    library, rows = command.library, _rows_ahead(command, steps)[..., None]
    return SimpleNamespace(**{name: getattr(library, name)[rows, bodies] for name in BODY_FIELDS})


def _rows_ahead(command: Any, steps: Steps) -> Any:
    """[N, K] rows of the library."""
    # By attributes alone, so that a view of some environments is read as all of them are.
    import torch

    library, clip = command.library, command.clip
    last = library.length[clip] - 1
    ahead = torch.tensor(steps, device=last.device) + command.reference_lead
    frame = torch.minimum(command.frame[:, None] + ahead, last[:, None])
    return library.start[clip][:, None] + frame


def base_of(frames: Any) -> Any:
    """[..., K, 8] gravity (3), velocity along the heading (3, m/s), rate of turn (rad/s), height
    (m) of the reference's floating base."""
    quat = frames.root_quat_w
    r = rotations_of(quat)
    return joined(
        gravity_in(quat),
        r.quat_inv_rotate(r.yaw_quat(quat), frames.root_lin_vel_w),
        frames.root_ang_vel_w[..., 2:],
        frames.root_pos_w[..., 2:],
    )


@observable(mirror=ROOT_RULE)
def reference_root(env: Any, command: str = "motion") -> Any:
    """Gravity, heading velocity, rate of turn and height of the coming reference's base, [N, 8]."""
    return flat(base_of(frames_ahead(env.commands[command], (0,))))


@observable(mirror=beside(joints(2), ROOT_RULE))
def reference_frames(env: Any, steps: Steps, command: str = "motion") -> Any:
    """Joint positions and velocities and what ``reference_root`` tells, for each of K later frames.

    Args:
        steps: K control steps after the coming frame.

    Returns:
        [N, K (2 J + 8)], frame by frame.
    """
    frames = frames_ahead(env.commands[command], tuple(steps))
    return flat(joined(frames.joint_pos, frames.joint_vel, base_of(frames)))
