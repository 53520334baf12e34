"""Whole-body tracking as BeyondMimic defines it (arXiv 2508.08241)."""

from __future__ import annotations

from dataclasses import replace

from mimic.envs.commands import MotionCommandConfig, ResetNoise
from mimic.envs.environment import TaskConfig
from mimic.envs.mdp import curriculum, events, observations, rewards, terminations
from mimic.envs.sampling import SamplingConfig
from mimic.envs.terms import (
    CurriculumTerm,
    EventTerm,
    ObservationTerm,
    RewardTerm,
    TerminationTerm,
)


def tracking(*, state_estimation: bool = True) -> TaskConfig:
    """The tracking task.

    Args:
        state_estimation: whether the actor sees its position error and its base velocity, which a
            real robot can only estimate. Without them the policy is deployable as it is.
    """
    o = observations
    actor = {
        "command": ObservationTerm(function=o.command),
        "motion_anchor_pos_b": ObservationTerm(function=o.motion_anchor_pos_b, noise=0.25),
        "motion_anchor_ori_b": ObservationTerm(function=o.motion_anchor_ori_b, noise=0.05),
        "base_lin_vel": ObservationTerm(function=o.base_lin_vel, noise=0.5),
        "base_ang_vel": ObservationTerm(function=o.base_ang_vel, noise=0.2),
        "joint_pos": ObservationTerm(function=o.joint_pos, noise=0.01),
        "joint_vel": ObservationTerm(function=o.joint_vel, noise=0.5),
        "actions": ObservationTerm(function=o.actions),
    }
    critic = {
        "command": actor["command"],
        "motion_anchor_pos_b": ObservationTerm(function=o.motion_anchor_pos_b),
        "motion_anchor_ori_b": ObservationTerm(function=o.motion_anchor_ori_b),
        "body_pos_b": ObservationTerm(function=o.body_pos_b),
        "body_ori_b": ObservationTerm(function=o.body_ori_b),
        "base_lin_vel": ObservationTerm(function=o.base_lin_vel),
        "base_ang_vel": ObservationTerm(function=o.base_ang_vel),
        "joint_pos": ObservationTerm(function=o.joint_pos),
        "joint_vel": ObservationTerm(function=o.joint_vel),
        "actions": ObservationTerm(function=o.actions),
    }
    if not state_estimation:
        del actor["motion_anchor_pos_b"], actor["base_lin_vel"]
    noise = ResetNoise()
    return TaskConfig(
        task="tracking" if state_estimation else "tracking-no-state-estimation",
        commands={"motion": MotionCommandConfig(reset_noise=noise)},
        observations={"actor": actor, "critic": critic},
        rewards=tracking_rewards(),
        terminations={
            "time_out": TerminationTerm(function=terminations.time_out, time_out=True),
            "clip_end": TerminationTerm(function=terminations.clip_end, time_out=True),
            "anchor_height": TerminationTerm(
                function=terminations.anchor_height, parameters={"threshold": 0.25}
            ),
            "anchor_tilt": TerminationTerm(
                function=terminations.anchor_tilt, parameters={"threshold": 0.8}
            ),
            "end_effector_height": TerminationTerm(
                function=terminations.end_effector_height, parameters={"threshold": 0.25}
            ),
        },
        # The task's own strength from the beginning, unless a run asks for a ramp.
        curriculum={"randomisation": _randomisation_ramp(1.0, 0)},
        events={
            "foot_friction": EventTerm(
                function=events.randomize_foot_friction,
                mode="startup",
                parameters={"friction": (0.3, 1.2)},
            ),
            "anchor_com": EventTerm(
                function=events.randomize_anchor_com,
                mode="startup",
                parameters={"offset": (0.025, 0.05, 0.05)},
            ),
            "joint_default": EventTerm(
                function=events.randomize_joint_default,
                mode="startup",
                parameters={"offset": 0.01},
            ),
            "push": EventTerm(
                function=events.push,
                mode="interval",
                interval_s=(1.0, 3.0),
                parameters={"lin_vel": noise.lin_vel, "ang_vel": noise.ang_vel},
            ),
        },
    )


def without_state_estimation() -> TaskConfig:
    """The tracking task seen through what a real robot measures."""
    return tracking(state_estimation=False)


def tracking_rewards() -> dict[str, RewardTerm]:
    """Six exponential tracking rewards (weights sum to 5) and three regularisers."""
    r = rewards

    def kernel(function: object, weight: float, std: float) -> RewardTerm:
        return RewardTerm(
            function=function,  # type: ignore[arg-type]
            weight=weight,
            parameters={"std": std},
            tracking=True,
        )

    return {
        "anchor_position": kernel(r.anchor_position, 0.5, 0.3),
        "anchor_orientation": kernel(r.anchor_orientation, 0.5, 0.4),
        "body_position": kernel(r.relative_body_position, 1.0, 0.3),
        "body_orientation": kernel(r.relative_body_orientation, 1.0, 0.4),
        "body_linear_velocity": kernel(r.body_linear_velocity, 1.0, 1.0),
        "body_angular_velocity": kernel(r.body_angular_velocity, 1.0, 3.14),
        "action_rate": RewardTerm(function=r.action_rate_l2, weight=-0.1),
        "joint_limit": RewardTerm(function=r.joint_limit, weight=-10.0),
        "undesired_contacts": RewardTerm(
            function=r.undesired_contacts, weight=-0.1, parameters={"threshold": 1.0}
        ),
    }


def motion_commands(config: TaskConfig) -> dict[str, MotionCommandConfig]:
    """The task's motion commands by name."""
    return {
        name: each
        for name, each in config.commands.items()
        if isinstance(each, MotionCommandConfig)
    }


def faithful(config: TaskConfig) -> TaskConfig:
    """The same task with BeyondMimic's published start sampling."""
    return with_sampling(config, SamplingConfig(mode="beyondmimic"))


def with_sampling(config: TaskConfig, sampling: SamplingConfig) -> TaskConfig:
    """The same task with another way to draw where episodes start."""
    commands = {
        name: replace(each, sampling=sampling) for name, each in motion_commands(config).items()
    }
    return replace(config, commands={**config.commands, **commands})


def with_drift_limit(config: TaskConfig, limit: float) -> TaskConfig:
    """The same task, failed too when the anchor is ``limit`` m from its reference horizontally.

    Without it, stepping in place pays nearly as well as walking.
    """
    drift = TerminationTerm(function=terminations.anchor_drift, parameters={"threshold": limit})
    return replace(config, terminations={**config.terminations, "anchor_drift": drift})


def with_randomisation_ramp(config: TaskConfig, start: float, iterations: int) -> TaskConfig:
    """The same task with pushes and start noise that grow from a share of their own strength.

    Args:
        start: share at the first iteration. iterations: over which it grows to the whole.
    """
    ramp = _randomisation_ramp(start, iterations)
    return replace(config, curriculum={**config.curriculum, "randomisation": ramp})


def with_difficulty_ramp(config: TaskConfig, iterations: int, start: float = 0.2) -> TaskConfig:
    """The same task that begins with the easiest clips of its set.

    Args:
        iterations: over which all others come in. start: share of the clips at first.
    """
    term = CurriculumTerm(
        function=curriculum.admit_by_difficulty,
        parameters={"start": start, "iterations": iterations},
    )
    return replace(config, curriculum={**config.curriculum, "difficulty": term})


def _randomisation_ramp(start: float, iterations: int) -> CurriculumTerm:
    return CurriculumTerm(
        function=curriculum.ramp_randomisation,
        parameters={"start": start, "iterations": iterations},
    )
