"""A box on a slope beside the robot: the same on every engine, variants and named forces too.

Bounds as in ``test_engine_parity``: single against double precision with a converged solver.
"""

from __future__ import annotations

import copy
import dataclasses
import math

import pytest
import torch

from mimic.sim import Engine, EngineError, make_engine
from mimic.sim.objects import ObjectConfig, vary_object
from mimic.sim.scene import ContactConfig, Scene, SceneConfig, make_scene
from mimic.sim.terrain import RoughGround, Slope, Steps, Terrain
from robots import Robot
from tests.sim.engines import ball_footed, needs

OTHERS = [
    pytest.param("warp", marks=[needs("warp"), pytest.mark.slow]),
    pytest.param("mjx", marks=[needs("mjx"), pytest.mark.slow]),
]
ENVS = 3


@pytest.fixture(scope="module")
def robot(tmp_path_factory: pytest.TempPathFactory) -> Robot:
    return ball_footed(tmp_path_factory.mktemp("ball_footed"))


def converged(robot: Robot, terrain: Terrain, **objects: ObjectConfig) -> Scene:
    contacts = {
        "box_floor": ContactConfig(body="box", other="terrain"),
        "box_chest": ContactConfig(body="box", other="base"),
    }
    scene = make_scene(robot, SceneConfig(terrain=terrain, objects=objects, contacts=contacts))
    model = copy.copy(scene.model)
    model.opt.iterations, model.opt.ls_iterations, model.opt.tolerance = 50, 50, 1e-8
    return dataclasses.replace(scene, model=model)


BOX = ObjectConfig(size=(0.1, 0.15, 0.05), mass=2.0, pos=(0.6, 0.0, 0.12), quat=(1.0, 0, 0, 0))


def start(engine: Engine, scene: Scene, box_quat: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0)) -> None:
    """The robot upright; in the last environment in the air, bumped into by a flying box."""
    n = engine.num_envs
    upright = torch.tensor([1.0, 0.0, 0.0, 0.0]).repeat(n, 1)
    robot_pos = torch.tensor([0.0, 0.0, 0.53]).repeat(n, 1)
    robot_pos[:, 2] += scene.height(robot_pos[:, 0], robot_pos[:, 1])
    pos, lin = torch.tensor([0.6, 0.0, 0.0]).repeat(n, 1), torch.zeros(n, 3)
    pos[:, 2] = scene.height(pos[:, 0], pos[:, 1]) + 0.13
    # Nothing else touches anything there: a bump that shifts a foot by a micrometre may decide
    # whether it touches down a step earlier.
    robot_pos[-1, 2] += 1.0
    pos[-1], lin[-1, 0] = torch.tensor([0.25, 0.02, 1.6]), -1.0
    engine.reset_to(
        torch.arange(n), root_pos_w=robot_pos, root_quat_w=upright, joint_pos=torch.zeros(n, 4),
        root_lin_vel_w=torch.zeros(n, 3), root_ang_vel_b=torch.zeros(n, 3),
        joint_vel=torch.zeros(n, 4),
        objects={"box": (pos, torch.tensor(box_quat).repeat(n, 1), lin, torch.zeros(n, 3))},
    )  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_a_box_on_a_slope(name: str, robot: Robot) -> None:
    scene = converged(robot, Slope(angle=0.15, heading=0.4), box=BOX)
    engines = make_engine("mujoco", scene, ENVS, threads=1), make_engine(name, scene, ENVS)
    seen = {contact: 0.0 for contact in scene.contacts}
    for engine in engines:
        # Before the first step, which is when MJX compiles.
        ids = torch.tensor([1, 2])
        vary_object(engine, "box", ids, mass=torch.tensor([5.0, 4.0]),
                    size=torch.tensor([[0.1, 0.1, 0.08], [0.1, 0.1, 0.1]]))  # fmt: skip
        # The box lies flat on the slope, a little way in: of one that comes down on an edge MJX
        # takes into account the corners within 1 mm of the deepest only, and of one that comes
        # down flat rounding decides which corner touches first.
        half, heading = 0.5 * 0.15, 0.4
        sin = math.sin(half)
        quat = math.cos(half), sin * math.sin(heading), -sin * math.cos(heading), 0.0
        start(engine, scene, quat)
        lowered = engine.qpos.clone()
        for env, thick in enumerate((0.05, 0.08)):
            lowered[env, 13] += -0.13 + (thick - 2e-4) / math.cos(0.15)
        engine.reset(torch.arange(ENVS), lowered, engine.qvel)
    ours, other = engines
    for step in range(14):
        for engine in engines:
            engine.step(torch.zeros(ENVS, 4))
        qpos = (ours.qpos - other.qpos).abs().amax()
        qvel = (ours.qvel - other.qvel).abs().amax()
        print(step, f"qpos {qpos:.1e} qvel {qvel:.1e}")
        assert qpos < 2e-4 and qvel < 2e-2
        for contact, each in ours.state.contacts.items():
            found = other.state.contacts[contact].force
            difference = (each.force - found).abs().amax()
            largest = float(each.magnitude.amax())
            seen[contact] = max(seen[contact], largest)
            assert difference < 0.5 + 0.02 * largest, (contact, step, each.force, found)
        for quantity in ("pos_w", "quat_w", "lin_vel_w", "ang_vel_w"):
            one, two = (getattr(e.state.objects["box"], quantity) for e in engines)
            torch.testing.assert_close(one, two, atol=2e-2, rtol=1e-3)
    assert min(seen.values()) > 5.0, seen
    # The heavier box presses more in each engine; it slides or rests, in contact all the while.
    pressed = other.state.contacts["box_floor"].magnitude
    assert pressed[1] > 1.5 * pressed[0]


@pytest.mark.slow
@needs("warp")
@pytest.mark.parametrize("terrain", [Steps(start=-1.0), RoughGround(size=(3.0, 3.0))])
def test_other_terrain_on_warp(terrain: Terrain, robot: Robot) -> None:
    scene = converged(robot, terrain, box=dataclasses.replace(BOX, shape="sphere", size=(0.1,)))
    engines = make_engine("mujoco", scene, ENVS, threads=1), make_engine("warp", scene, ENVS)
    for engine in engines:
        start(engine, scene)
        for _ in range(10):
            engine.step(torch.zeros(ENVS, 4))
    ours, other = (engine.state for engine in engines)
    torch.testing.assert_close(
        ours.objects["box"].pos_w, other.objects["box"].pos_w, atol=5e-3, rtol=0
    )
    torch.testing.assert_close(ours.robot.root_pos_w, other.robot.root_pos_w, atol=5e-3, rtol=0)
    assert ours.contacts["box_floor"].magnitude[0] > 5.0


@needs("mjx")
def test_mjx_refuses_shapes_it_cannot_collide_before_it_builds(robot: Robot) -> None:
    can = ObjectConfig(shape="cylinder", size=(0.1, 0.1), pos=(1.0, 0.0, 0.2))
    scene = make_scene(robot, SceneConfig(terrain=Steps(), objects={"can": can}))
    with pytest.raises(EngineError) as caught:
        make_engine("mjx:impl=jax", scene, 1)
    text = str(caught.value)
    assert "\n" not in text
    assert "has no contacts of cylinder 'can' with box 'terrain_0'" in text, text
    assert "use --engine mujoco" in text
