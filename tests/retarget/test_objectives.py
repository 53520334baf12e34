"""Objectives: their rows against finite differences, both solvers, and a kind of one's own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from mimic_base.errors import RobotError
from mimic_base.rotations import matrix_to_quat, quat_mul, quat_of_yaw, quat_to_matrix
from mimic_base.surface import HeightFunction, Slope
from mimic_base.vectors import Array
from motions import HumanMotion
from retarget import retarget
from retarget.objectives import (
    Direction,
    Distance,
    Height,
    Objective,
    Orientation,
    Point,
    Posture,
    named,
    stacked,
)
from retarget.settings import RetargetSettings
from retarget.solvers.normal import NormalEquations, frame_equations
from retarget.solvers.tree import (
    BodyTree,
    left_jacobian_inverse,
    rotation_matrix,
    rotation_vector,
)
from retarget.solvers.whole_clip.state import ClipState
from robots.kinematics import forward_kinematics
from robots.robot import Robot

REPO = Path(__file__).resolve().parents[2]
FRAMES = 3
HAND, OTHER = "left_wrist_yaw_link", "right_ankle_roll_link"
LOCAL, THERE = np.array([0.1, -0.2, 0.05]), np.array([0.03, 0.02, -0.04])
RNG = np.random.default_rng(11)
DIRECTIONS = RNG.normal(size=(FRAMES, 3))
DIRECTIONS /= np.linalg.norm(DIRECTIONS, axis=1, keepdims=True)
PLACES = RNG.normal(size=(FRAMES, 3))
QUATS = RNG.normal(size=(FRAMES, 4))
QUATS /= np.linalg.norm(QUATS, axis=1, keepdims=True)
WEIGHT = np.array([1.7, 0.5, 2.0])
AXIS = np.array([0.6, 0.0, 0.8])
HILL = HeightFunction(lambda x, y: 0.1 * np.sin(2.0 * x) + 0.05 * x * y)


@pytest.fixture(scope="module")
def tree(g1: Robot) -> BodyTree:
    return BodyTree(g1.model)


@pytest.fixture(scope="module")
def state(g1: Robot) -> ClipState:
    rng = np.random.default_rng(3)
    root = rng.normal(size=(3, FRAMES)) + np.array([[2.0], [-1.0], [0.8]])
    share = rng.uniform(0.2, 0.8, (g1.num_joints, FRAMES))
    joints = g1.joint_lower[:, None] + share * (g1.joint_upper - g1.joint_lower)[:, None]
    return ClipState(root, rotation_matrix(rng.uniform(-1, 1, (3, FRAMES))), joints)


def place(g1: Robot, s: ClipState, body: str, local: Array) -> tuple[Array, Array]:
    """World position [T, 3] of a point of a body and the body's axes [T, 3, 3], by MuJoCo."""
    quat = matrix_to_quat(np.moveaxis(s.mat, -1, 0))
    pos, turned = forward_kinematics(g1, s.root.T, quat, s.joints.T)
    index = g1.body_names.index(body)
    axes = quat_to_matrix(turned[:, index])
    return pos[:, index] + axes @ local, axes


@dataclass(frozen=True, eq=False)
class Case:
    """An objective, and its weighted residuals [T, R] once more, from MuJoCo's poses."""

    objective: Objective
    residuals: Callable[[Robot, ClipState], Array]


def _orientation_error(g1: Robot, s: ClipState) -> Array:
    _, axes = place(g1, s, HAND, LOCAL)
    turn = axes @ np.swapaxes(quat_to_matrix(QUATS), 1, 2)
    return WEIGHT[:, None] * rotation_vector(turn.transpose(1, 2, 0)).T


def _height(g1: Robot, s: ClipState) -> Array:
    x, y, z = place(g1, s, HAND, LOCAL)[0].T
    return (WEIGHT * (z - HILL.height(x, y) - 0.3))[:, None]


def _apart(g1: Robot, s: ClipState) -> Array:
    return place(g1, s, OTHER, THERE)[0] - place(g1, s, HAND, LOCAL)[0]


CASES = {
    "direction": Case(
        Direction(name="d", body=HAND, axis=AXIS, target=DIRECTIONS, weight=WEIGHT),
        lambda g1, s: WEIGHT[:, None] * (place(g1, s, HAND, LOCAL)[1] @ AXIS - DIRECTIONS),
    ),
    "point": Case(
        Point(name="p", body=HAND, point=LOCAL, target=PLACES, weight=np.outer(WEIGHT, (3, 2, 5))),
        lambda g1, s: np.outer(WEIGHT, (3, 2, 5)) * (place(g1, s, HAND, LOCAL)[0] - PLACES),
    ),
    "distance": Case(
        Distance(name="l", body=HAND, point=LOCAL, other_body=OTHER, other_point=THERE,
                 target=np.full(FRAMES, 0.4), weight=WEIGHT),
        lambda g1, s: (WEIGHT * (np.linalg.norm(_apart(g1, s), axis=1) - 0.4))[:, None],
    ),
    "difference": Case(
        Distance(name="v", body=HAND, point=LOCAL, other_body=OTHER, other_point=THERE,
                 target=PLACES, weight=WEIGHT),
        lambda g1, s: WEIGHT[:, None] * (_apart(g1, s) - PLACES),
    ),
    "height": Case(
        Height(name="h", body=HAND, point=LOCAL, surface=HILL, target=0.3, weight=WEIGHT), _height
    ),
    "orientation": Case(
        Orientation(name="o", body=HAND, target=QUATS, weight=WEIGHT), _orientation_error
    ),
    "posture": Case(
        Posture(name="q", target=np.full(29, 0.1), weight=0.7),
        lambda g1, s: 0.7 * (s.joints.T - 0.1),
    ),
}  # fmt: skip


def filled(normal: NormalEquations) -> tuple[Array, Array]:
    """Full blocks [T, n, n] and gradient [T, n] of what was added."""
    n = normal.tree.num_dofs
    blocks, gradient = np.zeros((normal.frames, n, n)), np.zeros((normal.frames, n))
    normal.fill(blocks, gradient)
    lower = np.tril(blocks)
    return lower + np.swapaxes(np.tril(lower, -1), 1, 2), gradient


def stepped(s: ClipState, step: Array) -> ClipState:
    turn = rotation_matrix(np.repeat(step[3:6, None], s.frames, 1))
    mat = np.einsum("ijt,jkt->ikt", turn, s.mat)
    return ClipState(s.root + step[:3, None], mat, s.joints + step[6:, None])


def slopes(residuals: Callable[[ClipState], Array], state: ClipState, n: int) -> Array:
    """Jacobians [T, R, n] of residuals [T, R], by central differences."""
    columns, eps = [], 1e-6
    for k in range(n):
        step = np.zeros(n)
        step[k] = eps
        ahead, behind = residuals(stepped(state, step)), residuals(stepped(state, -step))
        columns.append((ahead - behind) / (2 * eps))
    return np.stack(columns, axis=-1)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_rows_are_those_of_finite_differences(
    g1: Robot, tree: BodyTree, state: ClipState, case: Case
) -> None:
    normal = NormalEquations(tree, tree.pose(state.root, state.mat, state.joints))
    case.objective.add(normal)
    blocks, gradient = filled(normal)
    now = case.residuals(g1, state)
    jacobian = slopes(lambda s: case.residuals(g1, s), state, tree.num_dofs)
    assert normal.cost == pytest.approx(float((now**2).sum()), rel=1e-9)
    expected = np.einsum("tin,it->tn", jacobian, now.T)
    np.testing.assert_allclose(gradient, expected, atol=2e-6 * np.abs(expected).max())
    expected = np.einsum("tin,tim->tnm", jacobian, jacobian)
    np.testing.assert_allclose(blocks, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_an_objective_at_some_frames_is_that_part_of_it(
    tree: BodyTree, state: ClipState, case: Case
) -> None:
    whole, some = np.arange(FRAMES), np.array([2, 0])
    results = []
    for objective, frames in ((case.objective.at(whole), whole), (case.objective.at(some), some)):
        part = state.at(frames)
        normal = NormalEquations(tree, tree.pose(part.root, part.mat, part.joints))
        objective.add(normal)
        results.append(filled(normal))
    for full, part in zip(*results, strict=True):
        np.testing.assert_allclose(full[some], part, atol=1e-12)


def test_stacks_are_the_sum_of_their_objectives(tree: BodyTree, state: ClipState) -> None:
    objectives = [case.objective for case in CASES.values()]
    objectives += [replace(o, name="again", weight=0.3) for o in objectives[:2]]  # type: ignore
    sums = []
    for some in (objectives, stacked(objectives, tree, FRAMES)):
        normal = NormalEquations(tree, tree.pose(state.root, state.mat, state.joints))
        for each in some:
            each.add(normal)
        sums.append((*filled(normal), normal.cost))
    for one, other in zip(*sums, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)
    assert len(stacked(objectives, tree, FRAMES)) == 7 < len(objectives)
    assert set(named(objectives)) == {"d", "p", "l", "v", "h", "o", "q", "again"}


def test_a_frames_equations_are_in_mujocos_tangent_space(
    g1: Robot, tree: BodyTree, state: ClipState
) -> None:
    """There the free joint turns about the root's own axes; joints and translation stay."""
    some = state.at(np.array([1]))
    quat = matrix_to_quat(np.moveaxis(some.mat, -1, 0))
    qpos = np.concatenate([some.root[:, 0], quat[0], some.joints[:, 0]])
    objectives = [case.objective.at(np.array([1])) for case in CASES.values()]
    normal = NormalEquations(tree, tree.pose(some.root, some.mat, some.joints))
    for each in objectives:
        each.add(normal)
    blocks, gradient = filled(normal)
    to_world = np.eye(tree.num_dofs)
    to_world[3:6, 3:6] = some.mat[..., 0]
    hessian, right = frame_equations(tree, tree.pose_at(qpos), objectives)
    np.testing.assert_allclose(hessian, to_world.T @ blocks[0] @ to_world, atol=1e-9)
    np.testing.assert_allclose(right, to_world.T @ gradient[0], atol=1e-9)


def test_left_jacobians_are_the_derivative_of_the_logarithm() -> None:
    rng = np.random.default_rng(0)
    v = rng.uniform(-1.5, 1.5, (3, 20))
    v[:, 0] = 0.0
    inverse, eps = left_jacobian_inverse(v), 1e-6
    for k in range(3):
        step = np.zeros((3, 20))
        step[k] = eps
        turned = np.einsum("ijt,jkt->ikt", rotation_matrix(step), rotation_matrix(v))
        np.testing.assert_allclose(inverse[:, k], (rotation_vector(turned) - v) / eps, atol=1e-5)


def test_a_body_that_the_robot_has_not_is_named(tree: BodyTree, state: ClipState) -> None:
    point = Point(name="x", body="tail", point=LOCAL, target=PLACES, weight=1.0)
    with pytest.raises(RobotError, match="'tail'.*pelvis"):
        stacked([point], tree, FRAMES)


METHODS = [
    RetargetSettings(),
    RetargetSettings(method="per-frame"),
]


@pytest.mark.parametrize("settings", METHODS, ids=lambda s: s.method)
def test_a_caller_moves_a_hand_with_an_objective_of_his_own(
    g1: Robot, squat: HumanMotion, settings: RetargetSettings
) -> None:
    """The left hand 10 cm further out than the person has it, the rest as it was."""
    clip = squat.crop(0, 30)
    usual = retarget(clip, g1, settings=settings)
    hand = usual.body_names.index(HAND)
    target = usual.body_pos_w[:, hand] + np.array([0.0, 0.1, 0.0])
    hold = Point(name="hand", body=HAND, point=np.zeros(3), target=target, weight=50.0)
    other = retarget(clip, g1, settings=settings, objectives=[hold])
    assert np.abs(other.body_pos_w[:, hand] - target).max() < 0.02
    assert np.abs(other.root_pos - usual.root_pos).max() < 0.03


@dataclass(frozen=True, eq=False)
class Above:
    """An objective of another kind, known to no solver: a body is higher than another one.

    ``r = weight min(0, z_b - z_c - by)``.
    """

    name: str
    body: str
    other: str
    by: float
    weight: float

    def at(self, frames: Array | slice) -> Above:
        del frames
        return self

    def add(self, normal: NormalEquations) -> None:
        tree, pose = normal.tree, normal.pose
        rows, height = [], []
        for name in (self.body, self.other):
            x, y, z = pose.pos[tree.body(name)]
            one, zero = np.ones_like(x), np.zeros_like(x)
            rows.append(np.stack([y, -x, zero, zero, zero, one]))  # (p x e_z, e_z)
            height.append(z)
        short = np.minimum(0.0, height[0] - height[1] - self.by)
        # Both bodies move: dense rows of the difference, from the bodies' own.
        basis = pose.basis.transpose(2, 0, 1)
        moves = [tree.moves[tree.body(name)] for name in (self.body, self.other)]
        dense = [m * np.einsum("tni,it->tn", basis, r) for m, r in zip(moves, rows, strict=True)]
        on = (short < 0.0) * self.weight
        normal.dense(np.arange(normal.frames), on[:, None] * (dense[0] - dense[1]), on * short)


@pytest.mark.parametrize("settings", METHODS, ids=lambda s: s.method)
def test_an_objective_of_another_kind_needs_no_change_of_the_solver(
    g1: Robot, squat: HumanMotion, settings: RetargetSettings
) -> None:
    clip = squat.crop(0, 30)
    raised = Above("raised", HAND, "torso_link", 0.25, 60.0)
    results = [retarget(clip, g1, settings=settings, objectives=o) for o in ((), (raised,))]
    heights = []
    for motion in results:
        z = motion.body_pos_w[..., 2]
        hand, chest = (motion.body_names.index(name) for name in (HAND, "torso_link"))
        heights.append(z[:, hand] - z[:, chest])
    # A one-sided row switches on and off: a frame of few solver steps may end in between.
    assert heights[0].max() < 0.21 < 0.24 < np.percentile(heights[1], 10)


def test_a_caller_adds_an_obstacle(g1: Robot, squat: HumanMotion) -> None:
    """What a pose must keep clear of is the caller's list too: here, it only counts its calls."""

    class Watcher:
        def __init__(self) -> None:
            self.frames = 0

        def __call__(self, normal: NormalEquations, pose: object, frames: Array) -> None:
            del normal, pose
            self.frames += len(frames)

        def after(self, tree: object, pose: object, frames: Array, step: Array) -> Array:
            del tree, pose, step
            return np.zeros(len(frames))

    watcher = Watcher()
    retarget(squat.crop(0, 12), g1, obstacles=[watcher])
    assert watcher.frames >= 12


def test_the_yaw_of_an_orientation_is_followed(tree: BodyTree, state: ClipState) -> None:
    """An orientation objective vanishes at its target, whatever the turn."""
    quat = matrix_to_quat(np.moveaxis(state.mat, -1, 0))
    normal = NormalEquations(tree, tree.pose(state.root, state.mat, state.joints))
    Orientation(name="o", body="pelvis", target=quat, weight=1.0).add(normal)
    assert normal.cost == pytest.approx(0.0, abs=1e-15)
    turned = quat_mul(quat_of_yaw(0.3), quat)
    Orientation(name="o", body="pelvis", target=turned, weight=2.0).add(normal)
    assert normal.cost == pytest.approx(FRAMES * (2.0 * 0.3) ** 2, rel=1e-9)


def test_a_slope_is_a_surface_with_its_gradient() -> None:
    slope = Slope(along_x=0.2, along_y=-0.1, level=0.5)
    assert float(slope.height(1.0, 2.0)) == pytest.approx(0.5)
    np.testing.assert_allclose(slope.normal(0.0, 0.0), np.array([-0.2, 0.1, 1.0]) / np.sqrt(1.05))


def test_only_the_per_frame_solver_needs_mink() -> None:
    """Whole clips, projections and live streams are solved where mink is not installed."""
    modules = "retarget.pipeline, retarget.projection.projection, retarget.streaming.retargeter"
    run = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.modules['mink'] = None; import {modules}"],
        capture_output=True, text=True, check=False, cwd=REPO,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
