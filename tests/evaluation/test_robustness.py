"""Disturbances do what they say, sweeps name what breaks first, and are resumed."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
import torch

from mimic.envs.commands.motion import motion_command
from mimic.envs.environment import Environment, quiet_task
from mimic.envs.terms import ObservationTerm
from mimic.evaluation import jobs
from mimic.evaluation.metrics import Sums
from mimic.evaluation.robustness import DISTURBANCES, RobustnessResult, sweep_robustness
from mimic.evaluation.robustness.disturbances import (
    Context,
    measured_terms,
    powers,
    with_disturbances,
)
from mimic.evaluation.robustness.sweep import Physics, Point, first_below
from mimic.tasks import make_env
from mimic.tasks.tracking import motion_commands, tracking
from mimic.viewer.robustness_report import sweep_chart
from mimic_base.errors import MimicError
from motions import RobotMotion
from robots import Robot

POLICY = str(files("mimic") / "assets" / "policy_g1_demo.onnx")
MEASURED = ("motion_anchor_pos_b", "motion_anchor_ori_b", "base_lin_vel", "base_ang_vel",
            "joint_pos", "joint_vel")  # fmt: skip


def disturbed(g1: Robot, short: RobotMotion, **multiples: float) -> Environment:
    context = Context(task=tracking(), measured=MEASURED)
    config = with_disturbances(quiet_task(tracking()), multiples, context)
    return make_env(config, [short], num_envs=40, robot=g1, threads=1, seed=1)


def test_ranges_are_the_published_ones_at_one_and_never_turn_negative() -> None:
    assert powers(0.8, 1.2, 1.0) == (0.8, 1.2)
    assert powers(0.8, 1.2, 2.0) == pytest.approx((0.64, 1.44))
    assert powers(0.3, 1.2, 1.0, 0.6) == pytest.approx((0.3, 1.2))
    assert powers(0.3, 1.2, 2.0, 0.6) == pytest.approx((0.15, 2.4))
    assert min(powers(0.3, 1.2, 9.0, 0.6)) > 0.0
    assert DISTURBANCES["friction"].span(1.0) == "0.30–1.20"
    assert DISTURBANCES["action_delay"].span(0.5) == "0–1 control steps"


def test_what_depends_on_the_robot_is_found(g1: Robot, short: RobotMotion) -> None:
    env = make_env(quiet_task(tracking()), [short], num_envs=1, robot=g1, threads=1)
    assert measured_terms(env) == MEASURED


def test_physics_is_drawn_within_the_ranges(g1: Robot, short: RobotMotion) -> None:
    env = disturbed(g1, short, friction=1, mass=1, com=1, motor_strength=1, gains=1, joint_offset=2)
    engine, model = env.engine, env.scene.model
    foot = model.body(g1.feet[0])
    friction = engine.model_field("geom_friction")[:, int(foot.geomadr[0]), 0]
    assert 0.3 <= friction.min() < 0.5 and 0.9 < friction.max() <= 1.2
    bodies = [model.body(name).id for name in g1.body_names]
    factor = engine.model_field("body_mass")[:, bodies] / torch.tensor(model.body_mass[bodies])
    factor = factor[:, model.body_mass[bodies] > 0]
    assert 0.7 <= factor.min() < 0.72 and 1.28 < factor.max() <= 1.3001
    inertia = engine.model_field("body_inertia")[:, bodies, 0]
    ratio = inertia / torch.tensor(model.body_inertia[bodies, 0])
    assert torch.allclose(ratio[:, model.body_mass[bodies] > 0], factor, atol=1e-5)
    subtree = engine.model_field("body_subtreemass")[:, bodies[0]]
    assert torch.allclose(subtree, engine.model_field("body_mass")[:, bodies].sum(1))
    # Strength and gains multiply; the limit follows the strength alone.
    limit = engine.model_field("actuator_forcerange")[..., 1] / torch.tensor(g1.effort_limit)
    assert 0.8 <= limit.min() < 0.82 and 1.18 < limit.max() <= 1.2001
    kp = engine.model_field("actuator_gainprm")[..., 0]
    stiff = kp / torch.tensor(g1.kp) / limit
    assert 0.7499 <= stiff.min() < 0.77 and 1.23 < stiff.max() <= 1.2501
    assert torch.equal(engine.model_field("actuator_biasprm")[..., 1], -kp)
    damp = -engine.model_field("actuator_biasprm")[..., 2] / torch.tensor(g1.kd) / limit
    assert 0.7499 <= damp.min() < 0.77 and not torch.allclose(damp, stiff)
    offset = (env.default_joint_pos_of_env - env.default_joint_pos).abs().max()
    assert 0.018 < offset <= 0.02001
    # Anew for every episode.
    motion_command(env).restart(torch.arange(40), torch.zeros(40).long(), torch.zeros(40).long())
    assert not torch.equal(engine.model_field("actuator_gainprm")[..., 0], kp)


def test_the_encoders_bias_is_seen_and_not_driven(g1: Robot, short: RobotMotion) -> None:
    env = disturbed(g1, short, encoder_bias=3)
    seen = env.observe()["actor"]
    at = sum(e["size"] for e in env.observation_layout("actor")[:5])
    off = seen[:, at : at + 29] - (env.state.robot.joint_pos - env.default_joint_pos)
    assert 0.028 < off.abs().max() <= 0.03001
    assert torch.equal(env.default_joint_pos_of_env, env.default_joint_pos.repeat(40, 1))


def test_actions_come_late(g1: Robot, short: RobotMotion) -> None:
    env = disturbed(g1, short, action_delay=1)
    sent, targets = [], []
    for step in range(6):
        sent.append(torch.full((40, 29), 0.01 * (step + 1)))
        env.step(sent[-1])
        targets.append(env.engine._ctrl.clone())  # type: ignore[attr-defined]
    assert env.action_delay is not None
    latency = env.action_delay.latency
    assert set(latency.tolist()) == {0, 1, 2}
    for row, late in enumerate(latency.tolist()):
        for step in range(6):
            wanted = env.default_joint_pos + env.joint_action_scale * sent[max(step - late, 0)][row]
            assert torch.allclose(targets[step][row].float(), wanted, atol=1e-6)
    # A restart in between begins anew, for the environments that restart alone.
    env.reset_envs(torch.arange(20))
    again = torch.full((40, 29), -0.05)
    env.step(again)
    at = env.default_joint_pos + env.joint_action_scale * again
    assert torch.allclose(env.engine._ctrl[:20].float(), at[:20], atol=1e-6)  # type: ignore[attr-defined]
    late = env.action_delay.latency > 0
    assert not torch.allclose(env.engine._ctrl[20:][late[20:]].float(), at[20:][late[20:]])  # type: ignore[attr-defined]


def test_observations_noise_pushes_and_start(g1: Robot, short: RobotMotion) -> None:
    context = Context(task=tracking(), measured=MEASURED)
    quiet = quiet_task(tracking())

    def terms(**multiples: float) -> dict[str, ObservationTerm]:
        return dict(with_disturbances(quiet, multiples, context).observations["actor"])

    late = terms(observation_delay=1.5)
    assert {name for name, term in late.items() if term.delay == (0, 3)} == set(MEASURED)
    assert late["command"].delay == (0, 0)
    noisy = with_disturbances(quiet, {"observation_noise": 2.0}, context)
    assert noisy.observation_noise and noisy.observations["actor"]["joint_pos"].noise == 0.02
    pushed = with_disturbances(quiet, {"push": 2.0}, context).events["push"]
    assert pushed.parameters["lin_vel"] == (1.0, 1.0, 0.4) and pushed.interval_s == (1.0, 3.0)
    beside = with_disturbances(quiet, {"start": 3.0}, context)
    assert motion_commands(beside)["motion"].reset_noise.joint_pos == pytest.approx(0.3)
    rough = with_disturbances(quiet, {"terrain": 2.0}, context)
    env = make_env(rough, [short], num_envs=1, robot=g1, threads=1)
    x, y = torch.meshgrid(torch.linspace(-7, 7, 60), torch.linspace(-7, 7, 60), indexing="ij")
    heights = env.scene.height(x, y)
    assert heights.min() == pytest.approx(-0.02, abs=2e-3)
    assert heights.max() == pytest.approx(0.02, abs=2e-3)


def point(multiple: float, success: int, played: bool = True) -> Point:
    sums = Sums(episodes=10, planned_steps=100, steps=90, successes=success, returns=5.0)
    return Point(multiple=multiple, total=sums.summary("total", 0.02), clips=(), played=played)


def test_what_breaks_first_is_named() -> None:
    sweeps = {
        "friction": (point(1.0, 10), point(2.0, 9), point(3.0, 2)),
        "mass": (point(1.0, 10), point(2.0, 3), point(3.0, 0, played=False)),
        "com": (point(1.0, 10), point(2.0, 10), point(3.0, 10)),
    }
    result = RobustnessResult(
        policy="p", task="t", robot="r", robot_hash="", engine="e", seed=0, episodes=10,
        clips=(), nominal=point(0.0, 10), sweeps=sweeps,
        together=(point(1.0, 4), point(2.0, 0), point(3.0, 0, played=False)), physics={},
    )  # fmt: skip
    assert result.breaks_at("friction", 0.95) == 2.0 and result.breaks_at("com", 0.95) is None
    # At the same multiple the worse one.
    assert result.first_to_break(0.95) == "mass" and result.first_to_break(0.5) == "mass"
    assert first_below(sweeps["mass"], 0.0) is None
    said = " / ".join(result.verdict())
    assert "below 95 % first: mass and inertia of each link (mass) at 2 times" in said
    assert "× 0.49–1.69" in said and "all together below 50 %: at 1 times" in said
    sound = replace(result, sweeps={"com": sweeps["com"]}, nominal=point(0.0, 9))
    assert "undisturbed only 90 %" in sound.verdict()[0]
    assert "nothing alone takes success below 95 %" in sound.verdict()
    json.dumps(result.to_dict(), allow_nan=False)


def test_a_sweep_is_kept_and_resumed(
    short: RobotMotion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = tmp_path / "short.npz"
    short.save(clip)
    options = {
        "disturbances": ("motor_strength", "terrain"), "multiples": (1.0, 2.0), "episodes": 2,
        "physics": (Physics(title="RK4", integrator="RK4", hz=100.0),
                    Physics(title="nowhere", engine="no.such:Engine")),
    }  # fmt: skip
    first = sweep_robustness(POLICY, [clip], folder=tmp_path / "out", **options)
    assert first.nominal.success == 1.0 and first.nominal.total.smoothness["torque_rms"]
    assert [p.multiple for p in first.sweeps["terrain"]] == [1.0, 2.0]
    weak = first.sweeps["motor_strength"][0].total
    assert weak.errors != first.nominal.total.errors
    other = first.physics["RK4"]
    assert other is not None and other.errors != first.nominal.total.errors
    assert first.physics["nowhere"] is None and any("nowhere" in note for note in first.notes)

    def never(*_: object) -> object:
        raise AssertionError("played again")

    monkeypatch.setattr(jobs, "_call", never)
    again = sweep_robustness(POLICY, [clip], folder=tmp_path / "out", **options)
    assert again.to_dict() == first.to_dict()
    with pytest.raises(MimicError, match="unknown disturbance 'wind'; known: friction"):
        sweep_robustness(POLICY, [clip], disturbances=("wind",))
    with pytest.raises(MimicError, match="greater than 0"):
        sweep_robustness(POLICY, [clip], multiples=(0.0,))


def test_a_chart_is_text_and_safe() -> None:
    chart = sweep_chart("<b>friction</b>", [(0.0, 1.0), (1.0, 0.6), (2.0, 0.0)], "a & b")
    assert chart.count("<circle") == 3 and "<b>" not in chart and "a &amp; b" in chart
