"""The fake tracking environment with what motion priors look at: windows, differences, a skill."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from tensordict import TensorDict

from mimic.envs.spec import EnvSpec, ObservationEntry
from tests.learning.fake_env import FRAMES, JOINTS, FakeEnv

GROUPS = ("style", "transition", "difference", "skill")
SKILLS = 3


class FakeClips:
    """Windows of two frames of the fake clips."""

    def __init__(self, motion: Any) -> None:
        self.motion = motion
        self.frames = 2
        self.size = 2 * JOINTS

    def sample(self, count: int) -> torch.Tensor:
        row = torch.randint(1, FRAMES, (count,))
        return torch.cat([self.motion.joint_pos[row - 1], self.motion.joint_pos[row]], -1)


class FakeStyleEnv(FakeEnv):
    """Shows the last two joint positions as ``style``, the error as ``difference``."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.state["before"] = torch.zeros(self.num_envs, JOINTS)

    @property
    def spec(self) -> EnvSpec:
        base = super().spec
        size = {"style": 2 * JOINTS, "transition": 2 * JOINTS, "difference": JOINTS}
        further = {g: (ObservationEntry(name=g, size=n),) for g, n in size.items()}
        return dataclasses.replace(
            base,
            observations={**base.observations, **further},
            demonstrate=lambda group: FakeClips(self.motion),  # type: ignore[arg-type,return-value]
        )

    def observation_layout(self, group: str) -> list[dict[str, Any]]:
        if group in GROUPS:
            entry = self.spec.observations[group][0]
            return [{"name": group, "size": entry.size, "scale": 1.0, "history": 1}]
        return super().observation_layout(group)

    def get_observations(self) -> TensorDict:
        found = super().get_observations()
        q = self.state["joint_pos"]
        window = torch.cat([self.state.get("before", q), q], -1)
        found["style"] = window
        found["transition"] = window
        found["difference"] = self.motion.joint_pos[self.state["frame"]] - q
        return found

    def step(self, actions: torch.Tensor) -> Any:
        self.state["before"] = self.state["joint_pos"].clone()
        return super().step(actions)


class FakeSkillEnv(FakeStyleEnv):
    """Also commands a skill of three numbers, which changes every seven steps."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        drawn = torch.randn(self.num_envs, SKILLS, generator=self.generator)
        self.state["skill"] = drawn / drawn.norm(dim=-1, keepdim=True)
        self.state["age"] = torch.arange(self.num_envs) % 7

    @property
    def spec(self) -> EnvSpec:
        base = super().spec
        skill = (ObservationEntry(name="skill", size=SKILLS),)
        groups = dict(base.observations)
        groups |= {name: (*groups[name], *skill) for name in ("actor", "critic")}
        return dataclasses.replace(base, observations={**groups, "skill": skill})

    def get_observations(self) -> TensorDict:
        found = super().get_observations()
        skill = self.state.get("skill", torch.zeros(self.num_envs, SKILLS))
        for group in ("actor", "critic"):
            found[group] = torch.cat([found[group], skill], -1)
        found["skill"] = skill
        return found

    def step(self, actions: torch.Tensor) -> Any:
        _, rewards, dones, extras = super().step(actions)
        s = self.state
        s["age"] = s["age"] + 1
        due = s["age"] >= 7
        drawn = torch.randn(self.num_envs, SKILLS, generator=self.generator)
        drawn = drawn / drawn.norm(dim=-1, keepdim=True)
        s["skill"] = torch.where(due[:, None], drawn, s["skill"])
        s["age"] = torch.where(due, torch.zeros_like(s["age"]), s["age"])
        return self.get_observations(), rewards, dones, extras
