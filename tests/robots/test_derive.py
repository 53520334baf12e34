"""Robots derived from their models alone agree with the descriptions made by hand."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
import pytest

import robots
from robots import RobotError
from robots.derive.add import add_robot, derive, robot_name
from robots.derive.write import human_map, key_bodies
from robots.urdf import resolve_mesh
from tests.robots.stick_urdf import hands, urdf

BUILTIN = ("unitree_g1", "unitree_h1", "booster_t1", "apptronik_apollo", "robotis_op3")


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    path = tmp_path / "stick.urdf"
    path.write_text(urdf())
    return path


@pytest.mark.parametrize("name", BUILTIN)
def test_derived_anatomy_agrees_with_the_description(name: str) -> None:
    robot = robots.load(name)
    derived = derive(robot.vendor_xml, name)
    anatomy = derived.anatomy
    assert tuple(anatomy.name(leg.end) for leg in anatomy.legs) == robot.feet
    found = human_map(derived)
    assert set(found) == set(robot.human_map)
    points = {f"{side}_wrist" for side in ("left", "right")}
    for role, body in robot.human_map.items():
        if role in points and found[role].endswith("_point"):
            # Neither has a wrist joint: both mark a point on the forearm, near each other.
            arm = anatomy.arms[role.startswith("right")]
            model = robot.model
            place = model.body(body).pos
            assert model.body(model.body(body).parentid[0]).name == anatomy.name(arm.end)
            assert np.linalg.norm(place - arm.tip) < 0.06 * robot.default_root_height
        else:
            assert found[role] == body, role
    wrists = {robot.human_map[role] for role in points}
    made = set(robot.key_bodies) - (wrists if anatomy.arms[0].tip.any() else set())
    assert {key for key in key_bodies(derived) if not key.endswith("_point")} == made
    assert anatomy.guesses["sides"].confidence > 0.9
    assert anatomy.guesses["knees"].confidence > 0.9
    # The soles lie in the same plane, and about as long and wide.
    for foot, sole, points_made in zip(robot.feet, derived.soles, robot.sole_points, strict=True):
        heights = [p @ sole.up for p in (sole.points, points_made)]
        assert heights[0].min() == pytest.approx(heights[1].min(), abs=2e-3), foot
        lengths = [np.ptp(p @ sole.forward) for p in (sole.points, points_made)]
        assert lengths[0] == pytest.approx(lengths[1], rel=0.15)
    efforts = [derived.motors[j].effort for j in sorted(derived.motors)]
    np.testing.assert_allclose(efforts, robot.effort_limit)


def test_urdf_becomes_a_standing_robot(stick: Path, tmp_path: Path) -> None:
    added = add_robot(stick, out=tmp_path / "mine.toml")
    robot = added.robot
    assert robot.name == "stick_man" and robot.num_joints == 21
    assert robot.root_body == "base" and robot.anchor_body == "trunk"
    assert robot.feet == ("part_15", "part_25")
    assert robot.human_map["left_knee"] == "part_13"
    assert robot.human_map["right_elbow"] == "part_43"
    assert robot.human_map["left_wrist"] == "left_wrist_point"
    by_name = dict(zip(robot.joint_names, robot.velocity_limit, strict=True))
    assert by_name["j_part_13"] == 18.0 and by_name["j_part_30"] == 12.0
    assert dict(zip(robot.joint_names, robot.effort_limit, strict=True))["j_part_23"] == 120.0
    # It stands: soles level on the ground, knees bent, the centre of mass over them.
    data = mujoco.MjData(robot.model)
    data.qpos[:7] = [0, 0, robot.default_root_height, 1, 0, 0, 0]
    data.qpos[7:] = robot.default_joint_pos
    mujoco.mj_forward(robot.model, data)
    soles = np.concatenate(
        [
            points @ data.body(foot).xmat.reshape(3, 3).T + data.body(foot).xpos
            for foot, points in zip(robot.feet, robot.sole_points, strict=True)
        ]
    )
    assert np.abs(soles[:, 2]).max() < 1e-3
    x = data.subtree_com[0][0]
    assert soles[:, 0].min() + 0.05 < x < soles[:, 0].max() - 0.05
    knees = [robot.joint_names.index(f"j_part_{k}") for k in (13, 23)]
    np.testing.assert_allclose(robot.default_joint_pos[knees], 0.6, atol=0.05)
    assert data.ncon <= 8
    assert robots.load(added.out).content_hash == robot.content_hash
    text = added.out.read_text()
    assert "# [0.95] effort limit of the URDF" in text
    assert "[0.90] velocity limit of the URDF" in text
    assert 'file = "stick.urdf"' in text and "free_joint = true" in text
    assert added.picture == tmp_path / "mine.png"
    assert added.picture.read_bytes().startswith(b"\x89PNG") and len(text) > 1000
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.png", "mine.toml", "stick.urdf"]


def test_derived_gains_follow_the_formula(stick: Path, tmp_path: Path) -> None:
    robot = add_robot(stick, out=tmp_path / "mine.toml").robot
    np.testing.assert_allclose(robot.armature, 1.6e-4 * robot.effort_limit, rtol=1e-3)
    np.testing.assert_allclose(robot.kp, robot.armature * (20.0 * np.pi) ** 2)


def test_left_and_right_come_from_geometry_not_from_order(tmp_path: Path) -> None:
    """The sides are exchanged in the file: what stands on +y is the left all the same."""
    text = urdf().replace('xyz="0.0 0.1 -0.08"', 'xyz="0.0 -0.1 -0.080"', 1)
    text = text.replace('xyz="0.0 -0.1 -0.08"', 'xyz="0.0 0.1 -0.08"', 1)
    path = tmp_path / "swapped.urdf"
    path.write_text(text)
    anatomy = derive(path, "swapped").anatomy
    assert [anatomy.name(leg.end) for leg in anatomy.legs] == ["part_25", "part_15"]


def test_an_arm_ends_where_fingers_begin(tmp_path: Path) -> None:
    path = tmp_path / "hands.urdf"
    path.write_text(urdf(more=tuple(hands())))
    found = human_map(derive(path, "hands"))
    assert found["left_shoulder"] == "part_32" and found["left_elbow"] == "part_33"
    assert found["left_wrist"] == "part_33_w" and found["right_wrist"] == "part_43_w"


def test_missing_meshes_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "stick.urdf"
    path.write_text(urdf(mesh="package://stick/meshes/base.stl"))
    added = add_robot(path, out=tmp_path / "mine.toml")
    assert added.derived.dropped == ("base",)
    assert "drop_missing_meshes = true" in added.out.read_text()
    assert added.robot.num_joints == 21


def test_packages_are_found_above_the_urdf(tmp_path: Path) -> None:
    meshes = tmp_path / "my_robot" / "meshes"
    (tmp_path / "my_robot" / "urdf").mkdir(parents=True)
    meshes.mkdir()
    (meshes / "base.stl").write_bytes(b"")
    file = tmp_path / "my_robot" / "urdf" / "robot.urdf"
    expected = meshes / "base.stl"
    assert resolve_mesh("package://my_robot/meshes/base.stl", file) == expected
    assert resolve_mesh("../meshes/base.stl", file).resolve() == expected
    assert resolve_mesh(f"file://{expected}", file) == expected
    assert resolve_mesh("package://other/a.stl", file).name == "a.stl"


MJCF = '<mujoco model="m"><worldbody>{}</worldbody></mujoco>'
ARM = (
    '<body name="base"><joint name="turn" axis="0 0 1" range="-1 1" limited="true"/>'
    '<geom size="0.1"/></body>'
)
BAD: dict[str, tuple[str, str, str]] = {
    "not XML": ("a.xml", "<mujoco>", "not XML"),
    "not a robot file": ("a.xml", "<svg/>", "the XML root is <svg>"),
    "no joints": ("a.xml", MJCF.format('<body><geom size="1"/></body>'), "no body has joints"),
    "no free joint possible": ("a.xml", MJCF.format(ARM), "no free joint possible"),
    "no limbs": (
        "a.xml",
        MJCF.format(
            '<body name="b"><freejoint/><geom size="0.1"/><body name="c">'
            '<joint name="j" axis="0 1 0" range="-1 1"/><geom size="0.1"/></body></body>'
        ),
        "no left and right limbs",
    ),
    "a ball joint": (
        "a.xml",
        MJCF.format(
            '<body name="b"><freejoint/><geom size="0.1"/><body name="c">'
            '<joint name="j" type="ball"/><geom size="0.1"/>'
            "</body></body>"
        ),
        "1 ball joints (j)",
    ),
    "no legs": ("a.urdf", urdf(leave_out=("part_10", "part_20")), "no legs"),
    "one leg": ("a.urdf", urdf(leave_out=("part_20",)), "no legs"),
    "no arms": ("a.urdf", urdf(leave_out=("part_30", "part_40")), "no arms"),
    "no knee": ("a.urdf", urdf(leave_out=("part_13", "part_23")), "no"),
    "nan": ("a.urdf", urdf().replace('xyz="0.0 0.1 -0.08"', 'xyz="nan 0.1 -0.08"'), "a.urdf"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_models_are_one_line_and_leave_nothing(case: str, tmp_path: Path) -> None:
    name, text, expected = BAD[case]
    (tmp_path / name).write_text(text)
    with pytest.raises(RobotError) as caught:
        add_robot(tmp_path / name, out=tmp_path / "out.toml")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value) and str(tmp_path / name) in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_unreadable_mesh_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "base.stl").write_bytes(b"no mesh at all")
    path = tmp_path / "stick.urdf"
    path.write_text(urdf(mesh="base.stl"))
    with pytest.raises(RobotError, match="base.stl") as caught:
        add_robot(path, out=tmp_path / "mine.toml")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "mine.toml").exists()


def test_nothing_is_overwritten_unasked(stick: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.toml"
    out.write_text("keep me")
    with pytest.raises(RobotError, match="exists"):
        add_robot(stick, out=out)
    assert out.read_text() == "keep me"
    add_robot(stick, out=out, overwrite=True)
    assert "keep me" not in out.read_text()


def test_bad_names_and_places_are_refused(stick: Path, tmp_path: Path) -> None:
    with pytest.raises(RobotError, match="does not exist"):
        add_robot(tmp_path / "absent.xml")
    with pytest.raises(RobotError, match=r"ends in \.toml"):
        add_robot(stick, out=tmp_path / "mine.txt")
    with pytest.raises(RobotError, match="the folder"):
        add_robot(stick, out=tmp_path / "nowhere" / "mine.toml")
    with pytest.raises(RobotError, match="--name"):
        add_robot(stick, out=tmp_path / "mine.toml", name="../x")
    assert robot_name(stick, "ok-1") == "ok-1"
