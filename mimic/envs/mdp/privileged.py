"""What only a simulation knows: contacts, and the physics that was drawn for each environment.

Teachers and critics may see it, students not. ``env.drawn`` holds what events have drawn, as
differences from the robot's own description: where nothing was drawn all of it is 0, so that a
teacher sees the same columns in an evaluation without randomised physics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from mimic.envs.observation import joints, observable, polar, unchanged

if TYPE_CHECKING:
    from mimic.envs.environment import Environment

Names = tuple[str, ...]


@observable(mirror=lambda robot, keys: ([1, 0], [1.0, 1.0]))
def foot_contacts(env: Environment, force: float = 1.0) -> torch.Tensor:
    """Whether the left and the right foot are pressed by more than ``force`` N, [N, 2]."""
    feet = [env.state.contacts[name].magnitude > force for name in ("left_foot", "right_foot")]
    return torch.stack(feet, -1).float()


def _drawn(env: Environment, names: Names, width: int) -> torch.Tensor:
    nothing = torch.zeros(env.num_envs, width, device=env.device)
    return torch.cat([env.drawn.get(name, nothing) for name in names], -1)


@observable(mirror=unchanged())
def drawn_numbers(env: Environment, names: Names) -> torch.Tensor:
    """What was drawn of numbers that are the same left and right, [N, K]."""
    return _drawn(env, names, 1)


@observable(mirror=polar())
def drawn_vectors(env: Environment, names: Names) -> torch.Tensor:
    """What was drawn of positions and forces, [N, 3 K]."""
    return _drawn(env, names, 3)


@observable(mirror=joints())
def drawn_joint_angles(env: Environment, names: Names) -> torch.Tensor:
    """What was drawn of joint angles, [N, J K] rad."""
    return _drawn(env, names, env.default_joint_pos.shape[-1])


@observable(mirror=lambda robot, keys: (list(robot.joint_index), [1.0] * len(robot.joint_index)))
def drawn_joint_factors(env: Environment, names: Names) -> torch.Tensor:
    """What was drawn of factors of each joint (gains, strength), less one, [N, J K]."""
    return _drawn(env, names, env.default_joint_pos.shape[-1])
