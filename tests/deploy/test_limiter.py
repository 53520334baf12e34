"""Whatever is asked for, what leaves the limiter keeps every limit; the robot's own eye agrees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mimic.deploy.inspector import CommandInspector, InspectionLimits
from mimic.deploy.limiter import CommandLimits, LimitSettings, limit_command, limits_of
from mimic.deploy.messages import RobotCommand
from mimic_base.errors import RobotError

TICK = 0.002


def inspector_of(identity, limits: CommandLimits) -> CommandInspector:
    return CommandInspector(
        InspectionLimits(
            lower=identity.joint_lower,
            upper=identity.joint_upper,
            rate=LimitSettings().rate_factor * identity.velocity_limit,
            torque=identity.effort_limit,
            velocity=identity.velocity_limit,
            kp_cap=limits.kp_cap,
            kd_cap=limits.kd_cap,
        )
    )


def wild(random: np.random.Generator, size: int) -> np.ndarray:
    """Numbers of every magnitude and sign, now and then none."""
    values = random.choice([-1.0, 1.0], size) * 10.0 ** random.uniform(-6, 8, size)
    odd = random.random(size) < 0.02
    return np.where(odd, random.choice([np.nan, np.inf, -np.inf], size), values)


def mixed(random: np.random.Generator, size: int) -> np.ndarray:
    """Mostly numbers that a robot may have, sometimes wild ones."""
    return wild(random, size) if random.random() < 0.2 else random.normal(0.0, 1.0, size)


def forget(inspector: CommandInspector) -> None:
    """Positions told before do not count any more."""
    inspector._told = 0
    inspector._times[:] = -np.inf


@pytest.mark.parametrize("seed", range(20))
def test_every_command_keeps_every_limit(seed: int, identity, limits: CommandLimits) -> None:
    random = np.random.default_rng(seed)
    inspector = inspector_of(identity, limits)
    before: RobotCommand | None = None
    measured = np.zeros(3)
    for tick in range(300):
        measured = measured + random.normal(0.0, 0.05, 3)
        if random.random() < 0.02:
            measured = random.normal(0.0, 2.0, 3)
        sensed = mixed(random, 3) if random.random() < 0.02 else measured
        wanted = RobotCommand(
            joint_pos=mixed(random, 3),
            joint_vel=mixed(random, 3),
            torque=mixed(random, 3),
            kp=100.0 * mixed(random, 3) if random.random() < 0.9 else np.zeros(3),
            kd=mixed(random, 3),
        )
        forget(inspector)
        inspector.measured(tick * TICK, np.nan_to_num(sensed, posinf=0.0, neginf=0.0))
        limited = limit_command(wanted, sensed, before, limits)
        command = limited.command
        given = (wanted.joint_pos, wanted.joint_vel, wanted.torque, wanted.kp, wanted.kd, sensed)
        assert limited.finite == all(np.isfinite(each).all() for each in given)
        assert command.damps or limited.finite
        # As it arrives at the robot: in single precision.
        single = {
            name: np.asarray(getattr(command, name), np.float32)
            for name in ("joint_pos", "joint_vel", "torque", "kp", "kd")
        }
        arrived = replace(command, **single)
        assert inspector.inspect(arrived, tick * TICK), inspector.first
        before = command
    assert inspector.seen == 300 and inspector.unsafe == 0


def test_a_command_within_the_limits_passes_unchanged(limits, make_command) -> None:
    before = make_command(joint_pos=[0.1, 0.1, -0.01])
    wanted = make_command(joint_pos=[0.11, 0.12, -0.02])
    limited = limit_command(wanted, np.zeros(3), before, limits)
    assert limited.finite and not limited.changed.any()
    for name in ("joint_pos", "joint_vel", "torque", "kp", "kd", "mode_machine"):
        assert np.array_equal(getattr(limited.command, name), getattr(wanted, name))


def test_each_limit_bites(limits, make_command) -> None:
    far = make_command(joint_pos=[9.0, -9.0, 0.0], kp=[1e4, 50.0, -1.0], kd=[1e3, 2.0, -1.0])
    at = np.array([0.99, -0.45, 0.0])
    before = make_command(joint_pos=at)
    command = limit_command(far, at, before, limits).command
    # 2 x 20 rad/s for 2 ms would be 0.08 rad: the soft limit comes first.
    assert command.joint_pos[0] == 1.0 and command.joint_pos[1] == -0.5
    assert list(command.kp) == [500.0, 50.0, 0.0] and list(command.kd) == [25.0, 2.0, 0.0]
    slow = limit_command(make_command(joint_pos=[0.9, 0, 0]), np.zeros(3), make_command(), limits)
    assert slow.command.joint_pos[0] == pytest.approx(0.08) and list(slow.changed) == [1, 0, 0]


def test_stiffness_gives_way_where_the_robot_was_thrown_off(limits, make_command) -> None:
    before = make_command(joint_pos=[0.0, 0.0, 0.0])
    thrown = np.array([-3.0, 0.0, 0.0])
    command = limit_command(make_command(), thrown, before, limits).command
    # The position may not follow by 3 rad in one tick, so 100 N m/rad would be 300 N m.
    assert abs(command.kp[0] * (command.joint_pos[0] + 3.0)) <= 80.0
    assert abs(command.joint_pos[0]) <= 0.08 + 1e-12 and command.kp[1] == 50.0


def test_stiffness_and_torque_together_are_within_the_motor(limits, make_command) -> None:
    """|kp (q_cmd - q) + tau_ff| <= 80, 40 and 10 N m; the gains are 100, 50 and 20 N m/rad."""
    before = make_command(joint_pos=[0.75, 0.0, -0.3])
    at, push = np.zeros(3), [50.0, -60.0, 8.0]
    wanted = make_command(joint_pos=[0.75, 0.01, -0.3], torque=push)
    limited = limit_command(wanted, at, before, limits)
    command = limited.command
    # 75 + 50 N m are too much: the position may be 0.3 rad off, and the step lets it get to 0.67;
    # so the stiffness gives way. 60 N m alone are too much for the second. 8 - 6 are not.
    assert command.joint_pos[0] == pytest.approx(0.67)
    assert command.kp[0] == pytest.approx(30.0 / 0.67, rel=1e-5)
    assert list(command.torque) == [50.0, -40.0, 8.0]
    assert command.joint_pos[2] == -0.3 and command.kp[2] == 20.0
    assert list(limited.changed) == [True, True, False]
    total = command.kp * (command.joint_pos - at) + command.torque
    assert np.all(np.abs(total) <= limits.torque * (1 + 1e-9))
    # Against each other they make little, but the stiffness alone stays within the motor too.
    against = make_command(joint_pos=[0.9, 0.0, 0.0], torque=[-50.0, 0.0, 0.0])
    near = make_command(joint_pos=[0.89, 0.0, 0.0])
    pulled = limit_command(against, at, near, limits).command
    assert pulled.kp[0] * pulled.joint_pos[0] <= 80.0 and pulled.torque[0] == -50.0


def test_the_first_command_starts_where_the_robot_is(limits, make_command) -> None:
    at = np.array([0.5, 0.5, 0.0])
    command = limit_command(make_command(), at, None, limits).command
    assert command.joint_pos[0] == pytest.approx(0.42)
    after_damping = make_command(kp=np.zeros(3), joint_pos=[-1.0, 0.0, 0.0])
    assert np.array_equal(
        limit_command(make_command(), at, after_damping, limits).command.joint_pos,
        command.joint_pos,
    )


def test_numbers_that_are_none_become_damping(limits, make_command) -> None:
    for wanted, measured in [
        (make_command(joint_pos=[0, np.nan, 0]), np.zeros(3)),
        (make_command(kp=[np.inf, 0, 0]), np.zeros(3)),
        (make_command(), np.array([0, 0, np.nan])),
    ]:
        limited = limit_command(wanted, measured, None, limits)
        assert not limited.finite and limited.command.damps
        assert np.array_equal(limited.command.kd, limits.damping)


def test_limits_that_are_none_are_refused(limits) -> None:
    with pytest.raises(RobotError, match="max_step must be finite and not negative"):
        replace(limits, max_step=np.array([0.1, np.nan, 0.1]))
    with pytest.raises(RobotError, match="lower must be below upper"):
        replace(limits, lower=np.array([2.0, 0.0, 0.0]))
    with pytest.raises(RobotError, match="damping must not exceed kd_cap"):
        replace(limits, damping=limits.kd_cap * 2)


def test_limits_come_from_the_robot(identity) -> None:
    made = limits_of(identity, np.full(3, 10.0), np.full(3, 1.0), 0.02, LimitSettings())
    assert np.allclose(made.max_step, 2.0 * identity.velocity_limit * 0.02)
    assert np.array_equal(made.torque, identity.effort_limit)
    assert np.allclose(made.kp_cap, 50.0) and np.allclose(made.damping, 2.0)


BAD = {
    "position": {"joint_pos": [1.1, 0.0, 0.0], "kp": [1.0, 0.0, 0.0]},
    "kp": {"kp": [501.0, 0.0, 0.0]},
    "kd": {"kd": [0.0, -0.1, 0.0]},
    "velocity": {"joint_vel": [0.0, -31.0, 0.0]},
    "torque": {"torque": [0.0, 0.0, 10.1]},
    "stiffness": {"joint_pos": [0.9, 0.0, 0.0]},
    "together": {"joint_pos": [0.5, 0.0, 0.0], "torque": [31.0, 0.0, 0.0]},
    "finite": {"kd": [0.0, np.nan, 0.0]},
}


@pytest.mark.parametrize("rule", BAD)
def test_the_robot_sees_a_command_that_breaks(rule: str, identity, limits, make_command) -> None:
    inspector = inspector_of(identity, limits)
    inspector.measured(0.0, np.zeros(3))
    assert inspector.inspect(make_command(), 0.0)
    assert not inspector.inspect(make_command(**BAD[rule]), 1.0)
    assert inspector.reasons == {rule: 1} and inspector.unsafe == 1 and inspector.seen == 2


def test_the_robot_sees_a_jump_and_knows_how_long_it_had(identity, limits, make_command) -> None:
    inspector = inspector_of(identity, limits)
    inspector.measured(0.0, np.zeros(3))
    inspector.inspect(make_command(joint_pos=[0.0, 0.0, 0.0]), 0.0)
    assert inspector.inspect(make_command(joint_pos=[0.5, 0.0, 0.0]), 0.0125)
    assert not inspector.inspect(make_command(joint_pos=[0.0, 0.0, 0.0]), 0.0145)
    assert inspector.reasons == {"rate": 1}


def test_the_robot_allows_for_a_state_that_was_on_its_way(identity, limits, make_command) -> None:
    inspector = inspector_of(identity, limits)
    inspector.measured(0.0, np.array([0.9, 0.0, 0.0]))
    inspector.measured(0.1, np.array([0.0, 0.0, 0.0]))
    command = make_command(joint_pos=[0.9, 0.0, 0.0])
    assert inspector.inspect(command, 0.1)
    inspector.measured(0.4, np.array([0.0, 0.0, 0.0]))
    assert not inspector.inspect(command, 0.4) and inspector.reasons == {"stiffness": 1}
