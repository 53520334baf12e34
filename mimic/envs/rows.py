"""A view of some environments: term functions run on it as they do on all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch


class Rows:
    """The rows ``env_ids`` [n] of whatever an object holds for every environment.

    An attribute that is a tensor of N rows is read as its rows ``env_ids``; objects that stand for
    the environments themselves (those whose class has ``rows_of_environments``, and mappings of
    them) are read through a view of their own; everything else is read as it is. A tensor that
    all environments share is named in its class's ``shared_tensors``: it is not cut even when it
    happens to have N rows.

    Only reading is meant: a term that writes into its environment is refused at start-up.
    """

    def __init__(self, owner: Any, env_ids: torch.Tensor, num_envs: int) -> None:
        self._owner = owner
        self._env_ids = env_ids
        self._num_envs = num_envs

    @property
    def num_envs(self) -> int:
        """Number of environments seen through the view."""
        return len(self._env_ids)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._owner, name)
        if name not in getattr(type(self._owner), "shared_tensors", ()):
            value = _rows_of(value, self._env_ids, self._num_envs)
        # Kept: the second reader of a view finds it in its dictionary.
        self.__dict__[name] = value
        return value


class _RowsByName(Mapping[str, Any]):
    """A mapping whose values are read through ``Rows``."""

    def __init__(self, owner: Mapping[str, Any], env_ids: torch.Tensor, num_envs: int) -> None:
        self._owner = owner
        self._env_ids = env_ids
        self._num_envs = num_envs

    def __getitem__(self, name: str) -> Any:
        return _rows_of(self._owner[name], self._env_ids, self._num_envs)

    def __iter__(self) -> Iterator[str]:
        return iter(self._owner)

    def __len__(self) -> int:
        return len(self._owner)


def _rows_of(value: Any, env_ids: torch.Tensor, num_envs: int) -> Any:
    if isinstance(value, torch.Tensor):
        whole = value.ndim > 0 and value.shape[0] == num_envs
        return value.index_select(0, env_ids) if whole else value
    if hasattr(type(value), "rows_of_environments"):
        return Rows(value, env_ids, num_envs)
    if isinstance(value, Mapping) and any(
        isinstance(each, torch.Tensor) or hasattr(type(each), "rows_of_environments")
        for each in value.values()
    ):
        return _RowsByName(value, env_ids, num_envs)
    return value
