"""The trained model as a tool: taken out of a checkpoint, shot with, believed or corrected."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import robots
from mimic.cli import run as mimic
from mimic.commands.train import parse, train
from mimic.evaluation import evaluate
from mimic.evaluation.feasibility import Shooting, ShootingConfig, feasibility, reference_states
from mimic.evaluation.parity import parity
from mimic.learning.checkpoints import load_checkpoint
from mimic.learning.learned_model import Familiarity, LearnedModel, load_model
from mimic.sim import make_engine
from mimic.sim.errors import EngineError
from mimic.sim.objects import ObjectConfig
from mimic.sim.scene import SceneConfig, make_scene
from mimic.sim.terrain import Slope
from mimic_base.errors import InputError, MimicError
from motions import RobotMotion
from motions.robot.curation.scores import ScoredWindow, read_scores, worst_between
from tests.conftest import TINY
from tests.envs.conftest import sway
from tests.learning.test_world_model import PPO, SMALL


@pytest.fixture(scope="module")
def motions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip that can be followed, and the same one in the air."""
    folder, robot = tmp_path_factory.mktemp("clips"), robots.load(TINY)
    clip = sway(robot, seconds=1.2)
    clip.save(folder / "sway.npz")
    RobotMotion.from_coordinates(
        robot, clip.root_pos + [0.0, 0.0, 0.3], clip.root_quat, clip.joint_pos, fps=clip.fps,
        name="hover",
    ).save(folder / "hover.npz")  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def run(motions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    numbers = [
        "--loop.iterations",
        "4",
        "--algorithm.model-warmup-updates",
        "300",
        "--algorithm.model-hidden",
        "64",
        "--algorithm.model-learning-rate",
        "5e-3",
    ]
    arguments = ["tracking", "--motion", str(motions / "sway.npz"), *SMALL, *numbers]
    assert train(parse([*arguments, "--out", str(out)])) == 0
    (folder,) = (out / "tracking").iterdir()
    return folder


@pytest.fixture(scope="module")
def model(run: Path) -> LearnedModel:
    return load_model(run)


def test_a_model_comes_out_of_a_checkpoint_as_it_was(run: Path, model: LearnedModel) -> None:
    saved = load_checkpoint(run)["algorithm"]["state"]["learner"]
    for name, values in model.dynamics.state_dict().items():
        assert torch.equal(values, saved["dynamics"][name]), name
    assert model.robot.name == robots.load(TINY).name and model.iteration == 4
    assert model.control_dt == pytest.approx(0.02) and model.dynamics.b == (2 + 1) / (2 * 2)
    # A prediction is nearer to what happened than a robot that keeps its velocity.
    replay = saved["replay"]["fields"]
    state, change = (replay[name].flatten(0, 1) for name in ("state", "change"))
    targets = replay["default_joint_pos"] + replay["actions"] / model.dynamics.inverse_scale
    step = model.stepping(state)
    found = model.dynamics.change(state, step(state, targets.flatten(0, 1)))
    v = model.dynamics.velocities
    off = (found - change)[:, 6:v].abs().mean()
    assert off < 0.8 * change[:, 6:v].abs().mean()


def test_a_checkpoint_of_before_says_enough_too(run: Path, tmp_path: Path) -> None:
    state = load_checkpoint(run)
    del state["algorithm"]["state"]["learner"]["model"]
    torch.save({"schema": "humanoid-mimic/checkpoint/2", **state}, tmp_path / "old.pt")
    old, new = load_model(tmp_path / "old.pt", TINY), load_model(run)
    assert old.dynamics.b == new.dynamics.b
    torch.testing.assert_close(old.dynamics.inverse_scale, new.dynamics.inverse_scale)


def test_what_holds_no_model_is_refused(run: Path, motions: Path, tmp_path: Path) -> None:
    with pytest.raises(MimicError, match="the model is of robot 'tiny'"):
        load_model(run, "unitree_g1")
    clip = str(motions / "sway.npz")
    assert train(parse(["tracking", "--motion", clip, *PPO, "--out", str(tmp_path)])) == 0
    (folder,) = (tmp_path / "tracking").iterdir()
    with pytest.raises(MimicError, match="a checkpoint of algorithm 'ppo' holds no model"):
        load_model(folder)
    early = ["tracking", "--motion", clip, *SMALL, "--loop.iterations", "1"]
    assert train(parse([*early, "--out", str(tmp_path / "b")])) == 0
    (folder,) = (tmp_path / "b" / "tracking").iterdir()
    with pytest.raises(MimicError, match="its model has not been fitted yet .iteration 1"):
        load_model(folder)


def test_what_is_known_is_measured_by_what_was_seen() -> None:
    torch.manual_seed(0)
    mixed = torch.tensor([[2.0, 1.0], [0.0, 0.1]])
    known = Familiarity.of(torch.randn(5000, 2) @ mixed + 3.0)
    near = known.distance(torch.randn(5000, 2) @ mixed + 3.0)
    assert 0.99 < (near <= 1.0).float().mean() < 1.0
    # Far along the narrow direction, hardly outside of each column's own range.
    along, across = torch.tensor([[7.0, 5.0]]), torch.tensor([[7.0, 1.0]])
    assert known.distance(along) < 1.0 < 2.0 < known.distance(across)


def test_a_corrected_model_goes_the_way_physics_went(model: LearnedModel, motions: Path) -> None:
    from mimic.envs.motion_library import load_library

    library = load_library([motions / "sway.npz"], model.robot, 50.0)
    states = reference_states(library, model)
    rows = torch.arange(11)[:, None] + torch.tensor([0, 12, 24])
    shooting = Shooting(model, ShootingConfig(iterations=1, rounds=1), "mujoco")
    targets = states[rows][1:, :, 7 : 7 + model.robot.num_joints]
    path = shooting._played(shooting._engine(3), states[rows][0], targets)
    off, state = shooting._off_by(path, targets), path[0]
    for t in range(10):
        state = model.stepping(path[0])(state, targets[t], off[t])
        torch.testing.assert_close(state, path[t + 1], atol=2e-4, rtol=0)
    free = model.stepping(path[0])(path[0], targets[0])
    assert (free - path[1]).abs().max() > 2e-3


def test_what_can_be_followed_scores_higher_than_what_cannot(
    model: LearnedModel, motions: Path
) -> None:
    files = [motions / "sway.npz", motions / "hover.npz"]
    config = ShootingConfig(window_s=0.3, iterations=12, rounds=2)
    sway, hover = feasibility(model, files, config, engine="mujoco")
    assert 0.0 <= hover.score < 0.8 * sway.score <= 1.0
    assert hover.worst[0].error_mm > 150 and hover.worst[0].score == pytest.approx(
        np.exp(-((hover.worst[0].error_mm / 100) ** 2)), abs=1e-4
    )
    assert sway.windows[0].from_s == 0.0 and sway.windows[-1].to_s == pytest.approx(1.2)
    # The gradient lowers the error that the guess leaves, in the model.
    one, many = (
        feasibility(model, files[:1], ShootingConfig(window_s=0.3, iterations=n), engine="")[0]
        for n in (1, 40)
    )
    mean = [sum(w.error_mm for w in clip.windows) for clip in (one, many)]
    assert mean[1] < 0.9 * mean[0]


def test_the_command_writes_what_curation_reads(
    run: Path, motions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = tmp_path / "scores.json"
    files = [str(motions / "sway.npz"), str(motions / "hover.npz")]
    quick = ["--gradient-steps", "4", "--window", "0.3", "--json", str(scores)]
    assert mimic(["motions", "feasibility", *files, "--model", str(run), *quick]) == 0
    said = capsys.readouterr().out
    assert "hover: hardest at" in said and "unfamiliar" in said
    content = json.loads(scores.read_text())
    assert content["schema"] == "humanoid-mimic/feasibility/1"
    assert content["model"]["iterations"] == 4 and content["engine"] == "auto"
    low, high = sorted(clip["lowest"] for clip in content["clips"])
    out = tmp_path / "judged.json"
    curate = ["motions", "curate", *files, "--robot", str(TINY), "--feasibility", str(scores)]
    least = ["--least-feasibility", str((low + high) / 2), "--json", str(out)]
    loose = ["--thresholds.contact-score", "-1", "--thresholds.base-height-max", "9",
             "--thresholds.support-distance", "9", "--thresholds.penetration", "9",
             "--thresholds.penetration-rate", "9", "--no-repair",
             "--thresholds.root-jerk", "1e9"]  # fmt: skip
    assert mimic([*curate, *least, *loose]) == 0
    judged = {
        Path(clip["file"]).stem: [c["reasons"] for c in clip["chunks"]]
        for clip in json.loads(out.read_text())["clips"]
    }
    assert any("hard to follow" in each for reasons in judged["hover"] for each in reasons)
    assert not any("hard to follow" in each for reasons in judged["sway"] for each in reasons)


def test_scores_of_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    path.write_text('{"schema": "x"}')
    with pytest.raises(InputError, match="not a file of scores .found schema 'x'"):
        read_scores(path)
    path.write_text('{"schema": "humanoid-mimic/feasibility/1", "clips": [{"file": 3}]}')
    with pytest.raises(InputError, match="not as mimic motions feasibility writes them"):
        read_scores(path)
    windows = [
        ScoredWindow(from_s=0.0, to_s=1.0, score=0.4), ScoredWindow(from_s=1.0, to_s=2.0, score=0.2)
    ]  # fmt: skip
    assert worst_between(windows, 0.5, 0.9) == windows[0]
    assert worst_between(windows, 0.5, 1.1) == windows[1]
    assert worst_between(windows, 5.0, 6.0) is None


# the engine --------------------------------------------------------------------------------


def test_an_engine_steps_as_the_model_does(run: Path, model: LearnedModel) -> None:
    scene = make_scene(model.robot)
    engine = make_engine(f"learned:model={run}", scene, 3)
    j = model.robot.num_joints
    torch.manual_seed(0)
    quat = torch.nn.functional.normalize(torch.randn(3, 4), dim=-1)
    qpos = torch.cat([torch.randn(3, 3), quat, torch.randn(3, j)], -1)
    qvel = torch.randn(3, 6 + j)
    engine.reset(torch.arange(3), qpos, qvel)
    robot = engine.state.robot
    state = torch.cat(
        [qpos, robot.root_lin_vel_b, robot.root_ang_vel_b, robot.joint_vel], -1
    )  # fmt: skip
    targets = torch.randn(3, j)
    engine.step(targets)
    wanted = model.dynamics(state, targets)
    torch.testing.assert_close(engine.qpos, wanted[:, : 7 + j])
    torch.testing.assert_close(robot.root_lin_vel_b, wanted[:, 7 + j : 10 + j], atol=1e-5, rtol=0)
    torch.testing.assert_close(robot.joint_vel, wanted[:, 13 + j :])
    # A push, and a state of one environment, leave the others as they are.
    others = engine.qvel[1:].clone()
    engine.set_root_velocity(torch.tensor([0]), torch.ones(1, 3), torch.zeros(1, 3))
    torch.testing.assert_close(robot.root_lin_vel_w[0], torch.ones(3))
    engine.reset(torch.tensor([0]), qpos[:1], qvel[:1])
    torch.testing.assert_close(engine.qvel[1:], others)
    engine.step(targets)
    torch.testing.assert_close(engine.qpos[0], wanted[0, : 7 + j])


def test_what_a_model_does_not_know_is_refused_by_name(
    run: Path, model: LearnedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    name, robot = f"learned:model={run}", model.robot
    engine = make_engine(name, make_scene(robot), 2)
    assert not engine.contact_force.any()
    with pytest.raises(EngineError, match="knows no contact forces, the task reads that of"):
        _ = engine.state.contacts[next(iter(engine.scene.contacts))].force
    with pytest.raises(EngineError, match="geom_friction"):
        engine.model_field("geom_friction")
    with pytest.raises(EngineError, match="the ground is Slope"):
        make_engine(name, make_scene(robot, SceneConfig(terrain=Slope(angle=0.1))), 2)
    box = SceneConfig(objects={"crate": ObjectConfig(shape="box", size=(0.1, 0.1, 0.1))})
    with pytest.raises(EngineError, match="the scene has objects .crate."):
        make_engine(name, make_scene(robot, box), 2)
    with pytest.raises(EngineError, match="a step of the model is 20 ms, of the scene 40 ms"):
        make_engine(name, make_scene(robot, control_hz=25.0), 2)
    with pytest.raises(EngineError, match="needs a model: --engine learned:model=RUN"):
        make_engine("learned", make_scene(robot), 2)


def test_a_policy_is_played_in_the_model_and_beside_it(
    run: Path, motions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = str(motions / "sway.npz")
    assert mimic(["play", str(run), "--motion", clip, "--model", str(run)]) == 0
    said = capsys.readouterr().out
    assert "in the model" in said and "model and simulation apart by" in said
    found = evaluate(
        str(run), [motions / "sway.npz"], "appendix-f", engine=f"learned:model={run}", threads=1
    )
    assert found.engine == "learned" and found.total.episodes == 1


def test_parity_tells_how_the_models_error_grows(run: Path, motions: Path) -> None:
    (report,) = parity(
        str(run), [motions / "sway.npz"], engines=(f"learned:model={run}",), seconds=0.5,
        episodes=1, threads=1,
    )  # fmt: skip
    assert report.engine == "learned" and report.first_difference in ("state", "effort", "velocity")
    times, apart = zip(*report.apart_mm, strict=True)
    assert times == pytest.approx((0.02, 0.04, 0.1, 0.2, 0.5))
    assert 0 < apart[0] < apart[2] < apart[4]
    assert "apart under the same actions: " in report.growth()


def test_the_ghost_is_the_models_robot(motions: Path, run: Path, model: LearnedModel) -> None:
    from mimic.viewer.learned_robot import LearnedRobot, beside, distances
    from mimic.viewer.rollout import roll_out
    from mimic.viewer.sources import find_playable

    playable = find_playable(run, [motions / "sway.npz"])
    (clip,) = playable.clips
    robot = playable.robot
    real = roll_out(playable.player, clip.reference, robot)
    learned = roll_out(
        playable.player, clip.reference, robot, simulate=partial(LearnedRobot, model=model)
    )
    both = beside(real, learned)
    assert len(both.states) == len(both.reference)
    frame = len(both.states) // 2
    np.testing.assert_array_equal(
        both.drawn(frame, reference=True).joint_pos, learned.states[frame].joint_pos
    )
    apart = distances(robot, real, learned)
    assert apart[0] == pytest.approx(0.0, abs=1e-6) and apart[1] > 0
    assert not learned.foot_contact.any() and np.isfinite(learned.torques).all()
