"""Records survive being cut off anywhere, a full disk, and damage; replays find what differs."""

from __future__ import annotations

import errno
import os
import zlib
from pathlib import Path

import numpy as np
import pytest

from mimic.deploy import recorder as recording
from mimic.deploy.recorder import MAGIC, Recorder, read_record, step_layout
from mimic_base.errors import InputError

HEADER = {"joints": 3, "observation": 4, "name": "test"}
LAYOUT = step_layout(3, 4)


def step(number: int) -> np.ndarray:
    row = np.zeros((), LAYOUT)
    row["now"], row["observation"] = number * 0.02, np.arange(4) + number
    row["action"] = np.sin(np.arange(3) + number)
    return row


@pytest.fixture
def path(tmp_path: Path) -> Path:
    recorder = Recorder(tmp_path / "session.rec", HEADER)
    for number in range(5):
        recorder.row(step(number))
        if number == 2:
            recorder.event(0.05, "stop", why="the operator")
    recorder.close()
    assert recorder.failed == ""
    return recorder.path


def test_a_record_comes_back(path: Path) -> None:
    record = read_record(path)
    assert record.whole and record.header == HEADER and len(record.steps) == 5
    for number in range(5):
        assert record.steps[number].tobytes() == step(number).tobytes()
    assert record.events == ({"now": 0.05, "event": "stop", "why": "the operator"},)


def test_cut_at_any_byte_it_holds_all_whole_steps(path: Path, tmp_path: Path) -> None:
    data = path.read_bytes()
    cut = tmp_path / "cut.rec"
    seen = []
    for size in range(len(data)):
        cut.write_bytes(data[:size])
        try:
            record = read_record(cut)
        except InputError as error:
            assert "not the record" in str(error) or "within its header" in str(error)
            assert not seen
            continue
        seen.append(len(record.steps))
        for number, row in enumerate(record.steps):
            assert row.tobytes() == step(number).tobytes()
        assert record.left_over >= 0
    # One step more with each frame, none lost on the way.
    assert seen == sorted(seen) and set(seen) == set(range(5))


def test_damage_ends_the_record_where_it_is(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 0xFF
    path.write_bytes(bytes(data))
    record = read_record(path)
    assert len(record.steps) == 4 and record.left_over > 0 and not record.whole


def test_a_full_disk_ends_the_record_at_its_last_whole_step(tmp_path: Path, monkeypatch) -> None:
    recorder = Recorder(tmp_path / "session.rec", HEADER)
    recorder.row(step(0))
    write = os.write
    room = [20]

    def full(file: int, data: bytes) -> int:
        if room[0] <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = write(file, data[: room[0]])
        room[0] -= done
        return done

    monkeypatch.setattr(recording.os, "write", full)
    for number in range(1, 4):
        recorder.row(step(number))
    recorder.close()
    assert recorder.failed == "No space left on device"
    record = read_record(recorder.path)
    assert record.whole and len(record.steps) == 1


def test_an_old_record_is_not_written_over(path: Path) -> None:
    with pytest.raises(FileExistsError):
        Recorder(path, HEADER)


def test_what_is_no_record_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "session.rec"
    path.write_bytes(b"something else")
    with pytest.raises(InputError, match="not the record of a deployment"):
        read_record(path)
    # A frame that unpacks to far more than it is.
    bomb = b"H" + zlib.compress(bytes(1 << 26), 9)
    head = recording._HEAD.pack(len(bomb), zlib.crc32(bomb))
    path.write_bytes(MAGIC + head + bomb)
    with pytest.raises(InputError, match="ends within its header"):
        read_record(path)
