"""The environment through torch.compile: same results, and it goes on where compiling fails."""

from __future__ import annotations

import dataclasses
import shutil

import pytest
import torch

from mimic.envs import compiled
from mimic.envs.compiled import Compiled, wants_compilation
from mimic.envs.environment import Environment
from mimic.envs.terms import RewardTerm
from mimic.sim import make_engine
from mimic.sim.scene import Scene, make_scene
from mimic.tasks import make_env
from mimic.tasks.registry import with_motions
from mimic.tasks.tracking import tracking
from mimic_base.errors import MimicError
from robots import Robot
from tests.envs.conftest import MakeMotion

ENVS = 6


def test_auto_means_a_gpu() -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert [wants_compilation("auto", each) for each in (cpu, gpu)] == [False, True]
    assert [wants_compilation(mode, cpu) for mode in ("on", "off")] == [True, False]
    with pytest.raises(MimicError, match="compile is 'yes', expected auto, on or off"):
        wants_compilation("yes", cpu)


def test_a_compiler_that_fails_costs_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    tried: list[object] = []

    def broken(graph: object, inputs: object) -> object:
        tried.append(graph)
        raise FileNotFoundError("no C++ compiler here\nand more about it")

    double = Compiled(lambda x: 2 * x, "sums", backend=broken)
    for _ in range(3):
        assert double(torch.ones(2)).tolist() == [2.0, 2.0]
    assert double.failed and len(tried) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "sums run uncompiled" in told
    assert "no C++ compiler here" in told and "--compile off" in told


def test_an_error_of_the_function_is_not_the_compilers() -> None:
    def wrong(x: torch.Tensor) -> torch.Tensor:
        raise ValueError("term 'x' returned shape (3,)")

    with pytest.raises(ValueError, match="returned shape"):
        Compiled(wrong, "sums", backend="eager")(torch.ones(2))


def both(
    scene: Scene, make_motion: MakeMotion, monkeypatch: pytest.MonkeyPatch, backend: str
) -> tuple[Environment, Environment]:
    """The same environment without compilation and with it, noise and pushes included."""
    monkeypatch.setattr(compiled, "BACKEND", backend)
    task = with_motions(tracking(), [make_motion(scene.robot)])
    plain, fused = (
        Environment(
            task, make_engine("mujoco", scene, ENVS, threads=1), seed=4,
            compiled=wanted,
        )
        for wanted in (False, True)
    )  # fmt: skip
    return plain, fused


def assert_same_steps(plain: Environment, fused: Environment, steps: int) -> None:
    """Both play the same actions; differences are rounding, which physics may amplify."""
    generator = torch.Generator().manual_seed(0)
    ended = 0
    for _ in range(steps):
        actions = 0.5 * torch.randn(ENVS, plain.num_actions, generator=generator)
        ours, theirs = plain.step(actions), fused.step(actions)
        for group in ("actor", "critic"):
            torch.testing.assert_close(theirs[0][group], ours[0][group], rtol=0, atol=1e-4)
        torch.testing.assert_close(theirs[1], ours[1], rtol=0, atol=1e-5)
        assert torch.equal(theirs[2], ours[2])
        assert theirs[3]["log"].keys() == ours[3]["log"].keys()
        last = [each[3]["final_observations"]["critic"] for each in (ours, theirs)]
        torch.testing.assert_close(last[1], last[0], rtol=0, atol=1e-4)
        ended += int(ours[2].sum())
    assert ended > 0, "nothing was reset: the test says less than it should"
    assert fused.compiled and not plain.compiled


def test_compiled_terms_are_the_terms(
    tiny: Robot, make_motion: MakeMotion, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, fused = both(make_scene(tiny), make_motion, monkeypatch, "aot_eager")
    assert_same_steps(plain, fused, 40)


@pytest.mark.slow
def test_the_default_compiler_on_the_cpu(
    tiny: Robot, make_motion: MakeMotion, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        pytest.skip("the default compiler needs a C++ compiler")
    plain, fused = both(make_scene(tiny), make_motion, monkeypatch, compiled.BACKEND)
    assert fused.compiled, capsys.readouterr().err
    assert_same_steps(plain, fused, 40)


def test_a_term_that_cannot_be_traced_is_computed_all_the_same(
    tiny: Robot, make_motion: MakeMotion, monkeypatch: pytest.MonkeyPatch
) -> None:
    def through_numpy_and_a_branch(env: Environment) -> torch.Tensor:
        speed = env.engine.qvel[:, 0]
        if float(speed.abs().max()) < -1.0:
            raise AssertionError("never")
        return torch.from_numpy(speed.numpy().copy()) + 1.0

    monkeypatch.setattr(compiled, "BACKEND", "eager")
    own = RewardTerm(function=through_numpy_and_a_branch, weight=2.0)
    task = dataclasses.replace(tracking(), rewards={"own": own}, events={})
    env = make_env(
        task, [make_motion(tiny)], num_envs=ENVS, robot=tiny, engine="mujoco", threads=1,
        compile="on",
    )  # fmt: skip
    _, rewards, _, _ = env.step(torch.zeros(ENVS, env.num_actions))
    expected = env.control_dt * 2.0 * (env.engine.qvel[:, 0] + 1.0)
    torch.testing.assert_close(env.reward_per_step * env.control_dt, rewards)
    still = ~env.terminated
    assert still.any() and rewards[still] == pytest.approx(expected[still].numpy(), abs=1e-6)
