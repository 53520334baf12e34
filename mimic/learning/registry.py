"""Names of learning algorithms. It imports none of them: their classes are found by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mimic.configuration import nearest, resolve
from mimic_base.errors import MimicError
from mimic_base.trust import check_trusted

if TYPE_CHECKING:
    from mimic.envs.environment import TaskConfig
    from mimic.learning.algorithm import Algorithm
    from mimic.learning.config import Preset


@dataclasses.dataclass(frozen=True)
class Entry:
    """Where an algorithm, its configuration and its presets lie, as ``package.module:name``."""

    algorithm: str
    config: str
    presets: str = "mimic.learning.config:PRESETS"


ALGORITHMS: Mapping[str, Entry] = {
    "ppo": Entry("mimic.learning.algorithms.ppo:PPO", "mimic.learning.config:PPOConfig"),
    "world-model": Entry(
        "mimic.learning.algorithms.world_model:WorldModel",
        "mimic.learning.world_model_config:WorldModelConfig",
        "mimic.learning.world_model_config:PRESETS",
    ),
}

METHODS = ("build", "act", "observe", "update", "policy", "state_dict", "load_state_dict")


def algorithm_names() -> list[str]:
    return list(ALGORITHMS)


def algorithm_class(name: str) -> type[Algorithm]:
    """The algorithm of a name of ``ALGORITHMS``, or of ``package.module:Class``.

    Raises:
        MimicError: unknown name, or a class that is no algorithm.
    """
    if name in ALGORITHMS:
        return resolve(ALGORITHMS[name].algorithm)
    found = _strangers(name)
    missing = [each for each in METHODS if not callable(getattr(found, each, None))]
    if missing:
        raise MimicError(
            f"algorithm '{name}' lacks {', '.join(missing)}; see mimic.learning.algorithm.Algorithm"
        )
    return found


def config_class(name: str) -> type[Any]:
    """The configuration class of an algorithm, without importing the algorithms we know.

    Raises:
        MimicError: unknown name, or a class without ``Config``.
    """
    if isinstance(name, str) and name in ALGORITHMS:
        return resolve(ALGORITHMS[name].config)
    config = getattr(_strangers(name), "Config", None)
    if not (isinstance(config, type) and dataclasses.is_dataclass(config)):
        raise MimicError(
            f"algorithm '{name}' needs a class attribute Config: the dataclass of its numbers"
        )
    return config


def preset_of(name: str, algorithm: str) -> Preset:
    """A preset of an algorithm; a stranger's has the loop and the task of PPO's.

    Raises:
        MimicError: the algorithm has no such preset.
    """
    known = resolve(ALGORITHMS.get(algorithm, ALGORITHMS["ppo"]).presets)
    if name not in known:
        raise MimicError(
            f"algorithm '{algorithm}' has no preset '{name}'; known: {', '.join(known)}"
        )
    return known[name]


def with_groups_of(task: TaskConfig, algorithm: str) -> TaskConfig:
    """A task that also computes the observation groups that an algorithm declares (``groups``)."""
    wanted = getattr(algorithm_class(algorithm), "groups", {})
    missing = {name: terms for name, terms in wanted.items() if name not in task.observations}
    if not missing:
        return task
    return dataclasses.replace(task, observations={**task.observations, **missing})


def _strangers(name: str) -> Any:
    if not isinstance(name, str):  # from a file
        raise MimicError(f"an algorithm's name is a text (found {name!r:.60})")
    if ":" not in name:
        raise MimicError(
            f"unknown algorithm '{name}'{nearest(name, algorithm_names())}; known: "
            f"{', '.join(ALGORITHMS)}, or package.module:Class of your own"
        )
    check_trusted(name)
    found = resolve(name)
    check_trusted(name, found)
    if not isinstance(found, type):
        raise MimicError(f"algorithm '{name}' is a {type(found).__name__}, expected a class")
    return found
