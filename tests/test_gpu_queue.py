"""The scripts of the GPU queue run at toy size, keep what they have done and say what failed."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from mimic_base.errors import UserError

REPO = Path(__file__).resolve().parents[1]
FOLDER = REPO / "scripts" / "gpu"
sys.path.insert(0, str(FOLDER))

import steps  # type: ignore[import-not-found]  # noqa: E402


def script(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(FOLDER / f"{name}.py"), *map(str, arguments)],
        cwd=REPO, capture_output=True, text=True, check=False,
    )  # fmt: skip


Script = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Script:
    """``script`` in this process, with the programs of this repository that it starts.

    A process of its own spends most of its time on loading torch, for every step anew; that
    processes are started, limited and told apart is what the tests above are about.
    """
    import mimic.cli
    from mimic.commands import train

    apart = steps.run

    def run(command: Sequence[str], limit_s: float, log: Path, python: str = sys.executable) -> int:
        if command[:2] == ["-m", "mimic.cli"]:
            words, program = command[2:], mimic.cli.run
        elif command[0] == "train.py":
            words, program = command[1:], train.main
        elif command[0] == "-c":
            words, program = command[2:], lambda: exec(command[1], {"__name__": "__main__"})
        else:
            return apart(command, limit_s, log, python)
        log.parent.mkdir(parents=True, exist_ok=True)
        monkeypatch.setattr(sys, "argv", ["program", *words])
        with log.open("a") as output, contextlib.redirect_stdout(output):
            try:
                with contextlib.redirect_stderr(output):
                    return program() or 0
            except UserError as error:
                output.write(f"error: {error}\n")
                return 2

    def script(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        spec = importlib.util.spec_from_file_location(f"gpu_{name}", FOLDER / f"{name}.py")
        assert spec is not None and spec.loader is not None
        monkeypatch.setattr(steps, "run", run)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
        with contextlib.redirect_stdout(io.StringIO()) as told:
            module.main()
        return subprocess.CompletedProcess([name], 0, told.getvalue(), "")

    monkeypatch.chdir(REPO)
    return script


def test_a_step_is_not_repeated_and_a_failure_is_tried_again(tmp_path: Path) -> None:
    deadline = steps.Deadline.after(5)
    result = tmp_path / "deep" / "result.json"
    count = tmp_path / "count"
    code = (
        f"import pathlib; c = pathlib.Path({str(count)!r}); n = int(c.read_text() or 0) "
        f"if c.exists() else 0; c.write_text(str(n + 1)); "
        f"print('not yet') if n == 0 else pathlib.Path({str(result)!r}).write_text('1'); "
        "raise SystemExit(3 if n == 0 else 0)"
    )
    assert steps.step(result, ["-c", code], deadline, 60.0, engine="none")
    failed = json.loads(result.with_suffix(".failed").read_text())
    assert failed["status"] == 3 and failed["engine"] == "none" and "not yet" in failed["output"]
    for _ in range(2):
        assert steps.step(result, ["-c", code], deadline, 60.0)
    assert result.is_file() and not result.with_suffix(".failed").exists()
    assert count.read_text() == "2"


def test_time_limits(tmp_path: Path) -> None:
    log = tmp_path / "log"
    waiting = "import time\ntry:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    print('saved')"
    assert steps.run(["-c", waiting], 5.0, log) == 124
    assert "saved" in log.read_text(), "the program was not asked to stop first"
    nothing_left = steps.Deadline.after(0)
    assert not steps.step(tmp_path / "never.json", ["-c", "1/0"], nothing_left, 60.0)
    assert not list(tmp_path.glob("never*"))


@pytest.mark.slow
def test_throughput_at_toy_size_and_its_table(tmp_path: Path) -> None:
    for told in ("done in", "there already"):
        run = script("throughput", "--toy", "--out", tmp_path, "--engines", "mujoco")
        assert run.returncode == 0 and told in run.stdout, run.stdout + run.stderr
    table = script("collect", "--out", tmp_path)
    assert table.returncode == 0, table.stderr
    assert "### throughput-toy" in table.stdout and "| mujoco | 2 | no |" in table.stdout


FAKE_MJLAB = """
from types import SimpleNamespace
from pathlib import Path
import numpy as np
def load_env_cfg(task):
    assert task == "Mjlab-Tracking-Flat-Unitree-G1"
    return SimpleNamespace(decimation=4, scene=SimpleNamespace(num_envs=1),
                           commands={"motion": SimpleNamespace(motion_file="")})
class ManagerBasedRlEnv:
    def __init__(self, cfg, device):
        with np.load(cfg.commands["motion"].motion_file) as motion:
            assert motion["joint_pos"].shape[1] == 29 and float(np.ravel(motion["fps"])[0]) == 50.0
        self.cfg, self.step_dt = cfg, 0.02
        self.single_action_space = SimpleNamespace(shape=(29,))
        self.sim = SimpleNamespace(step=lambda: None)
    def reset(self):
        pass
    def step(self, action):
        assert tuple(action.shape) == (self.cfg.scene.num_envs, 29)
"""


@pytest.mark.slow
def test_the_comparison_with_mjlab_and_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: Script
) -> None:
    import robots
    from mimic.benchmark.motion import squat

    motions = tmp_path / "motions"
    motions.mkdir()
    squat(robots.load("unitree_g1"), 4.0).crop(0, 30).save(motions / "squat.npz")
    toy = ["--toy", "--out", tmp_path, "--engine", "mujoco", "--mjlab-python", sys.executable]
    run = here("compare_mjlab", *toy)
    assert "ours_2.json: done in" in run.stdout and "has no mjlab" in run.stdout, run.stdout
    # A package with the parts of mjlab's interface that the script uses.
    package = tmp_path / "site" / "mjlab"
    for part in ("", "tasks", "tasks/registry", "envs"):
        (package / part).mkdir(parents=True)
        (package / part / "__init__.py").write_text("")
    (package / "tasks" / "registry" / "__init__.py").write_text(FAKE_MJLAB)
    (package / "envs" / "__init__.py").write_text(FAKE_MJLAB)
    about = tmp_path / "site" / "mjlab-1.6.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: mjlab\nVersion: 1.6.0\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    run = here("compare_mjlab", *toy)
    assert "ours_2.json: there already" in run.stdout, run.stdout
    log = tmp_path / "mjlab-toy" / "mjlab_2.log"
    assert "mjlab_2.json: done in" in run.stdout, log.read_text()
    table = here("collect", "--out", tmp_path).stdout
    assert "| 2 | mjlab 1.6.0, mujoco-warp" in table and "| 2 | ours, mujoco |" in table


@pytest.mark.slow
def test_parity_and_tracking_at_toy_size(tmp_path: Path, here: Script) -> None:
    import robots
    from mimic.benchmark.motion import squat

    motions = tmp_path / "motions"
    motions.mkdir()
    squat(robots.load("unitree_g1"), 4.0).crop(0, 30).save(motions / "squat.npz")
    run = here("parity", "--toy", "--out", tmp_path, "--engines", "mujoco")
    assert "done in" in run.stdout, run.stdout + run.stderr
    for iteration in ("0000001", "0000002"):
        run = here("tracking", "--toy", "--out", tmp_path, "--engine", "mujoco")
        assert f"evaluate_{iteration}.json: done in" in run.stdout, run.stdout + run.stderr
    table = here("collect", "--out", tmp_path).stdout
    assert "mujoco and mujoco agree at every boundary" in table
    assert "### tracking-toy_mujoco" in table and "success" in table


@pytest.mark.slow
def test_the_world_model_at_toy_size(tmp_path: Path, here: Script) -> None:
    toy = ["--toy", "--device", "cpu", "--engine", "mujoco", "--out", tmp_path, "--minutes", 60]
    run = here("world_model", *toy, "--goal", "0.0001", "--train-minutes", 30)
    folder = tmp_path / "world-model-toy_mujoco"
    log = folder / "train.log"
    assert "evaluate_0000003.json: done in" in run.stdout, run.stdout + run.stderr + log.read_text()
    assert "return 0.0001 reached after" in run.stdout
    summary = json.loads((folder / "summary.json").read_text())
    assert [row["iteration"] for row in summary["curve"]] == [1, 2, 3]
    assert summary["reached"] == summary["curve"][0] and summary["curve"][0]["clips"] == 2
    # Over its own limit nothing is trained any more, and what is judged is not judged again.
    run = here("world_model", *toy, "--train-minutes", "0.0001", "--goal", "1.1")
    assert "has had its 0.0001 minutes" in run.stdout and "there already" in run.stdout
    assert "return 1.1 not reached within 0.0001 minutes; best" in run.stdout
    table = here("collect", "--out", tmp_path).stdout
    assert "### world-model-toy_mujoco" in table and "| 3 |" in table


def test_a_world_model_script_without_clips_is_refused(tmp_path: Path) -> None:
    run = script("world_model", "--out", tmp_path)
    assert run.returncode == 1 and run.stderr.startswith("error: --motion is missing")


@pytest.mark.slow
def test_students_at_toy_size(tmp_path: Path, here: Script) -> None:
    folder = tmp_path / "students-toy"
    unseen = ["--unseen", tmp_path / "toy_motions" / "quick.npz"]
    toy = ["--toy", "--engine", "mujoco", "--out", tmp_path, *unseen]
    run = here("students", *toy)
    assert run.returncode == 0, run.stdout + run.stderr
    rows = json.loads((folder / "table.json").read_text())
    assert [row["name"] for row in rows] == [
        "teacher", "dagger", "ppo-kl", "supervised-then-rl", "ppo",
    ]  # fmt: skip
    for row in rows:
        assert row["samples"] == 16 and set(row) > {"appendix-f", "noisy-start", "robust"}
        assert 0.0 <= row["robust"]["success"] <= 1.0
    assert "| dagger | 16 |" in run.stdout
    through = json.loads((folder / "interfaces.json").read_text())
    assert [row["name"] for row in through] == [
        "full", "three-point", "pelvis-path", "exbody", "velocity",
    ]  # fmt: skip
    for row in through:
        assert row["train"]["episodes"] == 2 and row["unseen"]["episodes"] == 1
    assert through[-1]["without a clip"]["key_body_mm"] > 0
    assert "| pelvis-path | unseen |" in run.stdout
    # What is done is not done again.
    again = here("students", *toy)
    assert again.stdout.count("there already") == 6 + 15 + 11


@pytest.mark.slow
def test_methods_at_toy_size(tmp_path: Path, here: Script) -> None:
    folder = tmp_path / "methods-toy"
    toy = ["--toy", "--engine", "mujoco", "--out", tmp_path, "--methods", "awr", "fast-sac"]
    run = here("methods", *toy)
    log = folder / "methods.log"
    assert "awr (0), fast-sac (0): there (status 0)" in run.stdout, run.stdout + log.read_text()
    rows = json.loads((folder / "table.json").read_text())["results"]
    assert [row["samples"] for row in rows] == [16, 16]
    assert {row["budget"] for row in [json.loads((folder / "settings.json").read_text())]} == {
        "samples=16"
    }
    assert (folder / "curves.png").is_file() and "| fast-sac | 0 |" in (
        folder / "README.md"
    ).read_text()
