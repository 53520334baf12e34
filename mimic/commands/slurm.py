"""Submit a training to Slurm: one process a GPU, resumed after preemption and time limits.

mimic slurm --nodes 2 --gpus-per-node 8 --hours 12 --partition gpu \\
    -- tracking --motion clips/ --preset gpu

What follows `--` are the arguments of `mimic train`; they are checked before anything is submitted.
"""

from __future__ import annotations

import argparse
import math
import secrets
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mimic.commands import train
from mimic.learning.slurm import GRACE_S, SlurmTraining
from mimic_base.command_line import exit_on_user_error
from mimic_base.errors import MimicError
from mimic_base.options import parse as read_options


def train_script() -> Path:
    """The file that every rank runs: train.py of a checkout, else the installed command."""
    installed = Path(train.__file__).resolve()
    checkout = installed.parents[2] / "train.py"
    return checkout if checkout.is_file() else installed


OLDER = {"--folder": "--out"}
"""Older spelling of an option -> its name."""


@dataclass(frozen=True, kw_only=True)
class SlurmArguments:
    """Submit a training to Slurm; the arguments of `mimic train` follow after `--`."""

    nodes: int = 1
    """Machines that train together."""
    gpus_per_node: int = 1
    """GPUs of each machine; one process (rank) for each."""
    processes_per_node: int = 0
    """Ranks of each machine where it is not one a GPU; 0 is one a GPU."""
    hours: float = 24.0
    """Time limit of the job; it is queued again, and resumes, until the training is done."""
    requeues: int = 10
    """How often the time limit may be reached before the job is given up."""
    cpus_per_process: int = 8
    """CPU cores of each rank."""
    partition: str | None = None
    """Partition (queue) of the cluster."""
    sbatch: tuple[str, ...] = ()
    """More options of sbatch: account=lab mem=200G qos=high exclusive."""
    seeds: tuple[int, ...] = ()
    """Train once with each of these seeds, as an array of jobs."""
    out: Path = Path("runs/slurm")
    """Logs and submitit's files: OUT/JOB; on a disk that all nodes see."""
    dry_run: bool = False
    """Print what would be submitted, and submit nothing."""
    local: bool = False
    """Run on this machine, without Slurm, and wait for the end."""

    def __post_init__(self) -> None:
        for name in ("nodes", "cpus_per_process"):
            if getattr(self, name) < 1:
                raise MimicError(f"--{name.replace('_', '-')} must be at least 1")
        for name in ("gpus_per_node", "processes_per_node", "requeues"):
            if getattr(self, name) < 0:
                raise MimicError(f"--{name.replace('_', '-')} must not be negative")
        if not 60.0 * self.hours > GRACE_S / 60.0:
            raise MimicError(f"--hours must be more than {GRACE_S:.0f} s, not {self.hours:g} h")
        if self.local and self.nodes > 1:
            raise MimicError("--local is this machine alone: leave out --nodes")
        if len(set(self.seeds)) < len(self.seeds):
            raise MimicError("--seeds names a seed twice")

    @property
    def ranks_per_node(self) -> int:
        return self.processes_per_node or max(1, self.gpus_per_node)


def parse(
    arguments: Sequence[str], *, prog: str = "mimic slurm"
) -> tuple[SlurmArguments, list[str]]:
    """The launch's own arguments and, after ``--``, those of ``mimic train``."""
    arguments = list(arguments)
    split = arguments.index("--") if "--" in arguments else len(arguments)
    own = read_options(
        SlurmArguments, arguments[:split], prog=prog, description=__doc__, renamed=OLDER
    )
    if split == len(arguments):
        raise MimicError("no training given: put the arguments of mimic train after --")
    return own, arguments[split + 1 :]


def trainings(arguments: Sequence[str], seeds: Sequence[int] = ()) -> list[SlurmTraining]:
    """What each job of the array runs; a single one without seeds.

    Raises:
        MimicError: train.py would refuse these arguments, as far as can be seen without a GPU.
    """
    args = train.parse(arguments)
    if args.resume is not None:
        if not args.resume.is_dir():
            raise MimicError(f"--resume {args.resume}: pass the run directory, so that the job "
                             f"can go on from its newest checkpoint")  # fmt: skip
        if seeds:
            raise MimicError("--seeds starts runs, --resume continues one: give only one of them")
    from mimic.tasks.registry import task_config
    from mimic.tasks.tracking import motion_commands

    # One of the user's own is imported here already: what is wrong with it is told now.
    waiting = [c for c in motion_commands(task_config(args.task)).values() if not c.motions]
    if waiting and not args.motion:
        raise MimicError("no motion given; pass --motion FILE or FOLDER")
    for path in args.motion:
        if not path.exists():
            raise MimicError(f"motion '{path}' does not exist")
    if args.resume is not None:
        return [SlurmTraining(train_script(), tuple(arguments), args.out, name="")]
    # These are the job's to give.
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--name")
    if seeds:
        first.add_argument("--seed")
    _, rest = first.parse_known_args(list(arguments))
    found = []
    for seed in seeds or (None,):
        parts = [args.name, "" if seed is None else f"seed{seed}", secrets.token_hex(4)]
        given = rest if seed is None else [*rest, "--seed", str(seed)]
        found.append(
            SlurmTraining(
                script=train_script(),
                arguments=tuple(given),
                out=args.out,
                name="-".join(part for part in parts if part),
            )
        )
    return found


def sbatch_parameters(args: SlurmArguments) -> dict[str, Any]:
    """What is asked of Slurm, in submitit's words."""
    # `requeue`: clusters may leave it out by default, and then nothing comes back.
    more: dict[str, Any] = {"requeue": True}
    for text in args.sbatch:
        key, given, value = text.partition("=")
        more[key.lstrip("-").replace("_", "-")] = value if given else True
    parameters = {
        "job_name": "mimic",
        "time": math.ceil(60.0 * args.hours),
        "nodes": args.nodes,
        "ntasks_per_node": args.ranks_per_node,
        "cpus_per_task": args.cpus_per_process,
        "signal_delay_s": int(GRACE_S),
        # A rank that fails would leave the others waiting for it; and srun no longer takes the
        # number of cores from sbatch.
        "srun_args": ["--kill-on-bad-exit=1", f"--cpus-per-task={args.cpus_per_process}"],
        "additional_parameters": more,
    }
    if args.gpus_per_node:
        parameters["gpus_per_node"] = args.gpus_per_node
    if args.partition:
        parameters["partition"] = args.partition
    return parameters


def make_executor(args: SlurmArguments) -> Any:
    """submitit's executor, for Slurm or for this machine."""
    from submitit import LocalExecutor, SlurmExecutor

    folder = args.out / "%j"
    if args.local:
        executor = LocalExecutor(folder, max_num_timeout=args.requeues)
        executor.update_parameters(
            timeout_min=60.0 * args.hours, signal_delay_s=int(GRACE_S),
            gpus_per_node=args.gpus_per_node, tasks_per_node=args.ranks_per_node,
        )  # fmt: skip
        return executor
    if SlurmExecutor.affinity() < 0:
        raise MimicError("no Slurm here (srun not found): submit on the cluster, or try --local")
    executor = SlurmExecutor(folder, max_num_timeout=args.requeues)
    executor.update_parameters(**sbatch_parameters(args))
    return executor


def describe(args: SlurmArguments, jobs: Sequence[SlurmTraining]) -> str:
    """The batch file as submitit writes it, and the command of every rank."""
    from submitit.slurm.slurm import _make_sbatch_string

    count: dict[str, Any] = {"map_count": len(jobs)} if len(jobs) > 1 else {}
    folder = (args.out / "%j").absolute()
    command = shlex.join([sys.executable, "-u", "-m", "submitit.core._submit", str(folder)])
    text = _make_sbatch_string(command, folder, **sbatch_parameters(args), **count)
    lines = [shlex.join(job.command()) for job in jobs]
    ranks = args.nodes * args.ranks_per_node
    return "\n".join([text, f"# which runs in each of {ranks} rank(s):", *lines])


def wait(jobs: Sequence[Any]) -> int:
    """Wait for jobs on this machine; 0 when all have finished."""
    worst = 0
    for job in jobs:
        job.wait()
        for rank in range(job.num_tasks):
            task = job.task(rank)
            if task.paths.result_pickle.is_file() and task.exception() is None:
                if rank == 0:
                    print(f"job {job.job_id}: {task.result()}")
                continue
            lines = (task.stderr() or "").splitlines()
            told = [line for line in lines if line.startswith("error: ")]
            print(
                f"job {job.job_id}, rank {rank}: {told[-1] if told else 'failed'}\n"
                f"log: {task.paths.stderr}",
                file=sys.stderr,
            )
            worst = 1
    return worst


def main(arguments: Sequence[str] | None = None, *, prog: str = "mimic slurm") -> int:
    """Submit; returns the exit code."""
    args, arguments = parse(sys.argv[1:] if arguments is None else arguments, prog=prog)
    try:
        import submitit  # noqa: F401
    except ImportError as error:
        raise MimicError(
            "a launch on Slurm needs submitit: pip install -c constraints.txt -e '.[slurm]'"
        ) from error
    jobs = trainings(arguments, args.seeds)
    if args.dry_run:
        print(describe(args, jobs))
        return 0
    executor = make_executor(args)
    with executor.batch():
        submitted = [executor.submit(job) for job in jobs]
    for job, training in zip(submitted, jobs, strict=True):
        run = f"{training.out}/*/*-{training.name}" if training.name else "resumes"
        print(f"job {job.job_id}: {run}, log {job.paths.stdout}", flush=True)
    return wait(submitted) if args.local else 0


if __name__ == "__main__":
    exit_on_user_error(main)
