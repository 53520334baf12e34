"""Which robot is meant: one that is simulated here, or one on a network."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mimic.deploy.messages import RobotIdentity
from mimic.deploy.wire import booster
from mimic.deploy.wire.dds import check_network, is_loopback, name_of
from mimic_base.errors import RobotError

SIMULATED = "simulated"
ROBOTS_DOMAIN, SIMULATED_DOMAIN = 0, 1
"""Domains of DDS: of Unitree's robots, and of what is simulated, which must not reach them."""
MODE_MACHINES = {"unitree_g1": 5, "unitree_h1": 0, "booster_t1": 0}
"""Robots that are reached, and what each calls its kind (``mode_machine``): the G1 with 29 joints.
One whose waist is locked calls itself otherwise, and is another robot for a policy too. The H1's
messages do not tell it, and a Booster T1's SDK has none."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A robot, where it is, and what may be done with it.

    Attributes:
        robot: name or description file; empty: the policy's own.
        simulated: whether this program simulates it, for this deployment alone.
        network: a folder, ``dds:INTERFACE:DOMAIN`` or ``booster:INTERFACE:DOMAIN``; empty: a
            folder of its own.
        loopback: whether only simulated robots of this computer can be there.
        send: whether commands are sent; else they are computed and told (dry run).
    """

    robot: str
    simulated: bool
    network: str
    loopback: bool
    send: bool


def target_of(
    robot: str, interface: str | None, *, domain: int | None, real: bool, confirm: str | None
) -> Target:
    """What the options ask for.

    Args:
        robot: ``simulated``, ``simulated:NAME``, or the name of a robot on ``interface``.
        interface: name of a network interface, or a folder, with a slash.
        domain: of DDS; None: that of Unitree's robots, or for a simulated one another.
        real: whether a robot that is not simulated may be moved.
        confirm: the robot's name, given in place of typing it.

    Raises:
        RobotError: options that contradict each other, or a robot that cannot be reached.
    """
    kind, _, name = robot.partition(":")
    simulated = kind == SIMULATED
    if simulated and (real or confirm):
        raise RobotError(
            f"--{'real' if real else 'confirm'} is for a robot on a network; a simulated one "
            "(--robot simulated) always moves, leave it out"
        )
    if not simulated and not interface:
        raise RobotError(
            f"--robot {robot}: a robot that is not simulated is reached over a network; name it "
            "with --interface, or give --robot simulated"
        )
    if confirm and not real:
        raise RobotError("--confirm goes with --real: without it nothing is sent anyway")
    if robot in booster.ROBOTS and interface:
        network, loopback = _through_sdk(interface, domain), False
    else:
        network, loopback = _network(interface, simulated, domain)
    return Target(
        robot=name if simulated else robot,
        simulated=simulated,
        network=network,
        loopback=loopback,
        send=simulated or real,
    )


def _through_sdk(interface: str, domain: int | None) -> str:
    """Name of the network of a robot that is reached through its vendor's SDK."""
    if domain is not None and not 0 <= domain <= 230:
        raise RobotError(f"--domain {domain}: a number from 0 to 230")
    booster.check_interface(interface)
    return booster.name_of(interface, ROBOTS_DOMAIN if domain is None else domain)


def _network(interface: str | None, simulated: bool, domain: int | None) -> tuple[str, bool]:
    """Name of the network, and whether it is within this computer."""
    folder = interface is not None and os.sep in interface
    if domain is not None and (interface is None or folder or not 0 <= domain <= 230):
        raise RobotError(
            f"--domain {domain}: goes with --interface NAME, for DDS, and is a number from 0 to 230"
        )
    if interface is None:
        return "", True
    if folder and simulated:
        raise RobotError(
            f"--interface {interface} is for a robot that is there already; --robot simulated "
            "starts one of its own, leave it out or name the robot"
        )
    if folder:
        if not Path(interface).is_dir():
            raise RobotError(
                f"--interface {interface}: not a folder; name the folder that a simulated robot is "
                "reached in, or a network interface such as eth0"
            )
        return interface, True
    check_network(interface)
    loopback = is_loopback(interface)
    if simulated and not loopback:
        raise RobotError(
            f"--interface {interface}: a simulated robot stays on this computer; give --interface "
            "lo, or name the robot that is on that network"
        )
    if domain is None:
        domain = SIMULATED_DOMAIN if simulated else ROBOTS_DOMAIN
    return name_of(interface, domain), loopback


def as_reached(identity: RobotIdentity, network: str) -> int:
    """The ``mode_machine`` that a robot on a network has to tell.

    Raises:
        RobotError: a robot that nobody has told us how to reach.
    """
    if identity.name not in MODE_MACHINES:
        raise RobotError(
            f"robot '{identity.name}' is not reached over a network so far, only "
            f"{', '.join(MODE_MACHINES)}; try --robot simulated:{identity.name}"
        )
    if (identity.name in booster.ROBOTS) != network.startswith(booster.PREFIX):
        raise RobotError(
            f"robot '{identity.name}' is not reached on {network}, but through its vendor's SDK; "
            f"give --robot {identity.name} --interface NAME"
        )
    return MODE_MACHINES[identity.name]
