"""A launch through submitit: what Slurm is asked for, and a run that is interrupted and resumed."""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import robots
from mimic.commands import slurm
from mimic.learning.slurm import SlurmTraining, rank_variables, saved_run, stop
from mimic_base.errors import MimicError
from tests.conftest import TINY
from tests.envs.conftest import sway

pytest.importorskip("submitit", reason="submitit is not installed: pip install -e '.[slurm]'")

REPO = Path(__file__).resolve().parents[1]

SMALL = [
    "--robot", str(TINY), "--num-envs", "4", "--steps-per-iteration", "4", "--workers", "1",
    "--actor-hidden", "8", "--critic-hidden", "8", "--device", "cpu",
]  # fmt: skip


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    path = tmp_path_factory.mktemp("clips") / "sway.npz"
    sway(robots.load(TINY), fps=30.0).save(path)
    return ["tracking", "--algorithm", "ppo", "--motion", str(path), *SMALL]


Launch = Callable[..., tuple[int, str, str]]


@pytest.fixture
def launch(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Launch:
    """Runs the script with arguments: exit code, standard output, standard error.

    It runs in this process, as a program of its own would first load torch for seconds.
    """

    def launched(*arguments: object) -> tuple[int, str, str]:
        script = REPO / "scripts" / "slurm.py"
        monkeypatch.setattr(sys, "argv", [str(script), *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            runpy.run_path(str(script), run_name="__main__")
        said = capsys.readouterr()
        return int(left.value.code or 0), said.out, said.err

    monkeypatch.chdir(REPO)
    return launched


def until(condition: Callable[[], Any], seconds: float = 300.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
    return found


# two ranks on this machine ---------------------------------------------------------------


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds the tasks in /proc")
def test_two_ranks_are_interrupted_saved_queued_again_and_finish(
    task: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "runs"
    goal = 200
    own, arguments = slurm.parse(
        ["--local", "--gpus-per-node", "0", "--processes-per-node", "2", "--hours", "0.5",
         "--out", str(tmp_path / "jobs"), "--", *task, "--iterations", str(goal),
         "--checkpoint-interval", "1000", "--out", str(out), "--name", "walk"]
    )  # fmt: skip
    (training,) = slurm.trainings(arguments)
    job = slurm.make_executor(own).submit(training)
    try:
        until(lambda: any(f.stat().st_size for f in out.glob("*/*/progress.jsonl")))
        # What Slurm does: every process of the job gets the signal, the trainings too.
        tasks = children(job._process.pid)
        trained = [pid for each in tasks for pid in children(each)]
        assert len(tasks) == 2 and len(trained) == 2
        for pid in [*trained, *tasks]:
            os.kill(pid, signal.SIGUSR2)
        assert slurm.wait([job]) == 0
    finally:
        if job._process.poll() is None:
            job._process.kill()
    (run,) = (out / "tracking").iterdir()
    assert run.name.endswith(training.name) and training.name.startswith("walk-")
    lines = [json.loads(line) for line in (run / "progress.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines] == list(range(1, goal + 1))
    assert lines[-1]["samples"] == 2 * 4 * 4 * goal, "samples of two ranks"
    sessions = json.loads((run / "config.json").read_text())["sessions"]
    assert len(sessions) == 2 and f"--resume {run}" in sessions[1]["command"]
    assert "Requeued job" in job.task(0).stderr() + job.task(0).stdout()


def test_a_training_that_fails_fails_the_job(tmp_path: Path, capsys: Any) -> None:
    script = tmp_path / "train.py"
    script.write_text("import sys; sys.exit('error: no room on the disk')")
    training = SlurmTraining(script, (), tmp_path, "x")
    own = slurm.SlurmArguments(local=True, gpus_per_node=0, out=tmp_path / "jobs", hours=0.5)
    job = slurm.make_executor(own).submit(training)
    assert slurm.wait([job]) == 1
    told = capsys.readouterr().err
    assert "rank 0: error: no room on the disk" in told and str(job.paths.stderr) in told


# what a job does when it comes back ------------------------------------------------------


def test_only_a_run_of_this_job_with_a_checkpoint_is_resumed(tmp_path: Path) -> None:
    def run(name: str, *files: str) -> Path:
        for file in files:
            path = tmp_path / "tracking" / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
        return tmp_path / "tracking" / name

    training = SlurmTraining(Path("train.py"), ("tracking", "--seed", "3"), tmp_path, "walk-ab12")
    fresh = [sys.executable, "-u", "train.py", "tracking", "--seed", "3", "--name", "walk-ab12"]
    assert training.command() == fresh
    run("2026-01-02_00-00-00-walk-ffff", "config.json", "checkpoints/last.pt")
    run("2026-01-03_00-00-00-walk-ab12", "config.json")
    assert training.command() == fresh, "killed before its first checkpoint"
    older = run("2026-01-01_00-00-00-walk-ab12", "config.json", "checkpoints/last.pt")
    assert training.command() == [sys.executable, "-u", "train.py", "--resume", str(older)]
    newer = run("2026-01-03_00-00-00-walk-ab12", "checkpoints/0000001.pt")
    assert saved_run(tmp_path, "walk-ab12") == newer


def test_arguments_that_resume_a_run_stay_as_they_are(tmp_path: Path) -> None:
    training = SlurmTraining(Path("train.py"), ("--resume", "r", "--iterations", "9"), tmp_path, "")
    assert training.command()[2:] == ["train.py", "--resume", "r", "--iterations", "9"]


@pytest.mark.parametrize("polite", [True, False])
def test_stop_asks_first_and_kills_late_while_somebody_waits(polite: bool) -> None:
    handler = "sys.exit(130)" if polite else "0"
    code = (
        f"import signal, sys, time; signal.signal(15, lambda *_: {handler}); print(1, flush=True)\n"
        "while True: time.sleep(0.05)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline()
        waiting = threading.Thread(target=child.wait)
        waiting.start()
        stop(child.pid, 20.0 if polite else 0.3)
        waiting.join(20.0)
        assert child.returncode == (130 if polite else -signal.SIGKILL)
        stop(child.pid, 0.1)  # long gone


def test_ranks_find_each_other_on_several_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    job = {
        "SUBMITIT_EXECUTOR": "slurm", "SLURM_JOB_ID": "77", "SLURM_NTASKS": "16",
        "SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_NODELIST": "gpu[07-08]",
    }  # fmt: skip
    for name in ("MASTER_PORT", "OMP_NUM_THREADS", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):
        monkeypatch.delenv(name, raising=False)
    seen = []
    for rank in (0, 11):
        mine = {"SLURM_PROCID": rank, "SLURM_LOCALID": rank % 8, "SLURM_NODEID": rank // 8}
        for name, value in {**job, **mine}.items():
            monkeypatch.setenv(name, str(value))
        seen.append(rank_variables())
    assert [each.pop("RANK") for each in seen] == ["0", "11"]
    assert [each.pop("LOCAL_RANK") for each in seen] == ["0", "3"]
    assert seen[0] == seen[1]
    port = int(seen[0].pop("MASTER_PORT"))
    assert 1024 <= port <= 65535
    assert seen[0] == {
        "MASTER_ADDR": "gpu07", "WORLD_SIZE": "16", "LOCAL_WORLD_SIZE": "8", "OMP_NUM_THREADS": "1",
    }  # fmt: skip


# what is submitted -----------------------------------------------------------------------


def test_the_batch_file_asks_for_what_the_user_gave(task: list[str], tmp_path: Path) -> None:
    own, arguments = slurm.parse(
        ["--nodes", "2", "--gpus-per-node", "8", "--hours", "1.505", "--partition", "gpu",
         "--sbatch", "account=lab", "exclusive", "--out", str(tmp_path), "--",
         *task, "--name", "walk", "--seed=9"]
    )  # fmt: skip
    jobs = slurm.trainings(arguments, seeds=(1, 12))
    assert [job.arguments[-2:] for job in jobs] == [("--seed", "1"), ("--seed", "12")]
    assert "--seed=9" not in jobs[0].arguments and "--name" not in jobs[0].arguments
    assert [job.name.rpartition("-")[0] for job in jobs] == ["walk-seed1", "walk-seed12"]
    lines = slurm.describe(own, jobs).splitlines()
    for option in (
        "nodes=2", "ntasks-per-node=8", "gpus-per-node=8", "time=91", "partition=gpu",
        "account=lab", "exclusive", "requeue", "signal=USR2@180", "array=0-1%2",
    ):  # fmt: skip
        assert f"#SBATCH --{option}" in lines
    assert any(line.startswith("srun") and "--kill-on-bad-exit=1" in line for line in lines)
    assert "# which runs in each of 16 rank(s):" in lines


def test_it_goes_to_sbatch(
    task: list[str], tmp_path: Path, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in {"sbatch": f"cp $1 {tmp_path}/seen; echo Submitted batch job 4242"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
    (tmp_path / "srun").write_text("#!/bin/sh\n")
    for name in ("sbatch", "srun"):
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    code, out, err = launch("--gpus-per-node", 4, "--out", tmp_path / "jobs", "--", *task)
    assert code == 0, err
    assert out.startswith("job 4242: runs/*/*-")
    assert "#SBATCH --ntasks-per-node=4" in (tmp_path / "seen").read_text()
    assert (tmp_path / "jobs" / "4242" / "4242_submitted.pkl").is_file()


@pytest.mark.parametrize(
    ("own", "text"),
    [
        ({"nodes": 0}, "--nodes must be at least 1"),
        ({"gpus_per_node": -1}, "--gpus-per-node must not be negative"),
        ({"hours": 0.05}, "--hours must be more than 180 s"),
        ({"hours": float("nan")}, "--hours must be more than"),
        ({"local": True, "nodes": 2}, "leave out --nodes"),
        ({"seeds": (1, 1)}, "names a seed twice"),
    ],
)
def test_impossible_jobs_are_refused(own: dict[str, Any], text: str) -> None:
    with pytest.raises(MimicError, match=text):
        slurm.SlurmArguments(**own)


def test_what_train_would_refuse_is_not_submitted(task: list[str], tmp_path: Path) -> None:
    with pytest.raises(MimicError, match="unknown task 'walk'"):
        slurm.trainings(["walk", *task[1:]])
    with pytest.raises(MimicError, match="no motion given"):
        slurm.trainings(["tracking"])
    with pytest.raises(MimicError, match="absent.npz' does not exist"):
        slurm.trainings(["tracking", "--motion", "absent.npz"])
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(MimicError, match="has no config.json"):
        slurm.trainings(["--resume", str(tmp_path)])


def test_mistakes_end_with_two_and_one_line(
    task: list[str], launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = launch("--nodes", 2)
    assert code == 2 and "put the arguments of mimic train after --" in err
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "/nowhere")
        code, _, err = launch("--", *task)
    assert code == 2 and err.startswith("error: no Slurm here")
    monkeypatch.setitem(sys.modules, "submitit", None)
    code, _, err = launch("--", "tracking")
    assert code == 2 and err.count("\n") == 1
    assert "pip install -c constraints.txt -e '.[slurm]'" in err
