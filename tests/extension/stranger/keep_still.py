"""A task of a stranger: hold drawn joint angles beside a box, without touching the box.

It knows the project by its public names only, and the project does not know it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mimic.envs import TaskConfig
from mimic.envs.commands import Command, CommandConfig, PolicyAssets
from mimic.envs.mdp import observations, terminations
from mimic.envs.observation import joints, observable, polar, rotations_of
from mimic.envs.terms import ObservationTerm, RewardTerm, TerminationTerm
from mimic.sim.objects import ObjectConfig
from mimic.sim.scene import ContactConfig, SceneConfig


class HeldPose(Command):
    """Joint angles that each environment is asked to hold."""

    def __init__(self, env, spread: float) -> None:
        super().__init__(env)
        self.spread = spread
        self.joint_pos = env.default_joint_pos.repeat(env.num_envs, 1)
        self.error = torch.zeros(env.num_envs, device=env.device)
        self.drawn = 0

    def resample(self, env_ids):
        shape = (len(env_ids), self.joint_pos.shape[1])
        offset = self.env.uniform(shape, -self.spread, self.spread)
        self.joint_pos[env_ids] = self.env.default_joint_pos + offset
        self.drawn += len(env_ids)

    def update(self, env_ids=None):
        self.error = (self.env.state.robot.joint_pos - self.joint_pos).square().sum(-1)

    def metrics(self):
        return {"error/held_pose": self.error}

    def describe(self):
        return {**super().describe(), "spread": self.spread}

    def policy_assets(self, choice=None):
        # On a robot the pose to hold is the default one, a constant.
        return PolicyAssets(frames={"joint_pos": self.env.default_joint_pos[None]})

    def state_dict(self):
        return {"drawn": self.drawn}

    def load_state_dict(self, state):
        self.drawn = int(state["drawn"])


@dataclass(frozen=True, kw_only=True)
class HeldPoseConfig(CommandConfig):
    """Numbers of the command."""

    spread: float = 0.2
    """Largest offset from the default pose, rad."""

    def build(self, env):
        return HeldPose(env, self.spread)


@observable(mirror=joints())
def held_pose(env):
    """Joint angles asked for, [J] rad."""
    return env.commands["pose"].joint_pos


@observable(mirror=polar())
def box_from_base(env):
    """Place of the box in the base's frame, [3] m."""
    robot = env.state.robot
    offset = env.state.objects["box"].pos_w - robot.root_pos_w
    return rotations_of(offset).quat_inv_rotate(robot.root_quat_w, offset)


def holding(env, std: float):
    """How well the pose is held, 0 to 1."""
    return torch.exp(-env.commands["pose"].error / std**2)


def touching_box(env, threshold: float):
    """Whether anything but the ground presses on the box, [N] 0 or 1."""
    return (env.state.contacts["bump"].magnitude > threshold).float()


def task() -> TaskConfig:
    """The task, as ``--task keep_still:task`` names it."""
    actor = {
        "held_pose": ObservationTerm(function=held_pose),
        "joint_pos": ObservationTerm(
            function=observations.joint_pos, noise=0.01, history=3, delay=(0, 2)
        ),
        "box": ObservationTerm(function=box_from_base, filter=5.0),
    }
    return TaskConfig(
        task="keep-still",
        scene=SceneConfig(
            objects={"box": ObjectConfig(size=(0.1, 0.1, 0.1), mass=2.0, pos=(0.6, 0.0, 0.1))},
            contacts={"bump": ContactConfig(body="box", other="left_foot")},
        ),
        commands={"pose": HeldPoseConfig()},
        observations={"actor": actor, "critic": actor},
        rewards={
            "holding": RewardTerm(function=holding, weight=1.0, parameters={"std": 0.5}),
            "touching_box": RewardTerm(
                function=touching_box, weight=-0.5, parameters={"threshold": 1.0}
            ),
        },
        terminations={
            "time_out": TerminationTerm(function=terminations.time_out, time_out=True),
        },
        episode_length_s=1.0,
    )
