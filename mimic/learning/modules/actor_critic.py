"""Networks on top of rsl_rl's: an actor whose output starts at the commanded pose."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from rsl_rl.models import MLPModel
from rsl_rl.modules import HiddenState
from tensordict import TensorDict
from torch import nn

from mimic.envs.spec import ObservationEntry
from mimic.learning.config import ActorCriticConfig
from mimic.learning.networks import MLP, NetworkChoice, Shape

GROUPS = {"actor": ["actor"], "critic": ["critic"]}


ACTOR_FIELDS = ("actor_network", "actor_hidden", "activation", "obs_normalization",
                "command_feedthrough")  # fmt: skip
"""Fields of ``ActorCriticConfig`` in which two actors must agree to exchange weights."""


def averaged_actor(state: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The actor in an algorithm's state (``actor``, ``average``): averaged weights where there
    are any, with the normaliser."""
    average = state.get("average")
    return {**state["actor"], **({} if average is None else average["weights"])}


class FeedthroughActor(MLPModel):
    """``mean = MLP(normalised obs) + (obs[:, :J] - offset) * gain``.

    The first J observations are the reference joint positions. With ``offset`` the default pose
    and ``gain = 1 / action_scale`` the added term is the action whose joint target is the
    reference: the task's actions keep their meaning, and the network learns a correction.
    """

    command_offset: torch.Tensor
    command_gain: torch.Tensor

    def __init__(
        self,
        obs: TensorDict,
        obs_groups: dict[str, list[str]],
        obs_set: str,
        output_dim: int,
        *,
        command_offset: Sequence[float],
        command_gain: Sequence[float],
        **kwargs: Any,
    ) -> None:
        super().__init__(obs, obs_groups, obs_set, output_dim, **kwargs)
        self.register_buffer("command_offset", torch.tensor(command_offset).float())
        self.register_buffer("command_gain", torch.tensor(command_gain).float())

    def skip(self, obs: torch.Tensor) -> torch.Tensor:
        """The action [N, J] that asks for the reference pose in ``obs`` [N, D]."""
        return (obs[..., : len(self.command_offset)] - self.command_offset) * self.command_gain

    def forward(
        self,
        obs: TensorDict,
        masks: torch.Tensor | None = None,
        hidden_state: HiddenState = None,
        stochastic_output: bool = False,
    ) -> torch.Tensor:
        """Actions [N, A]; samples when ``stochastic_output``."""
        latent = self.get_latent(obs, masks, hidden_state)
        mean = self.mlp(latent) + self.skip(obs[self.obs_groups[0]])
        assert self.distribution is not None
        if stochastic_output:
            self.distribution.update(mean)
            return self.distribution.sample()
        return self.distribution.deterministic_output(mean)


class PlainActor(nn.Module):
    """An actor as a function of one tensor, ``obs`` [N, D] -> deterministic actions [N, A]."""

    def __init__(self, model: MLPModel) -> None:
        super().__init__()
        self.obs_normalizer = copy.deepcopy(model.obs_normalizer)
        self.mlp = copy.deepcopy(model.mlp)
        _set_inplace(self.mlp, False)
        self.command: nn.Module | None = None
        if isinstance(model, FeedthroughActor):
            self.command = _CommandedAction(model.command_offset, model.command_gain)
        self.cpu().eval()

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        actions = self.mlp(self.obs_normalizer(obs))
        return actions if self.command is None else actions + self.command(obs)

    def load_weights(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Take the network's weights from an actor's parameters of the same names."""
        for name, parameter in self.named_parameters():
            parameter.data.copy_(weights[name])


class _CommandedAction(nn.Module):
    """``(obs[:, :J] - offset) * gain``."""

    offset: torch.Tensor
    gain: torch.Tensor

    def __init__(self, offset: torch.Tensor, gain: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("offset", offset.clone())
        self.register_buffer("gain", gain.clone())

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        return (obs[..., : self.offset.shape[0]] - self.offset) * self.gain


Observations = Mapping[str, tuple[ObservationEntry, ...]]


def build_networks(
    config: ActorCriticConfig,
    sizes: Mapping[str, int],
    num_actions: int,
    feedthrough: tuple[Sequence[float], Sequence[float]] | None = None,
    observations: Observations | None = None,
) -> tuple[MLPModel, MLPModel]:
    """Build actor and critic.

    Args:
        sizes: width of the observation groups ``actor`` and ``critic``.
        feedthrough: offset and gain [J] of the commanded pose, when the configuration asks for it.
        observations: what the columns of the groups are, for networks that need to know.

    Raises:
        MimicError: a network that does not exist, or that cannot use these observations.
    """
    actor = _actor(config, sizes, num_actions, feedthrough)
    critic = MLPModel(
        _example(sizes), GROUPS, "critic", 1, hidden_dims=config.critic_hidden, **_shared(config)
    )
    _give(actor, "actor", config.actor_network, config.actor_hidden, config, observations)
    _give(critic, "critic", config.critic_network, config.critic_hidden, config, observations)
    _prepare(actor, config)
    _set_inplace(critic.mlp, True)
    return actor, critic


def build_actor(
    config: ActorCriticConfig,
    sizes: Mapping[str, int],
    num_actions: int,
    feedthrough: tuple[Sequence[float], Sequence[float]] | None = None,
    observations: Observations | None = None,
) -> MLPModel:
    """Build the actor alone; arguments as for ``build_networks``."""
    actor = _actor(config, sizes, num_actions, feedthrough)
    _give(actor, "actor", config.actor_network, config.actor_hidden, config, observations)
    _prepare(actor, config)
    return actor


def _give(
    model: MLPModel,
    group: str,
    name: str,
    hidden: tuple[int, ...],
    config: ActorCriticConfig,
    observations: Observations | None,
) -> None:
    """Put another network than an MLP between a model's normaliser and its output."""
    choice = NetworkChoice.parse(name)
    if choice.name == MLP:
        return
    shape = Shape(
        inputs=model.obs_dim,
        outputs=1 if model.distribution is None else int(model.distribution.output_dim),
        hidden=hidden,
        activation=config.activation,
        entries=(observations or {}).get(group, ()),
    )
    network: Any = choice.build(shape)
    model.mlp = network


def _example(sizes: Mapping[str, int]) -> TensorDict:
    return TensorDict({name: torch.zeros(1, size) for name, size in sizes.items()}, batch_size=[1])


def _shared(config: ActorCriticConfig) -> dict[str, Any]:
    return {"activation": config.activation, "obs_normalization": config.obs_normalization}


def _actor(
    config: ActorCriticConfig,
    sizes: Mapping[str, int],
    num_actions: int,
    feedthrough: tuple[Sequence[float], Sequence[float]] | None,
) -> MLPModel:
    obs = _example(sizes)
    distribution = {
        "class_name": "GaussianDistribution",
        "init_std": config.init_std,
        "std_type": config.std_type,
    }
    options: dict[str, Any] = {
        "hidden_dims": config.actor_hidden, "distribution_cfg": distribution, **_shared(config),
    }  # fmt: skip
    if not config.command_feedthrough:
        return MLPModel(obs, GROUPS, "actor", num_actions, **options)
    offset, gain = feedthrough or ([0.0] * num_actions, [0.0] * num_actions)
    return FeedthroughActor(
        obs, GROUPS, "actor", num_actions, command_offset=offset, command_gain=gain, **options
    )


def _prepare(actor: MLPModel, config: ActorCriticConfig) -> None:
    scale = getattr(actor.mlp, "scale_output", None)
    if config.output_gain > 0 and scale is not None:
        scale(config.output_gain)
    elif config.output_gain > 0:
        last = [layer for layer in actor.mlp.modules() if isinstance(layer, nn.Linear)][-1]
        nn.init.orthogonal_(last.weight, gain=config.output_gain)
        nn.init.zeros_(last.bias)
    # The derivative of ELU is taken from its result, so the input need not be kept.
    _set_inplace(actor.mlp, True)


def _set_inplace(module: nn.Module, value: bool) -> None:
    for layer in module.modules():
        if isinstance(layer, nn.ELU):
            layer.inplace = value
