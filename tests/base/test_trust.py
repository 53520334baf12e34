"""What code a file may name, and who says so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mimic.configuration import from_plain
from mimic.learning.registry import algorithm_class
from mimic.tasks.registry import task_config
from mimic_base.command_line import take_common_options
from mimic_base.errors import UserError
from mimic_base.trust import (
    VARIABLE,
    check_program,
    check_trusted,
    consent,
    is_trusted,
    named_on_command_line,
    remember_program,
)

REPO = Path(__file__).resolve().parents[2]
MODULE = """
from pathlib import Path
Path({mark!r}).write_text("ran")
def task():
    Path({mark!r}).write_text("called")
"""


@pytest.fixture(autouse=True)
def nobody_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIMIC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(VARIABLE, "")


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module ``strange_tasks`` that leaves a mark when it is imported; returns the mark."""
    mark = tmp_path / "mark"
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "strange_tasks.py").write_text(MODULE.format(mark=str(mark)))
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "strange_tasks", raising=False)
    return mark


@pytest.mark.parametrize(
    "name",
    [
        "os:abort",
        "subprocess:Popen",
        "antigravity:anything",
        "torch.hub:load",
        "mimic.configuration:importlib.import_module",
        "mimic.cli:main",
        "mimic_base.files:os.abort",
        "mimic.tasks.registry:robots.loader.os.getcwd",
    ],
)
def test_names_of_files_lead_to_no_foreign_code(name: str) -> None:
    for read in (
        task_config,
        algorithm_class,
        lambda text: from_plain(type, {"$ref": text}, source="config.json"),
    ):
        with pytest.raises(UserError) as caught:
            read(name)
        assert "\n" not in str(caught.value)
    assert "antigravity" not in sys.modules


def test_a_stranger_is_not_even_imported(stranger: Path) -> None:
    with pytest.raises(UserError, match=r"--trust strange_tasks runs it"):
        task_config("strange_tasks:task")
    assert not stranger.exists()
    consent(["strange_tasks"])
    with pytest.raises(UserError, match="expected a function that returns"):
        task_config("strange_tasks:task")
    assert stranger.read_text() == "called"


def test_a_name_on_the_command_line_is_consent_there_and_later(
    stranger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["train", "strange_tasks:task", "--algorithm=other.code:PPO", "a.bvh"]
    assert take_common_options(words) == words
    assert is_trusted("strange_tasks") and is_trusted("other.code.deeper")
    monkeypatch.setenv(VARIABLE, "")  # another process, another day
    assert is_trusted("strange_tasks")
    assert not is_trusted("other")  # it lay nowhere
    # A file of that name elsewhere is another one.
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "strange_tasks.py").write_text("")
    monkeypatch.syspath_prepend(str(elsewhere))
    assert not is_trusted("strange_tasks")


def test_trust_may_be_given_and_files_are_no_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert take_common_options(["play", "x", "--trust", "mine", "--trust=yours.sub"]) == [
        "play",
        "x",
    ]
    assert is_trusted("mine") and is_trusted("yours")
    with pytest.raises(UserError, match="--trust: a module is a name"):
        take_common_options(["--trust", "../x"])
    (tmp_path / "walk").mkdir()
    words = ["walk:train", "set.pack:test", "os:abort", "http://x:80", "time:1.5", "C:x", "run"]
    assert named_on_command_line(words) == ["set", "C"]


def test_the_running_programs_own_modules_are_trusted_and_installed_ones_are_not() -> None:
    check_trusted(f"{__name__}:MODULE")
    for name in ("numpy:save", "os:abort", "pytest:main"):
        with pytest.raises(UserError):
            check_trusted(name)


def test_a_damaged_record_trusts_nobody(tmp_path: Path) -> None:
    record = tmp_path / "cache" / "trusted_modules.json"
    record.parent.mkdir()
    for content in ("", "[]", "{", json.dumps({"os": "x", "this": [1]})):
        record.write_text(content)
        assert not is_trusted("this")


def test_a_policy_of_a_stranger_runs_nothing(tmp_path: Path) -> None:
    """A run's configuration that names Python's own functions, through the program."""
    config = json.loads((REPO / "tests/learning/first_schema/config.json").read_text())
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_text(json.dumps({**config, "task": "os:abort"}))
    done = subprocess.run(
        [sys.executable, "-m", "mimic.cli", "train", "--config", str(run / "config.json")],
        cwd=REPO, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and "--trust os runs it" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_run_may_not_have_a_program_started(tmp_path: Path) -> None:
    from mimic.commands.train import check_saved_engine

    evil = "remote:python=/bin/sh"
    for engine in (evil, "os:abort", "isaacgym"):
        with pytest.raises(UserError, match=r"config\.json: engine: .*--trust"):
            check_saved_engine(engine, "config.json")
    for engine in ("auto", "mujoco", "warp:nconmax=64"):
        check_saved_engine(engine, "config.json")
    remember_program(evil)
    check_program(evil)
    with pytest.raises(UserError):
        check_program(evil + "x")
    consent(["remote"])
    check_program("remote:worker=mine.py")
