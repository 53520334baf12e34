"""The motion command: which reference frame each environment is asked to be in."""

from __future__ import annotations

import torch

from mimic.envs.motion_library import MotionLibrary
from mimic.envs.rotations import quat_conj, quat_mul, quat_rotate, yaw_quat
from mimic.envs.sampling import SamplingConfig, StartSampler
from mimic.sim.engine import Engine
from robots import Robot


class MotionCommand:
    """Reference poses [N, ...] at each environment's own time, and the robot's key bodies.

    The reference advances with the physics, *before* rewards are computed: a state is compared
    with the frame of its own time. B counts the robot's key bodies.
    """

    def __init__(
        self,
        library: MotionLibrary,
        robot: Robot,
        engine: Engine,
        sampling: SamplingConfig,
        generator: torch.Generator,
    ) -> None:
        self.library = library
        self.robot = robot
        self.engine = engine
        self.sampler = StartSampler(sampling, library, generator)
        device = engine.device
        self.anchor = robot.key_bodies.index(robot.anchor_body)
        self.end_effectors = [robot.key_bodies.index(name) for name in robot.end_effectors]
        self._body_ids = torch.tensor(
            [robot.body_names.index(name) for name in robot.key_bodies], device=device
        )
        self.clip = torch.zeros(engine.num_envs, dtype=torch.long, device=device)
        self.frame = torch.zeros(engine.num_envs, dtype=torch.long, device=device)

    @property
    def row(self) -> torch.Tensor:
        """[N] row of the library each environment is at."""
        return self.library.start[self.clip] + self.frame

    @property
    def finished(self) -> torch.Tensor:
        """[N] bool: the clip's last frame has been reached."""
        return self.frame >= self.library.length[self.clip] - 1

    def advance(self) -> None:
        """Move every reference on by one control step, stopping at the last frame."""
        self.frame = torch.minimum(self.frame + 1, self.library.length[self.clip] - 1)

    def assign(self, env_ids: torch.Tensor, clip: torch.Tensor, frame: torch.Tensor) -> None:
        """Ask the environments ``env_ids`` for given clips and frames."""
        self.clip[env_ids] = clip
        self.frame[env_ids] = frame

    def update(self) -> None:
        """Look up the reference and the robot's key bodies for the current state."""
        row = self.row
        library, engine = self.library, self.engine
        self.joint_pos = library.joint_pos[row]
        self.joint_vel = library.joint_vel[row]
        self.body_pos_w = library.body_pos_w[row]
        self.body_quat_w = library.body_quat_w[row]
        self.body_lin_vel_w = library.body_lin_vel_w[row]
        self.body_ang_vel_w = library.body_ang_vel_w[row]
        self.anchor_pos_w = self.body_pos_w[:, self.anchor]
        self.anchor_quat_w = self.body_quat_w[:, self.anchor]

        ids = self._body_ids
        self.robot_body_pos_w = engine.body_pos_w[:, ids]
        self.robot_body_quat_w = engine.body_quat_w[:, ids]
        self.robot_body_lin_vel_w = engine.body_lin_vel_w[:, ids]
        self.robot_body_ang_vel_w = engine.body_ang_vel_w[:, ids]
        self.robot_anchor_pos_w = self.robot_body_pos_w[:, self.anchor]
        self.robot_anchor_quat_w = self.robot_body_quat_w[:, self.anchor]

        # Reference moved to the robot's own place and heading: drift is not punished twice.
        turn = yaw_quat(quat_mul(self.robot_anchor_quat_w, quat_conj(self.anchor_quat_w)))
        origin = torch.cat([self.robot_anchor_pos_w[:, :2], self.anchor_pos_w[:, 2:]], -1)
        offset = self.body_pos_w - self.anchor_pos_w[:, None]
        self.body_pos_relative_w = origin[:, None] + quat_rotate(turn[:, None], offset)
        self.body_quat_relative_w = quat_mul(
            turn[:, None].expand_as(self.body_quat_w), self.body_quat_w
        )
