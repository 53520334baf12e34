"""Terms of DeepMimic tracking (Peng et al. 2018, arXiv 1804.02717), with MimicKit's numbers.

Every kernel is ``exp(-scale * sum of squared errors)``: sums over joints and bodies, not means, so
that its width depends on how many there are. The observation needs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mimic.envs.mdp.future import ROOT, Steps, frames_ahead
from mimic.envs.observation import (
    beside,
    flat,
    joined,
    observable,
    polar,
    rotations_of,
    two_columns,
)

if TYPE_CHECKING:
    import torch

    from mimic.envs.environment import Environment

ROTATION, SPIN = 0.1, 0.1
"""Weight of squared angles (rad) beside distances (m), and of rates (rad/s) beside speeds (m/s)."""


@observable(mirror=beside(polar(), two_columns()))
def target_root(env: Any, steps: Steps, command: str = "motion") -> Any:
    """The reference's floating base seen from the robot's, for each of K later frames, [N, 9 K].

    Its place in the frame of the robot's heading (m, 3), and its orientation in the robot's own as
    two columns (6).

    Args:
        steps: K control steps after the coming frame.
    """
    frames, robot = frames_ahead(env.commands[command], tuple(steps)), env.state.robot
    quat = robot.root_quat_w
    r = rotations_of(quat)
    offset = frames.root_pos_w - robot.root_pos_w[..., None, :]
    place = r.quat_inv_rotate(r.yaw_quat(quat)[..., None, :], offset)
    turned = r.quat_mul(r.quat_conj(quat)[..., None, :], frames.root_quat_w)
    return flat(joined(place, r.first_two_columns(turned)))


# rewards and terminations --------------------------------------------------------------------


def _motion(env: Environment, command: str) -> Any:
    from mimic.envs.commands.motion import motion_command

    return motion_command(env, command)


def _angle(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    from mimic_base.rotations_torch import quat_angle

    return quat_angle(a, b)


def pose_error(env: Environment, command: str = "motion") -> torch.Tensor:
    """Sum over joints of the squared angles between robot and reference, [N] rad^2."""
    return (_motion(env, command).joint_pos - env.state.robot.joint_pos).square().sum(-1)


def velocity_error(env: Environment, command: str = "motion") -> torch.Tensor:
    """The same of joint velocities, [N] rad^2/s^2."""
    return (_motion(env, command).joint_vel - env.state.robot.joint_vel).square().sum(-1)


def root_pose_error(env: Environment, command: str = "motion") -> torch.Tensor:
    """``|p - p'|^2 + 0.1 angle^2`` of the floating base, [N]."""
    c = _motion(env, command)
    place = (c.body_pos_w[:, ROOT] - c.robot_body_pos_w[:, ROOT]).square().sum(-1)
    angle = _angle(c.body_quat_w[:, ROOT], c.robot_body_quat_w[:, ROOT])
    return place + ROTATION * angle.square()


def root_velocity_error(env: Environment, command: str = "motion") -> torch.Tensor:
    """``|v - v'|^2 + 0.1 |w - w'|^2`` of the floating base, [N]."""
    c = _motion(env, command)
    speed = (c.body_lin_vel_w[:, ROOT] - c.robot_body_lin_vel_w[:, ROOT]).square().sum(-1)
    spin = (c.body_ang_vel_w[:, ROOT] - c.robot_body_ang_vel_w[:, ROOT]).square().sum(-1)
    return speed + SPIN * spin


def key_body_error(env: Environment, command: str = "motion") -> torch.Tensor:
    """Sum over the end effectors of their squared distances from the reference's, which is moved
    to the robot's place and heading, [N] m^2."""
    c = _motion(env, command)
    off = (c.body_pos_relative_w - c.robot_body_pos_w).index_select(1, c.end_effectors)
    return off.square().sum((-2, -1))


ERRORS = {
    "pose": pose_error, "velocity": velocity_error, "root_pose": root_pose_error,
    "root_velocity": root_velocity_error, "key_body": key_body_error,
}  # fmt: skip


def kernel(env: Environment, error: str, scale: float, command: str = "motion") -> torch.Tensor:
    """``exp(-scale * error)``, [N] 0 to 1; the errors are those of ``ERRORS``."""
    return (-scale * ERRORS[error](env, command)).exp()


def product(
    env: Environment, pose: float, velocity: float, root_pose: float, root_velocity: float,
    key_body: float, command: str = "motion",
) -> torch.Tensor:  # fmt: skip
    """The product of the five kernels, [N] 0 to 1: none can be given up for another.

    Args:
        pose, velocity, root_pose, root_velocity, key_body: the scale of each error.
    """
    scales = {
        "pose": pose, "velocity": velocity, "root_pose": root_pose,
        "root_velocity": root_velocity, "key_body": key_body,
    }  # fmt: skip
    total = sum(scale * ERRORS[name](env, command) for name, scale in scales.items())
    assert not isinstance(total, int)
    return (-total).exp()


def touched_down(env: Environment, threshold: float) -> torch.Tensor:
    """Another body than feet and hands is pressed by more than ``threshold`` N, [N] bool."""
    return (env.engine.contact_force > threshold).any(-1)
