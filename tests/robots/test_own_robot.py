"""A user's own MJCF with a small description loads like a built-in robot, or says why not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import robots
from mimic_base.errors import UserError
from robots import Robot, RobotError

Writer = Callable[..., Path]


def test_own_robot_loads(tiny: Robot) -> None:
    assert tiny.joint_names == ("left_hip", "left_ankle", "right_hip", "right_ankle")
    assert tiny.body_names == ("base", "chest", "left_leg", "left_foot", "right_leg", "right_foot")
    np.testing.assert_allclose(tiny.default_joint_pos, [-0.3, 0.3, -0.3, 0.3])
    np.testing.assert_allclose(tiny.effort_limit, [60, 30, 60, 30])
    np.testing.assert_allclose(tiny.kp, tiny.armature * (2 * np.pi * 10) ** 2)
    assert tiny.model.nu == 4
    assert tiny.model_source == "own file"


def test_robots_can_be_compared_and_be_keys(g1: Robot, tiny: Robot) -> None:
    assert {g1: 1, tiny: 2}[tiny] == 2
    assert g1 != tiny and robots.load("unitree_g1") == robots.load("unitree_g1")


def test_overlay_keeps_the_mass_inferred_from_geoms(tiny: Robot) -> None:
    np.testing.assert_allclose(tiny.model.body_mass[1:], [4, 3, 2, 0.5, 2, 0.5])
    # The model's own floor and shapes collide no more; ours (two feet, one trunk) do.
    assert (tiny.model.geom_contype | tiny.model.geom_conaffinity).astype(bool).sum() == 3


def test_soles_of_box_feet_are_their_lower_corners(tiny: Robot) -> None:
    for sole in tiny.sole_points:
        assert len(sole) == 4
        np.testing.assert_allclose(sole[:, 2], -0.05)
        np.testing.assert_allclose(sorted(set(sole[:, 0].round(9))), [-0.07, 0.13])
    # Hips -0.3 and ankles 0.3 keep the soles level: leg + foot + sole below the base.
    assert tiny.default_root_height == pytest.approx(0.05 + 0.42 * np.cos(0.3) + 0.05, abs=1e-9)


def test_own_control_constants_are_used(write_tiny: Writer) -> None:
    control = (
        "[control]\nnatural_frequency_hz = 5.0\ndamping_ratio = 1.0\nsoft_limit_factor = 0.5\n"
    )
    robot = robots.load(write_tiny(toml=("[model]", control + "[model]")))
    np.testing.assert_allclose(robot.kp, robot.armature * (2 * np.pi * 5) ** 2)
    np.testing.assert_allclose(robot.kd, 2 * robot.armature * 2 * np.pi * 5)
    np.testing.assert_allclose(robot.soft_upper[0], 0.6)


BAD_DESCRIPTIONS = {
    "not TOML": (("[model]", "[model"), "not a valid TOML"),
    "no name": (('name = "tiny"', ""), "key 'name' is missing"),
    "no bodies": (("[bodies]", "[parts]"), "key 'bodies' is missing"),
    "no anchor": (('anchor = "chest"', ""), "key 'anchor' is missing"),
    "motor without effort": (("effort = 60.0\n", ""), "key 'effort' is missing"),
    "text for a number": (("effort = 60.0", 'effort = "much"'), "malformed"),
    "negative armature": (("armature = 0.01", "armature = -0.01"), "must be positive"),
    "no model file": (('file = "tiny.xml"', ""), "[model] needs 'file'"),
    "menagerie without file": (('file = "tiny.xml"', 'menagerie = "x"'), "[model] needs 'file'"),
    "absent model file": (('"tiny.xml"', '"absent.xml"'), "absent.xml' does not exist"),
    "motor matches nothing": (('["*_hip"]', '["*_hip", "*_knee"]'), "'*_knee' matches no joint"),
    "joint without motor": (('["*_ankle"]', '["left_ankle"]'), "no motor drives ['right_ankle']"),
    "joint with two motors": (('["*_ankle"]', '["*_ankle", "left_*"]'), "more than one pattern"),
    "pattern given twice": (('["*_ankle"]', '["*_ankle", "*_hip"]'), "two motors claim"),
    "pose of no joint": (('"*_ankle" = 0.3', '"*_toe" = 0.3'), "'*_toe' matches no joint"),
    "unknown body": (('pelvis = "base"', 'pelvis = "hips"'), "body 'hips' is not in tiny.xml"),
    "root is not the base": (('root = "base"', 'root = "chest"'), "must be the floating base"),
    "key bodies without root": (('["base", "chest", "left_leg"', '["chest", "left_leg"'), "first"),
    "anchor not a key body": (('"base", "chest", "left_leg"', '"base", "left_leg"'), "add it to"),
    "three feet": (('feet = ["left_foot",', 'feet = ["base", "left_foot",'), "bodies.feet"),
    "feet are a text": (('feet = ["left_foot", "right_foot"]', 'feet = "left"'), "bodies.feet"),
    "collision of no body": (('body = "left_foot"', 'body = "left_toe"'), "'left_toe'"),
    "unknown shape": (('type = "box"', 'type = "blob"'), "'blob'"),
    "unknown group": (('group = "foot"', 'group = "fin"'), "'fin'"),
    "mirror of the middle": (('[0.0, 0.0, 0.0]]', '[0.0, 0.0, 0.0]]\nmirror = true'), "not a left"),
    "zero size": (("size = [0.1]", "size = [0.0]"), "cannot compile"),
    "zero frequency": (("[model]", "[control]\nnatural_frequency_hz = 0.0\n[model]"), "positive"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_DESCRIPTIONS)
def test_bad_description_is_one_line(case: str, write_tiny: Writer) -> None:
    change, expected = BAD_DESCRIPTIONS[case]
    with pytest.raises(RobotError) as caught:
        robots.load(write_tiny(toml=change))
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, UserError)


BAD_MODELS = {
    "not XML": (("</mujoco>", ""), "cannot read this model"),
    "fixed base": (('<freejoint name="root"/>', ""), "must be the floating base's free joint"),
    "slide joint": (('name="left_ankle" axis', 'name="left_ankle" type="slide" axis'), "hinges"),
    "joint without range": (('range="-0.8 0.8"', ""), "needs a range"),
}


@pytest.mark.parametrize("case", BAD_MODELS)
def test_bad_model_is_one_line(case: str, write_tiny: Writer) -> None:
    change, expected = BAD_MODELS[case]
    with pytest.raises(RobotError) as caught:
        robots.load(write_tiny(xml=change))
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_edited_description_is_read_again(write_tiny: Writer) -> None:
    assert robots.load(write_tiny()).effort_limit[0] == 60.0
    assert robots.load(write_tiny(toml=("effort = 60.0", "effort = 61.0"))).effort_limit[0] == 61.0


def test_content_hash_is_stable(tiny: Robot, write_tiny: Writer) -> None:
    # Another folder and another title are the same robot.
    again = robots.load(write_tiny(toml=("Tiny test robot", "Another title")))
    assert again.vendor_xml != tiny.vendor_xml
    assert again.content_hash == tiny.content_hash
    assert len(tiny.content_hash) == 16


@pytest.mark.parametrize(
    ("toml", "xml"),
    [
        (('name = "tiny"', 'name = "other"'), ("", "")),
        (("armature = 0.01", "armature = 0.011"), ("", "")),
        (("effort = 60.0", "effort = 61.0"), ("", "")),
        (('"*_hip" = -0.3', '"*_hip" = -0.31'), ("", "")),
        (("", ""), ('mass="3"', 'mass="3.01"')),
        (("", ""), ("-0.8 0.8", "-0.8 0.7")),
        (("", ""), ('"0 0 -0.42"', '"0 0 -0.43"')),
        (('"base", "chest", "left_leg", "left_foot"', '"base", "chest", "left_foot"'), ("", "")),
    ],
)
def test_content_hash_is_sensitive(
    toml: tuple[str, str], xml: tuple[str, str], tiny: Robot, write_tiny: Writer
) -> None:
    assert robots.load(write_tiny(toml=toml, xml=xml)).content_hash != tiny.content_hash
