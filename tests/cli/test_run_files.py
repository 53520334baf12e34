"""Export and evaluation of what training leaves behind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mimic.learning import run_config, start_runner
from mimic.learning.run_dir import write_config
from mimic.policy.player import PolicyPlayer
from mimic.tasks import make_env


@pytest.fixture(scope="module")
def trained(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory of one tiny iteration."""
    folder = tmp_path_factory.mktemp("run")
    env = make_env("tracking", [clip], num_envs=2, threads=1)
    config = run_config(
        num_envs=2, iterations=1, steps_per_iteration=4, minibatches=1, epochs=1, workers=1,
        actor_hidden=(8,), critic_hidden=(8,),
    )  # fmt: skip
    write_config(folder, {"robot": "unitree_g1", "motion": [str(clip)]})
    start_runner(env, config, folder).learn()
    return folder


def test_export_and_evaluate_agree(mimic, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "walker.onnx"
    code, text, err = mimic("export", trained, "--out", out, "--clip", "squat")
    assert code == 0, err
    assert "walker.onnx" in text
    player = PolicyPlayer(out)
    assert player.contract.training["iterations"] == 1
    assert player.reference_inside().num_frames == 18

    figures = []
    for policy in (trained, trained / "checkpoints" / "last.pt", out):
        report = tmp_path / "result.json"
        code, text, err = mimic(
            "evaluate", policy, "--protocol", "appendix-f", "--json", report, "--threads", 1
        )
        assert code == 0, err
        assert "squat" in text and "100 %" in text
        figures.append(json.loads(report.read_text())["total"])
    for other in figures[1:]:
        assert other["key_body_mm"] == pytest.approx(figures[0]["key_body_mm"], rel=1e-3)


def test_export_beside_a_checkpoint(mimic, trained: Path) -> None:
    checkpoint = next((trained / "checkpoints").glob("0*.pt"))
    code, _, err = mimic("export", checkpoint)
    assert code == 0, err
    assert checkpoint.with_suffix(".onnx").is_file()


def test_export_needs_the_motions(mimic, trained: Path, clip: Path, tmp_path: Path) -> None:
    lost = tmp_path / "lost.pt"
    shutil.copy(trained / "checkpoints" / "last.pt", lost)
    code, _, err = mimic("export", lost)
    assert code == 2 and "--motion" in err and len(err.splitlines()) == 1
    code, _, err = mimic("export", lost, "--motion", clip)
    assert code == 0, err
    code, _, err = mimic("export", trained, "--clip", "moonwalk")
    assert code == 2 and "moonwalk" in err and "squat" in err


def test_an_unwritable_place_leaves_nothing(mimic, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    code, _, err = mimic("export", trained, "--out", tmp_path / "file" / "policy.onnx")
    assert code == 2 and "cannot write" in err and len(err.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_policy_file_is_not_exported_again(mimic) -> None:
    file = Path(__file__).resolve().parents[2] / "mimic" / "assets" / "policy_g1_demo.onnx"
    code, out, err = mimic("export", str(file))
    assert code == 2 and not out and "a policy file already" in err and err.count("\n") == 1
