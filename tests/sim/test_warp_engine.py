"""MuJoCo Warp behind the engine protocol (CPU): resets, fields, overflow, blown-up states."""

from __future__ import annotations

import pytest
import torch

from mimic.sim import Engine, EngineError, make_engine
from mimic.sim.scene import Scene
from robots import Robot
from tests.sim.engines import ball_footed, converged_scene, needs, standing, wandering_targets

pytestmark = [pytest.mark.slow, needs("warp")]
STATE = (
    "qpos", "qvel", "body_pos_w", "body_quat_w", "body_lin_vel_w", "body_ang_vel_w",
    "contact_force",
)  # fmt: skip


@pytest.fixture(scope="module")
def robot(tmp_path_factory: pytest.TempPathFactory) -> Robot:
    return ball_footed(tmp_path_factory.mktemp("ball_footed"))


@pytest.fixture(scope="module")
def scene(robot: Robot) -> Scene:
    return converged_scene(robot)


def started(scene: Scene, count: int, name: str = "warp") -> Engine:
    engine = make_engine(name, scene, count)
    engine.reset(torch.arange(count), *standing(scene.robot, count, 0.1))
    return engine


def test_protocol_and_shapes(scene: Scene) -> None:
    engine = started(scene, 3)
    assert isinstance(engine, Engine) and engine.name == "warp" and engine.num_envs == 3
    assert engine.qpos.shape == (3, 11) and engine.qvel.shape == (3, 10)
    for name in STATE:
        assert getattr(engine, name).dtype == torch.float32, name
    kept, copied = engine.qpos, engine.qpos.clone()
    engine.step(wandering_targets(scene.robot, 3, 1, 0.1)[0])
    assert torch.equal(kept, copied), "a step wrote into a tensor handed out before"
    assert not torch.equal(engine.qpos, kept)


def test_reset_of_some_does_not_disturb_others(scene: Scene) -> None:
    calm, disturbed = started(scene, 3), started(scene, 3)
    targets = wandering_targets(scene.robot, 3, 10, 0.2)
    qpos, qvel = standing(scene.robot, 1, 0.3)
    for step in range(10):
        if step == 5:
            disturbed.reset(torch.tensor([1]), qpos, qvel)
            assert torch.equal(disturbed.qpos[1], qpos[0])
            torch.testing.assert_close(disturbed.body_pos_w[1, 0], qpos[0, :3])
        calm.step(targets[step])
        disturbed.step(targets[step])
    for name in STATE:
        torch.testing.assert_close(
            getattr(disturbed, name)[[0, 2]], getattr(calm, name)[[0, 2]], rtol=0, atol=1e-5
        )
    assert not torch.allclose(disturbed.qpos[1], calm.qpos[1], atol=1e-3)


def test_a_reset_environment_forgets_its_past(scene: Scene) -> None:
    used, fresh = started(scene, 1), started(scene, 1)
    targets = wandering_targets(scene.robot, 1, 12, 0.2)
    for step in range(8):
        used.step(targets[step])
    qpos, qvel = used.qpos.clone(), used.qvel.clone()
    for engine in (used, fresh):
        engine.reset(torch.tensor([0]), qpos, qvel)
        for step in range(8, 12):
            engine.step(targets[step])
    for name in STATE:
        assert torch.equal(getattr(used, name), getattr(fresh, name)), name


def test_set_velocity_changes_only_velocities(scene: Scene) -> None:
    engine = started(scene, 3)
    before = {name: getattr(engine, name).clone() for name in STATE}
    pushed = before["qvel"][[2]] + 1.0
    engine.set_velocity(torch.tensor([2]), pushed)
    assert torch.equal(engine.qvel[2], pushed[0])
    assert torch.equal(engine.qpos, before["qpos"])
    assert torch.equal(engine.qvel[:2], before["qvel"][:2])
    torch.testing.assert_close(engine.body_lin_vel_w[2, 0], pushed[0, :3])


def test_friction_and_centre_of_mass_as_in_the_c_engine(scene: Scene) -> None:
    robot, model = scene.robot, scene.model
    feet = [model.body(name).id for name in robot.feet]
    geoms = [g for g in range(model.ngeom) if int(model.geom_bodyid[g]) in feet]
    chest = model.body(robot.anchor_body).id
    both = [make_engine(name, scene, 2) for name in ("mujoco", "warp")]
    qpos, qvel = standing(robot, 2)
    qvel[:, 1] = 0.6
    for engine in both:
        friction, com = engine.model_field("geom_friction"), engine.model_field("body_ipos")
        friction[1, geoms, 0] = 0.01
        com[1, chest] += torch.tensor([0.0, 0.05, 0.0])
        engine.write_model_field("geom_friction", friction)
        engine.write_model_field("body_ipos", com)
        assert torch.equal(engine.model_field("geom_friction"), friction)
        engine.reset(torch.arange(2), qpos, qvel)
        for _ in range(10):
            engine.step(qpos[:, 7:])
    ours, warp = both
    slipped = warp.qpos[1, 1] - warp.qpos[0, 1]
    assert slipped > 0.02, "the world with slippery feet did not slip further"
    torch.testing.assert_close(warp.qpos, ours.qpos, rtol=0, atol=1e-3)


def test_a_field_without_worlds_is_refused(scene: Scene) -> None:
    engine = started(scene, 2)
    for name in ("geom_type", "names"):
        with pytest.raises(EngineError, match=f"'warp' cannot vary the model field '{name}'"):
            engine.model_field(name)


@pytest.mark.parametrize("what", ["not a number", "too fast"])
def test_a_blown_up_environment_is_seen_alone_and_recovers(what: str, scene: Scene) -> None:
    engine, calm = started(scene, 3), started(scene, 3)
    targets = wandering_targets(scene.robot, 3, 6, 0.1)
    broken = engine.qvel[[1]].clone()
    broken[0, 7] = torch.nan if what == "not a number" else 1e9
    engine.set_velocity(torch.tensor([1]), broken)
    for each in (engine, calm):
        each.step(targets[0])
    assert engine.non_finite().tolist() == [False, True, False]
    qpos, qvel = standing(scene.robot, 1, 0.1)
    for each in (engine, calm):
        each.reset(torch.tensor([1]), qpos, qvel)
        for step in range(1, 6):
            each.step(targets[step])
    assert not engine.non_finite().any()
    for name in STATE:
        torch.testing.assert_close(getattr(engine, name), getattr(calm, name), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("nconmax=2", r"contacts of 3 environments do not fit 2 .*--engine warp:nconmax=\d+,njmax"),
        ("njmax=8", r"constraints of 3 of 3 .*do not fit 8 rows.*warp:nconmax=\d+,njmax=\d+"),
    ],
)
def test_overflow_names_the_setting_that_fixes_it(options: str, told: str, scene: Scene) -> None:
    qpos, qvel = standing(scene.robot, 3)

    def stand(name: str) -> None:
        engine = make_engine(name, scene, 3)
        engine.reset(torch.arange(3), qpos, qvel)
        for _ in range(5):
            engine.step(qpos[:, 7:])

    with pytest.raises(EngineError, match=told) as caught:
        stand(f"warp:{options}")
    text = str(caught.value)
    assert "\n" not in text
    stand(text.rpartition("--engine ")[2])
