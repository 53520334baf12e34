"""Temporary files and locks: whose they are, who clears them away, and who has to wait."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from mimic_base import locks
from mimic_base.errors import InputError
from mimic_base.files import (
    append_line,
    atomic_path,
    atomic_write_text,
    check_writable,
    is_hidden,
    is_left_over,
    is_temporary,
    sweep,
    sweep_below,
    temporary_folder,
    temporary_path,
)
from mimic_base.locks import Holder, Lock, clear_locks, locked
from mimic_base.owner import Owner, owner, owner_of, process_start

DAY_S = 24 * 3600.0


@contextmanager
def another(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A Python process that runs `code` and says a line when it is ready; killed at the end."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()
            process.wait()


WRITES = """
import sys, time
from mimic_base.files import atomic_path
with atomic_path(sys.argv[1]) as temporary:
    temporary.write_text("half")
    print("ready", flush=True)
    time.sleep(60)
"""
LOCKS = """
import sys, time
from mimic_base.locks import Lock
assert Lock(sys.argv[1]).try_acquire() is None
print("ready", flush=True)
time.sleep(60)
"""


def elsewhere() -> Owner:
    """A process of another machine."""
    return replace(owner(), host="node7", machine="cafe", boot="beef", pid=4321)


def left_by(whose: Owner, folder: Path, age_s: float = 0.0) -> Path:
    path = temporary_path(folder / "walk.npz")
    path = path.with_name(path.name.replace(owner().token, whose.token))
    path.write_text("half")
    when = time.time() - age_s
    os.utime(path, times=(when, when))
    return path


# owners ------------------------------------------------------------------------------------------


def test_an_owner_is_read_back_from_its_token() -> None:
    mine = owner()
    assert owner_of(mine.token) == mine and mine.pid == os.getpid()
    assert mine.alive() is True and mine.here
    assert len(mine.token) < 90
    for text in ("", "12", mine.token + "~1", "a b~0~0~0~1~1"):
        assert owner_of(text) is None


def test_a_process_number_that_was_given_again_is_another_owner() -> None:
    mine = owner()
    assert replace(mine, start=mine.start + 1).alive() is False
    with subprocess.Popen([sys.executable, "-c", "pass"]) as child:
        # Ended and not yet asked for its exit code: it will not write any more.
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert process_start(child.pid) is None


def test_what_cannot_be_seen_is_neither_alive_nor_dead() -> None:
    mine = owner()
    assert elsewhere().alive() is None
    assert replace(mine, space=mine.space + 1).alive() is None  # another container
    assert replace(mine, machine="12ab", boot="34cd").alive() is None
    if mine.machine != "0":
        assert replace(mine, boot="34cd").alive() is False  # before a restart


# temporary files -----------------------------------------------------------------------------


def test_names_as_long_as_they_can_be(tmp_path: Path) -> None:
    longest = tmp_path / ("ä" * 125 + "x.npz")
    assert len(longest.name.encode()) == 255
    atomic_write_text(longest, "x")
    assert longest.read_text() == "x"
    with pytest.raises(InputError, match="cannot write: the file name is too long"):
        atomic_write_text(tmp_path / ("a" * 252 + ".npz"), "x")
    with pytest.raises(InputError, match="cannot write: the file name is too long"):
        check_writable(tmp_path / ("a" * 252 + ".npz"))
    assert os.listdir(tmp_path) == [longest.name]


def test_a_dead_writers_file_goes_and_a_live_ones_stays(tmp_path: Path) -> None:
    with another(WRITES, tmp_path / "a.npz") as process:
        [left] = tmp_path.iterdir()
        assert is_temporary(left.name) and is_hidden(left) and not is_left_over(left)
        assert sweep(tmp_path, again=True) == []
        process.kill()
        process.wait()
        assert is_left_over(left)
        atomic_write_text(tmp_path / "b.txt", "another file of this folder")
        # Each process looks once, and this one has.
        assert left.exists()
        assert sweep(tmp_path, again=True) == [left]
    assert os.listdir(tmp_path) == ["b.txt"]


def test_the_next_run_clears_what_a_kill_left(tmp_path: Path) -> None:
    with another(WRITES, tmp_path / "a.npz"):
        pass
    [left] = os.listdir(tmp_path)
    assert is_temporary(left)
    atomic_write_text(tmp_path / "b.npz", "another file")
    assert os.listdir(tmp_path) == ["b.npz"]


def test_a_live_writer_finishes_beside_another_one(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a.npz") as mine:
        mine.write_text("of this process")
        code = "import sys; from mimic_base.files import atomic_write_text as w; w(sys.argv[1], '')"
        subprocess.run([sys.executable, "-c", code, tmp_path / "a.npz"], check=True)
        assert mine.exists()
    assert (tmp_path / "a.npz").read_text() == "of this process"
    assert os.listdir(tmp_path) == ["a.npz"]


def test_files_of_other_machines_are_given_a_day(tmp_path: Path) -> None:
    fresh, old = left_by(elsewhere(), tmp_path), left_by(elsewhere(), tmp_path, DAY_S + 60)
    assert sweep(tmp_path) == [old] and fresh.exists()


def test_unfinished_files_of_earlier_versions_are_given_an_hour(tmp_path: Path) -> None:
    names = (
        ".walk.0a1b2c3d.tmp.npz", ".run.json.00ff00ff.tmp", ".last.pt.tmp", ".r.toml.partial",
    )  # fmt: skip
    kept = (".walk.npz", ".gitignore", "walk.0a1b2c3d.tmp.npz", ".x.part", ".note.tmp.npz")
    for name in (*names, *kept):
        (tmp_path / name).write_text("half")
    assert all(map(is_temporary, names)) and not any(map(is_temporary, kept))
    assert sweep(tmp_path, again=True) == []
    for path in tmp_path.iterdir():
        os.utime(path, times=(0, 0))
    assert sorted(path.name for path in sweep(tmp_path, again=True)) == sorted(names)


def test_folders_below_are_swept_too(tmp_path: Path) -> None:
    dead = replace(owner(), start=1)
    (tmp_path / "deep" / "er").mkdir(parents=True)
    left = [left_by(dead, tmp_path), left_by(dead, tmp_path / "deep" / "er")]
    assert sorted(sweep_below(tmp_path)) == sorted(left)


def test_temporary_folders_of_dead_processes_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dead = replace(owner(), start=1)
    names = [
        f"mimic-x~{owner().token}~live", f"mimic-x~{elsewhere().token}~far", "mimic-x~1~y",
        f"mimic-y~{dead.token}~other", f"mimic-x~{dead.token}~dead",
    ]  # fmt: skip
    for name in names:
        (tmp_path / name / "deep").mkdir(parents=True)
    with temporary_folder("mimic-x") as folder:
        assert folder.is_dir() and folder.stat().st_mode & 0o077 == 0
        assert sorted(os.listdir(tmp_path)) == sorted([*names[:4], folder.name])
    assert sorted(os.listdir(tmp_path)) == sorted(names[:4])


def test_a_folder_that_disappears_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "out" / "a.txt"
    told = "a.txt: cannot write: the directory disappeared"
    with pytest.raises(InputError, match=told), atomic_path(path) as temporary:
        temporary.unlink()
        path.parent.rmdir()


def test_errors_of_other_files_are_not_told_of_this_one(tmp_path: Path) -> None:
    with pytest.raises(PermissionError, match=r"motion\.npz"), atomic_path(tmp_path / "a.json"):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/elsewhere/motion.npz")
    assert os.listdir(tmp_path) == []


def test_what_is_no_file_is_written_into_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    check_writable(pipe)
    atomic_write_text(pipe, "said")
    assert os.read(reader, 10) == b"said" and pipe.is_fifo()
    os.close(reader)
    assert os.listdir(tmp_path) == ["pipe"]


def test_lines_are_added_whole(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a"' + b" " * 100_000)
    append_line(path, '{"a": 2}')
    assert path.read_text() == '{"a": 1}\n{"a": 2}\n'
    with pytest.raises(InputError, match="cannot write: the directory does not exist"):
        append_line(tmp_path / "gone" / "lines.jsonl", "")


# locks -------------------------------------------------------------------------------------------


def test_one_at_a_time_and_the_file_is_gone_after_it(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with locked(path) as first, locked(path) as second:
        assert first is None and second is not None and second.owner == owner()
        assert f"process {os.getpid()} on {owner().host}, since 20" in str(second)
    assert os.listdir(tmp_path) == []


def test_a_lock_is_waited_for(tmp_path: Path) -> None:
    with another(LOCKS, tmp_path / "x.lock") as process:
        lock = Lock(tmp_path / "x.lock")
        holder = lock.acquire(0.3)
        assert holder is not None and holder.owner is not None
        assert holder.owner.pid == process.pid
        process.kill()
        assert lock.acquire(10.0) is None
        lock.release()
    assert os.listdir(tmp_path) == []


def test_locks_of_dead_processes_are_cleared(tmp_path: Path) -> None:
    with another(LOCKS, tmp_path / "deep" / "dead.lock"):
        pass
    with another(LOCKS, tmp_path / "live.lock"):
        clear_locks(tmp_path, "*.lock")
        assert [path.name for path in tmp_path.rglob("*.lock")] == ["live.lock"]


def _held_elsewhere(path: Path, age_s: float = 0.0) -> None:
    path.write_text(json.dumps({"owner": elsewhere().token, "since": "2026-01-31 12:00:00"}))
    when = time.time() - age_s
    os.utime(path, times=(when, when))


def test_another_machines_lock_is_named_and_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.lock"
    _held_elsewhere(path)
    monkeypatch.setattr(locks, "WATCH_S", 0.3)
    lock = Lock(path)
    holder = lock.try_acquire()
    assert holder is not None
    assert str(holder).startswith("process 4321 on node7, since 2026-01-31 12:00:00; that is")
    assert str(holder).endswith(f"if it is gone, remove {path}")
    time.sleep(0.2)
    os.utime(path)  # it lives
    time.sleep(0.2)
    assert lock.try_acquire() is not None
    assert lock.acquire(5.0) is None  # it has not been touched since
    lock.release()


def test_another_machines_old_lock_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    _held_elsewhere(path, age_s=3600.0)
    with locked(path) as holder:
        assert holder is None
        assert json.loads(path.read_text())["owner"] == owner().token


@pytest.mark.parametrize("text", ["", "{", "[]", '{"owner": 1}', "[" * 4000])
def test_a_lock_that_says_nothing_is_anybodys(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.lock"
    path.write_text(text)
    with locked(path) as holder:
        assert holder is None


def test_where_there_are_no_locks_the_holders_name_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.lock"
    with another(LOCKS, path) as process:
        monkeypatch.setattr(locks, "fcntl", None)
        with locked(path) as holder:
            assert holder is not None and f"process {process.pid}" in str(holder)
        process.kill()
        process.wait()
        with locked(path) as holder:
            assert holder is None


def test_holders_touch_their_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "BEAT_S", 0.05)
    monkeypatch.setattr(locks, "_heart", None)
    path = tmp_path / "x.lock"
    with locked(path):
        os.utime(path, times=(0, 0))
        end = time.monotonic() + 10.0
        while path.stat().st_mtime == 0 and time.monotonic() < end:
            time.sleep(0.02)
        assert path.stat().st_mtime > 0


def test_a_holder_that_is_not_known(tmp_path: Path) -> None:
    assert "another process" in str(Holder(path=tmp_path, owner=None))
