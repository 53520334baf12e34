"""Puts an environment into the state of another one of the same task, on another engine say."""

from __future__ import annotations

from typing import Any

import torch

from mimic.envs.environment import Environment

OF_EPISODES = (
    "actions", "previous_actions", "episode_length_buf", "terminated", "default_joint_pos_of_env",
)  # fmt: skip
"""What an environment itself keeps of its episodes, [N, ...] each."""


def copy_environment(source: Environment, target: Environment) -> None:
    """Make ``target`` be where ``source`` is; observations are refreshed by ``target.observe``.

    Copied are the physical state, the rows of the commands (what terms read, see ``Command``),
    counters and last actions, and what observations remember. What a solver remembers is forgotten
    in ``target``. Random numbers stay each environment's own.
    """
    target.engine.restore(source.engine.snapshot())
    _copy_rows(source, target, OF_EPISODES, target.num_envs)
    for name, command in source.commands.items():
        shared = type(command).shared_tensors
        rows = [attribute for attribute in vars(command) if attribute not in shared]
        _copy_rows(command, target.commands[name], rows, target.num_envs)
    target.observing.take(source.observing)


def _copy_rows(source: Any, target: Any, attributes: Any, num_envs: int) -> None:
    """Copy the tensors among ``attributes`` that have a row for each environment."""
    for attribute in attributes:
        value = getattr(source, attribute)
        if isinstance(value, torch.Tensor) and value.ndim and len(value) == num_envs:
            device = getattr(target, attribute).device
            setattr(target, attribute, value.to(device, copy=True))
