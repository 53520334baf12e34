"""A reference seen through a command interface: the parts that are not shown read as nothing.

Nothing of a joint reads as the robot's default pose at rest (an actor with command feedthrough then
asks for that pose), nothing of all else as zeros; ``mask`` tells the policy which is which. All
that is shown is told without map and compass, as in ``mimic.envs.mdp.future``. Each observation is
one function for training and for the player. Nothing here imports torch where it is loaded.
"""

from __future__ import annotations

from typing import Any

from mimic.envs.mdp.future import ROOT_RULE, Steps, base_of, bodies_ahead, frames_ahead
from mimic.envs.observation import (
    Table,
    beside,
    blocks,
    constant_like,
    flat,
    joined,
    joints,
    observable,
    opposite,
    polar,
    rotations_of,
    unchanged,
)
from robots.symmetry import MirrorMap

PARTS = ("legs", "upper-body", "points", "velocity", "posture", "later")
"""Parts of a reference that an interface shows or not:

``legs``, ``upper-body``: positions and velocities of the joints between base and feet, and of all
others; ``points``: head and hands; ``velocity``: of the base along its heading and its rate of
turn; ``posture``: direction of gravity in the base, its height and vertical velocity; ``later``:
joints and base also some control steps ahead.
"""
HEAD = (0.0, 0.0, 0.4)
"""Place of the head in the anchor's (the torso's) frame, m; OmniH2O extends the body likewise."""


def _part(mask: Any, name: str) -> Any:
    """[..., 1] whether a part is shown."""
    at = PARTS.index(name)
    return mask[..., at : at + 1]


def _of_joints(given: Any) -> Any:
    """[..., J] which joints are shown."""
    mask, legs = given.mask, given.legs
    return _part(mask, "legs") * legs + _part(mask, "upper-body") * (1.0 - legs)


def _of_base(mask: Any) -> Any:
    """[..., 8] which of the base's numbers are shown, in the order of ``reference_root``."""
    tilt, pace = _part(mask, "posture"), _part(mask, "velocity")
    return joined(tilt, tilt, tilt, pace, pace, tilt, pace, tilt)


@observable(mirror=unchanged(len(PARTS)))
def mask(env: Any, interface: str = "interface") -> Any:
    """Which parts of the reference are shown, [N, P]."""
    return env.commands[interface].mask


@observable(mirror=joints(2))
def shown_joints(env: Any, command: str = "motion", interface: str = "interface") -> Any:
    """Joint positions and velocities of the coming reference, hidden ones in the default pose at
    rest, [N, 2 J]."""
    shown = _of_joints(env.commands[interface])
    target, default = env.commands[command].target_joints, env.default_joint_pos
    count = shown.shape[-1]
    pos, vel = target[..., :count], target[..., count:]
    return joined(default + shown * (pos - default), shown * vel)


@observable(mirror=ROOT_RULE)
def shown_root(env: Any, command: str = "motion", interface: str = "interface") -> Any:
    """What ``mimic.envs.mdp.future.reference_root`` tells, as far as it is shown, [N, 8]."""
    base = flat(base_of(frames_ahead(env.commands[command], (0,))))
    return base * _of_base(env.commands[interface].mask)


@observable(mirror=beside(joints(2), ROOT_RULE))
def shown_frames(
    env: Any, steps: Steps, command: str = "motion", interface: str = "interface"
) -> Any:
    """Joints and base of each of K later frames, as far as they are shown, [N, K (2 J + 8)].

    Args:
        steps: K control steps after the coming frame.
    """
    given = env.commands[interface]
    ahead = _part(given.mask, "later")
    joint = (ahead * _of_joints(given))[..., None, :]
    frames = frames_ahead(env.commands[command], tuple(steps))
    default = env.default_joint_pos
    return flat(
        joined(
            default + joint * (frames.joint_pos - default),
            joint * frames.joint_vel,
            (ahead * _of_base(given.mask))[..., None, :] * base_of(frames),
        )
    )


def _pair(robot: MirrorMap, keys: list[int]) -> Table:
    """The mirror rule of a vector of the left hand beside that of the right one."""
    return blocks([1, 0], (1.0, -1.0, 1.0))


@observable(mirror=beside(unchanged(), _pair, polar(), _pair, opposite()))
def shown_points(
    env: Any,
    command: str = "motion",
    interface: str = "interface",
    head: tuple[float, ...] = HEAD,
) -> Any:
    """Head and hands of the coming reference as a headset and two controllers know them, [N, 17].

    Height of the head (m); left and right hand from the head, in the frame of its heading (m, 6);
    velocities of head, left and right hand in that frame (m/s, 9); the head's rate of turn (rad/s).
    Zeros where they are not shown.

    Args:
        head: place of the head in the anchor's frame, m.
    """
    given = env.commands[interface]
    bodies = bodies_ahead(env.commands[command], (0,), given.points)
    place, speed = bodies.body_pos_w[..., 0, :, :], bodies.body_lin_vel_w[..., 0, :, :]
    quat, spin = bodies.body_quat_w[..., 0, 0, :], bodies.body_ang_vel_w[..., 0, 0, :]
    r = rotations_of(quat)
    arm = r.quat_rotate(quat, constant_like(quat[..., 1:], head))
    heading = r.yaw_quat(quat)
    top = place[..., 0, :] + arm
    drift = speed[..., 0, :] + _cross(spin, arm)
    hands = place[..., 1:, :] - top[..., None, :]
    told = joined(
        top[..., 2:],
        flat(r.quat_inv_rotate(heading[..., None, :], hands)),
        r.quat_inv_rotate(heading, drift),
        flat(r.quat_inv_rotate(heading[..., None, :], speed[..., 1:, :])),
        spin[..., 2:],
    )
    return told * _part(given.mask, "points")


def _cross(a: Any, b: Any) -> Any:
    """The cross product [..., 3] of arrays of either kind."""
    (x, y, z), (u, v, w) = ((each[..., :1], each[..., 1:2], each[..., 2:]) for each in (a, b))
    return joined(y * w - z * v, z * u - x * w, x * v - y * u)
