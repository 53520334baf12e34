"""Where episodes start: the published rule to the letter, and the default's promises."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mimic.envs.motion_library import MotionLibrary
from mimic.envs.sampling import SamplingConfig, SamplingMode, StartSampler
from mimic_base.errors import MimicError

FPS = 50.0


def library(*lengths: int) -> MotionLibrary:
    length = torch.tensor(lengths)
    frames = int(length.sum())
    count = len(lengths)
    return MotionLibrary(
        names=tuple(f"clip{i}" for i in range(count)),
        hashes=("",) * count,
        source_fps=(FPS,) * count,
        fps=FPS,
        start=torch.cumsum(length, 0) - length,
        length=length,
        joint_pos=torch.zeros(frames, 1),
        joint_vel=torch.zeros(frames, 1),
        body_pos_w=torch.zeros(frames, 1, 3),
        body_quat_w=torch.zeros(frames, 1, 4),
        body_lin_vel_w=torch.zeros(frames, 1, 3),
        body_ang_vel_w=torch.zeros(frames, 1, 3),
    )


def sampler(*lengths: int, seed: int = 0, **config: object) -> StartSampler:
    return StartSampler(
        SamplingConfig(**config),  # type: ignore[arg-type]
        library(*lengths),
        torch.Generator().manual_seed(seed),
    )


def test_bins_are_about_a_second() -> None:
    ours = sampler(500, 30, 275)
    assert ours.bins_of_clip.tolist() == [11, 1, 6]  # floor(seconds) + 1
    assert ours.num_bins == 18
    rows = ours.bin_of_row
    assert rows[0] == 0 and rows[499] == 10 and rows[500] == 11 and rows[529] == 11
    assert rows[530] == 12 and rows[-1] == 17
    assert (rows.diff() >= 0).all() and (rows.diff() <= 1).all()
    assert ours.frames_of_bin.sum() == 805


def test_faithful_rule_against_numpy() -> None:
    frames, envs, alpha, rho = 700, 50, 1e-3, 0.1
    ours = sampler(frames, mode="beyondmimic")
    bins = math.floor(frames / FPS) + 1
    failures = np.zeros(bins)
    rng = np.random.default_rng(0)
    for _ in range(300):
        rows = rng.integers(0, frames, envs)
        failed = rng.random(envs) < rows / frames * 0.2
        ours.record(torch.tensor(rows), torch.tensor(failed))
        count = np.bincount(rows[failed] * bins // frames, minlength=bins)
        failures = alpha * count + (1 - alpha) * failures
    weight = failures + rho / bins  # K = 1: the smoothing kernel is one bin wide
    np.testing.assert_allclose(ours.probabilities(), weight / weight.sum(), rtol=1e-4)


def test_faithful_floor_is_absolute() -> None:
    ours = sampler(500, mode="beyondmimic")
    ours.failures[3] = 1.0
    expected = (1.0 + 0.1 / 11) / (1.0 + 0.1)
    assert float(ours.probabilities()[3]) == pytest.approx(expected, rel=1e-5)


def test_drawn_frames_spread_over_their_bin() -> None:
    ours = sampler(500, mode="beyondmimic")
    ours.failures[4] = 1e6
    clip, frame = ours.draw(4000)
    assert not clip.any()
    low, high = 4 / 11 * 499, 5 / 11 * 499
    inside = (frame >= int(low)) & (frame <= int(high))
    assert inside.float().mean() > 0.999
    assert len(frame.unique()) >= 45


def chain(mode: SamplingMode, envs: int) -> tuple[float, float]:
    """Play a 30 s clip with one hard second; mean top-1 probability and entropy at the end."""
    frames, alpha = 1500, 4e-3
    ours = sampler(frames, mode=mode, smoothing=alpha, seed=envs)
    generator = torch.Generator().manual_seed(envs)
    frame = ours.draw(envs)[1]
    age = torch.zeros(envs)
    tops, entropies = [], []
    for step in range(1000):
        frame, age = frame + 1, age + 1
        hard = (frame >= 750) & (frame < 800)
        failed = hard & (torch.rand(envs, generator=generator) < 0.05)
        ended = (frame >= frames - 1) | (age >= 500)
        frame = frame.clamp_max(frames - 1)
        ours.record(frame, failed)
        done = (failed | ended).nonzero().squeeze(-1)
        if len(done):
            frame[done] = ours.draw(len(done))[1]
            age[done] = 0
        if step >= 600 and step % 20 == 0:
            metrics = ours.metrics()
            tops.append(metrics["sampling/top1_probability"])
            entropies.append(metrics["sampling/entropy"])
    return float(np.mean(tops)), float(np.mean(entropies))


def test_default_does_not_depend_on_the_number_of_environments() -> None:
    results = np.array([chain("adaptive", envs) for envs in (16, 128, 1024)])
    top, entropy = results[:, 0], results[:, 1]
    assert np.ptp(top) < 0.1 * top.mean()
    assert np.ptp(entropy) < 0.05
    assert top.mean() > 3 / 31  # the hard second is drawn several times as often


def test_faithful_mode_does_depend_on_the_number_of_environments() -> None:
    few, many = chain("beyondmimic", 16), chain("beyondmimic", 1024)
    assert many[0] > 2 * few[0]
    assert many[1] < few[1] - 0.2


def test_uniform_share_is_kept() -> None:
    ours = sampler(500, 100, uniform_share=0.3)
    rows = torch.arange(600)
    ours.record(rows, rows == 222)
    uniform = ours.frames_of_bin / 600
    p = ours.probabilities()
    assert float(p.sum()) == pytest.approx(1.0)
    assert (p >= 0.3 * uniform - 1e-7).all()
    assert float(p.max()) > 3 * float(uniform.max())


def test_seconds_before_a_failure_are_drawn_too_but_not_of_another_clip() -> None:
    ours = sampler(500, 500, uniform_share=0.0, kernel_size=3, kernel_decay=0.8)
    rows = torch.arange(1000)
    hit = int(ours.first_bin[1])  # first second of the second clip
    ours.record(rows, ours.bin_of_row == hit)
    p = ours.probabilities()
    assert p.nonzero().squeeze(-1).tolist() == [hit]
    later = sampler(500, 500, uniform_share=0.0, kernel_size=3, kernel_decay=0.8)
    later.record(rows, later.bin_of_row == 5)
    p = later.probabilities() / (later.frames_of_bin / 1000)
    assert p.nonzero().squeeze(-1).tolist() == [3, 4, 5]
    np.testing.assert_allclose(p[3:6] / p[5], [0.64, 0.8, 1.0], rtol=1e-5)


def test_failures_count_per_visit() -> None:
    ours = sampler(500, uniform_share=0.0, kernel_size=1)
    # Bin 2 fails half the time and is visited rarely; bin 7 one time in ten, visited often.
    first = {int(b): int((ours.bin_of_row == b).nonzero()[0]) for b in (2, 7)}
    rows = torch.tensor([first[2]] * 2 + [first[7]] * 100)
    failed = torch.tensor([True, False] + [True] * 10 + [False] * 90)
    ours.record(rows, failed)
    p = ours.probabilities() / ours.frames_of_bin
    assert float(p[2] / p[7]) == pytest.approx(5.0, rel=1e-4)


@pytest.mark.parametrize("mode", ["adaptive", "beyondmimic", "uniform"])
def test_all_bins_of_all_clips_are_reached(mode: SamplingMode) -> None:
    ours = sampler(50, 333, 2, 120, mode=mode)
    clip, frame = ours.draw(20000)
    length = ours.library.length[clip]
    assert (frame >= 0).all() and (frame <= (length - 2).clamp_min(0)).all()
    rows = ours.library.start[clip] + frame
    seen = torch.bincount(ours.bin_of_row[rows], minlength=ours.num_bins)
    # A clip of two frames has one start frame; every other bin is reached.
    assert (seen > 0).all()


def test_uniform_draws_follow_the_length_of_clips() -> None:
    clip, _ = sampler(100, 300, mode="uniform").draw(20000)
    assert float((clip == 1).float().mean()) == pytest.approx(0.75, abs=0.02)


def test_start_mode_begins_at_first_frames() -> None:
    clip, frame = sampler(100, 300, 50, mode="start").draw(3000)
    assert not frame.any()
    share = torch.bincount(clip, minlength=3) / 3000
    assert (share > 0.28).all()


def test_untouched_statistics_mean_uniform() -> None:
    ours = sampler(500, 250)
    torch.testing.assert_close(ours.probabilities(), ours.frames_of_bin / 750)
    assert ours.metrics()["sampling/entropy"] == pytest.approx(1.0, abs=0.01)


def test_metrics_name_the_most_likely_bin() -> None:
    ours = sampler(500, mode="beyondmimic")
    ours.failures[6] = 5.0
    metrics = ours.metrics()
    assert metrics["sampling/top1_bin"] == 6
    p = ours.probabilities().double()
    assert metrics["sampling/top1_probability"] == pytest.approx(float(p[6]))
    assert metrics["sampling/entropy"] == pytest.approx(
        float(-(p * p.log()).sum()) / math.log(11), abs=1e-5
    )


def test_state_makes_a_round_trip() -> None:
    ours, other = sampler(500, 250), sampler(500, 250, seed=5)
    rows = torch.arange(0, 750, 3)
    ours.record(rows, rows % 7 == 0)
    state = ours.state_dict()
    other.load_state_dict(state)
    assert torch.equal(ours.probabilities(), other.probabilities())
    ours.record(rows, rows % 2 == 0)  # the saved state is a copy
    assert torch.equal(state["failures"], other.failures)


def test_state_of_other_motions_is_refused() -> None:
    state = sampler(500).state_dict()
    with pytest.raises(MimicError, match="11 bins, this motion set has 6.*same motions"):
        sampler(250).load_state_dict(state)


def test_starts_go_where_returns_are_low() -> None:
    ours = sampler(500, mode="return", uniform_share=0.2, kernel_size=1, smoothing=0.01)
    rows = torch.arange(500)
    bins = ours.bin_of(rows)
    missed = torch.where(bins == 3, 0.6, 0.2)
    nobody = torch.zeros(500, dtype=torch.bool)
    for _ in range(300):
        ours.record(rows, nobody, missed)
    p = ours.probabilities()
    assert torch.argmax(p) == 3
    rate = torch.where(torch.arange(ours.num_bins) == 3, 0.6, 0.2)
    weight = rate * ours.uniform
    wanted = 0.2 * ours.uniform + 0.8 * weight / weight.sum()
    torch.testing.assert_close(p, wanted, atol=1e-4, rtol=0)
    # A fall loses as much as a second without any reward.
    failed = rows == rows[bins == 7][0]
    for _ in range(300):
        ours.record(rows, failed, missed)
    assert torch.argmax(ours.probabilities()) == 7
    again = sampler(500, mode="return", uniform_share=0.2, kernel_size=1)
    again.load_state_dict(ours.state_dict())
    torch.testing.assert_close(again.probabilities(), ours.probabilities())


def test_missed_rewards_do_not_move_starts_that_follow_failures() -> None:
    ours, without = sampler(200), sampler(200)
    rows, failed = torch.arange(200), torch.arange(200) % 50 == 3
    ours.record(rows, failed, torch.rand(200))
    without.record(rows, failed)
    torch.testing.assert_close(ours.probabilities(), without.probabilities())


@pytest.mark.parametrize("mode", ["uniform", "adaptive", "return", "start"])
def test_clips_are_drawn_by_their_weights(mode: SamplingMode) -> None:
    clips = replace(library(100, 100), weight=torch.tensor([3.0, 1.0]))
    config = SamplingConfig(mode=mode)
    ours = StartSampler(config, clips, torch.Generator().manual_seed(0))
    clip, _ = ours.draw(4000)
    assert (clip == 0).float().mean().item() == pytest.approx(0.75, abs=0.03)
    alike = StartSampler(config, library(100, 100), torch.Generator().manual_seed(0))
    assert (alike.draw(4000)[0] == 0).float().mean().item() == pytest.approx(0.5, abs=0.03)


def with_difficulty(*values: float, **config: object) -> StartSampler:
    clips = replace(library(*(100 for _ in values)), difficulty=torch.tensor(values))
    generator = torch.Generator().manual_seed(0)
    return StartSampler(SamplingConfig(**config), clips, generator)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["adaptive", "uniform", "start", "beyondmimic", "return"])
def test_easy_clips_come_first(mode: SamplingMode) -> None:
    ours = with_difficulty(0.9, 0.1, 0.5, 0.3, mode=mode)
    for share, expected in ((0.0, {1}), (0.3, {1, 3}), (0.75, {1, 2, 3}), (1.0, {0, 1, 2, 3})):
        ours.admit(share)
        assert set(ours.draw(400)[0].tolist()) == expected
        assert ours.probabilities().sum() == pytest.approx(1.0, abs=1e-6)


def test_failures_of_clips_that_are_not_admitted_do_not_matter() -> None:
    ours = with_difficulty(0.9, 0.1, mode="adaptive", uniform_share=0.0)
    ours.record(torch.tensor([150, 10]), torch.tensor([False, True]))
    ours.admit(0.5)
    # All that failed lies in the other clip.
    assert set(ours.draw(50)[0].tolist()) == {1}
    ours.admit(1.0)
    assert set(ours.draw(50)[0].tolist()) == {0}


def test_a_set_that_does_not_say_how_hard_it_is_is_refused() -> None:
    with pytest.raises(MimicError, match="mimic motions split FOLDER --difficulty"):
        sampler(100, 100).admit(0.5)
