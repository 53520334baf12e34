"""Other people's policies behind the same contract as ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mimic.deploy.rest import standing_reference
from mimic.policy.contract import MotionInfo, ObservationInfo, PolicyContract, RobotInfo
from mimic.policy.observations import Reference, RobotState
from mimic.policy.player import PolicyPlayer
from mimic_base.errors import MimicError
from mimic_base.text import plain
from robots import Robot

Network = Callable[[NDArray[np.float32], int], NDArray[np.float32]]
"""From observations [1, D] and a time step to actions [1, A]."""
STANDING_S = 10.0
"""s of standing that a policy without a clip is given as its reference."""
SHOWN = 300
"""Characters of a file's names that a refusal shows."""
CONTROL_DT = 0.02
"""s of a control step where a file does not say."""


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """What a reader has found in a file, joints by name.

    Attributes:
        format: whose file it is. joint_names: [A] of the network's actions, in its order.
        acting: how many of these joints the network commands, the first ones; None: all.
        default_joint_pos, action_scale, kp, kd: [A] rad, rad, N m/rad, N m s/rad.
        observations: in the network's order. anchor_body, body_names: of the clip.
        forget: puts the memory of a recurrent network back to its beginning.
        clip: inside of the file; None: the policy tracks none, and is asked for velocities.
        missing: what the file does not say, and what was taken in its place.
    """

    format: str
    robot: Robot
    joint_names: tuple[str, ...]
    default_joint_pos: Sequence[float]
    action_scale: Sequence[float]
    kp: Sequence[float]
    kd: Sequence[float]
    observations: tuple[ObservationInfo, ...]
    anchor_body: str
    body_names: tuple[str, ...]
    control_dt: float
    network: Network
    acting: int | None = None
    forget: Callable[[], None] | None = None
    clip: Reference | None = None
    missing: tuple[str, ...] = field(default=())


class ForeignPlayer(PolicyPlayer):
    """A policy of another program, played as ours are.

    Attributes:
        format: whose file it is. missing: what it does not say, and what was taken in its place.
        velocity: [3] m/s, m/s, rad/s that a policy without a clip is asked for.
    """

    def __init__(self, path: Path, found: Foreign) -> None:
        """Put the contract together.

        Raises:
            MimicError: joints or bodies that the robot has not, or numbers that make no contract.
        """
        self.path, self.format = path, found.format
        self.velocity: tuple[float, float, float] = (0.0, 0.0, 0.0)
        self.missing = (
            *found.missing,
            f"the robot's model, joint ranges and motors: those of '{found.robot.name}'",
        )
        acting = len(found.joint_names) if found.acting is None else found.acting
        self._network, self._acting, self._forget = found.network, acting, found.forget
        try:
            self.contract = _contract(found)
        except MimicError as error:
            raise MimicError(f"{path}: {error}") from error
        self._clip = found.clip
        if self._clip is None:
            standing = standing_reference(self.contract, found.robot)
            count = round(STANDING_S / found.control_dt)
            self._clip = Reference(
                **{k: np.repeat(v[:1], count, axis=0) for k, v in standing.frame_fields().items()}
            )
        elif self._acting < self.contract.num_joints:
            raise MimicError(f"{path}: a clip of {self._acting} joints only; they must be all")
        size = self.contract.observation_size
        self.golden_obs = np.zeros((1, size), np.float32)
        self.golden_actions = self._run(["actions"], self.golden_obs, 0)[0]
        if not np.isfinite(self.golden_actions).all():
            raise MimicError(f"{path}: the network's output is not finite")
        if self._forget is not None:
            self._forget()
        self._builder = None
        self._frames = None
        self._default = np.asarray(self.contract.default_joint_pos)
        self._scale = np.asarray(self.contract.action_scale)
        self._steps = 0

    def restart(self) -> None:
        super().restart()
        self._steps = 0
        if self._forget is not None:
            self._forget()

    def observe(
        self,
        state: RobotState,
        reference: Reference | None,
        t: int,
        last_action: ArrayLike,
        commands: Mapping[str, Any] | None = None,
        objects: Mapping[str, Any] | None = None,
    ) -> NDArray[np.float32]:
        time = self._steps * self.contract.control_dt
        self._steps += 1
        known = {
            "velocity": SimpleNamespace(value=np.asarray(self.velocity, np.float64)),
            "clock": SimpleNamespace(time=time),
            **(commands or {}),
        }
        return super().observe(state, reference, t, last_action, known, objects)

    def act(self, obs: ArrayLike) -> NDArray[np.float32]:
        return super().act(obs)

    def reference_inside(self) -> Reference:
        assert self._clip is not None
        return self._clip

    def _run(self, outputs: list[str], obs: NDArray[np.float32], time_step: Any) -> Any:
        try:
            actions = np.asarray(self._network(obs, 0), np.float32)
        except MimicError:
            raise
        except Exception as error:
            # Runtimes' exceptions have no common base of their own.
            reason = " ".join(str(error).split())[:160] or type(error).__name__
            raise MimicError(f"{self.path}: the network cannot be run ({reason})") from error
        if actions.shape != (len(obs), self._acting):
            raise MimicError(
                f"{self.path}: the network's actions have the shape {list(actions.shape)}, "
                f"expected [{len(obs)}, {self._acting}]"
            )
        whole = np.zeros((len(obs), self.contract.num_joints), np.float32)
        whole[:, : self._acting] = actions
        return [whole]


def _contract(found: Foreign) -> PolicyContract:
    robot, names = found.robot, found.joint_names
    unknown = [name for name in names if name not in robot.joint_names]
    if unknown or len(set(names)) != len(names):
        told = plain(", ".join(unknown) or "twice", SHOWN)
        raise MimicError(
            f"robot '{robot.name}' has no joint {told}; name the robot that the policy is for in "
            "--describe"
        )
    for name in ("default_joint_pos", "action_scale", "kp", "kd"):
        count = len(getattr(found, name))
        if count != len(names):
            raise MimicError(f"{name} has {count} entries, there are {len(names)} joints")
    bodies = found.body_names
    missing = [body for body in bodies if body not in robot.body_names]
    if missing:
        raise MimicError(f"robot '{robot.name}' has no body {plain(', '.join(missing), SHOWN)}")
    # The policy's joints first, then those that it leaves alone: they hold their default.
    rest = tuple(name for name in robot.joint_names if name not in names)
    order = [robot.joint_names.index(name) for name in (*names, *rest)]
    kept = order[len(names) :]

    def numbers(own: Sequence[float], others: Any) -> tuple[float, ...]:
        return (*(float(each) for each in own), *(float(each) for each in others))

    def of_robot(name: str) -> tuple[float, ...]:
        return tuple(float(each) for each in np.asarray(getattr(robot, name))[order])

    frames = round(STANDING_S / found.control_dt) if found.clip is None else found.clip.num_frames
    return PolicyContract(
        task=f"{found.format} policy",
        robot=RobotInfo(name=robot.name, hash=robot.content_hash),
        joint_names=(*names, *rest),
        default_joint_pos=numbers(found.default_joint_pos, robot.default_joint_pos[kept]),
        action_scale=numbers(found.action_scale, np.ones(len(rest))),
        kp=numbers(found.kp, robot.kp[kept]),
        kd=numbers(found.kd, robot.kd[kept]),
        effort_limit=of_robot("effort_limit"),
        velocity_limit=of_robot("velocity_limit"),
        joint_lower=of_robot("joint_lower"),
        joint_upper=of_robot("joint_upper"),
        control_dt=found.control_dt,
        physics_dt=found.control_dt / 4,
        observations=found.observations,
        anchor_body=found.anchor_body,
        root_body=robot.body_names[0],
        body_names=bodies,
        motions=(
            MotionInfo(
                name="standing" if found.clip is None else "inside", hash="",
                fps=1.0 / found.control_dt, frames=frames,
            ),
        ),
        reference_lead=0,
        clip_inside=0,
    )  # fmt: skip


def reference_of(frames: Mapping[str, NDArray[Any]]) -> Reference:
    """A clip of arrays [T, ...] by the names of `Reference`.

    Raises:
        MimicError: a number that is none.
    """
    with np.errstate(invalid="ignore"):
        arrays = {
            each.name: np.asarray(frames[each.name], np.float64) for each in fields(Reference)
        }
    for name, values in arrays.items():
        if not np.isfinite(values).all():
            raise MimicError(f"the clip inside ({name}) holds a number that is not finite")
    return Reference(**arrays)
