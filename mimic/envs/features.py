"""Quantities of a body's state that are wanted of simulations and of references alike.

Discriminators, world models and students compare what a robot does with what clips show, so each
feature is one pure function of a state: of ``env.state.robot``, of frames of a motion library
(``BodyState.of_frames``), or of what a robot measures. Arrays are torch's [N, ...] or numpy's
[...], whatever the state holds. Nothing here imports torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from mimic.envs.observation import flat, joined, rotations_of
from mimic_base.frame_fields import FrameArrays


class State(Protocol):
    """What features read; B counts the bodies in the state's own order, J the joints."""

    @property
    def root_pos_w(self) -> Any:
        """[..., 3] m."""

    @property
    def root_quat_w(self) -> Any:
        """[..., 4] wxyz."""

    @property
    def root_lin_vel_w(self) -> Any:
        """[..., 3] m/s in the world."""

    @property
    def root_ang_vel_b(self) -> Any:
        """[..., 3] rad/s in the base's own axes."""

    @property
    def joint_pos(self) -> Any:
        """[..., J] rad."""

    @property
    def joint_vel(self) -> Any:
        """[..., J] rad/s."""

    @property
    def body_pos_w(self) -> Any:
        """[..., B, 3] m."""


@dataclass(frozen=True, kw_only=True, eq=False)
class BodyState:
    """A state as plain arrays; see ``State``."""

    root_pos_w: Any
    root_quat_w: Any
    root_lin_vel_w: Any
    root_ang_vel_b: Any
    joint_pos: Any
    joint_vel: Any
    body_pos_w: Any
    body_quat_w: Any
    body_lin_vel_w: Any
    body_ang_vel_w: Any

    @classmethod
    def of_frames(cls, frames: FrameArrays[Any], rows: Any, root: int = 0) -> BodyState:
        """The frames ``rows`` of a motion library, a clip or a player's reference.

        Args:
            root: place of the floating base among the bodies.
        """
        quat = frames.body_quat_w[rows][..., root, :]
        spin = frames.body_ang_vel_w[rows][..., root, :]
        return cls(
            root_pos_w=frames.body_pos_w[rows][..., root, :],
            root_quat_w=quat,
            root_lin_vel_w=frames.body_lin_vel_w[rows][..., root, :],
            root_ang_vel_b=rotations_of(quat).quat_inv_rotate(quat, spin),
            joint_pos=frames.joint_pos[rows],
            joint_vel=frames.joint_vel[rows],
            body_pos_w=frames.body_pos_w[rows],
            body_quat_w=frames.body_quat_w[rows],
            body_lin_vel_w=frames.body_lin_vel_w[rows],
            body_ang_vel_w=frames.body_ang_vel_w[rows],
        )

    @classmethod
    def of_robot(cls, robot: Any, bodies: Any) -> BodyState:
        """A simulated robot with the bodies ``bodies`` (indices) of its own."""
        return cls(
            root_pos_w=robot.root_pos_w,
            root_quat_w=robot.root_quat_w,
            root_lin_vel_w=robot.root_lin_vel_w,
            root_ang_vel_b=robot.root_ang_vel_b,
            joint_pos=robot.joint_pos,
            joint_vel=robot.joint_vel,
            body_pos_w=robot.body_pos_w[..., bodies, :],
            body_quat_w=robot.body_quat_w[..., bodies, :],
            body_lin_vel_w=robot.body_lin_vel_w[..., bodies, :],
            body_ang_vel_w=robot.body_ang_vel_w[..., bodies, :],
        )


def root_height(state: State) -> Any:
    """Height of the floating base, [..., 1] m."""
    return state.root_pos_w[..., 2:]


def projected_gravity(state: State) -> Any:
    """Direction of gravity in the floating base's frame, [..., 3] of length one."""
    return gravity_in(state.root_quat_w)


def gravity_in(quat: Any) -> Any:
    """Direction of gravity in the frame of orientation ``quat`` [..., 4], [..., 3]."""
    w, x, y, z = quat[..., :1], quat[..., 1:2], quat[..., 2:3], quat[..., 3:]
    return joined(-2 * (x * z - w * y), -2 * (y * z + w * x), 2 * (x * x + y * y) - 1)


def tilt_difference(quat: Any, other: Any) -> Any:
    """Length [...] of the difference between the directions of gravity in two frames [..., 4].

    It is 0 where they differ by heading only, sqrt(2) at a right angle, 2 upside down.
    """
    difference = gravity_in(quat) - gravity_in(other)
    return (difference * difference).sum(-1) ** 0.5


def root_lin_vel_b(state: State) -> Any:
    """Velocity of the floating base in its own frame, [..., 3] m/s."""
    q = state.root_quat_w
    return rotations_of(q).quat_inv_rotate(q, state.root_lin_vel_w)


def root_ang_vel_b(state: State) -> Any:
    """Angular velocity of the floating base in its own frame, [..., 3] rad/s."""
    return state.root_ang_vel_b


def joint_pos(state: State) -> Any:
    """Joint positions, [..., J] rad."""
    return state.joint_pos


def joint_vel(state: State) -> Any:
    """Joint velocities, [..., J] rad/s."""
    return state.joint_vel


def body_pos_heading(state: State) -> Any:
    """Positions of the state's bodies in the heading frame of the base, [..., 3 B] m.

    The frame stands on the floor below the floating base and shares its heading only.
    """
    quat = rotations_of(state.root_quat_w).yaw_quat(state.root_quat_w)
    root = state.root_pos_w
    floor = joined(root[..., :2], 0.0 * root[..., 2:])
    offset = state.body_pos_w - floor[..., None, :]
    return flat(rotations_of(quat).quat_inv_rotate(quat[..., None, :], offset))


def root_ori_heading(state: State) -> Any:
    """Orientation of the floating base in its own heading frame, the first two columns of its
    matrix, [..., 6]: tilt without heading."""
    r, quat = rotations_of(state.root_quat_w), state.root_quat_w
    return r.first_two_columns(r.quat_mul(r.quat_conj(r.yaw_quat(quat)), quat))


def root_vel_heading(state: State) -> Any:
    """Velocity (m/s) and angular velocity (rad/s) of the floating base in its heading frame,
    [..., 6]."""
    r, quat = rotations_of(state.root_quat_w), state.root_quat_w
    heading = r.yaw_quat(quat)
    linear = r.quat_inv_rotate(heading, state.root_lin_vel_w)
    spin = r.quat_inv_rotate(heading, r.quat_rotate(quat, state.root_ang_vel_b))
    return joined(linear, spin)


JOINTS_FROM = 13
"""First column of ``motion_frame`` that is a joint position."""


def motion_frame(state: State) -> Any:
    """A frame of motion as discriminators of motion priors see it, [..., 13 + 2 J + 3 B].

    Height and tilt of the floating base, its velocities in its heading frame, joint positions and
    velocities, positions of the bodies in the heading frame. Nothing of it tells where the robot
    is or which way it faces (AMP, arXiv 2104.02180, section 5.2; joint angles in place of
    rotations of joints, which a robot of hinges does not need).
    """
    return joined(
        root_height(state),
        root_ori_heading(state),
        root_vel_heading(state),
        state.joint_pos,
        state.joint_vel,
        body_pos_heading(state),
    )
