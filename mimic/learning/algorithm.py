"""What a learning algorithm is: the only things the runner asks of it.

A new algorithm is one class in one file, named on the command line as ``package.module:Class`` or
entered in ``mimic.learning.registry``. It may be as short as this one, which clones the pose that
an action of zero asks for::

    @dataclass(frozen=True, kw_only=True)
    class Settings:
        learning_rate: float = 1e-3

    class StandStill:
        Config = Settings
        steps = 16

        def __init__(self, network, learning_rate):
            self.network = network
            self.optimizer = torch.optim.Adam(network.parameters(), learning_rate)
            self.seen = []

        @classmethod
        def build(cls, spec, config, device, ranks):
            network = nn.Linear(spec.sizes["actor"], spec.num_actions).to(device)
            return cls(network, config.learning_rate)

        def act(self, obs):
            return self.network(obs["actor"])

        def observe(self, transition):
            self.seen.append(transition.obs["actor"])

        def update(self):
            loss = self.network(torch.cat(self.seen)).square().mean()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.seen.clear()
            return {"loss/pose": loss.item()}

        def policy(self):
            return copy.deepcopy(self.network).cpu()

        def state_dict(self):
            return {"network": self.network.state_dict()}

        def load_state_dict(self, state):
            self.network.load_state_dict(state["network"])
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import torch
from tensordict import TensorDict
from torch import nn

from mimic.envs.spec import EnvSpec
from mimic.learning.distributed import Ranks
from mimic_base.errors import MimicError


class NonFiniteError(MimicError):
    """Training met a number that is not finite; nothing has been changed by it."""


@dataclass(frozen=True, kw_only=True)
class Transition:
    """A control step of N environments; tensors are on the algorithm's device."""

    obs: TensorDict
    """Observations {group: [N, D]} the actions were chosen by."""
    actions: torch.Tensor
    """[N, A] as ``act`` has given them."""
    rewards: torch.Tensor
    """[N]"""
    terminated: torch.Tensor
    """[N] bool: the episode ended by a failure; nothing follows."""
    truncated: torch.Tensor
    """[N] bool: the episode was cut off (time-out, end of the clip); it would have gone on."""
    next_obs: TensorDict
    """Observations {group: [N, D]} the next actions are chosen by: of the new episode where one
    ended."""
    disturbed: torch.Tensor
    """[N] bool: a push or another event has changed the state after the rewards were computed, so
    that ``next_obs`` is not what the action alone led to."""
    final_ids: torch.Tensor
    """[k] environments whose episode ended."""
    final_obs: TensorDict
    """Observations {group: [k, D]} of their last states, before the restart."""

    @property
    def dones(self) -> torch.Tensor:
        """[N] bool: the episode ended."""
        return self.terminated | self.truncated

    def following_obs(self, group: str) -> torch.Tensor:
        """Observations [N, D] of the states that the actions led to, ended episodes included."""
        values = self.next_obs[group]
        if len(self.final_ids):
            values = values.index_copy(0, self.final_ids, self.final_obs[group])
        return values


class Algorithm(Protocol):
    """Learns a policy from transitions.

    In an iteration the runner calls ``act`` and ``observe`` once a control step, ``steps`` times,
    under ``torch.no_grad``, then ``update`` once. It stores ``state_dict`` and never looks inside.
    """

    Config: ClassVar[type]
    """Frozen dataclass of its numbers, every field with a default and a docstring."""
    steps: int
    """Control steps of every environment between two updates."""

    @classmethod
    def build(cls, spec: EnvSpec, config: Any, device: str, ranks: Ranks) -> Self:
        """Make it for environments like ``spec``.

        Args:
            spec: ``num_envs`` is 0 where only the policy is wanted: then no memory for
                transitions should be taken, and ``load_state_dict`` and ``policy`` follow.
            config: an instance of ``Config``.
            device: where it computes. ranks: the processes that train together.
        """
        ...

    def act(self, obs: TensorDict) -> torch.Tensor:
        """Actions [N, A] to explore with."""
        ...

    def observe(self, transition: Transition) -> None:
        """Take in what the actions led to."""
        ...

    def update(self) -> dict[str, float]:
        """Learn; what is returned goes into the log (``loss/...`` are shown as losses).

        Raises:
            NonFiniteError: before a weight could be spoilt.
        """
        ...

    def policy(self) -> nn.Module:
        """The deterministic policy as it is now: actor's obs [N, D] -> actions [N, A], a copy on
        the CPU that can be exported."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers, texts and None in dicts, lists and tuples."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` gave.

        Raises:
            RuntimeError, ValueError, KeyError: it does not fit these networks.
        """
        ...


@runtime_checkable
class StartsFromNetworks(Protocol):
    """An algorithm that can begin with the networks of another run (``--init-from``)."""

    def load_networks(self, state: Mapping[str, Any]) -> None:
        """Take networks and normalisers from another run's state, nothing else."""
        ...


@runtime_checkable
class TakesActor(Protocol):
    """An algorithm that can also begin with the actor that another one has trained."""

    takes_actor_of: ClassVar[frozenset[str]]
    """Names of algorithms whose actors are ``mimic.learning.modules.actor_critic``'s."""

    def load_actor(self, actor: Mapping[str, Any]) -> None:
        """Take an actor's weights and normaliser; everything else stays new.

        Raises:
            RuntimeError: an actor of other sizes.
        """
        ...
