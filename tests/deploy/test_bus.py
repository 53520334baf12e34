"""Topics between processes: whole messages or none, several publishers, nothing ever waits."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mimic.deploy.session import short_folder
from mimic.deploy.start import check_alone
from mimic.deploy.wire.bus import Bus
from mimic_base.errors import RobotError


@pytest.fixture
def bus() -> Iterator[Bus]:
    with short_folder() as folder:
        yield Bus(folder)


def test_messages_reach_everybody_who_listens_and_nobody_else(bus: Bus) -> None:
    one, two, other = (bus.subscribe(topic) for topic in ("a", "a", "ab"))
    publisher = bus.publisher("a")
    assert publisher.send(b"first") == 2 and publisher.send(b"second", 17) == 2
    for each in (one, two):
        got = each.drain()
        assert [message.data for message in got] == [b"first", b"second"]
        assert [message.number for message in got] == [0, 17]
        assert {message.sender for message in got} == {publisher.sender}
        assert each.drain() == []
    assert other.drain() == []


def test_a_subscriber_that_sleeps_loses_messages_and_holds_nobody_up(bus: Bus) -> None:
    asleep = bus.subscribe("a")
    publisher = bus.publisher("a")
    began = time.monotonic()
    for number in range(2000):
        publisher.send(bytes(2000), number)
    assert time.monotonic() - began < 20.0
    kept = [message.number for message in asleep.drain()]
    assert 0 < len(kept) < 2000 and kept == sorted(kept)


def test_a_subscriber_whose_process_died_is_forgotten(bus: Bus) -> None:
    code = (
        "import os, sys; from pathlib import Path; from mimic.deploy.wire.bus import Bus; "
        "Bus(Path(sys.argv[1])).subscribe('a'); os._exit(0)"
    )
    repo = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", code, str(bus.folder)], cwd=repo, check=True)
    assert len(list(bus.folder.iterdir())) == 1
    assert bus.publisher("a").send(b"x") == 0
    assert not list(bus.folder.iterdir())


def test_what_is_no_message_of_ours_is_dropped(bus: Bus) -> None:
    import socket

    listening = bus.subscribe("a")
    (path,) = bus.folder.iterdir()
    stranger = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    for data in (b"", b"x", b"MMB1", b"nonsense" * 10):
        stranger.sendto(data, str(path))
    bus.publisher("a").send(b"ours")
    assert [message.data for message in listening.drain()] == [b"ours"]
    stranger.close()


def test_waiting_ends_with_a_message(bus: Bus) -> None:
    listening = bus.subscribe("a")
    assert not listening.wait(0.01)
    bus.publisher("a").send(b"x")
    assert listening.wait(5.0)
    listening.close()
    assert not list(bus.folder.iterdir())


def test_another_publisher_of_commands_is_refused(bus: Bus) -> None:
    check_alone(bus)
    publisher, done = bus.publisher("rt_lowcmd"), threading.Event()

    def other() -> None:
        while not done.wait(0.01):
            publisher.send(b"command")

    thread = threading.Thread(target=other)
    thread.start()
    try:
        with pytest.raises(RobotError, match=r"from 1 other program\(s\) already \('rt_lowcmd'\)"):
            check_alone(bus)
    finally:
        done.set()
        thread.join()


def test_a_folder_that_others_may_write_into_is_refused(tmp_path: Path) -> None:
    open_to_all = tmp_path / "o"
    open_to_all.mkdir()
    os.chmod(open_to_all, 0o777)
    with pytest.raises(RobotError, match="others may write into this folder"):
        Bus(open_to_all)
    with pytest.raises(RobotError, match="too long a name for sockets"):
        Bus(tmp_path / ("long" * 30))
