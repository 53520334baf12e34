"""One door for everything that holds a policy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mimic.learning import run_config, start_runner
from mimic.policy.opener import CheckpointPlayer, find_policy, open_player
from mimic_base.errors import MimicError
from tests.learning.fake_env import FakeEnv

SMALL = run_config(
    num_envs=16, iterations=1, steps_per_iteration=4, actor_hidden=(8,), critic_hidden=(8,),
    workers=1, ema_decay=0.5,
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    start_runner(FakeEnv(), SMALL, folder).learn()
    (folder / "config.json").write_text(json.dumps({"motion": ["walk.npz"], "robot": "fake"}))
    return folder


def test_what_a_name_means(run: Path) -> None:
    last = run / "checkpoints" / "last.pt"
    cases = {
        run: ("onnx", run / "policy.onnx"),
        run / "policy.onnx": ("onnx", run / "policy.onnx"),
        last: ("checkpoint", last),
    }
    for named, (kind, file) in cases.items():
        source = find_policy(named)
        assert (source.kind, source.file) == (kind, file)
        assert source.trained_on == [Path("walk.npz")] and source.config["robot"] == "fake"
    assert find_policy(run, prefer="checkpoint").file == last


def test_a_checkpoint_plays_as_its_exported_file_does(run: Path) -> None:
    exported, saved = (open_player(find_policy(run, prefer=p)) for p in ("onnx", "checkpoint"))
    assert isinstance(saved, CheckpointPlayer) and not isinstance(exported, CheckpointPlayer)
    assert saved.contract.observations == exported.contract.observations
    obs = exported.golden_obs
    np.testing.assert_allclose(saved.act(obs), exported.act(obs), rtol=1e-5, atol=1e-5)
    assert saved.act(obs[0]).shape == exported.act(obs[0]).shape
    targets = [each.joint_targets(obs[:, :4]) for each in (saved, exported)]
    np.testing.assert_array_equal(targets[0], targets[1])
    with pytest.raises(MimicError, match=r"last.pt: observation has shape \(3,\)"):
        saved.act(np.zeros(3))
    with pytest.raises(MimicError, match="holds no clip"):
        saved.reference_inside()


def test_what_holds_no_policy_is_told_in_one_line(run: Path, tmp_path: Path) -> None:
    for named, text in (
        (tmp_path / "gone.onnx", "gone.onnx' does not exist; name a run directory"),
        (tmp_path, "neither config.json nor policy.onnx"),
    ):
        with pytest.raises(MimicError, match=text):
            find_policy(named)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(MimicError, match=r"config\.json: not valid JSON"):
        find_policy(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"motion": []}))
    with pytest.raises(MimicError, match="holds no checkpoint"):
        find_policy(tmp_path)


def test_a_policy_file_is_opened_without_torch(run: Path) -> None:
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from mimic.policy.opener import find_policy, open_player\n"
        f"print(open_player(find_policy({str(run)!r})).contract.task)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "fake-tracking", done.stderr
