"""A student of several interfaces trains, exports, plays and is judged through any of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import robots
from mimic.cli import run
from mimic.commands.train import parse, train
from mimic.evaluation.policies import open_policy
from mimic.policy.player import PolicyPlayer
from mimic.viewer.rollout import roll_out
from mimic_base.errors import MimicError
from motions import RobotMotion
from motions.robot.steady import steady_motion
from tests.conftest import TINY
from tests.envs.conftest import sway

SMALL = [
    "--robot", str(TINY), "--num-envs", "8", "--steps-per-iteration", "6", "--workers", "1",
    "--actor-hidden", "8", "--critic-hidden", "8", "--device", "cpu", "--iterations", "1",
    "--algorithm", "ppo",
]  # fmt: skip
THREE = "--task.commands.interface.interfaces.three-point.share"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    sway(robots.load(TINY), fps=30.0).save(out / "sway.npz")
    task = ["tracking-student-interfaces", "--motion", str(out / "sway.npz"), "--out", str(out)]
    assert train(parse([*task, *SMALL, THREE, "3"])) == 0
    (folder,) = (out / "tracking-student-interfaces").iterdir()
    return folder


def test_a_run_is_exported_for_an_interface_and_played_by_numpy(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = json.loads((trained / "config.json").read_text())["run"]["task"]["commands"]
    assert saved["interface"]["interfaces"]["three-point"]["share"] == 3.0
    assert PolicyPlayer(trained / "policy.onnx").interface == "full"
    out = tmp_path / "points.onnx"
    assert run(["export", str(trained), "--interface", "three-point", "--out", str(out)]) == 0
    player = PolicyPlayer(out)
    assert player.interface == "three-point"
    told = player.contract.commands["interface"]
    assert told["parts"] == ["legs", "upper-body", "points", "velocity", "posture", "later"]
    assert told["constants"]["mask"] == [0, 0, 1, 0, 0, 0]
    reference = player.reference(RobotMotion.load(trained.parents[1] / "sway.npz"))
    through = roll_out(player, reference, robots.load(TINY)).observations
    # The same file through another interface: other observations, to the last of a history.
    player.choose_interface("velocity")
    other = roll_out(player, reference, robots.load(TINY)).observations
    names = [each.name for each in player.contract.observations]
    sizes = [each.size * each.history for each in player.contract.observations]
    at = sum(sizes[: names.index("interface")])
    assert through[0, at : at + 6].tolist() == [0, 0, 1, 0, 0, 0]
    assert other[0, at : at + 6].tolist() == [0, 0, 0, 1, 0, 0]
    motion = str(trained.parents[1] / "sway.npz")
    capsys.readouterr()
    assert run(["play", str(out), "--motion", motion, "--robot", str(TINY)]) == 0
    assert "through the interface 'three-point'" in capsys.readouterr().out
    assert run(["play", str(trained), "--interface", "exbody"]) == 0
    assert "through the interface 'exbody'" in capsys.readouterr().out


def test_a_policy_is_judged_through_the_interface_of_its_file_or_another(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "path.onnx"
    assert run(["export", str(trained), "--interface", "pelvis-path", "--out", str(out)]) == 0
    assert open_policy(out).interface == "pelvis-path"
    assert open_policy(trained, "velocity").interface == "velocity"
    motion = str(trained.parents[1] / "sway.npz")
    judge = ["--motion", motion, "--robot", str(TINY), "--episodes", "2", "--device", "cpu"]
    result = tmp_path / "result.json"
    assert run(["evaluate", str(out), *judge, "--json", str(result)]) == 0
    one = json.loads(result.read_text())
    assert "commanded through the interface 'pelvis-path'" in one["notes"]
    assert one["details"]["interface"] == "pelvis-path"
    assert run(["evaluate", str(trained), "--interface", "pelvis-path", *judge,
                "--json", str(result)]) == 0  # fmt: skip
    two = json.loads(result.read_text())
    assert two["total"]["key_body_mm"] == pytest.approx(one["total"]["key_body_mm"], rel=1e-3)
    library = ["--workers", "1", "--interface", "velocity"]
    assert run(["evaluate", str(trained), *judge, *library, "--json", str(result)]) == 0
    assert "commanded through the interface 'velocity'" in json.loads(result.read_text())["notes"]
    capsys.readouterr()


def test_interfaces_that_a_policy_does_not_know_are_refused(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(MimicError, match="not trained for the interface 'joystick'; it knows full"):
        open_policy(trained, "joystick")
    out = tmp_path / "no.onnx"
    with pytest.raises(MimicError, match="last.pt: unknown interface 'joystick'; known: full, "):
        run(["export", str(trained), "--interface", "joystick", "--out", str(out)])
    with pytest.raises(MimicError, match="not trained for the interface 'joystick'"):
        run(["play", str(trained), "--interface", "joystick"])
    assert not out.exists()


def test_a_velocity_is_commanded_without_any_clip(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = ["--velocity", "0.3", "0", "0.2"]
    assert run(["play", str(trained), *moved]) == 0
    told = capsys.readouterr().out
    assert "through the interface 'velocity'" in told and "velocity 0.3 0 0.2: " in told
    result = tmp_path / "result.json"
    judge = ["--robot", str(TINY), "--episodes", "2", "--device", "cpu", "--json", str(result)]
    assert run(["evaluate", str(trained), *moved, *judge]) == 0
    found = json.loads(result.read_text())
    assert found["clips"][0]["name"] == "velocity 0.3 0 0.2"
    assert "commanded through the interface 'velocity'" in found["notes"]
    motion = ["--motion", str(trained.parents[1] / "sway.npz")]
    for command in ("play", "evaluate"):
        with pytest.raises(MimicError, match="--velocity commands without a clip; leave out"):
            run([command, str(trained), *moved, *motion])
    capsys.readouterr()


def test_a_steady_motion_goes_where_its_velocity_says() -> None:
    """Against the way summed up step by step."""
    robot = robots.load(TINY)
    motion = steady_motion(robot, (0.5, -0.2, 0.4), seconds=3.0)
    place, yaw = np.zeros(2), 0.0
    for _ in range(3000):
        ahead = np.array([np.cos(yaw), np.sin(yaw)])
        place += 1e-3 * (0.5 * ahead - 0.2 * np.array([-ahead[1], ahead[0]]))
        yaw += 1e-3 * 0.4
    np.testing.assert_allclose(motion.body_pos_w[-1, 0, :2], place, atol=2e-3)
    np.testing.assert_allclose(motion.body_ang_vel_w[70, 0], [0, 0, 0.4], atol=1e-6)
    np.testing.assert_allclose(motion.joint_pos, np.tile(robot.default_joint_pos, (151, 1)))
    straight = steady_motion(robot, (1.0, 0.0, 0.0), seconds=1.0)
    np.testing.assert_allclose(straight.body_pos_w[-1, 0, :2], [1.0, 0.0], atol=1e-9)
