from __future__ import annotations

import json

import pytest
import torch

from mimic.envs.commands.motion import ResetNoise
from mimic.evaluation.protocols import PROTOCOLS, get_protocol
from mimic.tasks import make_env
from mimic.tasks.tracking import motion_commands, tracking
from mimic_base.errors import MimicError, UserError
from motions import RobotMotion
from robots import Robot


def test_appendix_f_is_without_any_noise() -> None:
    protocol = get_protocol("appendix-f")
    config = protocol.environment(tracking())
    assert protocol.episodes == 1 and protocol.time_limit_s is None
    assert not config.observation_noise and not config.events and not config.terminations
    motion = motion_commands(config)["motion"]
    assert motion.reset_noise == ResetNoise.none()
    assert motion.sampling.mode == "start"
    assert all(term.weight > 0 for term in config.rewards.values())
    assert sum(term.weight for term in config.rewards.values()) == 5.0


def test_noisy_and_robust_protocols_add_what_they_say() -> None:
    noisy = get_protocol("noisy-start").environment(tracking())
    assert noisy.observation_noise and not noisy.events
    assert motion_commands(noisy)["motion"].reset_noise.joint_pos == pytest.approx(0.02)
    exact = get_protocol("noisy-start", start_noise=0.0).environment(tracking())
    assert motion_commands(exact)["motion"].reset_noise == ResetNoise.none()
    robust = get_protocol("robust").environment(tracking())
    assert set(robust.events) == set(tracking().events)
    assert motion_commands(robust)["motion"].reset_noise == ResetNoise()
    mjlab = get_protocol("mjlab")
    assert mjlab.time_limit_s == 10.0
    assert set(mjlab.failures) == {"anchor_height", "anchor_tilt", "end_effector_height"}


def test_scaled_noise() -> None:
    half = ResetNoise().scaled(0.5)
    assert half.position == (0.025, 0.025, 0.005) and half.ang_vel == (0.26, 0.26, 0.39)


def test_overrides_and_refusals() -> None:
    assert get_protocol("appendix-f", episodes=7).episodes == 7
    for bad in (
        lambda: get_protocol("appendix-g"),
        lambda: get_protocol("robust", episodes=0),
        lambda: get_protocol("robust", start_noise=-1.0),
    ):
        with pytest.raises(MimicError) as error:
            bad()
        assert isinstance(error.value, UserError) and "\n" not in str(error.value)
    with pytest.raises(MimicError, match="appendix-f, noisy-start, robust, mjlab"):
        get_protocol("appendix-g")


@pytest.mark.parametrize("name", PROTOCOLS)
def test_definitions_are_json(name: str) -> None:
    definition = json.loads(json.dumps(PROTOCOLS[name].to_dict()))
    assert definition["name"] == name and definition["deterministic_policy"]
    assert all("threshold" in failure for failure in definition["failures"].values())


def test_appendix_f_thresholds(g1: Robot, short: RobotMotion) -> None:
    """Just inside and just outside 0.25 m of height and 0.8 of projected gravity."""
    protocol = get_protocol("appendix-f")
    env = make_env(protocol.environment(tracking()), [short], num_envs=6, robot=g1, threads=1)
    qpos, qvel = env.engine.qpos.clone(), env.engine.qvel.clone()
    for row, lift in ((1, 0.249), (2, 0.251), (3, -0.251)):
        qpos[row, 2] += lift
    # |g_ref - g| = 2 sin(angle / 2) for a tilt from upright.
    for row, difference in ((4, 0.79), (5, 0.81)):
        angle = 2.0 * torch.asin(torch.tensor(difference / 2.0))
        qpos[row, 3:7] = torch.tensor([0.0, 0.0, 0.0, 0.0])
        qpos[row, 3], qpos[row, 5] = torch.cos(angle / 2), torch.sin(angle / 2)
    env.engine.reset(torch.arange(6), qpos, qvel)
    env.observe()
    found = {
        name: term.function(env, **term.parameters).tolist()
        for name, term in protocol.failures.items()
    }
    assert found["root_height"] == [False, False, True, True, False, False]
    assert found["root_tilt"] == [False, False, False, False, False, True]
