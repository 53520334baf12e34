"""The simulated robot behaves as a robot does; its physics is that which policies are judged by."""

from __future__ import annotations

import numpy as np
import pytest

import robots
from mimic.deploy.messages import RobotCommand, damping_command
from mimic.deploy.simulated import Imperfections, SimulatedRobot, SimulationSettings
from mimic.sim.scene import make_scene
from mimic.sim.single import SingleRobot
from mimic.sim.states import States
from mimic_base.errors import RobotError
from tests.conftest import TINY


@pytest.fixture(scope="module")
def robot() -> robots.Robot:
    return robots.load(TINY)


def hold(robot: robots.Robot, **changes: object) -> RobotCommand:
    zero = np.zeros(robot.num_joints)
    usual: dict[str, object] = {
        "joint_pos": robot.default_joint_pos,
        "joint_vel": zero,
        "torque": zero,
        "kp": robot.kp,
        "kd": robot.kd,
        "mode_machine": 5,
    }
    return RobotCommand(**{**usual, **changes})  # type: ignore[arg-type]


def told(simulated: SimulatedRobot):
    state = simulated.read()
    assert state is not None
    return state


def test_its_physics_is_that_of_play(robot) -> None:
    """The same targets lead to the same states, to the last bit."""
    settings = SimulationSettings(tick=0.02, physics_hz=200.0, gantry=False)
    simulated = SimulatedRobot(robot, settings)
    body = SingleRobot(make_scene(robot, None, control_hz=50.0, physics_hz=200.0, sensors=False))
    start = States(
        root_pos_w=np.array([0.0, 0.0, robot.default_root_height]),
        root_quat_w=np.array([1.0, 0.0, 0.0, 0.0]),
        joint_pos=robot.default_joint_pos,
    )
    still = np.zeros(robot.num_joints)
    body.start(start, np.zeros(3), np.zeros(3), still)
    simulated.start(start)
    random = np.random.default_rng(0)
    for _ in range(25):
        targets = robot.default_joint_pos + 0.1 * random.standard_normal(robot.num_joints)
        body.step(targets)
        simulated.write(hold(robot, joint_pos=targets))
        simulated.step()
        assert np.array_equal(simulated.body.data.qpos, body.data.qpos)
        assert np.array_equal(told(simulated).joint_vel, body.joint_vel)
        assert np.array_equal(told(simulated).joint_torque, body.torques)


def test_it_is_limp_before_the_first_command_and_when_commands_stay_away(robot) -> None:
    simulated = SimulatedRobot(robot)
    simulated.step()
    assert simulated.limp
    simulated.write(hold(robot))
    for _ in range(50):
        simulated.step()
        assert not simulated.limp
    simulated.step()
    simulated.step()
    assert simulated.limp and simulated.time == pytest.approx(0.106)


def test_it_refuses_commands_that_do_not_repeat_what_it_is(robot) -> None:
    simulated = SimulatedRobot(robot)
    simulated.write(hold(robot, mode_machine=4))
    simulated.step()
    assert simulated.refused == 1 and simulated.limp and simulated.inspector.seen == 0


def test_it_counts_unsafe_commands_and_stays_alive(robot) -> None:
    simulated = SimulatedRobot(robot)
    simulated.write(hold(robot))
    simulated.step()
    simulated.write(hold(robot, kp=np.full(robot.num_joints, np.nan)))
    simulated.step()
    simulated.write(hold(robot, kd=np.full(robot.num_joints, 1e6)))
    simulated.step()
    assert simulated.inspector.reasons["finite"] == 1 and simulated.inspector.reasons["kd"] == 1
    assert simulated.inspector.unsafe == 2 and np.isfinite(simulated.body.data.qpos).all()


def test_torques_are_within_the_motors(robot) -> None:
    simulated = SimulatedRobot(robot)
    for _ in range(20):
        simulated.write(hold(robot, joint_pos=robot.default_joint_pos + 5.0))
        simulated.step()
        assert np.all(np.abs(told(simulated).joint_torque) <= robot.effort_limit * (1 + 1e-12))


def test_feed_forward_and_velocity_reach_the_motors(robot) -> None:
    zero = np.zeros(robot.num_joints)
    simulated = SimulatedRobot(robot)
    push = 0.25 * robot.effort_limit
    simulated.write(hold(robot, kp=zero, kd=zero, torque=push))
    simulated.step()
    assert np.allclose(told(simulated).joint_torque, push)


def test_damping_slows_the_fall(robot) -> None:
    def height_after(command: RobotCommand | None) -> float:
        simulated = SimulatedRobot(robot, SimulationSettings(gantry=False))
        for _ in range(200):
            if command is not None:
                simulated.write(command)
            simulated.step()
        if command is not None:
            assert simulated.damps
        return float(simulated.body.state.root_pos_w[2])

    damped = height_after(damping_command(robot.default_joint_pos, 5.0 * robot.kd, 5))
    assert damped > height_after(None) + 0.02


def test_the_gantry_holds_until_it_is_released(robot) -> None:
    simulated = SimulatedRobot(robot)
    for _ in range(1000):
        simulated.step()
    hung = simulated.body.state
    assert hung.root_pos_w[2] > robot.default_root_height - 0.06
    simulated.release()
    for _ in range(400):
        simulated.step()
    assert simulated.body.state.root_pos_w[2] < hung.root_pos_w[2] - 0.1


def test_motors_warm_up_under_load(robot) -> None:
    simulated = SimulatedRobot(robot)
    zero = np.zeros(robot.num_joints)
    for _ in range(500):
        simulated.write(hold(robot, kp=zero, torque=robot.effort_limit))
        simulated.step()
    # dT/dt = (90 (tau / tau_max)^2) / 120 s at first.
    warmer = told(simulated).motor_temperature - 30.0
    assert np.all(warmer > 0) and warmer.max() == pytest.approx(0.75, rel=0.05)
    simulated.heat(2, 95.0)
    simulated.step()
    assert told(simulated).motor_temperature[2] > 94.0


def test_messages_are_late_noisy_and_lost_as_asked(robot) -> None:
    late = SimulatedRobot(robot, imperfections=Imperfections(state_delay=5))
    assert late.read() is None
    for _ in range(10):
        late.step()
    assert told(late).tick == 10 and told(late).time == pytest.approx(0.020)

    slow = SimulatedRobot(robot, imperfections=Imperfections(command_delay=3))
    slow.write(hold(robot))
    for _ in range(3):
        slow.step()
        assert slow.limp
    slow.step()
    assert not slow.limp

    noisy = SimulatedRobot(robot, imperfections=Imperfections(joint_pos_noise=0.01, seed=3))
    again = SimulatedRobot(robot, imperfections=Imperfections(joint_pos_noise=0.01, seed=3))
    assert np.array_equal(told(noisy).joint_pos, told(again).joint_pos)
    error = np.asarray(told(noisy).joint_pos) - robot.default_joint_pos
    assert 0.0 < np.abs(error).max() < 0.05

    deaf = SimulatedRobot(robot, imperfections=Imperfections(command_loss=1.0, state_loss=0.5))
    seen = set()
    for _ in range(100):
        deaf.write(hold(robot))
        deaf.step()
        seen.add(told(deaf).tick)
    assert deaf.inspector.seen == 0 and 30 < len(seen) < 70
    with pytest.raises(RobotError, match="state_loss is a share from 0 to 1"):
        Imperfections(state_loss=1.5)


def test_the_imu_feels_gravity_where_it_rests_and_nothing_where_it_falls(robot) -> None:
    simulated = SimulatedRobot(robot, SimulationSettings(gantry=False))
    simulated.place(robot.default_joint_pos, root_height=5.0)
    simulated.step()
    assert np.abs(told(simulated).accelerometer).max() < 1e-6
    standing = SimulatedRobot(robot)
    for _ in range(500):
        standing.write(hold(robot, kp=5.0 * robot.kp, kd=5.0 * robot.kd))
        standing.step()
    assert np.linalg.norm(told(standing).accelerometer) == pytest.approx(9.81, abs=0.5)


def test_an_unknown_integrator_is_refused(robot) -> None:
    with pytest.raises(RobotError, match="MuJoCo has euler, RK4"):
        SimulatedRobot(robot, SimulationSettings(integrator="heun"))
