"""The shared gradient step computes what rsl_rl's PPO computes."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pytest
import torch
from packaging.version import Version
from rsl_rl.algorithms import PPO
from rsl_rl.storage import RolloutStorage
from tensordict import TensorDict

from mimic.learning.algorithm import NonFiniteError
from mimic.learning.algorithms.ppo import ParallelPPO
from mimic.learning.config import ActorCriticConfig
from mimic.learning.modules.actor_critic import build_networks
from mimic.learning.parallel_ppo import trainer as ppo_module

ENVS, STEPS, ACTIONS = 32, 6, 3
SIZES = {"actor": 8, "critic": 11}
# rsl_rl 5.4 updates its normalisers during the rollout, which ours and 5.5 do after it.
NORMALISE = Version(version("rsl-rl-lib")) >= Version("5.5")


def observations(generator: torch.Generator) -> TensorDict:
    return TensorDict(
        {k: 1 + 2 * torch.randn(ENVS, size, generator=generator) for k, size in SIZES.items()},
        batch_size=[ENVS],
    )


def make(kind: type[PPO], **options: Any) -> PPO:
    torch.manual_seed(1)
    config = ActorCriticConfig(
        actor_hidden=(16, 16), critic_hidden=(16,), output_gain=0.0, command_feedthrough=False,
        obs_normalization=NORMALISE,
    )  # fmt: skip
    actor, critic = build_networks(config, SIZES, ACTIONS)
    obs = observations(torch.Generator().manual_seed(0))
    storage = RolloutStorage("rl", ENVS, STEPS, obs, [ACTIONS])
    algorithm = kind(
        actor, critic, storage, num_learning_epochs=2, num_mini_batches=2, learning_rate=1e-3,
        desired_kl=0.01, entropy_coef=0.01, **options,
    )  # fmt: skip
    algorithm.train_mode()
    actor.update_normalization(obs)
    critic.update_normalization(obs)
    return algorithm


def roll_out(algorithm: PPO) -> None:
    generator = torch.Generator().manual_seed(2)
    torch.manual_seed(3)
    obs = observations(generator)
    with torch.no_grad():
        for _ in range(STEPS):
            algorithm.act(obs)
            obs = observations(generator)
            rewards = torch.rand(ENVS, generator=generator)
            dones = torch.rand(ENVS, generator=generator) < 0.2
            time_outs = dones & (torch.rand(ENVS, generator=generator) < 0.5)
            algorithm.process_env_step(obs, rewards, dones, {"time_outs": time_outs})
        algorithm.compute_returns(obs)


@pytest.mark.parametrize("workers", [1, 3])
def test_same_losses_gradients_and_weights_as_rsl_rl(
    workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ppo_module, "MIN_ROWS", 1)
    ours = make(ParallelPPO, workers=workers)
    assert isinstance(ours, ParallelPPO) and ours.workers == workers
    theirs = make(PPO)
    for algorithm in (ours, theirs):
        roll_out(algorithm)
    assert torch.equal(ours.storage.rewards, theirs.storage.rewards)
    torch.manual_seed(4)
    mine = ours.update()
    torch.manual_seed(4)
    reference = theirs.update()
    for name, value in reference.items():
        assert mine[name] == pytest.approx(value, rel=1e-4, abs=1e-5)
    assert ours.learning_rate == theirs.learning_rate
    pairs = list(zip(ours.actor.parameters(), theirs.actor.parameters(), strict=True))
    pairs += zip(ours.critic.parameters(), theirs.critic.parameters(), strict=True)
    for a, b in pairs:
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(a, b, rtol=0, atol=1e-4)
    for a, b in zip(ours.actor.buffers(), theirs.actor.buffers(), strict=True):
        torch.testing.assert_close(a, b)


def test_weights_stay_shared_after_loading_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ppo_module, "MIN_ROWS", 1)
    ours, fresh = make(ParallelPPO, workers=2), make(ParallelPPO, workers=1)
    roll_out(ours)
    ours.update()
    for algorithm in (ours, fresh):
        algorithm.actor.load_state_dict(make(PPO).actor.state_dict())
        algorithm.critic.load_state_dict(make(PPO).critic.state_dict())
        roll_out(algorithm)
    ours.optimizer.load_state_dict(fresh.optimizer.state_dict())
    ours.learning_rate = fresh.learning_rate
    torch.manual_seed(0)
    a = ours.update()
    torch.manual_seed(0)
    b = fresh.update()
    assert a["value"] == pytest.approx(b["value"], rel=1e-3)


def test_a_loss_that_is_not_finite_changes_no_weight() -> None:
    algorithm = make(ParallelPPO)
    roll_out(algorithm)
    algorithm.storage.advantages[0, 0] = torch.inf
    before = [p.clone() for p in algorithm.actor.parameters()]
    with pytest.raises(NonFiniteError, match="loss is not finite"):
        algorithm.num_mini_batches = 1
        algorithm.update()
    for a, b in zip(before, algorithm.actor.parameters(), strict=True):
        assert torch.equal(a, b)


def test_learning_rate_stays_in_its_range() -> None:
    algorithm = make(ParallelPPO, learning_rate_range=(9e-4, 1.1e-3))
    roll_out(algorithm)
    algorithm.update()
    assert 9e-4 <= algorithm.learning_rate <= 1.1e-3
    assert algorithm.optimizer.param_groups[0]["lr"] == algorithm.learning_rate


def flip(values: torch.Tensor) -> torch.Tensor:
    """A reflection of any width: half of the entries change places and sign."""
    return -values.flip(-1)


def test_a_rollout_and_its_mirror_image_teach_the_same() -> None:
    reflect = {name: flip for name in ("actor", "critic", "actions")}
    plain, image, alone = (
        make(ParallelPPO, reflections=each, workers=1) for each in (reflect, reflect, None)
    )
    for algorithm in (plain, image, alone):
        algorithm.actor.obs_normalizer = torch.nn.Identity()
        algorithm.critic.obs_normalizer = torch.nn.Identity()
        algorithm.actor.update_normalization = lambda obs: None  # type: ignore[method-assign]
        algorithm.critic.update_normalization = lambda obs: None  # type: ignore[method-assign]
        roll_out(algorithm)
    stored = image.storage
    for name in SIZES:
        stored.observations[name] = flip(stored.observations[name])
    stored.actions = flip(stored.actions)
    assert stored.distribution_params is not None
    means, stds = stored.distribution_params
    stored.distribution_params = (flip(means), stds)
    for algorithm in (plain, image, alone):
        torch.manual_seed(4)
        algorithm.update()
    (same, *_), (other, *_) = plain.actor.parameters(), alone.actor.parameters()
    for ours, theirs in (
        *zip(plain.actor.parameters(), image.actor.parameters(), strict=True),
        *zip(plain.critic.parameters(), image.critic.parameters(), strict=True),
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(same, other, atol=1e-4)


def test_the_lipschitz_penalty_is_the_squared_slope_of_the_log_probability() -> None:
    """Also through activations that are computed in place, and followed to the weights."""
    ours = make(ParallelPPO, workers=1, lipschitz=0.5)
    roll_out(ours)
    assert isinstance(ours, ParallelPPO)
    with torch.no_grad():
        rollout = ours._shuffled_rollout()
    (networks,) = ours._networks_of_workers()
    rows = len(rollout.actions)
    figures = ours._backward(networks, rollout, 0, rows, rows)
    found = [p.grad.clone() for p in networks.actor.parameters() if p.grad is not None]

    for parameter in networks.parameters:
        parameter.grad = None
    ours.lipschitz = 0.0
    ours._backward(networks, rollout, 0, rows, rows)
    plain = [p.grad.clone() for p in networks.actor.parameters() if p.grad is not None]

    seen = rollout.actor_input.clone().requires_grad_(True)
    hidden = seen
    layers: Any = networks.actor
    for layer in layers:
        apart = isinstance(layer, torch.nn.ELU)
        hidden = torch.nn.functional.elu(hidden) if apart else layer(hidden)
    std = ours._std(networks.std)
    log_prob = torch.distributions.Normal(hidden, std).log_prob(rollout.actions).sum()
    (slope,) = torch.autograd.grad(log_prob, seen, create_graph=True)
    penalty = slope.square().sum(-1).mean()
    assert float(figures[-1]) == pytest.approx(float(penalty.detach()), rel=1e-4)
    expected = torch.autograd.grad(0.5 * penalty, list(networks.actor.parameters()))
    for with_it, without, alone in zip(found, plain, expected, strict=True):
        torch.testing.assert_close(with_it - without, alone, rtol=1e-3, atol=1e-5)


def test_a_penalised_policy_changes_less_with_what_it_sees() -> None:
    steep = {}
    for weight in (0.0, 1.0):
        algorithm = make(ParallelPPO, workers=1, lipschitz=weight or 1e-9)
        for _ in range(8):
            roll_out(algorithm)
            steep[weight] = algorithm.update()["lipschitz"]
    assert steep[1.0] < 0.5 * steep[0.0]


def test_a_loss_on_asymmetry_makes_a_policy_do_the_same_left_and_right() -> None:
    mirror = {name: flip for name in ("actor", "critic", "actions")}
    uneven = {}
    for weight in (1e-9, 10.0):
        algorithm = make(ParallelPPO, workers=1, mirror=mirror, mirror_coef=weight)
        for _ in range(8):
            roll_out(algorithm)
            figures = algorithm.update()
        uneven[weight] = figures["asymmetry"]
        seen = observations(torch.Generator().manual_seed(5))
        image = TensorDict({k: flip(seen[k]) for k in mirror if k in seen}, batch_size=[ENVS])
        algorithm.eval_mode()
        with torch.no_grad():
            apart = (algorithm.actor(image) - flip(algorithm.actor(seen))).square().mean()
        assert float(apart) < 3.0 * figures["asymmetry"] + 1e-6
    assert uneven[10.0] < 0.5 * uneven[1e-9]
