"""PPO that is pulled to a teacher, as in TWIST (arXiv 2505.02833).

``L = L_PPO + w(i) KL(student || teacher)`` over the states that the student gets into, with
``w(i)`` on half a cosine from its initial value: in every iteration computed from that value, not
from the one before, which would let it fall faster than it says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import torch
from tensordict import TensorDict

from mimic.envs.spec import EnvSpec
from mimic.learning.algorithms.ppo import PPO
from mimic.learning.distributed import Ranks
from mimic.learning.parallel_ppo.guide import Guide
from mimic.learning.schedules import cosine
from mimic.learning.student_config import PPOWithTeacherConfig
from mimic.learning.teachers import PendingTeachers, teacher_groups

if TYPE_CHECKING:
    from pathlib import Path

    from mimic.envs.environment import TaskConfig
    from mimic.learning.student_config import TaughtConfig
    from mimic.learning.teachers import Terms
    from robots import Robot


class TaughtPPO(PPO):
    """PPO with teachers who say what they would do in every state of a rollout.

    What is made of it is the derived class's matter.
    """

    teachers: PendingTeachers
    iteration: int
    """Updates so far."""

    @classmethod
    def groups_of(
        cls, config: TaughtConfig, task: TaskConfig, robot: str | Path | Robot
    ) -> dict[str, Terms]:
        """The observation groups of the teachers."""
        return teacher_groups(config, task, robot)

    @classmethod
    def build(cls, spec: EnvSpec, config: Any, device: str, ranks: Ranks) -> Self:
        """As PPO's; teachers are read where there are environments to learn in."""
        found = super().build(spec, config, device, ranks)
        found.teachers = PendingTeachers(config, spec, device, ranks)
        found.iteration = 0
        found._asked = []
        return found

    _asked: list[tuple[torch.Tensor, torch.Tensor]]

    def ask(self, obs: TensorDict) -> torch.Tensor:
        """What the teachers would do [N, A]; it is kept for the update."""
        teachers = self.teachers.get()
        actions = teachers.actions(obs)
        self._asked.append((actions, teachers.choice(obs)))
        return actions

    def act(self, obs: TensorDict) -> torch.Tensor:
        self.ask(obs)
        return super().act(obs)

    def guide(self, kind: Any, weight: float) -> Guide:
        """The teachers beside the rollout that is over, which is then forgotten."""
        actions, choice = zip(*self._asked, strict=True)
        self._asked = []
        stds = self.teachers.get().stds
        return Guide(kind, weight, torch.stack(actions), torch.stack(choice), stds)

    def state_dict(self) -> dict[str, Any]:
        return {
            **super().state_dict(),
            "iteration": self.iteration,
            "teachers": self.teachers.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.iteration = state["iteration"]
        self.teachers.load_state_dict(state["teachers"])


class PPOWithTeacher(TaughtPPO):
    """See the module."""

    Config = PPOWithTeacherConfig
    takes_actor_of = frozenset({"ppo", "world-model", "dagger", "supervised-then-rl"})
    config: PPOWithTeacherConfig

    @property
    def pull(self) -> float:
        """Weight of the divergence in the coming update."""
        c = self.config
        return cosine(c.pull, c.pull_end, self.iteration / c.pull_iterations)

    def update(self) -> dict[str, float]:
        """Train on the recorded steps; ``loss/teacher_kl`` is the divergence without its weight."""
        pull = self.pull
        self.trainer.guide = self.guide("kl", pull)
        figures = super().update()
        self.trainer.guide = None
        self.iteration += 1
        return {**figures, "student/pull": pull}
