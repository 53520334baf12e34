"""What is recorded and replayed is what would have been computed, and never asks the host."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import robots
from mimic.learning.algorithms.world_model import WorldModel
from mimic.learning.captured import Captured, Tensors
from mimic.learning.config import LoopConfig, RunConfig
from mimic.learning.registry import with_groups_of
from mimic.learning.runner import Runner, start_runner
from mimic.learning.world_model_config import WorldModelConfig
from mimic.tasks.registry import make_env, task_config
from mimic_base.errors import MimicError
from tests.conftest import TINY
from tests.envs.conftest import sway
from tests.learning.two_ranks_world_model import CONFIG

CPU = torch.device("cpu")


def again(run: Callable[[], Tensors]) -> tuple[Tensors, Callable[[], None]]:
    """As a graph does: the same tensors are computed anew, gradients among them."""
    with torch.random.fork_rng():
        found = run()
    parameters = again.parameters  # type: ignore[attr-defined]
    gradients = [each.grad for each in parameters]

    def replay() -> None:
        new = run()
        for name, values in new.items():
            found[name].copy_(values)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            gradient.copy_(parameter.grad)

    return found, replay


def test_a_replay_gives_what_the_function_gives_and_its_gradients() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(3, 1)
    again.parameters = list(layer.parameters())  # type: ignore[attr-defined]
    calls = []

    def function(x: torch.Tensor) -> Tensors:
        calls.append(1)
        loss = layer(x).square().mean()
        loss.backward()
        return {"loss": loss.detach()}

    captured = Captured(function, list(layer.parameters()), CPU, record=again)
    for size in (4, 4, 5):
        x = torch.randn(size, 3)
        found = captured({"x": x})
        loss = layer(x).square().mean()
        wanted = torch.autograd.grad(loss, list(layer.parameters()))
        torch.testing.assert_close(found["loss"], loss.detach())
        for parameter, gradient in zip(layer.parameters(), wanted, strict=True):
            assert parameter.grad is not None
            torch.testing.assert_close(parameter.grad, gradient)
        # An optimiser's step between two replays, and gradients thrown away by it.
        with torch.no_grad():
            layer.weight.add_(0.1)
        layer.zero_grad()
    assert captured.recorded == 2 and not captured.reason
    captured({"x": torch.randn(5, 3)}, "another")
    assert captured.recorded == 3


def test_what_cannot_be_recorded_is_computed_and_told_why(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken(run: Callable[[], Tensors]) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    def function(x: torch.Tensor) -> Tensors:
        return {"y": 2 * x}

    captured = Captured(function, [], CPU, record=broken)
    for value in (1.0, 2.0):
        assert float(captured({"x": torch.tensor(value)})["y"]) == 2 * value
    said = capsys.readouterr().out
    assert said.count("slower: operation not permitted when stream is capturing\n") == 1
    assert "which has no graphs" in Captured(function, [], CPU).reason
    assert Captured(function, [], torch.device("cuda"), "off").reason
    with pytest.raises(MimicError, match="capture on needs a GPU"):
        Captured(function, [], CPU, "on")
    with pytest.raises(MimicError, match="cannot be recorded .operation not permitted"):
        Captured(function, [], CPU, "on", record=broken)({"x": torch.tensor(1.0)})


# the imagined rollout ----------------------------------------------------------------------


def start(algorithm: WorldModelConfig = CONFIG, seed: int = 3) -> Runner:
    robot = robots.load(TINY)
    task = with_groups_of(task_config("tracking"), "world-model", algorithm)
    env = make_env(task, [sway(robot)], num_envs=8, robot=robot, engine="mujoco", threads=1)
    config = RunConfig(
        task=task,
        algorithm_name="world-model",
        algorithm=algorithm,
        loop=LoopConfig(iterations=4),
    )
    return start_runner(env, config, seed=seed)


def weights(runner: Runner) -> dict[str, torch.Tensor]:
    assert isinstance(runner.algorithm, WorldModel)
    return {name: each.clone() for name, each in runner.algorithm.actor.state_dict().items()}


def test_a_run_that_replays_learns_the_same() -> None:
    plain = start()
    plain.learn()
    recorded = start()
    learner: Any = recorded.algorithm.learner.improvement  # type: ignore[attr-defined]
    again.parameters = learner.parameters  # type: ignore[attr-defined]
    learner.climb = Captured(learner.climbed, learner.parameters, CPU, record=again)
    recorded.learn()
    # Once for every normaliser of the state's gradient and every horizon.
    assert 1 <= learner.climb.recorded <= 4 and not learner.climb.reason
    first, second = weights(plain), weights(recorded)
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name
    assert not torch.equal(first["mlp.0.weight"], weights(start())["mlp.0.weight"])


ASKS_THE_HOST = (
    "aten._local_scalar_dense", "aten.nonzero", "aten.masked_select", "aten.lift_fresh",
    "aten.is_nonzero", "aten.equal", "aten.unique", "aten.repeat_interleave.Tensor",
)  # fmt: skip


class Watch(TorchDispatchMode):
    """Notes operations that a GPU could not be recorded with."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        name = str(func)
        masks = [
            each for each in (args[1] if name.startswith("aten.index") and len(args) > 1 else ())
            if isinstance(each, torch.Tensor) and each.dtype == torch.bool
        ] if name.startswith(("aten.index.", "aten.index_put")) else []  # fmt: skip
        if name.startswith(ASKS_THE_HOST) or masks:
            self.found.add(name)
        return func(*args, **(kwargs or {}))


@contextmanager
def watched(learner: Any) -> Iterator[Watch]:
    watch, inner = Watch(), learner.climb.function

    def function(**tensors: torch.Tensor) -> Tensors:
        with watch:
            return inner(**tensors)

    learner.climb.function = function
    yield watch
    learner.climb.function = inner


@pytest.mark.parametrize("corrected", [True, False])
def test_an_imagined_rollout_asks_the_host_nothing(corrected: bool) -> None:
    runner = start(replace(CONFIG, corrected=corrected))
    learner: Any = runner.algorithm.learner.improvement  # type: ignore[attr-defined]
    # Tables that are made once are made while a recording warms up.
    runner.learn(lambda iteration, _: iteration == 2)
    with watched(learner) as watch:
        runner.learn(lambda iteration, _: iteration == 3)
    assert watch.count > 300 and not watch.found


def test_the_watch_sees_what_it_looks_for() -> None:
    with Watch() as watch:
        x = torch.randn(4)
        x[x > 0].sum().item()
        _ = torch.tensor([1.0]) + x
    assert any(name.startswith("aten._local_scalar_dense") for name in watch.found)
    assert any(name.startswith("aten.lift_fresh") for name in watch.found)
    assert any(name.startswith("aten.index") for name in watch.found)
