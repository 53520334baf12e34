"""demo.py: the whole road, with a policy that nobody trained."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import robots
from mimic.commands.demo import Demo, chosen_clips, quality_rows
from mimic.policy.player import PolicyPlayer
from mimic_base.errors import MimicError
from motions import InputError, RobotMotion
from motions.human import demo
from tests.viewer.support import swaying_motion, write_policy

REPO = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def policy(tmp_path_factory) -> Path:
    motion = swaying_motion(robots.load("unitree_g1"), frames=16)
    return write_policy(tmp_path_factory.mktemp("demo") / "policy.onnx", motion)


@pytest.mark.slow
def test_the_whole_road_without_opengl(policy: Path, tmp_path: Path) -> None:
    out = tmp_path / "demo"
    command = ["demo.py", "--policy", policy, "--out", out, "--clips", "squat", "--episodes", "2"]
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=REPO, env={**os.environ, "MUJOCO_GL": "disabled"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("OpenGL") == 1
    for name in ("report.html", "squat.mp4", "policy.onnx", "motions", "clips"):
        assert str(out / name) in done.stdout
    written = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert written == {
        "clips/squat.bvh", "motions/squat.npz", "squat.mp4", "report.html", "report.json",
        "policy.onnx",
    }  # fmt: skip
    data = json.loads((out / "report.json").read_text())
    clip = data["clips"][0]
    motion = RobotMotion.load(out / "motions" / "squat.npz")
    assert clip["series"]["time_s"][-1] == pytest.approx(motion.duration, abs=0.02)
    assert [each["protocol"]["name"] for each in data["evaluations"]] == [
        "appendix-f", "noisy-start",
    ]  # fmt: skip
    assert data["evaluations"][1]["total"]["episodes"] == 2
    assert all(row["met"] for row in clip["quality"] if row["goal"] is not None)
    page = (out / "report.html").read_text()
    assert page.count("data:image/jpeg") == 3 and page.count("data:video/mp4") == 1
    assert PolicyPlayer(out / "policy.onnx").contract.robot.name == "unitree_g1"


def test_the_policys_own_clips_are_chosen() -> None:
    assert chosen_clips((), ["wave", "walk", "elsewhere"]) == ["walk", "wave"]
    assert chosen_clips((), ["elsewhere"]) == list(demo.names())
    assert chosen_clips(("squat", "walk", "squat"), ["walk"]) == ["squat", "walk"]
    with pytest.raises(MimicError, match="unknown demo clip 'moonwalk'; known: walk"):
        chosen_clips(("moonwalk",), [])


def test_mistakes_are_found_before_the_work(policy: Path, tmp_path: Path) -> None:
    with pytest.raises(MimicError, match="gone.onnx' does not exist; name another with --policy"):
        Demo(policy=tmp_path / "gone.onnx", out=tmp_path / "out").run()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file"):
        Demo(policy=policy, out=tmp_path / "file").run()
    with pytest.raises(MimicError, match="unknown demo clip"):
        Demo(policy=policy, out=tmp_path / "out", clips=("moonwalk",)).run()
    assert not (tmp_path / "out").exists()


def test_quality_is_judged_against_the_goals() -> None:
    robot = robots.load("unitree_g1")
    motion = swaying_motion(robot, frames=4)
    rows = quality_rows(motion)
    assert rows and all(row["value"] is None and row["met"] is None for row in rows)
