"""Randomised physics by name: the ranges that published trackers were trained with.

``with_randomisation(task, "twist")`` gives a task another's physics; ``mimic train --randomisation
twist`` does. What a publication draws and this program does not simulate is left out and said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mimic.configuration import nearest
from mimic.envs.environment import TaskConfig
from mimic.envs.mdp import events
from mimic.envs.mdp import randomisation as physics
from mimic.envs.terms import EventTerm
from mimic_base.errors import MimicError

OURS = (events.__name__, physics.__name__)
"""Modules whose events a preset replaces; those of one's own stay."""
Push = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Randomisation:
    """What a publication draws."""

    source: str
    """Where the ranges come from."""
    events: Mapping[str, EventTerm] = field(default_factory=dict)
    """What is drawn, when and from where."""
    action_delay: tuple[int, int] = (0, 0)
    """Control steps by which actions arrive late."""
    left_out: str = ""
    """What the publication draws beyond that."""


def _reset(function: object, **parameters: object) -> EventTerm:
    return EventTerm(function=function, mode="reset", parameters=parameters)  # type: ignore[arg-type]


def _startup(function: object, **parameters: object) -> EventTerm:
    return EventTerm(function=function, mode="startup", parameters=parameters)  # type: ignore[arg-type]


def _push(every: tuple[float, float], lin_vel: Push, ang_vel: Push = (0.0, 0.0, 0.0)) -> EventTerm:
    return EventTerm(
        function=events.push, mode="interval", interval_s=every,
        parameters={"lin_vel": lin_vel, "ang_vel": ang_vel},
    )  # fmt: skip


RANDOMISATIONS: Mapping[str, Randomisation] = {
    "none": Randomisation(source="the robot as it is described"),
    "beyondmimic": Randomisation(
        source="BeyondMimic (arXiv 2508.08241), friction as in mjlab",
        events={
            "foot_friction": _startup(events.randomize_foot_friction, friction=(0.3, 1.2)),
            "anchor_com": _startup(events.randomize_anchor_com, offset=(0.025, 0.05, 0.05)),
            "joint_default": _startup(events.randomize_joint_default, offset=0.01),
            "push": _push((1.0, 3.0), (0.5, 0.5, 0.2), (0.52, 0.52, 0.78)),
        },
        left_out="restitution 0 to 0.5",
    ),
    "holosoma": Randomisation(
        source="holosoma's whole-body tracking",
        events={
            "foot_friction": _reset(events.randomize_foot_friction, friction=(0.3, 1.2)),
            "anchor_com": _reset(events.randomize_anchor_com, offset=(0.025, 0.05, 0.05)),
            "joint_default": _reset(events.randomize_joint_default, offset=0.025),
            "gains": _reset(physics.gains, kp=(0.9, 1.1), kd=(0.9, 1.1)),
            "push": _push((1.0, 3.0), (0.5, 0.5, 0.2), (0.52, 0.52, 0.78)),
        },
        action_delay=(0, 1),
    ),
    "omnih2o": Randomisation(
        source="OmniH2O (arXiv 2406.08858)",
        events={
            "friction": _reset(physics.friction, friction=(0.2, 1.2)),
            "masses": _reset(physics.masses, factor=(0.7, 1.3)),
            "centre_of_mass": _reset(physics.centre_of_mass, offset=(0.1, 0.1, 0.1)),
            "gains": _reset(physics.gains, kp=(0.75, 1.25), kd=(0.75, 1.25)),
            "push": _push((5.0, 5.0), (1.0, 1.0, 0.0)),
        },
        action_delay=(0, 3),
        left_out="friction below 0.2 (published from -0.6), noise on torques, on the reference",
    ),
    "twist": Randomisation(
        source="TWIST (arXiv 2505.02833)",
        events={
            "friction": _reset(physics.friction, friction=(0.1, 2.0)),
            "base_mass": _reset(physics.base_mass, mass=(-3.0, 3.0)),
            "centre_of_mass": _reset(physics.centre_of_mass, offset=(0.05, 0.05, 0.05)),
            "motor_strength": _reset(physics.motor_strength, factor=(0.8, 1.2)),
            "push": _push((4.0, 4.0), (1.0, 1.0, 0.0)),
            "external_force": EventTerm(
                function=physics.external_force,
                mode="interval",
                interval_s=(2.0, 2.0),
                parameters={"force": 20.0},
            ),
        },
        action_delay=(0, 2),
        left_out="gravity +-0.1 m/s2 every 4 s; the delay's range is not published",
    ),
    "exbody": Randomisation(
        source="ExBody (arXiv 2402.16796)",
        events={
            "friction": _reset(physics.friction, friction=(0.6, 2.0)),
            "base_mass": _reset(physics.base_mass, mass=(-1.0, 5.0)),
            "centre_of_mass": _reset(physics.centre_of_mass, offset=(0.07, 0.07, 0.07)),
            "motor_strength": _reset(physics.motor_strength, factor=(0.8, 1.2)),
            "push": _push((8.0, 8.0), (0.3, 0.3, 0.0)),
        },
        left_out="gravity +-0.1 m/s2; actions a step late from iteration 8,000 on",
    ),
    "pbhc": Randomisation(
        source="PBHC (KungfuBot, arXiv 2506.12851)",
        events={
            "friction": _reset(physics.friction, friction=(0.2, 1.2)),
            "masses": _reset(physics.masses, factor=(0.9, 1.1)),
            "centre_of_mass": _reset(physics.centre_of_mass, offset=(0.05, 0.05, 0.01)),
            "gains": _reset(physics.gains, kp=(0.9, 1.1), kd=(0.9, 1.1)),
            "push": _push((5.0, 10.0), (0.1, 0.1, 0.0)),
        },
        action_delay=(0, 2),
        left_out="noise on torques",
    ),
    "hard": Randomisation(
        source="this program: all of them at once, for students that shall leave the simulation",
        events={
            "friction": _reset(physics.friction, friction=(0.3, 1.6)),
            "masses": _reset(physics.masses, factor=(0.8, 1.2)),
            "base_mass": _reset(physics.base_mass, mass=(-1.0, 3.0)),
            "centre_of_mass": _reset(physics.centre_of_mass, offset=(0.05, 0.05, 0.05)),
            "joint_default": _reset(events.randomize_joint_default, offset=0.02),
            "gains": _reset(physics.gains, kp=(0.85, 1.15), kd=(0.7, 1.3)),
            "motor_strength": _reset(physics.motor_strength, factor=(0.9, 1.1)),
            "armature": _reset(physics.armature, factor=(0.8, 1.2)),
            "push": _push((2.0, 5.0), (0.7, 0.7, 0.3), (0.52, 0.52, 0.78)),
            "external_force": EventTerm(
                function=physics.external_force,
                mode="interval",
                interval_s=(1.0, 3.0),
                parameters={"force": 10.0},
            ),
        },
        action_delay=(0, 2),
    ),
}
"""By name. Joint zeros that are off are encoders that are: the servos read the same ones."""


def randomisation(name: str) -> Randomisation:
    """A preset.

    Raises:
        MimicError: there is none of this name.
    """
    if name not in RANDOMISATIONS:
        raise MimicError(
            f"unknown randomisation '{name}'{nearest(name, list(RANDOMISATIONS))}; known: "
            f"{', '.join(RANDOMISATIONS)}"
        )
    return RANDOMISATIONS[name]


def with_randomisation(task: TaskConfig, name: str) -> TaskConfig:
    """The same task with a preset's physics instead of its own; events of one's own stay.

    Raises:
        MimicError: there is no preset of this name.
    """
    chosen = randomisation(name)
    kept = {key: term for key, term in task.events.items() if term.function.__module__ not in OURS}
    return replace(task, events={**kept, **chosen.events}, action_delay=chosen.action_delay)
