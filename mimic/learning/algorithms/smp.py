"""SMP: a frozen diffusion model of motion as a prior, after MimicKit's method of this name.

Before the first iteration a small diffusion model learns windows of the clips, and never changes
again. In training the robot's windows are noised and denoised by it; what it gets wrong says how
unlikely the motion is (score distillation, Poole et al. 2022, arXiv 2209.14988):

    e_k = |eps - eps_hat(sqrt(a_k) x + sqrt(1 - a_k) eps, k)|^2 / D    for k = 22, 15, 8 of 50
    r_style = exp(-6 mean_k(e_k / running mean of e_k))

Nothing plays against the policy: no discriminator, whose reward would have to be chased. The steps,
the scale 6 and the division by running means are MimicKit's; the number of diffusion steps, their
schedule and the network are this program's. Windows are AMP's, the observation group ``style``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import torch

from mimic.envs.mdp.motion_frames import motion_frame
from mimic.envs.spec import EnvSpec
from mimic.envs.terms import ObservationTerm
from mimic.learning.algorithm import NonFiniteError, Transition
from mimic.learning.distributed import Ranks
from mimic.learning.modules.diffusion import MotionDiffusion
from mimic.learning.motion_prior import MotionPriorPPO
from mimic.learning.prior_config import SMPConfig

if TYPE_CHECKING:
    from mimic.envs.environment import TaskConfig

SCALED = 20_000
"""Windows of the clips by which the model's inputs are normalised."""


class SMP(MotionPriorPPO):
    """See the module."""

    Config = SMPConfig
    config: SMPConfig
    group = "style"
    prior: MotionDiffusion
    _learnt: bool
    _usual: torch.Tensor
    _iterations: int
    _errors: list[torch.Tensor]

    @classmethod
    def groups_of(
        cls, config: SMPConfig, task: TaskConfig, robot: Any
    ) -> dict[str, Mapping[str, ObservationTerm]]:
        """The windows that are judged, unless the task has its own."""
        term = ObservationTerm(function=motion_frame, history=config.frames)
        return {cls.group: task.observations.get(cls.group, {"motion_frame": term})}

    @classmethod
    def build(cls, spec: EnvSpec, config: Any, device: str, ranks: Ranks) -> Self:
        found = super().build(spec, config, device, ranks)
        size = found.window_size(spec, config) if found.judges else 1
        found.prior = MotionDiffusion(size, config.prior_hidden, config.diffusion_steps).to(device)
        ranks.same_start([found.prior])
        found._learnt = False
        found._usual = torch.ones(len(config.judged_steps), device=device)
        found._iterations = 0
        found._errors = []
        return found

    def shaped(self, transition: Transition, windows: torch.Tensor) -> Transition:
        if not self._learnt:
            loss = self._learn_prior()
            errors = self.prior.errors(windows, self.config.judged_steps).mean(0)
            self._usual = self.ranks.average(errors)
            self._learnt = True
            if self.ranks.first:
                print(f"motion prior: {self.config.prior_iterations} steps, error {loss:.3f}")
        return super().shaped(transition, windows)

    def _learn_prior(self) -> float:
        """Teach the diffusion model the clips; its error over the last tenth of the steps."""
        c, prior = self.config, self.prior
        prior.learn_scale(self.demonstrated(SCALED))
        parameters = list(prior.parameters())
        optimizer = torch.optim.Adam(parameters, c.prior_learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, c.prior_iterations)
        last: list[float] = []
        with torch.enable_grad():
            for step in range(c.prior_iterations):
                loss = prior.loss(self.demonstrated(c.prior_batch))
                optimizer.zero_grad()
                loss.backward()
                self.ranks.average_gradients(parameters)
                optimizer.step()
                schedule.step()
                if step >= 0.9 * c.prior_iterations - 1:
                    last.append(float(loss.detach()))
        found = sum(last) / len(last)
        if not found < float("inf"):
            raise NonFiniteError(f"the motion prior's error is not finite ({found:.3g})")
        return found

    @torch.no_grad()
    def reward_of(self, windows: torch.Tensor) -> torch.Tensor:
        errors = self.prior.errors(windows, self.config.judged_steps)
        self._errors.append(errors.mean(0))
        return prior_reward(errors, self._usual, self.config.prior_scale)

    def update(self) -> dict[str, float]:
        """Train the policy, and move the running means towards the rollout's errors."""
        errors = self.ranks.average(torch.stack(self._errors).mean(0))
        self._errors = []
        self._iterations += 1
        # The mean of all iterations at first, then one that forgets.
        share = max(1.0 / self._iterations, 1.0 - self.config.usual_decay)
        self._usual = self._usual + share * (errors - self._usual)
        return {**super().update(), "style/error": float(errors.mean())}

    # state -----------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {
            **super().state_dict(),
            "prior": self.prior.state_dict(),
            "prior_learnt": self._learnt,
            "usual": self._usual,
            "iterations": self._iterations,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        if self.judges:
            self._usual = state["usual"].to(self.device)
            self._iterations = state["iterations"]

    def load_networks(self, state: Mapping[str, Any]) -> None:
        super().load_networks(state)
        if self.judges:
            self.prior.load_state_dict(state["prior"])
            self._learnt = state["prior_learnt"]


def prior_reward(errors: torch.Tensor, usual: torch.Tensor, scale: float) -> torch.Tensor:
    """``exp(-scale mean_k(e_k / usual_k))`` [N] of errors [N, S], usual ones [S]."""
    return torch.exp(-scale * (errors / usual.clamp_min(1e-6)).mean(-1))
