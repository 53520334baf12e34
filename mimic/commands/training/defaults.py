"""What a new run has that does not say it: its algorithm, and the numbers of its preset."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from mimic.commands.training.arguments import TrainArguments
from mimic.commands.training.task import base_task
from mimic.learning.config import PRESETS, with_values
from mimic.learning.registry import config_class, preset_of
from mimic.learning.run_dir import read_config
from mimic_base.errors import MimicError
from mimic_base.options import given

QUICKEST = {("tracking", "cpu"): "world-model"}
"""Algorithms that have been measured to learn a task with a preset sooner than PPO does."""
WITHOUT_CLIP = ("heading", "heading-privileged", "skills", "reach", "get-up")
"""Tasks of the program whose actor is shown no clip."""
ALGORITHM_GROUP = "--algorithm."


def default_algorithm(arguments: Sequence[str]) -> str:
    """How a new run learns that does not say it: see ``TrainArguments.algorithm``.

    Args:
        arguments: of the command line, with their present names.
    """
    begun = given(arguments, "--init-from")
    if begun is not None:
        try:
            same = str(read_config(Path(begun))["algorithm"])
        except (MimicError, OSError, LookupError):
            # A checkpoint alone, or one of the first schema; what is wrong with it is told later.
            return "ppo"
        taught = any(each.name == "teacher" for each in dataclasses.fields(config_class(same)))
        return "ppo" if taught and given(arguments, "--algorithm.teacher") is None else same
    drawn = given(arguments, "--randomisation")
    if drawn:
        from mimic.tasks.randomisation import RANDOMISATIONS

        # Late actions are what a world model cannot imagine.
        if drawn in RANDOMISATIONS and RANDOMISATIONS[drawn].action_delay[1]:
            return "ppo"
    quickest = QUICKEST.get((task_of(arguments), given(arguments, "--preset") or "cpu"), "ppo")
    known = {each.name for each in dataclasses.fields(config_class(quickest))}
    for each in arguments:
        if each.startswith(ALGORITHM_GROUP):
            name = each.partition("=")[0].removeprefix(ALGORITHM_GROUP).replace("-", "_")
            if not {name.partition(".")[0], name.removeprefix("no_")} & known:
                return "ppo"
    return quickest


def preset_arguments(preset: str, algorithm: str) -> TrainArguments:
    """The defaults of a new run."""
    chosen = preset_of(preset if preset in PRESETS else "cpu", algorithm)
    # An algorithm without presets of its own has the loop of PPO's, and its own numbers.
    kind = config_class(algorithm)
    config = chosen.algorithm if isinstance(chosen.algorithm, kind) else kind()
    return TrainArguments(
        preset="gpu" if preset == "gpu" else "cpu",
        algorithm=algorithm,
        loop=chosen.loop,
        algorithm_config=config,
    )


def suited(defaults: TrainArguments, name: str) -> TrainArguments:
    """The defaults of a new run of a task that may show its actor no clip: one that is not shown
    commanded joint positions cannot pass them on."""
    from mimic.envs.spec import COMMAND

    task = base_task(dataclasses.replace(defaults, task=name))
    networks = getattr(defaults.algorithm_config, "networks", None)
    seen = next(iter(task.observations.get("actor", {})), None)
    if seen == COMMAND or not getattr(networks, "command_feedthrough", False):
        return defaults
    config = with_values(defaults.algorithm_config, {"networks.command_feedthrough": False})
    return dataclasses.replace(defaults, algorithm_config=config)


def task_of(arguments: Sequence[str]) -> str:
    """The task named on the command line; empty where it does not come first."""
    if arguments and not arguments[0].startswith("-"):
        return arguments[0]
    return ""
