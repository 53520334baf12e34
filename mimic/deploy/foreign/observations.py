"""Observations of other people's policies that ours do not have; declared as ours are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mimic.envs.mdp.observations import base_ang_vel, projected_gravity
from mimic.envs.observation import observable, unchanged


@observable(mirror=unchanged())
def joint_pos_of(env: Any, joints: Sequence[int]) -> Any:
    """Positions of some joints less the default, [K] rad."""
    values = env.state.robot.joint_pos - env.default_joint_pos_of_env
    return values[..., list(joints)]


@observable(mirror=unchanged())
def joint_vel_of(env: Any, joints: Sequence[int]) -> Any:
    """Velocities of some joints, [K] rad/s."""
    return env.state.robot.joint_vel[..., list(joints)]


@observable(mirror=unchanged())
def actions_of(env: Any, joints: Sequence[int]) -> Any:
    """The last actions of some joints, [K]."""
    return env.actions[..., list(joints)]


@observable(mirror=unchanged())
def velocity_command(env: Any, scale: Sequence[float] = (1.0, 1.0, 1.0)) -> Any:
    """The velocity that is asked for: forwards, to the left (m/s), turning (rad/s), [3]."""
    return np.asarray(env.commands["velocity"].value) * np.asarray(scale)


@observable(mirror=unchanged())
def phase(env: Any, period: float) -> Any:
    """Sine and cosine of the gait's phase, [2]; ``period`` s a stride."""
    angle = 2.0 * np.pi * env.commands["clock"].time / period
    return np.array([np.sin(angle), np.cos(angle)])


@observable(mirror=unchanged())
def lab_term(
    env: Any,
    term: str,
    joints: Sequence[int] = (),
    default: Sequence[float] = (),
    ranges: Sequence[Sequence[float]] = (),
    period: float = 1.0,
    lead: float = 0.0,
    clip: Sequence[float] = (),
    scale: Sequence[float] = (),
) -> Any:
    """A term of unitree_rl_lab by its name there, cut to ``clip`` and then scaled by entry.

    Args:
        joints: of the contract, that are observed. default: rad, of each of them.
        ranges: least and greatest of what is asked for, m/s, m/s, rad/s.
        period: s a stride. lead: s by which its clock is ahead of ours.
    """
    match term:
        case "base_ang_vel":
            value = base_ang_vel(env)
        case "projected_gravity":
            value = projected_gravity(env)
        case "joint_pos_rel":
            value = env.state.robot.joint_pos[..., list(joints)] - np.asarray(default)
        case "joint_vel_rel":
            value = env.state.robot.joint_vel[..., list(joints)]
        case "last_action":
            value = env.actions[..., list(joints)]
        case "velocity_commands":
            value = np.asarray(env.commands["velocity"].value)
            if len(ranges):
                value = np.clip(value, *np.asarray(ranges, np.float64).T)
        case _:
            angle = 2.0 * np.pi * (env.commands["clock"].time + lead) / period
            value = np.array([np.sin(angle), np.cos(angle)])
    if len(clip):
        value = np.clip(value, clip[0], clip[1])
    return value * np.asarray(scale) if len(scale) else value
