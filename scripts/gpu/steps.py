"""What the scripts of this folder share: commands with a time limit, and results that stay."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[2]
GRACE_S = 60.0
"""How long a program that was asked to stop may take to save its work."""


@dataclass
class Deadline:
    """Time left of the script's own budget."""

    ends: float

    @classmethod
    def after(cls, minutes: float) -> Deadline:
        return cls(time.monotonic() + 60.0 * minutes)

    @property
    def left_s(self) -> float:
        return self.ends - time.monotonic()


def parser(description: str, minutes: float) -> argparse.ArgumentParser:
    """Options that all scripts have."""
    own = argparse.ArgumentParser(description=description)
    out = os.environ.get("OUT", "out/gpu")
    own.add_argument("--out", type=Path, default=Path(out), help="results (default: $OUT)")
    own.add_argument("--minutes", type=float, default=minutes, help="time after which it stops")
    own.add_argument("--toy", action="store_true", help="a toy size on the CPU, to try the script")
    return own


def run(command: Sequence[str], limit_s: float, log: Path, python: str = sys.executable) -> int:
    """Run a Python program of this repository; returns its exit status, 124 past the limit.

    Past the limit it is interrupted (Ctrl-C), which lets a training save its state, and killed
    a minute later. Its output goes to ``log``.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as output:
        output.write(f"$ {' '.join(command)}\n")
        output.flush()
        process = subprocess.Popen(
            [python, *command], cwd=REPO, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            return process.wait(timeout=max(1.0, limit_s))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            return 124


def step(
    result: Path,
    command: Sequence[str],
    deadline: Deadline,
    limit_s: float,
    python: str = sys.executable,
    **facts: Any,
) -> bool:
    """Run ``command``, which writes ``result``, unless an earlier session has done so.

    A failure leaves ``<result>.failed`` with the end of the output, and is tried again next time.

    Returns:
        False when the script's time is over and nothing was started.
    """
    if result.is_file():
        print(f"{result}: there already")
        return True
    if deadline.left_s < min(limit_s, 30.0):
        print(f"{result}: no time left; run the script again")
        return False
    result.parent.mkdir(parents=True, exist_ok=True)
    failed = result.with_suffix(".failed")
    failed.unlink(missing_ok=True)
    log = result.with_suffix(".log")
    log.unlink(missing_ok=True)
    started = time.monotonic()
    status = run(command, min(limit_s, deadline.left_s), log, python)
    seconds = time.monotonic() - started
    if result.is_file():
        print(f"{result}: done in {seconds:.0f} s")
        return True
    ending = log.read_text(encoding="utf-8", errors="replace")[-2000:]
    record = {"command": list(command), "status": status, "seconds": seconds, **facts}
    failed.write_text(json.dumps({**record, "output": ending}, indent=2) + "\n", encoding="utf-8")
    last = ending.strip().splitlines()[-1] if ending.strip() else ""
    print(f"{result}: failed (status {status}) after {seconds:.0f} s: {last}")
    return True


def demo_motions(out: Path, deadline: Deadline) -> Path:
    """The generated demo clips, retargeted to the G1, in ``out/motions``."""
    folder = out / "motions"
    if not list(folder.glob("*.npz")):
        clips = out / "clips"
        log = out / "motions.log"
        if run(["-m", "mimic.cli", "motions", "--demo", str(clips)], deadline.left_s, log):
            raise SystemExit(f"error: the demo clips could not be written, see {log}")
        files = [str(path) for path in sorted(clips.glob("*.bvh"))]
        command = ["-m", "retarget", *files, "--robot", "unitree_g1", "--out", str(folder)]
        if run(command, deadline.left_s, log):
            raise SystemExit(f"error: the demo clips could not be retargeted, see {log}")
    return folder


TOY_MOTIONS = """
import sys
from pathlib import Path
import robots
from mimic.benchmark.motion import squat
folder, robot = Path(sys.argv[1]), robots.load("unitree_g1")
for name, seconds in (("slow", 4.0), ("quick", 2.0)):
    squat(robot, seconds).crop(0, 30).save(folder / f"{name}.npz")
"""


def toy_motions(out: Path) -> Path:
    """Two tiny clips that need no retargeting, in ``out/toy_motions``."""
    folder = out / "toy_motions"
    if len(list(folder.glob("*.npz"))) < 2:
        folder.mkdir(parents=True, exist_ok=True)
        log = out / "toy_motions.log"
        if run(["-c", TOY_MOTIONS, str(folder.resolve())], 300.0, log):
            raise SystemExit(f"error: the toy clips could not be written, see {log}")
    return folder
