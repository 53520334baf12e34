"""What the tests of looking at motions share: a short motion and a policy that nobody trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from mimic.policy.contract import assets_of_env, contract_of_env
from mimic.policy.export import export_policy, frames_of
from mimic.tasks import make_env
from mimic_base.rotations import quat_of_yaw
from motions import RobotMotion
from robots import Robot
from robots.kinematics import forward_kinematics


def swaying_motion(robot: Robot, fps: float = 30.0, frames: int = 40) -> RobotMotion:
    """The robot stands, sways and turns a little."""
    t = np.arange(frames) / fps
    joint_pos = np.tile(robot.default_joint_pos, (frames, 1))
    joint_pos[:, robot.joint_names.index("left_elbow_joint")] += 0.3 * np.sin(4 * t)
    root_pos = np.tile([0.2, -0.1, robot.default_root_height + 0.002], (frames, 1))
    root_pos[:, 1] += 0.01 * np.sin(3 * t)
    root_quat = quat_of_yaw(0.4 + 0.1 * np.sin(2 * t))
    pos, quat = forward_kinematics(robot, root_pos, root_quat, joint_pos)
    return RobotMotion.build(
        fps=fps,
        joint_pos=joint_pos,
        body_pos_w=pos,
        body_quat_w=quat,
        joint_names=robot.joint_names,
        body_names=robot.body_names,
        robot=robot.name,
        contact=np.ones((frames, 2)),
        name="sway",
    )


def small_policy(size: int, actions: int) -> torch.nn.Module:
    torch.manual_seed(0)
    last = torch.nn.Linear(16, actions)
    with torch.no_grad():
        last.weight.mul_(0.2)
    return torch.nn.Sequential(torch.nn.Linear(size, 16), torch.nn.ELU(), last)


def write_policy(path: Path, motion: RobotMotion, *, clip_inside: bool = False) -> Path:
    """Export an untrained policy for the robot and clip of ``motion``."""
    env = make_env("tracking", [motion], num_envs=2, threads=1)
    obs = env.get_observations()["actor"]
    net = small_policy(obs.shape[1], env.num_actions)
    assets = assets_of_env(env, 0 if clip_inside else None)
    contract = contract_of_env(env, {}, assets)
    return export_policy(net, contract, obs, path, frames_of(assets))
