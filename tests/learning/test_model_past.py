"""A model that is told more than the present state: its past, what was drawn, and its fellows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import robots
from mimic.commands.train import parse, train
from mimic.learning.checkpoints import load_checkpoint
from mimic.learning.learned_model import load_model
from mimic.learning.modules.dynamics import Dynamics
from mimic.learning.modules.past import Following, Past
from mimic.learning.storage.replay import Replay
from mimic.learning.world_model_config import WorldModelConfig
from mimic_base.errors import MimicError
from tests.conftest import TINY
from tests.envs.conftest import sway
from tests.learning.test_captured import start
from tests.learning.test_world_model import SMALL, flat
from tests.learning.test_world_model_maths import SIZES, filled, random_states
from tests.learning.two_ranks_world_model import CONFIG


def model(**options: Any) -> Dynamics:
    torch.manual_seed(0)
    return Dynamics(torch.zeros(5), torch.ones(5), 0.02, 4, (32, 32), **options)


def past_of(dynamics: Dynamics, count: int) -> Past:
    return Past(
        inputs=torch.randn(count, dynamics.history, dynamics.own_inputs),
        fresh=torch.arange(count) % 3 == 0,
        context=torch.randn(count, dynamics.context),
    )


def test_without_them_nothing_has_changed() -> None:
    plain = model()
    assert [name for name, _ in plain.named_parameters()] == [
        f"net.{i}.{kind}" for i in (0, 2, 4) for kind in ("weight", "bias")
    ]
    assert plain.stepping(random_states(2, 5)) is plain and plain.following(None) is plain
    torch.manual_seed(0)
    torch.nn.Linear(plain.own_inputs, 32)
    after = torch.nn.Linear(32, 32).weight
    assert torch.equal(model().net[2].weight, after)  # type: ignore[union-attr]


def test_a_past_moves_on_step_by_step() -> None:
    dynamics = model(history=2, context=3)
    past = past_of(dynamics, 6)
    inputs = torch.randn(4, 6, dynamics.own_inputs)
    along = past.along(inputs)
    assert along.shape == (4, 6, 2 * dynamics.own_inputs + 3)
    d = dynamics.own_inputs
    # Newest first; where nothing is known the present inputs stand for what was before.
    assert torch.equal(along[1, 1, :d], inputs[0, 1])
    assert torch.equal(along[1, 1, d : 2 * d], past.inputs[1, 0])
    assert torch.equal(along[0, 0, :d], inputs[0, 0]) and past.fresh[0]
    assert torch.equal(along[3, 0, d : 2 * d], inputs[1, 0])
    assert torch.equal(along[2, :, 2 * d :], past.context)
    # A model that is called step by step sees the same.
    states, targets = random_states(24, 5).view(4, 6, -1), torch.randn(4, 6, 5)
    step = dynamics.following(past)
    found = torch.stack([step(s, t) for s, t in zip(states, targets, strict=True)])
    flat_states, flat_targets = states.flatten(0, 1), targets.flatten(0, 1)
    seen = dynamics.inputs(flat_states, flat_targets).view(4, 6, d)
    extra = past.along(seen).flatten(0, 1)
    wanted = dynamics(flat_states, flat_targets, None, extra).view_as(found)
    torch.testing.assert_close(found, wanted)
    frozen = dynamics.frozen().following(past)
    torch.testing.assert_close(frozen(states[0], targets[0]), found[0])
    assert isinstance(step, Following)
    step.forget(torch.tensor([4]))
    assert step.past is not None and step.past.fresh.tolist() == [False] * 4 + [True, False]


def test_members_are_averaged_or_take_turns() -> None:
    dynamics = model(members=3)
    state, targets = random_states(6, 5), torch.randn(6, 5)
    alone = [dynamics.output(state, targets, member=k) for k in range(3)]
    torch.testing.assert_close(dynamics.output(state, targets), torch.stack(alone).mean(0))
    assert dynamics.disagreement(state, targets).min() > 0
    turns = dynamics.frozen(shared_out=True).output(state, targets)
    for row in range(6):
        torch.testing.assert_close(turns[row], alone[row % 3][row])
    mean = dynamics.frozen().output(state, targets)
    torch.testing.assert_close(mean, dynamics.output(state, targets))
    for other in dynamics.others:
        other.load_state_dict(dynamics.net.state_dict())
    assert dynamics.disagreement(state, targets).max() < 1e-6
    loss = dynamics.one_step_loss(state, targets, torch.randn(6, 22))
    loss.backward()
    gradients = [net[0].weight.grad for net in dynamics.networks]  # type: ignore[index]
    # Each is fitted to a resample of its own.
    assert not torch.allclose(gradients[0], gradients[1])
    # A frozen model follows the weights in the tensors that it has.
    frozen = dynamics.frozen(torch.bfloat16)
    before = frozen.output(state, targets)
    with torch.no_grad():
        dynamics.others[1][4].bias.add_(1.0)  # type: ignore[union-attr, index, operator]
    frozen.refresh()
    torch.testing.assert_close(frozen.output(state, targets), before + 1 / 3, atol=0.02, rtol=0)


def sliding(count: int, seed: int) -> dict[str, torch.Tensor]:
    """A joint with a friction of its own, two steps in a row: ``dv = dt (30 (t - q) - mu v)``."""
    generator = torch.Generator().manual_seed(seed)

    def draw(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(count, 1, generator=generator)

    angle, speed, mu = draw(-1, 1), draw(-4, 4), draw(0, 20)
    states, targets = [], []
    for _ in range(3):
        base = torch.tensor([0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0]).repeat(count, 1)
        states.append(torch.cat([base, angle, torch.zeros(count, 6), speed], -1))
        targets.append(draw(-1, 1))
        for _ in range(4):
            speed = speed + 0.005 * (30 * (targets[-1] - angle) - mu * speed)
            angle = angle + 0.005 * speed
    return {
        "mu": mu, "before": states[0], "asked": targets[0],
        "state": states[1], "targets": targets[1], "after": states[2],
    }  # fmt: skip


def fitted_error(*, history: int = 0, context: int = 0) -> float:
    """Mean error of the speed one step ahead, over the spread of its change, on robots not seen."""
    torch.manual_seed(0)
    dynamics = Dynamics(
        torch.zeros(1), torch.ones(1), 0.02, 4, (48, 48), history=history, context=context
    )

    def extra(data: dict[str, torch.Tensor]) -> torch.Tensor | None:
        if not history and not context:
            return None
        past = Past(
            inputs=dynamics.inputs(data["before"], data["asked"])[:, None][:, :history],
            fresh=torch.zeros(len(data["mu"]), dtype=torch.bool),
            context=data["mu"][:, :context],
        )
        return past.extra(dynamics.inputs(data["state"], data["targets"]))

    data, unseen = sliding(4096, 1), sliding(512, 2)
    change = dynamics.change(data["state"], data["after"])
    told = extra(data)
    dynamics.fit_scales(data["state"], data["targets"], change, 1.0, told)
    optimizer = torch.optim.Adam(dynamics.parameters(), 1e-2)
    for i in range(300):
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - i / 300)
        part = torch.randint(4096, (256,))
        loss = dynamics.one_step_loss(
            data["state"][part], data["targets"][part], change[part],
            None if told is None else told[part],
        )  # fmt: skip
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        found = dynamics(unseen["state"], unseen["targets"], None, extra(unseen))
    off = (found - unseen["after"])[:, -1].abs().mean()
    return float(off / (unseen["after"] - unseen["state"])[:, -1].std())


def test_a_hidden_friction_is_found_in_the_past_or_told() -> None:
    blind, remembering, told = (
        fitted_error(), fitted_error(history=1), fitted_error(context=1)
    )  # fmt: skip
    # Without either the best is the mean friction; with one of them little is left.
    assert blind > 0.12
    assert remembering < 0.5 * blind and told < 0.3 * blind


def test_the_replay_hands_out_what_was_before() -> None:
    torch.manual_seed(0)
    plain = filled(40, 60)
    assert plain.transitions(10, 5).earlier is None
    replay = Replay(40, 2, {**SIZES, "context": 1}, "cpu", history=3)
    age = torch.zeros(2, dtype=torch.int32)
    for step in range(60):
        state = torch.stack([torch.full((2,), float(step)), torch.arange(2), age.float()], -1)
        values = {name: torch.zeros(2, size) for name, size in SIZES.items()}
        values |= {
            "state": state,
            "actions": state[:, :2] + 1,
            "context": torch.tensor([[5.0], [7]]),
        }
        fine = torch.ones(2, dtype=torch.bool)
        replay.add(values, age, fine, fine)
        age = torch.where(age + 1 >= torch.tensor([7, 100]), 0, age + 1).int()
    for drawn in (replay.transitions(200, 10), replay.windows(200, 4, 10)):
        earlier, first = drawn.earlier, drawn.rows.state
        assert earlier is not None and earlier.states.shape[:2] == (len(first), 3)
        oldest = first[:, 0] - (60 - 40)
        for back in range(1, 4):
            known = torch.minimum(torch.full_like(oldest, back), first[:, 2]).minimum(oldest)
            assert torch.equal(earlier.states[:, back - 1, 0], first[:, 0] - known)
            assert torch.equal(earlier.states[:, back - 1, 1], first[:, 1])
            assert torch.equal(earlier.actions[:, back - 1, 0], first[:, 0] - known + 1)
        assert torch.equal(earlier.fresh, (first[:, 2] == 0) | (oldest == 0))
        assert torch.equal(earlier.context[:, 0], 5 + 2 * first[:, 1])
    repeated = replay.windows(5, 4, 10).filled_up(12)
    assert (
        repeated.earlier is not None and len(repeated.earlier.fresh) == len(repeated.length) == 12
    )
    assert torch.equal(repeated.states[:, 7], repeated.states[:, 2])


# training ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("past")
    clip = folder / "sway.npz"
    sway(robots.load(TINY)).save(clip)
    told = ["--algorithm.model-history", "2", "--algorithm.model-context",
            "--algorithm.ensemble", "2", "--algorithm.ensemble-prediction", "member",
            "--loop.iterations", "3"]  # fmt: skip
    arguments = ["tracking", "--motion", str(clip), *SMALL, *told, "--out", str(folder / "runs")]
    assert train(parse(arguments)) == 0
    (found,) = (folder / "runs" / "tracking").iterdir()
    return found


def test_a_run_with_all_of_it_learns_and_goes_on(run: Path) -> None:
    last = json.loads((run / "progress.jsonl").read_text().splitlines()[-1])
    assert last["model/disagreement"] > 0
    path = run / "checkpoints" / "last.pt"
    saved = load_checkpoint(path)["algorithm"]["state"]["learner"]
    context = saved["replay"]["fields"]["context"]
    joints = robots.load(TINY).num_joints
    assert context.shape[-1] == 9 + 5 * joints
    # Drawn once for each environment: friction within its range, and no two alike.
    steps = saved["replay"]["steps"]
    assert torch.equal(context[steps - 1], context[0])
    friction = context[0, :, 0]
    assert friction.unique().numel() > 4 and 0.1 < float(friction.max() - friction.min()) <= 0.9
    assert 0 < context[0, :, 3:6].abs().max() <= 0.05
    assert 0 < context[0, :, 9 : 9 + joints].abs().max() <= 0.0101
    # This task draws nothing else.
    assert not context[0, :, 9 + joints :].any()
    before = path.read_bytes()
    results = []
    for _ in range(2):
        path.write_bytes(before)
        assert train(parse(["--resume", str(path), "--loop.iterations", "4"])) == 0
        results.append(flat(load_checkpoint(path)["algorithm"]["state"]))
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])
    path.write_bytes(before)


def test_the_model_of_such_a_run_is_a_tool_too(run: Path) -> None:
    model = load_model(run)
    assert model.dynamics.history == 2 and model.dynamics.members == 2
    state = random_states(3, model.robot.num_joints)
    step = model.stepping(state)
    assert isinstance(step, Following) and step.past is not None
    after = step(state, state[:, 7 : 7 + model.robot.num_joints])
    assert torch.isfinite(after).all() and not step.past.fresh.any()


MEMBERS = {"ensemble": 2, "ensemble_prediction": "member"}


@pytest.mark.parametrize(
    "options", [{"model_history": 2}, {"model_context": True}, MEMBERS], ids=str
)
def test_a_corrected_rollout_is_still_what_happened(options: dict[str, Any]) -> None:
    runner = start(replace(CONFIG, imagination_dtype="float32", **options))
    runner.learn(lambda iteration, _: iteration == 3)
    learner: Any = runner.algorithm.learner  # type: ignore[attr-defined]
    windows = learner.replay.windows(8, 4, 12).filled_up(8)
    residual = learner.replayed.residual(learner.frozen, windows)
    targets = learner.replayed.targets(windows, windows.actions)
    after, known = learner.replayed.really(windows)
    step, state = learner.frozen.following(learner.replayed.past(windows)), windows.rows.state
    for t in range(4):
        state = step(state, targets[t], residual[t])
        torch.testing.assert_close(state[known[t]], after[t][known[t]], atol=1e-4, rtol=0)
        state = torch.where(known[t][:, None], state, after[t])
    assert known.any(1).all()
    assert residual.abs().mean() > 0.05


def test_numbers_that_cannot_be() -> None:
    with pytest.raises(MimicError, match="rollouts must be a multiple of ensemble"):
        WorldModelConfig(ensemble=3, ensemble_prediction="member")
    with pytest.raises(MimicError, match="model_history must not be negative"):
        WorldModelConfig(model_history=-1)
    with pytest.raises(MimicError, match="ensemble must be at least 1"):
        WorldModelConfig(ensemble=0)
