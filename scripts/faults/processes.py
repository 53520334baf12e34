"""Faults of guard, robot, the policy's loop and the page as processes: a G1 stands in its gantry.

The faults of the page have a real one beside the loop, which tells it 50 snapshots a second and
hears its buttons; they are left out where viser is not installed.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

import robots
from faults.bench import STEP, TICK
from faults.cases import PROCESSES, Case
from mimic.deploy.guard import Request
from mimic.deploy.guard_process import GuardConfig
from mimic.deploy.loop import STAGES
from mimic.deploy.modes import Mode
from mimic.deploy.packing import Rows
from mimic.deploy.page.process import PageConfig
from mimic.deploy.page.start import page_process
from mimic.deploy.robot_process import RobotProcessConfig
from mimic.deploy.session import ended, guard_process, one_thread, short_folder, simulated_robot
from mimic.deploy.setup import SHIPPED_POLICY, DeploySettings, command_limits
from mimic.deploy.simulated import identity_of
from mimic.policy.player import PolicyPlayer
from mimic_base.browser_page import require_viser
from mimic_base.errors import UserError

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
LOOP_WITH_PAGE = """
import sys, time, socket
from mimic.deploy.loop import STAGES
from mimic.deploy.page.link import PageLink
from mimic.deploy.page.snapshot import SnapshotRows
pilot, page = (socket.socket(fileno=int(each)) for each in (sys.argv[1], sys.argv[4]))
data, number = open(sys.argv[2], "rb").read(), 0
link = PageLink(page, SnapshotRows(29, STAGES), 1, say=lambda line: None)
print("going", flush=True)
while True:
    number += 1
    pilot.send(number.to_bytes(4, "little") + data[4:])
    link.events()
    link.tell()
    time.sleep(0.02 / float(sys.argv[3]))
"""
FLOOD = """
import socket, sys
ends = [socket.socket(fileno=int(each)) for each in sys.argv[1:]]
for end in ends:
    end.setblocking(False)
sys.stdin.readline()
while True:
    for end in ends:
        try:
            end.send(b"stop")
        except BlockingIOError:
            pass
        except OSError:
            raise SystemExit
"""
"""Somebody in the place of the page, who presses stop as fast as a processor can, at the guard and
at the loop."""
SLACK = 0.03
"""s, of the robot's time, that a busy computer may take to give each process its turn."""


@dataclass(frozen=True)
class ProcessFault:
    """Something that goes wrong with processes.

    Attributes:
        strike: does it, told the robot, the loop, the guard and the pace; those of the page are
            told the page in place of the robot.
        within: s of the robot's time within which the motors damp; None: not demanded.
        page: whether a page is there: ``page``, or ``flood`` in its place; empty: none.
        harmless: whether the motors must go on as if nothing had happened.
    """

    strike: Callable[[Any, Process, Process, float], None]
    within: float | None
    page: str = ""
    harmless: bool = False


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
    "SIGKILL of the page": ProcessFault(
        lambda page, loop, guard, pace: page.send_signal(signal.SIGKILL),
        None,
        page="page",
        harmless=True,
    ),
    "SIGSTOP of the page": ProcessFault(
        lambda page, loop, guard, pace: page.send_signal(signal.SIGSTOP),
        None,
        page="page",
        harmless=True,
    ),
    "flood of stops of the page": ProcessFault(
        lambda page, loop, guard, pace: page.stdin.write(b"\n"), 2 * TICK + SLACK, page="flood"
    ),
}


def there() -> dict[str, ProcessFault]:
    """The faults that this computer can make: those of a page need viser."""
    try:
        require_viser()
    except UserError:
        return {name: each for name, each in FAULTS.items() if each.page != "page"}
    return FAULTS


@contextmanager
def flood() -> Iterator[tuple[Process, socket.socket, socket.socket]]:
    """Somebody who presses stop without end, once told so; and the loop's and the guard's ends."""
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2)]
    given = [theirs.fileno() for _, theirs in pairs]
    process = subprocess.Popen(
        [sys.executable, "-c", FLOOD, *map(str, given)], pass_fds=given, stdin=subprocess.PIPE,
        bufsize=0,
    )  # fmt: skip
    for _, theirs in pairs:
        theirs.close()
    try:
        yield process, pairs[0][0], pairs[1][0]
    finally:
        process.kill()
        process.wait()
        for ours, _ in pairs:
            ours.close()


class Processes:
    """Makes cases; what all of them share is made once."""

    def __init__(self, pace: float) -> None:
        """Prepare them for robots at ``pace`` times real time."""
        player, robot = PolicyPlayer(SHIPPED_POLICY), robots.load("unitree_g1")
        self.pace, self.settings, self.identity = pace, DeploySettings(), identity_of(robot)
        self.limits = command_limits(player, self.identity, self.settings)
        self.page = PageConfig(
            host="127.0.0.1", port=0, robot="unitree_g1", title="faults",
            joint_names=self.identity.joint_names,
            effort_limit=tuple(map(float, robot.effort_limit)), temperature=90.0, tilt=0.8,
            clips=("clip",), send=True, auto=True, lock_step=False, control_dt=STEP, stages=STAGES,
        )  # fmt: skip
        self.standing = Request(
            number=1, mode=Mode.STAND, joint_pos=robot.default_joint_pos, kp=3 * robot.kp,
            kd=3 * robot.kd, up_b=np.array([0.0, 0.0, 1.0]), reference=robot.default_joint_pos,
        )  # fmt: skip

    @contextmanager
    def beside(self, kind: str) -> Iterator[tuple[Process, socket.socket, socket.socket] | None]:
        """The page of a fault: its process, the loop's end of a socket to it, and the guard's."""
        if kind == "page":
            with page_process(self.page) as page:
                yield page.process, page.loop, page.guard
        elif kind == "flood":
            with flood() as made:
                yield made
        else:
            yield None

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
            with (
                self.beside(fault.page) as page,
                simulated_robot(config) as simulated,
                guard_process(guard, page[2] if page else None) as (pilot, process),
            ):
                given = [pilot.fileno(), *([page[1].fileno()] if page else [])]
                words = [str(given[0]), str(request), str(pace), *map(str, given[1:])]
                loop = subprocess.Popen(
                    [sys.executable, "-c", LOOP_WITH_PAGE if page else LOOP, *words],
                    pass_fds=given, stdout=subprocess.PIPE, env=one_thread(),
                )  # fmt: skip
                pilot.close()
                assert loop.stdout is not None
                loop.stdout.readline()
                time.sleep(random.uniform(0.10, 0.14) / pace)
                simulated.tell(mark=True)
                fault.strike(page[0] if page else simulated, loop, process, pace)
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
            damped=damped if damped is not None and (damped >= -TICK or fault.harmless) else None,
            held=not counted["limp"],
            commands=counted["commands"],
            unsafe=counted["unsafe"],
            harmless=fault.harmless,
            first=counted["first"] or ("damped before the fault" if (damped or 0) < -TICK else ""),
        )
