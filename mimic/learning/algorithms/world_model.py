"""The world-model trainer: learn the robot's dynamics, train the policy through them.

After SuperMimic (arXiv 2610.28480), re-thought for a CPU; see docs/world_model.md for the
equations. An iteration is: a few real control steps with exploration; gradient steps of the model
on replayed transitions; gradient steps of the policy by back-propagation through imagined rollouts
from replayed states, each followed by one of the critic on the same rollouts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from rsl_rl.models import MLPModel
from tensordict import TensorDict
from torch import nn

from mimic.envs.context import CONTEXT_GROUP, CONTEXT_TERMS
from mimic.envs.imagination import STATE_GROUP, STATE_TERMS, Imagination, StateRows
from mimic.envs.spec import EnvSpec
from mimic.envs.terms import ObservationTerm
from mimic.envs.threads import threads
from mimic.learning.algorithm import NonFiniteError, Transition
from mimic.learning.captured import Captured
from mimic.learning.distributed import SINGLE, Ranks
from mimic.learning.imagined_rollouts import GradientLimit, Remembering, judge, survival, unroll
from mimic.learning.modules.actor_critic import FeedthroughActor, PlainActor, build_actor
from mimic.learning.modules.average import WeightAverage
from mimic.learning.modules.dynamics import (
    Dynamics,
    FrozenDynamics,
    Stepping,
    half_precision_pays,
    parameters_of,
    plausible,
)
from mimic.learning.modules.past import Past
from mimic.learning.modules.value import Value, state_values_input
from mimic.learning.muon import Muon
from mimic.learning.returns import discounted_return, lambda_returns
from mimic.learning.storage.replay import Replay, Transitions, Windows
from mimic.learning.world_model_config import WorldModelConfig
from mimic_base.errors import MimicError

if TYPE_CHECKING:
    from mimic.envs.environment import TaskConfig
    from robots import Robot

REFITS = (2, 4, 8, 16, 32)
"""Multiples of the warm-up's steps at which the normalisers of model and critic move on."""
REFIT_SHARE = 0.3
DIAGNOSED = 256
"""Stretches of real steps by which model and critic are measured."""
CALM_ENVIRONMENTS = 0.2
"""Share of the environments whose exploration is a fifth of what they drew."""
ANNEALED_FROM = 0.6
"""Part of the return that is missing below which the policy's steps shrink."""
PERSISTENCE = 0.8
"""Share of the correlated noise that stays from one control step to the next."""


class WorldModel:
    """Model, policy, critic and the replay of what really happened."""

    Config = WorldModelConfig
    groups = {STATE_GROUP: STATE_TERMS}
    """Observation groups it needs besides the task's own."""
    takes_actor_of = frozenset({"ppo"})

    def __init__(
        self, spec: EnvSpec, config: WorldModelConfig, device: str, ranks: Ranks = SINGLE
    ) -> None:
        self.config, self.device, self.ranks = config, torch.device(device), ranks
        self.steps = config.steps
        feedthrough = spec.command_feedthrough() if config.networks.command_feedthrough else None
        self.actor: MLPModel = build_actor(
            config.networks, spec.sizes, spec.num_actions, feedthrough
        ).to(device)
        self.actor.train()
        self.average = WeightAverage(self.actor, config.ema_decay) if config.ema_decay else None
        self.learner: Learner | None = None
        if spec.num_envs:
            self.learner = Learner(spec, config, self.actor, self.device, ranks)
            ranks.same_start([self.actor, self.learner.dynamics, self.learner.value])

    @classmethod
    def groups_of(
        cls, config: WorldModelConfig | None, task: TaskConfig, robot: str | Path | Robot
    ) -> Mapping[str, Mapping[str, ObservationTerm]]:
        """Groups that a configuration needs."""
        told = config is not None and config.model_context
        return {**cls.groups, CONTEXT_GROUP: CONTEXT_TERMS} if told else cls.groups

    @classmethod
    def build(cls, spec: EnvSpec, config: WorldModelConfig, device: str, ranks: Ranks) -> Self:
        """Make networks, optimisers and the replay.

        Raises:
            MimicError: the task cannot be imagined, or its actor sees with a delay.
        """
        if "actor" not in spec.sizes:
            raise MimicError(
                f"the world-model trainer needs the observation group actor; task '{spec.task}' "
                f"has {', '.join(spec.sizes)}"
            )
        for entry in spec.observations["actor"]:
            if spec.num_envs and entry.delay[1]:
                raise MimicError(
                    f"observation '{entry.name}' of task '{spec.task}' has a delay, which "
                    "imagined rollouts do not know; train by --algorithm ppo"
                )
        return cls(spec, config, device, ranks)

    def act(self, obs: TensorDict) -> torch.Tensor:
        """Actions [N, A] of the policy with noise on them."""
        assert self.learner is not None
        return self.learner.act(obs)

    def observe(self, transition: Transition) -> None:
        """Put a control step into the replay."""
        assert self.learner is not None
        self.learner.observe(transition)

    def update(self) -> dict[str, float]:
        """Fit the model, then improve policy and critic.

        Raises:
            NonFiniteError: before a weight could be spoilt.
        """
        assert self.learner is not None
        with threads(self.config.workers):
            return self.learner.update(self.average)

    def policy(self) -> PlainActor:
        """The deterministic policy, with averaged weights where they are kept."""
        plain = PlainActor(self.actor)
        if self.average is not None:
            plain.load_weights(self.average.weights)
        return plain

    def state_dict(self) -> dict[str, Any]:
        return {
            "actor": self.actor.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "learner": None if self.learner is None else self.learner.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state_dict``.

        Raises:
            RuntimeError, ValueError: networks of other sizes.
        """
        self.actor.load_state_dict(state["actor"])
        if self.average is not None and state["average"] is not None:
            self.average.load_state_dict(state["average"])
        if self.learner is not None and state["learner"] is not None:
            self.learner.load_state_dict(state["learner"])

    def load_networks(self, state: Mapping[str, Any]) -> None:
        """Take actor, model and critic with their normalisers from another run's state.

        Raises:
            RuntimeError: networks of other sizes.
        """
        self.actor.load_state_dict(state["actor"])
        if self.average is not None:
            self.average = WeightAverage(self.actor, self.config.ema_decay)
        if self.learner is not None and state.get("learner") is not None:
            self.learner.load_networks(state["learner"])

    def load_actor(self, actor: Mapping[str, Any]) -> None:
        """Take an actor with its normaliser.

        Raises:
            RuntimeError: an actor of other sizes.
        """
        self.actor.load_state_dict(dict(actor))
        if self.average is not None:
            self.average = WeightAverage(self.actor, self.config.ema_decay)


def _precision(name: str, device: torch.device) -> torch.dtype:
    """Of matrix products, by its name in the configuration."""
    half = name == "bfloat16" or (name == "auto" and half_precision_pays(device))
    return torch.bfloat16 if half else torch.float32


class Learner:
    """What only training needs: the model, the critic, optimisers and the replay."""

    def __init__(
        self,
        spec: EnvSpec,
        config: WorldModelConfig,
        actor: MLPModel,
        device: torch.device,
        ranks: Ranks,
    ) -> None:
        c = config
        self.config, self.actor, self.device, self.ranks = c, actor, device, ranks
        if STATE_GROUP not in spec.sizes:
            raise MimicError(
                f"the world-model trainer needs the observation group '{STATE_GROUP}' "
                "(mimic.envs.imagination.STATE_TERMS); mimic train adds it by itself"
            )
        self.imagination: Imagination = spec.imagine()
        joints, actions, n = self.imagination.num_joints, spec.num_actions, spec.num_envs
        self.joints = joints
        self.dynamics = Dynamics(
            self.imagination.default_joint_pos.to(device),
            self.imagination.target_scale.to(device),
            spec.control_dt,
            self.imagination.substeps,
            c.model_hidden,
            history=c.model_history,
            context=spec.sizes[CONTEXT_GROUP] if c.model_context else 0,
            members=c.ensemble,
        ).to(device)
        entries = spec.observations["actor"]
        self.memory = Remembering(entries, spec.control_dt)
        inputs = sum(entry.size for entry in entries) + 4
        self.value = Value(inputs, c.networks.critic_hidden).to(device)
        self.target = Value(inputs, c.networks.critic_hidden).to(device)
        self.target.load_state_dict(self.value.state_dict())
        moments = spec.sizes[STATE_GROUP] - 13 - 3 * joints
        self.replay = Replay(
            c.replay_steps,
            n,
            {
                "state": 13 + 2 * joints, "default_joint_pos": joints, "moment": moments,
                "actions": actions, "noise": actions, "change": 2 * self.dynamics.velocities,
                "seen": len(self.memory.columns),
                **({CONTEXT_GROUP: spec.sizes[CONTEXT_GROUP]} if c.model_context else {}),
            },
            device,
            history=c.model_history,
        )  # fmt: skip
        self.model_optimizer = torch.optim.Adam(
            self.dynamics.parameters(), lr=c.model_learning_rate, betas=(0.9, 0.99), fused=True
        )
        self.value_optimizer = torch.optim.Adam(
            self.value.parameters(), lr=c.critic_learning_rate, betas=(0.9, 0.99), fused=True
        )
        hidden, rest = parameters_of(actor.mlp)
        self.policy_parameters = [*hidden, *rest]
        self.policy_optimizers: list[torch.optim.Optimizer] = []
        if c.muon_learning_rate > 0:
            self.policy_optimizers.append(Muon(hidden, c.muon_learning_rate))
            hidden = []
        self.policy_optimizers.append(
            torch.optim.Adam(
                [*hidden, *rest], lr=c.policy_learning_rate, betas=(0.9, 0.99), fused=True
            )
        )
        self.policy_rates = [each.param_groups[0]["lr"] for each in self.policy_optimizers]
        self.annealed = 1.0
        spread = torch.rand(n, 1, device=device) * c.exploration
        spread[: int(CALM_ENVIRONMENTS * n)] *= 0.2
        self.spread = spread
        self.white = (torch.arange(n, device=device) % 2 == 0)[:, None]
        self.correlated = torch.zeros(n, actions, device=device)
        self.age = torch.zeros(n, dtype=torch.int32, device=device)
        self.noise = torch.zeros(n, actions, device=device)
        self.observation_noise = self.imagination.noise("actor").to(device)
        self.limit = GradientLimit(torch.ones(13 + 2 * joints, device=device), 1.0)
        self.dtype = _precision(c.imagination_dtype, device)
        self.dynamics.fit_dtype = _precision(c.fitting_dtype, device)
        self.frozen = self.dynamics.frozen(self.dtype, shared_out=c.ensemble_prediction == "member")
        self.climb = Captured(self._climb, self.policy_parameters, device, c.capture)
        self.horizon = c.horizon
        self.iteration = 0
        self.fitted = False
        self.refits = 0
        self._diagnosis: dict[str, float] = {}
        if self.imagination.left_out and ranks.first:
            print(
                f"imagined rewards leave out {', '.join(self.imagination.left_out)}, which read "
                "what a learnt model does not predict",
                flush=True,
            )

    # collecting ----------------------------------------------------------------------------

    def act(self, obs: TensorDict) -> torch.Tensor:
        seen = obs["actor"]
        if self.replay.steps == 0 and not self.fitted:
            self._normalise(seen)
        mean = self._mean(seen)
        drawn = torch.randn_like(mean)
        fresh = math.sqrt(1.0 - PERSISTENCE**2)
        self.correlated = PERSISTENCE * self.correlated + fresh * drawn
        self.noise = self.spread * torch.where(self.white, drawn, self.correlated)
        return mean + self.noise

    def observe(self, transition: Transition) -> None:
        before = StateRows.of_group(transition.obs[STATE_GROUP], self.joints)
        after = StateRows.of_group(transition.following_obs(STATE_GROUP), self.joints)
        change = self.dynamics.change(before.state, after.state)
        whole = plausible(change, self.dynamics.velocities)
        change = torch.where(whole[:, None], change, torch.zeros_like(change))
        self.replay.add(
            {
                "state": before.state, "default_joint_pos": before.default_joint_pos,
                "moment": before.moment, "actions": transition.actions, "noise": self.noise,
                "change": change, "seen": self.memory.remember(transition.obs["actor"]),
                **({CONTEXT_GROUP: transition.obs[CONTEXT_GROUP]} if self.dynamics.context else {}),
            },
            self.age,
            whole,
            ~transition.disturbed | transition.dones,
        )  # fmt: skip
        self._normalise(transition.next_obs["actor"])
        self.age = torch.where(transition.dones, torch.zeros_like(self.age), self.age + 1)
        self.correlated = self.correlated * ~transition.dones[:, None]

    def _normalise(self, seen: torch.Tensor) -> None:
        buffers = dict(self.actor.obs_normalizer.named_buffers())
        self.actor.update_normalization(TensorDict({"actor": seen}, batch_size=[len(seen)]))
        # Some are replaced rather than written to; what is recorded reads the old ones.
        for name, buffer in buffers.items():
            new = getattr(self.actor.obs_normalizer, name)
            if new is not buffer:
                setattr(self.actor.obs_normalizer, name, buffer.copy_(new))

    def _mean(self, seen: torch.Tensor) -> torch.Tensor:
        mean = self.actor.mlp(self.actor.obs_normalizer(seen))
        if isinstance(self.actor, FeedthroughActor):
            mean = mean + self.actor.skip(seen)
        return mean

    # learning ------------------------------------------------------------------------------

    def update(self, average: WeightAverage | None) -> dict[str, float]:
        c = self.config
        self.iteration += 1
        if self.replay.steps < c.warmup_steps:
            return {"horizon": float(self.horizon)}
        updates = c.model_updates
        if not self.fitted:
            self._fit_scales(1.0)
            self.fitted = True
            updates = c.model_warmup_updates
        elif self.refits < len(REFITS) and self.replay.steps >= (
            c.warmup_steps * REFITS[self.refits]
        ):
            self._fit_scales(REFIT_SHARE)
            self.refits += 1
        model_loss = sum(self._model_step() for _ in range(updates)) / max(updates, 1)
        totals: dict[str, float] = {}
        self.frozen.refresh()
        for _ in range(c.policy_updates):
            for name, value in self._policy_step(self.frozen, average).items():
                totals[name] = totals.get(name, 0.0) + value / c.policy_updates
        mean, largest, limited = self.limit.figures()
        if self.iteration % c.diagnose_every == 0 or not self._diagnosis:
            self._diagnosis = self.ranks.average_log(self._diagnose())
            self._guard()
        return {
            "loss/model": model_loss,
            **totals,
            "gradient/state": mean,
            "gradient/state_largest": largest,
            "gradient/state_limited": limited,
            **self._diagnosis,
            "horizon": float(self.horizon),
            "annealed": self.annealed,
        }

    @torch.no_grad()
    def _fit_scales(self, share: float) -> None:
        drawn = self.replay.transitions(8192, self.replay.capacity)
        rows = drawn.rows
        targets = self.imagination.targets(drawn.actions, rows.default_joint_pos)
        extra = self._extra(drawn, targets)
        self.dynamics.fit_scales(rows.state, targets, drawn.change, share, extra)
        env = self.imagination.environment(rows, drawn.actions, drawn.actions)
        inputs = state_values_input(self.imagination.observations(env, "actor"), rows.state)
        for each in (self.value, self.target):
            each.fit_scales(inputs, share)
        # Every rank sees through the same normalisers.
        for module in (self.dynamics, self.value, self.target):
            for buffer in module.buffers():
                self.ranks.average(buffer)
        v, j, dt = self.dynamics.velocities, self.joints, self.dynamics.dt
        spread = self.dynamics.scale[:v]
        units = torch.full_like(self.limit.scale, 0.05)
        units[7 : 7 + j] = 3.0 * dt * spread[6:]
        units[7 + j :] = spread
        self.limit = GradientLimit(units, self.config.state_gradient_limit)

    def _model_step(self) -> float:
        c = self.config
        if c.model_fit_steps == 1:
            drawn = self.replay.transitions(c.model_batch, c.model_recent)
            rows = drawn.rows
            targets = self.imagination.targets(drawn.actions, rows.default_joint_pos)
            extra = self._extra(drawn, targets)
            loss = self.dynamics.one_step_loss(rows.state, targets, drawn.change, extra)
        else:
            windows = self.replay.windows(
                max(1, c.model_batch // c.model_fit_steps), c.model_fit_steps, c.model_recent
            )
            after, known = self._really(windows)
            loss = self.dynamics.unrolled_loss(
                windows.states, self._targets(windows, windows.actions), after, known,
                self._past(windows),
            )  # fmt: skip
        self.model_optimizer.zero_grad()
        loss.backward()
        self._clip_and_step("model", self.dynamics.parameters(), [self.model_optimizer])
        return float(loss.detach())

    def _policy_step(
        self, frozen: FrozenDynamics, average: WeightAverage | None
    ) -> dict[str, float]:
        c = self.config
        horizon = self.horizon
        windows = self.replay.windows(c.rollouts, horizon, c.recent)
        if not self.climb.reason or self.dynamics.others:
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
        if c.corrected:
            given["residual"] = self._residual(frozen, windows)
        past = self._past(windows)
        if past is not None:
            given |= {"past": past.inputs, "fresh": past.fresh, "context": past.context}
        if not c.corrected:
            left = self.imagination.steps_left(windows.rows.moment)
            length = left.clamp(1, horizon)
        self.value.requires_grad_(False)
        self._anneal()
        found = self.climb({**given, "length": length}, (horizon, id(self.limit)))
        self.value.requires_grad_(True)
        self.limit.norms.append(found["norms"].clone())
        self.limit.limited.append(found["limited"].clone())
        rewards, alive, final_input = found["rewards"], found["alive"], found["final_input"]
        norm = self._clip_and_step("policy", self.policy_parameters, self.policy_optimizers)
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
            "imagined/reward": float((found["paid"] * share).sum()),
            "imagined/alive": float((alive * share).sum()),
            "imagined/length": float(length.float().mean()),
            "gradient/policy": norm,
        }

    def _anneal(self) -> None:
        """Set the policy's steps to what returns still lack.

        Neither Muon's steps nor Adam's become smaller with the gradient: at a constant rate a
        policy that tracks well is thrown about as much as one that falls.
        """
        c = self.config
        lacking = (1.0 - self._diagnosis.get("value/mean", 0.0)) / ANNEALED_FROM
        self.annealed = min(1.0, max(lacking, 0.0)) ** c.anneal
        for optimizer, rate in zip(self.policy_optimizers, self.policy_rates, strict=True):
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
            self._clip_and_step("value", self.value.parameters(), [self.value_optimizer])
            total += float(loss.detach()) / c.critic_updates
        with torch.no_grad():
            for mine, other in zip(self.target.parameters(), self.value.parameters(), strict=True):
                mine.lerp_(other, c.target_rate)
        return total

    def _climb(
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
            self._mean, model, self.imagination, start, previous_actions, noise,
            residual=residual, observation_noise=self.observation_noise, limit=limit,
            memory=self.memory, remembered=seen,
        )  # fmt: skip
        rewards = rollouts.rewards / self.imagination.max_reward * (1.0 - c.gamma)
        alive = survival(rollouts.margins, c.softness)
        last = self._last(rollouts.states, length)
        final = StateRows(last, default_joint_pos, self._last(rollouts.moments, length))
        final_action = self._last(rollouts.actions, length - 1)
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
            "final_input": final_input.detach(), **figures,
        }  # fmt: skip

    def _clip_and_step(
        self, name: str, parameters: Any, optimizers: list[torch.optim.Optimizer]
    ) -> float:
        parameters = list(parameters)
        self.ranks.average_gradients(parameters)
        norm = float(nn.utils.clip_grad_norm_(parameters, self.config.max_grad_norm))
        if not math.isfinite(norm):
            raise NonFiniteError(f"the gradient of the {name} is not finite")
        for optimizer in optimizers:
            optimizer.step()
        return norm

    # the past ------------------------------------------------------------------------------

    @torch.no_grad()
    def _past(self, drawn: Transitions | Windows) -> Past | None:
        """What the model remembers before drawn steps."""
        earlier = drawn.earlier
        if earlier is None:
            return None
        count, steps = earlier.states.shape[:2]
        default = drawn.rows.default_joint_pos.repeat_interleave(steps, 0)
        targets = self.imagination.targets(earlier.actions.flatten(0, 1), default)
        inputs = self.dynamics.inputs(earlier.states.flatten(0, 1), targets)
        return Past(
            inputs=inputs.view(count, steps, self.dynamics.own_inputs),
            fresh=earlier.fresh,
            context=earlier.context,
        )

    def _extra(self, drawn: Transitions, targets: torch.Tensor) -> torch.Tensor | None:
        """[B, E] what the model sees of drawn transitions besides their states."""
        past = self._past(drawn)
        return None if past is None else past.extra(self.dynamics.inputs(drawn.rows.state, targets))

    # stretches of what really happened -----------------------------------------------------

    def _targets(self, windows: Windows, actions: torch.Tensor) -> torch.Tensor:
        """[H, B, J] joint targets of actions [H, B, A]."""
        steps = len(actions)
        default = windows.default_joint_pos.repeat(steps, 1)
        return self.imagination.targets(actions.flatten(0, 1), default).unflatten(0, (steps, -1))

    @torch.no_grad()
    def _residual(self, frozen: FrozenDynamics, windows: Windows) -> torch.Tensor:
        """[H, B, 2 V] what the model is off by in the replayed steps; 0 where there are none."""
        states = windows.states.flatten(0, 1)
        targets = self._targets(windows, windows.actions).flatten(0, 1)
        past, extra = self._past(windows), None
        if past is not None:
            inputs = frozen.inputs(states, targets).unflatten(0, windows.states.shape[:2])
            extra = past.along(inputs).flatten(0, 1)
        output = frozen.output(states, targets, extra).view_as(windows.change)
        residual = (windows.change - self.dynamics.mean) / self.dynamics.scale - output
        steps = torch.arange(len(residual), device=residual.device)[:, None]
        return residual * (steps < windows.length)[..., None]

    def _really(self, windows: Windows) -> tuple[torch.Tensor, torch.Tensor]:
        """[H, B, S] the states that replayed steps led to, and [H, B] whether there are any."""
        after = self.dynamics.integrate(
            windows.states.flatten(0, 1), windows.change.flatten(0, 1)
        ).view_as(windows.states)
        steps = torch.arange(len(after), device=after.device)[:, None]
        return after, steps < windows.length

    @staticmethod
    def _last(values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """Rows [B, D] of values [H, B, D] at times ``index`` [B]."""
        return values[index, torch.arange(len(index), device=index.device)]

    # diagnosis -----------------------------------------------------------------------------

    @torch.no_grad()
    def _diagnose(self) -> dict[str, float]:
        """Errors on the newest stretches, which model and critic have hardly been fitted to.

        The model runs free beside what really happened; ``model/error_k`` is its distance from
        reality after k steps over that of a robot that keeps its velocity.
        """
        c = self.config
        horizon = min(c.horizon, self.replay.filled - 1)
        windows = self.replay.windows(DIAGNOSED, horizon, c.recent)
        if not len(windows.length):
            return {}
        after, known = self._really(windows)
        targets = self._targets(windows, windows.actions)
        moment = windows.rows.moment
        free = steady = windows.rows.state
        still = torch.zeros_like(windows.change[0])
        moments, imagined, found = [], [], {}
        past = self._past(windows)
        if self.dynamics.others:
            first = windows.rows.state
            extra = None if past is None else past.extra(self.dynamics.inputs(first, targets[0]))
            apart = self.dynamics.disagreement(first, targets[0], extra)
            found["model/disagreement"] = float(apart.mean())
        step = self.dynamics.following(past)
        for k in range(horizon):
            free = step(free, targets[k])
            steady = self.dynamics.integrate(steady, still)
            moment = self.imagination.later(moment)
            moments.append(moment)
            imagined.append(free)
            off = self.dynamics.distance(free, after[k]).abs().mean(-1)[known[k]].mean()
            kept = self.dynamics.distance(steady, after[k]).abs().mean(-1)[known[k]].mean()
            found[f"model/error_{k + 1:02d}"] = float(off / kept.clamp_min(1e-9))
        earlier = torch.cat([windows.previous_actions[None], windows.actions[:-1]])
        default, times = windows.default_joint_pos, torch.stack(moments)
        arguments = (times, default, windows.actions, earlier)
        there, there_margins = judge(self.imagination, after, *arguments)
        dreamt, _ = judge(self.imagination, torch.stack(imagined), *arguments)
        total = self.imagination.max_reward
        length = windows.length
        real = (there * known).sum(0) / length / total
        dream = (dreamt * known).sum(0) / length / total
        # The value of the first states against what followed.
        ends = length - 1
        last = self._last(after, ends)
        rows = StateRows(last, default, self._last(times, ends))
        env = self.imagination.environment(rows, self._last(windows.actions, ends), earlier[0])
        final = self.value(state_values_input(self.imagination.observations(env, "actor"), last))
        paid = there / total * (1.0 - c.gamma)
        came = discounted_return(paid, survival(there_margins, c.softness), final, length, c.gamma)
        env = self.imagination.environment(
            windows.rows, windows.previous_actions, windows.previous_actions
        )
        first = windows.rows.state
        thought = self.value(state_values_input(self.imagination.observations(env, "actor"), first))
        return {
            **found,
            "return/real": float(real.mean()),
            "return/imagined": float(dream.mean()),
            "return/gap": float((dream - real).abs().mean()),
            "value/error": float((thought - came).abs().mean()),
            "value/mean": float(thought.mean()),
        }

    def _guard(self) -> None:
        """Shorten the rollouts to where the model still knows something, and say so."""
        c = self.config
        if not c.guard or not self._diagnosis:
            return
        allowed = 0
        for k in range(1, c.horizon + 1):
            error = self._diagnosis.get(f"model/error_{k:02d}")
            # What nothing is known of yet is no reason to shorten.
            if error is not None and error > c.guard:
                break
            allowed = k
        horizon = min(c.horizon, max(c.shortest_horizon, allowed))
        if horizon != self.horizon and self.ranks.first:
            if horizon < self.horizon:
                worst = self._diagnosis.get(f"model/error_{min(allowed + 1, c.horizon):02d}", 0.0)
                print(
                    f"imagination and reality part: the model's error after {allowed + 1} steps is "
                    f"{worst:.2f} of a robot that keeps its velocity; rollouts shortened from "
                    f"{self.horizon} to {horizon} steps",
                    flush=True,
                )
            else:
                print(f"the model holds longer: rollouts of {horizon} steps", flush=True)
        self.horizon = horizon

    # state ---------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {
            # Enough to build the model without an environment.
            "model": {
                "default_joint_pos": self.dynamics.default_joint_pos,
                "target_scale": self.imagination.target_scale,
                "substeps": self.imagination.substeps,
            },
            "dynamics": self.dynamics.state_dict(),
            "value": self.value.state_dict(),
            "target": self.target.state_dict(),
            "model_optimizer": self.model_optimizer.state_dict(),
            "value_optimizer": self.value_optimizer.state_dict(),
            "policy_optimizers": [each.state_dict() for each in self.policy_optimizers],
            "replay": self.replay.state_dict(),
            "spread": self.spread,
            "limit_scale": self.limit.scale,
            "horizon": self.horizon,
            "iteration": self.iteration,
            "fitted": self.fitted,
            "refits": self.refits,
            "diagnosis": dict(self._diagnosis),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.load_networks(state)
        self.model_optimizer.load_state_dict(state["model_optimizer"])
        self.value_optimizer.load_state_dict(state["value_optimizer"])
        for mine, saved in zip(self.policy_optimizers, state["policy_optimizers"], strict=True):
            mine.load_state_dict(saved)
        self.replay.load_state_dict(state["replay"])
        if state["spread"].shape == self.spread.shape:
            self.spread = state["spread"].clone()
        self.horizon, self.iteration = state["horizon"], state["iteration"]
        self.refits = state["refits"]
        self._diagnosis = dict(state["diagnosis"])
        # A resumed run begins new episodes.
        self.age.zero_()
        self.correlated.zero_()

    def load_networks(self, state: Mapping[str, Any]) -> None:
        """Take model and critic with their normalisers."""
        self.dynamics.load_state_dict(state["dynamics"])
        self.value.load_state_dict(state["value"])
        self.target.load_state_dict(state["target"])
        self.limit = GradientLimit(state["limit_scale"].clone(), self.config.state_gradient_limit)
        self.fitted = bool(state["fitted"])
