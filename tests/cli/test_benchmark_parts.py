from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import robots
from mimic.benchmark import Measurement, benchmark, measurement_table, scaling_table
from mimic.benchmark.motion import squat
from mimic.benchmark.stages import STAGES, StageClock, clock_of, timed_stages
from mimic.commands.benchmark import Benchmark
from mimic.envs.commands.motion import motion_command
from mimic.tasks import make_env
from mimic_base.rotations import quat_rotate


def test_a_stage_counts_only_its_own_time() -> None:
    times = iter([0.0, 1.0, 3.0, 7.0, 20.0, 21.0])
    clock = StageClock(lambda: next(times))
    clock.enter("resets")  # at 0
    clock.enter("kinematics")  # at 1, inside
    clock.leave()  # at 3
    clock.leave()  # at 7
    clock.enter("rewards")  # at 20
    clock.leave()  # at 21
    spent = {name: value for name, value in clock.seconds.items() if value}
    assert spent == {"resets": 5.0, "kinematics": 2.0, "rewards": 1.0}


def test_stages_name_real_parts_and_leave_no_trace() -> None:
    env = make_env("tracking", [squat(robots.load("unitree_g1"), 1.0)], num_envs=2, threads=1)
    env.step(torch.zeros(2, 29))
    before = dict(vars(env)), dict(vars(env.engine)), dict(vars(motion_command(env)))
    with timed_stages(env) as clock:
        env.step(torch.zeros(2, 29))
    assert {name for name, seconds in clock.seconds.items() if seconds > 0} >= set(STAGES) - {
        "resets"
    }
    for owner, names in zip((env, env.engine, motion_command(env)), before, strict=True):
        assert set(vars(owner)) == set(names)


def test_the_made_up_clip_is_a_squat_on_the_ground() -> None:
    robot = robots.load("unitree_g1")
    clip = squat(robot)
    assert clip.robot == robot.name and clip.duration == pytest.approx(6.0)
    assert np.ptp(clip.root_pos[:, 2]) > 0.01
    assert (clip.joint_pos >= robot.soft_lower).all() and (clip.joint_pos <= robot.soft_upper).all()
    for foot, points in zip(robot.feet, robot.sole_points, strict=True):
        index = clip.body_names.index(foot)
        turned = quat_rotate(clip.body_quat_w[:, index, None], points[None])
        lowest = (turned + clip.body_pos_w[:, index, None])[..., 2].min(1)
        assert np.abs(lowest).max() < 1e-6


def test_the_clock_of_a_gpu_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[object] = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    before, after = clock_of("cuda:0")(), clock_of("cuda:0")()
    assert after >= before and waited == [torch.device("cuda:0")] * 2
    clock_of("cpu")()
    assert len(waited) == 2


def test_a_measurement_says_what_computed_it() -> None:
    robot = robots.load("unitree_g1")
    measured = benchmark(
        "tracking", [squat(robot, 1.0)], robot, 2, engine="mujoco", threads=1, seconds=0.01,
        ppo=False,
    )  # fmt: skip
    assert (measured.engine, measured.device) == ("mujoco", "cpu")
    assert measured.first_step_s > 0 and measured.device_memory_mb is None
    table = measurement_table([measured, measured])
    assert [str(cell) for cell in table.columns[0].cells] == ["mujoco", "mujoco"]
    assert (measured.threads, measured.compiled) == (1, False)


def test_physics_alone_does_not_disturb_the_environment() -> None:
    """Both are measured on one engine: what it stands for comes back afterwards."""
    from mimic.benchmark.measure import _standing

    robot = robots.load("unitree_g1")
    env = make_env("tracking", [squat(robot, 1.0)], num_envs=2, engine="mujoco", threads=1)
    for _ in range(3):
        env.step(torch.zeros(2, 29))
    before = {name: getattr(env.engine, name).clone() for name in ("qpos", "qvel", "body_pos_w")}
    assert _standing(env, torch.Generator().manual_seed(0), 4) > 0
    for name, values in before.items():
        torch.testing.assert_close(getattr(env.engine, name), values, rtol=0, atol=1e-6)


def test_what_is_measured_and_in_which_order() -> None:
    both = Benchmark(engines=("mujoco", "warp:njmax=9"), num_envs=(4, 8), threads=(1, 2))
    assert both._plan() == [
        ("mujoco", 4, 1, "auto"), ("mujoco", 4, 2, "auto"),
        ("mujoco", 8, 1, "auto"), ("mujoco", 8, 2, "auto"),
        ("warp:njmax=9", 4, 1, "auto"), ("warp:njmax=9", 8, 1, "auto"),
    ]  # fmt: skip
    compiled = Benchmark(engine="mjx", num_envs=(4,), compile=("off", "on"))
    assert compiled._plan() == [("mjx", 4, 0, "off"), ("mjx", 4, 0, "on")]


def test_speed_up_over_the_fewest_threads() -> None:
    one = Measurement(
        engine="mujoco", device="cpu", num_envs=512, threads=1, compiled=False, steps=5,
        setup_s=1.0, first_step_s=0.1, physics_standing=100.0, physics_inside=90.0, full=60.0,
        with_policy=50.0, ppo_iteration_s=2.0, ppo_samples_per_s=40.0, stages={"physics": 1.0},
        done_share=0.0, peak_memory_mb=1.0, device_memory_mb=None,
    )  # fmt: skip
    two = replace(
        one, threads=2, physics_standing=190.0, physics_inside=180.0, full=108.0, with_policy=85.0,
        ppo_samples_per_s=60.0,
    )  # fmt: skip
    table = scaling_table([two, one, replace(one, engine="warp", threads=0)])
    rows = list(zip(*(column.cells for column in table.columns), strict=True))
    assert rows == [
        ("mujoco", "512", "2", "1", "1.90", "2.00", "1.80", "1.70", "1.50", "60 %"),
        ("mujoco", "512", "1", "1", "1.00", "1.00", "1.00", "1.00", "1.00", "67 %"),
    ]
