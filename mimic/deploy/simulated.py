"""A MuJoCo robot that behaves as a robot does, stepped by whoever holds it: deterministic.

Its motors close their loop at every physics step; it refuses commands that do not repeat its
``mode_machine``, goes limp when commands stay away, warms up under load, and counts unsafe commands
itself (`inspector`). Noise, delays and lost packets on request, all from one seed.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace
from typing import Any

import mujoco
import numpy as np

from mimic.deploy.inspector import CommandInspector, InspectionLimits
from mimic.deploy.limiter import LimitSettings
from mimic.deploy.messages import (
    NO_REMOTE,
    Array,
    Odometry,
    RobotCommand,
    RobotIdentity,
    RobotState,
    array,
)
from mimic.sim.scene import SceneConfig, make_scene
from mimic.sim.single import SingleRobot
from mimic.sim.states import States
from mimic_base.errors import RobotError
from mimic_base.rotations import (
    quat_exp,
    quat_inv_rotate,
    quat_log,
    quat_mul,
    quat_normalize,
    quat_of_yaw,
    quat_rotate,
    yaw_of_quat,
)
from robots import Robot

AMBIENT = 30.0
"""Degrees Celsius of a motor at rest."""
HEATING = 90.0
"""Degrees above that which full torque reaches in the end."""
WARMING = 120.0
"""s, the time constant of that."""
MODE_MACHINE = 5
"""What a G1 with 29 joints calls itself."""


@dataclass(frozen=True, kw_only=True)
class Imperfections:
    """What a simulated robot's sensors and wire do to messages; all zero: nothing."""

    joint_pos_noise: float = 0.0
    """rad, standard deviation."""
    joint_vel_noise: float = 0.0
    """rad/s."""
    gyro_noise: float = 0.0
    """rad/s."""
    tilt_noise: float = 0.0
    """rad, of the orientation."""
    accelerometer_noise: float = 0.0
    """m/s^2."""
    gyro_bias: float = 0.0
    """rad/s, about every axis, all the time."""
    accelerometer_bias: float = 0.0
    """m/s^2, along every axis, all the time."""
    state_delay: int = 0
    """Ticks by which states are late."""
    command_delay: int = 0
    """Ticks by which commands are late."""
    state_loss: float = 0.0
    """Share of states that are lost."""
    command_loss: float = 0.0
    """Share of commands that are lost."""
    seed: int = 0
    """Of noise and losses."""

    def __post_init__(self) -> None:
        for name in ("state_loss", "command_loss"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise RobotError(f"{name} is a share from 0 to 1 (found {getattr(self, name)})")


@dataclass(frozen=True, kw_only=True)
class SimulationSettings:
    """How a simulated robot is simulated."""

    tick: float = 0.002
    """s between two states, and between two looks at the commands."""
    physics_hz: float = 500.0
    """A multiple of the states' rate."""
    integrator: str = "implicitfast"
    """MuJoCo's integrator: euler, implicit, implicitfast or RK4."""
    command_timeout: float = 0.1
    """s without a command after which the motors go limp."""
    gantry: bool = True
    """Whether the robot hangs in a gantry until `SimulatedRobot.release`."""
    odometry: bool = True
    """Whether it tells its true place and velocity."""


def identity_of(robot: Robot, mode_machine: int = MODE_MACHINE) -> RobotIdentity:
    """Who a simulated robot says it is."""
    return RobotIdentity(
        name=robot.name,
        hash=robot.content_hash,
        joint_names=robot.joint_names,
        joint_lower=robot.soft_lower,
        joint_upper=robot.soft_upper,
        effort_limit=robot.effort_limit,
        velocity_limit=robot.velocity_limit,
        mode_machine=mode_machine,
    )


def inspection_limits(robot: Robot, rules: LimitSettings) -> InspectionLimits:
    """What the robot holds commands to: its own numbers, with the factors that were agreed."""
    return InspectionLimits(
        lower=robot.soft_lower,
        upper=robot.soft_upper,
        rate=rules.rate_factor * robot.velocity_limit,
        torque=robot.effort_limit,
        velocity=robot.velocity_limit,
        kp_cap=rules.kp_factor * robot.kp,
        kd_cap=rules.kd_factor * robot.kd,
    )


class SimulatedRobot:
    """A robot in MuJoCo; a `mimic.deploy.robot_io.RobotIO` whose time passes in `step` only.

    Attributes:
        inspector: what it has counted at its input.
        refused: commands that did not repeat its ``mode_machine``.
        rejected_in_row: always zero: nothing is between it and who holds it.
        remote: the bytes of its wireless remote.
        motor_error: [J] error words that its motors tell.
    """

    def __init__(
        self,
        robot: Robot,
        settings: SimulationSettings | None = None,
        imperfections: Imperfections | None = None,
        *,
        scene: SceneConfig | None = None,
        rules: LimitSettings | None = None,
        mode_machine: int = MODE_MACHINE,
    ) -> None:
        self.robot = robot
        self.settings = settings or SimulationSettings()
        self.imperfections = imperfections or Imperfections()
        made = make_scene(
            robot,
            scene,
            control_hz=1.0 / self.settings.tick,
            physics_hz=self.settings.physics_hz,
            sensors=False,
        )
        names = {"euler": 0, "rk4": 1, "implicit": 2, "implicitfast": 3}
        if self.settings.integrator.lower() not in names:
            raise RobotError(
                f"no integrator '{self.settings.integrator}'; MuJoCo has euler, RK4, implicit and "
                "implicitfast"
            )
        made.model.opt.integrator = names[self.settings.integrator.lower()]
        self.body = SingleRobot(made)
        self.inspector = CommandInspector(inspection_limits(robot, rules or LimitSettings()))
        self.refused = 0
        self.rejected_in_row = 0
        self.remote = NO_REMOTE
        self.motor_error = np.zeros(robot.num_joints)
        self._identity = identity_of(robot, mode_machine)
        self._random = np.random.default_rng(self.imperfections.seed)
        self._temperature = np.full(robot.num_joints, AMBIENT)
        self._steps = 0
        self._pending: deque[tuple[int, RobotCommand, float]] = deque()
        self._told: deque[RobotState] = deque()
        self._newest: RobotState | None = None
        self._commanded: float | None = None
        self._gantry = self.settings.gantry
        self.place(robot.default_joint_pos)

    # a robot -------------------------------------------------------------------------------

    @property
    def identity(self) -> RobotIdentity:
        return self._identity

    @property
    def time(self) -> float:
        """s since it was switched on."""
        return self._steps * self.settings.tick

    def read(self) -> RobotState | None:
        return self._newest

    def write(self, command: RobotCommand, number: int | None = None) -> None:
        """Take a command off the wire.

        Args:
            number: of the command among the sender's ticks; the present tick unless given.
        """
        random = self.imperfections.command_loss
        if random and self._random.random() < random:
            return
        sent = (self._steps if number is None else number) * self.settings.tick
        self._pending.append((self._steps + self.imperfections.command_delay, command, sent))

    def close(self) -> None:
        """Nothing to let go of."""

    # its own -------------------------------------------------------------------------------

    def place(self, joint_pos: Any, root_height: float | None = None) -> None:
        """Put the robot down at the origin with these joints [J] rad, at rest."""
        height = self.robot.default_root_height if root_height is None else root_height
        self.start(
            States(
                root_pos_w=np.array([0.0, 0.0, height]),
                root_quat_w=np.array([1.0, 0.0, 0.0, 0.0]),
                joint_pos=np.asarray(joint_pos, np.float64),
            )
        )

    def start(
        self,
        state: States,
        root_lin_vel_w: Any = (0.0, 0.0, 0.0),
        root_ang_vel_b: Any = (0.0, 0.0, 0.0),
        joint_vel: Any = None,
    ) -> None:
        """Begin in any state, with limp motors; what was on the wire is gone."""
        still = np.zeros(self.robot.num_joints)
        self.body.start(
            state,
            np.asarray(root_lin_vel_w),
            np.asarray(root_ang_vel_b),
            still if joint_vel is None else np.asarray(joint_vel),
        )
        self._limp()
        self._commanded = None
        self._hangs_at = (state.root_pos_w.copy(), yaw_of_quat(state.root_quat_w))
        self._pending.clear()
        self._told.clear()
        self._tell()

    def step(self) -> None:
        """Let one tick pass: take commands, move, tell."""
        while self._pending and self._pending[0][0] <= self._steps:
            _, command, sent = self._pending.popleft()
            self._take(command, sent)
        late = (
            self._commanded is None or self.time - self._commanded > self.settings.command_timeout
        )
        if late:
            self._limp()
        model, data = self.body.model, self.body.data
        if self._gantry:
            for _ in range(self.body.scene.decimation):
                self._pull()
                mujoco.mj_step(model, data)
        else:
            mujoco.mj_step(model, data, nstep=self.body.scene.decimation)
        mujoco.mj_kinematics(model, data)
        self._steps += 1
        load = (self.body.torques / self.robot.effort_limit) ** 2
        warmer = AMBIENT + HEATING * load - self._temperature
        self._temperature = self._temperature + warmer * self.settings.tick / WARMING
        self._tell()

    def release(self) -> None:
        """Let the gantry go."""
        self._gantry = False
        self.body.data.xfrc_applied[:] = 0.0

    def heat(self, joint: int, temperature: float) -> None:
        """Set a motor's temperature, degrees Celsius."""
        self._temperature[joint] = temperature

    @property
    def limp(self) -> bool:
        """Whether the motors do nothing."""
        gains = self.body.model.actuator_gainprm[:, 0], self.body.model.actuator_biasprm[:, 2]
        return not any(np.any(each) for each in gains)

    @property
    def damps(self) -> bool:
        """Whether the motors resist motion and do nothing else."""
        model = self.body.model
        return not np.any(model.actuator_gainprm[:, 0]) and bool(
            np.any(model.actuator_biasprm[:, 2])
        )

    def _take(self, command: RobotCommand, sent: float) -> None:
        if command.mode_machine != self._identity.mode_machine:
            self.refused += 1
            return
        self.inspector.inspect(command, sent)
        self._commanded = self.time
        numbers = [array(getattr(command, name)) for name in ("joint_pos", "kp", "kd")]
        if not all(np.isfinite(each).all() for each in numbers):
            numbers = [np.nan_to_num(each) for each in numbers]
        pos, kp, kd = numbers
        model, data = self.body.model, self.body.data
        model.actuator_gainprm[:, 0] = kp
        model.actuator_biasprm[:, 0] = kd * array(command.joint_vel) + array(command.torque)
        model.actuator_biasprm[:, 1] = -kp
        model.actuator_biasprm[:, 2] = -kd
        data.ctrl[:] = pos

    def _limp(self) -> None:
        model = self.body.model
        model.actuator_gainprm[:, 0] = 0.0
        model.actuator_biasprm[:, :3] = 0.0

    def _pull(self) -> None:
        """The gantry: holds the base upright over its place, and up once it sinks."""
        data, state = self.body.data, self.body.state
        place, yaw = self._hangs_at
        pos, quat, spin = state.root_pos_w, state.root_quat_w, self.body.root_ang_vel_b
        vel = quat_rotate(quat, self.body.root_lin_vel_b)
        force = 2000.0 * (place - pos) - 200.0 * vel
        force[2] = max(0.0, 20000.0 * (place[2] - 0.02 - pos[2]) - 1000.0 * vel[2])
        lean = quat_log(quat_mul(quat_of_yaw(yaw), quat * [1.0, -1.0, -1.0, -1.0]))
        data.xfrc_applied[1, :3] = force
        data.xfrc_applied[1, 3:] = 500.0 * lean - 30.0 * quat_rotate(quat, spin)

    def _tell(self) -> None:
        flaws, random = self.imperfections, self._random
        joints = self.robot.num_joints

        def noisy(values: Array, spread: float) -> Array:
            return values + spread * random.standard_normal(len(values)) if spread else values

        state = self.body.state
        quat = state.root_quat_w
        pos = noisy(state.joint_pos, flaws.joint_pos_noise)
        self.inspector.measured(self.time, pos)
        if flaws.tilt_noise:
            quat = quat_mul(quat, quat_exp(flaws.tilt_noise * random.standard_normal(3)))
        odometry = None
        if self.settings.odometry:
            odometry = Odometry(pos_w=state.root_pos_w, lin_vel_b=self.body.root_lin_vel_b)
        # What an accelerometer at the base's origin feels: acceleration less gravity.
        felt = self.body.data.qacc[:3] + np.array([0.0, 0.0, 9.81])
        told = RobotState(
            time=self.time,
            tick=round(self.time * 1000.0) & 0xFFFFFFFF,
            mode_machine=self._identity.mode_machine,
            joint_pos=pos,
            joint_vel=noisy(self.body.joint_vel, flaws.joint_vel_noise),
            joint_torque=self.body.torques if joints else np.zeros(0),
            motor_temperature=self._temperature,
            motor_error=self.motor_error,
            imu_quat_w=quat_normalize(quat),
            gyro=noisy(self.body.root_ang_vel_b + flaws.gyro_bias, flaws.gyro_noise),
            accelerometer=noisy(
                quat_inv_rotate(state.root_quat_w, felt) + flaws.accelerometer_bias,
                flaws.accelerometer_noise,
            ),
            remote=self.remote,
            odometry=odometry,
        )
        self._told.append(told)
        if len(self._told) > flaws.state_delay:
            late = self._told.popleft()
            if not (flaws.state_loss and random.random() < flaws.state_loss):
                self._newest = _arrived(late, self.time)


def _arrived(state: RobotState, time: float) -> RobotState:
    """A state as it is when it arrives at ``time`` s."""
    if state.time == time:
        return state
    return replace(state, time=time)


def physics_rate(tick: float, wanted: float) -> float:
    """The lowest rate of physics, Hz, that is at least ``wanted`` and a multiple of the ticks'."""
    return math.ceil(wanted * tick - 1e-9) / tick
