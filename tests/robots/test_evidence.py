"""Derivation by several pieces of evidence: ties, small shapes, odd frames, absent geometry."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import robots
from mimic.cli import run
from motions.human import demo
from robots import Robot
from robots.derive.add import add_robot
from robots.doubts import doubts_of
from robots.flexion import SURE, Bend, sides_of_flexion
from robots.frames import robot_frames
from robots.limb_axes import bone_axes
from tests.robots import stick_variants as variants
from tests.robots.stick_urdf import urdf

DOWN = np.array([0.0, 0.0, -1.0])


def added(text: str, folder: Path, name: str = "robot") -> Robot:
    file = folder / f"{name}.urdf"
    file.write_text(text)
    return add_robot(file, out=folder / f"{name}.toml").robot


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Robot:
    return added(urdf(), tmp_path_factory.mktemp("plain"))


def flexion(robot: Robot, joint: str) -> tuple[float, float]:
    return robot_frames(robot).flexion[robot.joint_names.index(joint)]


@pytest.mark.parametrize("reach", [1.57, 2.0, 3.0])
def test_symmetric_ranges_bend_the_human_way(tmp_path: Path, reach: float) -> None:
    robot = added(
        variants.ranged(-reach, reach, ("part_13", "part_23", "part_33", "part_43")), tmp_path
    )
    for side in "12":
        low, high = flexion(robot, f"j_part_{side}3")
        assert high == pytest.approx(reach, abs=1e-6) and low > -0.1
    for side in "34":
        low, high = flexion(robot, f"j_part_{side}3")
        assert low == pytest.approx(-reach, abs=1e-6) and high < 0.1
    assert doubts_of(robot) == ()


def bend(low: float, high: float, default: float, side: float, axis: float = 1.0) -> Bend:
    return Bend(
        joint=1, axis=np.array([0.0, axis, 0.0]), upper=DOWN, lower=DOWN, low=low, high=high,
        default=default, knee=True, side=side,
    )  # fmt: skip


def test_the_mirror_image_speaks_for_a_joint_that_says_nothing() -> None:
    # The right one's axis is turned round: its positive direction is the left one's negative.
    left, right = sides_of_flexion(bend(-1.6, 1.6, 0, 1), bend(-2.2, 0.1, 0, -1, axis=-1.0))
    assert (left.sign, right.sign) == (1.0, -1.0)
    assert left.confidence > 0.9 and "human way" in left.reason


def test_split_evidence_is_said() -> None:
    # Bent backwards in the default pose, against the human way.
    left, right = sides_of_flexion(bend(-1.6, 1.6, -0.6, 1), bend(-1.6, 1.6, -0.6, -1))
    assert left.confidence < SURE and right.confidence < SURE
    assert "default pose" in left.reason and "human way" in left.reason
    # The maker's range decides, whatever the pose.
    left, _ = sides_of_flexion(bend(-0.1, 2.2, -0.05, 1), bend(-0.1, 2.2, -0.05, -1))
    assert left.sign == 1.0 and left.confidence > 0.9


def test_op3s_elbows_are_mirror_images() -> None:
    left, right = (flexion(robots.load("robotis_op3"), f"{side}_el") for side in "lr")
    np.testing.assert_allclose(left, -np.array(right)[::-1], atol=1e-9)


def test_a_doubt_of_the_description_reaches_retargeting(plain: Robot) -> None:
    pose = plain.default_joint_pos.copy()
    for name in ("j_part_13", "j_part_23"):
        pose[plain.joint_names.index(name)] = -0.6
    lower, upper = plain.joint_lower.copy(), plain.joint_upper.copy()
    model = plain.spec().compile()
    for name in ("j_part_13", "j_part_23"):
        model.joint(name).range = [-1.6, 1.6]
    odd = replace(
        plain, model=model, default_joint_pos=pose, joint_lower=lower, joint_upper=upper,
        doubts=("soles [0.10]: assumed",),
    )  # fmt: skip
    said = doubts_of(odd)
    assert said[0] == "soles [0.10]: assumed"
    assert any("left knee" in doubt and "against" in doubt for doubt in said)


@pytest.mark.parametrize(("sideways", "forward"), [(0.0227, 0.0), (0.0, 0.0227), (0.016, 0.016)])
def test_short_oblique_upper_arms_hang(
    tmp_path: Path, plain: Robot, sideways: float, forward: float
) -> None:
    robot = added(variants.short_arms(sideways, forward), tmp_path)
    for side in ("left", "right"):
        for segment in (f"{side}_upper_arm", f"{side}_forearm"):
            found, expected = (robot_frames(r).links[segment] for r in (robot, plain))
            np.testing.assert_allclose(found.primary, expected.primary, atol=1e-6)
    assert doubts_of(robot) == ()


def test_oblique_bones() -> None:
    y = np.array([0.0, 1.0, 0.0])
    # An arm drawn 40 degrees off the body is drawn so.
    away = 0.25 * np.array([0.0, np.sin(0.7), -np.cos(0.7)])
    upper, lower = bone_axes(away, away, np.array([1.0, 0.0, 0.0]))
    np.testing.assert_allclose(upper.along, away / 0.25)
    np.testing.assert_allclose(lower.along, away / 0.25)
    # So is one of 20 degrees whose bones are in one line.
    away = 0.25 * np.array([0.0, np.sin(0.35), -np.cos(0.35)])
    np.testing.assert_allclose(bone_axes(away, away, y)[0].along, away / 0.25)
    # A long upper arm 35 degrees forward, across the hinge, above a forearm that hangs: a doubt.
    forward = 0.25 * np.array([np.sin(0.61), 0.0, -np.cos(0.61)])
    found = bone_axes(forward, 0.25 * DOWN, y)[0]
    assert "35 deg oblique" in found.doubt


@pytest.mark.parametrize("radius", [0.02, 0.035])
def test_a_small_ball_does_not_hide_the_forearm(
    tmp_path: Path, plain: Robot, radius: float
) -> None:
    robot = added(variants.ball_for_forearm(radius), tmp_path)
    assert robot.human_map["left_elbow"] == "part_33"
    for point in ("left_wrist_point", "right_wrist_point"):
        np.testing.assert_allclose(robot.model.body(point).pos, plain.model.body(point).pos)


@pytest.mark.parametrize("height", [-0.95, -0.5, 0.3])
def test_the_base_frame_may_lie_anywhere(tmp_path: Path, plain: Robot, height: float) -> None:
    robot = added(variants.based(height), tmp_path)
    assert robot.human_map == plain.human_map
    np.testing.assert_allclose(robot.default_joint_pos, plain.default_joint_pos, atol=0.02)
    # The soles are on the ground all the same.
    assert robot.default_root_height == pytest.approx(plain.default_root_height + height, abs=0.01)


def test_absent_geometry_is_assumed_and_said(
    tmp_path: Path, plain: Robot, capsys: pytest.CaptureFixture[str]
) -> None:
    walk_file = demo.write("walk", tmp_path / "walk.bvh")
    file = tmp_path / "robot.urdf"
    file.write_text(variants.unseen())
    toml = tmp_path / "robot.toml"
    assert run(["robots", "add", str(file), "--out", str(toml)]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "mesh files are absent" in told and "a foot of human proportions is assumed" in told
    robot = robots.load(toml)
    # A bar's end is twice as far as its centre of mass: the forearm that the meshes would show.
    np.testing.assert_allclose(
        robot.model.body("left_wrist_point").pos, plain.model.body("left_wrist_point").pos
    )
    out = tmp_path / "walk.npz"
    arguments = ["retarget", str(walk_file), "--robot", str(toml), "--out", str(out), "--picture"]
    assert run([*arguments, "--end", "1"]) == 0 and out.is_file()
    told = " ".join(capsys.readouterr().out.split())
    assert "unsure: soles [0.10]" in told and "unsure: wrists [0.30]" in told


def test_split_evidence_asks_to_be_confirmed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The names call the shoulder's last hinge an elbow.
    text = urdf().replace("j_part_30", "elbow_left").replace("j_part_40", "elbow_right")
    file, toml = tmp_path / "robot.urdf", tmp_path / "robot.toml"
    file.write_text(text)
    monkeypatch.setattr("sys.argv", ["mimic"])
    with pytest.raises(robots.RobotError, match=r"names say 'elbow_left'.*--confirm"):
        run(["robots", "add", str(file), "--out", str(toml)])
    assert not toml.exists() and not toml.with_suffix(".png").exists()
    assert run(["robots", "add", str(file), "--out", str(toml), "--confirm"]) == 0
    assert "elbows [0." in capsys.readouterr().out
    assert any("elbows" in doubt for doubt in robots.load(toml).doubts)


def test_four_legs_are_called_so(tmp_path: Path) -> None:
    with pytest.raises(robots.RobotError, match="four legs and no arms: .*two legs and two arms"):
        added(variants.four_legged(), tmp_path)
