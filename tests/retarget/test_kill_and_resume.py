"""The script that kills a batch and resumes it: what it compares, and what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from motions import InputError
from retarget.batch.record import FOLDER

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "scripts"))

import kill_and_resume  # type: ignore[import-not-found]  # noqa: E402


def _results(folder: Path, *, seconds: float = 1.0, motion: bytes = b"motion") -> Path:
    (folder / FOLDER).mkdir(parents=True)
    (folder / "clip.npz").write_bytes(motion)
    (folder / FOLDER / "clip.json").write_text(json.dumps({"name": "clip", "seconds": seconds}))
    (folder / "report.html").write_text("page")
    return folder


def test_runs_are_the_same_but_for_their_seconds(tmp_path: Path) -> None:
    whole = _results(tmp_path / "a")
    lines, same = kill_and_resume.compare(whole, _results(tmp_path / "b", seconds=2.0))
    assert same and lines[2] == "| motions | 1 | 0 |"
    lines, same = kill_and_resume.compare(whole, _results(tmp_path / "c", motion=b"other"))
    assert not same and lines[2] == "| motions | 1 | 1 |"


@pytest.mark.parametrize("missing", ["clip.npz", f"{FOLDER}/clip.json", "report.html"])
def test_nothing_to_compare_is_no_success(tmp_path: Path, missing: str) -> None:
    whole, killed = _results(tmp_path / "a"), _results(tmp_path / "b")
    for folder in (whole, killed):
        (folder / missing).unlink()
    lines, same = kill_and_resume.compare(whole, killed)
    assert not same
    assert sum("| 0 | nothing to compare |" in line for line in lines) == 1
    assert not kill_and_resume.compare(tmp_path / "none", tmp_path / "neither")[1]


def test_results_of_another_run_are_not_taken_for_these(tmp_path: Path) -> None:
    _results(tmp_path / "whole")
    with pytest.raises(InputError, match="whole: there is a run already; name .* --keep"):
        kill_and_resume.compare_runs(tmp_path, tmp_path, kill_and_resume.Options())


def test_an_interrupt_ends_the_batch_and_its_workers(tmp_path: Path) -> None:
    notes = tmp_path / "worker.pid"
    batch = (
        "import subprocess, sys, time\n"
        "worker = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(notes)!r}, 'w').write(str(worker.pid))\n"
        "time.sleep(60)\n"
    )
    outer = (
        "import signal, sys\n"
        # A shell's background job, where these tests may run, is born deaf to Ctrl-C.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"sys.path.insert(0, {str(REPO / 'scripts')!r})\n"
        "import kill_and_resume\n"
        f"with kill_and_resume.running([sys.executable, '-c', {batch!r}]) as process:\n"
        "    print(process.pid, flush=True)\n"
        "    process.wait()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", outer], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as script:
        assert script.stdout is not None
        group = int(script.stdout.readline())
        _until(lambda: notes.exists() and notes.read_text() != "")
        os.killpg(group, 0)  # it runs
        script.send_signal(signal.SIGINT)
        script.wait(20)
    _until(lambda: not any(_runs(pid) for pid in (group, int(notes.read_text()))))


def _until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    """Whether the process is alive; one that nobody has asked for its end yet is dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
