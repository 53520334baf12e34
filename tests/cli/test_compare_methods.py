"""`mimic compare methods` on a tiny robot: trained, judged, put into a table; gone on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import robots
from mimic.benchmark.methods import METHODS, Budget, Method, first_reaching, methods_of, words_of
from mimic.cli import run
from mimic.commands import compared_run
from mimic.commands.compared_run import COMPLETE, Watch, marks, used_at
from mimic.commands.train import parse
from mimic_base.errors import MimicError
from tests.conftest import TINY
from tests.envs.conftest import sway


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "sway.npz"
    sway(robots.load(TINY), fps=30.0).save(path)
    return path


def words(clip: Path, out: Path, *more: str) -> list[str]:
    return [
        "compare", "methods", "--motion", str(clip), "--robot", str(TINY), "--engine", "mujoco",
        "--device", "cpu", "--budget", "samples=300", "--num-envs", "8", "--judgements", "2",
        "--judge-episodes", "2", "--episodes", "3", "--seeds", "0", "--out", str(out),
        "--train-options=--algorithm.steps 12 --loop.checkpoint-interval 1", *more,
    ]  # fmt: skip


def test_the_same_budget_for_every_method_in_one_table(
    clip: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "methods"
    assert run(words(clip, out, "--methods", "awr", "lcp")) == 0, capfd.readouterr().out
    table = json.loads((out / "table.json").read_text())
    assert [each["method"] for each in table["results"]] == ["lcp", "awr"]
    for each in table["results"]:
        # 8 environments by 12 steps are 96 samples an iteration: the fourth is over the budget.
        assert each["samples"] == 384 and each["minutes"] > 0
        assert [mark["samples"] for mark in each["curve"]] == [192, 384]
        assert each["curve"][0]["minutes"] < each["curve"][1]["minutes"] <= each["minutes"] + 1e-3
        assert each["episodes"] == 3 and 0 <= each["success"] <= 1
        assert each["joint_jerk_rms"] > 0 and each["torque_rate_rms"] > 0
        assert each["mpjpe_l_mm"] > 0 and 0 <= each["normalised_return"] <= 1
        assert (out / each["run"] / "policy.onnx").is_file()
    page = (out / "README.md").read_text()
    assert "| lcp | 0 |" in page and "samples=300" in page and "sway" in page
    assert (out / "curves.png").read_bytes()[:4] == b"\x89PNG"
    # What is done is not done again; what was taken away is judged again, not trained again.
    (out / "awr-seed0" / "result.json").unlink()
    capfd.readouterr()
    log = (out / "awr-seed0" / "train.log").read_text()
    assert run(words(clip, out, "--methods", "awr", "lcp")) == 0
    assert "lcp, seed 0: there already" in capfd.readouterr().out
    assert (out / "awr-seed0" / "train.log").read_text() == log
    with pytest.raises(
        MimicError, match="other settings .episodes 3 there, 4 here.; give the same"
    ):
        run(words(clip, out, "--methods", "lcp", "--episodes", "4"))


def test_a_run_that_was_stopped_goes_on(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "methods"
    more = ["--methods", "awr", "--budget", "samples=1000000"]
    command = [sys.executable, "-m", "mimic.cli", *words(clip, out, *more)]
    # As a shell starts a background job: with Ctrl-C ignored.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    deadline = time.monotonic() + 240
    while not list(out.glob("*/*/*/checkpoints/last.pt")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=240)
    assert process.returncode == 130 and "interrupted; the same command goes on" in told
    (folder,) = (out / "awr-seed0" / "tracking").iterdir()
    before = json.loads((folder / "progress.jsonl").read_text().splitlines()[-1])["samples"]
    # The rest of the way is a short one.
    settings = json.loads((out / "settings.json").read_text())
    budget = f"samples={before + 100}"
    (out / "settings.json").write_text(json.dumps({**settings, "budget": budget}))
    assert run(words(clip, out, "--methods", "awr", "--budget", budget)) == 0
    assert [each.name for each in (out / "awr-seed0" / "tracking").iterdir()] == [folder.name]
    (result,) = json.loads((out / "table.json").read_text())["results"]
    assert before < result["samples"] <= before + 192


def test_time_goes_on_where_a_killed_run_left_it_and_judgements_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = {"s": 0.0}
    monkeypatch.setattr(compared_run.time, "process_time", lambda: now["s"])
    judged: list[int] = []

    def judge(iteration: int, runner: Any) -> bool:
        now["s"] += 1000.0
        judged.append(iteration)
        return False

    runner: Any = SimpleNamespace(device="cpu", run_dir=tmp_path, iteration=0, samples=0)

    def train(upto: int) -> bool:
        watch = Watch(judge, runner, Budget("minutes", 1.0), judgements=3)
        over = False
        while not over and runner.iteration < upto:
            now["s"] += 5.0
            runner.iteration += 1
            over = watch(runner.iteration, runner)
        return over

    assert not train(7)
    assert judged == [4] and used_at(tmp_path, 7) == 35.0
    # Killed; its last checkpoint is of iteration 6.
    runner.iteration = 6
    assert used_at(tmp_path, 6) == 30.0
    assert train(99)
    assert runner.iteration == 12 and judged == [4, 8, 12]
    assert json.loads((tmp_path / COMPLETE).read_text())["seconds"] == 60.0
    assert {each["iteration"] for each in marks(tmp_path).values()} == set(range(1, 13))


def test_a_run_whose_comparison_is_gone_ends(tmp_path: Path, monkeypatch: Any) -> None:
    runner: Any = SimpleNamespace(device="cpu", run_dir=tmp_path, iteration=0, samples=0)
    watch = Watch(lambda *_: False, runner, Budget("samples", 100.0), judgements=2)
    assert not watch(1, runner)
    monkeypatch.setattr(os, "getppid", lambda: 1)
    assert watch(2, runner) and not (tmp_path / COMPLETE).exists()


def test_budgets() -> None:
    assert Budget.parse("minutes=15") == Budget("minutes", 15.0)
    assert str(Budget.parse("samples=3e6")) == "samples=3e+06"
    assert Budget.parse("samples=200").share(50, 1e9) == 0.25
    assert Budget.parse("minutes=2").share(50, 60.0) == 0.5
    for text in ("15", "minutes=", "minutes=-1", "hours=2", "samples=nan", "minutes=inf"):
        with pytest.raises(MimicError, match="expected samples=N or minutes=M above zero"):
            Budget.parse(text)


@pytest.mark.parametrize("name", list(METHODS))
def test_every_method_is_a_command_of_mimic_train(name: str, tmp_path: Path) -> None:
    method = METHODS[name]
    asked = words_of(
        method, motions=(tmp_path,), preset="cpu", robot="unitree_g1", engine="mujoco",
        device="cpu", seed=3, out=tmp_path, episodes=7,
        teacher=tmp_path if method.teacher else None,
    )  # fmt: skip
    args = parse(asked)
    assert (args.task, args.algorithm, args.seed) == (method.task, method.algorithm, 3)
    assert args.judge_every == 1 and args.judge_episodes == 7


def test_a_student_comes_after_its_teacher() -> None:
    assert list(methods_of(("dagger", "ppo"))) == ["teacher", "dagger", "ppo"]
    assert list(methods_of(())) == list(METHODS)
    with pytest.raises(MimicError, match="unknown method 'lpc'.*lcp"):
        methods_of(("lpc",))
    curve = [{"success": 0.5}, {"success": 0.995, "samples": 3}, {"success": 1.0}]
    assert first_reaching(curve, 0.99) == curve[1] and first_reaching(curve[:1], 0.99) is None
    assert Method(task="a", algorithm="b", about="c").options == ()


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (["--budget", "long"], "--budget: found 'long'"),
        (["--seeds", "1", "1"], "--seeds must be one or more different numbers"),
        (["--judgements", "0"], "--judgements must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    more: list[str], text: str, clip: Path, tmp_path: Path
) -> None:
    with pytest.raises(MimicError, match=text):
        run(words(clip, tmp_path, *more))


def test_a_run_that_fails_is_told_and_the_others_go_on(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mimic.commands import compare

    class Failing:
        def __init__(self, command: list[str], stdout: Any, **_: Any) -> None:
            stdout.write("error: no such thing\n")

        def wait(self) -> int:
            return 2

        def send_signal(self, number: int) -> None:
            raise AssertionError(number)

    monkeypatch.setattr(compare.subprocess, "Popen", Failing)
    assert run(words(clip, tmp_path, "--methods", "dagger", "ppo")) == 2
    told = capsys.readouterr().out
    assert "teacher, seed 0: failed; error: no such thing" in told
    assert "dagger, seed 0: its teacher is not there" in told and "ppo, seed 0: failed" in told
