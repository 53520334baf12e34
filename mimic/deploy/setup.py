"""Puts a deployment together from a policy and a robot, gates first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mimic.deploy.gates import check_contract
from mimic.deploy.guard import Guard
from mimic.deploy.kinematics import Chain
from mimic.deploy.limiter import CommandLimits, LimitSettings, limits_of
from mimic.deploy.messages import RobotIdentity
from mimic.deploy.pilot import Pilot, PilotSettings
from mimic.deploy.playlist import Playlist
from mimic.deploy.rest import Rest
from mimic.deploy.skill import Stander, check_stander
from mimic.deploy.sticks import Steering
from mimic.deploy.trips import Thresholds
from mimic.policy.observations import Reference
from mimic.policy.player import PolicyPlayer
from mimic_base.errors import MimicError
from motions import RobotMotion

if TYPE_CHECKING:
    from robots import Robot

ASSETS = Path(__file__).parents[1] / "assets"
SHIPPED_POLICY = ASSETS / "policy_g1_demo.onnx"
SHIPPED_CLIP = ASSETS / "walk_g1_demo.npz"
"""What the shipped policy was trained to track: a walk."""


@dataclass(frozen=True, kw_only=True)
class DeploySettings:
    """Every number of a deployment."""

    command_hz: float = 500.0
    """Commands to the robot a second; a multiple of the policy's rate."""
    limits: LimitSettings = field(default_factory=LimitSettings)
    """What commands are kept within."""
    thresholds: Thresholds = field(default_factory=Thresholds)
    """When the robot is made to damp."""
    pilot: PilotSettings = field(default_factory=PilotSettings)
    """How it is brought to the clip and back."""

    def every(self, control_dt: float) -> int:
        """Commands in a control step of ``control_dt`` s."""
        count = round(control_dt * self.command_hz)
        if count < 1 or abs(count / self.command_hz - control_dt) > 1e-9:
            raise MimicError(
                f"{self.command_hz:g} commands a second do not fit a policy that runs at "
                f"{1 / control_dt:g} Hz; take a multiple, such as {10 / control_dt:g}"
            )
        return count


def references_of(player: PolicyPlayer, motions: Sequence[Path]) -> list[Reference]:
    """The clips to be tracked: the files', or the policy's own, or the one that is shipped with it.

    Raises:
        MimicError: the policy tracks nothing, or needs a clip and none is named.
    """
    contract = player.contract
    if not contract.motions:
        raise MimicError(
            f"{player.path}: this policy of task '{contract.task}' tracks no clip; only policies "
            "that track clips can be deployed"
        )
    if motions:
        return [player.reference(RobotMotion.load(path), where=str(path)) for path in motions]
    if contract.clip_inside is not None:
        return [player.reference_inside()]
    if player.path.resolve() == SHIPPED_POLICY.resolve():
        return [player.reference(RobotMotion.load(SHIPPED_CLIP))]
    raise MimicError(f"{player.path}: holds no clip to track; name a motion file with --motion")


def gains_of(player: PolicyPlayer, identity: RobotIdentity) -> tuple[np.ndarray, np.ndarray]:
    """Stiffness and damping [J] each of the policy, in the robot's order of joints."""
    contract = player.contract
    order = [contract.joint_names.index(name) for name in identity.joint_names]
    return np.asarray(contract.kp)[order], np.asarray(contract.kd)[order]


def command_limits(
    player: PolicyPlayer,
    identity: RobotIdentity,
    settings: DeploySettings,
    stander: PolicyPlayer | None = None,
) -> CommandLimits:
    """What commands of this policy to this robot are kept within, and of another that holds.

    The largest stiffness is scaled as the gains are: in a gantry, the guard holds to it too.
    """
    kp, kd = gains_of(player, identity)
    if stander is not None:
        other = gains_of(stander, identity)
        kp, kd = np.maximum(kp, other[0]), np.maximum(kd, other[1])
    limits = limits_of(identity, kp, kd, 1.0 / settings.command_hz, settings.limits)
    return replace(limits, kp_cap=settings.pilot.gains * limits.kp_cap)


def make_guard(
    player: PolicyPlayer,
    identity: RobotIdentity,
    settings: DeploySettings,
    stander: PolicyPlayer | None = None,
) -> Guard:
    """The guard of a policy on a robot, and of another that holds.

    Raises:
        MimicError: a policy is not for this robot.
    """
    check_contract(player.contract, identity, player.path)
    limits = command_limits(player, identity, settings, stander)
    return Guard(identity, limits, settings.thresholds)


def make_stander(
    player: PolicyPlayer,
    tracker: PolicyPlayer,
    robot: Robot,
    identity: RobotIdentity,
    settings: DeploySettings,
) -> Stander:
    """A policy that holds what another one has tracked.

    Raises:
        MimicError: it is not for this robot, tracks nothing, or runs at another rate.
    """
    check_contract(player.contract, identity, player.path)
    check_stander(player, tracker)
    pilot = settings.pilot
    return Stander(player, robot, identity, settle_s=pilot.settle_s, gains=pilot.gains)


def make_pilot(
    player: PolicyPlayer,
    identity: RobotIdentity,
    clips: Sequence[Reference],
    anchor: Chain,
    settings: DeploySettings,
    *,
    library: Sequence[Reference] = (),
    rest: Rest | None = None,
    playlist: Playlist | None = None,
    stander: Stander | None = None,
    steering: Steering | None = None,
) -> Pilot:
    """The pilot of a policy on a robot; see `Pilot`.

    Raises:
        MimicError: the policy is not for this robot.
    """
    check_contract(player.contract, identity, player.path)
    return Pilot(
        player,
        identity,
        clips,
        anchor,
        settings.pilot,
        library=library,
        rest=rest,
        playlist=playlist,
        stander=stander,
        steering=steering,
    )
