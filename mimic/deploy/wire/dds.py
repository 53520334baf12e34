"""Topics over DDS, as Unitree's robots have them: cyclonedds carries our codec's bytes.

The message classes below exist for their names and types, which both ends of DDS compare; their
bytes pass through unread. So a message is the same to the last bit as over `mimic.deploy.wire.bus`,
whose interface this is.

A robot's own programs speak cyclonedds 0.10. A program with a newer one in the same domain was seen
to crash them (their process, not ours), so that a newer one is refused on every network but this
computer's own loopback.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from functools import cache
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from mimic.deploy.wire import go
from mimic.deploy.wire.bus import Message
from mimic.deploy.wire.hg import HEADER
from mimic_base.errors import RobotError

PREFIX = "dds:"
"""Of a bus's name that is a network: ``dds:INTERFACE:DOMAIN``."""
ROBOTS_VERSION = "0.10"
"""Of cyclonedds, in a robot."""
HISTORY = 16
"""Messages that wait to be read."""
LISTENING = 1.5
"""s of listening for others: finding each other takes DDS a while."""
INSTALL = "pip install -e '.[unitree]'"
_LOOPBACK = 0x8


@dataclass(frozen=True, kw_only=True)
class Topic:
    """A topic of the bus as DDS names it.

    Attributes:
        name: of the topic. kind: name of the class below. bare: whether our bytes come without the
            header of CDR.
    """

    name: str
    kind: str
    bare: bool = False


TOPICS = {
    "rt_lowcmd": Topic(name="rt/lowcmd", kind="LowCmd"),
    "rt_lowstate": Topic(name="rt/lowstate", kind="LowState"),
    # Ours: no robot of theirs tells this one.
    "rt_odommodestate": Topic(name="mimic/odometry", kind="Odometry", bare=True),
}


def check_network(interface: str) -> None:
    """Refuse a network that is not there, or on which this computer's DDS could do harm.

    Raises:
        RobotError: no such interface, no cyclonedds, or one of another version than a robot's.
    """
    there = [name for _, name in socket.if_nameindex()]
    if interface not in there:
        raise RobotError(
            f"--interface {interface}: this computer has {', '.join(there)}; name the one that "
            "leads to the robot, or a folder of simulated ones, with a slash"
        )
    version = installed()
    if version is None:
        raise RobotError(
            f"--interface {interface}: DDS needs the package cyclonedds; install it with {INSTALL}"
        )
    if not is_loopback(interface) and not version.startswith(f"{ROBOTS_VERSION}."):
        raise RobotError(
            f"--interface {interface}: cyclonedds {version} next to a robot's {ROBOTS_VERSION} was "
            f"seen to crash the older one's programs; build cyclonedds {ROBOTS_VERSION} "
            "(docs/deploy.md), or stay on this computer with --interface lo"
        )


def installed() -> str | None:
    """Version of cyclonedds; None where it is not installed."""
    try:
        return metadata.version("cyclonedds")
    except metadata.PackageNotFoundError:
        return None


def is_loopback(interface: str) -> bool:
    """Whether an interface leads nowhere but to this computer."""
    flags = Path("/sys/class/net", interface, "flags")
    if flags.is_file():
        return bool(int(flags.read_text(), 16) & _LOOPBACK)
    return interface.startswith("lo")


def name_of(interface: str, domain: int) -> str:
    """Name of a network as processes of a deployment tell it each other."""
    return f"{PREFIX}{interface}:{domain}"


class DdsBus:
    """A domain of DDS on one network interface; a `mimic.deploy.wire.bus.Bus`."""

    listening = LISTENING

    def __init__(
        self, interface: str, domain: int, tick: float = 0.002, family: str = "hg"
    ) -> None:
        """Join a domain.

        Args:
            tick: s between two commands: their numbers travel as times.
            family: of Unitree's messages, ``hg`` or ``go``.

        Raises:
            RobotError: see `check_network`; or it cannot be joined.
        """
        check_network(interface)
        self._participant, self._types = _participant(interface, domain)
        self._topics: dict[str, Any] = {}
        self._tick, self._family = round(1e9 * tick), family

    def publisher(self, topic: str) -> DdsPublisher:
        """Who may send on a topic."""
        return DdsPublisher(self._participant, self._topic(topic), TOPICS[topic], self._tick)

    def subscribe(self, topic: str) -> DdsSubscription:
        """Messages of a topic from now on."""
        return DdsSubscription(self._participant, self._topic(topic), TOPICS[topic], self._tick)

    def heard(self, topic: str, seconds: float) -> set[int]:
        """Who may publish on a topic, silent ones too, looking for a while."""
        builtin = import_module("cyclonedds.builtin")
        reader = builtin.BuiltinDataReader(self._participant, builtin.BuiltinTopicDcpsPublication)
        senders: set[int] = set()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(min(0.05, seconds))
            for found in reader.take(N=1024):
                alive = found.sample_info.instance_state == _ALIVE
                if found.topic_name == TOPICS[topic].name:
                    (senders.add if alive else senders.discard)(found.key.int)
        return senders

    def _topic(self, topic: str) -> Any:
        if topic not in self._topics:
            told = TOPICS[topic]
            made = import_module("cyclonedds.topic").Topic
            kind = self._types[f"{self._family}.{told.kind}"]
            self._topics[topic] = made(self._participant, told.name, kind)
        return self._topics[topic]


_ALIVE = 16
"""DDS's instance state of an endpoint that is there."""


class DdsPublisher:
    """Sends messages on a topic to whoever listens; never waits."""

    def __init__(self, participant: Any, topic: Any, told: Topic, tick: int) -> None:
        core, pub = import_module("cyclonedds.core"), import_module("cyclonedds.pub")
        policy = core.Policy
        qos = core.Qos(policy.Reliability.BestEffort, policy.History.KeepLast(HISTORY))
        self._writer: Any = pub.DataWriter(participant, topic, qos=qos)
        self._make, self._told, self._tick = topic.data_type, told, tick
        self._began = time.time_ns() // tick
        self._count = 0

    def send(self, data: bytes, number: int | None = None) -> int:
        """Publish ``data``.

        Args:
            number: of the message, told as its time; counted from zero unless given.
        """
        number = self._count if number is None else number
        self._count += 1
        whole = HEADER + data if self._told.bare else data
        self._writer.write(self._make(whole), timestamp=(self._began + number) * self._tick)
        return 1

    def close(self) -> None:
        self._writer = None


class DdsSubscription:
    """Messages of a topic, in the order in which they came."""

    def __init__(self, participant: Any, topic: Any, told: Topic, tick: int) -> None:
        core, sub = import_module("cyclonedds.core"), import_module("cyclonedds.sub")
        policy = core.Policy
        qos = core.Qos(policy.Reliability.BestEffort, policy.History.KeepLast(HISTORY))
        self._reader: Any = sub.DataReader(participant, topic, qos=qos)
        self._told, self._tick, self._kind = told, tick, topic.data_type
        mask = core.ViewState.Any | core.SampleState.NotRead | core.InstanceState.Any
        self._condition = core.ReadCondition(self._reader, mask)
        self._waiting: Any = core.WaitSet(participant)
        self._waiting.attach(self._condition)

    def wait(self, seconds: float) -> bool:
        """Wait until a message is there, at most ``seconds``."""
        return self._waiting.wait(timeout=max(0, round(1e9 * seconds))) > 0

    def drain(self) -> list[Message]:
        """All messages that are there; what has no data (a publisher that left) is dropped."""
        if self._reader is None:
            return []
        skip = len(HEADER) if self._told.bare else 0
        return [
            Message(
                sender=int(each.sample_info.publication_handle),
                number=round(each.sample_info.source_timestamp / self._tick),
                data=each.data[skip:],
            )
            for each in self._reader.take(N=HISTORY)
            if isinstance(each, self._kind)
        ]

    def close(self) -> None:
        self._waiting.detach(self._condition)
        self._condition = self._waiting = self._reader = None


_XML = """<CycloneDDS><Domain Id="any"><General><Interfaces>
<NetworkInterface name="{interface}" priority="default" multicast="default"/>
</Interfaces>{alone}</General>{peers}</Domain></CycloneDDS>"""
_PEERS = """<Discovery><ParticipantIndex>auto</ParticipantIndex>
<MaxAutoParticipantIndex>64</MaxAutoParticipantIndex>
<Peers><Peer Address="127.0.0.1"/></Peers></Discovery>"""


def configuration(interface: str) -> str:
    """cyclonedds's configuration (XML) for an interface; a loopback has no multicast."""
    loopback = is_loopback(interface)
    return _XML.format(
        interface=interface,
        alone="<AllowMulticast>false</AllowMulticast>" if loopback else "",
        peers=_PEERS if loopback else "",
    )


@cache
def _participant(interface: str, domain: int) -> tuple[Any, dict[str, Any]]:
    """This process's membership in a domain, and its message classes; one for each domain."""
    domains = import_module("cyclonedds.domain")
    try:
        joined = domains.Domain(domain, configuration(interface))
        participant = domains.DomainParticipant(domain)
    except Exception as error:
        raise RobotError(
            f"domain {domain} on {interface} cannot be joined: {error}; is another domain of this "
            "program on another interface?"
        ) from error
    participant._kept = joined
    return participant, _message_types()


def _message_types() -> dict[str, Any]:
    """Unitree's messages by their names and types; their bytes pass through as they are."""
    idl = import_module("cyclonedds.idl")
    types, annotate = (
        import_module("cyclonedds.idl.types"),
        import_module("cyclonedds.idl.annotations"),
    )
    u8, u32, i16, f32 = types.uint8, types.uint32, types.int16, types.float32

    def begin(self: Any, data: bytes = b"") -> None:
        self.data = data

    def taken(cls: Any, data: bytes, *_: Any, **__: Any) -> Any:
        return cls(bytes(data))

    def message(name: str, fields: dict[str, Any], *, whole: bool = True) -> Any:
        short = name.rpartition(".")[2]
        made = idl.make_idl_struct(short, name, fields, dataclassify=not whole)
        if whole:
            # A message is its bytes.
            made.__init__ = begin
            made.serialize = lambda self, *_, **__: self.data
            made.deserialize = classmethod(taken)
            # Of a publisher that has left.
            made.deserialize_key = made.deserialize
        return annotate.final(annotate.autoid("sequential")(made))

    def vector(kind: Any, size: int) -> Any:
        return types.array[kind, size]

    space = "unitree_hg.msg.dds_."
    motor_command = message(
        f"{space}MotorCmd_",
        {"mode": u8, "q": f32, "dq": f32, "tau": f32, "kp": f32, "kd": f32, "reserve": u32},
        whole=False,
    )
    imu = message(
        f"{space}IMUState_",
        {
            "quaternion": vector(f32, 4), "gyroscope": vector(f32, 3),
            "accelerometer": vector(f32, 3), "rpy": vector(f32, 3), "temperature": i16,
        },
        whole=False,
    )  # fmt: skip
    motor = message(
        f"{space}MotorState_",
        {
            "mode": u8, "q": f32, "dq": f32, "ddq": f32, "tau_est": f32,
            "temperature": vector(i16, 2), "vol": f32, "sensor": vector(u32, 2),
            "motorstate": u32, "reserve": vector(u32, 4),
        },
        whole=False,
    )  # fmt: skip
    command = {
        "mode_pr": u8, "mode_machine": u8, "motor_cmd": vector(motor_command, 35),
        "reserve": vector(u32, 4), "crc": u32,
    }  # fmt: skip
    state = {
        "version": vector(u32, 2), "mode_pr": u8, "mode_machine": u8, "tick": u32,
        "imu_state": imu, "motor_state": vector(motor, 35), "wireless_remote": vector(u8, 40),
        "reserve": vector(u32, 4), "crc": u32,
    }  # fmt: skip
    odometry = message("mimic.msg.Odometry_", {"pos_w_lin_vel_b": vector(types.float64, 6)})
    made = {
        "hg.LowCmd": message(f"{space}LowCmd_", command),
        "hg.LowState": message(f"{space}LowState_", state),
        "hg.Odometry": odometry,
        "go.Odometry": odometry,
    }
    kinds = {"u1": u8, "<u2": types.uint16, "<u4": u32, "<i2": i16, "<i4": types.int32,
             "<f4": f32}  # fmt: skip
    space = "unitree_go.msg.dds_."

    def parts(fields: Any) -> dict[str, Any]:
        """Fields of `mimic.deploy.wire.go` as DDS names their types."""
        return {
            name: kinds[kind] if count == 1 else vector(kinds[kind], count)
            for name, kind, count in fields
        }

    first = parts(go.FIRST)
    command = message(f"{space}MotorCmd_", parts(go.MOTOR_COMMAND), whole=False)
    motor = message(
        f"{space}MotorState_",
        {
            "mode": u8, "q": f32, "dq": f32, "ddq": f32, "tau_est": f32, "q_raw": f32,
            "dq_raw": f32, "ddq_raw": f32, "temperature": u8, "lost": u32,
            "reserve": vector(u32, 2),
        },
        whole=False,
    )  # fmt: skip
    imu = message(f"{space}IMUState_", parts(go.IMU), whole=False)
    battery = message(
        f"{space}BmsState_",
        {
            "version_high": u8, "version_low": u8, "status": u8, "soc": u8, "current": types.int32,
            "cycle": types.uint16, "bq_ntc": vector(u8, 2), "mcu_ntc": vector(u8, 2),
            "cell_vol": vector(types.uint16, 15),
        },
        whole=False,
    )  # fmt: skip
    supply = message(f"{space}BmsCmd_", {"off": u8, "reserve": vector(u8, 3)}, whole=False)
    made["go.LowCmd"] = message(
        f"{space}LowCmd_",
        {
            **first, "motor_cmd": vector(command, 20), "bms_cmd": supply,
            "wireless_remote": vector(u8, 40), "led": vector(u8, 12), "fan": vector(u8, 2),
            "gpio": u8, "reserve": u32, "crc": u32,
        },
    )  # fmt: skip
    made["go.LowState"] = message(
        f"{space}LowState_",
        {
            **first, "imu_state": imu, "motor_state": vector(motor, 20), "bms_state": battery,
            "foot_force": vector(i16, 4), "foot_force_est": vector(i16, 4), "tick": u32,
            "wireless_remote": vector(u8, 40), "bit_flag": u8, "adc_reel": f32,
            "temperature_ntc1": u8, "temperature_ntc2": u8, "power_v": f32, "power_a": f32,
            "fan_frequency": vector(types.uint16, 4), "reserve": u32, "crc": u32,
        },
    )  # fmt: skip
    return made
