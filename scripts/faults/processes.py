"""Faults of guard, robot and the policy's loop as processes: a G1 stands in its gantry."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import robots
from faults.bench import STEP, TICK
from faults.cases import PROCESSES, Case
from mimic.deploy.guard import Request
from mimic.deploy.guard_process import GuardConfig
from mimic.deploy.modes import Mode
from mimic.deploy.packing import Rows
from mimic.deploy.robot_process import RobotProcessConfig
from mimic.deploy.session import ended, guard_process, short_folder, simulated_robot
from mimic.deploy.setup import SHIPPED_POLICY, DeploySettings, command_limits
from mimic.deploy.simulated import identity_of
from mimic.policy.player import PolicyPlayer

Process = subprocess.Popen[bytes]

LOOP = """
import sys, time, socket
pilot = socket.socket(fileno=int(sys.argv[1]))
data, number = open(sys.argv[2], "rb").read(), 0
print("going", flush=True)
while True:
    number += 1
    pilot.send(number.to_bytes(4, "little") + data[4:])
    time.sleep(0.02 / float(sys.argv[3]))
"""
SLACK = 0.03
"""s, of the robot's time, that a busy computer may take to give each process its turn."""


@dataclass(frozen=True)
class ProcessFault:
    """Something that goes wrong with processes.

    Attributes:
        strike: does it, told the robot, the loop, the guard and the pace.
        within: s of the robot's time within which the motors damp; None: not demanded.
    """

    strike: Callable[[Any, Process, Process, float], None]
    within: float | None


def _stopped_guard(_: Any, __: Process, guard: Process, pace: float) -> None:
    guard.send_signal(signal.SIGSTOP)
    time.sleep(0.06 / pace)
    guard.send_signal(signal.SIGCONT)


SILENT = 0.060 + STEP + 2 * TICK + SLACK
FAULTS: dict[str, ProcessFault] = {
    "SIGKILL of the loop": ProcessFault(
        lambda robot, loop, guard, pace: loop.send_signal(signal.SIGKILL), 2 * TICK + SLACK
    ),
    "SIGSTOP of the loop": ProcessFault(
        lambda robot, loop, guard, pace: loop.send_signal(signal.SIGSTOP), SILENT
    ),
    "SIGTERM of the loop": ProcessFault(
        lambda robot, loop, guard, pace: loop.send_signal(signal.SIGTERM), 2 * TICK + SLACK
    ),
    "robot falls silent": ProcessFault(
        lambda robot, loop, guard, pace: robot.tell(mute=True), 0.040 + 2 * TICK + SLACK
    ),
    "flipped bits": ProcessFault(
        lambda robot, loop, guard, pace: robot.tell(flip=True), 0.040 + 2 * TICK + SLACK
    ),
    "remote stop": ProcessFault(
        lambda robot, loop, guard, pace: robot.tell(buttons=["B"]), 3 * TICK + SLACK
    ),
    "guard stopped for 60 ms": ProcessFault(_stopped_guard, 0.060 + 2 * TICK + SLACK),
    "SIGTERM of the guard": ProcessFault(
        lambda robot, loop, guard, pace: guard.send_signal(signal.SIGTERM), 2 * TICK + SLACK
    ),
    # Nothing is sent any more; the robot goes limp by itself.
    "SIGKILL of the guard": ProcessFault(
        lambda robot, loop, guard, pace: guard.send_signal(signal.SIGKILL), None
    ),
}


class Processes:
    """Makes cases; what all of them share is made once."""

    def __init__(self, pace: float) -> None:
        """Prepare them for robots at ``pace`` times real time."""
        player, robot = PolicyPlayer(SHIPPED_POLICY), robots.load("unitree_g1")
        self.pace, self.settings, self.identity = pace, DeploySettings(), identity_of(robot)
        self.limits = command_limits(player, self.identity, self.settings)
        self.standing = Request(
            number=1, mode=Mode.STAND, joint_pos=robot.default_joint_pos, kp=3 * robot.kp,
            kd=3 * robot.kd, up_b=np.array([0.0, 0.0, 1.0]), reference=robot.default_joint_pos,
        )  # fmt: skip

    def case(self, name: str, number: int, seed: int) -> Case:
        """One case with guard, robot and loop as processes."""
        fault, pace = FAULTS[name], self.pace
        random = np.random.default_rng([seed, number])
        with short_folder() as folder:
            config = RobotProcessConfig(
                bus=str(folder), pace=pace, results=str(folder / "results.npz")
            )
            guard = GuardConfig(
                bus=str(folder), identity=self.identity, limits=self.limits,
                thresholds=self.settings.thresholds, tick=TICK, pace=pace, leave_s=0.2,
                lonely_s=0.2,
            )  # fmt: skip
            request = folder / "request"
            request.write_bytes(Rows(self.identity.num_joints).request_bytes(self.standing))
            with simulated_robot(config) as simulated, guard_process(guard) as (socket, process):
                loop = subprocess.Popen(
                    [sys.executable, "-c", LOOP, str(socket.fileno()), str(request), str(pace)],
                    pass_fds=[socket.fileno()], stdout=subprocess.PIPE,
                )  # fmt: skip
                socket.close()
                assert loop.stdout is not None
                loop.stdout.readline()
                time.sleep(random.uniform(0.10, 0.14) / pace)
                simulated.tell(mark=True)
                fault.strike(simulated, loop, process, pace)
                time.sleep(((fault.within or 0.1) + 0.04) / pace)
                counted = simulated.end()
                loop.kill()
                loop.wait()
                loop.stdout.close()
                ended(process, 3.0 / pace)
        since, marked = counted["damped_since"], counted["marked"]
        damped = None if since is None or marked is None else since - marked
        return Case(
            part=PROCESSES,
            number=number,
            seed=seed,
            fault=name,
            mode=Mode.STAND.name,
            demanded=fault.within is not None,
            within=fault.within or 0.0,
            # Damping that began before the fault is none of it.
            damped=damped if damped is not None and damped >= -TICK else None,
            held=not counted["limp"],
            commands=counted["commands"],
            unsafe=counted["unsafe"],
            first=counted["first"] or ("damped before the fault" if (damped or 0) < -TICK else ""),
        )
