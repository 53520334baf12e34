"""The command line: a tiny run on a tiny robot, resumed; mistakes told in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import robots
from mimic.commands.train import parse, train
from mimic.learning import PRESETS
from mimic.learning.registry import config_class
from mimic.policy.player import PolicyPlayer
from mimic.viewer.rollout import roll_out
from mimic_base.errors import MimicError, UserError
from motions import RobotMotion
from tests.conftest import TINY
from tests.envs.conftest import sway

REPO = Path(__file__).resolve().parents[2]
TASK = "tracking-no-state-estimation"
SMALL = [
    "--robot", str(TINY), "--num-envs", "8", "--steps-per-iteration", "6", "--workers", "1",
    "--actor-hidden", "8", "--critic-hidden", "8", "--device", "cpu",
]  # fmt: skip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "sway.npz"
    sway(robots.load(TINY), fps=30.0).save(path)
    return path


@pytest.fixture(scope="module")
def run(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    arguments = [TASK, "--motion", str(clip), *SMALL, "--iterations", "2", "--name", "small"]
    assert train(parse([*arguments, "--out", str(out), "--seed", "7"])) == 0
    (folder,) = (out / TASK).iterdir()
    return folder


def test_the_cpu_preset_limits_drift(run: Path) -> None:
    task = json.loads((run / "config.json").read_text())["run"]["task"]
    assert task["terminations"]["anchor_drift"]["parameters"] == {"threshold": 0.7}
    first = json.loads((run / "progress.jsonl").read_text().splitlines()[0])
    assert "termination/anchor_drift" in first
    assert PRESETS["gpu"].drift_limit == 0.0


def test_a_run_leaves_everything_and_can_be_resumed(run: Path) -> None:
    saved = json.loads((run / "config.json").read_text())
    assert saved["seed"] == 7 and saved["run"]["loop"]["num_envs"] == 8
    assert saved["identity"]["robot"] == "tiny" and saved["sessions"][0]["versions"]["mujoco"]
    assert PolicyPlayer(run / "policy.onnx").contract.training["iterations"] == 2
    with pytest.raises(MimicError, match="already has 2 iterations; ask for more"):
        train(parse(["--resume", str(run)]))
    assert train(parse(["--resume", str(run), "--iterations", "3"])) == 0
    assert PolicyPlayer(run / "policy.onnx").contract.training["iterations"] == 3
    assert len(json.loads((run / "config.json").read_text())["sessions"]) == 2


def test_coarser_physics_and_mirrored_samples(clip: Path, tmp_path: Path) -> None:
    arguments = [TASK, "--motion", str(clip), *SMALL, "--iterations", "1"]
    options = ["--physics-hz", "100", "--symmetry", "--out", str(tmp_path)]
    assert train(parse([*arguments, *options])) == 0
    (folder,) = (tmp_path / TASK).iterdir()
    policy = PolicyPlayer(folder / "policy.onnx")
    assert policy.contract.physics_dt == pytest.approx(0.01)
    # It is played on the physics it is judged by all the same.
    rollout = roll_out(policy, policy.reference(RobotMotion.load(clip)), robots.load(TINY))
    assert len(rollout.states) > 1
    assert json.loads((folder / "config.json").read_text())["run"]["algorithm"]["symmetry"] is True
    assert train(parse(["--resume", str(folder), "--iterations", "2"])) == 0


def test_a_run_is_judged_while_it_trains(clip: Path, tmp_path: Path) -> None:
    arguments = [TASK, "--motion", str(clip), *SMALL, "--iterations", "3", "--out", str(tmp_path)]
    options = ["--judge-every", "2", "--judge-episodes", "3"]
    assert train(parse([*arguments, *options])) == 0
    (folder,) = (tmp_path / TASK).iterdir()

    def judgements() -> list[dict]:
        return [json.loads(line) for line in (folder / "judgements.jsonl").read_text().splitlines()]

    (first,) = judgements()
    assert first["iteration"] == 2 and first["samples"] == 96 and first["episodes"] == 3
    assert 0.0 <= first["success"] <= 1.0
    # A resumed run goes on judging as it was told to at its start.
    assert train(parse(["--resume", str(folder), "--iterations", "5"])) == 0
    assert [each["iteration"] for each in judgements()] == [2, 4]
    with pytest.raises(MimicError, match="judge-until is a share of episodes from 0 to 1, got 99"):
        train(parse([*arguments, *options, "--judge-until", "99"]))
    assert len(list((tmp_path / TASK).iterdir())) == 1


def test_a_run_is_not_resumed_on_other_motions_or_tasks(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.npz"
    sway(robots.load(TINY), fps=30.0, seconds=1.0).save(other)
    more = ["--resume", str(run), "--iterations", "9"]
    with pytest.raises(MimicError, match="pass the motion files"):
        train(parse([*more, "--motion", str(other)]))
    with pytest.raises(MimicError, match="has task tracking-no-state-estimation"):
        train(parse(["tracking", *more]))
    with pytest.raises(MimicError, match="--preset cannot be changed"):
        parse([*more, "--preset", "gpu"])


def test_presets_are_defaults_that_options_override() -> None:
    plain = parse([TASK, "--motion", "x.npz"])
    assert (plain.algorithm_config, plain.loop) == (PRESETS["cpu"].algorithm, PRESETS["cpu"].loop)
    args = parse([TASK, "--motion", "a.npz", "b.npz", "--preset", "gpu", "--clip", "0.3"])
    assert args.loop.num_envs == 4096 and args.algorithm_config.clip == 0.3
    assert args.algorithm_config.networks.actor_hidden == (512, 256, 128)
    assert [path.name for path in args.motion] == ["a.npz", "b.npz"]


def test_the_quickest_algorithm_is_the_default(run: Path, tmp_path: Path) -> None:
    def chosen(*words: str) -> str:
        args = parse([*words, "--motion", "x.npz"])
        assert type(args.algorithm_config) is config_class(args.algorithm)
        return args.algorithm

    assert chosen("tracking") == "world-model"
    assert chosen("tracking", "--algorithm", "ppo") == "ppo"
    assert chosen("tracking", "--preset", "gpu") == "ppo"
    assert chosen(TASK) == "ppo"
    # Options say who is meant: these are both's, then the world model's and PPO's alone.
    assert chosen("tracking", "--algorithm.steps", "6") == "world-model"
    assert chosen("tracking", "--algorithm.networks.actor-hidden", "32") == "world-model"
    assert chosen("tracking", "--algorithm.no-corrected") == "world-model"
    assert chosen("tracking", "--algorithm.entropy-coef", "0.0") == "ppo"
    assert chosen("tracking", "--entropy-coef", "0.0") == "ppo"
    assert chosen("tracking", "--symmetry") == "ppo"
    # Late actions cannot be imagined.
    assert chosen("tracking", "--randomisation", "beyondmimic") == "world-model"
    assert chosen("tracking", "--randomisation", "holosoma") == "ppo"
    # A run that begins with another's networks learns as that one did.
    assert chosen("tracking", "--init-from", str(run)) == "ppo"
    assert chosen("tracking", "--init-from", str(tmp_path / "absent")) == "ppo"


def test_mistakes_are_one_line_and_leave_nothing_behind(clip: Path, tmp_path: Path) -> None:
    def message(*arguments: str) -> str:
        with pytest.raises((UserError, OSError)) as caught:
            train(parse([*arguments, *SMALL, "--out", str(tmp_path / "out")]))
        return str(caught.value)

    assert "no task given; known: tracking" in message("--motion", str(clip))
    assert "unknown task 'walk'" in message("walk", "--motion", str(clip))
    assert "no motion given" in message(TASK)
    assert "does not exist" in message(TASK, "--motion", "absent.npz")
    assert "has no config.json" in message("--resume", str(tmp_path / "absent"))
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_a_folder_is_refused(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises((UserError, OSError)):
        train(parse([TASK, "--motion", str(clip), *SMALL, "--out", str(tmp_path / "file")]))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--resume", "absent-run"], "absent-run"),
        ([TASK, "--motion", "absent.npz", "--num-envs", "0"], "--num-envs must be at least 1"),
    ],
)
def test_the_process_exits_with_two_and_one_line(arguments: list[str], text: str) -> None:
    run = subprocess.run(
        [sys.executable, "train.py", *arguments], cwd=REPO, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert run.returncode == 2
    assert text in run.stderr and run.stderr.count("\n") == 1
