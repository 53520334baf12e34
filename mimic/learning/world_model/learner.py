"""What only the training of a world model needs: model, critic, optimisers and the replay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from rsl_rl.models import MLPModel
from tensordict import TensorDict

from mimic.envs.context import CONTEXT_GROUP
from mimic.envs.imagination import STATE_GROUP, Imagination, StateRows
from mimic.envs.spec import EnvSpec
from mimic.learning.algorithm import Transition
from mimic.learning.distributed import Ranks
from mimic.learning.imagined_rollouts import GradientLimit, Remembering
from mimic.learning.modules.actor_critic import FeedthroughActor
from mimic.learning.modules.average import WeightAverage
from mimic.learning.modules.dynamics import Dynamics, half_precision_pays, plausible
from mimic.learning.modules.value import Value, state_values_input
from mimic.learning.storage.replay import Replay
from mimic.learning.world_model.diagnosis import diagnosed, guarded_horizon
from mimic.learning.world_model.exploration import Exploration
from mimic.learning.world_model.gradients import clip_and_step
from mimic.learning.world_model.improvement import Improvement
from mimic.learning.world_model.payment import Payment
from mimic.learning.world_model.replayed import Replayed
from mimic.learning.world_model_config import WorldModelConfig
from mimic_base.errors import MimicError

REFITS = (2, 4, 8, 16, 32)
"""Multiples of the warm-up's steps at which the normalisers of model and critic move on."""
REFIT_SHARE = 0.3


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
        payment: Payment | None = None,
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
        self.payment = payment or Payment()
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
            judged=(self.payment.width, c.recent + 2 * c.horizon),
        )  # fmt: skip
        self.model_optimizer = torch.optim.Adam(
            self.dynamics.parameters(), lr=c.model_learning_rate, betas=(0.9, 0.99), fused=True
        )
        self.exploration = Exploration(n, actions, c.exploration, device)
        self.age = torch.zeros(n, dtype=torch.int32, device=device)
        self.dynamics.fit_dtype = _precision(c.fitting_dtype, device)
        self.frozen = self.dynamics.frozen(
            _precision(c.imagination_dtype, device), shared_out=c.ensemble_prediction == "member"
        )
        self.replayed = Replayed(self.imagination, self.dynamics)
        self.improvement = Improvement(
            c, actor=actor, policy=self._mean, value=self.value, target=self.target,
            imagination=self.imagination, frozen=self.frozen, replay=self.replay,
            replayed=self.replayed, memory=self.memory, payment=self.payment,
            limit=GradientLimit(torch.ones(13 + 2 * joints, device=device), 1.0),
            device=device, ranks=ranks,
        )  # fmt: skip
        self.horizon = c.horizon
        self.iteration = 0
        self.fitted = False
        self.refits = 0
        self._diagnosis: dict[str, float] = {}
        if self.imagination.left_out:
            self._say(
                f"imagined rewards leave out {', '.join(self.imagination.left_out)}, which read "
                "what a learnt model does not predict"
            )

    def _say(self, text: str) -> None:
        if self.ranks.first:
            print(text, flush=True)

    # collecting ----------------------------------------------------------------------------

    def act(self, obs: TensorDict) -> torch.Tensor:
        seen = obs["actor"]
        if self.replay.steps == 0 and not self.fitted:
            self._normalise(seen)
        return self.exploration.on(self._mean(seen))

    def observe(self, transition: Transition) -> None:
        before = StateRows.of_group(transition.obs[STATE_GROUP], self.joints)
        after = StateRows.of_group(transition.following_obs(STATE_GROUP), self.joints)
        change = self.dynamics.change(before.state, after.state)
        whole = plausible(change, self.dynamics.velocities)
        change = torch.where(whole[:, None], change, torch.zeros_like(change))
        self.replay.add(
            {
                "state": before.state, "default_joint_pos": before.default_joint_pos,
                "moment": before.moment, "actions": transition.actions,
                "noise": self.exploration.noise, "change": change,
                "seen": self.memory.remember(transition.obs["actor"]),
                **({CONTEXT_GROUP: transition.obs[CONTEXT_GROUP]} if self.dynamics.context else {}),
            },
            self.age,
            whole,
            ~transition.disturbed | transition.dones,
            self.payment.remembered(transition.obs),
        )  # fmt: skip
        self._normalise(transition.next_obs["actor"])
        self.age = torch.where(transition.dones, torch.zeros_like(self.age), self.age + 1)
        self.exploration.restart(transition.dones)

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
        lacking = 1.0 - self._diagnosis.get("value/mean", 0.0)
        for _ in range(c.policy_updates):
            for name, value in self.improvement.step(self.horizon, lacking, average).items():
                totals[name] = totals.get(name, 0.0) + value / c.policy_updates
        mean, largest, limited = self.improvement.limit.figures()
        if self.iteration % c.diagnose_every == 0 or not self._diagnosis:
            self._diagnosis = self.ranks.average_log(
                diagnosed(c, self.replay, self.replayed, self.value, self.payment)
            )
            self.horizon = guarded_horizon(c, self._diagnosis, self.horizon, self._say)
        return {
            "loss/model": model_loss,
            **totals,
            "gradient/state": mean,
            "gradient/state_largest": largest,
            "gradient/state_limited": limited,
            **self._diagnosis,
            "horizon": float(self.horizon),
            "annealed": self.improvement.annealed,
        }

    @torch.no_grad()
    def _fit_scales(self, share: float) -> None:
        drawn = self.replay.transitions(8192, self.replay.capacity)
        rows = drawn.rows
        targets = self.imagination.targets(drawn.actions, rows.default_joint_pos)
        extra = self.replayed.extra(drawn, targets)
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
        units = torch.full_like(self.improvement.limit.scale, 0.05)
        units[7 : 7 + j] = 3.0 * dt * spread[6:]
        units[7 + j :] = spread
        self.improvement.limit = GradientLimit(units, self.config.state_gradient_limit)

    def _model_step(self) -> float:
        c = self.config
        if c.model_fit_steps == 1:
            drawn = self.replay.transitions(c.model_batch, c.model_recent)
            rows = drawn.rows
            targets = self.imagination.targets(drawn.actions, rows.default_joint_pos)
            extra = self.replayed.extra(drawn, targets)
            loss = self.dynamics.one_step_loss(rows.state, targets, drawn.change, extra)
        else:
            windows = self.replay.windows(
                max(1, c.model_batch // c.model_fit_steps), c.model_fit_steps, c.model_recent
            )
            after, known = self.replayed.really(windows)
            loss = self.dynamics.unrolled_loss(
                windows.states, self.replayed.targets(windows, windows.actions), after, known,
                self.replayed.past(windows),
            )  # fmt: skip
        self.model_optimizer.zero_grad()
        loss.backward()
        clip_and_step(
            "model", self.dynamics.parameters(), [self.model_optimizer], self.ranks, c.max_grad_norm
        )
        return float(loss.detach())

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
            "value_optimizer": self.improvement.value_optimizer.state_dict(),
            "policy_optimizers": [each.state_dict() for each in self.improvement.optimizers],
            "replay": self.replay.state_dict(),
            "spread": self.exploration.spread,
            "limit_scale": self.improvement.limit.scale,
            "horizon": self.horizon,
            "iteration": self.iteration,
            "fitted": self.fitted,
            "refits": self.refits,
            "diagnosis": dict(self._diagnosis),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.load_networks(state)
        self.model_optimizer.load_state_dict(state["model_optimizer"])
        self.improvement.value_optimizer.load_state_dict(state["value_optimizer"])
        for mine, saved in zip(
            self.improvement.optimizers, state["policy_optimizers"], strict=True
        ):
            mine.load_state_dict(saved)
        self.replay.load_state_dict(state["replay"])
        if state["spread"].shape == self.exploration.spread.shape:
            self.exploration.spread = state["spread"].clone()
        self.horizon, self.iteration = state["horizon"], state["iteration"]
        self.refits = state["refits"]
        self._diagnosis = dict(state["diagnosis"])
        # A resumed run begins new episodes.
        self.age.zero_()
        self.exploration.restart_all()

    def load_networks(self, state: Mapping[str, Any]) -> None:
        """Take model and critic with their normalisers."""
        self.dynamics.load_state_dict(state["dynamics"])
        self.value.load_state_dict(state["value"])
        self.target.load_state_dict(state["target"])
        self.improvement.limit = GradientLimit(
            state["limit_scale"].clone(), self.config.state_gradient_limit
        )
        self.fitted = bool(state["fitted"])
