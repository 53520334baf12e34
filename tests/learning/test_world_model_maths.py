"""The mathematics of the world-model trainer, where the answer is known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mimic.envs.imagination import StateRows
from mimic.envs.memory import TermMemory
from mimic.envs.spec import ObservationEntry
from mimic.envs.terms import ObservationTerm
from mimic.learning.imagined_rollouts import GradientLimit, Remembering, survival, unroll
from mimic.learning.modules.dynamics import Dynamics, plausible
from mimic.learning.muon import Muon, orthogonalised
from mimic.learning.returns import discounted_return, lambda_returns
from mimic.learning.storage.replay import Replay
from mimic_base.rotations_torch import quat_exp, quat_log, quat_mul

SIZES = {
    "state": 3, "default_joint_pos": 1, "moment": 1, "actions": 2, "noise": 2, "change": 4,
    "seen": 1,
}  # fmt: skip


# returns -----------------------------------------------------------------------------------


def test_lambda_returns_are_the_sums_they_stand_for() -> None:
    torch.manual_seed(0)
    gamma, lam, steps = 0.9, 0.7, 5
    rewards, alive = torch.rand(steps, 3), torch.rand(steps, 3)
    values, length = torch.rand(steps + 1, 3), torch.tensor([5, 2, 1])
    found = lambda_returns(rewards, alive, values, length, gamma, lam)
    for env, end in enumerate(length.tolist()):
        for t in range(end):
            # The mixture of n-step returns; the last one has all the weight that is left.
            total = 0.0
            for n in range(1, end - t + 1):
                lived, back = 1.0, 0.0
                for k in range(n):
                    lived *= float(alive[t + k, env])
                    back += gamma**k * lived * float(rewards[t + k, env])
                back += gamma**n * lived * float(values[t + n, env])
                weight = lam ** (n - 1) * (1 - lam if n < end - t else 1.0)
                total += weight * back
            assert float(found[t, env]) == pytest.approx(total, rel=1e-5)
        assert torch.equal(found[end:, env], values[end:-1, env])


def test_a_return_ends_with_the_value_of_the_state_it_was_left_in() -> None:
    rewards = torch.tensor([[1.0, 1.0], [2.0, 2.0], [4.0, 4.0]])
    alive = torch.tensor([[1.0, 0.5], [1.0, 1.0], [0.5, 1.0]])
    got = discounted_return(rewards, alive, torch.tensor([8.0, 8.0]), torch.tensor([3, 1]), 0.5)
    assert got.tolist() == [1 + 1 + 0.5 + 0.125 * 0.5 * 8, 0.5 + 0.5 * 0.5 * 8]


# the gradient through a model that is exact ------------------------------------------------


@dataclass
class _Seen:
    rows: StateRows
    actions: torch.Tensor


class LinearWorld:
    """x' = A x + B (2 a), reward -x.Q x - 0.1 |a - a before|^2, a limit on the first coordinate."""

    num_joints = 0

    def __init__(self) -> None:
        torch.manual_seed(1)
        self.a = torch.eye(3, dtype=torch.float64) + 0.1 * torch.randn(3, 3).double()
        self.b = 0.3 * torch.randn(3, 2).double()
        self.q = torch.diag(torch.tensor([1.0, 0.5, 0.2])).double()

    def dynamics(self, state: Any, targets: Any, residual: Any = None) -> torch.Tensor:
        after = state @ self.a.T + targets @ self.b.T
        return after if residual is None else after + residual

    def environment(self, rows: StateRows, actions: Any, previous: Any) -> Any:
        found = _Seen(rows, actions)
        found.previous = previous  # type: ignore[attr-defined]
        return found

    def observations(self, env: Any, group: str) -> torch.Tensor:
        return torch.cat([env.rows.state, env.actions], -1)

    def rewards(self, env: Any) -> torch.Tensor:
        x = env.rows.state
        change = (env.actions - env.previous).square().sum(-1)
        return -((x @ self.q) * x).sum(-1) - 0.1 * change

    def margins(self, env: Any) -> torch.Tensor:
        return 1.0 - env.rows.state[:, :1].abs() / 2.0

    def targets(self, actions: torch.Tensor, default: torch.Tensor) -> torch.Tensor:
        return 2.0 * actions

    def later(self, moment: torch.Tensor) -> torch.Tensor:
        return moment + 1


def objective(world: LinearWorld, gain: torch.Tensor, length: torch.Tensor, **options: Any) -> Any:
    torch.manual_seed(2)
    count, horizon = 4, 6
    start = StateRows(torch.randn(count, 3).double(), torch.zeros(count, 0), torch.zeros(count, 1))
    noise = 0.1 * torch.randn(horizon, count, 2).double()
    rollouts = unroll(
        lambda seen: seen @ gain, world.dynamics, world,  # type: ignore[arg-type]
        start, torch.zeros(count, 2).double(), noise, **options,
    )  # fmt: skip
    last = rollouts.states[length, torch.arange(count)]
    value = -last.square().sum(-1)
    alive = survival(rollouts.margins, 0.3)
    return discounted_return(rollouts.rewards, alive, value, length, 0.95).mean(), rollouts


def test_the_policy_gradient_is_the_true_one_where_the_model_is_exact() -> None:
    world, length = LinearWorld(), torch.tensor([6, 6, 3, 1])
    gain = (0.2 * torch.randn(5, 2, generator=torch.Generator().manual_seed(3))).double()
    gain.requires_grad_()
    limit = GradientLimit(torch.ones(3, dtype=torch.float64), 1e9)
    total, _ = objective(world, gain, length, limit=limit)
    (analytic,) = torch.autograd.grad(total, gain)
    numeric = torch.zeros_like(gain)
    for i in range(5):
        for j in range(2):
            step = torch.zeros_like(gain)
            step[i, j] = 1e-5
            up, down = (objective(world, gain + s * step, length)[0] for s in (1, -1))
            numeric[i, j] = (up - down) / 2e-5
    torch.testing.assert_close(analytic, numeric.detach(), rtol=1e-6, atol=1e-8)


def test_a_corrected_rollout_of_the_same_policy_is_the_real_one() -> None:
    """With a wrong model and the residuals of the real steps nothing is off; with other actions
    the difference is the model's."""
    real, length = LinearWorld(), torch.full((4,), 6)
    gain = (0.2 * torch.randn(5, 2, generator=torch.Generator().manual_seed(3))).double()
    _, happened = objective(real, gain, length)
    wrong = LinearWorld()
    wrong.a = wrong.a + 0.2
    predicted = [wrong.dynamics(s, 2 * a) for s, a in
                 zip(happened.states[:-1], happened.actions, strict=True)]  # fmt: skip
    residual = happened.states[1:] - torch.stack(predicted)
    _, imagined = objective(wrong, gain, length, residual=residual)
    torch.testing.assert_close(imagined.states, happened.states)
    _, free = objective(wrong, gain, length)
    assert (free.states[-1] - happened.states[-1]).abs().max() > 0.5
    _, other = objective(wrong, 1.05 * gain, length, residual=residual)
    assert 0 < (other.states[-1] - happened.states[-1]).abs().max() < 0.5


def test_a_states_gradient_is_limited_in_its_own_units() -> None:
    limit = GradientLimit(torch.tensor([1.0, 10.0]), 2.0)
    state = torch.zeros(2, 2, requires_grad=True)
    # Of the mean over two robots: 0.5 is one.
    (limit.on(state) * torch.tensor([[0.5, 0.0], [0.0, 0.5]])).sum().backward()
    assert state.grad is not None
    torch.testing.assert_close(state.grad, torch.tensor([[0.5, 0.0], [0.0, 0.1]]))
    mean, largest, limited = limit.figures()
    assert (mean, largest, limited) == (5.5, 5.5, 0.5)


def test_imagined_observations_remember_as_the_environments_do() -> None:
    terms = {
        "a": ObservationTerm(function=torch.zeros, history=3),
        "b": ObservationTerm(function=torch.zeros),
        "c": ObservationTerm(function=torch.zeros, filter=4.0, history=2),
    }
    sizes = {"a": 2, "b": 1, "c": 1}
    entries = [
        ObservationEntry(name=name, size=sizes[name], history=term.history, filter=term.filter)
        for name, term in terms.items()
    ]
    generator = torch.Generator()
    real = {
        name: TermMemory(term, sizes[name], 5, 0.02, torch.device("cpu"), generator)
        for name, term in terms.items()
    }
    memory = Remembering(entries, 0.02)
    assert memory.columns == [0, 1, 2, 3, 4, 5, 7, 8]
    kept = None
    for step in range(6):
        values = torch.randn(5, 4)
        parts = dict(zip(terms, values.split([2, 1, 1], -1), strict=True))
        shown = torch.cat([real[name].see(parts[name]) for name in terms], -1)
        if step >= 3:
            # From the third step on imagination goes on with what was seen in it.
            first = kept is None
            before = memory.remember(shown) if kept is None else kept
            imagined = memory.show(values, before, first=first)
            torch.testing.assert_close(imagined, shown)
            kept = memory.remember(imagined)


# the model ---------------------------------------------------------------------------------


def random_states(count: int, joints: int) -> torch.Tensor:
    quat = torch.nn.functional.normalize(torch.randn(count, 4), dim=-1)
    parts = [
        torch.randn(count, 3),
        quat,
        torch.randn(count, joints),
        torch.randn(count, 6 + joints),
    ]
    return torch.cat(parts, -1)


def model(joints: int = 5, hidden: tuple[int, ...] = (32, 32)) -> Dynamics:
    torch.manual_seed(0)
    return Dynamics(torch.zeros(joints), torch.ones(joints), 0.02, 4, hidden)


def test_changes_and_integration_are_inverse() -> None:
    dynamics, before = model(), random_states(64, 5)
    after = dynamics.integrate(before, 0.1 * torch.randn(64, 22))
    torch.testing.assert_close(
        dynamics.integrate(before, dynamics.change(before, after)), after, atol=2e-6, rtol=1e-5
    )
    assert dynamics.distance(after, after).abs().max() < 1e-4


def test_rotation_vectors_and_quaternions_are_inverse_and_smooth_at_zero() -> None:
    vector = torch.tensor([[0.0, 0.0, 0.0], [1e-4, 0.0, 0.0], [1.0, -2.0, 0.5]]).double()
    vector.requires_grad_()
    back = quat_log(quat_exp(vector))
    torch.testing.assert_close(back, vector, atol=1e-7, rtol=1e-6)
    (gradient,) = torch.autograd.grad(back.sum(), vector)
    torch.testing.assert_close(gradient, torch.ones_like(gradient), atol=1e-5, rtol=0)


def test_the_model_does_not_know_where_it_is_or_which_way_it_faces() -> None:
    dynamics, state = model(), random_states(16, 5)
    targets = torch.randn(16, 5)
    yaw = torch.rand(16) * 6
    zero = torch.zeros(16)
    turn = torch.stack([torch.cos(yaw / 2), zero, zero, torch.sin(yaw / 2)], -1)
    c, s = torch.cos(yaw), torch.sin(yaw)

    def moved(states: torch.Tensor) -> torch.Tensor:
        x, y = states[:, 0], states[:, 1]
        pos = torch.stack([c * x - s * y + 3.0, s * x + c * y - 2.0, states[:, 2]], -1)
        return torch.cat([pos, quat_mul(turn, states[:, 3:7]), states[:, 7:]], -1)

    torch.testing.assert_close(
        dynamics(moved(state), targets), moved(dynamics(state, targets)), atol=2e-5, rtol=1e-5
    )


def test_a_pendulum_is_learnt_to_one_percent() -> None:
    """A motor-driven pendulum, gravity and friction: error of a step below 1 % of its change."""
    rng = np.random.default_rng(0)

    def after(angle: Any, speed: Any, target: Any) -> tuple[Any, Any]:
        for _ in range(4):
            speed = speed + 0.005 * (-9.81 * np.sin(angle) + 20 * (target - angle) - 0.5 * speed)
            angle = angle + 0.005 * speed
        return angle, speed

    def rows(count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        angle, speed = rng.uniform(-2, 2, count), rng.uniform(-5, 5, count)
        target = rng.uniform(-1, 1, count)

        def state(a: Any, v: Any) -> torch.Tensor:
            rest = np.zeros((count, 6))
            base = np.tile([0, 0, 1, 1, 0, 0, 0], (count, 1))
            return torch.tensor(np.column_stack([base, a, rest, v]), dtype=torch.float32)

        return (
            state(angle, speed),
            torch.tensor(target[:, None]).float(),
            state(*after(angle, speed, target)),
        )

    dynamics = model(joints=1, hidden=(64, 64))
    state, targets, led = rows(4096)
    change = dynamics.change(state, led)
    dynamics.fit_scales(state, targets, change)
    optimizer = torch.optim.Adam(dynamics.parameters(), 1e-2)
    for i in range(1200):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * (1 - i / 1200)
        part = torch.randint(4096, (256,))
        loss = dynamics.one_step_loss(state[part], targets[part], change[part])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    state, targets, led = rows(512)
    with torch.no_grad():
        off = (dynamics(state, targets) - led)[:, -1].abs().mean()
    spread = (led - state)[:, -1].std()
    assert off < 0.01 * spread
    # Predicting from its own predictions: ten steps.
    with torch.no_grad():
        free, angle, speed = state, state[:, 7].numpy(), state[:, -1].numpy()
        for _ in range(10):
            free = dynamics(free, targets)
            angle, speed = after(angle, speed, targets[:, 0].numpy())
    assert (free[:, 7] - torch.tensor(angle)).abs().mean() < 0.02


def test_unrolled_fitting_sums_errors_of_its_own_predictions() -> None:
    dynamics, start = model(), random_states(8, 5)
    targets = torch.randn(3, 8, 5)
    states, after = [start], []
    with torch.no_grad():
        for k in range(3):
            after.append(dynamics(states[-1], targets[k]))
            states.append(after[-1])
    known = torch.ones(3, 8, dtype=torch.bool)
    loss = dynamics.unrolled_loss(torch.stack(states[:3]), targets, torch.stack(after), known)
    assert loss.item() < 1e-6
    wrong = torch.stack(after)
    wrong[2] += 0.1
    assert dynamics.unrolled_loss(torch.stack(states[:3]), targets, wrong, known).item() > 1e-4
    known[2] = False
    assert dynamics.unrolled_loss(torch.stack(states[:3]), targets, wrong, known).item() < 1e-6


def test_a_robot_that_was_put_elsewhere_is_no_transition() -> None:
    dynamics, state = model(), random_states(2, 5)
    after = state.clone()
    after[1, 0] += 1.0
    after[0, 7:] += 0.01
    state[:, 12:] = after[:, 12:] = 0.0
    assert plausible(dynamics.change(state, after), 11).tolist() == [True, False]


def test_a_frozen_model_predicts_the_same_and_half_precision_hardly_differs() -> None:
    dynamics, state = model(), random_states(32, 5)
    dynamics.fit_scales(state, torch.randn(32, 5), 0.1 * torch.randn(32, 22))
    state.requires_grad_()
    targets = torch.randn(32, 5)
    whole, half = dynamics.frozen(), dynamics.frozen(torch.bfloat16)
    wanted = dynamics.output(state, targets)
    torch.testing.assert_close(whole.output(state, targets), wanted)
    torch.testing.assert_close(whole(state, targets), dynamics(state, targets))
    off = (half.output(state, targets) - wanted).abs().mean()
    assert 0 < off < 0.02 * wanted.std()
    mine, theirs = (
        torch.autograd.grad(each(state, targets).square().sum(), state)[0]
        for each in (half, dynamics)
    )
    assert torch.cosine_similarity(mine.flatten(), theirs.flatten(), 0) > 0.999
    assert all(p.grad is None for p in dynamics.parameters())


# Muon --------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(20, 50), (50, 20), (30, 30)])
def test_muon_makes_singular_values_alike(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    found = orthogonalised(matrix, steps=8)
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.5 and values.max() < 1.3
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    # The same singular vectors: turned back, nothing is left beside the diagonal.
    inside = u.T @ found @ v.T
    assert (inside - torch.diag(inside.diag())).abs().max() < 1e-3


def test_muon_goes_downhill() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(8, 8, bias=False)
    optimizer = Muon(layer.parameters(), lr=0.05)
    x, y = torch.randn(64, 8), torch.randn(64, 8)
    first = last = math.inf
    for i in range(60):
        loss = (layer(x) - y).square().mean()
        first, last = (loss.item() if i == 0 else first), loss.item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert last < 0.8 * first


# the replay --------------------------------------------------------------------------------


def filled(capacity: int, steps: int, lengths: tuple[int, ...] = (7, 100)) -> Replay:
    """Environment e's episodes are ``lengths[e]`` long; a state tells its step, environment and
    age."""
    replay = Replay(capacity, len(lengths), SIZES, "cpu")
    age = torch.zeros(len(lengths), dtype=torch.int32)
    for step in range(steps):
        state = torch.stack([torch.full((len(lengths),), float(step)), torch.arange(len(lengths)),
                             age.float()], -1)  # fmt: skip
        values = {name: torch.zeros(len(lengths), size) for name, size in SIZES.items()}
        values["state"], values["actions"] = state, state[:, :2] + 1
        fine = torch.ones(len(lengths), dtype=torch.bool)
        replay.add(values, age, fine, fine)
        age = torch.where(age + 1 >= torch.tensor(lengths), 0, age + 1).int()
    return replay


@pytest.mark.parametrize("steps", [20, 50, 133])
def test_windows_are_consecutive_steps_of_one_episode(steps: int) -> None:
    torch.manual_seed(0)
    replay = filled(40, steps)
    windows = replay.windows(200, 5, 15)
    assert len(windows.length) == 200 and set(windows.rows.state[:, 1].tolist()) == {0.0, 1.0}
    first = windows.states[0, :, 0]
    assert first.min() >= max(0, steps - 40) and windows.states[0, :, 0].max() < steps
    for k in range(5):
        on = k < windows.length
        assert torch.equal(windows.states[k, on, 0], first[on] + k)
        assert torch.equal(windows.states[k, on, 2], windows.states[0, on, 2] + k)
    began = windows.rows.state[:, 2] == 0
    assert (windows.previous_actions[began] == 0).all()
    assert torch.equal(windows.previous_actions[~began, 0], first[~began])
    # Moved back before the end of an episode: only the newest steps are short of others.
    assert (windows.length == 5).float().mean() > 0.9


def test_what_has_blown_up_or_been_pushed_is_not_fitted() -> None:
    replay = Replay(10, 2, SIZES, "cpu")
    values = {name: torch.zeros(2, size) for name, size in SIZES.items()}
    for step in range(6):
        values["state"] = torch.full((2, 3), float(step))
        whole, pure = torch.tensor([True, step != 3]), torch.tensor([step != 2, True])
        replay.add(values, torch.full((2,), step, dtype=torch.int32), whole, pure)
    drawn = replay.transitions(400, 6).rows.state[:, 0]
    assert 0 < int((drawn == 2).sum()) < 60 and 0 < int((drawn == 3).sum()) < 60
    lengths = replay.windows(100, 6, 6).length
    assert int(lengths.min()) >= 1


def test_memory_is_bounded_and_a_state_resumes_it() -> None:
    replay = filled(16, 100)
    size = replay.nbytes
    assert size == 16 * 2 * (4 * sum(SIZES.values()) + 4 + 1 + 1)
    other = Replay(16, 2, SIZES, "cpu")
    other.load_state_dict(replay.state_dict())
    assert other.nbytes == size and other.steps == 100
    torch.manual_seed(1)
    mine = replay.windows(50, 4, 10)
    torch.manual_seed(1)
    theirs = other.windows(50, 4, 10)
    assert torch.equal(mine.states, theirs.states) and torch.equal(mine.length, theirs.length)
    smaller = Replay(8, 2, SIZES, "cpu")
    smaller.load_state_dict(replay.state_dict())
    assert smaller.filled == 8
    assert smaller.fields["state"][(99) % 8, 0, 0] == 99
