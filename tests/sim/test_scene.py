"""The scene: robot, ground, contact sensors, rates."""

from __future__ import annotations

import json
import math

import mujoco
import pytest
import torch

from mimic.configuration import from_plain, to_json
from mimic.sim import Engine, make_engine
from mimic.sim.objects import ObjectConfig
from mimic.sim.scene import ContactConfig, Scene, SceneConfig, make_scene
from mimic.sim.terrain import (
    Block,
    Boxes,
    HeightField,
    Plane,
    Ramp,
    RoughGround,
    Slope,
    Steps,
    Terrain,
)
from mimic_base.errors import MimicError
from robots import Robot


def test_rates_are_fifty_and_two_hundred(g1_scene: Scene) -> None:
    assert g1_scene.decimation == 4
    assert g1_scene.physics_dt == pytest.approx(0.005)
    assert g1_scene.control_dt == pytest.approx(0.02)


def test_other_rates(tiny: Robot) -> None:
    scene = make_scene(tiny, control_hz=25.0, physics_hz=500.0)
    assert scene.decimation == 20 and scene.physics_dt == pytest.approx(0.002)
    assert scene.control_dt == pytest.approx(0.04)


def test_rates_that_do_not_fit_are_refused(tiny: Robot) -> None:
    with pytest.raises(MimicError, match="120 Hz does not fit control at 50 Hz.*100"):
        make_scene(tiny, physics_hz=120.0)
    with pytest.raises(MimicError, match="such as 50"):
        make_scene(tiny, physics_hz=20.0)


def test_robot_part_of_the_scene_is_the_robot(g1: Robot, g1_scene: Scene) -> None:
    model = g1_scene.model
    assert model.nq == g1.model.nq and model.nu == g1.model.nu
    assert model.ngeom == g1.spec().compile().ngeom + 1
    names = tuple(model.body(i).name for i in range(1, model.nbody))
    assert names == g1.body_names
    assert model.body_mass.sum() == pytest.approx(g1.model.body_mass.sum())


def test_undesired_contacts_leave_out_feet_and_hands(g1: Robot, g1_scene: Scene) -> None:
    assert not set(g1_scene.contact_bodies) & set(g1.end_effectors)
    assert {"pelvis", "torso_link", "left_knee_link", "right_knee_link"} <= set(
        g1_scene.contact_bodies
    )
    sensors = len(g1_scene.contact_bodies) + len(g1_scene.contacts)
    assert g1_scene.model.nsensordata == 3 * sensors


def test_scene_without_sensors(g1: Robot) -> None:
    scene = make_scene(g1, sensors=False)
    assert scene.contact_bodies == () and scene.model.nsensor == 0 and not scene.contacts
    engine = make_engine("mujoco", scene, 1, threads=1)
    engine.step(torch.zeros(1, g1.num_joints))
    assert engine.contact_force.shape == (1, 0) and not engine.state.contacts


def test_feet_hold_the_ground_with_their_own_friction(g1: Robot, g1_scene: Scene) -> None:
    data = mujoco.MjData(g1_scene.model)
    data.qpos[:7] = [0, 0, g1.default_root_height - 0.005, 1, 0, 0, 0]
    data.qpos[7:] = g1.default_joint_pos
    mujoco.mj_forward(g1_scene.model, data)
    assert data.ncon == 8  # four spheres a foot
    for contact in range(data.ncon):
        assert data.contact[contact].friction[0] == pytest.approx(0.6)


def test_unknown_engine_lists_the_known(tiny_scene: Scene) -> None:
    with pytest.raises(MimicError, match="unknown engine 'bullet'; known: auto, mujoco"):
        make_engine("bullet", tiny_scene, 1)


def test_engine_keeps_the_protocol(tiny_scene: Scene) -> None:
    engine = make_engine("auto", tiny_scene, 3, threads=1)
    assert isinstance(engine, Engine)
    assert engine.name == "mujoco" and engine.num_envs == 3
    bodies = len(tiny_scene.robot.body_names)
    shapes = {
        "qpos": (3, 11), "qvel": (3, 10), "contact_force": (3, len(tiny_scene.contact_bodies)),
        "body_pos_w": (3, bodies, 3), "body_quat_w": (3, bodies, 4),
        "body_lin_vel_w": (3, bodies, 3), "body_ang_vel_w": (3, bodies, 3),
    }  # fmt: skip
    for name, shape in shapes.items():
        assert tuple(getattr(engine, name).shape) == shape, name


@pytest.mark.parametrize(
    "terrain",
    [
        Plane(friction=0.5), Slope(angle=0.2), Steps(count=2), Ramp(height=0.3),
        Boxes(blocks=(Block(pos=(1.0, 2.0, 3.0), half_size=(0.1, 0.2, 0.3)),)),
        HeightField(heights=((0.0, 0.1), (0.2, 0.3))), RoughGround(seed=4),
    ],
    ids=lambda terrain: type(terrain).__name__,
)  # fmt: skip
def test_a_scene_is_plain_data(terrain: Terrain) -> None:
    config = SceneConfig(
        terrain=terrain,
        objects={"box": ObjectConfig(size=(0.1, 0.2, 0.3), mass=2.0, fixed=True)},
        contacts={"grip": ContactConfig(body="box", other="terrain")},
    )
    text = to_json(config, SceneConfig)
    assert from_plain(SceneConfig, json.loads(text)) == config


def test_the_configuration_is_kept_with_the_scene(tiny: Robot) -> None:
    config = SceneConfig(terrain=Slope(angle=0.2))
    scene = make_scene(tiny, config)
    assert scene.config == config and make_scene(tiny).config == SceneConfig()
    assert scene.height(1.0, 0.0) == pytest.approx(math.tan(0.2))
