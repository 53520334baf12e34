"""`robots add` on scenes, on models drawn another way, and on what looks like a humanoid only."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
import pytest

import robots
from robots import RobotError
from robots.derive.add import add_robot, derive
from robots.derive.write import human_map
from robots.models import load_spec
from tests.robots.stick_urdf import Part, urdf

SOLE = "part_15"


def stick_spec(tmp_path: Path) -> mujoco.MjSpec:
    path = tmp_path / "stick.urdf"
    path.write_text(urdf())
    spec = load_spec(path)
    spec.body("base").pos = [0.0, 0.0, 0.9]
    spec.body("base").add_freejoint(name="free")
    for name in (SOLE, "part_25", "part_33"):
        spec.body(name).geoms[0].name = f"{name}_geom"
    return spec


def written(spec: mujoco.MjSpec, path: Path) -> Path:
    spec.compile()
    path.write_text(spec.to_xml())
    return path


def scene(tmp_path: Path) -> mujoco.MjSpec:
    """The stick man with a floor, a table and a ball, and all that can name a part."""
    spec = stick_spec(tmp_path)
    spec.worldbody.add_geom(name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[5, 5, 0.1])
    table = spec.worldbody.add_body(name="table", pos=[1, 0, 0])
    table.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=[0.2, 0.2, 0.2])
    ball = spec.worldbody.add_body(name="ball", pos=[0, 1, 1])
    ball.add_freejoint(name="rolls")
    ball.add_geom(name="ball", size=[0.1, 0, 0])
    spec.add_pair(name="step", geomname1=f"{SOLE}_geom", geomname2="floor")
    spec.add_exclude(bodyname1="ball", bodyname2="trunk")
    spec.add_equality(
        type=mujoco.mjtEq.mjEQ_WELD,
        objtype=mujoco.mjtObj.mjOBJ_BODY,
        name1="ball",
        name2="part_33",
    )
    spec.add_sensor(
        name="touch",
        type=mujoco.mjtSensor.mjSENS_FRAMEPOS,
        objtype=mujoco.mjtObj.mjOBJ_GEOM,
        objname=f"{SOLE}_geom",
    )
    hand = spec.body("part_33").add_site(name="hand")
    held = ball.add_site(name="handle")
    rope = spec.add_tendon(name="rope")
    rope.wrap_site(hand.name)
    rope.wrap_geom("ball", "")
    rope.wrap_site(held.name)
    winch = spec.add_actuator(name="winch", target="rope")
    winch.trntype = mujoco.mjtTrn.mjTRN_TENDON
    spec.add_key(name="home", qpos=np.zeros(7 + 21 + 7))
    return spec


def test_a_scene_is_read_as_the_robot_alone(tmp_path: Path) -> None:
    file = written(scene(tmp_path), tmp_path / "scene.xml")
    robot = add_robot(file, out=tmp_path / "mine.toml").robot
    assert robot.root_body == "base" and robot.num_joints == 21
    assert not {"table", "ball"} & set(robot.body_names)
    model = robot.vendor_spec().compile()
    assert (model.nsensor, model.ntendon, model.neq, model.npair) == (0, 0, 0, 0)
    assert robot.feet == ("part_15", "part_25")


def test_where_the_scene_puts_the_robot_does_not_matter(tmp_path: Path) -> None:
    spec = stick_spec(tmp_path)
    plain = derive(written(spec, tmp_path / "plain.xml"), "plain")
    spec.body("base").pos = [3.0, -4.0, 2.0]
    spec.body("base").quat = [0.5, 0.5, 0.5, 0.5]
    moved = derive(written(spec, tmp_path / "moved.xml"), "moved")
    assert human_map(moved) == human_map(plain) and moved.turn == plain.turn
    for a, b in zip(plain.soles, moved.soles, strict=True):
        np.testing.assert_allclose(a.points, b.points, atol=1e-6)


def test_two_robots_are_refused(tmp_path: Path) -> None:
    spec, other = stick_spec(tmp_path), stick_spec(tmp_path)
    spec.attach(other, prefix="second_", frame=spec.worldbody.add_frame(pos=[2, 0, 0]))
    with pytest.raises(RobotError, match="several robots.*'base'.*'second_base'"):
        derive(written(spec, tmp_path / "two.xml"), "two")


def test_a_joints_name_given_twice_is_one_line(tmp_path: Path) -> None:
    text = urdf()
    assert 'name="j_part_32"' in text
    path = tmp_path / "twice.urdf"
    path.write_text(text.replace('name="j_part_32"', 'name="j_part_14"'))
    with pytest.raises(RobotError, match=r"twice\.urdf: .*repeated name 'j_part_14'"):
        derive(path, "twice")


def test_vendor_defaults_do_not_reach_motors_and_shapes(tmp_path: Path) -> None:
    spec = stick_spec(tmp_path)
    spec.default.actuator.gear[0] = 80.0
    spec.default.geom.mass = 3.0
    spec.default.geom.fromto = [0, 0, 0, 0, 0, 0.1]
    spec.compiler.fusestatic = True
    spec.option.gravity = [0.0, 0.0, 0.0]
    for geom in spec.geoms:
        geom.fromto = [np.nan] * 6
    robot = add_robot(written(spec, tmp_path / "m.xml"), out=tmp_path / "mine.toml").robot
    np.testing.assert_allclose(robot.model.actuator_gear[:, 0], 1.0)
    assert robot.model.opt.gravity[2] == -9.81
    plain = mujoco.MjModel.from_xml_path(str(tmp_path / "m.xml"))
    assert robot.model.body_mass.sum() == pytest.approx(plain.body_mass.sum(), rel=1e-6)


@pytest.mark.parametrize(("rpy", "upright"), [("0 0 3.14159265", True), ("0 -1.57079633 0", False)])
def test_a_robot_that_faces_elsewhere_is_turned(rpy: str, upright: bool, tmp_path: Path) -> None:
    """Backwards, and with x up and z back: the same robot comes out, left is its own left."""
    mount = (
        '<link name="mount"/><joint name="m" type="fixed"><parent link="mount"/>'
        f'<child link="base"/><origin rpy="{rpy}"/></joint></robot>'
    )
    file = tmp_path / "turned.urdf"
    file.write_text(urdf().replace("</robot>", mount))
    added = add_robot(file, out=tmp_path / "mine.toml")
    assert human_map(added.derived)["left_ankle"] == "part_15"
    assert added.derived.turn[1:] != (0.0, 0.0, 0.0)
    assert (added.derived.turn[1:3] == (0.0, 0.0)) is upright
    assert "turn = [" in added.out.read_text()
    robot = robots.load(added.out)
    data = mujoco.MjData(robot.model)
    mujoco.mj_kinematics(robot.model, data)
    assert data.body("part_15").xpos[1] - data.qpos[1] == pytest.approx(0.1, abs=1e-6)
    assert data.body("trunk").xpos[2] - data.qpos[2] == pytest.approx(0.05, abs=1e-6)
    (tmp_path / "plain.urdf").write_text(urdf())
    plain = add_robot(tmp_path / "plain.urdf", out=tmp_path / "plain.toml").robot
    assert robot.default_root_height == pytest.approx(plain.default_root_height, abs=1e-3)
    np.testing.assert_allclose(robot.default_joint_pos, plain.default_joint_pos, atol=2e-3)


def test_toes_are_part_of_the_foot(tmp_path: Path) -> None:
    box = ((0.03, 0.0, -0.02), (0.06, 0.09, 0.02))
    toes: list[Part] = [
        (f"{foot}_toe", foot, "0 1 0", (0.16, 0, -0.03), box, (-0.5, 0.5), 5.0, 9.0)
        for foot in ("part_15", "part_25")
    ]
    file = tmp_path / "toes.urdf"
    file.write_text(urdf(more=tuple(toes)))
    derived = derive(file, "toes")
    assert human_map(derived)["left_ankle"] == "part_15"
    sole = derived.soles[0]
    assert (sole.points @ sole.forward).max() == pytest.approx(0.22, abs=0.01)


def test_a_foot_without_an_ankle_is_a_fixed_body(tmp_path: Path) -> None:
    text = urdf()
    for joint in ("j_part_14", "j_part_15", "j_part_24", "j_part_25"):
        text = text.replace(f'"{joint}" type="revolute"', f'"{joint}" type="fixed"')
    file = tmp_path / "stiff.urdf"
    file.write_text(text)
    robot = add_robot(file, out=tmp_path / "mine.toml").robot
    assert robot.num_joints == 17 and robot.human_map["left_knee"] == "part_13"
    assert robot.feet[0] in ("part_14", "part_15")


def test_frames_of_sensors_on_one_side_do_not_break_the_symmetry(tmp_path: Path) -> None:
    frames = "".join(
        f'<link name="f{k}"/><joint name="jf{k}" type="fixed"><parent link="part_12"/>'
        f'<child link="f{k}"/></joint>'
        for k in range(5)
    )
    file = tmp_path / "odd.urdf"
    file.write_text(urdf().replace("</robot>", frames + "</robot>"))
    assert human_map(derive(file, "odd"))["right_knee"] == "part_23"


def test_slides_are_fixed_and_balls_refused(tmp_path: Path) -> None:
    spec = stick_spec(tmp_path)
    grip = spec.body("part_33").add_body(name="grip", pos=[0, 0, -0.25])
    grip.add_geom(size=[0.02, 0, 0])
    joint = grip.add_joint(name="closes", type=mujoco.mjtJoint.mjJNT_SLIDE, range=[0, 0.02])
    added = add_robot(written(spec, tmp_path / "grip.xml"), out=tmp_path / "mine.toml")
    assert added.robot.num_joints == 21 and added.derived.slides == ("closes",)
    assert 'fixed_joints = ["closes"]' in added.out.read_text()
    joint.type = mujoco.mjtJoint.mjJNT_BALL
    with pytest.raises(RobotError, match=r"1 ball joints \(closes\).*three hinges"):
        derive(written(spec, tmp_path / "ball.xml"), "ball")


def test_slides_of_the_root_stand_for_a_floating_base(tmp_path: Path) -> None:
    spec = stick_spec(tmp_path)
    spec.delete(spec.joint("free"))
    for name, axis in (("tx", [1, 0, 0]), ("tz", [0, 0, 1])):
        spec.body("base").add_joint(name=name, type=mujoco.mjtJoint.mjJNT_SLIDE, axis=axis)
    robot = add_robot(written(spec, tmp_path / "planar.xml"), out=tmp_path / "mine.toml").robot
    assert robot.num_joints == 21 and not {"tx", "tz"} & set(robot.joint_names)


def test_parts_without_a_name_get_one_and_odd_names_are_themselves(tmp_path: Path) -> None:
    spec = stick_spec(tmp_path)
    spec.body("part_13").name = ""
    spec.joint("j_part_13").name = ""
    spec.joint("j_part_23").name = "knee[right]*"
    file = written(spec, tmp_path / "odd.xml")
    assert 'name="part_13"' not in file.read_text()
    robot = add_robot(file, out=tmp_path / "mine.toml").robot
    assert robot.human_map["left_knee"] in robot.body_names
    assert "" not in (*robot.body_names, *robot.joint_names)
    assert "knee[right]*" in robot.joint_names


def test_assumed_ranges_reach_a_model_in_degrees(tmp_path: Path) -> None:
    spec = stick_spec(tmp_path)
    for joint in spec.joints:
        joint.limited = mujoco.mjtLimited.mjLIMITED_FALSE
    file = written(spec, tmp_path / "free.xml")
    text = file.read_text().replace('<compiler angle="radian"', "<compiler", 1)
    assert 'angle="radian"' not in text
    file.write_text(text)
    robot = add_robot(file, out=tmp_path / "mine.toml").robot
    knee = robot.joint_names.index("j_part_13")
    assert robot.joint_upper[knee] - robot.joint_lower[knee] == pytest.approx(2.45, abs=0.01)


def test_four_legs_are_no_humanoid(tmp_path: Path) -> None:
    text = urdf().replace('xyz="0.0 0.21 0.42"', 'xyz="0.6 0.1 -0.45"')
    text = text.replace('xyz="0.0 -0.21 0.42"', 'xyz="0.6 -0.1 -0.45"')
    (tmp_path / "dog.urdf").write_text(text)
    with pytest.raises(RobotError, match="four legs and no arms"):
        derive(tmp_path / "dog.urdf", "dog")


def test_a_folder_is_not_called_absent(tmp_path: Path) -> None:
    (tmp_path / "g1.xml").write_text("<mujoco/>")
    with pytest.raises(RobotError, match=r"is a folder; give the MJCF .*one of: g1\.xml"):
        add_robot(tmp_path)
    with pytest.raises(RobotError, match="does not exist"):
        add_robot(tmp_path / "none.xml")


@pytest.mark.parametrize("turn", ["[1, 0]", '"up"', "[1.0, 1.0, 0.0, 0.0]"])
def test_a_bad_turn_in_a_description_is_one_line(turn: str, tmp_path: Path) -> None:
    (tmp_path / "stick.urdf").write_text(urdf())
    out = add_robot(tmp_path / "stick.urdf", out=tmp_path / "mine.toml").out
    out.write_text(out.read_text().replace("free_joint", f"turn = {turn}\nfree_joint", 1))
    with pytest.raises(RobotError, match=r"model\.turn must be"):
        robots.load(out)
