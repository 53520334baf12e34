"""What the operator's page costs the policy's loop: steps with a browser that looks, and without.

    python scripts/bench_page.py [--seconds 120] [--window 15] [--pace 1 | --lock-step]

One real deployment with a page on the simulated robot, by the clock. In turn, for ``--window``
seconds each, nobody looks at the page, and a headless Chromium does; both kinds of steps are told
side by side. The browser runs on the same computer at the lowest priority.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO))

from mimic.cli import run  # noqa: E402
from mimic.deploy.loop import STAGES  # noqa: E402
from mimic.deploy.setup import ASSETS  # noqa: E402
from mimic.deploy.timing import StageTimes  # noqa: E402
from mimic_base.command_line import exit_on_user_error  # noqa: E402
from mimic_base.errors import MimicError  # noqa: E402
from mimic_base.options import parse  # noqa: E402

SETTLES = 3.0
"""s after a browser was started or ended that are counted as neither."""


@dataclass(frozen=True)
class Options:
    """What the operator's page costs the policy's loop."""

    policy: Path = ASSETS / "policy_g1_student.onnx"
    """Policy file."""
    seconds: float = 120.0
    """s of the whole deployment."""
    window: float = 15.0
    """s for which somebody looks, and for which nobody does."""
    pace: float = 1.0
    """Share of real time at which everything runs, for computers that are too slow."""
    lock_step: bool = False
    """Robot, guard and policy wait for each other: for computers that are too slow for any pace.
    Waiting for the robot is a part of the stages `read` and `step` then."""
    port: int = 8123
    """Port of the page."""


def main() -> int:
    options = parse(Options, None, prog="bench_page.py")
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise MimicError("no Chromium is installed; install one to measure with")
    steps: list[tuple[float, str, float]] = []
    looking: list[tuple[float, float]] = []
    add, over = StageTimes.add, threading.Event()

    def kept(self: StageTimes, stage: str, seconds: float) -> None:
        steps.append((time.monotonic(), stage, seconds))
        add(self, stage, seconds)

    StageTimes.add = kept  # type: ignore[method-assign]

    def look() -> None:
        while not over.wait(options.window):
            with tempfile.TemporaryDirectory() as profile:
                words = [
                    "nice", "-n", "19", browser, "--headless=new", "--no-sandbox", "--disable-gpu",
                    "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
                    "--window-size=900,600", "--remote-debugging-port=0",
                    f"--user-data-dir={profile}", f"http://localhost:{options.port}",
                ]  # fmt: skip
                process = subprocess.Popen(
                    words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
                began = time.monotonic()
                over.wait(options.window + SETTLES)
                looking.append((began, time.monotonic()))
                process.terminate()
                process.wait()

    thread = threading.Thread(target=look)
    thread.start()
    with tempfile.TemporaryDirectory() as out:
        words = ["deploy", str(options.policy), "--page", "--port", str(options.port), "--loop"]
        words += ["0", "--seconds", str(options.seconds * options.pace), "--out", out]
        words += ["--lock-step"] if options.lock_step else ["--pace", str(options.pace)]
        ending = threading.Timer(options.seconds, lambda: os.kill(os.getpid(), signal.SIGINT))
        if options.lock_step:
            # Its time is not the clock's.
            words[words.index("--seconds") + 1] = "100000"
            ending.start()
        code = run(words)
        ending.cancel()
    over.set()
    thread.join()
    at = np.array([each[0] for each in steps])
    with_one = np.zeros(len(at), bool)
    neither = np.zeros(len(at), bool)
    for began, end in looking:
        with_one |= (at >= began + SETTLES) & (at <= end)
        neither |= (at > began) & (at < began + SETTLES) | (at > end) & (at < end + SETTLES)
    print("| stage | steps | p50 ms | p99 ms | max ms | steps, looked at | p50 | p99 | max |")
    print("|---|---|---|---|---|---|---|---|---|")
    for stage in STAGES:
        cells: list[str] = [stage]
        for chosen in (~with_one & ~neither, with_one):
            values = np.array(
                [1e3 * each[2] for each, take in zip(steps, chosen, strict=True)
                 if take and each[1] == stage]
            ) / options.pace  # fmt: skip
            if len(values):
                p50, p99 = np.percentile(values, [50, 99])
                cells += [str(len(values)), f"{p50:.3f}", f"{p99:.3f}", f"{values.max():.3f}"]
            else:
                cells += ["0", "–", "–", "–"]
        print("| " + " | ".join(cells) + " |")
    return code


if __name__ == "__main__":
    exit_on_user_error(main)
