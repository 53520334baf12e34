"""The motion command: which reference frame each environment is asked to be in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch

from mimic.envs.commands.base import (
    Command,
    CommandConfig,
    InitialState,
    PolicyAssets,
    Wrap,
)
from mimic.envs.features import BodyState
from mimic.envs.motion_library import MotionLibrary, MotionSource, find_motion_files, load_library
from mimic.envs.sampling import SamplingConfig, StartSampler
from mimic.sim.states import free_objects
from mimic_base.errors import MimicError
from mimic_base.frame_fields import BODY_FIELDS, FRAME_FIELDS
from mimic_base.rotations_torch import (
    quat_conj,
    quat_from_euler_xyz,
    quat_inv_rotate,
    quat_mul,
    yaw_quat,
)
from motions import RobotMotion

if TYPE_CHECKING:
    from mimic.envs.environment import Environment

Lookup = Callable[..., dict[str, torch.Tensor]]
Range3 = tuple[float, float, float]
ROBOT_FIELDS = tuple(f"robot_{name}" for name in BODY_FIELDS)
RELATIVE_FIELDS = ("body_pos_relative_w", "body_quat_relative_w")


@dataclass(frozen=True, kw_only=True)
class ResetNoise:
    """Half widths of the uniform noise on a start state (BeyondMimic's by default)."""

    position: Range3 = (0.05, 0.05, 0.01)
    """m"""
    roll_pitch_yaw: Range3 = (0.1, 0.1, 0.2)
    """rad"""
    lin_vel: Range3 = (0.5, 0.5, 0.2)
    """m/s, world axes"""
    ang_vel: Range3 = (0.52, 0.52, 0.78)
    """rad/s, world axes"""
    joint_pos: float = 0.1
    """rad, then clipped to the soft limits"""

    @classmethod
    def none(cls) -> ResetNoise:
        """No noise at all."""
        zero = (0.0, 0.0, 0.0)
        return cls(position=zero, roll_pitch_yaw=zero, lin_vel=zero, ang_vel=zero, joint_pos=0.0)

    def scaled(self, scale: float) -> ResetNoise:
        """Every half width multiplied by ``scale``."""

        def three(values: Range3) -> Range3:
            x, y, z = values
            return (scale * x, scale * y, scale * z)

        return ResetNoise(
            position=three(self.position),
            roll_pitch_yaw=three(self.roll_pitch_yaw),
            lin_vel=three(self.lin_vel),
            ang_vel=three(self.ang_vel),
            joint_pos=scale * self.joint_pos,
        )


@dataclass(frozen=True, kw_only=True)
class TakesMotions(CommandConfig):
    """A command that needs clips."""

    motions: tuple[MotionSource, ...] = ()
    """Motion files, folders of them, manifests, or clips in memory; those given to ``make_env``
    where it is empty."""

    def with_motions(self, motions: Sequence[MotionSource]) -> Self:
        """The same command over other clips."""
        return replace(self, motions=tuple(motions))

    def library(self, env: Environment) -> MotionLibrary:
        """The clips at the control rate of an environment.

        Raises:
            MimicError, InputError: no clip, a file that cannot be read, another robot's motion.
        """
        clips: list[MotionSource] = [c for c in self.motions if isinstance(c, RobotMotion)]
        paths = [c for c in self.motions if not isinstance(c, RobotMotion)]
        if paths or not clips:
            clips += find_motion_files(paths)
        return load_library(clips, env.robot, 1.0 / env.control_dt, str(env.device))


@dataclass(frozen=True, kw_only=True)
class MotionCommandConfig(TakesMotions):
    """Track reference clips, starting on them (reference-state initialisation)."""

    sampling: SamplingConfig = SamplingConfig()
    """How start frames are drawn."""
    reset_noise: ResetNoise = ResetNoise()
    """Noise on start states, times the environment's strength of randomisation."""
    reference_lead: int = 1
    """Control steps by which the observed reference is ahead of the state it is observed in: with
    1 the policy sees the frame that its action will be judged against, as in BeyondMimic."""

    def __post_init__(self) -> None:
        if self.reference_lead < 0:
            raise MimicError(f"reference_lead must not be negative, got {self.reference_lead}")

    def build(self, env: Environment) -> MotionCommand:
        return MotionCommand(self, env, self.library(env))

    def quiet(self, start_noise: float = 0.0) -> MotionCommandConfig:
        return replace(
            self,
            sampling=SamplingConfig(mode="start"),
            reset_noise=self.reset_noise.scaled(start_noise),
        )


def motion_command(env: Any, name: str = "motion") -> MotionCommand:
    """The motion command of an environment.

    Raises:
        MimicError: it has none of this name.
    """
    command = env.commands.get(name)
    # By what it has: a view of a command's rows has it too.
    if not hasattr(command, "library"):
        raise MimicError(
            f"task '{env.task_name}' has no motion command '{name}'; its commands: "
            f"{', '.join(env.commands) or 'none'}"
        )
    return command


def clip_assets(library: Any, reference_lead: int, choice: str | None) -> PolicyAssets:
    """What a policy file says and holds of the clips of a motion library.

    Args:
        choice: name of the clip whose frames go inside.
    """
    motions = [
        {"name": name, "hash": digest, "fps": float(fps), "frames": int(frames)}
        for name, digest, fps, frames in zip(
            library.names, library.hashes, library.source_fps, library.length, strict=True
        )
    ]
    contract: dict[str, Any] = {"motions": motions, "reference_lead": int(reference_lead)}
    if choice is None:
        return PolicyAssets(contract=contract)
    clip = list(library.names).index(choice)
    start = int(library.start[clip])
    rows = slice(start, start + int(library.length[clip]))
    return PolicyAssets(
        contract={**contract, "clip_inside": clip},
        clip={name: getattr(library, name)[rows].cpu().float() for name in FRAME_FIELDS},
    )


def clip_before(
    library: MotionLibrary, clip: torch.Tensor, frame: torch.Tensor, count: int
) -> BodyState:
    """The ``count`` frames [n, count, ...] before the frames [n] of clips [n], the oldest first; a
    clip's first frame stands for those before it."""
    back = torch.arange(-count, 0, device=frame.device)
    rows = library.start[clip][:, None] + (frame[:, None] + back).clamp_min(0)
    return BodyState.of_frames(library, rows)


class MotionCommand(Command):
    """Reference poses [N, ...] at each environment's own time, and the robot's key bodies.

    The reference advances with the physics, *before* rewards are computed: a state is compared
    with the frame of its own time. B counts the robot's key bodies.

    Attributes:
        joint_pos, joint_vel: [N, J] reference, rad, rad/s.
        body_*_w: [N, B, 3 | 4] reference. robot_body_*_w: the robot's own.
        body_pos_relative_w, body_quat_relative_w: the reference moved to the robot's anchor:
            its horizontal place and its heading.
        anchor_*, robot_anchor_*: [N, 3 | 4] the anchor body's rows of the above.
        target_joints: [N, 2 J], target_anchor_*: [N, 3 | 4] the reference ``reference_lead`` steps
            later, which observations show.
    """

    shared_tensors: ClassVar[frozenset[str]] = frozenset({"end_effectors"})

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
        self, config: MotionCommandConfig, env: Environment, library: MotionLibrary
    ) -> None:
        super().__init__(env)
        engine, robot = env.engine, env.robot
        self.config = config
        self.library = library
        self.robot = robot
        self.engine = engine
        self.reference_lead = config.reference_lead
        self.reset_noise = config.reset_noise
        self.sampler = StartSampler(config.sampling, library, env.generator)
        device = engine.device
        self.anchor = robot.key_bodies.index(robot.anchor_body)
        self.end_effectors = torch.tensor(
            [robot.key_bodies.index(name) for name in robot.end_effectors], device=device
        )
        self._body_ids = torch.tensor(
            [robot.body_names.index(name) for name in robot.key_bodies], device=device
        )
        self._anchor_body = robot.body_names.index(robot.anchor_body)
        self.clip = torch.zeros(engine.num_envs, dtype=torch.long, device=device)
        self.frame = torch.zeros(engine.num_envs, dtype=torch.long, device=device)
        self._fields: dict[str, torch.Tensor] = {}
        self._lookup_all: Lookup = self._lookup

    def compile(self, wrap: Wrap) -> None:
        self._lookup_all = wrap(self._lookup, "references")

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
        return self.library.start[self.clip] + torch.minimum(self.frame + self.reference_lead, last)

    def advance(self) -> None:
        """Move every reference on by one control step, stopping at the last frame."""
        self.frame = torch.minimum(self.frame + 1, self.library.length[self.clip] - 1)

    def resample(self, env_ids: torch.Tensor) -> None:
        """Ask the environments ``env_ids`` [n] for frames that the sampler draws."""
        self.assign(env_ids, *self.sampler.draw(len(env_ids)))

    def assign(self, env_ids: torch.Tensor, clip: torch.Tensor, frame: torch.Tensor) -> None:
        """Ask the environments ``env_ids`` [n] for given clips and frames [n]."""
        self.clip[env_ids] = clip
        self.frame[env_ids] = frame

    def restart(self, env_ids: torch.Tensor, clip: torch.Tensor, frame: torch.Tensor) -> None:
        """Restart the environments ``env_ids`` [n] at given clips and frames [n].

        Observations are refreshed by ``env.observe``.
        """
        self.assign(env_ids, clip, frame)
        self.env.reset_envs(env_ids, resample=False)

    def initial_state(self, env_ids: torch.Tensor, *, noise: bool = True) -> InitialState:
        """The reference states of the environments' own frames, with ``reset_noise`` on them."""
        width = self.reset_noise if noise else ResetNoise.none()
        return self.reference_state(self.row[env_ids], width)

    def reference_state(self, row: torch.Tensor, width: ResetNoise) -> InitialState:
        """The states [n, ...] of library rows ``row`` [n], with noise.

        The noise is ``width`` times ``env.randomisation``.
        """
        env, library = self.env, self.library
        count = len(row)

        def symmetric(half_width: Range3) -> torch.Tensor:
            span = env.randomisation * torch.tensor(half_width, device=env.device)
            return env.uniform((count, 3), -1.0, 1.0) * span

        pos = library.body_pos_w[row, 0] + symmetric(width.position)
        turn = quat_from_euler_xyz(symmetric(width.roll_pitch_yaw))
        quat = quat_mul(turn, library.body_quat_w[row, 0])
        lin_vel = library.body_lin_vel_w[row, 0] + symmetric(width.lin_vel)
        ang_vel_w = library.body_ang_vel_w[row, 0] + symmetric(width.ang_vel)
        joint_pos = library.joint_pos[row]
        of_joints = env.randomisation * width.joint_pos
        if of_joints > 0:
            joint_pos = joint_pos + env.uniform(tuple(joint_pos.shape), -of_joints, of_joints)
            joint_pos = torch.minimum(torch.maximum(joint_pos, env.soft_lower), env.soft_upper)
        return InitialState(
            root_pos_w=pos,
            root_quat_w=quat,
            joint_pos=joint_pos,
            root_lin_vel_w=lin_vel,
            root_ang_vel_b=quat_inv_rotate(quat, ang_vel_w),
            joint_vel=library.joint_vel[row],
            objects=self._object_states(row),
        )

    def _object_states(self, row: torch.Tensor) -> dict[str, tuple[torch.Tensor, ...]] | None:
        """Where the scene's free objects are in library rows ``row`` [n], if they are tracked."""
        library = self.library
        tracks = (library.object_pos_w, library.object_quat_w, library.object_lin_vel_w,
                  library.object_ang_vel_w)  # fmt: skip
        moving = free_objects(self.engine.scene)
        states = {
            name: tuple(track[row, column] for track in tracks if track is not None)
            for column, name in enumerate(library.object_names)
            if name in moving
        }
        return states or None

    def frames_before(self, env_ids: torch.Tensor, count: int) -> BodyState:
        return clip_before(self.library, self.clip[env_ids], self.frame[env_ids], count)

    def record(self, terminated: torch.Tensor) -> None:
        """Count visits, failures and missed rewards for the sampler."""
        missed, most = None, self.env.max_reward
        if self.config.sampling.mode == "return":
            got = self.env.reward_per_step / most if most > 0 else torch.ones_like(self.row)
            missed = (1.0 - got).clamp(0.0, 1.0)
        self.sampler.record(self.row, terminated, missed)

    def metrics(self) -> Mapping[str, torch.Tensor]:
        error = (self.body_pos_w - self.robot_body_pos_w).square().sum(-1).sqrt()
        return {"error/key_body_mm": 1e3 * error.mean(-1)}

    def statistics(self) -> Mapping[str, torch.Tensor]:
        return self.sampler.metrics()

    def shared_statistics(self) -> list[torch.Tensor]:
        return [self.sampler.failures, self.sampler.visits, self.sampler.missed]

    def describe(self) -> dict[str, Any]:
        library = self.library
        return {
            **super().describe(),
            "motions": list(library.names),
            "hashes": list(library.hashes),
            "reference_lead": self.reference_lead,
        }

    def policy_choices(self) -> Sequence[str]:
        return self.library.names

    def policy_assets(self, choice: str | None = None) -> PolicyAssets:
        """What the library's clips are, and the frames of the one that is chosen."""
        return clip_assets(self.library, self.reference_lead, choice)

    def state_dict(self) -> dict[str, Any]:
        return {"sampler": self.sampler.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.sampler.load_state_dict(state["sampler"])

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

        return fields | moved_to_robot(fields, self.anchor)

    def _publish(self) -> None:
        """Name the looked-up tensors, environments first."""
        for name, values in self._fields.items():
            setattr(self, name, _rows_first(values))
        self.anchor_pos_w = self.body_pos_w[:, self.anchor]
        self.anchor_quat_w = self.body_quat_w[:, self.anchor]
        self.robot_anchor_pos_w = self.robot_body_pos_w[:, self.anchor]
        self.robot_anchor_quat_w = self.robot_body_quat_w[:, self.anchor]

    # imagination ---------------------------------------------------------------------------

    @property
    def moment(self) -> torch.Tensor:
        """[N, 2] clip and frame."""
        return torch.stack([self.clip, self.frame], 1).float()

    def later(self, moment: torch.Tensor) -> torch.Tensor:
        last = (self.library.length[moment[:, 0].long()] - 1).float()
        return torch.stack([moment[:, 0], torch.minimum(moment[:, 1] + 1.0, last)], 1)

    def steps_left(self, moment: torch.Tensor) -> torch.Tensor:
        return self.library.length[moment[:, 0].long()] - 1 - moment[:, 1].long()

    def imagined(self, moment: torch.Tensor, robot: Any) -> ImaginedMotion:
        return ImaginedMotion(self, moment, robot)


class ImaginedMotion:
    """A motion command as terms read it, of robots [N] that are imagined at given moments.

    It has the attributes of ``MotionCommand``, each computed when it is first read: the anchor's
    pose needs far less than all key bodies.
    """

    def __init__(self, command: MotionCommand, moment: torch.Tensor, robot: Any) -> None:
        clip, frame = moment[:, 0].long(), moment[:, 1].long()
        library = command.library
        self.library = library
        self.anchor, self.end_effectors = command.anchor, command.end_effectors
        self.reference_lead = command.reference_lead
        self.clip, self.frame = clip, frame
        self.row = library.start[clip] + frame
        last = library.length[clip] - 1
        self.finished = frame >= last
        self.target_row = library.start[clip] + torch.minimum(frame + self.reference_lead, last)
        self._robot = robot
        self._bodies = command._body_ids
        self._anchor_body = command._anchor_body

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        library, row, anchor = self.library, self.row, self.anchor
        found: dict[str, Any]
        if name == "target_joints":
            found = {name: library.joint_command(self.target_row)}
        elif name in ("target_anchor_pos_w", "target_anchor_quat_w"):
            field = name.replace("target_anchor", "body")
            found = {name: getattr(library, field)[self.target_row, anchor]}
        elif name in ("anchor_pos_w", "anchor_quat_w"):
            found = {name: getattr(library, name.replace("anchor", "body"))[row, anchor]}
        elif name in ("robot_anchor_pos_w", "robot_anchor_quat_w"):
            pos, quat = self._robot.pose_of(self._anchor_body)
            found = {"robot_anchor_pos_w": pos, "robot_anchor_quat_w": quat}
        elif name in (*FRAME_FIELDS, *ROBOT_FIELDS, *RELATIVE_FIELDS):
            found = {key: _rows_first(values) for key, values in self._lookup().items()}
        else:
            raise AttributeError(f"an imagined motion command has no '{name}'")
        self.__dict__.update(found)
        return found[name]

    def _lookup(self) -> dict[str, torch.Tensor]:
        fields = self.library.gather(self.row)
        for name in BODY_FIELDS:
            values = getattr(self._robot, name).permute(1, 2, 0)
            fields[f"robot_{name}"] = values.index_select(0, self._bodies)
        return fields | moved_to_robot(fields, self.anchor)


def _rows_first(values: torch.Tensor) -> torch.Tensor:
    return values.T if values.ndim == 2 else values.permute(2, 0, 1)


def moved_to_robot(fields: Mapping[str, torch.Tensor], anchor: int) -> dict[str, torch.Tensor]:
    """The reference moved to the robot's own place and heading: drift is not punished twice.

    Args:
        fields: reference and robot bodies [B, 3 | 4, N].
        anchor: the body whose horizontal place and heading become the robot's.

    Returns:
        ``body_pos_relative_w`` and ``body_quat_relative_w`` [B, 3 | 4, N].
    """
    here, there = fields["robot_body_pos_w"][anchor], fields["body_pos_w"][anchor]
    heading, wanted = fields["robot_body_quat_w"][anchor].T, fields["body_quat_w"][anchor].T
    cos, _, _, sin = yaw_quat(quat_mul(heading, quat_conj(wanted))).unbind(-1)
    pos, quat = fields["body_pos_w"], fields["body_quat_w"]
    dx, dy = pos[:, 0] - there[0], pos[:, 1] - there[1]
    cos_yaw, sin_yaw = cos * cos - sin * sin, 2.0 * sin * cos
    x, y = cos_yaw * dx - sin_yaw * dy, sin_yaw * dx + cos_yaw * dy
    moved = torch.stack([here[0] + x, here[1] + y, pos[:, 2]], 1)
    w, x, y, z = quat.unbind(1)
    turned = torch.stack(
        [cos * w - sin * z, cos * x - sin * y, cos * y + sin * x, cos * z + sin * w], 1
    )
    return {"body_pos_relative_w": moved, "body_quat_relative_w": turned}
