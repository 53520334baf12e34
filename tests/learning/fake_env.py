"""A small tracking environment without physics: same interface, whole state restorable."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from tensordict import TensorDict

from mimic.envs.commands.motion import clip_assets
from mimic.envs.spec import EnvSpec, ObservationEntry
from mimic.learning.algorithms.ppo import PPO
from mimic.learning.runner import Runner

JOINTS = 4
FRAMES = 50
BODIES = ("pelvis", "torso_link", "hand")


def fake_robot() -> Any:
    """A robot with the attributes that learning and policy files ask for."""
    joints = range(JOINTS)
    return SimpleNamespace(
        name="fake", content_hash="0123456789abcdef", num_joints=JOINTS,
        joint_names=tuple(f"joint_{i}" for i in joints),
        default_joint_pos=[0.1 * i for i in joints],
        action_scale=[0.5 + 0.1 * i for i in joints],
        kp=[40.0] * JOINTS, kd=[2.0] * JOINTS,
        effort_limit=[25.0] * JOINTS, velocity_limit=[20.0] * JOINTS,
        joint_lower=[-1.5] * JOINTS, joint_upper=[1.5] * JOINTS,
        root_body="pelvis", anchor_body="torso_link", key_bodies=BODIES,
    )  # fmt: skip


def fake_library(seed: int = 0) -> Any:
    """Two clips of random frames, laid out as ``mimic.envs.MotionLibrary``."""
    generator = torch.Generator().manual_seed(seed)

    def rows(*shape: int) -> torch.Tensor:
        return torch.randn((2 * FRAMES, *shape), generator=generator)

    quat = rows(len(BODIES), 4)
    return SimpleNamespace(
        names=("first", "second"), hashes=("aa", f"b{seed}"), source_fps=(30.0, 120.0),
        start=torch.tensor([0, FRAMES]), length=torch.tensor([FRAMES, FRAMES]),
        num_frames=2 * FRAMES, joint_pos=0.5 * rows(JOINTS), joint_vel=rows(JOINTS),
        body_pos_w=rows(len(BODIES), 3), body_quat_w=quat / quat.norm(dim=-1, keepdim=True),
        body_lin_vel_w=rows(len(BODIES), 3), body_ang_vel_w=rows(len(BODIES), 3),
    )  # fmt: skip


class FakeEnv:
    """First-order joints that should follow a clip; fails where it is far off."""

    task_name = "fake-tracking"
    control_dt = 0.02
    reference_lead = 1
    max_episode_length = 40
    device = "cpu"
    cfg: Any = {}

    def __init__(self, num_envs: int = 16, seed: int = 0, motion_seed: int = 0) -> None:
        self.num_envs, self.num_actions = num_envs, JOINTS
        self.robot = fake_robot()
        self.scene = SimpleNamespace(physics_dt=0.005)
        self.motion = fake_library(motion_seed)
        self.default_joint_pos = torch.tensor(self.robot.default_joint_pos)
        self.action_scale = torch.tensor(self.robot.action_scale)
        self.generator = torch.Generator().manual_seed(seed)
        self.state = {
            "frame": torch.zeros(num_envs, dtype=torch.long),
            "joint_pos": torch.zeros(num_envs, JOINTS),
            "actions": torch.zeros(num_envs, JOINTS),
            "failures": torch.zeros(10),
            "episode_length_buf": torch.zeros(num_envs, dtype=torch.long),
        }
        self.poison: str | None = None
        self.iterations_begun: list[int] = []
        self.statistics: list[torch.Tensor] = []

    @property
    def episode_length_buf(self) -> torch.Tensor:
        return self.state["episode_length_buf"]

    @property
    def commands(self) -> dict[str, Any]:
        told = {"hashes": list(self.motion.hashes), "reference_lead": self.reference_lead}
        motion = SimpleNamespace(
            library=self.motion, reference_lead=self.reference_lead, describe=lambda: told,
            policy_choices=lambda: self.motion.names,
            policy_assets=lambda choice: clip_assets(self.motion, self.reference_lead, choice),
        )  # fmt: skip
        return {"motion": motion}

    @property
    def spec(self) -> EnvSpec:
        return EnvSpec(
            num_envs=self.num_envs, num_actions=self.num_actions, control_dt=self.control_dt,
            device=torch.device(self.device), task=self.task_name, robot=self.robot.name,
            observations={
                group: tuple(ObservationEntry(**each) for each in self.observation_layout(group))
                for group in ("actor", "critic")
            },
            default_joint_pos=tuple(self.default_joint_pos.tolist()),
            action_scale=tuple(self.action_scale.tolist()),
        )  # fmt: skip

    @property
    def identity(self) -> dict[str, Any]:
        return {
            "task": self.task_name, "robot": self.robot.name,
            "robot_hash": self.robot.content_hash, "motions": list(self.motion.hashes),
            **{f"{name}_observations": size for name, size in self.spec.sizes.items()},
            "actions": self.num_actions,
        }  # fmt: skip

    def begin_iteration(self, iteration: int) -> None:
        self.iterations_begun.append(iteration)

    def shared_statistics(self) -> list[torch.Tensor]:
        return self.statistics

    def reseed(self, seed: int) -> None:
        self.generator.manual_seed(seed)

    def observation_layout(self, group: str) -> list[dict[str, Any]]:
        sizes = {"command": 2 * JOINTS, "joint_pos": JOINTS, "actions": JOINTS}
        if group == "critic":
            sizes["error"] = JOINTS
        return [{"name": n, "size": s, "scale": 1.0, "history": 1} for n, s in sizes.items()]

    def get_observations(self) -> TensorDict:
        row, q = self.state["frame"], self.state["joint_pos"]
        target = self.motion.joint_pos[row]
        actor = torch.cat(
            [target, self.motion.joint_vel[row], q - self.default_joint_pos, self.state["actions"]],
            -1,
        )
        critic = torch.cat([actor, target - q], -1)
        if self.poison == "observation":
            critic = critic.clone()
            critic[3, 2 * JOINTS + 1] = torch.nan
        return TensorDict({"actor": actor, "critic": critic}, batch_size=[self.num_envs])

    def step(
        self, actions: torch.Tensor
    ) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict[str, Any]]:
        s = self.state
        noise = torch.randn(self.num_envs, JOINTS, generator=self.generator)
        goal = self.default_joint_pos + self.action_scale * actions
        s["actions"] = actions.clone()
        s["joint_pos"] = s["joint_pos"] + 0.5 * (goal - s["joint_pos"]) + 0.01 * noise
        error = (self.motion.joint_pos[s["frame"]] - s["joint_pos"]).square().sum(-1)
        s["frame"] = (s["frame"] + 1) % FRAMES
        s["episode_length_buf"] = s["episode_length_buf"] + 1
        failed = error > 4.0
        time_outs = (s["episode_length_buf"] >= self.max_episode_length) & ~failed
        dones = failed | time_outs
        s["failures"] += torch.bincount(s["frame"][failed] // 5, minlength=10).float()
        final_ids = dones.nonzero().squeeze(-1)
        final = self.get_observations()[final_ids]
        s["frame"][dones] = torch.randint(FRAMES, (int(dones.sum()),), generator=self.generator)
        s["joint_pos"][dones] = 0.0
        s["episode_length_buf"][dones] = 0
        reward = torch.exp(-error)
        if self.poison == "reward":
            reward = reward * 1e38 * 1e38
        log = {
            "reward/track": float(reward.mean()),
            "termination/time_out": float(time_outs.float().mean()),
            "termination/far": float(failed.float().mean()),
            "sampling/entropy": 0.9,
        }
        rewards = reward * self.control_dt
        extras = {
            "time_outs": time_outs, "terminated": failed, "final_ids": final_ids,
            "final_observations": final, "log": log,
        }  # fmt: skip
        return self.get_observations(), rewards, dones, extras

    def state_dict(self) -> dict[str, Any]:
        copied = {name: value.clone() for name, value in self.state.items()}
        return {"state": copied, "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.state = {name: value.clone() for name, value in state["state"].items()}
        self.generator.set_state(state["generator"])


def ppo_of(runner: Runner) -> PPO:
    """The runner's algorithm, which is PPO."""
    assert isinstance(runner.algorithm, PPO)
    return runner.algorithm
