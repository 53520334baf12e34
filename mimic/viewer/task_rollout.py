"""Plays a policy in the environment of its own task: whatever its commands, scene and terms are.

A policy that tracks clips is played by ``mimic.viewer.rollout`` without torch. Any other one is
asked for things that only its task knows, so it is played where it was trained, without noise,
pushes and randomised physics.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mimic.envs.commands import HeadingCommand, MotionCommandConfig, MotionSetConfig
from mimic.envs.environment import Environment, TaskConfig, quiet_task
from mimic.evaluation.policies import as_observed
from mimic.learning.skills import whole_task
from mimic.policy.player import PolicyPlayer
from mimic.sim.scene import SceneConfig
from mimic.sim.states import States, free_objects
from mimic.tasks import make_env
from mimic.tasks.registry import task_config
from mimic.viewer.camera import View, heading, smooth_path
from mimic.viewer.painter import Painter, Pose
from mimic_base.errors import MimicError
from mimic_base.rotations_torch import quat_rotate, yaw_quat
from robots import Robot

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class TaskRollout:
    """What happened in one episode of T control steps.

    Attributes:
        states: [T + 1] the robot, and the scene's free objects.
        rewards: [T] reward of each control step.
        ended_by: name of the termination that ended the episode; empty where time ran out.
        success: whether that was the task's goal.
    """

    task: str
    robot: str
    control_dt: float
    states: States
    rewards: Array
    ended_by: str
    success: bool = False

    @property
    def duration(self) -> float:
        """Seconds from the first state to the last."""
        return (len(self.states) - 1) * self.control_dt

    def summary(self) -> str:
        """One line for the console."""
        end = f"FAILED ({self.ended_by})" if self.ended_by else "went on to the end"
        if self.success:
            end = f"reached its goal ({self.ended_by})"
        gone = float(np.linalg.norm((self.states.root_pos_w[-1] - self.states.root_pos_w[0])[:2]))
        return (
            f"{self.task}: {end} after {self.duration:.1f} s; reward "
            f"{self.rewards.sum() / max(self.duration, 1e-9):.3f} per second, went {gone:.2f} m"
        )


def task_of(config: Mapping[str, Any], player: PolicyPlayer, source: Path) -> TaskConfig:
    """The task of a policy: as its run resolved it, else by the name in its contract.

    Args:
        config: what ``config.json`` of the run holds; empty for a file that lies alone.

    Raises:
        MimicError: the task's code cannot be found.
    """
    from mimic.configuration import from_plain

    plain = config.get("run", {}).get("task")
    if plain is not None:
        return whole_task(from_plain(TaskConfig, plain, source=f"{source}: task"))
    return as_observed(task_config(player.contract.task), player.contract)


def with_clips_of(task: TaskConfig, config: Mapping[str, Any]) -> TaskConfig:
    """The task with the clips that its run was trained on, where episodes begin at frames of clips
    and the files are still there; otherwise they begin in the default pose.

    Args:
        config: as of ``task_of``.
    """
    files = [Path(each) for each in config.get("motion") or ()]
    files = files if all(each.exists() for each in files) else []
    commands = {
        name: replace(each, motions=each.motions or tuple(files), optional=True)
        if isinstance(each, MotionSetConfig)
        else each
        for name, each in task.commands.items()
    }
    return replace(task, commands=commands)


class SteadyHeading:
    """Has a heading command ask for one velocity: its direction turns as time passes."""

    def __init__(self, env: Environment, velocity: tuple[float, float, float]) -> None:
        found = [each for each in env.commands.values() if isinstance(each, HeadingCommand)]
        if not found:
            raise MimicError(f"task '{env.task_name}' is commanded no velocity")
        self._command, self._velocity, self._env = found[0], velocity, env
        self._start = yaw_quat(env.state.robot.root_quat_w)

    def ask(self, time_s: float) -> None:
        """Command what is wanted ``time_s`` seconds after the beginning."""
        forward, left, turn = self._velocity
        angle = torch.tensor([math.atan2(left, forward) + turn * time_s])
        ahead = torch.stack([torch.cos(angle), torch.sin(angle), 0.0 * angle], -1)
        direction = quat_rotate(self._start, ahead.to(self._start))[:, :2]
        speed = direction.new_tensor([[math.hypot(forward, left)]])
        self._command.hold(direction, speed)


def playing_env(
    player: PolicyPlayer, task: TaskConfig, robot: Robot, *, seed: int = 0
) -> Environment:
    """One environment of a policy's task, as players see it.

    Raises:
        MimicError: the policy does not fit the task as it is now, or tracks clips.
    """
    if any(isinstance(each, MotionCommandConfig) for each in task.commands.values()):
        raise MimicError(f"task '{task.task}' tracks clips; name one with --motion")
    env = make_env(quiet_task(task), num_envs=1, robot=robot, seed=seed, threads=1)
    size = env.spec.sizes["actor"]
    if size != player.contract.observation_size or env.num_actions != player.contract.num_joints:
        raise MimicError(
            f"{player.path}: the policy takes {player.contract.observation_size} observations and "
            f"gives {player.contract.num_joints} actions, task '{task.task}' has {size} and "
            f"{env.num_actions}; the task has changed since the training"
        )
    return env


def roll_out_task(
    player: PolicyPlayer,
    task: TaskConfig,
    robot: Robot,
    *,
    seconds: float = 0.0,
    seed: int = 0,
    velocity: tuple[float, float, float] | None = None,
) -> TaskRollout:
    """Play one episode, deterministically but for what the command draws.

    Args:
        seconds: longest duration; 0: the task's own episode.
        velocity: of a task with a heading command: ask for this velocity (m/s ahead and to the left
            of the first heading, rad/s that it turns) instead of what the command draws.

    Raises:
        MimicError: the policy does not fit the task as it is now, or has no velocity to command.
    """
    env = playing_env(player, task, robot, seed=seed)
    steps = round((seconds or task.episode_length_s) / env.control_dt)
    obs, _ = env.reset()
    steady = None if velocity is None else SteadyHeading(env, velocity)
    if steady is not None:
        steady.ask(0.0)
        obs = env.observe()
    states, rewards, ended_by = [_state(env)], [], ""
    success = False
    for step in range(steps):
        if steady is not None:
            steady.ask((step + 1) * env.control_dt)
        action = torch.as_tensor(player.act(obs["actor"].cpu().numpy()))
        before = _state(env)
        obs, reward, dones, extras = env.step(action)
        rewards.append(float(reward[0]))
        if bool(dones[0]):
            # The environment has already begun the next episode; the state before is the last seen.
            states.append(before)
            if bool(extras["terminated"][0]):
                fired = _fired(extras["figures"])
                ended_by = ", ".join(fired) or "a termination"
                goals = {name for name, term in task.terminations.items() if term.success}
                success = bool(fired) and goals.issuperset(fired)
            break
        states.append(_state(env))
    return TaskRollout(
        task=task.task,
        robot=robot.name,
        control_dt=env.control_dt,
        states=States.stack(states),
        rewards=np.array(rewards),
        ended_by=ended_by,
        success=success,
    )


def _state(env: Environment) -> States:
    """The only environment's robot and free objects."""
    coordinates, _ = env.engine.snapshot()
    return States.of(coordinates[0].cpu().numpy(), free_objects(env.scene))


def _fired(figures: Mapping[str, torch.Tensor]) -> list[str]:
    """The terminations that fired in the only environment."""
    prefix = "termination/"
    return [
        name.removeprefix(prefix)
        for name, values in figures.items()
        if name.startswith(prefix) and bool(values[0])
    ]


def task_frames(
    painter: Painter, rollout: TaskRollout, *, fps: float, view: View | None = None
) -> Iterator[NDArray[np.uint8]]:
    """Draw an episode at ``fps`` frames of video per second; the camera goes along."""
    view = view or View()
    path = smooth_path(rollout.states.root_pos_w, 1.0 / rollout.control_dt)
    last = len(rollout.states) - 1
    for frame in range(int(last * rollout.control_dt * fps) + 1):
        at = min(round(frame / fps / rollout.control_dt), last)
        looking = View(
            lookat=(path[at, 0], path[at, 1], view.lookat[2]),
            distance=view.distance,
            azimuth=heading(rollout.states.root_quat_w[0]) + view.azimuth,
            elevation=view.elevation,
            fovy=view.fovy,
            reach=view.reach,
        )
        title = f"{rollout.task}   {at * rollout.control_dt:.1f} s"
        yield painter.draw([Pose(rollout.states[at])], looking, title=title)


def write_task_video(
    path: Path,
    robot: Robot,
    scene: SceneConfig,
    rollout: TaskRollout,
    *,
    size: tuple[int, int],
    fps: float,
) -> int:
    """Write an episode as a video; returns the number of frames."""
    from mimic.viewer.painter import open_painter
    from mimic.viewer.video import check_video, write_video

    check_video(path, size, fps)
    with open_painter(robot, *size, scene) as painter:
        frames = task_frames(
            painter, rollout, fps=fps, view=View.of_height(robot.default_root_height)
        )
        return write_video(path, frames, fps)


def write_task_picture(
    path: Path, robot: Robot, scene: SceneConfig, rollout: TaskRollout, *, size: tuple[int, int]
) -> None:
    """Write the last state of an episode as a picture."""
    from mimic.viewer.painter import open_painter
    from mimic.viewer.video import write_picture

    with open_painter(robot, *size, scene) as painter:
        fps = 1.0 / max(rollout.duration, 1.0)
        *_, image = task_frames(
            painter, rollout, fps=fps, view=View.of_height(robot.default_root_height)
        )
        write_picture(path, image)
