"""Which messages a robot speaks."""

from __future__ import annotations

from typing import Protocol

from mimic.deploy.messages import Odometry, RobotCommand, RobotIdentity, RobotState
from mimic.deploy.wire.go import GoCodec
from mimic.deploy.wire.hg import HgCodec, check_slots

GO_ROBOTS = ("unitree_h1",)
"""Robots that speak `unitree_go`; all others are simulated in `unitree_hg`, whose first slots take
any robot's joints."""


class Codec(Protocol):
    """Between a robot's messages and bytes.

    Attributes:
        family: of Unitree's messages, ``hg`` or ``go``.
    """

    @property
    def family(self) -> str: ...

    def encode_command(self, command: RobotCommand) -> bytes:
        """A command on the wire."""
        ...

    def decode_command(self, data: bytes) -> RobotCommand:
        """A command off the wire; `mimic.deploy.wire.hg.WrongMessage` where it is none."""
        ...

    def encode_state(self, state: RobotState) -> bytes:
        """A state on the wire."""
        ...

    def decode_state(
        self, data: bytes, time: float, odometry: Odometry | None = None
    ) -> RobotState:
        """A state off the wire, which came at ``time`` s; as `decode_command`."""
        ...


def family_of(robot: str) -> str:
    """The family of messages that a robot of this name speaks."""
    return "go" if robot in GO_ROBOTS else "hg"


def codec_of(identity: RobotIdentity) -> Codec:
    """The messages of a robot.

    Raises:
        RobotError: joints that stand at no motor of its messages.
    """
    if family_of(identity.name) == "go":
        return GoCodec(identity)
    check_slots(identity)
    return HgCodec(joints=identity.num_joints)
