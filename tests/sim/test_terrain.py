"""The height of a terrain is what a ray from above meets; robots stand on it."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
import torch

from mimic.sim import make_engine
from mimic.sim.scene import SceneConfig, make_scene
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
    TerrainSurface,
    add_terrain,
)
from mimic_base.errors import MimicError
from mimic_base.surface import Surface
from robots import Robot

TURNED = (0.9238795, 0.2209424, 0.2209424, 0.2209424)
ALL: dict[str, Terrain] = {
    "plane": Plane(),
    "slope": Slope(angle=0.2, heading=0.7),
    "downhill": Slope(angle=-0.3),
    "steps": Steps(start=-1.0),
    "one step": Steps(count=1, width=1.0),
    "ramp": Ramp(angle=0.3, start=-2.0),
    "boxes": Boxes(
        blocks=(
            Block(pos=(1.0, 0.5, 0.1), half_size=(0.4, 0.2, 0.3), quat=TURNED),
            Block(pos=(-1.0, 0.0, 0.2), half_size=(0.5, 0.5, 0.1)),
            Block(pos=(-1.2, 0.0, -0.5), half_size=(2.0, 0.5, 0.1)),
        )
    ),
    "heights": HeightField(heights=((0.0, 0.1, 0.3), (0.2, 0.05, 0.1)), size=(3.0, 2.0)),
    "heights elsewhere": HeightField(
        heights=((0.0, 0.1, 0.3), (0.2, 0.05, 0.1)), size=(3.0, 2.0), pos=(-0.5, 1.0)
    ),
    "level heights": HeightField(heights=((0.3, 0.3), (0.3, 0.3))),
    "rough": RoughGround(seed=3, size=(6.0, 3.0)),
}


@pytest.mark.parametrize("terrain", ALL.values(), ids=ALL)
def test_height_is_where_a_ray_from_above_ends(terrain: Terrain) -> None:
    surface = TerrainSurface(terrain.parts())
    spec = mujoco.MjSpec()
    add_terrain(spec, surface.parts, terrain.friction)
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    x, y = np.random.default_rng(0).uniform(-4.5, 4.5, (2, 500))
    down, geom = np.array([0.0, 0.0, -1.0]), np.zeros(1, np.int32)
    met = [
        5.0 - mujoco.mj_ray(model, data, np.array([a, b, 5.0]), down, None, 1, -1, geom)
        for a, b in zip(x, y, strict=True)
    ]
    np.testing.assert_allclose(surface.height(x, y), met, atol=1e-6)
    in_torch = surface.height(torch.tensor(x), torch.tensor(y))
    np.testing.assert_allclose(in_torch.numpy(), surface.height(x, y), atol=1e-12)
    single = surface.height(torch.tensor(x).float(), torch.tensor(y).float())
    assert single.dtype == torch.float32
    # A place as near to an edge as rounding goes may fall on its other side.
    assert (np.abs(single.numpy() - met) < 1e-5).mean() > 0.99


@pytest.mark.parametrize("terrain", ALL.values(), ids=ALL)
def test_the_gradient_is_that_of_the_height(terrain: Terrain) -> None:
    surface = TerrainSurface(terrain.parts())
    x, y = np.random.default_rng(1).uniform(-2.0, 2.0, (2, 400))
    e = 1e-5
    along_x, along_y = surface.gradient(x, y)
    inside = np.ones(x.shape, bool)  # both differences stay on one face
    for found, (dx, dy) in ((along_x, (e, 0.0)), (along_y, (0.0, e))):
        sides = [surface.height(x + k * dx, y + k * dy) for k in (-1.0, 0.0, 1.0)]
        straight = np.abs(sides[0] - 2 * sides[1] + sides[2]) < 1e-9
        steep = np.abs(sides[2] - sides[0]) > 100 * e
        inside &= straight & ~steep
        np.testing.assert_allclose(
            found[straight & ~steep],
            ((sides[2] - sides[0]) / (2 * e))[straight & ~steep],
            atol=1e-6,
        )
    assert inside.mean() > 0.9


@pytest.mark.parametrize("terrain", ALL.values(), ids=ALL)
def test_a_scaled_terrain_is_its_heights_scaled(terrain: Terrain) -> None:
    surface = TerrainSurface(terrain.parts())
    x, y = np.random.default_rng(2).uniform(-2.0, 2.0, (2, 200))
    found = surface.scaled(0.7).height(0.7 * x, 0.7 * y)
    np.testing.assert_allclose(found, 0.7 * surface.height(x, y), atol=1e-9)


def test_heights_of_any_shape() -> None:
    surface = TerrainSurface(Steps(rise=0.1, tread=0.5, count=2, landing=1.0, start=0.0).parts())
    assert surface.height(0.25, 0.0) == pytest.approx(0.1)
    found = surface.height([[-1.0, 0.25], [0.75, 1.25]], 0.0)
    np.testing.assert_allclose(found, [[0.0, 0.1], [0.2, 0.2]])
    np.testing.assert_allclose(surface.height([1.75, 2.5], [0.0, 0.0]), [0.1, 0.0])


def test_a_terrain_is_a_ground_for_the_retargeter() -> None:
    surface: Surface = TerrainSurface(Slope(angle=0.3).parts())
    normal = surface.normal(np.array([0.5]), np.array([1.0]))
    np.testing.assert_allclose(normal, [[-np.sin(0.3), 0.0, np.cos(0.3)]], atol=1e-9)
    np.testing.assert_allclose(surface.clearance(np.array([[1.0, 0.0, 1.0]])), 1.0 - np.tan(0.3))
    assert not surface.is_flat and TerrainSurface(Plane().parts()).is_flat


def test_rough_ground_is_its_seed() -> None:
    one, same, other = (RoughGround(seed=seed).parts().field_heights for seed in (1, 1, 2))
    assert one is not None and same is not None and other is not None
    assert np.array_equal(one, same) and not np.array_equal(one, other)
    assert np.ptp(one) == pytest.approx(RoughGround().height)


@pytest.mark.parametrize("name", ["slope", "steps", "ramp", "rough"])
def test_the_robot_stands_at_the_height(name: str, tiny: Robot) -> None:
    terrain = {
        "slope": Slope(angle=0.05), "steps": Steps(start=-2.0), "ramp": Ramp(start=-4.0),
        "rough": RoughGround(height=0.02, bump=2.0),
    }[name]  # fmt: skip
    scene = make_scene(tiny, SceneConfig(terrain=terrain))
    engine = make_engine("mujoco", scene, 1, threads=1)
    qpos = torch.zeros(1, 11)
    qpos[0, 3] = 1.0
    qpos[:, 2] = scene.height(qpos[:, 0], qpos[:, 1]) + 0.525
    engine.reset(torch.tensor([0]), qpos, torch.zeros(1, 10))
    for _ in range(15):
        engine.step(qpos[:, 7:])
    state = engine.state
    root = state.robot.root_pos_w[0]
    assert float(root[2] - scene.height(root[0], root[1])) == pytest.approx(0.52, abs=0.015)
    total = sum(float(each.force[0, 2]) for each in state.contacts.values())
    weight = 9.81 * float(tiny.model.body_mass.sum())
    assert total == pytest.approx(weight, rel=0.25)


@pytest.mark.parametrize(
    ("terrain", "told"),
    [
        (Slope(angle=1.6), "slope: angle must be within"),
        (Steps(count=0), "steps: count must be at least 1, got 0"),
        (Steps(rise=-0.1), "steps: rise, tread, landing, width: must be greater than zero"),
        (Ramp(angle=0.0), "ramp: angle must be between"),
        (HeightField(heights=((0.0, 1.0), (0.0,))), "height field: 2 rows of \\[1, 2\\]"),
        (HeightField(heights=((0.0, float("nan")), (0.0, 0.0))), "every height must be finite"),
        (RoughGround(spacing=0.0), "rough ground: spacing"),
    ],
)
def test_numbers_that_make_no_terrain(terrain: Terrain, told: str, tiny: Robot) -> None:
    with pytest.raises(MimicError, match=told):
        make_scene(tiny, SceneConfig(terrain=terrain))
