"""How an observation is declared: one function for torch and numpy, with its mirror rule.

An observation is a function of an environment that reads it by name and computes with operators
and with ``rotations_of``, so that it runs on the torch tensors [N, ...] of many environments and
on the numpy arrays [...] of one robot alike::

    @observable(mirror=polar())
    def base_lin_vel(env):
        return env.state.robot.root_lin_vel_b

Nothing here imports torch: a robot's computer builds its observations with the same functions.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from mimic_base import rotations as numpy_rotations
from mimic_base.errors import MimicError
from mimic_base.trust import check_trusted
from robots.symmetry import MirrorMap

Table = tuple[list[int], list[float]]
"""Columns and signs: ``reflected = sign * values[..., column]``."""
MirrorRule = Callable[[MirrorMap, list[int]], Table]
"""Makes the table from the robot's mirror map and each key body's partner."""
F = TypeVar("F", bound=Callable[..., Any])

_POLAR = (1.0, -1.0, 1.0)
_AXIAL = (-1.0, 1.0, -1.0)
# R -> S R S with S = diag(1, -1, 1), first two columns, row by row.
_TWO_COLUMNS = (1.0, -1.0, -1.0, 1.0, 1.0, -1.0)

_RULES: dict[Callable[..., Any], MirrorRule] = {}
_BY_NAME: dict[str, Callable[..., Any]] = {}


def observable(mirror: MirrorRule) -> Callable[[F], F]:
    """Declare a function as an observation that policies, players and reflections know.

    Args:
        mirror: what becomes of the values in the left-right mirror image of the world. A rule of
            fewer columns than the observation has is that of a block; blocks stand side by side.
    """

    def declare(function: F) -> F:
        _RULES[function] = mirror
        _BY_NAME[reference_to(function)] = function
        return function

    return declare


def observations() -> Mapping[str, Callable[..., Any]]:
    """All declared observations of the modules that have been imported, by their references."""
    return dict(_BY_NAME)


def is_observable(function: Callable[..., Any]) -> bool:
    """Whether the function was declared with ``observable``."""
    return function in _RULES


def mirror_rule(function: Callable[..., Any]) -> MirrorRule | None:
    """The mirror rule of a declared observation; None for another function."""
    return _RULES.get(function)


def reference_to(function: Callable[..., Any]) -> str:
    """``module:name``, by which ``find_observation`` finds the function again."""
    return f"{function.__module__}:{function.__qualname__}"


def find_observation(reference: str) -> Callable[..., Any]:
    """The declared observation that a policy file names ``module:name``.

    Raises:
        MimicError: no such module, or nothing declared by that name in it.
    """
    if reference not in _BY_NAME:
        module, _, name = reference.partition(":")
        parts = module.split(".")
        if not all(map(str.isidentifier, parts)) or parts[0] in sys.stdlib_module_names:
            # A file may name where an observation is declared, not have anything imported.
            raise MimicError(
                f"this policy observes '{reference[:80]}', which is no declared observation"
            )
        check_trusted(reference)
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise MimicError(
                f"this policy observes '{name}' of the module '{module}', which cannot be "
                f"imported ({error}); install the package it was trained with"
            ) from error
        if reference not in _BY_NAME:
            raise MimicError(
                f"this policy observes '{reference}', which is not declared there with "
                "mimic.envs.observation.observable"
            )
    return _BY_NAME[reference]


# what functions of both kinds of arrays compute with --------------------------------------


def rotations_of(array: Any) -> Any:
    """The module of rotations for arrays of this kind: numpy's or torch's."""
    if isinstance(array, np.ndarray):
        return numpy_rotations
    from mimic_base import rotations_torch

    return rotations_torch


def joined(*arrays: Any) -> Any:
    """Arrays of one kind side by side along the last axis."""
    if isinstance(arrays[0], np.ndarray):
        return np.concatenate(arrays, -1)
    import torch

    return torch.cat(arrays, -1)


def constant_like(array: Any, values: Sequence[float]) -> Any:
    """``values`` [d] in the shape [..., d] of an array, of its kind."""
    if isinstance(array, np.ndarray):
        return np.broadcast_to(np.asarray(values, array.dtype), array.shape)
    return array.new_tensor(values).expand(array.shape)


def flat(array: Any) -> Any:
    """An array [..., a, b] as [..., a b]."""
    return array.reshape(*array.shape[:-2], array.shape[-2] * array.shape[-1])


# mirror rules ------------------------------------------------------------------------------


def joint_table(robot: MirrorMap, repeats: int) -> Table:
    """The table of ``repeats`` blocks of joint values."""
    count = len(robot.joint_index)
    index = np.concatenate([robot.joint_index + block * count for block in range(repeats)])
    return index.tolist(), np.tile(robot.joint_sign, repeats).tolist()


def blocks(partners: list[int], signs: tuple[float, ...]) -> Table:
    """The table of equal blocks that change places with their ``partners``."""
    width = len(signs)
    index = [partner * width + column for partner in partners for column in range(width)]
    return index, list(signs) * len(partners)


def joints(repeats: int = 1) -> MirrorRule:
    """Rule of joint positions, velocities, targets or actions, ``repeats`` times side by side."""
    return lambda robot, keys: joint_table(robot, repeats)


def polar() -> MirrorRule:
    """Rule of a position, velocity or force [3]: its y component changes sign."""
    return lambda robot, keys: blocks([0], _POLAR)


def axial() -> MirrorRule:
    """Rule of an angular velocity or torque [3]: x and z change sign."""
    return lambda robot, keys: blocks([0], _AXIAL)


def two_columns() -> MirrorRule:
    """Rule of an orientation as the first two columns of its matrix, row by row [6]."""
    return lambda robot, keys: blocks([0], _TWO_COLUMNS)


def unchanged(size: int = 1) -> MirrorRule:
    """Rule of ``size`` numbers that are the same left and right, such as a height."""
    return lambda robot, keys: (list(range(size)), [1.0] * size)


def opposite(size: int = 1) -> MirrorRule:
    """Rule of ``size`` numbers that change sign, such as a rate of turn about the vertical."""
    return lambda robot, keys: (list(range(size)), [-1.0] * size)


def beside(*rules: MirrorRule) -> MirrorRule:
    """Rule of several quantities side by side in one observation."""
    return lambda robot, keys: side_by_side([rule(robot, keys) for rule in rules])


def side_by_side(tables: Sequence[Table]) -> Table:
    """The table of columns that follow each other, from the table of each part."""
    index: list[int] = []
    signs: list[float] = []
    for columns, sign in tables:
        offset = len(index)
        index += [offset + column for column in columns]
        signs += sign
    return index, signs


def of_key_bodies(kind: str) -> MirrorRule:
    """Rule of one block for each key body; ``kind``: polar, axial or two_columns."""
    signs = {"polar": _POLAR, "axial": _AXIAL, "two_columns": _TWO_COLUMNS}[kind]
    return lambda robot, keys: blocks(keys, signs)
