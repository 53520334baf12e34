"""A frozen density of the clips as the reward for motion, through a learnt model of the robot.

As in SMP (``mimic.learning.algorithms.smp``) nothing plays against the policy. What SMP's diffusion
model learns is here in closed form and so has an exact gradient
(``mimic.learning.modules.smoothed_clips``):

    r = w_task r_task / r_max + w_style r(x)

``x`` is a frame of motion (``mimic.envs.features.motion_frame``), each of its quantities in units
of an error that counts as one (``mimic.learning.modules.motion_units``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from mimic.envs.mdp.motion_frames import motion_frame
from mimic.envs.spec import EnvSpec
from mimic.envs.terms import ObservationTerm
from mimic.learning.distributed import Ranks
from mimic.learning.modules.motion_units import unit_of_windows
from mimic.learning.modules.smoothed_clips import SmoothedClips
from mimic.learning.world_model.motion_prior import WorldModelWithPrior
from mimic.learning.world_model_prior_config import WorldModelSMPConfig

if TYPE_CHECKING:
    from mimic.envs.environment import TaskConfig


class ClipDensity:
    """Judges windows by the smoothed density of the clips; see ``MotionJudge``."""

    group: ClassVar[str] = "style"

    def __init__(
        self, spec: EnvSpec, config: Any, size: int, device: torch.device | str, ranks: Ranks
    ) -> None:
        self.spec, self.config, self.device, self.ranks = spec, config, device, ranks
        c = config
        self.prior = SmoothedClips(size, c.prior_widths, c.prior_sharpness).to(device)
        self._learnt = False

    @classmethod
    def groups_of(cls, config: Any, task: TaskConfig) -> dict[str, Mapping[str, ObservationTerm]]:
        """The windows that are judged."""
        term = ObservationTerm(function=motion_frame, history=config.frames)
        return {cls.group: {"motion_frame": term}}

    def climbed(self, windows: torch.Tensor) -> torch.Tensor:
        return self.prior.reward(windows)

    def learn_first_scale(self, windows: torch.Tensor) -> None:
        """Take the clips, once."""
        if self._learnt:
            return
        c = self.config
        found = self.spec.demonstrations(self.group).sample(c.prior_windows).to(self.device)
        unit = unit_of_windows(self.spec.observations[self.group], self.spec.num_actions)
        assert unit is not None, "the group is this judge's own"
        self.prior.learn(found, unit)
        # Every rank draws windows of its own.
        self.ranks.same_start([self.prior])
        self._learnt = True

    def learn(self, windows: torch.Tensor) -> dict[str, float]:
        """Nothing is learnt; how far windows are from the clips."""
        return {"style/distance": float(self.prior.distance(windows).mean())}

    def state_dict(self) -> dict[str, Any]:
        return {"prior": self.prior.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.load_networks(state)

    def load_networks(self, state: Mapping[str, Any]) -> None:
        self.prior.load_state_dict(state["prior"])
        self._learnt = True


class WorldModelSMP(WorldModelWithPrior):
    """See the module."""

    Config = WorldModelSMPConfig
    config: Any
    Judge = ClipDensity
