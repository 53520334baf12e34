"""Task names and the one function that turns a task into an environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import robots
from mimic.configuration import imported
from mimic.envs.commands import TakesMotions
from mimic.envs.compiled import wants_compilation
from mimic.envs.environment import Environment, TaskConfig
from mimic.envs.motion_library import MotionSource
from mimic.envs.sampling import SamplingConfig
from mimic.sim import make_engine, motion_scene
from mimic.sim.scene import make_scene
from mimic.tasks.deepmimic import deepmimic, deepmimic_product
from mimic.tasks.exbody import exbody
from mimic.tasks.get_up import get_up
from mimic.tasks.heading import heading, heading_privileged
from mimic.tasks.interfaces import student_with_interfaces
from mimic.tasks.reach import reach
from mimic.tasks.skills import skills
from mimic.tasks.student import student, student_with_heading, teacher, teacher_of_states
from mimic.tasks.tracking import faithful, tracking, with_sampling, without_state_estimation
from mimic_base.errors import MimicError
from mimic_base.trust import PROGRAM, check_trusted
from robots import Robot

TASKS: Mapping[str, Callable[[], TaskConfig]] = {
    "tracking": tracking,
    "tracking-no-state-estimation": without_state_estimation,
    "tracking-teacher": teacher,
    "tracking-teacher-states": teacher_of_states,
    "tracking-student": student,
    "tracking-student-heading": student_with_heading,
    "tracking-student-interfaces": student_with_interfaces,
    "exbody": exbody,
    "deepmimic": deepmimic,
    "deepmimic-product": deepmimic_product,
    "heading": heading,
    "heading-privileged": heading_privileged,
    "skills": skills,
    "reach": reach,
    "get-up": get_up,
}
"""Tasks by name; any other is named by the function that makes it, ``package.module:function``."""


def task_names() -> list[str]:
    """Names of the tasks that come with the program."""
    return list(TASKS)


def task_config(task: str, *, sampling: str = "adaptive") -> TaskConfig:
    """Return the configuration of a task.

    Args:
        task: a name, or ``package.module:function`` for a function without arguments that returns
            a ``TaskConfig``.
        sampling: ``adaptive`` (default), ``return`` or ``beyondmimic`` (the published start
            sampling); see ``SamplingConfig``.

    Raises:
        MimicError: unknown task.
    """
    config = _find(task)
    if sampling == "beyondmimic":
        return faithful(config)
    if sampling == "return":
        return with_sampling(config, SamplingConfig(mode="return"))
    if sampling != "adaptive":
        raise MimicError(f"unknown sampling '{sampling}'; known: adaptive, return, beyondmimic")
    return config


def _find(task: str) -> TaskConfig:
    if task in TASKS:
        return TASKS[task]()
    module, colon, name = task.partition(":")
    if not colon:
        raise MimicError(
            f"unknown task '{task}'; known: {', '.join(TASKS)}, or your own as "
            "package.module:function"
        )
    check_trusted(task)
    if module.partition(".")[0] in PROGRAM and not module.startswith(f"{__package__}."):
        # Finding a task calls its function: no other one of the program's is called by a name.
        raise MimicError(f"task '{task}': '{module}' holds no tasks; known: {', '.join(TASKS)}")
    try:
        function = getattr(imported(module), name)
    except ImportError as error:
        raise MimicError(f"task '{task}': cannot import '{module}' ({error})") from error
    except AttributeError as error:
        raise MimicError(f"task '{task}': module '{module}' has no '{name}'") from error
    check_trusted(task, function)
    config = function() if callable(function) else function
    if not isinstance(config, TaskConfig):
        raise MimicError(
            f"task '{task}' is a {type(config).__name__}, expected a function that returns a "
            "mimic.envs.TaskConfig"
        )
    # The name by which checkpoints and policies find the task again.
    return replace(config, task=task)


def with_motions(config: TaskConfig, motions: Sequence[MotionSource]) -> TaskConfig:
    """The same task with the clips put into its motion commands that name none themselves.

    Raises:
        MimicError: clips are given and no command takes them.
    """
    commands = dict(config.commands)
    taken = False
    for name, each in commands.items():
        if isinstance(each, TakesMotions) and not each.motions:
            commands[name] = each.with_motions(motions)
            taken = True
    if motions and not taken:
        raise MimicError(
            f"task '{config.task}' takes no motion: none of its commands "
            f"({', '.join(commands) or 'it has none'}) waits for one"
        )
    return replace(config, commands=commands)


def with_motion_scene(config: TaskConfig, motions: Sequence[MotionSource] = ()) -> TaskConfig:
    """The same task in the scene that its motions carry, unless it has one of its own.

    Args:
        motions: beside those that the task's commands name themselves.

    Raises:
        MimicError: the motions carry different scenes.
    """
    if not config.motion_scene:
        return config
    commands = [each for each in config.commands.values() if isinstance(each, TakesMotions)]
    named = [motion for each in commands for motion in each.motions]
    scene = motion_scene.with_motion_scene(config.scene, [*named, *motions] if commands else [])
    return replace(config, scene=scene)


def make_env(
    task: str | TaskConfig,
    motions: Sequence[MotionSource] = (),
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
) -> Environment:
    """Build the environment of a task.

    Args:
        task: see ``task_config``; or a configuration.
        motions: motion files, folders of them or clips in memory for the task's motion command.
        physics_hz: instead of the task's own.
        compile: whether the environment's own work goes through ``torch.compile``: ``on``,
            ``off``, or ``auto``, which is on where ``device`` is a GPU.

    Raises:
        MimicError, RobotError: unknown names, absent files, motions of another robot.
    """
    if num_envs < 1:
        raise MimicError(f"num_envs must be at least 1, got {num_envs}")
    config = task_config(task, sampling=sampling) if isinstance(task, str) else task
    if physics_hz is not None:
        config = replace(config, physics_hz=physics_hz)
    config = with_motion_scene(with_motions(config, motions))
    body = robot if isinstance(robot, Robot) else robots.load(robot)
    scene = make_scene(
        body, config.scene, control_hz=config.control_hz, physics_hz=config.physics_hz
    )
    simulation = make_engine(engine, scene, num_envs, device=device, threads=threads)
    compiled = wants_compilation(compile, simulation.device)
    return Environment(config, simulation, seed=seed, compiled=compiled)
