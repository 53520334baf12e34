"""An iteration's samples: shuffled and normalised once, so that each minibatch is a slice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from rsl_rl.models import MLPModel
from rsl_rl.storage import RolloutStorage

from mimic.learning.parallel_ppo.guide import Guide

Reflect = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Rollout:
    """An iteration's samples, shuffled; B = steps * environments rows."""

    actor_input: torch.Tensor  # [B, D] normalised
    skip: torch.Tensor | None  # [B, A] added to the actor's output
    critic_input: torch.Tensor  # [B, D'] normalised
    actions: torch.Tensor  # [B, A]
    old_mean: torch.Tensor  # [B, A]
    old_std: torch.Tensor  # [A]
    # [B, 4]: log probability, value, return, advantage
    scalars: torch.Tensor
    teacher: torch.Tensor | None = None  # [B, A] what a teacher would have done
    teacher_std: torch.Tensor | None = None  # [B, A]
    image_input: torch.Tensor | None = None  # [B, D] of the mirror images
    image_skip: torch.Tensor | None = None  # [B, A]


def shuffled_rollout(
    storage: RolloutStorage,
    actor: MLPModel,
    critic: MLPModel,
    device: str | torch.device,
    *,
    reflections: Mapping[str, Reflect] | None = None,
    mirror: Mapping[str, Reflect] | None = None,
    guide: Guide | None = None,
) -> Rollout:
    """The stored steps in a new random order.

    Args:
        reflections: adds the mirror image of every sample.
        mirror: notes what the mirror images of the actor's observations look like.
        guide: notes what the teacher would have done.
    """
    # Minibatches are the same in every epoch, so that one shuffle serves them all and each is
    # a slice.
    assert storage.distribution_params is not None
    order = torch.randperm(storage.num_envs * storage.num_transitions_per_env, device=device)

    def shuffled(values: torch.Tensor, kind: str | None = None) -> torch.Tensor:
        rows = values.flatten(0, 1).index_select(0, order)
        if reflections is None:
            return rows
        # Each sample is followed by its mirror image, so that a minibatch holds both. The
        # density the sample was drawn with, its return and its advantage hold for both:
        # Mittal et al. 2024 (arXiv 2403.04359).
        image = rows if kind is None else reflections[kind](rows)
        return torch.stack([rows, image], 1).flatten(0, 1)

    names = {*actor.obs_groups, *critic.obs_groups}
    observations: Any = {name: shuffled(storage.observations[name], name) for name in names}
    skip = getattr(actor, "skip", None)
    image_input = image_skip = None
    if mirror is not None:
        images: Any = {name: mirror[name](observations[name]) for name in actor.obs_groups}
        image_input = actor.get_latent(images)
        image_skip = None if skip is None else skip(images[actor.obs_groups[0]])
    scalars = (storage.actions_log_prob, storage.values, storage.returns, storage.advantages)
    teacher = teacher_std = None
    if guide is not None:
        teacher = shuffled(guide.actions, "actions")
        # A standard deviation has no sign.
        teacher_std = shuffled(guide.stds[guide.choice], "actions").abs()
    return Rollout(
        actor_input=actor.get_latent(observations),
        skip=None if skip is None else skip(observations[actor.obs_groups[0]]),
        critic_input=critic.get_latent(observations),
        actions=shuffled(storage.actions, "actions"),
        old_mean=shuffled(storage.distribution_params[0], "actions"),
        # One standard deviation for all states: any row is the rollout's.
        old_std=storage.distribution_params[1][0, 0],
        scalars=shuffled(torch.cat(scalars, -1)),
        teacher=teacher,
        teacher_std=teacher_std,
        image_input=image_input,
        image_skip=image_skip,
    )
