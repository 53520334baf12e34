"""The mathematics of the methods, against forms of their own."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from tensordict import TensorDict

from mimic.learning.algorithm import Transition
from mimic.learning.algorithms.awr import AWR, action_weights
from mimic.learning.algorithms.fast_sac import FastSAC, bounded, squashed_log_prob
from mimic.learning.algorithms.fast_td3 import FastTD3
from mimic.learning.distributed import SINGLE
from mimic.learning.lcp_config import PRESETS, LCPConfig
from mimic.learning.modules.distributional import CriticPair, of_both, projected
from mimic.learning.modules.squashed_actor import SquashedActor
from mimic.learning.off_policy_config import (
    AWRConfig,
    FastSACConfig,
    FastTD3Config,
    OffPolicyNetworks,
)
from mimic.learning.parallel_ppo.rollout import Rollout
from mimic.learning.returns import replay_returns
from mimic.learning.runner import Runner, start_runner
from mimic.learning.storage.experience import Experience
from mimic_base.errors import MimicError
from tests.learning.fake_env import FakeEnv, ppo_of
from tests.learning.methods import NETWORKS, config_of


def filled(steps: int, capacity: int, seed: int = 0, num_envs: int = 3) -> tuple[Experience, Any]:
    """A memory that has seen ``steps`` steps, and all of them: row k holds observation k."""
    g = torch.Generator().manual_seed(seed)
    memory = Experience(capacity, num_envs, {"actor": 1, "critic": 2}, 2, "cpu")
    ends = torch.rand(steps, num_envs, generator=g)
    all_ = {
        "rewards": torch.rand(steps, num_envs, generator=g),
        "terminated": ends < 0.15,
        "truncated": ends > 0.85,
    }
    for k in range(steps):
        obs = TensorDict(
            {"actor": torch.full((num_envs, 1), float(k)), "critic": torch.rand(num_envs, 2)},
            batch_size=[num_envs],
        )
        row: Any = {name: values[k] for name, values in all_.items()}
        memory.add(
            Transition(
                obs=obs, next_obs=obs, actions=torch.full((num_envs, 2), float(k)),
                disturbed=row["terminated"], final_ids=torch.zeros(0), final_obs=obs[:0], **row,
            )
        )  # fmt: skip
    return memory, all_


def n_steps_by_hand(all_: Any, start: int, env: int, n: int, gamma: float) -> tuple[float, ...]:
    """Return, discount and row of the bootstrap of a transition, step by step."""
    newest = len(all_["rewards"]) - 1
    total, k = 0.0, start
    while True:
        total += gamma ** (k - start) * float(all_["rewards"][k, env])
        if all_["terminated"][k, env]:
            return total, 0.0, -1.0
        k += 1
        if k - start == n or k == newest or all_["truncated"][k, env]:
            return total, gamma ** (k - start), float(k)


@pytest.mark.parametrize("n", [1, 3, 8])
def test_transitions_of_n_steps_end_where_episodes_and_memory_end(n: int) -> None:
    memory, all_ = filled(steps=40, capacity=25)
    torch.manual_seed(1)
    drawn = memory.draw(500, n, 0.9)
    # Rewards tell rows apart: which row and environment a draw is.
    first = drawn.obs["actor"][:, 0].long()
    assert first.min() >= 15 and first.max() <= 38
    torch.testing.assert_close(drawn.actions[:, 0], first.float())
    seen_truncated = 0
    for i in range(500):
        start = int(first[i])
        found = []
        for env in range(3):
            if bool(all_["truncated"][start, env]):
                continue
            found.append(n_steps_by_hand(all_, start, env, n, 0.9))
        if drawn.weight[i] == 0:
            seen_truncated += 1
            continue
        matches = [
            f for f in found
            if abs(f[0] - float(drawn.rewards[i])) < 1e-5
            and abs(f[1] - float(drawn.discount[i])) < 1e-5
            and f[2] in (-1.0, float(drawn.next_obs["actor"][i, 0]))
        ]  # fmt: skip
        assert matches, (i, start, found, drawn.rewards[i], drawn.discount[i])
    assert 20 < seen_truncated < 150


def test_a_memory_is_written_and_read_in_the_order_of_time() -> None:
    memory, all_ = filled(steps=40, capacity=25)
    state = memory.state_dict()
    torch.testing.assert_close(state["rewards"], all_["rewards"][15:])
    assert state["obs"]["actor"][:, 0, 0].tolist() == list(range(15, 40))
    expected = ~all_["truncated"][15:]
    expected[-1] = False
    assert torch.equal(memory.complete(), expected)
    other = Experience(25, 3, {"actor": 1, "critic": 2}, 2, "cpu")
    other.load_state_dict(state)
    torch.testing.assert_close(other.rewards, memory.rewards)
    assert other.steps == 40 and other.filled == 25
    of_others = Experience(25, 4, {"actor": 1, "critic": 2}, 2, "cpu")
    of_others.load_state_dict(state)
    assert of_others.steps == 0


def returns_by_hand(all_: Any, values: torch.Tensor, env: int, t: int, g: float, lam: float) -> Any:
    """TD(lambda) as the mixture of n-step returns that it is."""
    newest = len(values) - 1
    if t == newest or all_["truncated"][t, env]:
        return values[t, env]
    mixture, weight, total, k = 0.0, 1.0, 0.0, t
    while True:
        total = total + g ** (k - t) * all_["rewards"][k, env]
        if all_["terminated"][k, env]:
            return mixture + weight * total
        k += 1
        n_step = total + g ** (k - t) * values[k, env]
        if k == newest or all_["truncated"][k, env]:
            return mixture + weight * n_step
        mixture, weight = mixture + weight * (1 - lam) * n_step, weight * lam


def test_replay_returns_are_mixtures_of_n_step_returns() -> None:
    _, all_ = filled(steps=30, capacity=30, seed=4)
    values = torch.rand(30, 3, generator=torch.Generator().manual_seed(2))
    found = replay_returns(**all_, values=values, gamma=0.95, lam=0.8)
    assert all_["terminated"].any() and all_["truncated"].any()
    for t in range(30):
        for env in range(3):
            expected = returns_by_hand(all_, values, env, t, 0.95, 0.8)
            assert float(found[t, env]) == pytest.approx(float(expected), abs=1e-5), (t, env)


def test_the_weights_of_actions_are_clipped_exponentials() -> None:
    found = action_weights(torch.tensor([-2.0, 0.0, 1.0, 5.0, 500.0]), 0.5, 20.0)
    expected = [math.exp(-4.0), 1.0, math.exp(2.0), 20.0, 20.0]
    torch.testing.assert_close(found, torch.tensor(expected))


def test_awr_moves_its_mean_to_the_weighted_mean_of_actions() -> None:
    """Of one state, the minimum of the actor's loss is the weighted mean of the actions."""
    env = FakeEnv(num_envs=4)
    config = AWRConfig(
        networks=NETWORKS, batch=256, critic_steps=1, actor_steps=400, learning_rate=3e-3,
        max_grad_norm=100.0, steps=9,
    )  # fmt: skip
    awr = AWR.build(env.spec, config, "cpu", SINGLE)
    torch.manual_seed(0)
    obs = env.get_observations()
    obs = TensorDict(
        {name: obs[name][:1].expand(4, -1) for name in ("actor", "critic")}, batch_size=[4]
    )
    no = torch.zeros(4, dtype=torch.bool)
    for _ in range(9):
        with torch.no_grad():
            actions = awr.act(obs)
        awr.observe(
            Transition(
                obs=obs, actions=actions, rewards=actions[:, 0], terminated=no, truncated=no,
                next_obs=obs, disturbed=no, final_ids=torch.zeros(0), final_obs=obs[:0],
            )
        )  # fmt: skip
    memory = awr.memory
    awr._normalise = lambda seen: None  # type: ignore[method-assign]
    before = awr.actor(obs).detach()[0]
    with torch.random.fork_rng():
        torch.manual_seed(3)
        awr.update()
    rows = memory.complete()
    inputs = memory.obs["critic"][memory.order].flatten(0, 1)
    returns, values = awr._returns(inputs)
    advantage = (returns - values)[rows.flatten()].double()
    normal = (advantage - advantage.mean()) / (advantage.std(correction=0) + 1e-5)
    weights = torch.exp(normal).clamp_max(20.0)[:, None]
    actions = memory.actions[memory.order].flatten(0, 1)[rows.flatten()].double()
    expected = (weights * actions).sum(0) / weights.sum()
    found = awr.actor(obs).detach()[0].double()
    assert (found - expected).abs().max() < 0.05 < (before - expected).abs().max()


OFF_POLICY: dict[str, Any] = {
    "batch": 256, "updates": 8, "steps": 4, "learning_rate": 3e-3, "gamma": 0.9,
    "critic_learning_rate": 3e-3, "remembered": 100, "n_steps": 1,
}  # fmt: skip
LEARNING: dict[str, dict[str, Any]] = {
    "awr": {
        "batch": 256, "critic_steps": 8, "actor_steps": 16, "learning_rate": 2e-3, "gamma": 0.9,
        "temperature": 0.3, "steps": 12,
    },
    "fast-td3": OFF_POLICY,
    "fast-sac": OFF_POLICY,
}  # fmt: skip
"""Numbers by which a method learns the fake environment in CPU seconds."""


def worth(runner: Runner) -> float:
    """The mean reward of the deterministic policy over 40 control steps."""
    env, policy, total = FakeEnv(num_envs=64, seed=7), runner.policy(), 0.0
    obs = env.get_observations()
    for _ in range(40):
        with torch.no_grad():
            obs, rewards, _, _ = env.step(policy(obs["actor"]))
        total += float(rewards.mean())
    return total / 40 / env.control_dt


@pytest.mark.parametrize("algorithm", list(LEARNING))
def test_a_method_learns_what_can_be_learnt(algorithm: str) -> None:
    """Without physics and without the commanded pose in its output: the reward rises."""
    config = config_of(algorithm, num_envs=64, iterations=120)
    networks = replace(
        config.algorithm.networks, command_feedthrough=False, actor_hidden=(64,),
        critic_hidden=(64,),
    )  # fmt: skip
    if algorithm in ("fast-td3", "fast-sac"):
        networks = replace(networks, values=(-0.1, 0.3), atoms=21)
    numbers = replace(config.algorithm, networks=networks, **LEARNING[algorithm])
    runner = start_runner(FakeEnv(num_envs=64), replace(config, algorithm=numbers), seed=2)
    before = worth(runner)
    runner.learn()
    assert worth(runner) > before + 0.03, (before, worth(runner))


# off-policy critics -------------------------------------------------------------------------------


def test_the_projection_by_hand() -> None:
    """Atoms 0, 1, 2: a mass at 0.25 is split 3 : 1, beyond the ends it stays at them."""
    atoms = torch.tensor([0.0, 1.0, 2.0])
    sure = torch.tensor([[0.0, 1.0, 0.0]])

    def of(reward: float, discount: float) -> list[float]:
        return projected(sure, torch.tensor([reward]), torch.tensor([discount]), atoms)[0].tolist()

    assert of(-0.25, 0.5) == [0.75, 0.25, 0.0]
    assert of(1.0, 0.0) == [0.0, 1.0, 0.0]  # nothing follows: the reward alone
    assert of(7.0, 1.0) == [0.0, 0.0, 1.0] and of(-7.0, 1.0) == [1.0, 0.0, 0.0]
    half = torch.tensor([0.5])
    found = projected(torch.tensor([[0.5, 0.0, 0.5]]), half, half, atoms)
    torch.testing.assert_close(found, torch.tensor([[0.25, 0.5, 0.25]]))


def test_the_projection_is_that_of_triangular_kernels_and_keeps_mass_and_mean() -> None:
    g = torch.Generator().manual_seed(0)
    atoms = torch.linspace(-2.0, 5.0, 31)
    probabilities = torch.softmax(3 * torch.randn(50, 31, generator=g), -1)
    rewards = torch.rand(50, generator=g) - 0.5
    discount = 0.9 * torch.rand(50, generator=g)
    found = projected(probabilities, rewards, discount, atoms)
    moved = (rewards[:, None] + discount[:, None] * atoms).clamp(-2.0, 5.0)
    step = float(atoms[1] - atoms[0])
    near = (1.0 - (moved[:, :, None] - atoms).abs() / step).clamp_min(0.0)
    torch.testing.assert_close(found, (probabilities[:, :, None] * near).sum(1))
    torch.testing.assert_close(found.sum(-1), torch.ones(50))
    torch.testing.assert_close((found * atoms).sum(-1), (probabilities * moved).sum(-1))


def test_the_pessimist_of_two_critics_is_believed_or_their_mixture() -> None:
    atoms = torch.tensor([0.0, 1.0])
    both = torch.tensor([[[0.9, 0.1], [0.2, 0.8]], [[0.5, 0.5], [0.4, 0.6]]])
    torch.testing.assert_close(of_both(both, atoms, True), torch.tensor([[0.9, 0.1], [0.4, 0.6]]))
    torch.testing.assert_close(of_both(both, atoms, False), torch.tensor([[0.7, 0.3], [0.3, 0.7]]))
    critics = CriticPair(3, (8,), "swish", True, (0.0, 1.0), 2)
    logits = critics(torch.zeros(4, 2), torch.zeros(4, 1))
    assert logits.shape == (2, 4, 2)
    torch.testing.assert_close(critics.values(logits), torch.softmax(logits, -1)[..., 1])
    untrained = CriticPair(3, (8,), "swish", True, (-2.0, 5.0), 101)
    expected = untrained.values(untrained(torch.randn(64, 2), torch.randn(64, 1)))
    assert expected.abs().max() < 0.15  # nothing, not the 1.5 of the range's middle


def test_the_density_of_a_squashed_gaussian_is_torchs() -> None:
    g = torch.Generator().manual_seed(0)
    mean, noise = torch.randn(2, 20, 3, generator=g)
    log_std = -torch.rand(20, 3, generator=g)
    u = mean + log_std.exp() * noise
    base = torch.distributions.Normal(mean.double(), log_std.exp().double())
    squashed = torch.distributions.TransformedDistribution(
        base, [torch.distributions.TanhTransform(cache_size=1)]
    )
    expected = squashed.log_prob(torch.tanh(u.double())).sum(-1)
    torch.testing.assert_close(squashed_log_prob(u, noise, log_std), expected.float())
    far = squashed_log_prob(torch.tensor([[40.0]]), torch.zeros(1, 1), torch.zeros(1, 1))
    assert float(far) == pytest.approx(80.0 - 2 * math.log(2.0) - 0.9189385, abs=1e-3)
    assert bounded(torch.tensor([-99.0, 0.0, 99.0]), -5.0, 1.0).tolist() == [-5.0, -2.0, 1.0]


def test_an_untrained_actor_asks_for_the_commanded_pose_and_goes_no_further_than_its_reach() -> (
    None
):
    env = FakeEnv()
    offset, gain = env.spec.command_feedthrough()
    actor = SquashedActor(
        env.spec.sizes["actor"], (16,), 4, "swish", layer_norm=True, normalise=True, reach=1.5,
        spread=True, feedthrough=(offset, gain),
    )  # fmt: skip
    obs = env.get_observations()["actor"]
    asked = (obs[:, :4] - env.default_joint_pos) / env.action_scale
    with torch.no_grad():
        assert (actor(obs) - asked).abs().max() < 0.2
        actor.mlp[-1].weight.mul_(1e6)  # type: ignore[union-attr,operator]
        moved = actor(obs) - asked
    assert 1.49 < moved.abs().max() <= 1.5 + 1e-5
    assert torch.equal(actor.skip(obs)[0], actor.plain().skip(obs)[0])


def of_one_reward(kind: Any, config: Any) -> Any:
    """Learn a world of one state where an action pays what it is, and every step is the last."""
    env = FakeEnv(num_envs=8)
    algorithm = kind.build(env.spec, config, "cpu", SINGLE)
    obs = env.get_observations()
    obs = TensorDict({name: obs[name][:1].expand(8, -1) for name in ("actor", "critic")},
                     batch_size=[8])  # fmt: skip
    no, yes = torch.zeros(8, dtype=torch.bool), torch.ones(8, dtype=torch.bool)
    for _ in range(80):
        for _ in range(config.steps):
            with torch.no_grad():
                actions = algorithm.act(obs)
            algorithm.observe(
                Transition(
                    obs=obs, actions=actions, rewards=actions[:, 0].clamp(-0.4, 0.4),
                    terminated=yes, truncated=no, next_obs=obs, disturbed=no,
                    final_ids=torch.zeros(0), final_obs=obs[:0],
                )
            )  # fmt: skip
        figures = algorithm.update()
    return algorithm, obs, figures


@pytest.mark.parametrize("kind", [FastTD3, FastSAC])
def test_critics_learn_what_actions_pay_and_actors_do_what_pays(kind: Any) -> None:
    networks = OffPolicyNetworks(
        actor_hidden=(16,), critic_hidden=(32,), values=(-1.0, 1.0), atoms=21,
        command_feedthrough=False, reach=0.5,
    )  # fmt: skip
    config = kind.Config(
        networks=networks, steps=4, updates=8, batch=128, remembered=400, learning_rate=3e-3,
        critic_learning_rate=3e-3, weight_decay=0.0,
    )  # fmt: skip
    torch.manual_seed(0)
    algorithm, obs, figures = of_one_reward(kind, config)
    with torch.no_grad():
        action = algorithm.policy()(obs["actor"])[0]
        state = algorithm.critic_normaliser(obs["critic"])
        both = algorithm.critics.values(algorithm.critics(state, algorithm.policy()(obs["actor"])))
    assert action[0] > 0.2
    # Nothing follows, so that what is expected is the reward itself.
    assert float(both.mean()) == pytest.approx(min(0.4, float(action[0])), abs=0.1)
    assert math.isfinite(figures["loss/critic"]) and figures["replay/steps"] == 320


def test_off_policy_numbers_that_make_no_sense_are_refused() -> None:
    for kind in (FastTD3Config, FastSACConfig):
        for name, value in (
            ("batch", 0), ("exploration", (0.5, 0.1)), ("remembered", 4), ("tau", 1.5),
            ("weight_decay", -1.0),
        ):  # fmt: skip
            wrong: dict[str, Any] = {name: value}
            with pytest.raises(MimicError, match=name):
                kind(**wrong)

    with pytest.raises(MimicError, match="two values, the smaller first"):
        OffPolicyNetworks(values=(1.0, -1.0))
    with pytest.raises(MimicError, match="log_std"):
        FastSACConfig(log_std=(0.0, -1.0))


# LCP ---------------------------------------------------------------------------------------------


def test_the_lipschitz_penalty_is_that_of_finite_differences() -> None:
    runner = start_runner(FakeEnv(), config_of("lcp"), seed=1)
    ppo = ppo_of(runner).trainer
    generator = torch.Generator().manual_seed(3)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    ppo.actor.mlp.double()
    ppo.critic.mlp.double()
    sizes = [next(net.parameters()).shape[1] for net in (ppo.actor.mlp, ppo.critic.mlp)]
    seen, actions = draw(5, sizes[0]).double(), draw(5, 4).double()
    rollout = Rollout(
        actor_input=seen, skip=None, critic_input=draw(5, sizes[1]).double(), actions=actions,
        old_mean=draw(5, 4), old_std=torch.ones(4), scalars=draw(5, 4),
    )  # fmt: skip
    (networks,) = ppo._networks_of_workers()
    figures = ppo._backward(networks, rollout, 0, 5, 5)
    std = ppo._std(networks.std).double()

    def log_prob(inputs: torch.Tensor) -> torch.Tensor:
        return torch.distributions.Normal(networks.actor(inputs), std).log_prob(actions).sum(-1)

    squared = torch.zeros(5, dtype=torch.double)
    for column in range(sizes[0]):
        step = torch.zeros(sizes[0], dtype=torch.double)
        step[column] = 1e-5
        with torch.no_grad():
            squared += ((log_prob(seen + step) - log_prob(seen - step)) / 2e-5).square()
    assert float(figures[4]) == pytest.approx(float(squared.mean()), rel=1e-4)
    assert squared.mean() > 1e-3


def test_lcp_has_no_reward_for_smoothness_and_ppos_numbers() -> None:
    from dataclasses import replace

    from mimic.commands.training.defaults import preset_arguments
    from mimic.commands.training.task import resolved_task

    arguments = replace(preset_arguments("cpu", "lcp"), task="tracking")
    assert isinstance(arguments.algorithm_config, LCPConfig)
    assert arguments.algorithm_config.lipschitz == 0.002
    assert (
        arguments.algorithm_config.desired_kl
        == preset_arguments("cpu", "ppo").algorithm_config.desired_kl
    )
    rewards = resolved_task(arguments).rewards
    assert rewards["action_rate"].weight == 0.0 and rewards["joint_limit"].weight == -10.0
    ppo = replace(preset_arguments("cpu", "ppo"), task="tracking")
    assert resolved_task(ppo).rewards["action_rate"].weight == -0.1
    assert set(PRESETS) == {"cpu", "gpu"}


def test_numbers_of_awr_that_make_no_sense_are_refused() -> None:
    for name, value in (("temperature", 0.0), ("batch", 0), ("td_lambda", 1.5)):
        wrong: dict[str, Any] = {name: value}
        with pytest.raises(MimicError, match=name):
            AWRConfig(**wrong)
