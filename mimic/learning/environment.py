"""What the runner asks of an environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from tensordict import TensorDict

from mimic.envs.spec import EnvSpec


class TrainingEnvironment(Protocol):
    """Environments that are stepped together; ``mimic.envs`` has the real ones."""

    @property
    def episode_length_buf(self) -> torch.Tensor:
        """[N] control steps of the episodes that are under way."""
        ...

    @property
    def spec(self) -> EnvSpec:
        """Sizes and names."""
        ...

    @property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint must share with the environment it is used in."""
        ...

    def get_observations(self) -> TensorDict:
        """Observations {group: [N, D]} of the current state."""
        ...

    def step(
        self, actions: torch.Tensor
    ) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Observations, rewards [N], dones [N] and extras: ``terminated`` [N], ``time_outs`` [N],
        ``final_ids`` [k], ``final_observations`` {group: [k, D]} and ``log``, a mapping of
        floats."""
        ...

    def begin_iteration(self, iteration: int) -> None:
        """Hear how many iterations of the training are done."""
        ...

    def shared_statistics(self) -> Sequence[torch.Tensor]:
        """Tensors to be averaged, in place, over all processes that train together."""
        ...

    def reseed(self, seed: int) -> None:
        """Begin new random numbers."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs of it."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what ``state_dict`` gave."""
        ...
