"""Task names and the one function that turns a name into an environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import robots
from mimic.envs.compiled import wants_compilation
from mimic.envs.env import EnvConfig, TrackingEnv
from mimic.envs.motion_library import find_motion_files, load_library
from mimic.sim import make_engine
from mimic.sim.scene import make_scene
from mimic.tasks.tracking import faithful, tracking
from mimic_base.errors import MimicError
from motions import RobotMotion
from robots import Robot

TASKS: Mapping[str, Callable[[], EnvConfig]] = {
    "tracking": tracking,
    "tracking-no-state-estimation": lambda: tracking(state_estimation=False),
}


def task_names() -> list[str]:
    return list(TASKS)


def task_config(task: str, *, sampling: str = "adaptive") -> EnvConfig:
    """Return the configuration of a task.

    Args:
        sampling: ``adaptive`` (default) or ``beyondmimic`` (the published start sampling).

    Raises:
        MimicError: unknown task.
    """
    if task not in TASKS:
        raise MimicError(f"unknown task '{task}'; known: {', '.join(TASKS)}")
    config = TASKS[task]()
    if sampling == "beyondmimic":
        return faithful(config)
    if sampling != "adaptive":
        raise MimicError(f"unknown sampling '{sampling}'; known: adaptive, beyondmimic")
    return config


def make_env(
    task: str | EnvConfig,
    motions: Sequence[Path | str | RobotMotion],
    *,
    num_envs: int,
    robot: str | Path | Robot = "unitree_g1",
    engine: str = "auto",
    device: str = "cpu",
    seed: int = 0,
    sampling: str = "adaptive",
    threads: int = 0,
    physics_hz: float | None = None,
    compile: str = "off",
) -> TrackingEnv:
    """Build the environment of a task over motion files, folders or clips in memory.

    Args:
        physics_hz: rate of the physics, by default the task's own.
        compile: whether the environment's own work goes through ``torch.compile``: ``on``,
            ``off``, or ``auto``, which is on where ``device`` is a GPU.

    Raises:
        MimicError, RobotError: unknown names, absent files, motions of another robot.
    """
    if num_envs < 1:
        raise MimicError(f"num_envs must be at least 1, got {num_envs}")
    config = task_config(task, sampling=sampling) if isinstance(task, str) else task
    body = robot if isinstance(robot, Robot) else robots.load(robot)
    scene = make_scene(body, physics_hz=config.physics_hz if physics_hz is None else physics_hz)
    paths = [m for m in motions if not isinstance(m, RobotMotion)]
    clips: list[Path | RobotMotion] = [m for m in motions if isinstance(m, RobotMotion)]
    if paths or not clips:
        clips += find_motion_files(paths)
    library = load_library(clips, body, 1.0 / scene.control_dt, device)
    simulation = make_engine(engine, scene, num_envs, device=device, threads=threads)
    compiled = wants_compilation(compile, simulation.device)
    return TrackingEnv(config, simulation, library, seed=seed, compiled=compiled)
