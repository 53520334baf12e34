"""Episodes that begin on the floor: dropped in a random pose, or at frames of get-up clips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from mimic.envs.commands.base import InitialState
from mimic.envs.commands.motion_set import MotionSet, MotionSetConfig
from mimic.envs.features import BodyState
from mimic.envs.mdp.interfaces import HEAD
from mimic.envs.motion_library import MotionLibrary
from mimic.sim.kinematics import Kinematics
from mimic_base.errors import MimicError
from mimic_base.rotations_torch import quat_rotate

if TYPE_CHECKING:
    from mimic.envs.environment import Environment


@dataclass(frozen=True, kw_only=True)
class FallenStartConfig(MotionSetConfig):
    """Clips as style, and episodes that begin fallen: a share of them is dropped from just above
    the floor in a random orientation and pose, the others begin at frames of the clips."""

    optional: bool = True
    """Whether the task can be played without clips; every episode then begins with a drop."""
    dropped: float = 0.5
    """Share of the episodes that begin with a drop."""
    limbs: float = 0.5
    """How far the joints of a dropped robot are from its default pose: 0 in it, 1 anywhere within
    their soft limits."""
    clearance: float = 0.1
    """Height of the lowest body's origin over the floor when the robot is dropped, m."""

    def __post_init__(self) -> None:
        for name in ("dropped", "limbs"):
            if not 0 <= getattr(self, name) <= 1:
                raise MimicError(f"{name} is a share from 0 to 1, got {getattr(self, name)}")
        if not 0 <= self.clearance < 10:
            raise MimicError(f"clearance must lie in [0, 10) m, got {self.clearance}")

    def build(self, env: Environment) -> FallenStart:
        given = self.motions or not self.optional
        return FallenStart(self, env, self.library(env) if given else None)


class FallenStart(MotionSet):
    """See ``FallenStartConfig``.

    Attributes:
        dropped: [N] bool: whether each environment's episode has begun with a drop.
        standing_head: [1] m: height of the head in the robot's default pose.
        anchor: place of the anchor body among all bodies.
    """

    shared_tensors: ClassVar[frozenset[str]] = frozenset({"standing_head"})
    config: FallenStartConfig

    def __init__(
        self, config: FallenStartConfig, env: Environment, library: MotionLibrary | None
    ) -> None:
        super().__init__(config, env, library)
        self.dropped = torch.zeros(env.num_envs, dtype=torch.bool, device=env.device)
        self.anchor = list(env.robot.body_names).index(env.robot.anchor_body)
        self._kinematics = Kinematics(env.robot, env.device)
        standing = env.default_state(1)
        poses = self._bodies(standing.root_pos_w, standing.root_quat_w, standing.joint_pos)
        self.standing_head = head_height(*(each[:, self.anchor] for each in poses))

    def _bodies(
        self, root_pos: torch.Tensor, root_quat: torch.Tensor, joint_pos: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Places [n, B, 3] and orientations [n, B, 4] of all bodies."""
        qpos = torch.cat([root_pos, root_quat, joint_pos], -1)
        still = torch.zeros(len(qpos), qpos.shape[1] - 1, device=qpos.device)
        return self._kinematics(qpos, still)[:2]

    def resample(self, env_ids: torch.Tensor) -> None:
        super().resample(env_ids)
        share = self.config.dropped if self._on_clips else 1.0
        self.dropped[env_ids] = self.env.uniform((len(env_ids),), 0.0, 1.0) < share

    def initial_state(self, env_ids: torch.Tensor, *, noise: bool = True) -> InitialState | None:
        of_clips = super().initial_state(env_ids, noise=noise)
        fallen = self._drop(len(env_ids))
        if of_clips is None:
            return fallen
        chosen = self.dropped[env_ids, None]
        both: dict[str, Any] = {
            f.name: torch.where(chosen, getattr(fallen, f.name), getattr(of_clips, f.name))
            for f in fields(InitialState)
            if f.name != "objects"
        }
        return InitialState(**both)

    def _drop(self, count: int) -> InitialState:
        """Robots at rest in random poses, the lowest body just above the floor."""
        env = self.env
        drawn = torch.randn(count, 4, generator=env.generator, device=env.device)
        quat = torch.nn.functional.normalize(drawn, dim=-1)
        standing = env.default_state(count)
        span = env.soft_upper - env.soft_lower
        anywhere = env.soft_lower + span * env.uniform(tuple(standing.joint_pos.shape), 0.0, 1.0)
        joints = torch.lerp(standing.joint_pos, anywhere, self.config.limbs)
        places, _ = self._bodies(torch.zeros_like(standing.root_pos_w), quat, joints)
        root = torch.zeros_like(standing.root_pos_w)
        root[:, 2] = self.config.clearance - places[..., 2].amin(-1)
        root[:, 2] += float(env.scene.height(0.0, 0.0))
        return InitialState(
            root_pos_w=root,
            root_quat_w=quat,
            joint_pos=joints,
            root_lin_vel_w=standing.root_lin_vel_w,
            root_ang_vel_b=standing.root_ang_vel_b,
            joint_vel=standing.joint_vel,
        )

    def frames_before(self, env_ids: torch.Tensor, count: int) -> BodyState | None:
        past = super().frames_before(env_ids, count)
        if past is None:
            return None
        # Before a drop there was nothing else than the robot as it is held.
        now = BodyState.of_robot(self.env.state.robot, self.env.key_body_ids)
        held: dict[str, torch.Tensor] = {}
        for f in fields(BodyState):
            frames, here = getattr(past, f.name), getattr(now, f.name)[env_ids][:, None]
            chosen = self.dropped[env_ids].view(-1, *[1] * (frames.ndim - 1))
            held[f.name] = torch.where(chosen, here.expand_as(frames), frames)
        return BodyState(**held)

    def metrics(self) -> Mapping[str, torch.Tensor]:
        robot = self.env.state.robot
        head = head_height(robot.body_pos_w[:, self.anchor], robot.body_quat_w[:, self.anchor])
        return {"robot/head_height": head}

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "dropped": self.config.dropped}


def head_height(pos: torch.Tensor, quat: torch.Tensor) -> torch.Tensor:
    """[N] m: height of the head, from place [N, 3] and orientation [N, 4] of the anchor body."""
    arm = quat_rotate(quat, pos.new_tensor(HEAD).expand_as(pos))
    return pos[:, 2] + arm[:, 2]
