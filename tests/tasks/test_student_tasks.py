"""The tasks of teachers and students train, export and play."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import robots
from mimic.commands.train import parse, train
from mimic.policy.player import PolicyPlayer
from mimic.tasks.student import HISTORY
from mimic.viewer.rollout import roll_out
from mimic_base.errors import MimicError
from motions import RobotMotion
from tests.conftest import TINY
from tests.envs.conftest import sway

SMALL = [
    "--robot", str(TINY), "--num-envs", "8", "--steps-per-iteration", "6", "--workers", "1",
    "--actor-hidden", "8", "--critic-hidden", "8", "--device", "cpu", "--iterations", "1",
]  # fmt: skip


@pytest.mark.parametrize("task", ["tracking-student", "tracking-student-heading"])
def test_a_student_is_played_by_numpy_with_its_history(task: str, tmp_path: Path) -> None:
    clip = tmp_path / "sway.npz"
    sway(robots.load(TINY), fps=30.0).save(clip)
    assert train(parse([task, "--motion", str(clip), *SMALL, "--out", str(tmp_path)])) == 0
    (folder,) = (tmp_path / task).iterdir()
    player = PolicyPlayer(folder / "policy.onnx")
    history = {each.name: each.history for each in player.contract.observations}
    assert history["joint_vel"] == HISTORY and history["command"] == 1
    assert player.contract.observations[0].name == "command"
    reference = player.reference(RobotMotion.load(clip))
    assert len(roll_out(player, reference, robots.load(TINY)).states) > HISTORY


def test_a_teacher_trains_on_mirrored_samples_too(tmp_path: Path) -> None:
    clip = tmp_path / "sway.npz"
    sway(robots.load(TINY), fps=30.0).save(clip)
    arguments = ["tracking-teacher", "--motion", str(clip), *SMALL, "--symmetry"]
    assert train(parse([*arguments, "--out", str(tmp_path)])) == 0


def test_a_run_is_trained_on_a_presets_physics(tmp_path: Path) -> None:
    clip = tmp_path / "sway.npz"
    sway(robots.load(TINY), fps=30.0).save(clip)
    arguments = ["tracking-student", "--motion", str(clip), *SMALL, "--randomisation", "hard"]
    event = ["--task.events.masses.parameters.factor", "0.9", "1.1"]
    assert train(parse([*arguments, *event, "--out", str(tmp_path)])) == 0
    (run,) = (tmp_path / "tracking-student").iterdir()
    saved = json.loads((run / "config.json").read_text())
    assert saved["randomisation"] == "hard"
    task = saved["run"]["task"]
    assert task["action_delay"] == [0, 2] and "motor_strength" in task["events"]
    assert task["events"]["masses"]["parameters"] == {"factor": [0.9, 1.1]}
    assert train(parse(["--resume", str(run), "--iterations", "2"])) == 0
    with pytest.raises(MimicError, match="--randomisation cannot be changed"):
        parse(["--resume", str(run), "--randomisation", "twist"])
    with pytest.raises(MimicError, match="unknown randomisation 'most'; known: none"):
        train(parse([*arguments[:-1], "most"]))
