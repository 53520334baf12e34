"""Presets with published definitions: thresholds at the border, and what each of them counts."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mimic.benchmark.motion import squat
from mimic.envs.commands.motion import ResetNoise, motion_command
from mimic.envs.failure import ROOT_HEIGHT, ROOT_TILT, root_errors
from mimic.envs.mdp import terminations
from mimic.evaluation import evaluate, get_protocol
from mimic.evaluation.measures import MEASURES
from mimic.evaluation.metrics import EpisodeTally
from mimic.evaluation.smoothness import FIGURES
from mimic.tasks import make_env
from mimic.tasks.tracking import motion_commands, tracking
from mimic_base.errors import MimicError
from motions import RobotMotion
from robots import Robot


def judge(policy, motions, protocol, **options):
    options = {"task": "tracking", "robot": "unitree_g1", "threads": 1, **options}
    return evaluate(policy, motions, protocol, **options)


def test_appendix_f_fails_above_the_border_not_on_it() -> None:
    upright = np.array([1.0, 0.0, 0.0, 0.0])
    # In numbers that binary fractions hold exactly.
    height, _ = root_errors(np.array([0.0, 0.0, 0.75]), upright, np.array([0.0, 0.0, 1.0]), upright)
    assert height == ROOT_HEIGHT == 0.25
    assert not height > ROOT_HEIGHT
    assert np.nextafter(0.25, 1.0) > ROOT_HEIGHT
    # Gravity seen from a base that is tilted by a: |g - g'| = 2 sin(a / 2).
    for off, fails in ((-1e-6, False), (1e-6, True)):
        a = 2 * math.asin((ROOT_TILT + off) / 2)
        tilted = np.array([math.cos(a / 2), math.sin(a / 2), 0.0, 0.0])
        _, tilt = root_errors(np.zeros(3), tilted, np.zeros(3), upright)
        assert tilt == pytest.approx(ROOT_TILT + off, abs=1e-9)
        assert bool(tilt > ROOT_TILT) == fails


def test_failures_of_the_presets_at_their_borders(g1: Robot, short: RobotMotion) -> None:
    env = make_env(tracking(), [short], num_envs=6, robot=g1, threads=1)
    motion_command(env).restart(torch.arange(6), torch.zeros(6).long(), torch.zeros(6).long())
    env.observe()
    c = motion_command(env)
    place = c.body_pos_w.clone()
    # Every body 0.49 and 0.51 m off; one body 0.24 and 0.26 m off, the others nowhere.
    place[0] += torch.tensor([0.49, 0.0, 0.0])
    place[1] += torch.tensor([0.0, 0.51, 0.0])
    place[2, 3, 1] += 0.24
    place[3, 3, 1] += 0.26
    c.robot_body_pos_w = place
    upright = torch.tensor([1.0, 0.0, 0.0, 0.0]).repeat(6, 1)
    c.anchor_quat_w, c.robot_anchor_quat_w = upright, upright.clone()
    for row, angle in ((4, 0.99), (5, 1.01)):
        turned = [math.cos(angle / 2), 0.0, 0.0, math.sin(angle / 2)]
        c.robot_anchor_quat_w[row] = torch.tensor(turned)

    def failing(name: str, kind: str) -> list[bool]:
        term = get_protocol(name).failures[kind]
        return term.function(env, **term.parameters).tolist()

    assert failing("phc", "mean_body_distance") == [False, True, False, False, False, False]
    assert failing("holomotion", "max_body_distance") == [True, True, False, True, False, False]
    assert terminations.anchor_orientation(env, 1.0).tolist()[4:] == [False, True]
    limits = {n: t.parameters["threshold"] for n, t in get_protocol("sonic").failures.items()}
    assert limits == {"anchor_height": 0.25, "anchor_orientation": 1.0, "end_effector_height": 0.25}


def test_beyondmimic_is_mjlabs_evaluate() -> None:
    protocol = get_protocol("beyondmimic")
    config = protocol.environment(tracking())
    assert (protocol.episodes, protocol.time_limit_s) == (1024, 10.0)
    assert config.observation_noise and "push" not in config.events
    assert set(config.events) == {"foot_friction", "anchor_com", "joint_default"}
    assert motion_commands(config)["motion"].reset_noise == ResetNoise()


def test_existing_protocols_tell_what_they_told() -> None:
    for name in ("appendix-f", "noisy-start", "robust", "mjlab"):
        told = get_protocol(name).to_dict()
        assert not set(told) & {"errors", "averaged_over", "smoothness"}


def test_an_unknown_error_is_refused() -> None:
    with pytest.raises(MimicError, match="unknown error 'mpjpe'; known: key_body_mm"):
        replace(get_protocol("phc"), errors=("mpjpe",))


@pytest.mark.parametrize("name", ["phc", "sonic", "holomotion", "beyondmimic"])
def test_presets_play_and_tell_their_figures(name: str, follow, short: RobotMotion) -> None:
    result = judge(follow, [short], get_protocol(name, episodes=2))
    protocol = result.protocol
    (clip,) = result.clips
    assert tuple(clip.errors) == protocol.errors
    assert all(value is not None and math.isfinite(value) for value in clip.errors.values())
    data = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert set(data["units"]) >= set(protocol.errors)
    if name == "phc":
        # Seen from the root less is off, and after the best fit less again.
        e = {key: value or 0.0 for key, value in clip.errors.items()}
        assert e["mpjpe_g_mm"] >= e["mpjpe_l_mm"] * 0.5 and e["mpjpe_l_mm"] >= e["mpjpe_pa_mm"]
    if name == "holomotion":
        figures = {key: value or 0.0 for key, value in clip.smoothness.items()}
        assert set(figures) == set(FIGURES)
        assert 1.0 < figures["torque_rms"] < 100.0 and 0.0 < figures["torque_peak_share"] <= 1.0
        assert set(data["units"]) >= set(FIGURES)


def test_differences_begin_when_there_are_frames_for_them() -> None:
    tally = EpisodeTally(torch.tensor([2]), ("non_finite",), ("acceleration_mm_frame2",))
    nothing = {"non_finite": torch.tensor([False])}
    for value in (math.nan, 4.0):
        tally.add(torch.tensor([1.0]), {"acceleration_mm_frame2": torch.tensor([value])}, nothing)
    summary = tally.summary("clip", torch.tensor([True]), 0.02)
    assert summary.errors == {"acceleration_mm_frame2": 4.0} and summary.success == 1.0


def test_mean_over_episodes_and_over_steps() -> None:
    tally = EpisodeTally(torch.tensor([3, 3]), ("non_finite", "fall"), ("joint_rad",))
    for step, error in enumerate(([1.0, 4.0], [1.0, 9.0], [1.0, 9.0])):
        tally.add(
            torch.ones(2), {"joint_rad": torch.tensor(error)},
            {"non_finite": torch.zeros(2).bool(), "fall": torch.tensor([False, step >= 1])},
        )  # fmt: skip
    both = torch.tensor([True, True])
    assert tally.summary("", both, 0.02).errors["joint_rad"] == pytest.approx((3 * 1 + 4) / 4)
    assert tally.summary("", both, 0.02, "episodes").errors["joint_rad"] == pytest.approx(2.5)


def test_errors_to_the_end_of_the_clip_count_what_comes_after_a_failure() -> None:
    tally = EpisodeTally(torch.tensor([3, 3]), ("non_finite", "far"), ("joint_rad",), whole=True)
    for step in range(3):
        blown = step == 2
        failures = {"non_finite": torch.tensor([False, blown])}
        failures["far"] = torch.tensor([step == 1, False])
        error = torch.tensor([1.0, math.nan if blown else 5.0])
        tally.add(torch.ones(2), {"joint_rad": error}, failures)
        assert tally.running.tolist() == [step < 2, step < 2]
    both = torch.tensor([True, False]), torch.tensor([False, True])
    first, second = (tally.summary("", each, 0.02) for each in both)
    assert (first.success, first.errors["joint_rad"], first.survived_s) == (0.0, 1.0, 0.02)
    assert (second.failures, second.errors["joint_rad"]) == ({"non_finite": 1}, 5.0)


def test_a_fall_shows_in_errors_to_the_end(jump, g1: Robot) -> None:
    clip = squat(g1, seconds=2.0)
    whole = judge(jump, [clip], "holomotion").total
    before = judge(jump, [clip], "phc").total
    assert whole.success == before.success == 0.0
    assert (whole.errors["mpjpe_g_mm"] or 0.0) > (before.errors["mpjpe_g_mm"] or math.inf)
    assert set(MEASURES) >= set(whole.errors)
