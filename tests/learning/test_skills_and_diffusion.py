"""ASE's and SMP's mathematics, each against a form of its own."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn import functional

from mimic.envs.commands import SkillCommandConfig
from mimic.learning.algorithms.ase import ASE, columns_of, diversity_loss, skill_reward
from mimic.learning.algorithms.smp import prior_reward
from mimic.learning.modules.diffusion import MotionDiffusion, denoising_error, signal_share
from mimic.learning.runner import start_runner
from mimic_base.errors import MimicError
from tests.learning.fake_style import SKILLS, FakeSkillEnv
from tests.learning.test_priors import _Pace, configured


def command(num_envs: int, **numbers: Any) -> Any:
    generator = torch.Generator().manual_seed(4)

    def uniform(shape: tuple[int, ...], low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(shape, generator=generator)

    env: Any = SimpleNamespace(
        num_envs=num_envs, device="cpu", generator=generator, uniform=uniform, control_dt=0.02
    )
    return SkillCommandConfig(**numbers).build(env)


def test_skills_are_even_on_the_sphere() -> None:
    found = command(20_000, size=8)
    found.resample(torch.arange(20_000))
    z = found.z
    torch.testing.assert_close(z.norm(dim=-1), torch.ones(20_000))
    # Even on the sphere: no middle, and the same variance 1 / k along every direction.
    torch.testing.assert_close(z.mean(0), torch.zeros(8), atol=0.012, rtol=0)
    torch.testing.assert_close(z.T @ z / len(z), torch.eye(8) / 8, atol=0.006, rtol=0)
    # The fourth moment along an axis is 3 / (k (k + 2)).
    assert z[:, 0].pow(4).mean().item() == pytest.approx(3 / (8 * 10), rel=0.06)


def test_skills_stay_for_their_time_and_keep_what_was_seen() -> None:
    found = command(400, size=4, interval_s=(1.0, 2.0))
    found.resample(torch.arange(400))
    before = found.z
    for _ in range(49):
        found.advance()
    assert torch.equal(found.z, before)
    for _ in range(52):
        found.advance()
    assert (found.z != before).any(-1).all()
    found.hold(torch.full((400, 4), 2.0))
    for _ in range(200):
        found.advance()
    torch.testing.assert_close(found.z, torch.full((400, 4), 0.5))
    with pytest.raises(MimicError, match="a skill has a size of at least 2"):
        SkillCommandConfig(interval_s=(3.0, 1.0))


def test_the_encoders_reward_is_the_cosine() -> None:
    z = functional.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.6, 0.8]]), dim=-1)
    encoded = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.8, 0.6]])
    torch.testing.assert_close(skill_reward(z, encoded), torch.tensor([1.0, 0.0, 0.96]))


def test_diversity_of_a_batch_worked_out_by_hand() -> None:
    skills, others = torch.tensor([[1.0, 0.0]]), torch.tensor([[-1.0, 0.0]])
    # Opposite skills: 1/2 - z . z' / 2 = 1. Actions beyond 1 count as 1.
    mean, other = torch.tensor([[0.5, 3.0]]), torch.tensor([[0.0, 0.0]])
    apart = (0.25 + 1.0) / 2
    found = diversity_loss(mean, other, skills, others)
    assert found.item() == pytest.approx((1.0 - apart) ** 2, abs=1e-4)
    # A right angle asks for half as much.
    right = diversity_loss(mean, other, skills, torch.tensor([[0.0, 1.0]]))
    assert right.item() == pytest.approx((1.0 - apart / 0.5) ** 2, abs=1e-4)


def test_a_skill_that_ends_is_valued_as_if_it_went_on() -> None:
    env = FakeSkillEnv(seed=6)
    runner = start_runner(env, configured("ase"), seed=6)
    algorithm: Any = runner.algorithm
    assert isinstance(algorithm, ASE)
    obs = env.get_observations()
    at = columns_of(env.spec, "critic")
    storage = algorithm.trainer.storage
    ended = 0
    with torch.no_grad():
        for step in range(algorithm.steps):
            actions = algorithm.act(obs)
            transition, _ = runner._step(obs, actions)
            algorithm.observe(transition)
            changed = (transition.next_obs["skill"] != obs["skill"]).any(-1) & ~transition.dones
            ended += int(changed.sum())
            done = storage.dones[step].bool().squeeze(-1)
            assert torch.equal(done, transition.dones | changed)
            for i in changed.nonzero().squeeze(-1).tolist():
                seen = transition.next_obs["critic"][i : i + 1].clone()
                seen[:, at] = obs["skill"][i]
                value = algorithm.trainer.critic({"critic": seen}).item()
                windows = transition.following_obs("style")[i : i + 1]
                style = algorithm.reward_of(windows).item()
                told = algorithm.encoder(algorithm.discriminator.normalised(windows))
                bonus = max(0.0, float(told[0] @ obs["skill"][i]))
                expected = 0.02 * (0.5 * style + 0.5 * bonus) + 0.99 * value
                assert storage.rewards[step, i].item() == pytest.approx(expected, abs=1e-5)
            obs = transition.next_obs
    assert ended > 5


def test_training_makes_skills_that_can_be_told() -> None:
    env = FakeSkillEnv(seed=7)
    config = configured("ase", style_weight=0.0, skill_weight=1.0, encoder_learning_rate=1e-2,
                        discriminator_batches=6, diversity=0.1)  # fmt: skip
    runner = start_runner(env, config, seed=7)
    obs, told = env.get_observations(), []
    for _ in range(40):
        obs, stats = runner._iterate(obs, _Pace())  # type: ignore[arg-type]
        told.append(stats.figures["style/skill_told"])
    assert sum(told[-5:]) / 5 > sum(told[:5]) / 5 + 0.1
    assert obs["skill"].shape == (16, SKILLS)


# diffusion -------------------------------------------------------------------------------------


def test_the_schedule_loses_the_signal_step_by_step() -> None:
    share = signal_share(50)
    assert share.shape == (50,) and (share.diff() < 0).all()
    assert share[0] > 0.99 and share[-1] < 2e-3


def optimal_error(share: torch.Tensor, variance: float) -> torch.Tensor:
    """Of ``x ~ N(0, variance)``: the noise that is left after the best guess of it.

    ``eps_hat = sqrt(1 - a) x_k / (a v + 1 - a)`` leaves
    ``E (eps - eps_hat)^2 = a v / (a v + 1 - a)``
    """
    return share * variance / (share * variance + 1.0 - share)


def test_the_error_of_the_best_guess_of_a_gaussian_is_the_known_one() -> None:
    torch.manual_seed(0)
    share, variance = signal_share(50), 0.49
    x = math.sqrt(variance) * torch.randn(60_000, 3)

    def best(noisy: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        a = share[step][:, None]
        return (1.0 - a).sqrt() * noisy / (a * variance + 1.0 - a)

    for k in (8, 15, 22):
        step = torch.full((len(x),), k - 1)
        found = denoising_error(best, x, step, share).mean()
        assert found.item() == pytest.approx(optimal_error(share[k - 1], variance).item(), rel=0.02)


def test_a_model_that_has_learnt_a_gaussian_errs_as_little_as_can_be() -> None:
    torch.manual_seed(1)
    direction = torch.tensor([[0.8, 0.6]])

    def drawn(count: int) -> torch.Tensor:
        # A line through the plane with little around it, normalised to unit variances.
        return torch.randn(count, 1) * direction + 0.1 * torch.randn(count, 2)

    model = MotionDiffusion(2, (64, 64), 50)
    model.learn_scale(drawn(20_000))
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(1200):
        optimizer.zero_grad()
        model.loss(drawn(256)).backward()
        optimizer.step()
    x = drawn(20_000)
    # The best guess of a Gaussian with covariance C in normalised coordinates: per eigenvalue.
    values = torch.linalg.eigvalsh(torch.cov(model.normalizer(x).T))
    with torch.no_grad():
        errors = model.errors(x, (22, 15, 8)).mean(0)
        for error, k in zip(errors, (22, 15, 8), strict=True):
            share = model.share[k - 1]
            best = torch.stack([optimal_error(share, float(v)) for v in values]).mean()
            assert error.item() == pytest.approx(best.item(), rel=0.12)
        # What does not lie on the line is less likely.
        off = torch.randn(4000, 2)
        assert (model.errors(off, (22, 15, 8)).mean(0) > 1.5 * errors).all()


def test_the_reward_divides_each_error_by_its_usual_one() -> None:
    errors = torch.tensor([[0.2, 0.4], [0.0, 0.0]])
    found = prior_reward(errors, torch.tensor([0.4, 0.4]), 6.0)
    torch.testing.assert_close(found, torch.tensor([math.exp(-6 * 0.75), 1.0]))
