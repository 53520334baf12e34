"""Networks by name: a mixture of experts, a transformer over later frames, one of one's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import robots
from mimic.commands.train import parse, train
from mimic.envs.spec import ObservationEntry
from mimic.learning.config import ActorCriticConfig
from mimic.learning.loading import load_policy
from mimic.learning.modules.actor_critic import PlainActor, build_actor, build_networks
from mimic.learning.modules.mixture import Mixture, MixtureOptions
from mimic.learning.modules.transformer import FutureTransformer, future_frames
from mimic.learning.networks import NetworkChoice, Shape
from mimic.policy.player import PolicyPlayer
from mimic.viewer.rollout import roll_out
from mimic_base.errors import MimicError, UserError
from mimic_base.trust import consent
from motions import RobotMotion
from tests.conftest import TINY
from tests.envs.conftest import sway

ENTRIES = (
    ObservationEntry(name="command", size=6),
    ObservationEntry(name="reference_frames", size=10, parameters={"steps": (5, 10)}),
    ObservationEntry(name="joint_pos", size=3, history=2),
)
SHAPE = Shape(inputs=22, outputs=3, hidden=(16, 8), activation="elu", entries=ENTRIES)
SIZES = {"actor": 22, "critic": 22}
OBSERVATIONS = {"actor": ENTRIES, "critic": ENTRIES}


def obs(rows: int = 5) -> torch.Tensor:
    return torch.randn(rows, 22, generator=torch.Generator().manual_seed(0))


def test_a_gates_weights_add_up_to_one_and_every_expert_learns_in_proportion() -> None:
    torch.manual_seed(0)
    network = Mixture(SHAPE, MixtureOptions(experts=3, gate=8))
    x = obs()
    weights = network.weights(x)
    torch.testing.assert_close(weights.sum(-1), torch.ones(5))
    assert weights.min() > 0
    # The mixture is the experts' own outputs, weighed.
    outputs = network.experts(x[None])
    expected = torch.einsum("ne,ena->na", weights, outputs)
    torch.testing.assert_close(network(x), expected)
    network(x).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name
    # An expert that the gate shuts out learns nothing.
    network.zero_grad()
    last: Any = network.gate[-1]
    last.bias.data[1] = -1e4
    network(x).square().sum().backward()
    first: Any = network.experts[0]
    assert first.weight.grad[1].abs().max() == 0 and first.weight.grad[0].abs().max() > 0


def test_later_frames_are_tokens_and_their_order_matters() -> None:
    assert future_frames(ENTRIES) == [(6, 2, 5)]
    torch.manual_seed(0)
    network = NetworkChoice.parse("transformer:width=8,heads=2,layers=1").build(SHAPE)
    assert isinstance(network, FutureTransformer)
    assert network.rest.tolist() == [*range(6), *range(16, 22)]
    x = obs()
    swapped = torch.cat([x[:, :6], x[:, 11:16], x[:, 6:11], x[:, 16:]], -1)
    assert not torch.allclose(network(x), network(swapped))
    network.place.data.zero_()
    torch.testing.assert_close(network(x), network(swapped))
    network(x).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name


@pytest.mark.parametrize("name", ["moe:experts=2", "transformer:width=8,heads=2,layers=1"])
def test_a_network_is_an_actor_that_begins_small_and_a_critic(name: str) -> None:
    config = ActorCriticConfig(
        actor_network=name, critic_network=name, actor_hidden=(16,), critic_hidden=(16,),
        output_gain=0.01,
    )  # fmt: skip
    actor, critic = build_networks(config, SIZES, 3, ([0.0] * 3, [1.0] * 3), OBSERVATIONS)
    plain = PlainActor(actor)
    given = plain(obs())
    # What it gives at first is nearly the commanded pose.
    assert (given - obs()[:, :3]).abs().max() < 0.2
    assert critic.mlp(obs()).shape == (5, 1)
    torch.testing.assert_close(plain(obs()[:1]), given[:1])


def test_what_cannot_be_is_told_in_one_line() -> None:
    def refusal(name: str, **shape: Any) -> str:
        with pytest.raises(MimicError) as caught:
            NetworkChoice.parse(name).build(
                Shape(inputs=22, outputs=3, hidden=(8,), activation="elu", **shape)
            )
        return str(caught.value)

    with pytest.raises(MimicError, match="unknown network 'mo'.*known: mlp, moe, transformer"):
        ActorCriticConfig(actor_network="mo")
    assert "'4' is not an option; write moe:key=value" in refusal("moe:4")
    assert "has no option 'expert'; did you mean 'experts'?" in refusal("moe:expert=4")
    assert "experts: found many, expected a whole number" in refusal("moe:experts=many")
    assert "experts must be 1 to 64, got 1000000" in refusal("moe:experts=1000000")
    assert "width 10 is no multiple of 4 heads" in refusal("transformer:width=10")
    text = refusal("transformer", entries=(ENTRIES[0],))
    assert "needs later frames of the reference" in text and "here are: command" in text
    assert "mlp has no options" in refusal("mlp:width=4")
    with pytest.raises(UserError):  # code that nobody has named
        NetworkChoice.parse("some_module:Network").build(SHAPE)


@dataclass(frozen=True)
class Nothing:
    """No options."""


class Own(nn.Linear):
    Options = Nothing

    @classmethod
    def build(cls, shape: Shape, options: Nothing) -> Own:
        return cls(shape.inputs, shape.outputs)


def test_a_network_of_ones_own_is_found_by_its_name() -> None:
    consent([__name__])
    config = ActorCriticConfig(actor_network=f"{__name__}:Own", command_feedthrough=False)
    actor = build_actor(config, SIZES, 3, None, OBSERVATIONS)
    assert isinstance(actor.mlp, Own)


@pytest.mark.parametrize(
    ("network", "algorithm"),
    [("moe:experts=2,gate=4", "ppo"), ("transformer:width=8,heads=2,layers=1", "ppo")],
)
def test_networks_train_resume_export_and_play(
    network: str, algorithm: str, tmp_path: Path
) -> None:
    clip = tmp_path / "sway.npz"
    sway(robots.load(TINY), fps=30.0).save(clip)
    options = [
        "--robot", str(TINY), "--num-envs", "8", "--steps-per-iteration", "6", "--device", "cpu",
        "--actor-hidden", "8", "--critic-hidden", "8", "--out", str(tmp_path),
        "--actor-network", network, "--critic-network", network, "--algorithm", algorithm,
    ]  # fmt: skip
    arguments = ["tracking-student", "--motion", str(clip), *options, "--iterations", "1"]
    assert train(parse(arguments)) == 0
    (run,) = (tmp_path / "tracking-student").iterdir()
    assert train(parse(["--resume", str(run), "--iterations", "2"])) == 0
    player = PolicyPlayer(run / "policy.onnx")
    rollout = roll_out(player, player.reference(RobotMotion.load(clip)), robots.load(TINY))
    assert len(rollout.states) > 3
    policy, identity = load_policy(run)
    assert policy(torch.zeros(2, identity["actor_observations"])).shape == (2, 4)
