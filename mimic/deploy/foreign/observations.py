"""Observations of other people's policies that ours do not have; declared as ours are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

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
