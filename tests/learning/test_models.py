"""Networks: the commanded pose comes through, averages and plain actors agree with the model."""

from __future__ import annotations

import torch
from tensordict import TensorDict

from mimic.learning.config import ActorCriticConfig
from mimic.learning.modules.actor_critic import FeedthroughActor, PlainActor, build_networks
from mimic.learning.modules.average import WeightAverage
from tests.learning.fake_env import JOINTS, FakeEnv


def actor_of(env: FakeEnv, config: ActorCriticConfig) -> FeedthroughActor:
    obs = env.get_observations()
    sizes = {name: obs[name].shape[1] for name in ("actor", "critic")}
    actor, _ = build_networks(config, sizes, JOINTS, env.spec.command_feedthrough())
    assert isinstance(actor, FeedthroughActor)
    return actor


def test_an_untrained_feedthrough_policy_asks_for_the_reference_pose() -> None:
    env = FakeEnv()
    obs = env.get_observations()
    actions = actor_of(env, ActorCriticConfig(output_gain=1e-6))(obs)
    targets = env.default_joint_pos + env.action_scale * actions
    torch.testing.assert_close(targets, obs["actor"][:, :JOINTS], rtol=0, atol=1e-4)


def test_small_output_gain_makes_the_network_small_at_the_start() -> None:
    obs = FakeEnv().get_observations()
    sizes = {"actor": 16, "critic": 20}
    actor, _ = build_networks(
        ActorCriticConfig(command_feedthrough=False, output_gain=0.01), sizes, 4
    )
    assert 0 < actor(obs).abs().max() < 0.1


def test_a_plain_actor_is_the_deterministic_model() -> None:
    env = FakeEnv()
    obs = env.get_observations()
    for feedthrough in (True, False):
        config = ActorCriticConfig(command_feedthrough=feedthrough, output_gain=0.0)
        sizes = {"actor": 16, "critic": 20}
        actor, _ = build_networks(config, sizes, JOINTS, env.spec.command_feedthrough())
        actor.train()
        actor.update_normalization(obs)
        torch.testing.assert_close(PlainActor(actor)(obs["actor"]), actor(obs))


def test_stochastic_actions_spread_around_the_fed_through_mean() -> None:
    env = FakeEnv(num_envs=4000)
    obs = env.get_observations()
    actor = actor_of(env, ActorCriticConfig(init_std=0.3))
    with torch.no_grad():
        samples = actor(obs, stochastic_output=True)
        torch.testing.assert_close(actor.output_mean, actor(obs))
        assert abs(float((samples - actor(obs)).std()) - 0.3) < 0.02


def test_weight_average_follows_the_weights_and_forgets_the_start() -> None:
    module = torch.nn.Linear(2, 1)
    average = WeightAverage(module, decay=0.9)
    for _ in range(100):
        with torch.no_grad():
            module.weight.fill_(3.0)
        average.update(module)
    torch.testing.assert_close(average.weights["weight"], module.weight.detach())
    other = WeightAverage(torch.nn.Linear(2, 1), decay=0.9)
    other.load_state_dict(average.state_dict())
    assert other.updates == 100 and torch.equal(other.weights["bias"], average.weights["bias"])


def test_log_and_scalar_standard_deviation_start_alike() -> None:
    obs = FakeEnv().get_observations()
    assert isinstance(obs, TensorDict)
    for kind in ("scalar", "log"):
        config = ActorCriticConfig(init_std=0.7, std_type=kind, command_feedthrough=False)
        actor, _ = build_networks(config, {"actor": 16, "critic": 20}, 4)
        actor(obs, stochastic_output=True)
        torch.testing.assert_close(actor.output_std, torch.full((16, 4), 0.7))
