"""The task that `mimic train` trains: the saved run's or the preset's, as options change it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mimic.commands.training.arguments import TrainArguments
from mimic.learning.config import SHORT_NAMES, with_values
from mimic.learning.registry import preset_of
from mimic_base.errors import MimicError

if TYPE_CHECKING:
    from mimic.envs.environment import TaskConfig


def base_task(args: TrainArguments) -> TaskConfig:
    """The task before options change it: the saved run's, else the preset's.

    Raises:
        MimicError: unknown task, or a saved one that cannot be read.
    """
    from mimic.configuration import from_plain
    from mimic.envs.environment import TaskConfig
    from mimic.tasks.registry import task_config

    if args.saved_task is not None:
        source, name, plain = args.saved_task
        if name == args.task and plain is not None and "rewards" in plain:
            return from_plain(TaskConfig, plain, source=f"{source}: task")
        numbers = {key: each for key, each in (plain or {}).items() if key in TASK_NUMBERS}
        return with_numbers(task_config(args.task, sampling=args.sampling), numbers)
    preset = preset_of(args.preset, args.algorithm)
    task = task_config(args.task, sampling=args.sampling)
    if args.randomisation:
        from mimic.tasks.randomisation import with_randomisation

        task = with_randomisation(task, args.randomisation)
    return limited(with_numbers(task, preset.task), preset.drift_limit)


TASK_NUMBERS = ("physics_hz", "randomisation_start", "randomisation_ramp")


def with_numbers(task: TaskConfig, numbers: Mapping[str, Any]) -> TaskConfig:
    """A task with numbers by their short names, or by their paths in it; what belongs to a term
    that it has not is left out."""
    for name, value in numbers.items():
        path = SHORT_NAMES[name].partition(".")[2] if name in SHORT_NAMES else name
        group, _, rest = path.partition(".")
        if rest and rest.split(".")[0] not in getattr(task, group):
            continue
        task = with_values(task, {path: value})
    return task


def resolved_task(args: TrainArguments) -> TaskConfig:
    """The task as it is trained, with every option of the command line."""
    task = args.task_config if args.task_config is not None else base_task(args)
    if args.skills is not None:
        from mimic.learning.skills import with_skills

        if args.resume is not None:
            raise MimicError("--skills cannot be changed when a run is resumed; leave it out")
        task = with_skills(task, args.skills)
    if args.difficulty_ramp:
        task = with_difficulties(task, args.difficulty_ramp)
    return task if args.drift_limit is None else limited(task, args.drift_limit)


def with_difficulties(task: TaskConfig, iterations: int) -> TaskConfig:
    """The task beginning with its easy clips; a ramp that it has already gets its iterations.

    Raises:
        MimicError: a number below 0, or a task without clips.
    """
    from mimic.tasks.tracking import motion_commands, with_difficulty_ramp

    if iterations < 0:
        raise MimicError(f"--difficulty-ramp must not be negative, got {iterations}")
    if not motion_commands(task):
        raise MimicError(f"--difficulty-ramp: the task '{task.task}' has no clips to begin with")
    return with_difficulty_ramp(task, iterations)


def limited(task: TaskConfig, limit: float) -> TaskConfig:
    """A tracking task with another limit (m) of its drift from the reference; 0 takes it away.

    Raises:
        MimicError: a negative limit.
    """
    from mimic.tasks.tracking import with_drift_limit

    if not limit >= 0:
        raise MimicError(f"drift_limit must not be negative, got {limit}")
    if "anchor_height" not in task.terminations:
        # It has no anchor that could drift.
        return task
    if limit:
        return with_drift_limit(task, limit)
    kept = {name: term for name, term in task.terminations.items() if name != "anchor_drift"}
    return dataclasses.replace(task, terminations=kept)
