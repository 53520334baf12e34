"""Disturbances as data: what is drawn, from which published range, and how a multiple scales it.

A multiple of 1 is the published range itself. Ranges about zero grow in proportion; ranges of
factors and of friction grow as powers about their nominal value (a factor of 0.8 becomes 0.64 at
2), so that nothing turns negative. Everything is drawn uniformly, anew for each episode.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mimic.envs.commands import MotionCommandConfig
from mimic.envs.environment import Environment, TaskConfig
from mimic.envs.mdp import events, observations
from mimic.envs.mdp import randomisation as physics
from mimic.envs.terms import EventTerm, ObservationTerm
from mimic.sim.displaced import displace
from mimic.sim.scene import SceneConfig
from mimic.sim.terrain import HeightField, Plane, RoughGround
from robots.overlay import FOOT_FRICTION

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a disturbance must know of the task and the policy."""

    task: TaskConfig
    """As it was trained, with its noise."""
    measured: tuple[str, ...]
    """The actor's observations that depend on the robot's state, see ``measured_terms``."""


@dataclass(frozen=True, kw_only=True)
class Disturbance:
    """Something that differs between simulation and robot."""

    title: str
    source: str
    """Whose range it is."""
    span: Callable[[float], str]
    """The range at a multiple, in words."""
    apply: Callable[[TaskConfig, float, Context], TaskConfig]
    """The task with it, at a multiple."""
    fits: Callable[[Context], bool] = lambda context: True
    """Whether a task can have it."""


def powers(low: float, high: float, multiple: float, nominal: float = 1.0) -> Range:
    """A range of positive numbers about ``nominal``, grown by a power."""
    return (nominal * (low / nominal) ** multiple, nominal * (high / nominal) ** multiple)


def with_event(
    task: TaskConfig, name: str, function: Callable[..., None], **parameters: Any
) -> TaskConfig:
    """The task with an event at every restart; parameters of one that is there are kept."""
    there = task.events.get(name)
    merged = {**(there.parameters if there is not None else {}), **parameters}
    event = EventTerm(function=function, mode="reset", parameters=merged)
    return replace(task, events={**task.events, name: event})


def draw_encoder_bias(env: Any, env_ids: Any, offset: float) -> None:
    """Draw what the encoders of every joint are off by, rad."""
    import torch

    if not hasattr(env, "encoder_bias"):
        env.encoder_bias = torch.zeros_like(env.default_joint_pos_of_env)
    bias = env.encoder_bias
    bias[env_ids] = env.uniform((len(env_ids), bias.shape[-1]), -offset, offset)


def biased_joint_pos(env: Any) -> Any:
    """Joint positions as encoders with a bias tell them, relative to the default pose, [N, J]."""
    return observations.joint_pos(env) + env.encoder_bias


def measured_terms(env: Environment) -> tuple[str, ...]:
    """The actor's observations that change with the state of the robot, command and action kept.

    The state is left changed.
    """

    def values() -> dict[str, Any]:
        env.observe()
        terms = env.cfg.observations["actor"]
        return {name: t.function(env, **t.parameters).clone() for name, t in terms.items()}

    before = values()
    displace(env.engine, len(env.robot.joint_names))
    after = values()
    return tuple(n for n in before if not before[n].allclose(after[n], atol=1e-6))


def _with_terms(
    task: TaskConfig, names: Sequence[str], change: Callable[[ObservationTerm], ObservationTerm]
) -> TaskConfig:
    actor = dict(task.observations["actor"])
    for name in names:
        actor[name] = change(actor[name])
    return replace(task, observations={**task.observations, "actor": actor})


def _friction(task: TaskConfig, multiple: float, context: Context) -> TaskConfig:
    span = powers(0.3, 1.2, multiple, FOOT_FRICTION)
    return with_event(task, "friction", events.randomize_foot_friction, friction=span)


def _mass(task: TaskConfig, multiple: float, context: Context) -> TaskConfig:
    span = powers(0.7, 1.3, multiple)
    return with_event(task, "mass", physics.masses, factor=span)


def _com(task: TaskConfig, multiple: float, context: Context) -> TaskConfig:
    offset = (0.025 * multiple, 0.05 * multiple, 0.05 * multiple)
    return with_event(task, "com", events.randomize_anchor_com, offset=offset)


def _strength(task: TaskConfig, multiple: float, context: Context) -> TaskConfig:
    span = powers(0.8, 1.2, multiple)
    return with_event(task, "motors", physics.motors, strength=span)


def _gains(task: TaskConfig, multiple: float, context: Context) -> TaskConfig:
    span = powers(0.75, 1.25, multiple)
    return with_event(task, "motors", physics.motors, stiffness=span, damping=span)


def _joint_offset(task: TaskConfig, multiple: float, context: Context) -> TaskConfig:
    return with_event(task, "joint_offset", events.randomize_joint_default, offset=0.01 * multiple)


def _joint_terms(task: TaskConfig) -> list[str]:
    actor = task.observations["actor"]
    return [n for n, term in actor.items() if term.function is observations.joint_pos]


def _encoder_bias(task: TaskConfig, multiple: float, context: Context) -> TaskConfig:
    task = with_event(task, "encoder_bias", draw_encoder_bias, offset=0.01 * multiple)
    return _with_terms(
        task, _joint_terms(task), lambda term: replace(term, function=biased_joint_pos)
    )


def _steps(multiple: float) -> int:
    return max(1, round(2 * multiple))


def _action_delay(task: TaskConfig, multiple: float, context: Context) -> TaskConfig:
    return replace(task, action_delay=(0, _steps(multiple)), delay_from_first=True)


def _observation_delay(task: TaskConfig, multiple: float, context: Context) -> TaskConfig:
    most = _steps(multiple)
    return _with_terms(
        task, context.measured,
        lambda term: replace(term, delay=(term.delay[0], term.delay[1] + most)),
    )  # fmt: skip


def _noise(task: TaskConfig, multiple: float, context: Context) -> TaskConfig:
    trained = context.task.observations["actor"]
    actor = {
        name: replace(term, noise=trained[name].noise * multiple)
        for name, term in task.observations["actor"].items()
    }
    return replace(task, observation_noise=True, observations={**task.observations, "actor": actor})


def _push(task: TaskConfig, multiple: float, context: Context) -> TaskConfig:
    event = EventTerm(
        function=events.push, mode="interval", interval_s=(1.0, 3.0),
        parameters={
            "lin_vel": (0.5 * multiple, 0.5 * multiple, 0.2 * multiple),
            "ang_vel": (0.52 * multiple, 0.52 * multiple, 0.78 * multiple),
        },
    )  # fmt: skip
    return replace(task, events={**task.events, "push": event})


def _start(task: TaskConfig, multiple: float, context: Context) -> TaskConfig:
    commands = {
        name: replace(each, reset_noise=context.task.commands[name].reset_noise.scaled(multiple))  # type: ignore[attr-defined]
        if isinstance(each, MotionCommandConfig)
        else each
        for name, each in task.commands.items()
    }
    return replace(task, commands=commands)


def _rough(task: TaskConfig, multiple: float, context: Context) -> TaskConfig:
    height = 0.02 * multiple
    drawn = RoughGround(seed=7, size=(16.0, 16.0), spacing=0.1, bump=0.4, height=height)
    field = np.asarray(drawn.parts().field_heights)
    # The middle of the range is where the clips have their floor.
    level = np.round(field - 0.5 * height, 5)
    ground = HeightField(heights=tuple(map(tuple, level.tolist())), size=drawn.size, around=-0.5)
    return replace(task, scene=replace(task.scene, terrain=ground), motion_scene=False)


def _flat(context: Context) -> bool:
    scene = context.task.scene
    return scene == SceneConfig() or isinstance(scene.terrain, Plane)


def _about_zero(width: float, unit: str, digits: int = 3) -> Callable[[float], str]:
    return lambda m: f"±{width * m:.{digits}g} {unit}"


def _factors(low: float, high: float, unit: str = "") -> Callable[[float], str]:
    def span(multiple: float) -> str:
        a, b = powers(low, high, multiple)
        return f"× {a:.2f}–{b:.2f}{unit}"

    return span


DISTURBANCES: Mapping[str, Disturbance] = {
    "friction": Disturbance(
        title="friction of the feet", source="mjlab",
        span=lambda m: "{:.2f}–{:.2f}".format(*powers(0.3, 1.2, m, FOOT_FRICTION)), apply=_friction,
    ),
    "mass": Disturbance(
        title="mass and inertia of each link", source="OmniH2O", span=_factors(0.7, 1.3),
        apply=_mass,
    ),
    "com": Disturbance(
        title="centre of mass of the torso", source="BeyondMimic",
        span=lambda m: f"±{25 * m:.0f}, {50 * m:.0f}, {50 * m:.0f} mm", apply=_com,
    ),
    "motor_strength": Disturbance(
        title="torque of each motor and its limit", source="TWIST, ExBody",
        span=_factors(0.8, 1.2), apply=_strength,
    ),
    "gains": Disturbance(
        title="kp and kd of each motor", source="OmniH2O", span=_factors(0.75, 1.25),
        apply=_gains,
    ),
    "joint_offset": Disturbance(
        title="zero of each joint (seen and driven)", source="BeyondMimic",
        span=_about_zero(0.01, "rad"), apply=_joint_offset,
    ),
    "encoder_bias": Disturbance(
        title="bias of each encoder (seen only)", source="mjlab", span=_about_zero(0.01, "rad"),
        apply=_encoder_bias, fits=lambda c: bool(_joint_terms(c.task)),
    ),
    "action_delay": Disturbance(
        title="delay of actions", source="PBHC", span=lambda m: f"0–{_steps(m)} control steps",
        apply=_action_delay,
    ),
    "observation_delay": Disturbance(
        title="delay of what is measured", source="as PBHC's actions",
        span=lambda m: f"0–{_steps(m)} control steps", apply=_observation_delay,
        fits=lambda c: bool(c.measured),
    ),
    "observation_noise": Disturbance(
        title="observation noise", source="the task's own (BeyondMimic)",
        span=lambda m: f"{m:g} × the task's", apply=_noise,
        fits=lambda c: any(term.noise for term in c.task.observations["actor"].values()),
    ),
    "push": Disturbance(
        title="pushes every 1–3 s", source="BeyondMimic",
        span=lambda m: f"±{0.5 * m:.2g} m/s, ±{0.52 * m:.2g} rad/s", apply=_push,
    ),
    "start": Disturbance(
        title="start beside the reference", source="the task's own (BeyondMimic)",
        span=lambda m: f"{m:g} × the task's", apply=_start,
    ),
    "terrain": Disturbance(
        title="rough ground, bumps of 0.4 m", source="Isaac Lab's least",
        span=lambda m: f"{20 * m:.0f} mm from lowest to highest", apply=_rough, fits=_flat,
    ),
}  # fmt: skip
"""All disturbances by name, in the order in which they are told."""


def with_disturbances(
    task: TaskConfig, multiples: Mapping[str, float], context: Context
) -> TaskConfig:
    """The task with several disturbances at once, each at a multiple of its range."""
    for name, multiple in multiples.items():
        task = DISTURBANCES[name].apply(task, multiple, context)
    return task
