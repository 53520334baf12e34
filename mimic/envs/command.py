"""The motion command: which reference frame each environment is asked to be in."""

from __future__ import annotations

from collections.abc import Callable

import torch

from mimic.envs.motion_library import MotionLibrary
from mimic.envs.sampling import SamplingConfig, StartSampler
from mimic.sim.engine import Engine
from mimic_base.frame_fields import BODY_FIELDS
from mimic_base.rotations_torch import quat_conj, quat_mul, yaw_quat
from robots import Robot

Lookup = Callable[..., dict[str, torch.Tensor]]

REFERENCE_LEAD = 1
"""Control steps by which the observed reference is ahead of the state it is observed in: the
policy sees the frame that its action will be judged against, as in BeyondMimic."""


class MotionCommand:
    """Reference poses [N, ...] at each environment's own time, and the robot's key bodies.

    The reference advances with the physics, *before* rewards are computed: a state is compared
    with the frame of its own time. B counts the robot's key bodies.

    Attributes:
        joint_pos, joint_vel: [N, J] reference, rad, rad/s.
        body_*_w: [N, B, 3 | 4] reference. robot_body_*_w: the robot's own.
        body_pos_relative_w, body_quat_relative_w: the reference moved to the robot's anchor:
            its horizontal place and its heading.
        anchor_*, robot_anchor_*: [N, 3 | 4] the anchor body's rows of the above.
        target_joints: [N, 2 J], target_anchor_*: [N, 3 | 4] the reference ``REFERENCE_LEAD`` steps
            later, which observations show.
    """

    rows_of_environments = True
    shared_tensors = frozenset({"end_effectors"})

    joint_pos: torch.Tensor
    joint_vel: torch.Tensor
    body_pos_w: torch.Tensor
    body_quat_w: torch.Tensor
    body_lin_vel_w: torch.Tensor
    body_ang_vel_w: torch.Tensor
    robot_body_pos_w: torch.Tensor
    robot_body_quat_w: torch.Tensor
    robot_body_lin_vel_w: torch.Tensor
    robot_body_ang_vel_w: torch.Tensor
    body_pos_relative_w: torch.Tensor
    body_quat_relative_w: torch.Tensor

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
        self.end_effectors = torch.tensor(
            [robot.key_bodies.index(name) for name in robot.end_effectors], device=device
        )
        self._body_ids = torch.tensor(
            [robot.body_names.index(name) for name in robot.key_bodies], device=device
        )
        self.clip = torch.zeros(engine.num_envs, dtype=torch.long, device=device)
        self.frame = torch.zeros(engine.num_envs, dtype=torch.long, device=device)
        self._fields: dict[str, torch.Tensor] = {}
        self._lookup_all: Lookup = self._lookup

    def wrap_lookup(self, wrap: Callable[[Lookup], Lookup]) -> None:
        """Look all environments up through ``wrap`` of the function that does it."""
        self._lookup_all = wrap(self._lookup)

    @property
    def row(self) -> torch.Tensor:
        """[N] row of the library each environment is at."""
        return self.library.start[self.clip] + self.frame

    @property
    def finished(self) -> torch.Tensor:
        """[N] bool: the clip's last frame has been reached."""
        return self.frame >= self.library.length[self.clip] - 1

    @property
    def target_row(self) -> torch.Tensor:
        """[N] row that observations show; the last frame where the clip ends before."""
        last = self.library.length[self.clip] - 1
        return self.library.start[self.clip] + torch.minimum(self.frame + REFERENCE_LEAD, last)

    def advance(self) -> None:
        """Move every reference on by one control step, stopping at the last frame."""
        self.frame = torch.minimum(self.frame + 1, self.library.length[self.clip] - 1)

    def assign(self, env_ids: torch.Tensor, clip: torch.Tensor, frame: torch.Tensor) -> None:
        """Ask the environments ``env_ids`` for given clips and frames."""
        self.clip[env_ids] = clip
        self.frame[env_ids] = frame

    def update(self, env_ids: torch.Tensor | None = None) -> None:
        """Look up the reference and the robot's key bodies for the current state.

        Args:
            env_ids: [n] the only environments whose state or frame has changed; None means all.
        """
        if env_ids is None:
            self._fields = self._lookup_all()
            self._publish()
        else:
            for name, values in self._lookup(env_ids).items():
                self._fields[name].index_copy_(-1, env_ids, values)
        target = self.target_row
        self.target_joints = self.library.joint_command(target)
        self.target_anchor_pos_w = self.library.body_pos_w[target, self.anchor]
        self.target_anchor_quat_w = self.library.body_quat_w[target, self.anchor]

    def _lookup(self, env_ids: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        """Everything the terms read, environments last: along them the memory is contiguous."""
        engine = self.engine
        fields = self.library.gather(self.row if env_ids is None else self.row[env_ids])

        def key_bodies(values: torch.Tensor) -> torch.Tensor:
            chosen = values if env_ids is None else values[env_ids]
            return chosen.permute(1, 2, 0).index_select(0, self._body_ids)

        for name in BODY_FIELDS:
            fields[f"robot_{name}"] = key_bodies(getattr(engine, name))

        # Reference moved to the robot's own place and heading: drift is not punished twice.
        here = fields["robot_body_pos_w"][self.anchor]
        there = fields["body_pos_w"][self.anchor]
        heading = fields["robot_body_quat_w"][self.anchor].T
        wanted = fields["body_quat_w"][self.anchor].T
        cos, _, _, sin = yaw_quat(quat_mul(heading, quat_conj(wanted))).unbind(-1)
        pos, quat = fields["body_pos_w"], fields["body_quat_w"]
        dx, dy = pos[:, 0] - there[0], pos[:, 1] - there[1]
        cos_yaw, sin_yaw = cos * cos - sin * sin, 2.0 * sin * cos
        x, y = cos_yaw * dx - sin_yaw * dy, sin_yaw * dx + cos_yaw * dy
        fields["body_pos_relative_w"] = torch.stack([here[0] + x, here[1] + y, pos[:, 2]], 1)
        w, x, y, z = quat.unbind(1)
        fields["body_quat_relative_w"] = torch.stack(
            [cos * w - sin * z, cos * x - sin * y, cos * y + sin * x, cos * z + sin * w], 1
        )
        return fields

    def _publish(self) -> None:
        """Name the looked-up tensors, environments first."""
        for name, values in self._fields.items():
            setattr(self, name, values.T if values.ndim == 2 else values.permute(2, 0, 1))
        self.anchor_pos_w = self.body_pos_w[:, self.anchor]
        self.anchor_quat_w = self.body_quat_w[:, self.anchor]
        self.robot_anchor_pos_w = self.robot_body_pos_w[:, self.anchor]
        self.robot_anchor_quat_w = self.robot_body_quat_w[:, self.anchor]
