"""Names of learning algorithms. It imports none of them: their classes are found by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mimic.configuration import nearest, resolve
from mimic_base.errors import MimicError

if TYPE_CHECKING:
    from mimic.learning.algorithm import Algorithm


@dataclasses.dataclass(frozen=True)
class Entry:
    """Where an algorithm and its configuration lie, as ``package.module:Class``."""

    algorithm: str
    config: str


ALGORITHMS: Mapping[str, Entry] = {
    "ppo": Entry("mimic.learning.algorithms.ppo:PPO", "mimic.learning.config:PPOConfig"),
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
    if name in ALGORITHMS:
        return resolve(ALGORITHMS[name].config)
    config = getattr(_strangers(name), "Config", None)
    if not (isinstance(config, type) and dataclasses.is_dataclass(config)):
        raise MimicError(
            f"algorithm '{name}' needs a class attribute Config: the dataclass of its numbers"
        )
    return config


def _strangers(name: str) -> Any:
    if ":" not in name:
        raise MimicError(
            f"unknown algorithm '{name}'{nearest(name, algorithm_names())}; known: "
            f"{', '.join(ALGORITHMS)}, or package.module:Class of your own"
        )
    found = resolve(name)
    if not isinstance(found, type):
        raise MimicError(f"algorithm '{name}' is a {type(found).__name__}, expected a class")
    return found
