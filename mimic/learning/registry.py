"""Names of learning algorithms. It imports none of them: their classes are found by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mimic.configuration import nearest, resolve
from mimic_base.errors import MimicError
from mimic_base.trust import check_trusted

if TYPE_CHECKING:
    from pathlib import Path

    from mimic.envs.environment import TaskConfig
    from mimic.learning.algorithm import Algorithm
    from mimic.learning.config import Preset
    from robots import Robot


@dataclasses.dataclass(frozen=True)
class Entry:
    """Where an algorithm, its configuration and its presets lie, as ``package.module:name``."""

    algorithm: str
    config: str
    presets: str = "mimic.learning.config:PRESETS"


ALGORITHMS: Mapping[str, Entry] = {
    "ppo": Entry("mimic.learning.algorithms.ppo:PPO", "mimic.learning.config:PPOConfig"),
    "lcp": Entry(
        "mimic.learning.algorithms.lcp:LCP",
        "mimic.learning.lcp_config:LCPConfig",
        "mimic.learning.lcp_config:PRESETS",
    ),
    "awr": Entry(
        "mimic.learning.algorithms.awr:AWR",
        "mimic.learning.off_policy_config:AWRConfig",
        "mimic.learning.off_policy_config:AWR_PRESETS",
    ),
    "fast-td3": Entry(
        "mimic.learning.algorithms.fast_td3:FastTD3",
        "mimic.learning.off_policy_config:FastTD3Config",
        "mimic.learning.off_policy_config:FAST_TD3_PRESETS",
    ),
    "fast-sac": Entry(
        "mimic.learning.algorithms.fast_sac:FastSAC",
        "mimic.learning.off_policy_config:FastSACConfig",
        "mimic.learning.off_policy_config:FAST_SAC_PRESETS",
    ),
    "world-model": Entry(
        "mimic.learning.algorithms.world_model:WorldModel",
        "mimic.learning.world_model_config:WorldModelConfig",
        "mimic.learning.world_model_config:PRESETS",
    ),
    "world-model-amp": Entry(
        "mimic.learning.algorithms.world_model_amp:WorldModelAMP",
        "mimic.learning.world_model_prior_config:WorldModelAMPConfig",
        "mimic.learning.world_model_prior_config:AMP_PRESETS",
    ),
    "world-model-add": Entry(
        "mimic.learning.algorithms.world_model_add:WorldModelADD",
        "mimic.learning.world_model_prior_config:WorldModelADDConfig",
        "mimic.learning.world_model_prior_config:ADD_PRESETS",
    ),
    "world-model-smp": Entry(
        "mimic.learning.algorithms.world_model_smp:WorldModelSMP",
        "mimic.learning.world_model_prior_config:WorldModelSMPConfig",
        "mimic.learning.world_model_prior_config:SMP_PRESETS",
    ),
    "dagger": Entry(
        "mimic.learning.algorithms.dagger:Dagger",
        "mimic.learning.student_config:DaggerConfig",
        "mimic.learning.student_config:DAGGER_PRESETS",
    ),
    "ppo-kl": Entry(
        "mimic.learning.algorithms.ppo_with_teacher:PPOWithTeacher",
        "mimic.learning.student_config:PPOWithTeacherConfig",
        "mimic.learning.student_config:PPO_WITH_TEACHER_PRESETS",
    ),
    "supervised-then-rl": Entry(
        "mimic.learning.algorithms.supervised_then_rl:SupervisedThenRL",
        "mimic.learning.student_config:SupervisedThenRLConfig",
        "mimic.learning.student_config:SUPERVISED_THEN_RL_PRESETS",
    ),
    "amp": Entry(
        "mimic.learning.algorithms.amp:AMP",
        "mimic.learning.prior_config:AMPConfig",
        "mimic.learning.prior_config:AMP_PRESETS",
    ),
    "add": Entry(
        "mimic.learning.algorithms.add:ADD",
        "mimic.learning.prior_config:ADDConfig",
        "mimic.learning.prior_config:ADD_PRESETS",
    ),
    "gail": Entry(
        "mimic.learning.algorithms.gail:GAIL",
        "mimic.learning.prior_config:GAILConfig",
        "mimic.learning.prior_config:GAIL_PRESETS",
    ),
    "ase": Entry(
        "mimic.learning.algorithms.ase:ASE",
        "mimic.learning.prior_config:ASEConfig",
        "mimic.learning.prior_config:ASE_PRESETS",
    ),
    "smp": Entry(
        "mimic.learning.algorithms.smp:SMP",
        "mimic.learning.prior_config:SMPConfig",
        "mimic.learning.prior_config:SMP_PRESETS",
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


def with_groups_of(
    task: TaskConfig, algorithm: str, config: Any = None, robot: str | Path | Robot = ""
) -> TaskConfig:
    """A task that also computes the observation groups that an algorithm declares.

    ``groups`` of its class are those that it always needs; a task's own of the same name count
    before them. A class whose groups depend on its configuration has a function
    ``groups_of(config, task, robot)`` instead, whose groups replace the task's.

    Args:
        config: the algorithm's configuration; without it, as where a run is resumed whose task has
            all of them, only ``groups`` are added.
        robot: the one that is trained, or its name.

    Raises:
        MimicError: what the configuration names cannot be read, or does not fit.
    """
    kind: Any = algorithm_class(algorithm)
    if config is not None and hasattr(kind, "groups_of"):
        groups = {**task.observations, **kind.groups_of(config, task, robot)}
    else:
        groups = {**getattr(kind, "groups", {}), **task.observations}
    if list(groups) == list(task.observations) and groups == dict(task.observations):
        return task
    # The task's own come first, in their order.
    names = [*task.observations, *(name for name in groups if name not in task.observations)]
    return dataclasses.replace(task, observations={name: groups[name] for name in names})


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
