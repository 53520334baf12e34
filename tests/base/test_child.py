"""Functions in a process apart: results come back, and however it dies it is one line."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mimic_base import child, child_worker, sandbox
from mimic_base.errors import InputError
from mimic_base.limits import lifted

HELP = "native_help"
FILE = Path("clip.c3d")
needs_linux = pytest.mark.skipif(
    sys.platform != "linux" or not sandbox.available(), reason="needs Landlock and seccomp"
)


@pytest.fixture(autouse=True)
def helpers_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


@pytest.fixture(params=["server", "once"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "once":
        monkeypatch.setattr(child, "_SERVES", False)
    elif not child._SERVES:
        pytest.skip("no server on this system")
    return request.param


def call(function: str, reads: tuple[Path, ...] = (), **arguments: Any) -> dict[str, Any]:
    return child.call(
        child.Job(
            target=f"{HELP}:{function}",
            arguments=arguments,
            about=FILE,
            what="the library",
            reads=reads,
        )
    )


def line(function: str, **arguments: Any) -> str:
    with pytest.raises(InputError) as raised:
        call(function, **arguments)
    text = str(raised.value)
    assert text.startswith("clip.c3d: ") and "\n" not in text and "the library" in text
    return text


def test_results_come_back(way: str) -> None:
    found = call("give", text="ü", number=1.5, table={"a": [None, True]})
    assert found["text"] == "ü" and found["number"] == 1.5
    assert found["table"] == {"a": [None, True]}
    np.testing.assert_array_equal(found["floats"], [[2, 1, 0], [5, 4, 3]])
    found["floats"][0, 0] = 7.0  # an array of one's own
    assert found["none"].shape == (0, 3) and found["none"].dtype == np.float32
    assert found["truth"].tolist() == [True, False] and found["bytes"] == b"\0\1"


def test_an_exception_comes_back_as_a_text(way: str) -> None:
    with pytest.raises(child.ChildError, match="lost") as raised:
        call("fail", text="lost")
    assert raised.value.kind == "KeyError"
    with pytest.raises(child.ChildError) as raised:
        child.call(child.Job(target="no.such:thing", arguments={}, about=FILE, what="x", reads=()))
    assert raised.value.kind == "ModuleNotFoundError"


@needs_linux
def test_a_child_reads_what_it_is_given_and_nothing_else(tmp_path: Path, way: str) -> None:
    for name in ("secret", "given"):
        (tmp_path / name).write_text(name)
    with lifted(memory=1 << 30):
        found = call("attempt", reads=(tmp_path / "given",), place=str(tmp_path))
    assert found.pop("given") == "done" and found.pop("memory") == "MemoryError"
    assert set(found.values()) == {"PermissionError"}, found
    assert sorted(p.name for p in tmp_path.iterdir()) == ["given", "secret"]
    assert (tmp_path / "secret").read_text() == "secret"


@needs_linux
def test_a_hanging_library_is_ended(way: str) -> None:
    with lifted(seconds=1):
        start = time.monotonic()
        text = line("hang")
    assert time.monotonic() - start < 16.0
    assert "--limit seconds=VALUE" in text and "1 s of processor time" in text


@needs_linux
def test_a_waiting_library_is_ended_by_the_clock(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    order = child._order
    monkeypatch.setattr(child, "_order", lambda job: {**order(job), "wall_s": 1})
    assert "--limit seconds=VALUE" in line("sleep")


def test_a_parent_ends_what_does_not_end_itself(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel's alarm is no help: the parent has a clock of its own."""
    order = child._order
    monkeypatch.setattr(child, "_order", lambda job: {**order(job), "wall_s": -4, "apart": False})
    start = time.monotonic()
    assert "--limit seconds=VALUE" in line("sleep")
    assert time.monotonic() - start < 10.0
    monkeypatch.undo()
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    assert call("give")["bytes"] == b"\0\1"  # there is a new server


def test_a_crash_is_one_line_and_the_next_job_runs(way: str) -> None:
    text = line("crash")
    assert "crashed on this file (found SIGSEGV" in text and "made to do harm" in text
    assert "exit code 7" in line("leave")
    assert call("give")["bytes"] == b"\0\1"


@needs_linux
def test_memory_is_limited(way: str) -> None:
    with lifted(memory=1 << 28):
        assert "--limit memory=VALUE" in line("grow")


def test_the_size_of_an_answer_is_limited(way: str) -> None:
    with lifted(bytes=1 << 20):
        assert "--limit bytes=VALUE" in line("pour")
    assert len(call("pour")["bytes"]) == 1 << 26


def test_threads_and_forks_do_not_mix_their_answers() -> None:
    found: list[Any] = [None] * 6

    def work(k: int) -> None:
        found[k] = call("give", k=k)["k"]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == list(range(6))
    if not hasattr(os, "fork"):
        return
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if call("give", k=9)["k"] == 9 else 1)
        finally:
            os._exit(2)
    assert call("give", k=8)["k"] == 8
    assert os.waitpid(pid, 0)[1] == 0
    assert call("give", k=7)["k"] == 7


def test_no_server_outlives_its_parent() -> None:
    code = (
        f"import sys; sys.path[:0] = [{str(Path(__file__).parent)!r}]\n"
        "from mimic_base import child\nfrom pathlib import Path\n"
        "child.call(child.Job(target='native_help:give', arguments={}, about=Path('x'), what='x',"
        " reads=()))\n"
        "print(*(s.process.pid for s in child._SERVERS.values()), flush=True)\n"
        "import os; os.kill(os.getpid(), 9)\n"
    )
    if not child._SERVES:
        pytest.skip("no server on this system")
    import subprocess

    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=os.getcwd()
    )
    server = Path(f"/proc/{int(run.stdout)}")
    end = time.monotonic() + 20.0
    while server.exists() and "\nState:\tZ" not in server.joinpath("status").read_text():
        assert time.monotonic() < end, "the server is still there"
        time.sleep(0.05)


# -- a child that lies ---------------------------------------------------------------------------


def answers() -> Iterator[bytes]:
    """What a child that a file has taken over might write."""
    yield b""
    yield b"\xff" * 8
    yield (1 << 62).to_bytes(8, "little") + b"{}"
    yield child_worker.message([])
    yield child_worker.message({})
    yield child_worker.message({"values": [], "arrays": []})
    yield child_worker.message({"failed": {}, "text": 3, "values": 1})[:-4]
    deep = b"[" * 100_000
    yield len(deep).to_bytes(8, "little") + deep

    def array(kind: Any, shape: Any, data: bytes = b"", name: Any = "a") -> bytes:
        return child_worker.message({"values": {}, "arrays": [[name, kind, shape]]}) + data

    yield array("<f8", [2], b"\0" * 8)
    yield array("<f8", [1], b"\0" * 9)
    yield array("<f8", [1 << 62, 4])
    yield array("<f8", [-1])
    yield array("<f8", [True], b"\0" * 8)
    yield array("<f8", [1.0], b"\0" * 8)
    yield array("<f8", "11", b"\0" * 8)
    yield array("<f8", [1] * 20, b"\0" * 8)
    yield array("|O", [1], b"\0" * 8)
    yield array("V8", [1], b"\0" * 8)
    yield array("(2,)<f8", [1], b"\0" * 16)
    yield array("bytes", [1, 1], b"\0", name=3)
    yield array("bytes", [5], b"\0")
    yield array(3, [1], b"\0")
    yield child_worker.message({"values": {}, "arrays": 5})
    yield child_worker.message({"values": {}, "arrays": [["a"]]})


@pytest.mark.parametrize("data", list(answers()), ids=lambda data: repr(data[:20]))
def test_a_false_answer_is_one_line(data: bytes) -> None:
    job = child.Job(target="a:b", arguments={}, about=FILE, what="the library", reads=())
    with pytest.raises(InputError, match="clip.c3d: .*answered nonsense") as raised:
        child._result(job, child._order(job), child._Ended(bytearray(data), 0))
    assert len(str(raised.value)) < 600


def test_a_message_is_its_length_and_json() -> None:
    data = child_worker.message({"a": [1]})
    assert int.from_bytes(data[:8], "little") == len(data) - 8
    assert json.loads(data[8:]) == {"a": [1]}
