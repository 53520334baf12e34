"""A run directory written by the program before checkpoints /2: all of it still works.

``first_schema/`` was trained by that program: three iterations on the tiny robot, with an average
of the weights.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from mimic.commands.evaluate import Evaluate
from mimic.commands.export import Export
from mimic.commands.train import parse, train
from mimic.learning import load_policy
from mimic.learning.checkpoints import config_of_first_schema, load_checkpoint
from mimic.policy.player import PolicyPlayer
from mimic_base.errors import MimicError
from tests.conftest import TINY

HERE = Path(__file__).parent / "first_schema"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A copy that can be written to, its paths made whole."""
    folder = tmp_path / "run"
    shutil.copytree(HERE, folder)
    change_config(folder, motion=[str(folder / "sway.npz")], robot=str(TINY))
    return folder


def change_config(run: Path, **values: Any) -> None:
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, **values}))


def rename_in_checkpoint(run: Path, names: dict[str, str]) -> None:
    path = run / "checkpoints" / "last.pt"
    state = torch.load(path, weights_only=True)
    state["config"] = {names.get(name, name): value for name, value in state["config"].items()}
    torch.save(state, path)


def assert_like_the_exported_file(run: Path) -> None:
    policy, identity = load_policy(run)
    player = PolicyPlayer(HERE / "policy.onnx")
    assert identity["task"] == "tracking-no-state-estimation"
    obs = torch.from_numpy(player.golden_obs)
    with torch.no_grad():
        found = policy(obs).numpy()
    torch.testing.assert_close(found, player.golden_actions, rtol=1e-5, atol=1e-5)


def test_its_policy_is_the_one_it_was_exported_as(run: Path) -> None:
    assert_like_the_exported_file(run)


def test_fields_of_another_version_do_not_keep_it_from_playing(run: Path) -> None:
    names = {"gamma": "discount", "desired_kl": "kl_target", "ema_decay": "averaging"}
    rename_in_checkpoint(run, names)
    assert_like_the_exported_file(run)


def test_networks_of_another_version_are_told_in_one_line(run: Path) -> None:
    rename_in_checkpoint(run, {"actor_hidden": "actor_widths"})
    with pytest.raises(MimicError, match="its networks do not fit its configuration") as caught:
        load_policy(run)
    assert "last.pt" in str(caught.value) and "\n" not in str(caught.value)


def test_it_is_resumed_and_becomes_a_run_of_the_second_schema(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert load_checkpoint(run)["iteration"] == 3
    assert train(parse(["--resume", str(run), "--iterations", "4"])) == 0
    assert "note:" not in capsys.readouterr().err
    state = load_checkpoint(run)
    assert state["schema"] == "humanoid-mimic/checkpoint/2" and state["iteration"] == 4
    assert state["algorithm"]["state"]["average"]["updates"] == 4
    saved = json.loads((run / "config.json").read_text())
    task = saved["run"]["task"]
    assert task["physics_hz"] == 100.0
    ramp = task["curriculum"]["randomisation"]["parameters"]
    assert ramp == {"start": 0.25, "iterations": 3000}
    assert task["terminations"]["anchor_drift"]["parameters"]["threshold"] == 0.7
    assert saved["run"]["algorithm"]["networks"]["actor_hidden"] == [8]
    assert len(saved["sessions"]) == 2
    assert train(parse(["--resume", str(run), "--iterations", "5"])) == 0


def test_a_resumed_run_tells_which_numbers_it_does_not_know(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = json.loads((run / "config.json").read_text())["train"]
    change_config(run, train={**old, "discount": 0.9})
    assert train(parse(["--resume", str(run), "--iterations", "4"])) == 0
    err = capsys.readouterr().err
    assert "config.json: left out discount, of another version" in err


def test_it_is_exported_and_evaluated(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "again.onnx"
    assert Export(run_dir=run, out=out).run() == 0
    assert PolicyPlayer(out).contract.training["iterations"] == 3
    report = tmp_path / "result.json"
    evaluate = Evaluate(
        policy=run / "checkpoints" / "last.pt", motion=(run / "sway.npz",), robot=str(TINY),
        protocol="appendix-f", episodes=2, json=report, threads=1,
    )  # fmt: skip
    assert evaluate.run() == 0
    assert json.loads(report.read_text())["total"]["episodes"] == 2


def test_numbers_of_the_task_are_no_numbers_of_the_algorithm() -> None:
    flat = {"physics_hz": 100.0, "drift_limit": 0.7, "num_envs": 3, "actor_hidden": [4], "old": 1}
    config, unknown = config_of_first_schema(flat)
    assert config.loop.num_envs == 3 and config.algorithm.networks.actor_hidden == (4,)
    assert unknown == ["old"]
