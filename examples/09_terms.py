"""Add a reward, an observation with history and delay, and an event to a task that is there.

    python examples/09_terms.py

A term is a function of the environment; a task is data, so that a changed task is a copy of it.
"""

from __future__ import annotations

from dataclasses import replace

import torch

import robots
from mimic.envs.environment import Environment
from mimic.envs.observation import observable, unchanged
from mimic.envs.terms import EventTerm, ObservationTerm, RewardTerm, TerminationTerm
from mimic.tasks import make_env
from mimic.tasks.tracking import tracking
from motions.human import demo
from retarget import retarget


def soft_landing(env: Environment, most: float) -> torch.Tensor:
    """What both feet press beyond `most` N, as a share of it, [N]."""
    left, right = (env.state.contacts[name].magnitude for name in ("left_foot", "right_foot"))
    return (left / most - 1.0).clamp_min(0.0) + (right / most - 1.0).clamp_min(0.0)


@observable(mirror=unchanged(1))
def base_height(env):
    """Height of the base, [1] m; written once for the simulation, the player and the mirror."""
    return env.state.robot.root_pos_w[..., 2:3]


def heavy_hit(env: Environment, force: float) -> torch.Tensor:
    """[N] bool: a foot was pressed by more than `force` N."""
    return env.state.contacts["left_foot"].magnitude > force


def spin(env: Environment, env_ids: torch.Tensor, rate: float) -> None:
    """Let the environments that restart begin with a turn about the vertical."""
    robot = env.state.robot
    turn = robot.root_ang_vel_b[env_ids].clone()
    turn[:, 2] += env.uniform((len(env_ids),), -rate, rate)
    env.engine.set_root_velocity(env_ids, robot.root_lin_vel_w[env_ids], turn)


def main() -> None:
    task = tracking()
    height = ObservationTerm(function=base_height, noise=0.01, history=4, delay=(0, 2))
    landing = RewardTerm(function=soft_landing, weight=-0.2, parameters={"most": 200.0})
    task = replace(
        task,
        observations={**task.observations, "actor": {**task.observations["actor"], "h": height}},
        rewards={**task.rewards, "soft_landing": landing},
        terminations={
            **task.terminations,
            "hit": TerminationTerm(function=heavy_hit, parameters={"force": 5000.0}),
        },
        events={
            **task.events,
            "spin": EventTerm(function=spin, mode="reset", parameters={"rate": 0.5}),
        },
    )

    robot = robots.load("unitree_g1")
    walk = retarget(demo.generate("walk"), robot, fps=50.0)
    env = make_env(task, [walk], num_envs=16, robot=robot, seed=0)
    last = env.spec.observations["actor"][-1]
    print(f"actor sees {env.spec.sizes['actor']} numbers, the last {last.width} of {last.name}")
    for _ in range(50):
        _, reward, dones, extras = env.step(torch.zeros(16, env.num_actions))
    names = ("reward/soft_landing", "reward/total", "termination/hit")
    print({name: round(float(extras["log"][name]), 3) for name in names})


if __name__ == "__main__":
    main()
