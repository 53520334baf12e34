"""Parts of one's own, in a folder of one's own, through the command line alone.

``stranger/`` holds a task with a command of its own and an object in its scene, rewards,
observations with history, delay and filter, and an algorithm. No file of the project names it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mimic.policy.observations import RobotState
from mimic.policy.opener import find_policy, open_player
from mimic.policy.player import PolicyPlayer
from mimic_base.errors import MimicError

REPO = Path(__file__).resolve().parents[2]
STRANGER = Path(__file__).parent / "stranger"
ROBOT = REPO / "tests" / "robots" / "tiny.toml"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder outside of the project with the stranger's two files."""
    folder = tmp_path_factory.mktemp("stranger")
    for file in STRANGER.glob("*.py"):
        shutil.copy(file, folder)
    return folder


def mimic(home: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run ``mimic`` in the stranger's folder."""
    paths = os.pathsep.join([str(home), str(REPO)])
    return subprocess.run(
        [sys.executable, "-m", "mimic.cli", *map(str, arguments)], cwd=home,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(home: Path) -> Path:
    """A run of two iterations."""
    done = mimic(
        home, "train", "keep_still:task", "--algorithm", "random_search:RandomSearch",
        "--robot", ROBOT, "--loop.num-envs", 8, "--loop.iterations", 2,
        "--algorithm.spread", 0.1, "--task.rewards.holding.weight", 2.0,
        "--task.commands.pose.spread", 0.1, "--out", home / "runs", "--name", "first",
        "--judge-every", 2, "--judge-episodes", 3,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = home.glob("runs/**/config.json")
    return found.parent


def test_it_trains_and_its_numbers_are_kept(run: Path) -> None:
    saved = json.loads((run / "config.json").read_text("utf-8"))["run"]
    assert saved["algorithm"]["spread"] == 0.1
    assert saved["task"]["rewards"]["holding"]["weight"] == 2.0
    assert saved["task"]["rewards"]["holding"]["function"] == "keep_still:holding"
    lines = [json.loads(line) for line in (run / "progress.jsonl").read_text("utf-8").splitlines()]
    assert [line["iteration"] for line in lines] == [1, 2]
    assert "error/held_pose" in str(lines[-1]) and "search/best" in str(lines[-1])


def test_its_policy_file_tells_history_delay_and_command(run: Path) -> None:
    contract = PolicyPlayer(run / "policy.onnx").contract
    terms = {term.name: term for term in contract.observations}
    assert (terms["joint_pos"].history, terms["joint_pos"].delay) == (3, (0, 2))
    assert terms["box"].filter == 5.0 and terms["box"].function == "keep_still:box_from_base"
    assert contract.commands["pose"]["spread"] == 0.1
    assert contract.motions == () and contract.observation_size == 4 + 3 * 4 + 3


def test_its_policy_file_plays_on_a_robot(
    home: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file gives out what the command put into it; the box is told by who sees it."""
    monkeypatch.syspath_prepend(home)
    player = PolicyPlayer(run / "policy.onnx")
    default = np.asarray(player.contract.default_joint_pos)
    assert player.contract.inside == {"pose": {"joint_pos": 1}}
    held = player.commands_inside(7)["pose"].joint_pos
    np.testing.assert_allclose(held, default, atol=1e-7)
    state = RobotState(
        joint_pos=default + 0.1, joint_vel=np.zeros(4), root_ang_vel_b=np.zeros(3),
        anchor_quat_w=[1.0, 0.0, 0.0, 0.0],
        root_pos_w=[0.0, 0.0, 0.5], root_quat_w=[1.0, 0.0, 0.0, 0.0],
    )  # fmt: skip
    box = {"box": SimpleNamespace(pos_w=np.array([0.6, 0.0, 0.1]))}
    action = np.zeros(4)
    for t in range(3):
        obs = player.observe(state, None, t, action, objects=box)
        np.testing.assert_allclose(obs[:4], default, atol=1e-6)
        np.testing.assert_allclose(obs[-3:], [0.6, 0.0, -0.4], atol=1e-6)
        action = player.act(obs)
    other = {"pose": SimpleNamespace(joint_pos=default + 1.0)}
    obs = player.observe(state, None, 3, action, commands=other, objects=box)
    np.testing.assert_allclose(obs[:4], default + 1.0, atol=1e-6)
    with pytest.raises(MimicError, match="'box' looks at 'box', which is not given") as caught:
        player.observe(state, None, 4, action)
    assert "\n" not in str(caught.value)


def test_what_no_player_knows_is_one_line(
    home: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint holds the network alone: its command has to be told."""
    monkeypatch.syspath_prepend(home)
    player = open_player(find_policy(run / "checkpoints" / "last.pt"))
    state = RobotState(
        joint_pos=np.zeros(4), joint_vel=np.zeros(4), root_ang_vel_b=np.zeros(3),
        anchor_quat_w=[1.0, 0.0, 0.0, 0.0],
    )  # fmt: skip
    with pytest.raises(MimicError, match=r"a command \(keep_still:HeldPose\)") as caught:
        player.observe(state, None, 0, np.zeros(4))
    assert "\n" not in str(caught.value) and "policy_assets" in str(caught.value)


def test_a_clip_for_it_is_refused(home: Path, run: Path) -> None:
    done = mimic(home, "export", run, "--out", home / "no.onnx", "--clip", "walk")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "nothing to choose" in done.stderr and not (home / "no.onnx").exists()


def test_it_goes_on(home: Path, run: Path) -> None:
    done = mimic(home, "train", "--resume", run, "--loop.iterations", 3)
    assert done.returncode == 0, done.stdout + done.stderr
    last = (run / "progress.jsonl").read_text("utf-8").splitlines()[-1]
    assert json.loads(last)["iteration"] == 3


def test_it_is_exported(home: Path, run: Path) -> None:
    done = mimic(home, "export", run, "--out", home / "mine.onnx")
    assert done.returncode == 0, done.stdout + done.stderr
    assert PolicyPlayer(home / "mine.onnx").contract.task == "keep_still:task"


@pytest.mark.parametrize("what", ["run", "file", "checkpoint"])
def test_it_is_played(home: Path, run: Path, what: str) -> None:
    source = {
        "run": run, "file": run / "policy.onnx", "checkpoint": run / "checkpoints" / "last.pt"
    }  # fmt: skip
    done = mimic(home, "play", source[what], "--robot", ROBOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "keep_still:task: went on to the end after 1.0 s" in done.stdout


def test_it_is_judged_in_training(run: Path) -> None:
    (line,) = (run / "judgements.jsonl").read_text("utf-8").splitlines()
    judged = json.loads(line)
    assert judged["iteration"] == 2 and judged["episodes"] == 3 and judged["success"] == 1.0
    assert set(judged["rewards_per_s"]) == {"holding", "touching_box"}


@pytest.mark.parametrize("what", ["run", "file"])
def test_it_is_evaluated_as_it_was_trained(home: Path, run: Path, what: str) -> None:
    source = {"run": run, "file": run / "policy.onnx"}[what]
    done = mimic(home, "evaluate", source, "--episodes", 4, "--json", home / f"{what}.json")
    assert done.returncode == 0, done.stdout + done.stderr
    total = json.loads((home / f"{what}.json").read_text("utf-8"))["total"]
    assert total["endings"] == {"time_out": 4} and total["success"] == 1.0
    # The run's own weight and spread, not the task's.
    assert 1.0 < total["rewards_per_s"]["holding"] <= 2.0
    assert total["measured"]["error/held_pose"] > 0.0


def test_protocols_of_clips_are_refused_for_it(home: Path, run: Path) -> None:
    done = mimic(home, "evaluate", run, "--protocol", "appendix-f")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "has no motion command" in done.stderr and "--protocol task" in done.stderr


def test_engines_are_compared_on_it(home: Path, run: Path) -> None:
    done = mimic(
        home, "parity", run, "--engines", "remote", "--seconds", 0.3, "--json", home / "parity.json"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (report,) = json.loads((home / "parity.json").read_text("utf-8"))["reports"]
    assert report["first_difference"] is None
    assert {each["worst"] for each in report["boundaries"]} == {0.0}


def test_it_is_measured(home: Path) -> None:
    done = mimic(
        home, "benchmark", "--task", "keep_still:task", "--robot", ROBOT, "--num-envs", 2,
        "--seconds", 0.05, "--json", home / "speed.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "keep_still:task" in (home / "speed.json").read_text("utf-8")


def test_it_trains_by_ppo_on_an_engine_in_another_process(home: Path) -> None:
    done = mimic(
        home, "train", "keep_still:task", "--robot", ROBOT, "--engine", "remote",
        "--loop.num-envs", 4, "--loop.iterations", 1, "--out", home / "others", "--name", "ppo",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (config,) = home.glob("others/**/config.json")
    saved = json.loads(config.read_text("utf-8"))
    assert saved["engine"] == "remote"
    # The task shows its actor no commanded joint positions first that could be passed on.
    assert saved["run"]["algorithm"]["networks"]["command_feedthrough"] is False


def test_it_can_be_submitted_to_a_cluster(home: Path) -> None:
    done = mimic(home, "slurm", "--dry-run", "--", "keep_still:task", "--robot", ROBOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "keep_still:task" in done.stdout
    done = mimic(home, "slurm", "--dry-run", "--", "keep_still:tusk")
    assert done.returncode == 2 and "has no 'tusk'" in done.stderr


def test_what_it_tracks_nothing_for_is_refused(home: Path, run: Path) -> None:
    clip = home / "clip.npz"
    clip.write_bytes(b"")
    done = mimic(home, "play", run, "--motion", clip)
    assert done.returncode == 2 and "tracks no clip" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.render
def test_a_video_shows_its_box(home: Path, run: Path) -> None:
    video = home / "box.mp4"
    done = mimic(home, "play", run, "--video", video, "--size", 320, 240, "--video-fps", 5)
    assert done.returncode == 0, done.stdout + done.stderr
    assert video.stat().st_size > 1000


def test_no_file_of_the_project_names_it() -> None:
    for package in ("mimic_base", "motions", "robots", "retarget", "mimic"):
        for path in (REPO / package).rglob("*.py"):
            text = path.read_text("utf-8")
            assert "keep_still" not in text and "random_search" not in text, path
