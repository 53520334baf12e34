"""ASE: adversarial skill embeddings (Peng et al. 2022, arXiv 2205.01906).

A policy that does one of many things, by a latent skill z on the unit sphere, drawn anew after up
to five seconds. The discriminator is AMP's. An encoder E(window), of length one too, says which
skill a window shows, and three things make skills differ and be told apart:

    r = w_style r_style + w_skill max(0, z . E(window))
    L_E = -E[z . E(window)]                              (von Mises-Fisher, concentration 1)
    L_pi = L_PPO + w_div E[(1 - D_a(mu(s, z), mu(s, z')) / (1/2 - z . z' / 2))^2]

where ``D_a`` is the mean square of the difference of two actions within -1 and 1, and z' another
skill. The skill is a command of the task (``mimic.envs.commands.skill``), seen by actor and critic,
so that a policy file says what it takes. A value is that of going on with the same skill: where one
ends, the step is valued by it and the sum of rewards ends there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import torch
from tensordict import TensorDict
from torch import nn
from torch.nn import functional

from mimic.envs.commands.skill import SkillCommandConfig
from mimic.envs.mdp.skill import skill
from mimic.envs.spec import EnvSpec
from mimic.envs.terms import ObservationTerm
from mimic.learning.algorithm import Transition
from mimic.learning.algorithms.amp import AMP
from mimic.learning.distributed import Ranks
from mimic.learning.modules.discriminator import rectifier
from mimic.learning.parallel_ppo.rollout import Rollout
from mimic.learning.prior_config import ASEConfig
from mimic_base.errors import MimicError

if TYPE_CHECKING:
    from mimic.envs.environment import TaskConfig

SKILL = "skill"


class Encoder(nn.Module):
    """Skills [B, k] of length one from normalised windows [B, D]."""

    def __init__(self, size: int, hidden: tuple[int, ...], skills: int) -> None:
        super().__init__()
        self.network = nn.Sequential(*rectifier(size, hidden), nn.Linear(hidden[-1], skills))

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        return functional.normalize(self.network(seen), dim=-1)


def skill_reward(skills: torch.Tensor, encoded: torch.Tensor) -> torch.Tensor:
    """``max(0, z . E)`` [B] of skills and encodings [B, k]."""
    return (skills * encoded).sum(-1).clamp_min(0.0)


def diversity_loss(
    mean: torch.Tensor, other_mean: torch.Tensor, skills: torch.Tensor, others: torch.Tensor
) -> torch.Tensor:
    """``E[(1 - D_a / (1/2 - z . z' / 2))^2]`` of actions [B, A] by skills [B, k]."""
    apart = (mean.clamp(-1.0, 1.0) - other_mean.clamp(-1.0, 1.0)).square().mean(-1)
    skills_apart = 0.5 - 0.5 * (skills * others).sum(-1)
    return (1.0 - apart / (skills_apart + 1e-5)).square().mean()


class Diversity:
    """The diversity loss as a part of PPO's, see ``mimic.learning.parallel_ppo.trainer``."""

    name = "diversity"

    def __init__(
        self, weight: float, columns: slice, affine: tuple[torch.Tensor, torch.Tensor],
        others: torch.Tensor,
    ) -> None:  # fmt: skip
        """
        Args:
            columns: of the skill in the actor's observations. affine: [k] factor and [k] offset of
                their normalisation. others: [B, k] another skill for each sample.
        """
        self.weight, self.columns, self.others = weight, columns, others
        self.gain, self.offset = affine

    def __call__(
        self, actor: nn.Module, rollout: Rollout, part: slice, mean: torch.Tensor
    ) -> torch.Tensor:
        seen, others = rollout.actor_input[part], self.others[part]
        skills = (seen[:, self.columns] - self.offset) / self.gain
        changed = seen.clone()
        changed[:, self.columns] = others * self.gain + self.offset
        other_mean = actor(changed)
        if rollout.skip is not None:
            other_mean = other_mean + rollout.skip[part]
        return diversity_loss(mean, other_mean, skills, others)


class ASE(AMP):
    """See the module."""

    Config = ASEConfig
    config: ASEConfig
    encoder: Encoder
    encoder_optimizer: torch.optim.Optimizer
    _skills: list[torch.Tensor]

    @classmethod
    def groups_of(
        cls, config: ASEConfig, task: TaskConfig, robot: Any
    ) -> dict[str, Mapping[str, ObservationTerm]]:
        """AMP's windows, and the skill by itself.

        Raises:
            MimicError: the task commands no skill.
        """
        names = [n for n, each in task.commands.items() if isinstance(each, SkillCommandConfig)]
        if not names:
            raise MimicError(
                f"--algorithm ase needs a task that commands a skill, and task '{task.task}' does "
                "not; use task skills, or --algorithm amp"
            )
        term = ObservationTerm(function=skill, parameters={"command": names[0]})
        return {**super().groups_of(config, task, robot), SKILL: {SKILL: term}}

    @classmethod
    def build(cls, spec: EnvSpec, config: Any, device: str, ranks: Ranks) -> Self:
        """As AMP's, with an encoder.

        Raises:
            MimicError: actor or critic do not see the skill.
        """
        found = super().build(spec, config, device, ranks)
        found._skills = []
        size = found.window_size(spec, config) if found.judges else 1
        skills = spec.sizes.get(SKILL, 1)
        found.encoder = Encoder(size, config.encoder_hidden, skills).to(device)
        ranks.same_start([found.encoder])
        found.encoder_optimizer = torch.optim.AdamW(
            found.encoder.parameters(), config.encoder_learning_rate
        )
        for group in ("actor", "critic"):
            columns_of(spec, group)
        return found

    def shaped(self, transition: Transition, windows: torch.Tensor) -> Transition:
        """With the skill's reward; where the skill ends but not the episode, the value of going on
        with it instead of what another skill will be worth."""
        shaped = super().shaped(transition, windows)
        skills = transition.obs[SKILL]
        self._skills.append(skills)
        encoded = self.encoder(self.discriminator.normalised(windows))
        bonus = skill_reward(skills, encoded)
        rewards = shaped.rewards + self.config.skill_weight * self.spec.control_dt * bonus
        ended = (transition.next_obs[SKILL] != skills).any(-1) & ~transition.dones
        going_on = transition.next_obs["critic"].clone()
        going_on[:, columns_of(self.spec, "critic")] = skills
        value = self.trainer.critic(TensorDict({"critic": going_on}, batch_size=[len(skills)]))
        rewards = rewards + self.trainer.gamma * value.squeeze(-1) * ended
        terminated = transition.terminated | ended
        return dataclasses.replace(shaped, rewards=rewards, terminated=terminated)

    def update(self) -> dict[str, float]:
        """Train encoder, discriminator and policy on the recorded steps."""
        windows, skills = torch.cat(self._seen), torch.cat(self._skills)
        self._skills = []
        told = self._train_encoder(windows, skills)
        if self.config.diversity > 0:
            self.trainer.regulariser = self._diversity(skills.shape[-1])
        figures = super().update()
        self.trainer.regulariser = None
        return {**figures, "style/skill_told": told}

    def _train_encoder(self, windows: torch.Tensor, skills: torch.Tensor) -> float:
        c = self.config
        total = []
        for _ in range(c.discriminator_epochs):
            order = torch.randperm(len(windows), device=windows.device)
            for rows in order.split(c.discriminator_batch)[: c.discriminator_batches]:
                encoded = self.encoder(self.discriminator.normalised(windows[rows]))
                agreement = (skills[rows] * encoded).sum(-1).mean()
                self.adversary.descend(self.encoder, self.encoder_optimizer, -agreement)
                total.append(agreement.detach())
        return float(self.ranks.average(torch.stack(total).mean()[None]))

    def _diversity(self, size: int) -> Diversity:
        """With new other skills for every sample of the rollout."""
        trainer, columns = self.trainer, columns_of(self.spec, "actor")
        rows = trainer.storage.num_envs * trainer.storage.num_transitions_per_env
        rows *= 1 if trainer.reflections is None else 2
        others = functional.normalize(torch.randn(rows, size, device=self.device), dim=-1)
        with torch.no_grad():
            zero = torch.zeros(2, self.spec.sizes["actor"], device=self.device)
            zero[1] = 1.0
            low, high = trainer.actor.get_latent(TensorDict({"actor": zero}, batch_size=[2]))
        affine = ((high - low)[columns], low[columns])
        return Diversity(self.config.diversity, columns, affine, others)

    # state -----------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {
            **super().state_dict(),
            "encoder": self.encoder.state_dict(),
            "encoder_optimizer": self.encoder_optimizer.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        if self.judges:
            self.encoder_optimizer.load_state_dict(state["encoder_optimizer"])

    def load_networks(self, state: Mapping[str, Any]) -> None:
        super().load_networks(state)
        if self.judges:
            self.encoder.load_state_dict(state["encoder"])


def columns_of(spec: EnvSpec, group: str) -> slice:
    """The columns of the skill in an observation group.

    Raises:
        MimicError: it is not among its terms, or with a history.
    """
    at = 0
    for entry in spec.observations[group]:
        if entry.name == SKILL and entry.history == 1:
            return slice(at, at + entry.size)
        at += entry.width
    raise MimicError(
        f"--algorithm ase: the {group} of task '{spec.task}' must see '{SKILL}', without history; "
        f"it sees {', '.join(entry.name for entry in spec.observations[group])}"
    )
