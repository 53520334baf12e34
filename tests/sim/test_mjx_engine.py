"""MJX behind the engine protocol (on the CPU): fields, resets, blown-up states, the cache."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from mimic.sim import Engine, EngineError, make_engine
from mimic.sim.scene import Scene
from robots import Robot
from tests.sim.engines import ball_footed, converged_scene, needs, standing, wandering_targets

pytestmark = [pytest.mark.slow, needs("mjx")]
STATE = (
    "qpos", "qvel", "body_pos_w", "body_quat_w", "body_lin_vel_w", "body_ang_vel_w",
    "contact_force",
)  # fmt: skip
ENVS = 3


@pytest.fixture(scope="module")
def robot(tmp_path_factory: pytest.TempPathFactory) -> Robot:
    return ball_footed(tmp_path_factory.mktemp("ball_footed"))


@pytest.fixture(scope="module")
def scene(robot: Robot) -> Scene:
    return converged_scene(robot)


def randomise(engine: Engine, scene: Scene) -> None:
    """Slippery feet in world 1 and the centre of mass of the chest moved."""
    robot, model = scene.robot, scene.model
    feet = [model.body(name).id for name in robot.feet]
    geoms = [g for g in range(model.ngeom) if int(model.geom_bodyid[g]) in feet]
    friction, com = engine.model_field("geom_friction"), engine.model_field("body_ipos")
    friction[1, geoms, 0] = 0.01
    com[1, model.body(robot.anchor_body).id] += torch.tensor([0.0, 0.05, 0.0])
    engine.write_model_field("geom_friction", friction)
    engine.write_model_field("body_ipos", com)
    assert torch.equal(engine.model_field("geom_friction"), friction)


@pytest.fixture(scope="module")
def shared(scene: Scene) -> Iterator[Engine]:
    """One engine for all tests: its program is compiled once."""
    engine = make_engine("mjx", scene, ENVS)
    randomise(engine, scene)
    yield engine


@pytest.fixture
def engine(shared: Engine, scene: Scene) -> Engine:
    shared.reset(torch.arange(ENVS), *standing(scene.robot, ENVS, 0.1))
    return shared


def snapshot(engine: Engine) -> dict[str, torch.Tensor]:
    return {name: getattr(engine, name).clone() for name in STATE}


def test_protocol_and_shapes(engine: Engine, scene: Scene) -> None:
    assert isinstance(engine, Engine) and engine.name == "mjx" and engine.num_envs == ENVS
    kept, copied = engine.qpos, engine.qpos.clone()
    engine.step(wandering_targets(scene.robot, ENVS, 1, 0.1)[0])
    assert torch.equal(kept, copied), "a step wrote into a tensor handed out before"
    for name in STATE:
        assert getattr(engine, name).dtype == torch.float32, name
    assert engine.contact_force.shape == (ENVS, len(scene.contact_bodies))


def test_friction_and_centre_of_mass_as_in_the_c_engine(engine: Engine, scene: Scene) -> None:
    ours = make_engine("mujoco", scene, ENVS, threads=1)
    randomise(ours, scene)
    qpos, qvel = standing(scene.robot, ENVS)
    qvel[:, 1] = 0.6
    for each in (ours, engine):
        each.reset(torch.arange(ENVS), qpos, qvel)
        for _ in range(5):
            each.step(qpos[:, 7:])
    assert engine.qpos[1, 1] - engine.qpos[0, 1] > 0.01, "slippery feet did not slip further"
    torch.testing.assert_close(engine.qpos[[0, 2]], ours.qpos[[0, 2]], rtol=0, atol=1e-4)
    # Feet that slide rattle: joints part sooner than the base.
    torch.testing.assert_close(engine.qpos[1, :3], ours.qpos[1, :3], rtol=0, atol=2e-3)


def test_resets_touch_only_the_chosen_and_forget_the_past(engine: Engine, scene: Scene) -> None:
    targets = wandering_targets(scene.robot, ENVS, 8, 0.2)
    start = standing(scene.robot, ENVS, 0.1)

    def play(disturb: bool) -> dict[str, torch.Tensor]:
        engine.reset(torch.arange(ENVS), *start)
        for step in range(8):
            if step == 4 and disturb:
                engine.reset(torch.tensor([1]), *standing(scene.robot, 1, 0.3))
            engine.step(targets[step])
        return snapshot(engine)

    first, disturbed, again = play(False), play(True), play(False)
    for name in STATE:
        assert torch.equal(first[name], again[name]), f"{name} remembers what was before a reset"
        torch.testing.assert_close(disturbed[name][[0, 2]], first[name][[0, 2]], rtol=0, atol=1e-6)
    assert not torch.allclose(disturbed["qpos"][1], first["qpos"][1], atol=1e-3)


def test_set_velocity_changes_only_velocities(engine: Engine) -> None:
    before = snapshot(engine)
    engine.set_velocity(torch.tensor([2]), before["qvel"][[2]] + 1.0)
    assert torch.equal(engine.qvel[2], before["qvel"][2] + 1.0)
    assert torch.equal(engine.qpos, before["qpos"])
    assert torch.equal(engine.qvel[:2], before["qvel"][:2])


def test_a_blown_up_environment_is_seen_alone_and_recovers(engine: Engine, scene: Scene) -> None:
    targets = wandering_targets(scene.robot, ENVS, 4, 0.1)
    broken = engine.qvel[[1]].clone()
    broken[0, 7] = torch.nan
    engine.set_velocity(torch.tensor([1]), broken)
    engine.step(targets[0])
    assert engine.non_finite().tolist() == [False, True, False]
    engine.reset(torch.tensor([1]), *standing(scene.robot, 1, 0.1))
    for step in range(1, 4):
        engine.step(targets[step])
    assert not engine.non_finite().any()
    for name in STATE:
        assert torch.isfinite(getattr(engine, name)).all(), name


def test_a_field_of_the_program_is_refused(engine: Engine) -> None:
    with pytest.raises(EngineError, match="'mjx' cannot vary the model field 'geom_type'"):
        engine.model_field("geom_type")


def test_implementations(monkeypatch: pytest.MonkeyPatch) -> None:
    from mimic.sim import choice
    from mimic.sim.engines.mjx import choose_implementation

    assert choose_implementation("auto", "cpu") == "jax"
    assert choose_implementation("auto", "tpu") == "jax"
    monkeypatch.setattr(choice, "_is_installed", lambda name: True)
    assert choose_implementation("auto", "gpu") == "warp"
    with pytest.raises(EngineError, match="impl is 'cuda', expected auto, jax or warp"):
        choose_implementation("cuda", "gpu")
    monkeypatch.setattr(choice, "_is_installed", lambda name: False)
    assert choose_implementation("auto", "gpu") == "jax"
    with pytest.raises(EngineError, match=r"impl=warp needs .*\[warp\]"):
        choose_implementation("warp", "cpu")


def test_where_compiled_programs_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from mimic.sim.engines.jax_exchange import cache_directory

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    monkeypatch.delenv("MIMIC_CACHE", raising=False)
    assert cache_directory() == tmp_path / "user" / "humanoid-mimic" / "jax"
    monkeypatch.setenv("MIMIC_CACHE", str(tmp_path / "own"))
    assert cache_directory() == tmp_path / "own" / "jax"


def test_torch_and_jax_share_memory() -> None:
    import jax

    from mimic.sim.engines.jax_exchange import to_jax, to_torch

    tensor = torch.arange(32, dtype=torch.float32)
    array = to_jax(tensor, jax.devices("cpu")[0])
    assert array.unsafe_buffer_pointer() == tensor.data_ptr()
    assert to_torch(array + 1, torch.device("cpu")).tolist() == (tensor + 1).tolist()
    assert to_torch(array, torch.device("cpu")).data_ptr() == tensor.data_ptr()
