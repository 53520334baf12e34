"""One training inside a Slurm job: a process for each GPU, resumed after preemption or time limit.

submitit (https://github.com/facebookincubator/submitit) starts one task for each rank and calls
`SlurmTraining` in it. That task stays free of torch; it starts ``train.py`` with the variables
that ``torchrun`` would set and waits. Shortly before the time limit, and at a preemption where the
cluster announces it, Slurm signals the tasks: rank 0 asks its training to stop, all ranks stop
after the same iteration, rank 0 saves, and the job is put back into the queue under its own number.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mimic.learning.run_dir import CONFIG
from mimic_base.command_line import INTERRUPTED_EXIT_CODE

GRACE_S = 180.0
"""Seconds between the signal and the end of the time limit."""
STOP_S = 150.0
"""Seconds of these that an iteration and its checkpoint may take before the training is killed."""


@dataclass
class SlurmTraining:
    """What every task of the job runs.

    Attributes:
        script: ``train.py``.
        arguments: of ``train.py``, without ``--name``.
        out: folder of run directories, on a disk that all nodes see.
        name: how this job's run directory ends; no other job's may. Empty where the arguments
            resume a run.
    """

    script: Path
    arguments: tuple[str, ...]
    out: Path
    name: str
    _child: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    def command(self) -> list[str]:
        """The program of every rank: a new run, or this job's run where it has a checkpoint."""
        program = [sys.executable, "-u", str(self.script)]
        if not self.name:
            return [*program, *self.arguments]
        run = saved_run(self.out, self.name)
        if run is not None:
            return [*program, "--resume", str(run)]
        return [*program, *self.arguments, "--name", self.name]

    def __call__(self) -> str:
        """Train until the end.

        Returns:
            ``finished`` or ``interrupted``.

        Raises:
            RuntimeError: the training failed; its own message is in the task's log.
        """
        command = self.command()
        print(" ".join(command), flush=True)
        self._child = subprocess.Popen(
            command,
            env={**os.environ, **rank_variables()},
            preexec_fn=_ignore_notice,
            # A terminal's Ctrl-C would reach it twice, once through us, which ends it unsaved.
            start_new_session=_is_local(),
        )
        try:
            while (code := self._child.poll()) is None:
                time.sleep(0.2)
        finally:
            stop(self._child.pid, STOP_S)
        if code not in (0, INTERRUPTED_EXIT_CODE):
            raise RuntimeError(f"train.py ended with code {code}; its log says why")
        return "finished" if code == 0 else "interrupted"

    def checkpoint(self) -> Any:
        """Called by submitit in rank 0 when the job is about to end: stop, save, come back."""
        from submitit.helpers import DelayedSubmission

        if self._child is not None:
            stop(self._child.pid, STOP_S)
        return DelayedSubmission(replace(self))


def saved_run(out: Path, name: str) -> Path | None:
    """The newest run directory ``out/<task>/<time>-<name>`` with a checkpoint, if there is one."""
    runs = [
        path
        for path in out.glob(f"*/*-{name}*")
        if (path / CONFIG).is_file() and any((path / "checkpoints").glob("*.pt"))
    ]
    return max(runs, key=lambda path: path.name, default=None)


def rank_variables() -> dict[str, str]:
    """torch.distributed's environment variables for this task of the job."""
    from submitit.helpers import TorchDistributedEnvironment

    this = TorchDistributedEnvironment()
    variables = {
        # One machine's own name need not resolve on it.
        "MASTER_ADDR": "127.0.0.1" if _is_local() else this.master_addr,
        "MASTER_PORT": str(this.master_port),
        "RANK": str(this.rank),
        "WORLD_SIZE": str(this.world_size),
        "LOCAL_RANK": str(this.local_rank),
        "LOCAL_WORLD_SIZE": str(this.local_world_size),
    }
    if this.local_world_size > 1 and "OMP_NUM_THREADS" not in os.environ:
        # As torchrun does: ranks on one machine would otherwise each take all of its cores.
        variables["OMP_NUM_THREADS"] = "1"
    return variables


def stop(pid: int, seconds: float) -> None:
    """Ask a child to end after its iteration; kill it when that takes longer than ``seconds``.

    Safe inside a signal handler that interrupted a wait for the same child: it reaps nothing.
    """
    if _has_ended(pid):
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while not _has_ended(pid):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            return
        time.sleep(0.1)


def _is_local() -> bool:
    return os.environ.get("SUBMITIT_EXECUTOR") == "local"


def _has_ended(pid: int) -> bool:
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _ignore_notice() -> None:
    # Slurm signals every process of the step, and the default is to end. Which signal it is,
    # submitit lets the user choose.
    number = getattr(signal, "SIG" + os.environ.get("SUBMITIT_PREEMPT_SIGNAL", "USR2"))
    signal.signal(number, signal.SIG_IGN)
