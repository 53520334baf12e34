"""A task of one's own: walk up to a box and push it to a place on the floor.

Used by 10_train_a_task.py; by hand, from this folder: mimic train push_box:push_box
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mimic.envs.commands import Command, CommandConfig
from mimic.envs.environment import Environment, TaskConfig
from mimic.envs.mdp import events, observations, rewards, terminations
from mimic.envs.observation import observable, polar, rotations_of
from mimic.envs.terms import EventTerm, ObservationTerm, RewardTerm, TerminationTerm
from mimic.sim.objects import ObjectConfig
from mimic.sim.scene import SceneConfig


class Place(Command):
    """Where the box shall be: drawn at every restart."""

    def __init__(self, config: PlaceConfig, env: Environment) -> None:
        super().__init__(env)
        self.config = config
        self.goal_w = torch.zeros(env.num_envs, 3, device=env.device)
        self.box_to_goal_w = torch.zeros_like(self.goal_w)

    def resample(self, env_ids: torch.Tensor) -> None:
        far = self.env.uniform((len(env_ids), 2), *self.config.distance)
        self.goal_w[env_ids, 0] = 1.0 + far[:, 0]
        self.goal_w[env_ids, 1] = far[:, 1] - sum(self.config.distance) / 2

    def update(self, env_ids: torch.Tensor | None = None) -> None:
        self.box_to_goal_w = self.goal_w - self.env.state.objects["box"].pos_w


@dataclass(frozen=True, kw_only=True)
class PlaceConfig(CommandConfig):
    """Numbers of ``Place``; every one is an option of `mimic train`."""

    distance: tuple[float, float] = (0.5, 1.5)
    """Nearest and farthest way of the box, m."""

    def build(self, env: Environment) -> Place:
        return Place(self, env)


@observable(mirror=polar())
def box_pos_b(env):
    """Position of the box in the robot's base frame, [3] m: torch, numpy and mirror in one."""
    robot = env.state.robot
    offset = env.state.objects["box"].pos_w - robot.root_pos_w
    return rotations_of(offset).quat_inv_rotate(robot.root_quat_w, offset)


def goal_pos_w(env: Environment) -> torch.Tensor:
    """From the box to where it shall be, [N, 2] m; no player knows it, so no mirror rule."""
    return env.commands["place"].box_to_goal_w[:, :2]  # type: ignore[attr-defined]


def box_near_goal(env: Environment, std: float) -> torch.Tensor:
    """[N] 0..1."""
    off = env.commands["place"].box_to_goal_w[:, :2]  # type: ignore[attr-defined]
    return torch.exp(-off.square().sum(-1) / std**2)


def fallen(env: Environment, height: float) -> torch.Tensor:
    """[N] bool."""
    return env.state.robot.root_pos_w[:, 2] < height


def push_box() -> TaskConfig:
    """The task as data; `mimic train push_box:push_box` finds it by this name."""
    box = ObjectConfig(size=(0.2, 0.2, 0.3), mass=3.0, pos=(1.0, 0.0, 0.3))
    o = observations
    actor = {
        "box_pos_b": ObservationTerm(function=box_pos_b, noise=0.02, delay=(0, 2)),
        "goal_pos_w": ObservationTerm(function=goal_pos_w),
        "gravity": ObservationTerm(function=o.projected_gravity, noise=0.05, history=3),
        "joint_pos": ObservationTerm(function=o.joint_pos, noise=0.01),
        "joint_vel": ObservationTerm(function=o.joint_vel, noise=0.5),
    }
    kick = {"lin_vel": (0.3, 0.3, 0.0), "ang_vel": (0.0, 0.0, 0.3)}
    return TaskConfig(
        task="push-box",
        scene=SceneConfig(objects={"box": box}),
        commands={"place": PlaceConfig()},
        observations={"actor": actor, "critic": actor},
        rewards={
            "box": RewardTerm(
                function=box_near_goal, weight=2.0, parameters={"std": 0.5}, tracking=True
            ),
            "action_rate": RewardTerm(function=rewards.action_rate_l2, weight=-0.01),
        },
        terminations={
            "time_out": TerminationTerm(function=terminations.time_out, time_out=True),
            "fallen": TerminationTerm(function=fallen, parameters={"height": 0.4}),
        },
        events={"kick": EventTerm(function=events.push, mode="reset", parameters=kick)},
    )
