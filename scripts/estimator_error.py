"""The estimator against the truth of a simulated robot, in walking, squatting and pushes.

python scripts/estimator_error.py [--hz 500] [--seeds 3] [--only pushed]

Walking and pushes: the shipped policy, which observes what is estimated. Squats: a crouch and back,
every 4 s, with the weight over the feet, by stiff joints. In each case the truth beside the
estimate: rms and largest error of velocity (along the base's axes), tilt, height, and drift along
the floor from where tracking began.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import mujoco
import numpy as np

import robots
from mimic.deploy.estimation.estimator import StateEstimator, WithEstimate
from mimic.deploy.kinematics import Chain
from mimic.deploy.lockstep import LockStep
from mimic.deploy.messages import RobotCommand
from mimic.deploy.modes import Mode
from mimic.deploy.pilot import PilotSettings
from mimic.deploy.setup import (
    SHIPPED_POLICY,
    DeploySettings,
    make_guard,
    make_pilot,
    references_of,
)
from mimic.deploy.simulated import (
    Imperfections,
    SimulatedRobot,
    SimulationSettings,
    physics_rate,
)
from mimic.policy.player import PolicyPlayer
from mimic_base.rotations import quat_inv_rotate, quat_to_matrix

NOISE = {
    "none": {},
    "sensors": {
        "joint_pos_noise": 0.002, "joint_vel_noise": 0.1, "gyro_noise": 0.01,
        "accelerometer_noise": 1.0, "gyro_bias": 0.001, "accelerometer_bias": 0.1,
        "tilt_noise": 0.01,
    },
    "training": {
        "joint_pos_noise": 0.01, "joint_vel_noise": 0.5, "gyro_noise": 0.2, "tilt_noise": 0.02,
        "accelerometer_noise": 1.0,
    },
}  # fmt: skip
"""Standard deviations of what is measured, in each state."""


@dataclass
class Errors:
    """What was off, state by state."""

    vel: list[np.ndarray] = field(default_factory=list)
    tilt: list[float] = field(default_factory=list)
    pos: list[np.ndarray] = field(default_factory=list)
    way: float = 0.0
    _before: np.ndarray | None = None

    def add(self, simulated: SimulatedRobot, estimator: StateEstimator) -> None:
        state, kalman = simulated.body.state, estimator.filter
        assert kalman is not None
        self.vel.append(kalman.turn.T @ kalman.vel - simulated.body.root_lin_vel_b)
        up = [0.0, 0.0, 1.0]
        cosine = float(kalman.turn[2] @ quat_inv_rotate(state.root_quat_w, up))
        self.tilt.append(np.arccos(np.clip(cosine, -1.0, 1.0)))
        self.pos.append(kalman.pos - state.root_pos_w)
        if self._before is not None:
            self.way += float(np.linalg.norm((state.root_pos_w - self._before)[:2]))
        self._before = state.root_pos_w


def deployed(
    robot: robots.Robot,
    hz: float,
    flaws: Imperfections,
    push: float,
    *,
    estimate: bool,
    hold: float,
) -> tuple[Errors, str]:
    """The shipped policy from its start to ``hold`` s after the clip's end."""
    player = PolicyPlayer(SHIPPED_POLICY)
    settings = SimulationSettings(
        tick=1.0 / hz, physics_hz=physics_rate(1.0 / hz, 500.0), odometry=not estimate
    )
    simulated = SimulatedRobot(robot, settings, flaws)
    deploy = DeploySettings(command_hz=hz, pilot=PilotSettings(stand_s=1.0, ready_s=0.5))
    contract, identity = player.contract, simulated.identity
    estimator = StateEstimator(robot)
    steps = LockStep(
        simulated,
        make_guard(player, identity, deploy),
        make_pilot(
            player, identity, references_of(player, ()),
            Chain.of(robot, contract.anchor_body, contract.joint_names), deploy,
        ),
        deploy.every(contract.control_dt),
        see=WithEstimate(estimator),
    )  # fmt: skip
    if not estimate:
        steps.see = lambda state: state
    errors, random = Errors(), np.random.default_rng(flaws.seed)
    force, until, again = np.zeros(3), 0.0, 4.0
    for _ in steps.run(60.0):
        if push and steps.pilot.mode in (Mode.TRACK, Mode.HOLD):
            if simulated.time > again:
                angle = random.uniform(0.0, 2.0 * np.pi)
                force = push * np.array([np.cos(angle), np.sin(angle), 0.0])
                until, again = simulated.time + 0.2, simulated.time + 1.5
            simulated.body.data.xfrc_applied[1, :3] = force if simulated.time < until else 0.0
        if estimate and steps.pilot.mode in (Mode.TRACK, Mode.HOLD):
            errors.add(simulated, estimator)
        if steps.guard.trip:
            return errors, f"{steps.guard.trip} after {simulated.time:.1f} s"
        held = simulated.time - steps.pilot.machine.since
        if steps.pilot.mode == Mode.HOLD and held >= hold:
            break
    return errors, "to the end"


def crouches(robot: robots.Robot, depth: float) -> Iterator[np.ndarray]:
    """Joints [J] from standing to a crouch and back in 200 steps, the mass over the soles."""
    model, data = robot.model, mujoco.MjData(robot.model)

    def column(*parts: str) -> list[int]:
        return [
            k for k, name in enumerate(robot.joint_names) if all(part in name for part in parts)
        ]

    hip, knee = column("hip_pitch"), column("knee")
    ankle = column("ankle_pitch")

    def pose(bend: float, lean: float) -> np.ndarray:
        joints = robot.default_joint_pos.copy()
        joints[knee] += bend
        joints[hip] -= 0.5 * bend + lean
        # The soles stay flat.
        joints[ankle] += lean - 0.5 * bend
        data.qpos[:7], data.qpos[7:] = [0, 0, 1, 1, 0, 0, 0], joints
        mujoco.mj_forward(model, data)
        return joints

    def over(bend: float) -> np.ndarray:
        foot = model.body(robot.feet[0]).id
        low, high = -0.6, 0.6
        for _ in range(25):
            lean = 0.5 * (low + high)
            pose(bend, lean)
            # Leaning turns the whole upper body with the base, whose frame this is.
            turn = quat_to_matrix(data.xquat[foot])
            centre = turn.T @ (data.subtree_com[0] - data.xpos[foot])
            low, high = (lean, high) if centre[0] > 0.035 else (low, lean)
        return pose(bend, 0.5 * (low + high))

    most = 2.0 * np.arccos(1.0 - depth / 0.6) * 0.75
    table = [over(most * 0.5 * (1 - np.cos(2 * np.pi * k / 200))) for k in range(200)]
    while True:
        yield from table


def squats(robot: robots.Robot, hz: float, flaws: Imperfections) -> tuple[Errors, str]:
    """Three crouches of stiff joints."""
    settings = SimulationSettings(
        tick=1.0 / hz, physics_hz=physics_rate(1.0 / hz, 500.0), odometry=False
    )
    simulated, estimator = SimulatedRobot(robot, settings, flaws), StateEstimator(robot)
    errors, poses, still = Errors(), crouches(robot, 0.15), np.zeros(robot.num_joints)
    target = next(poses)
    simulated.place(target)
    every = round(hz / 50.0)
    ankles = [k for k, name in enumerate(robot.joint_names) if "ankle_pitch" in name]
    for tick in range(round(13.0 * hz)):
        if tick == round(0.5 * hz):
            simulated.release()
        if tick % every == 0 and tick >= hz:
            target = next(poses)
        # What leans forwards presses its toes down.
        lean = quat_to_matrix(simulated.body.state.root_quat_w)[0, 2]
        told = target.copy()
        told[ankles] += 1.0 * lean + 0.15 * simulated.body.root_ang_vel_b[1]
        simulated.write(
            RobotCommand(
                joint_pos=told, joint_vel=still, torque=still, kp=4.0 * robot.kp,
                kd=4.0 * robot.kd, mode_machine=simulated.identity.mode_machine,
            )
        )  # fmt: skip
        simulated.step()
        state = simulated.read()
        assert state is not None
        estimator(state)
        if tick >= hz:
            errors.add(simulated, estimator)
        if simulated.body.state.root_pos_w[2] < 0.4:
            return errors, f"fell after {simulated.time:.1f} s"
    return errors, "to the end"


def line(case: str, noise: str, errors: Errors, end: str) -> str:
    """A row of the table."""
    vel, pos = np.array(errors.vel), np.array(errors.pos)
    off = pos - pos[0] * [1.0, 1.0, 0.0]
    drift = np.linalg.norm(off[:, :2], axis=1)
    rms = np.sqrt((vel**2).sum(1).mean())
    return (
        f"| {case} | {noise} | {len(vel)} | {rms:.3f} | {np.linalg.norm(vel, axis=1).max():.2f} | "
        f"{np.degrees(np.sqrt(np.mean(np.square(errors.tilt)))):.2f} | "
        f"{1e3 * np.sqrt((off[:, 2] ** 2).mean()):.1f} | {drift[-1]:.3f} | {errors.way:.1f} | "
        f"{end} |"
    )


def main() -> None:
    """Print the table."""
    asked = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    asked.add_argument("--hz", type=float, default=500.0, help="states a second")
    asked.add_argument("--seeds", type=int, default=1, help="of each case")
    asked.add_argument("--only", default="", help="cases whose name begins so")
    options = asked.parse_args()
    robot = robots.load("unitree_g1")
    print(
        "| case | noise | states | velocity rms m/s | max | tilt rms deg | height rms mm | "
        "drift m | way m | came |\n|---|---|---|---|---|---|---|---|---|---|"
    )
    begin = time.process_time()
    for noise, flaws in NOISE.items():
        for seed in range(options.seeds):
            made = Imperfections(**flaws, seed=seed)
            for case in ("walk", "squat", "pushed 20 N", "pushed 40 N"):
                if not case.startswith(options.only):
                    continue
                if case == "squat":
                    errors, end = squats(robot, options.hz, made)
                else:
                    push = float(case.split()[1]) if "pushed" in case else 0.0
                    errors, end = deployed(robot, options.hz, made, push, estimate=True, hold=6.0)
                    _, true = deployed(robot, options.hz, made, push, estimate=False, hold=6.0)
                    end += f" (with the truth {true})"
                print(line(case, noise, errors, end), flush=True)
    print(f"{time.process_time() - begin:.0f} s of processor time")


if __name__ == "__main__":
    main()
