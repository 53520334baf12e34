"""Checkpoints, run directories, configuration and console."""

from __future__ import annotations

import io
import json
import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from mimic.learning.checkpoints import (
    find_checkpoint,
    load_checkpoint,
    load_state,
    random_state,
    save_checkpoint,
    seed_everything,
    set_random_state,
)
from mimic.learning.config import PRESETS, RunConfig, run_config
from mimic.learning.console import IterationStats, TrainingConsole, clock
from mimic.learning.run_dir import (
    ProgressFile,
    create_run_dir,
    git_state,
    read_config,
    write_config,
)
from mimic_base.errors import MimicError


def test_checkpoints_keep_the_newest_and_point_at_the_last(tmp_path: Path) -> None:
    for iteration in (9, 10, 11):
        save_checkpoint(tmp_path, iteration, {"iteration": iteration}, keep=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0000010.pt", "0000011.pt", "last.pt"]
    assert load_state(tmp_path / "last.pt")["iteration"] == 11


def test_a_failed_write_leaves_the_previous_checkpoint(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, {"value": torch.ones(2)}, keep=2)

    class Unsaveable:
        def __reduce__(self) -> Any:
            raise OSError(28, "No space left on device")

    with pytest.raises(ValueError, match="disk is full"):
        save_checkpoint(tmp_path, 2, {"value": Unsaveable()}, keep=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0000001.pt", "last.pt"]
    assert torch.equal(load_state(tmp_path / "last.pt")["value"], torch.ones(2))


def test_the_last_checkpoint_of_a_run_is_found_without_its_pointer(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "checkpoints", 3, {}, keep=2)
    (tmp_path / "checkpoints" / "last.pt").unlink()
    assert find_checkpoint(tmp_path).name == "0000003.pt"


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 torn"])
def test_a_damaged_checkpoint_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.pt"
    path.write_bytes(content)
    with pytest.raises(MimicError, match="not a readable checkpoint") as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_with_another_pickle_protocol_is_read_without_a_warning(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    save_checkpoint(tmp_path, 1, {"value": torch.ones(2)}, keep=2)
    with zipfile.ZipFile(tmp_path / "last.pt") as archive:
        members = {each.filename: archive.read(each) for each in archive.infolist()}
    with zipfile.ZipFile(tmp_path / "odd.pt", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, b"\x80\x28" + data[2:] if name.endswith("data.pkl") else data)
    assert torch.equal(load_state(tmp_path / "odd.pt")["value"], torch.ones(2))
    assert not recwarn.list


def test_a_checkpoint_runs_no_code_and_a_foreign_one_is_refused(tmp_path: Path) -> None:
    torch.save({"model": torch.nn.Linear(1, 1)}, tmp_path / "pickled.pt")
    with pytest.raises(MimicError, match="not a readable checkpoint"):
        load_checkpoint(tmp_path / "pickled.pt")
    torch.save({"model_state_dict": {}}, tmp_path / "foreign.pt")
    with pytest.raises(MimicError, match="schema is None"):
        load_checkpoint(tmp_path / "foreign.pt")
    with pytest.raises(MimicError, match="does not exist"):
        load_checkpoint(tmp_path / "absent")
    with pytest.raises(MimicError, match="holds no checkpoint"):
        load_checkpoint(tmp_path)


def test_random_states_come_back(tmp_path: Path) -> None:
    def draw() -> tuple[float, float, float]:
        return torch.rand(1).item(), float(np.random.rand()), random.random()

    seed_everything(3)
    draw()
    save_checkpoint(tmp_path, 1, {"random": random_state()}, keep=1)
    expected = draw()
    seed_everything(4)
    set_random_state(load_state(tmp_path / "last.pt")["random"])
    assert draw() == expected


def test_run_directories_never_share_a_name(tmp_path: Path) -> None:
    made = {create_run_dir(tmp_path, "task", "walk") for _ in range(3)}
    assert len(made) == 3
    assert all(p.parent == tmp_path / "task" and "walk" in p.name for p in made)
    (tmp_path / "file").write_text("")
    with pytest.raises((MimicError, OSError), match="file"):
        create_run_dir(tmp_path / "file", "task", "")


def test_the_configuration_tells_every_session(tmp_path: Path) -> None:
    config = RunConfig(algorithm=PRESETS["gpu"].algorithm, loop=PRESETS["gpu"].loop)
    for _ in range(2):
        write_config(tmp_path, {"task": "a", "run": config.to_plain()})
    saved = read_config(tmp_path)
    assert RunConfig.from_plain(saved["run"], source="config.json") == config
    assert len(saved["sessions"]) == 2
    assert saved["sessions"][0]["versions"]["torch"] == torch.__version__
    with pytest.raises(MimicError, match=r"no config\.json"):
        read_config(tmp_path / "elsewhere")


def test_git_state_outside_a_checkout_is_unknown(tmp_path: Path) -> None:
    assert git_state(tmp_path) == {"commit": None, "dirty": None}


def test_progress_past_the_resumed_iteration_and_torn_lines_are_dropped(tmp_path: Path) -> None:
    first = ProgressFile(tmp_path, 0)
    for iteration in (1, 2, 3):
        first.write({"iteration": iteration})
    with first.path.open("a") as stream:
        stream.write('{"iterat')
    second = ProgressFile(tmp_path, 2)
    second.write({"iteration": 3, "again": True})
    lines = [json.loads(line) for line in second.path.read_text().splitlines()]
    assert [line["iteration"] for line in lines] == [1, 2, 3] and lines[-1]["again"]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"num_envs": 0}, "num_envs must be at least 1, got 0"),
        ({"learning_rate": 0.0}, "learning_rate must be positive"),
        ({"gamma": 1.5}, r"gamma must lie in \[0, 1\]"),
        ({"actor_hidden": (8, 0)}, r"actor_hidden must be widths of at least 1, got \(8, 0\)"),
        ({"learning_rat": 1.0}, "unknown setting 'learning_rat'; did you mean 'learning_rate'"),
    ],
)
def test_impossible_numbers_are_refused(values: dict[str, Any], text: str) -> None:
    with pytest.raises(MimicError, match=text):
        run_config(**values)


STATS = IterationStats(
    iteration=20, iterations=40, samples=491_520, samples_per_s=5120.0, eta_s=3671.0, wall_s=96.0,
    reward=2.5, episode_length_s=1.25, collect_s=3.5,
    learn_s=1.3, figures={"loss/value": 0.1, "action_std": 0.39, "learning_rate": 1e-3},
    log={"reward/pose": 0.7, "reward/total": 2.5, "termination/fall": 0.03,
         "termination/time_out": 0.01, "sampling/entropy": 0.9, "error/key_body_mm": 81.0},
)  # fmt: skip


def test_without_a_terminal_there_are_plain_lines_every_few_iterations() -> None:
    stream = io.StringIO()
    with TrainingConsole(10, Console(file=stream, width=80)) as console:
        for iteration in (19, 20, 21):
            console.show(IterationStats(**{**STATS.__dict__, "iteration": iteration}))
    lines = stream.getvalue().splitlines()
    # The first one always, then every tenth.
    assert [line.split()[1] for line in lines if line.startswith("it")] == ["19/40", "20/40"]
    assert "5,120/s" in lines[0] and "ETA 1:01:11" in lines[0] and "error 81 mm" in lines[0]
    assert "std 0.390  lr 1.0e-03  collect 3.50 s" in lines[0]
    assert lines[1].split() == ["rewards", "pose", "0.700"]
    assert lines[2].split() == ["ends", "fall", "75", "%", "time_out", "25", "%"]
    assert "\x1b" not in stream.getvalue()


def test_on_a_terminal_a_table_updates_in_place() -> None:
    stream = io.StringIO()
    terminal = Console(file=stream, width=120, force_terminal=True)
    with TrainingConsole(10, terminal) as console:
        console.show(STATS)
    assert "it 20/40" in stream.getvalue() and "pose" in stream.getvalue()


def test_clock() -> None:
    assert clock(59.6) == "0:01:00" and clock(36_061) == "10:01:01"
