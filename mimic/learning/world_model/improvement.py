"""Gradient steps of policy and critic through imagined rollouts."""

from __future__ import annotations

import torch
from rsl_rl.models import MLPModel

from mimic.envs.imagination import Imagination, StateRows
from mimic.learning.captured import Captured
from mimic.learning.distributed import Ranks
from mimic.learning.imagined_rollouts import (
    GradientLimit,
    Policy,
    Remembering,
    survival,
    unroll,
)
from mimic.learning.modules.average import WeightAverage
from mimic.learning.modules.dynamics import FrozenDynamics, Stepping, parameters_of
from mimic.learning.modules.past import Past
from mimic.learning.modules.value import Value, state_values_input
from mimic.learning.muon import Muon
from mimic.learning.returns import discounted_return, lambda_returns
from mimic.learning.storage.replay import Replay
from mimic.learning.world_model.gradients import clip_and_step
from mimic.learning.world_model.payment import Payment
from mimic.learning.world_model.replayed import Replayed, at_times
from mimic.learning.world_model_config import WorldModelConfig

ANNEALED_FROM = 0.6
"""Part of the return that is missing below which the policy's steps shrink."""


class Improvement:
    """Follows the gradient of the imagined return, and fits the critic to it.

    Args:
        policy: observations [B, D] -> mean actions [B, A] of ``actor``.
        value, target: the critic, and the one that follows it.
        payment: what imagined steps are worth.
        frozen: the model that is imagined with.
        limit: of the gradient of states.

    Attributes:
        annealed: factor of the policy's learning rates.
    """

    def __init__(
        self,
        config: WorldModelConfig,
        *,
        actor: MLPModel,
        policy: Policy,
        value: Value,
        target: Value,
        imagination: Imagination,
        frozen: FrozenDynamics,
        replay: Replay,
        replayed: Replayed,
        memory: Remembering,
        payment: Payment,
        limit: GradientLimit,
        device: torch.device,
        ranks: Ranks,
    ) -> None:
        self.config, self.ranks = config, ranks
        self.actor, self.policy, self.value, self.target = actor, policy, value, target
        self.imagination, self.frozen = imagination, frozen
        self.replay, self.replayed, self.memory, self.limit = replay, replayed, memory, limit
        self.payment = payment
        self.observation_noise = imagination.noise("actor").to(device)
        self.value_optimizer = torch.optim.Adam(
            value.parameters(), lr=config.critic_learning_rate, betas=(0.9, 0.99), fused=True
        )
        hidden, rest = parameters_of(actor.mlp)
        self.parameters = [*hidden, *rest]
        self.optimizers: list[torch.optim.Optimizer] = []
        if config.muon_learning_rate > 0:
            self.optimizers.append(Muon(hidden, config.muon_learning_rate))
            hidden = []
        self.optimizers.append(
            torch.optim.Adam(
                [*hidden, *rest], lr=config.policy_learning_rate, betas=(0.9, 0.99), fused=True
            )
        )
        self.rates = [each.param_groups[0]["lr"] for each in self.optimizers]
        self.annealed = 1.0
        self.climb = Captured(self.climbed, self.parameters, device, config.capture)

    def step(self, horizon: int, lacking: float, average: WeightAverage | None) -> dict[str, float]:
        """A gradient step of the policy, and those of the critic on the same rollouts.

        Args:
            lacking: part of the highest return that the policy still misses.
            average: of the actor's weights, which takes part.

        Raises:
            NonFiniteError: before a weight could be spoilt.
        """
        c = self.config
        windows = self.replay.windows(c.rollouts, horizon, c.recent)
        if not self.climb.reason or self.replayed.dynamics.others:
            # What is recorded has one size, and members take turns.
            windows = windows.filled_up(c.rollouts)
        length = windows.length
        given = {
            "state": windows.rows.state,
            "default_joint_pos": windows.default_joint_pos,
            "moment": windows.rows.moment,
            "previous_actions": windows.previous_actions,
            "noise": windows.noise,
            "seen": windows.seen,
        }
        if windows.judged is not None:
            given["judged"] = windows.judged
        if c.corrected:
            given["residual"] = self.replayed.residual(self.frozen, windows)
        past = self.replayed.past(windows)
        if past is not None:
            given |= {"past": past.inputs, "fresh": past.fresh, "context": past.context}
        left = self.imagination.steps_left(windows.rows.moment)
        length = left.clamp(1, horizon) if not c.corrected else torch.minimum(length, left)
        length = length.clamp_min(1)
        self.value.requires_grad_(False)
        self._anneal(lacking)
        found = self.climb({**given, "length": length}, (horizon, id(self.limit)))
        self.value.requires_grad_(True)
        self.limit.norms.append(found["norms"].clone())
        self.limit.limited.append(found["limited"].clone())
        rewards, alive, final_input = found["rewards"], found["alive"], found["final_input"]
        norm = clip_and_step(
            "policy", self.parameters, self.optimizers, self.ranks, c.max_grad_norm
        )
        if average is not None:
            average.update(self.actor)
        with torch.no_grad():
            inputs = state_values_input(found["observations"], found["states"][:-1])
            inputs = torch.cat([inputs, final_input[None]])
            values = self.target(inputs[:-1])
            ends = self.target(final_input)
            # The state after the last step has its own value, wherever the rollout ends.
            steps = torch.arange(horizon + 1, device=length.device)[:, None]
            values = torch.where(
                steps == length, ends, torch.cat([values, torch.zeros_like(ends)[None]])
            )
            targets = lambda_returns(rewards, alive, values, length, c.gamma, c.td_lambda)
            valid = (steps[:-1] < length).flatten().nonzero().squeeze(-1)
            inputs, targets = inputs[:-1].flatten(0, 1)[valid], targets.flatten()[valid]
        value_loss = self._critic_steps(inputs, targets)
        on = (steps[:-1] < length).float()
        share = on / on.sum()
        return {
            "loss/value": value_loss,
            "imagined/objective": float(found["objective"]),
            **{
                f"imagined/{name}": float((found[name] * share).sum())
                for name in self.payment.figures
            },
            "imagined/reward": float((found["paid"] * share).sum()),
            "imagined/alive": float((alive * share).sum()),
            "imagined/length": float(length.float().mean()),
            "gradient/policy": norm,
        }

    def _anneal(self, lacking: float) -> None:
        """Set the policy's steps to what returns still lack.

        Neither Muon's steps nor Adam's become smaller with the gradient: at a constant rate a
        policy that tracks well is thrown about as much as one that falls.
        """
        missing = lacking / ANNEALED_FROM
        self.annealed = min(1.0, max(missing, 0.0)) ** self.config.anneal
        for optimizer, rate in zip(self.optimizers, self.rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * self.annealed

    def _critic_steps(self, inputs: torch.Tensor, targets: torch.Tensor) -> float:
        """Gradient steps of the critic on the states [M, D] of rollouts; the mean loss."""
        c, total = self.config, 0.0
        for _ in range(c.critic_updates):
            chosen = torch.randperm(len(inputs), device=inputs.device)[: c.critic_batch]
            loss = (self.value(inputs[chosen]) - targets[chosen]).square().mean()
            self.value_optimizer.zero_grad()
            loss.backward()
            clip_and_step(
                "value", self.value.parameters(), [self.value_optimizer], self.ranks,
                c.max_grad_norm,
            )  # fmt: skip
            total += float(loss.detach()) / c.critic_updates
        with torch.no_grad():
            for mine, other in zip(self.target.parameters(), self.value.parameters(), strict=True):
                mine.lerp_(other, c.target_rate)
        return total

    def climbed(
        self,
        *,
        state: torch.Tensor,
        default_joint_pos: torch.Tensor,
        moment: torch.Tensor,
        previous_actions: torch.Tensor,
        noise: torch.Tensor,
        seen: torch.Tensor,
        length: torch.Tensor,
        residual: torch.Tensor | None = None,
        past: torch.Tensor | None = None,
        fresh: torch.Tensor | None = None,
        context: torch.Tensor | None = None,
        judged: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """Imagined rollouts, their objective and its gradient in the policy's parameters.

        It may be recorded (``Captured``): it asks the host nothing.
        """
        c, limit = self.config, self.limit
        start = StateRows(state, default_joint_pos, moment)
        model: Stepping = self.frozen
        if past is not None and fresh is not None and context is not None:
            model = self.frozen.following(Past(inputs=past, fresh=fresh, context=context))
        kept, limit.norms, limit.limited = (limit.norms, limit.limited), [], []
        rollouts = unroll(
            self.policy, model, self.imagination, start, previous_actions, noise,
            residual=residual, observation_noise=self.observation_noise, limit=limit,
            memory=self.memory, remembered=seen, judged=self.payment.group,
        )  # fmt: skip
        total = self.imagination.max_reward
        means = rollouts.means
        change = (means - torch.cat([previous_actions[None], means[:-1]])).square().sum(-1)
        paid, more = self.payment(rollouts.rewards / total, rollouts.judged, judged, change)
        rewards = paid * (1.0 - c.gamma)
        alive = survival(rollouts.margins, c.softness)
        last = at_times(rollouts.states, length)
        final = StateRows(last, default_joint_pos, at_times(rollouts.moments, length))
        final_action = at_times(rollouts.actions, length - 1)
        env = self.imagination.environment(final, final_action, final_action)
        final_input = state_values_input(self.imagination.observations(env, "actor"), last)
        final_value = self.value(final_input)
        objective = discounted_return(rewards, alive, final_value, length, c.gamma).mean()
        (-objective).backward()
        figures = {"norms": torch.stack(limit.norms), "limited": torch.stack(limit.limited)}
        limit.norms, limit.limited = kept
        return {
            "objective": objective.detach(), "paid": rollouts.rewards.detach(),
            "rewards": rewards.detach(), "alive": alive.detach(),
            "observations": rollouts.observations.detach(), "states": rollouts.states.detach(),
            "final_input": final_input.detach(), **figures, **more,
        }  # fmt: skip
