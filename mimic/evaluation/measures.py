"""The errors that protocols tell, each a named measure of what a round of episodes is doing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from mimic.envs.commands.motion import MotionCommand, motion_command
from mimic.evaluation.pose_errors import (
    acceleration_error,
    aligned_error,
    local_error,
    mean_absolute,
    mean_distance,
    velocity_error,
)
from mimic_base.rotations_torch import quat_angle, quat_conj, quat_mul

if TYPE_CHECKING:
    from mimic.envs.environment import Environment


class Trace:
    """The last states of a round of episodes that have all begun together.

    Attributes:
        env: the environment, in the newest state.
    """

    def __init__(self, env: Environment) -> None:
        self.env = env
        self._positions: list[torch.Tensor] = []

    @property
    def command(self) -> MotionCommand:
        """What is asked of the robots, and where their key bodies are."""
        return motion_command(self.env)

    def push(self) -> None:
        """Keep the state that the environment is in."""
        c = self.command
        both = torch.stack([c.robot_body_pos_w, c.body_pos_w])
        self._positions = [*self._positions[-2:], both]

    def last(self, count: int) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Key bodies of robot and reference [count, N, B, 3]; None while there are fewer."""
        if len(self._positions) < count:
            return None
        robot, reference = torch.stack(self._positions[-count:]).unbind(1)
        return robot, reference


@dataclass(frozen=True, kw_only=True)
class Measure:
    """An error that can be told of every state."""

    function: Callable[[Trace], torch.Tensor]
    """[N]; NaN where the state has no such error yet."""
    unit: str
    heading: str
    """Of a table's column, without the unit."""
    about: str
    """What it is, in words or as a formula."""


def _differences(
    error: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], frames: int
) -> Callable[[Trace], torch.Tensor]:
    def function(trace: Trace) -> torch.Tensor:
        found = trace.last(frames)
        if found is None:
            return torch.full((trace.env.num_envs,), torch.nan, device=trace.env.device)
        return 1e3 * error(*found)

    return function


def _joint_velocity_rms(trace: Trace) -> torch.Tensor:
    off = trace.env.state.robot.joint_vel - trace.command.joint_vel
    return off.square().mean(-1).sqrt()


def _end_effector_position(trace: Trace) -> torch.Tensor:
    c = trace.command
    robot = c.robot_body_pos_w.index_select(1, c.end_effectors)
    return 1e3 * mean_distance(robot, c.body_pos_relative_w.index_select(1, c.end_effectors))


def _end_effector_orientation(trace: Trace) -> torch.Tensor:
    c = trace.command
    robot = c.robot_body_quat_w.index_select(1, c.end_effectors)
    wanted = c.body_quat_relative_w.index_select(1, c.end_effectors)
    return quat_angle(robot, wanted).mean(-1)


def roll_pitch_yaw(quat: torch.Tensor) -> torch.Tensor:
    """Angles [N, 3] rad about the fixed axes x, y, z, in this order, of a rotation [N, 4]."""
    w, x, y, z = quat.unbind(-1)
    roll = torch.atan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y))
    pitch = torch.asin((2 * (w * y - z * x)).clamp(-1.0, 1.0))
    yaw = torch.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    return torch.stack([roll, pitch, yaw], -1)


def _root_angle(axis: int) -> Callable[[Trace], torch.Tensor]:
    def function(trace: Trace) -> torch.Tensor:
        c = trace.command
        relative = quat_mul(quat_conj(c.body_quat_w[:, 0]), c.robot_body_quat_w[:, 0])
        return roll_pitch_yaw(relative)[:, axis].abs()

    return function


def _root_velocity(trace: Trace) -> torch.Tensor:
    return _differences(lambda p, r: velocity_error(p[:, :, :1], r[:, :, :1]), 2)(trace)


def _key_bodies(trace: Trace) -> torch.Tensor:
    return 1e3 * mean_distance(trace.command.robot_body_pos_w, trace.command.body_pos_w)


MEASURES: Mapping[str, Measure] = {
    "key_body_mm": Measure(
        function=_key_bodies, unit="mm", heading="key body",
        about="mean distance of the key bodies from the reference's, in the world (mjlab: MPKPE)",
    ),
    "key_body_anchor_mm": Measure(
        function=lambda trace: 1e3 * mean_distance(
            trace.command.robot_body_pos_w, trace.command.body_pos_relative_w
        ),
        unit="mm", heading="key body, anchor",
        about="the same after moving the reference to the robot's anchor, its place on the floor "
        "and its heading, as the rewards do (mjlab: R-MPKPE)",
    ),
    "joint_rad": Measure(
        function=lambda trace: mean_absolute(
            trace.env.state.robot.joint_pos, trace.command.joint_pos
        ),
        unit="rad", heading="joint", about="mean absolute difference of the joints",
    ),
    "joint_velocity_rad_s": Measure(
        function=lambda trace: mean_absolute(
            trace.env.state.robot.joint_vel, trace.command.joint_vel
        ),
        unit="rad/s", heading="joint vel.", about="mean absolute difference of the joints' speeds",
    ),
    "velocity_m_s": Measure(
        function=lambda trace: mean_distance(
            trace.command.robot_body_lin_vel_w, trace.command.body_lin_vel_w
        ),
        unit="m/s", heading="velocity", about="mean difference of the key bodies' velocities",
    ),
    "joint_velocity_rms_rad_s": Measure(
        function=_joint_velocity_rms, unit="rad/s", heading="joint vel. RMS",
        about="sqrt(mean_j (qd_j - qd_j,ref)^2) (mjlab)",
    ),
    "end_effector_mm": Measure(
        function=_end_effector_position, unit="mm", heading="end eff.",
        about="mean distance of the end effectors from the reference's, moved to the robot's "
        "anchor (mjlab)",
    ),
    "end_effector_rad": Measure(
        function=_end_effector_orientation, unit="rad", heading="end eff.",
        about="mean angle between the end effectors and the reference's, turned to the robot's "
        "heading (mjlab)",
    ),
    "mpjpe_g_mm": Measure(
        function=_key_bodies, unit="mm", heading="g-MPJPE",
        about="mean_b |p_b - r_b| in the world (PHC)",
    ),
    "mpjpe_l_mm": Measure(
        function=lambda trace: 1e3 * local_error(
            trace.command.robot_body_pos_w, trace.command.body_pos_w
        ),
        unit="mm", heading="l-MPJPE",
        about="mean_b |(p_b - p_root) - (r_b - r_root)|: moved to the root, not turned (PHC)",
    ),
    "mpjpe_pa_mm": Measure(
        function=lambda trace: 1e3 * aligned_error(
            trace.command.robot_body_pos_w, trace.command.body_pos_w
        ),
        unit="mm", heading="PA-MPJPE",
        about="what is left after the best move, turn and scale of each frame (PHC)",
    ),
    "velocity_mm_frame": Measure(
        function=_differences(velocity_error, 2), unit="mm/frame", heading="E_vel",
        about="mean_b of the difference of p(t) - p(t-1), per control step (PHC: frames of 1/30 s)",
    ),
    "acceleration_mm_frame2": Measure(
        function=_differences(acceleration_error, 3), unit="mm/frame^2", heading="E_acc",
        about="mean_b of the difference of p(t) - 2 p(t-1) + p(t-2), per control step squared",
    ),
    "root_height_mm": Measure(
        function=lambda trace: 1e3 * (
            trace.command.robot_body_pos_w[:, 0, 2] - trace.command.body_pos_w[:, 0, 2]
        ).abs(),
        unit="mm", heading="root height", about="|z_root - z_root,ref| (HoloMotion)",
    ),
    "root_velocity_mm_frame": Measure(
        function=_root_velocity, unit="mm/frame", heading="root vel.",
        about="difference of the root's step p(t) - p(t-1) (HoloMotion)",
    ),
    "root_roll_rad": Measure(
        function=_root_angle(0), unit="rad", heading="root roll",
        about="|roll| of q_root,ref^-1 q_root (HoloMotion)",
    ),
    "root_pitch_rad": Measure(
        function=_root_angle(1), unit="rad", heading="root pitch",
        about="|pitch| of q_root,ref^-1 q_root (HoloMotion)",
    ),
    "root_yaw_rad": Measure(
        function=_root_angle(2), unit="rad", heading="root yaw",
        about="|yaw| of q_root,ref^-1 q_root (HoloMotion)",
    ),
}  # fmt: skip
"""All errors by name; lengths are in mm. Bodies are the robot's key bodies, the first is the
root."""
DEFAULT_ERRORS = (
    "key_body_mm", "key_body_anchor_mm", "joint_rad", "joint_velocity_rad_s", "velocity_m_s",
)  # fmt: skip
"""What a protocol tells that names no errors of its own."""
PHC_ERRORS = (
    "mpjpe_g_mm", "mpjpe_l_mm", "mpjpe_pa_mm", "velocity_mm_frame", "acceleration_mm_frame2",
)  # fmt: skip
"""Of the PHC family (SMPLSim's ``compute_metrics_lite``)."""
MJLAB_ERRORS = (
    "key_body_mm", "key_body_anchor_mm", "joint_velocity_rms_rad_s", "end_effector_mm",
    "end_effector_rad",
)  # fmt: skip
"""Of mjlab's ``evaluate``: MPKPE, R-MPKPE, joint velocity RMS, end effectors."""
SONIC_ERRORS = ("mpjpe_g_mm", "mpjpe_l_mm", "mpjpe_pa_mm")
HOLOMOTION_ERRORS = (
    *PHC_ERRORS, "joint_rad", "root_height_mm", "root_velocity_mm_frame", "root_roll_rad",
    "root_pitch_rad", "root_yaw_rad",
)  # fmt: skip


def measure(trace: Trace, names: Sequence[str]) -> dict[str, torch.Tensor]:
    """The errors [N] of the newest state by name."""
    return {name: MEASURES[name].function(trace) for name in names}


def heading(name: str) -> str:
    """Heading of a table's column, with the unit on a line of its own."""
    return f"{MEASURES[name].heading}\n({MEASURES[name].unit})"
