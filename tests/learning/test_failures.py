"""Whatever fails in the middle of a training: one line, a whole checkpoint, and it resumes."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import robots
from mimic.commands.train import main
from mimic.learning import checkpoints, curves, run_dir, runner
from mimic.sim.engines.mujoco import MujocoEngine
from mimic.sim.errors import EngineError
from mimic_base import locks
from mimic_base.command_line import exit_on_user_error
from mimic_base.owner import owner
from tests.base.test_writing import LOCKS, another
from tests.conftest import TINY, SmallDisk
from tests.envs.conftest import sway
from tests.sim.engines import needs

TASK = "tracking-no-state-estimation"
STEPS = 4
SMALL = [
    "--robot", str(TINY), "--num-envs", "8", "--steps-per-iteration", str(STEPS), "--workers", "1",
    "--actor-hidden", "8", "--critic-hidden", "8", "--device", "cpu", "--checkpoint-interval", "1",
]  # fmt: skip
Train = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "sway.npz"
    sway(robots.load(TINY), fps=30.0).save(path)
    return path


@pytest.fixture
def train(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Train:
    """``train.py`` as a user starts it, but in this process: exit status and standard error."""

    def run(*arguments: object) -> tuple[int, str]:
        new = [TASK, "--motion", clip, *SMALL, "--engine", "mujoco", "--out", tmp_path / "runs"]
        words = arguments if "--resume" in arguments else (*new, *arguments)
        monkeypatch.setattr(sys, "argv", ["train.py", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            exit_on_user_error(main)
        return int(left.value.code or 0), capsys.readouterr().err

    return run


def only_run(out: Path) -> Path:
    (folder,) = (out / "runs" / TASK).iterdir()
    return folder


def fails_at(iteration: int, error: BaseException) -> Callable[..., None]:
    """``MujocoEngine.step`` that raises in the middle of an iteration, once."""
    real, calls = MujocoEngine.step, [0]

    def step(self: MujocoEngine, targets: torch.Tensor) -> None:
        calls[0] += 1
        if calls[0] == (iteration - 1) * STEPS + 2:
            raise error
        real(self, targets)

    return step


def jax_error(text: str) -> Exception:
    errors = pytest.importorskip("jax").errors
    return errors.JaxRuntimeError(text)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
         "the device is out of memory; use fewer environments (--num-envs)"),
        (lambda: RuntimeError("Failed to allocate 4096 bytes on device 'cuda:0'"),
         "the device is out of memory"),
        (lambda: jax_error("RESOURCE_EXHAUSTED: Out of memory allocating 123456789 bytes."),
         "the device is out of memory"),
        (lambda: MemoryError(), "the device is out of memory"),
        (lambda: torch.AcceleratorError("CUDA error: unspecified launch failure\nCUDA kernel"),
         "the device has failed or was lost; look at it with nvidia-smi"),
        (lambda: RuntimeError("Graph launch error: Warp CUDA error 719: unspecified launch"),
         "the device has failed or was lost"),
        (lambda: jax_error("INTERNAL: CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access"),
         "the device has failed or was lost"),
        (lambda: EngineError("engine warp: contacts do not fit; use --engine warp:nconmax=96"),
         "use --engine warp:nconmax=96"),
    ],
    ids=["torch-memory", "warp-memory", "jax-memory", "host-memory", "torch-lost", "warp-lost",
         "jax-lost", "overflow"],
)  # fmt: skip
def test_a_failure_is_one_line_and_the_run_resumes(
    make: Callable[[], Exception], told: str, train: Train, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(MujocoEngine, "step", fails_at(3, make()))
        code, text = train("--iterations", 4)
    run = only_run(tmp_path)
    last = run / "checkpoints" / "0000002.pt"
    assert code == 2 and text.startswith("error: iteration 3: ") and text.count("\n") == 1, text
    assert told in text and str(last) in text and "resume from it" in text
    assert checkpoints.load_checkpoint(last)["iteration"] == 2
    assert not list(run.rglob("*.tmp*"))
    assert train("--resume", run, "--iterations", 4)[0] == 0
    assert checkpoints.load_checkpoint(run)["iteration"] == 4
    lines = [json.loads(line) for line in (run / "progress.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines] == [1, 2, 3, 4]


def test_memory_that_ends_while_saving_spares_the_checkpoint_before(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = torch.save

    def save(state: dict, place: Any) -> None:
        if state["iteration"] == 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        real(state, place)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", save)
        code, text = train("--iterations", 3)
    run = only_run(tmp_path)
    assert code == 2 and text.count("\n") == 1 and "8 environments on cpu: the device is" in text
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == [
        "0000001.pt", "last.pt",
    ]  # fmt: skip
    assert train("--resume", run, "--iterations", 3)[0] == 0


def test_a_state_that_is_not_finite_is_counted_and_training_goes_on(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = MujocoEngine.advance, [0]

    def advance(self: MujocoEngine, targets: torch.Tensor) -> None:
        real(self, targets)
        calls[0] += 1
        if calls[0] == STEPS + 1:
            self._qvel[3, 7] = torch.nan

    with monkeypatch.context() as patch:
        patch.setattr(MujocoEngine, "advance", advance)
        assert train("--iterations", 3) == (0, "")
    run = only_run(tmp_path)
    lines = [json.loads(line) for line in (run / "progress.jsonl").read_text().splitlines()]
    assert [line["non_finite_resets"] for line in lines] == [0.0, 1.0, 1.0]
    assert checkpoints.load_checkpoint(run)["env"]["non_finite_resets"] == 1


def test_a_number_that_is_not_finite_names_its_term_and_the_checkpoint(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mimic.envs.environment import Environment
    from mimic.envs.observing import ObservationGroups

    real, calls = ObservationGroups.terms, [0]

    def groups(self: ObservationGroups, env: Any) -> dict[str, torch.Tensor]:
        found = real(self, env)
        # Twice to compare views of some environments with all, once at the start.
        calls[0] += isinstance(env, Environment)
        if calls[0] == 2 + STEPS + 2:
            found["actor"][2, 0] = torch.nan
        return found

    with monkeypatch.context() as patch:
        patch.setattr(ObservationGroups, "terms", groups)
        code, text = train("--iterations", 4)
    run = only_run(tmp_path)
    assert code == 2 and text.count("\n") == 1
    assert "iteration 2: observation 'command' of group 'actor' is not finite in 1 env" in text
    assert str(run / "checkpoints" / "0000001.pt") in text
    assert train("--resume", run, "--iterations", 2)[0] == 0


def test_a_device_that_is_full_before_the_first_iteration(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mimic.learning.algorithms import ppo

    def refuse(*args: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 70.00 GiB.")

    monkeypatch.setattr(ppo, "RolloutStorage", refuse)
    code, text = train("--iterations", 1)
    assert code == 2 and text.count("\n") == 1
    assert "8 environments on cpu: the device is out of memory; use fewer" in text
    assert not (tmp_path / "runs").exists(), "a run directory without anything in it"


@pytest.mark.slow
@needs("warp")
def test_a_real_overflow_ends_a_resumed_run_and_its_advice_helps(
    train: Train, tmp_path: Path
) -> None:
    assert train("--engine", "warp", "--iterations", 1)[0] == 0
    run = only_run(tmp_path)
    more = ["--resume", run, "--iterations", 3, "--engine"]
    code, text = train(*more, "warp:njmax=6")
    assert code == 2 and text.count("\n") == 1
    assert "iteration 2: engine warp: constraints" in text
    assert str(run / "checkpoints" / "last.pt") in text
    for _ in range(8):
        advice = text.partition("--engine ")[2].partition(";")[0]
        code, text = train(*more, advice)
        if not code:
            break
    assert code == 0, text
    assert checkpoints.load_checkpoint(run)["iteration"] == 3


def _saved_twice_then(trouble: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have something happen as soon as the second checkpoint is there."""
    real = runner.save_checkpoint

    def save(folder: Path, iteration: int, *rest: Any) -> Path:
        path = real(folder, iteration, *rest)
        if iteration == 2:
            trouble()
        return path

    monkeypatch.setattr(runner, "save_checkpoint", save)


@pytest.mark.parametrize("way", ["full disk", "size limit"])
def test_a_place_that_takes_no_more_ends_the_training_with_one_line(
    way: str, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    runs = tmp_path / "runs"
    if way == "size limit":
        limit = request.getfixturevalue("most_bytes")

        def trouble() -> object:
            return limit(1000)

        def room() -> object:
            return limit(-1)
    else:
        disk: SmallDisk = request.getfixturevalue("small_disk")
        runs.symlink_to(disk.be(8 << 20))

        def trouble() -> object:
            rest = os.statvfs(runs)
            # The writer of curves may take some of it meanwhile.
            with suppress(OSError):
                (runs / "filling").write_bytes(bytes(rest.f_bavail * rest.f_frsize))
            return None

        def room() -> object:
            (runs / "filling").unlink(missing_ok=True)
            return disk.be(8 << 20)

    with monkeypatch.context() as patch:
        _saved_twice_then(trouble, patch)
        code, text = train("--iterations", 4)
    room()
    run = only_run(tmp_path)
    last = run / "checkpoints" / "0000002.pt"
    lines = [line for line in text.splitlines() if not line.startswith("warning: ")]
    assert code == 2 and len(lines) == 1, text
    assert "cannot write: " in lines[0] and f"the last good checkpoint is {last}" in lines[0]
    assert "make room, then go on with --resume" in lines[0] and str(run) in lines[0]
    assert not [path for path in run.rglob(".*") if path.name != ".lock"]
    assert checkpoints.load_checkpoint(run)["iteration"] == 2
    assert train("--resume", run, "--iterations", 4)[0] == 0
    assert checkpoints.load_checkpoint(run)["iteration"] == 4
    assert not list(run.rglob(".*"))


def test_trouble_with_a_file_that_is_not_named_names_the_run(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> object:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    _saved_twice_then(full, monkeypatch)
    code, text = train("--iterations", 4)
    assert code == 2 and len(text.splitlines()) == 1, text
    assert f"{only_run(tmp_path)}: cannot write: No space left on device" in text


def test_a_run_directory_that_disappears_is_one_line(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = MujocoEngine.step

    def step(self: MujocoEngine, targets: torch.Tensor) -> None:
        if list(tmp_path.rglob("0000002.pt")):
            shutil.rmtree(only_run(tmp_path))
        real(self, targets)

    monkeypatch.setattr(MujocoEngine, "step", step)
    code, text = train("--iterations", 4)
    assert code == 2 and text.count("\n") == 1, text
    assert "progress.jsonl: cannot write: the directory does not exist" in text


def test_curves_that_cannot_be_written_are_a_warning(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        def add_scalar(self, *_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def close(self) -> None:
            raise AssertionError("given up already")

    monkeypatch.setattr(curves, "SummaryWriter", Full)
    code, text = train("--iterations", 2)
    assert code == 0 and text.count("\n") == 1, text
    assert text.startswith(f"warning: {only_run(tmp_path)}: no curves for TensorBoard any more: ")
    assert checkpoints.load_checkpoint(only_run(tmp_path))["iteration"] == 2


def test_a_run_is_trained_by_one_process(train: Train, tmp_path: Path) -> None:
    assert train("--iterations", 1)[0] == 0
    run = only_run(tmp_path)
    with another(LOCKS, run / ".lock") as process:
        code, text = train("--resume", run, "--iterations", 2)
        assert code == 2 and text.count("\n") == 1, text
        assert f"run '{run}' is being trained by process {process.pid} on " in text
        assert ", since 20" in text and "wait until it has ended" in text
        # Another run of the same folder is nobody's business.
        assert train("--iterations", 1, "--name", "second")[0] == 0
        assert (run / ".lock").exists()
    # It is dead: its lock is no obstacle, and goes.
    assert train("--resume", run, "--iterations", 2)[0] == 0
    assert checkpoints.load_checkpoint(run)["iteration"] == 2
    assert not list(run.rglob(".*"))


def test_a_lock_of_another_machine_is_watched_and_then_taken(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train("--iterations", 1)[0] == 0
    run = only_run(tmp_path)
    whose = replace(owner(), host="node7", machine="cafe", boot="beef")
    said = json.dumps({"owner": whose.token, "since": "2026-01-31 12:00:00"})
    (run / ".lock").write_text(said)
    for module in (locks, run_dir):
        monkeypatch.setattr(module, "WATCH_S", 0.5)
    beating = threading.Event()

    def beat() -> None:
        while not beating.wait(0.1):
            os.utime(run / ".lock")

    monkeypatch.setattr(run_dir, "BEAT_S", 0.1)
    thread = threading.Thread(target=beat)
    thread.start()
    code, text = train("--resume", run, "--iterations", 2)
    beating.set()
    thread.join()
    assert code == 2 and "process" in text and " on node7, since 2026-01-31 12:00:00" in text
    assert f"if it is gone, remove {run / '.lock'}" in text
    assert "Traceback" not in text and len(text.splitlines()) == 2  # that it watches, and the end
    # Nobody touches it any more.
    assert train("--resume", run, "--iterations", 2)[0] == 0
    assert not list(run.rglob(".*"))
