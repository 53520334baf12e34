"""What a policy file says about itself: everything needed to run it rightly, joints by name."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from mimic_base.errors import MimicError

SCHEMA = "humanoid-mimic/policy/1"
METADATA_KEY = "humanoid_mimic"
GOLDEN_KEY = "humanoid_mimic_golden"

PER_JOINT = (
    "default_joint_pos", "action_scale", "kp", "kd", "effort_limit", "velocity_limit",
    "joint_lower", "joint_upper",
)  # fmt: skip
POSITIVE = ("action_scale", "kp", "effort_limit", "velocity_limit")


@dataclass(frozen=True, kw_only=True)
class RobotInfo:
    """The robot a policy was trained on."""

    name: str
    hash: str


@dataclass(frozen=True, kw_only=True)
class ObservationInfo:
    """A term of the observation; it fills ``size * history`` entries, multiplied by ``scale``."""

    name: str
    size: int
    scale: float = 1.0
    history: int = 1


@dataclass(frozen=True, kw_only=True)
class MotionInfo:
    """A reference clip the policy was trained on, with its own frame rate."""

    name: str
    hash: str
    fps: float
    frames: int
    """Frames at the control rate."""


@dataclass(frozen=True, kw_only=True)
class PolicyContract:
    """The promise of a policy file.

    Joint arrays are in the order of ``joint_names``. A control step: build the observation, run
    the network, command ``default_joint_pos + action_scale * action``; the motor applies
    ``kp (target - q) - kd dq`` within ``effort_limit`` at every physics step. Units: rad, rad/s,
    N m, s. Angular velocities of the base are measured in the frame of ``root_body``.
    """

    task: str
    robot: RobotInfo
    joint_names: tuple[str, ...]
    default_joint_pos: tuple[float, ...]
    action_scale: tuple[float, ...]
    kp: tuple[float, ...]
    kd: tuple[float, ...]
    effort_limit: tuple[float, ...]
    velocity_limit: tuple[float, ...]
    joint_lower: tuple[float, ...]
    joint_upper: tuple[float, ...]
    control_dt: float
    physics_dt: float
    observations: tuple[ObservationInfo, ...]
    anchor_body: str
    root_body: str
    body_names: tuple[str, ...]
    motions: tuple[MotionInfo, ...]
    reference_lead: int
    """Control steps by which the observed reference is ahead of the observed state."""
    clip_inside: int | None = None
    """Index into ``motions`` of the clip whose frames the file itself gives out."""
    training: Mapping[str, Any] = field(default_factory=dict)
    quaternion: str = "wxyz"
    schema: str = SCHEMA

    def __post_init__(self) -> None:
        _check(self)

    @property
    def num_joints(self) -> int:
        return len(self.joint_names)

    @property
    def observation_size(self) -> int:
        return sum(term.size * term.history for term in self.observations)

    def to_json(self) -> str:
        """JSON at full precision: every number is read back as the same double."""
        return json.dumps(asdict(self), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> PolicyContract:
        """Read and check a contract.

        Raises:
            MimicError: not JSON, another schema, a missing entry or one that cannot be.
        """
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise MimicError(f"the policy's contract is not JSON ({error})") from error
        if not isinstance(data, dict):
            raise MimicError("the policy's contract is not a JSON object")
        schema = data.get("schema")
        if schema != SCHEMA:
            raise MimicError(
                f"the policy's contract has schema {schema!r}, this program reads '{SCHEMA}'; "
                "export the policy again with the installed version"
            )
        optional = {"clip_inside", "training", "quaternion"}
        missing = [f.name for f in fields(cls) if f.name not in data and f.name not in optional]
        if missing:
            raise MimicError(f"the policy's contract lacks {', '.join(missing)}")
        try:
            return cls(**{f.name: _parse(f.name, data[f.name]) for f in fields(cls)
                          if f.name in data})  # fmt: skip
        except (TypeError, ValueError, KeyError) as error:
            if isinstance(error, MimicError):
                raise
            raise MimicError(f"the policy's contract cannot be read: {error}") from error


def _parse(name: str, value: Any) -> Any:
    if name in PER_JOINT:
        return tuple(float(each) for each in value)
    if name in ("joint_names", "body_names"):
        return tuple(str(each) for each in value)
    if name in ("control_dt", "physics_dt"):
        return float(value)
    if name == "robot":
        return RobotInfo(**value)
    if name == "observations":
        return tuple(ObservationInfo(**each) for each in value)
    if name == "motions":
        return tuple(MotionInfo(**each) for each in value)
    return value


def _check(c: PolicyContract) -> None:
    def refuse(what: str) -> None:
        raise MimicError(f"the policy's contract is inconsistent: {what}")

    joints = len(c.joint_names)
    if joints == 0:
        refuse("joint_names is empty")
    for kind, names in (
        ("joint_names", c.joint_names),
        ("body_names", c.body_names),
        ("observations", [term.name for term in c.observations]),
    ):
        if len(set(names)) != len(names):
            refuse(f"{kind} names an entry twice")
    for name in PER_JOINT:
        values = getattr(c, name)
        if len(values) != joints:
            refuse(f"{name} has {len(values)} entries, there are {joints} joints")
        if not all(math.isfinite(value) for value in values):
            refuse(f"{name} holds a number that is not finite")
        if name in POSITIVE and min(values) <= 0:
            refuse(f"{name} must be positive, found {min(values)}")
    if min(c.kd) < 0:
        refuse(f"kd must not be negative, found {min(c.kd)}")
    for lower, upper, joint in zip(c.joint_lower, c.joint_upper, c.joint_names, strict=True):
        if not lower < upper:
            refuse(f"joint '{joint}' has limits [{lower}, {upper}]")
    for name in ("control_dt", "physics_dt"):
        value = getattr(c, name)
        if not (math.isfinite(value) and value > 0):
            refuse(f"{name} must be positive, found {value}")
    if c.reference_lead < 0:
        refuse(f"reference_lead must not be negative, found {c.reference_lead}")
    if c.quaternion != "wxyz":
        refuse(f"quaternion is '{c.quaternion}', expected 'wxyz'")
    if not c.observations or any(t.size < 1 or t.history < 1 for t in c.observations):
        refuse("observations must have terms of at least one entry")
    if c.anchor_body not in c.body_names:
        refuse(f"anchor_body '{c.anchor_body}' is not among body_names")
    if c.clip_inside is not None and not 0 <= c.clip_inside < len(c.motions):
        refuse(f"clip_inside is {c.clip_inside}, there are {len(c.motions)} motions")


def contract_of_env(
    env: Any, training: Mapping[str, Any], clip: int | None = None
) -> PolicyContract:
    """The contract of a policy trained in a tracking environment.

    Args:
        env: ``mimic.envs.TrackingEnv`` or anything with the same attributes.
        clip: index of the clip that goes into the file.
    """
    robot, library = env.robot, env.motion

    def numbers(values: Sequence[float]) -> tuple[float, ...]:
        return tuple(float(value) for value in values)

    motions = tuple(
        MotionInfo(name=name, hash=digest, fps=float(fps), frames=int(frames))
        for name, digest, fps, frames in zip(
            library.names, library.hashes, library.source_fps, library.length, strict=True
        )
    )
    per_joint: dict[str, Any] = {name: numbers(getattr(robot, name)) for name in PER_JOINT}
    return PolicyContract(
        task=env.task_name,
        robot=RobotInfo(name=robot.name, hash=robot.content_hash),
        joint_names=tuple(robot.joint_names),
        **per_joint,
        control_dt=float(env.control_dt),
        physics_dt=float(env.scene.physics_dt),
        observations=tuple(ObservationInfo(**each) for each in env.observation_layout("actor")),
        anchor_body=robot.anchor_body,
        root_body=robot.root_body,
        body_names=tuple(robot.key_bodies),
        motions=motions,
        reference_lead=int(env.reference_lead),
        clip_inside=clip,
        training=dict(training),
    )
