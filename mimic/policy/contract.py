"""What a policy file says about itself: everything needed to run it rightly, joints by name."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from mimic.configuration import from_plain
from mimic_base.errors import InputError, MimicError
from mimic_base.json_text import parse_json
from mimic_base.limits import limit

SCHEMA = "humanoid-mimic/policy/2"
"""The schema of new files."""
READABLE = ("humanoid-mimic/policy/1", SCHEMA)
"""Schemas that are read. ``/1`` knows neither histories nor commands: what ``/2`` adds has
defaults that say what ``/1`` meant."""
METADATA_KEY = "humanoid_mimic"
GOLDEN_KEY = "humanoid_mimic_golden"

_SOURCE = "the policy's contract"
_LARGEST_OBSERVATION = 1_000_000
"""Entries of an observation, histories and all."""

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
    """A term of the observation; it fills ``size * history`` entries, multiplied by ``scale``.

    Who plays the policy computes the value, filters it, and lays the last ``history`` values side
    by side, the oldest first; at the start all are the first one.
    """

    name: str
    size: int
    scale: float = 1.0
    history: int = 1
    filter: float = 0.0
    """Cut-off (Hz) of the first-order low-pass filter on the values; 0: none."""
    delay: tuple[int, int] = (0, 0)
    """Fewest and most control steps by which values were late in training: a fact about the
    training that nobody has to imitate, since a robot's values are late by themselves."""
    function: str = ""
    """Where the observation is declared, ``module:name``; empty: by its name among ours."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of the function."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "delay", tuple(self.delay))


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
    commands: Mapping[str, Any] = field(default_factory=dict)
    """What the task's commands say of themselves, by name."""
    inside: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """What else the file gives out: by command, its attributes and the number of frames of each.
    Attribute ``a`` of command ``c`` is the output ``c.a`` for the input ``time_step``."""
    quaternion: str = "wxyz"
    schema: str = SCHEMA

    def __post_init__(self) -> None:
        _check(self)

    @property
    def outputs_inside(self) -> dict[str, int]:
        """What ``inside`` holds: name of the output and number of its frames."""
        return {
            f"{command}.{attribute}": int(frames)
            for command, attributes in self.inside.items()
            for attribute, frames in attributes.items()
        }

    @property
    def takes_time(self) -> bool:
        """Whether the network takes ``time_step`` too."""
        return self.clip_inside is not None or bool(self.inside)

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
            data = parse_json(_SOURCE, text, rule="not JSON")
        except InputError as error:
            raise MimicError(str(error)) from error
        if not isinstance(data, dict):
            raise MimicError(f"{_SOURCE} is not a JSON object")
        schema = data.get("schema")
        if schema not in READABLE:
            raise MimicError(
                f"the policy's contract has schema {schema!r:.60}, this program reads "
                f"{' and '.join(repr(each) for each in READABLE)}; export the policy again with "
                "the installed version"
            )
        optional = {"clip_inside", "training", "quaternion", "commands", "inside"}
        missing = [f.name for f in fields(cls) if f.name not in data and f.name not in optional]
        if missing:
            raise MimicError(f"the policy's contract lacks {', '.join(missing)}")
        contract = from_plain(cls, data, source=_SOURCE, imports=False, lenient=True)
        # What is said in free form stays as the file has it.
        free = {name: data[name] for name in ("training", "commands") if name in data}
        return replace(contract, **free)


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
    for term in c.observations:
        if len(term.delay) != 2 or not 0 <= term.delay[0] <= term.delay[1]:
            refuse(f"observation '{term.name}' has the delay {term.delay}")
        if not term.filter >= 0:
            refuse(f"observation '{term.name}' has the filter {term.filter}")
        if not math.isfinite(term.scale):
            refuse(f"observation '{term.name}' has the scale {term.scale}")
    if c.observation_size > _LARGEST_OBSERVATION:
        refuse(f"an observation of {c.observation_size} entries")
    for motion in c.motions:
        if not (math.isfinite(motion.fps) and motion.fps > 0):
            refuse(f"motion '{motion.name}' has {motion.fps} frames per second")
        if not 0 < motion.frames <= limit("frames"):
            refuse(f"motion '{motion.name}' has {motion.frames} frames")
    if c.anchor_body not in c.body_names:
        refuse(f"anchor_body '{c.anchor_body}' is not among body_names")
    if c.clip_inside is not None and not 0 <= c.clip_inside < len(c.motions):
        refuse(f"clip_inside is {c.clip_inside}, there are {len(c.motions)} motions")
    for name, frames in c.outputs_inside.items():
        if frames < 1:
            refuse(f"'{name}' has {frames} frames inside")


def assets_of_env(env: Any, choice: str | int | None = None) -> dict[str, Any]:
    """What each command of an environment puts into a policy file (``PolicyAssets``), by name.

    Args:
        choice: what shall be inside, by name or number, of the first command that offers a choice.

    Raises:
        MimicError: nothing of this name is offered.
    """
    taker, chosen = None, None
    if choice is not None:
        offers = {name: list(each.policy_choices()) for name, each in env.commands.items()}
        taker = next((name for name, offered in offers.items() if offered), None)
        if taker is None:
            raise MimicError(
                f"task '{env.spec.task}' has nothing to choose for a policy file: none of its "
                f"commands ({', '.join(env.commands) or 'it has none'}) offers a clip"
            )
        chosen = _chosen(choice, offers[taker])
    return {
        name: each.policy_assets(chosen if name == taker else None)
        for name, each in env.commands.items()
    }


def _chosen(choice: str | int, offered: Sequence[str]) -> str:
    if isinstance(choice, int):
        if not 0 <= choice < len(offered):
            raise MimicError(f"clip {choice} does not exist; there are {len(offered)} clips")
        return offered[choice]
    if choice not in offered:
        raise MimicError(f"no clip '{choice}' in this run; it has {', '.join(offered)}")
    return choice


def contract_of_env(
    env: Any, training: Mapping[str, Any], assets: Mapping[str, Any] | None = None
) -> PolicyContract:
    """The contract of a policy trained in an environment.

    Args:
        env: ``mimic.envs.Environment`` or anything with the same attributes.
        assets: what goes into the file beside the policy, from ``assets_of_env``; without it the
            contract is that of a policy alone, as in a checkpoint.

    Raises:
        MimicError: an action does not mean position targets of all joints.
    """
    robot, spec = env.robot, env.spec

    def numbers(values: Sequence[float]) -> tuple[float, ...]:
        return tuple(float(value) for value in values)

    of_commands: dict[str, Any] = {"motions": (), "reference_lead": 0}
    inside: dict[str, dict[str, int]] = {}
    # Of commands that say the same entry the first counts.
    for name, each in reversed(list((assets or assets_of_env(env)).items())):
        of_commands |= each.contract
        if assets is None:
            of_commands.pop("clip_inside", None)
        elif each.frames:
            inside[name] = {key: len(values) for key, values in each.frames.items()}
    of_commands["motions"] = tuple(MotionInfo(**each) for each in of_commands["motions"])
    # What the policy acts on may hold a frozen one, which the file holds too.
    found = (getattr(each, "inner", None) for each in getattr(env, "action_terms", {}).values())
    inner = next((each for each in found if each is not None), None)
    entries, acts = spec.observations["actor"], spec
    if inner is not None:
        entries, acts = (*entries, *inner.entries), inner
    if len(acts.default_joint_pos) != len(robot.joint_names):
        raise MimicError(
            f"task '{spec.task}' has {len(acts.default_joint_pos)} actions for "
            f"{len(robot.joint_names)} joints; a policy file promises a position target for every "
            "joint"
        )
    per_joint: dict[str, Any] = {name: numbers(getattr(robot, name)) for name in PER_JOINT}
    per_joint |= {
        "default_joint_pos": numbers(acts.default_joint_pos),
        "action_scale": numbers(acts.action_scale),
    }
    return PolicyContract(
        task=spec.task,
        robot=RobotInfo(name=robot.name, hash=robot.content_hash),
        joint_names=tuple(robot.joint_names),
        **per_joint,
        control_dt=float(env.control_dt),
        physics_dt=float(env.scene.physics_dt),
        observations=tuple(ObservationInfo(**asdict(entry)) for entry in entries),
        anchor_body=robot.anchor_body,
        root_body=robot.root_body,
        body_names=tuple(robot.key_bodies),
        **of_commands,
        inside=inside,
        training=dict(training),
        commands={name: command.describe() for name, command in env.commands.items()},
    )
