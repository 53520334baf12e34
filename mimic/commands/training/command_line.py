"""Train a policy.

    mimic train tracking-no-state-estimation --motion walk.npz
    mimic train tracking --motion clips/ --preset gpu --loop.num-envs 8192 --algorithm.clip 0.1
    mimic train tracking --motion walk.npz --task.rewards.body-position.weight 2
    mimic train --resume runs/tracking/2026-01-31_12-00-00-walk
    mimic train --config runs/tracking/2026-01-31_12-00-00-walk/config.json

`mimic train TASK --help` also lists every number of the task (--task.*). Options without a group,
as --num-envs or --learning-rate, stand for the one of that name in --loop.* or --algorithm.*.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any

import tyro

from mimic.commands.training.arguments import GROUPED, TrainArguments
from mimic.commands.training.defaults import (
    WITHOUT_CLIP,
    default_algorithm,
    preset_arguments,
    suited,
    task_of,
)
from mimic.commands.training.saved import saved_arguments
from mimic.commands.training.task import base_task
from mimic.learning.run_dir import CONFIG
from mimic_base.errors import MimicError
from mimic_base.options import given, respelled
from mimic_base.options import parse as read_options

TASK_GROUP = "--task."


def parse(arguments: Sequence[str], *, prog: str = "mimic train") -> TrainArguments:
    """Read the command line; what is not given comes from the resumed run or the preset.

    Raises:
        MimicError: options that exclude each other, an unreadable run, an unknown algorithm.
    """
    typed, (arguments, _) = arguments, respelled(arguments, GROUPED)
    preset, algorithm = given(arguments, "--preset"), given(arguments, "--algorithm")
    resume, config = given(arguments, "--resume"), given(arguments, "--config")
    if resume is not None and config is not None:
        raise MimicError("--resume continues a run, --config starts one: give only one of them")
    saved = resume or config
    drawn = given(arguments, "--randomisation")
    if saved is not None:
        if preset is not None:
            raise MimicError("--preset cannot be changed when a run is resumed; leave it out")
        if drawn is not None:
            raise MimicError(
                "--randomisation cannot be changed when a run is resumed; leave it out, or change "
                "single events by --task.events.*"
            )
        # A run starts again as it was started, and goes on as it went on.
        folder = config is not None and Path(saved).is_dir()
        defaults = saved_arguments(Path(saved) / CONFIG if folder else Path(saved))
        if algorithm not in (None, defaults.algorithm):
            raise MimicError(f"{saved}: this run's algorithm is '{defaults.algorithm}'")
    else:
        algorithm = algorithm or default_algorithm(arguments)
        defaults = preset_arguments(preset or "cpu", algorithm)
        defaults = dataclasses.replace(defaults, randomisation=drawn or "")
        if ":" in task_of(arguments) or task_of(arguments) in WITHOUT_CLIP:
            defaults = suited(defaults, task_of(arguments))
    if given(arguments, "--algorithm.teacher") is not None and not hasattr(
        defaults.algorithm_config, "teacher"
    ):
        raise MimicError(
            f"--teacher: algorithm '{defaults.algorithm}' has no teacher; add --algorithm dagger, "
            "ppo-kl or supervised-then-rl"
        )
    kind: type[TrainArguments] = TrainArguments
    asked = any(each in ("-h", "--help") for each in arguments)
    if any(each.startswith(TASK_GROUP) for each in arguments) or asked:
        name = task_of(arguments) or defaults.task
        if name:
            kind, defaults = with_task_options(defaults, name)
        elif not asked:
            raise MimicError(
                "options of a task (--task.*) need its name, first of all arguments: "
                "mimic train TASK ..."
            )
    args = read_options(
        kind, typed, prog=prog, description=__doc__, default=defaults, renamed=GROUPED
    )
    if kind is TrainArguments:
        args = dataclasses.replace(args, task_config=None, saved_task=defaults.saved_task)
    if args.resume is not None and args.init_from is not None:
        raise MimicError("--resume continues a run, --init-from starts one: give only one of them")
    return args


def with_task_options(
    defaults: TrainArguments, name: str
) -> tuple[type[TrainArguments], TrainArguments]:
    """Arguments that have an option for every number of a task."""
    task = base_task(dataclasses.replace(defaults, task=name))
    kind = dataclasses.make_dataclass(
        "TrainArguments",
        [("task_config", Annotated[Any, tyro.conf.arg(name="task")], field(default=None))],
        bases=(TrainArguments,),
        frozen=True,
        kw_only=True,
    )
    kind.__doc__ = TrainArguments.__doc__
    given = {each.name: getattr(defaults, each.name) for each in dataclasses.fields(defaults)}
    return kind, kind(**{**given, "task_config": task})
