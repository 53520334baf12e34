"""Which robot is meant: one that is simulated here, or one on a network."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mimic.deploy.messages import RobotIdentity
from mimic_base.errors import RobotError

SIMULATED = "simulated"
MODE_MACHINES = {"unitree_g1": 5}
"""Robots that are reached, and what each calls its kind (``mode_machine``): the G1 with 29 joints.
One whose waist is locked calls itself otherwise, and is another robot for a policy too."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A robot, where it is, and what may be done with it.

    Attributes:
        robot: name or description file; empty: the policy's own.
        simulated: whether this program simulates it, for this deployment alone.
        interface: folder of a loopback bus that it is on; empty: a bus of its own.
        send: whether commands are sent; else they are computed and told (dry run).
    """

    robot: str
    simulated: bool
    interface: str
    send: bool

    @property
    def loopback(self) -> bool:
        """Whether only simulated robots of this computer can be there."""
        return self.simulated or os.sep in self.interface


def target_of(robot: str, interface: str | None, *, real: bool, confirm: str | None) -> Target:
    """What the options ask for.

    Args:
        robot: ``simulated``, ``simulated:NAME``, or the name of a robot on ``interface``.
        real: whether a robot that is not simulated may be moved.
        confirm: the robot's name, given in place of typing it.

    Raises:
        RobotError: options that contradict each other, or a robot that cannot be reached.
    """
    kind, _, name = robot.partition(":")
    if kind == SIMULATED:
        if real or confirm:
            raise RobotError(
                f"--{'real' if real else 'confirm'} is for a robot on a network; a simulated one "
                "(--robot simulated) always moves, leave it out"
            )
        if interface:
            raise RobotError(
                f"--interface {interface} is for a robot that is there already; --robot simulated "
                "starts one of its own, leave it out or name the robot"
            )
        return Target(robot=name, simulated=True, interface="", send=True)
    if not interface:
        raise RobotError(
            f"--robot {robot}: a robot that is not simulated is reached over a network; name it "
            "with --interface, or give --robot simulated"
        )
    if os.sep not in interface or not Path(interface).is_dir():
        raise RobotError(
            f"--interface {interface}: not a folder; name the folder that a simulated robot is "
            "reached in, with a slash (./robots)"
        )
    if confirm and not real:
        raise RobotError("--confirm goes with --real: without it nothing is sent anyway")
    return Target(robot=robot, simulated=False, interface=interface, send=real)


def as_reached(identity: RobotIdentity) -> int:
    """The ``mode_machine`` that a robot on a network has to tell.

    Raises:
        RobotError: a robot that nobody has told us how to reach.
    """
    if identity.name not in MODE_MACHINES:
        raise RobotError(
            f"robot '{identity.name}' is not reached over a network so far, only "
            f"{', '.join(MODE_MACHINES)}; try --robot simulated:{identity.name}"
        )
    return MODE_MACHINES[identity.name]
