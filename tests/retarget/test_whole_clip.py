"""The whole-clip solver: its kinematics, normal equations and obstacles against MuJoCo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mujoco
import numpy as np
import pytest

from mimic_base.rotations import matrix_to_quat
from mimic_base.vectors import Array
from motions import HumanMotion, read_human_motion
from motions.human.demo import generate
from retarget import retarget
from retarget.settings import RetargetSettings
from retarget.solvers import compiled
from retarget.solvers.normal import NormalEquations, point_rows
from retarget.solvers.tree import BodyTree, TreePose, rotation_matrix, rotation_vector
from retarget.solvers.whole_clip import contact_kernels
from retarget.solvers.whole_clip.banded import BandedSystem, TimeCoupling
from retarget.solvers.whole_clip.damping import ActiveFrames, Damping
from retarget.solvers.whole_clip.obstacles import Capsule, Ground, OwnBody
from retarget.solvers.whole_clip.settings import ClipSettings
from retarget.solvers.whole_clip.state import ClipState, between, key_frames
from robots.collision import check_geometry, lowest_point, self_contacts
from robots.kinematics import forward_kinematics
from robots.robot import Robot

FRAMES = 3


@pytest.fixture(scope="module")
def tree(g1: Robot) -> BodyTree:
    return BodyTree(g1.model)


@pytest.fixture(scope="module")
def state(g1: Robot) -> ClipState:
    rng = np.random.default_rng(3)
    root = rng.normal(size=(3, FRAMES)) + np.array([[5.0], [-3.0], [0.8]])
    mat = rotation_matrix(rng.uniform(-1, 1, (3, FRAMES)))
    share = rng.uniform(0.2, 0.8, (g1.num_joints, FRAMES))
    joints = g1.joint_lower[:, None] + share * (g1.joint_upper - g1.joint_lower)[:, None]
    return ClipState(root, mat, joints)


def pose_of(tree: BodyTree, state: ClipState) -> TreePose:
    return tree.pose(state.root, state.mat, state.joints)


def stepped(state: ClipState, step: Array) -> ClipState:
    """The state after a tangent step [n], the same for all frames."""
    turn = rotation_matrix(np.repeat(step[3:6, None], state.frames, 1))
    return ClipState(
        state.root + step[:3, None],
        np.einsum("ijt,jkt->ikt", turn, state.mat),
        state.joints + step[6:, None],
    )


def test_poses_are_mujocos(g1: Robot, tree: BodyTree, state: ClipState) -> None:
    pose = pose_of(tree, state)
    quat = matrix_to_quat(np.moveaxis(state.mat, -1, 0))
    pos, body_quat = forward_kinematics(g1, state.root.T, quat, state.joints.T)
    np.testing.assert_allclose((pose.pos[1:] + state.root).transpose(2, 0, 1), pos, atol=1e-10)
    turned = matrix_to_quat(pose.mat[1:].transpose(3, 0, 1, 2))
    same = np.abs((turned * body_quat).sum(-1))
    np.testing.assert_allclose(same, 1.0, atol=1e-10)


def rows_of(add: Callable[[NormalEquations], None], tree: BodyTree, state: ClipState):
    normal = NormalEquations(tree, pose_of(tree, state))
    add(normal)
    n = tree.num_dofs
    blocks, gradient = np.zeros((state.frames, n, n)), np.zeros((state.frames, n))
    normal.fill(blocks, gradient)
    upper = np.tril(blocks)  # blocks[t, b, a] for a <= b
    index = np.arange(n)
    full = upper + upper.transpose(0, 2, 1)
    full[:, index, index] *= 0.5
    return normal.cost, full, gradient


def residuals(tree: BodyTree, state: ClipState, target: Array, point: Array) -> Array:
    """A direction's and a point's residuals [6, T] on the left wrist, the usual way."""
    pose = pose_of(tree, state)
    mat, pos = pose.mat[BODY], pose.pos[BODY] + state.root
    axis = np.array([0.6, 0.0, 0.8])
    first = np.einsum("ijt,j->it", mat, axis) - target
    second = pos + np.einsum("ijt,j->it", mat, np.array([0.1, -0.2, 0.05])) - point
    return np.concatenate([1.7 * first, np.array([[3.0], [2.0], [5.0]]) * second])


BODY = 22


def test_normal_equations_are_those_of_finite_differences(tree: BodyTree, state: ClipState) -> None:
    rng = np.random.default_rng(5)
    target = rng.normal(size=(3, FRAMES))
    target /= np.linalg.norm(target, axis=0)
    point = rng.normal(size=(3, FRAMES)) + state.root

    def add(normal: NormalEquations) -> None:
        body = np.array([BODY])
        axis, place = np.array([[0.6, 0.0, 0.8]]), np.array([[0.1, -0.2, 0.05]])
        normal.directions(body, axis, target[None], np.full((1, FRAMES), 1.7))
        weight = np.repeat([[3.0], [2.0], [5.0]], FRAMES, 1)
        normal.points(body, place, point[None], weight[None])

    cost, blocks, gradient = rows_of(add, tree, state)
    n, eps = tree.num_dofs, 1e-6
    jacobian = np.empty((FRAMES, 6, n))
    for k in range(n):
        step = np.zeros(n)
        step[k] = eps
        ahead = residuals(tree, stepped(state, step), target, point)
        behind = residuals(tree, stepped(state, -step), target, point)
        jacobian[..., k] = ((ahead - behind) / (2 * eps)).T
    now = residuals(tree, state, target, point)
    assert cost == pytest.approx(float((now**2).sum()), rel=1e-9)
    np.testing.assert_allclose(
        gradient, np.einsum("tin,it->tn", jacobian, now), atol=1e-6 * np.abs(gradient).max()
    )
    expected = np.einsum("tin,tim->tnm", jacobian, jacobian)
    np.testing.assert_allclose(blocks, expected, atol=1e-6 * np.abs(expected).max())


def test_heights_and_dense_rows_agree(tree: BodyTree, state: ClipState) -> None:
    frames = np.array([0, 2])
    at = pose_of(tree, state).pos[BODY][:, frames] + 0.1
    residual = np.array([-0.02, 0.03])

    def heights(normal: NormalEquations) -> None:
        for t, (x, y, _), value in zip(frames, at.T, residual, strict=True):
            gram, force = normal.gram[BODY], normal.force[BODY]
            normal.cost += contact_kernels.height(gram, force, t, x, y, value, 7.0**2)

    def dense(normal: NormalEquations) -> None:
        body = np.full(2, BODY)
        rows = point_rows(normal.tree, normal.pose, body, frames, at.T)[:, 2]
        normal.dense(frames, 7.0 * rows, 7.0 * residual)

    for one, other in zip(rows_of(heights, tree, state), rows_of(dense, tree, state), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)


def test_the_banded_system_is_the_full_one() -> None:
    rng = np.random.default_rng(0)
    frames, n = 7, 5
    blocks = rng.normal(size=(frames, n, n))
    blocks = blocks @ blocks.transpose(0, 2, 1) + np.eye(n)
    gradient = rng.normal(size=(frames, n))
    coupling = TimeCoupling.empty(frames, n)
    coupling.accelerations(rng.normal(size=(frames - 1, n)), rng.uniform(1, 2, n))
    coupling.steps(rng.normal(size=(frames - 1, n)), rng.uniform(0, 2, (frames - 1, n)))
    full = np.zeros((frames * n, frames * n))
    for t in range(frames):
        own = slice(t * n, t * n + n)
        full[own, own] = blocks[t] + np.diag(coupling.own[t] + 0.1)
        for distance, values in ((1, coupling.next), (2, coupling.after)):
            if t + distance < frames:
                other = slice((t + distance) * n, (t + distance + 1) * n)
                full[own, other] = full[other, own] = np.diag(values[t])
    expected = np.linalg.solve(full, -(gradient + coupling.gradient).ravel())
    system = BandedSystem(frames, n)
    system.blocks[...] = blocks
    system.gradient[...] = gradient
    coupling.own += 0.1
    step = system.solve(coupling)
    np.testing.assert_allclose(step.ravel(), expected, atol=1e-12)


@pytest.mark.parametrize("fps", [30.0, 240.0])
def test_single_precision_steps_are_the_double_ones(
    g1: Robot, squat: HumanMotion, fps: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Smoothness grows with the rate's square, and rounding with it."""
    clip = squat.crop(20, 50)
    single = retarget(clip, g1, fps=fps)
    monkeypatch.setattr("retarget.solvers.whole_clip.solver.SINGLE", 0.0)
    double = retarget(clip, g1, fps=fps)
    np.testing.assert_allclose(single.joint_pos, double.joint_pos, atol=2e-3)
    np.testing.assert_allclose(single.root_pos, double.root_pos, atol=5e-4)


def test_loops_are_compiled_where_nothing_can_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def keep_nothing(**options: object):
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(compiled, "njit", keep_nothing)
    assert compiled.kernel(len) is len


def test_memory_of_a_system_serves_the_next() -> None:
    first = BandedSystem(4, 3)
    first.blocks[...] = 7.0
    second = BandedSystem(2, 3, store=first.store)
    assert second.store is first.store and not second.blocks.any()
    assert BandedSystem(9, 3, store=first.store).store is not first.store
    assert BandedSystem(2, 3, np.float32, first.store).blocks.dtype == np.float32


def test_close_pairs_are_those_of_segment_distances(tree: BodyTree, state: ClipState) -> None:
    rng = np.random.default_rng(8)
    pose, count = pose_of(tree, state), 12
    body = rng.integers(1, tree.num_bodies, count)
    ends = rng.uniform(-0.2, 0.2, (count, 2, 3))
    first, second = np.triu_indices(count, 1)
    limit = rng.uniform(0.05, 0.4, len(first))
    half = 0.5 * np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)
    near = np.zeros((len(first), FRAMES), bool)
    apart = half[first] + half[second] + limit
    contact_kernels.close_pairs(pose.pos, pose.mat, body, ends, first, second, apart, limit, near)
    place = pose.pos[body][:, None] + np.einsum("kijt,kej->keit", pose.mat[body], ends)
    for p, (a, b) in enumerate(zip(first, second, strict=True)):
        for t in range(FRAMES):
            gap = contact_kernels.segment_distance(place[a, ..., t], place[b, ..., t])
            assert near[p, t] == (gap < limit[p])
    assert 0.05 < near.mean() < 0.95


def test_time_coupling_is_the_gradient_of_its_cost() -> None:
    rng = np.random.default_rng(1)
    x, weight = rng.normal(size=(6, 2)), np.array([0.5, 2.0])

    def coupling(values: Array) -> TimeCoupling:
        made = TimeCoupling.empty(6, 2)
        made.accelerations(np.diff(values, axis=0), weight)
        made.steps(np.diff(values, axis=0), np.full((5, 2), 3.0))
        return made

    eps = 1e-6
    for t in range(6):
        for k in range(2):
            moved = np.zeros_like(x)
            moved[t, k] = eps
            slope = (coupling(x + moved).cost - coupling(x - moved).cost) / (2 * eps)
            assert 2 * coupling(x).gradient[t, k] == pytest.approx(slope, rel=1e-6, abs=1e-8)


def test_rotation_vectors_round_trip() -> None:
    rng = np.random.default_rng(2)
    v = rng.uniform(-1.5, 1.5, (3, 50))
    v[:, 0] = 0.0
    np.testing.assert_allclose(rotation_vector(rotation_matrix(v)), v, atol=1e-9)


def test_segment_distances_against_sampling() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(2, 2, 3, 20))
    b[..., 0] = b[:1, :, 0]  # a point
    share = np.linspace(0, 1, 201)
    along_a = a[0] + share[:, None, None] * (a[1] - a[0])
    along_b = b[0] + share[:, None, None] * (b[1] - b[0])
    gaps = np.linalg.norm(along_a[:, None] - along_b[None], axis=2)
    found = [contact_kernels.segment_distance(a[..., k], b[..., k]) for k in range(20)]
    np.testing.assert_allclose(found, gaps.min((0, 1)), atol=0.02)
    assert (np.array(found) <= gaps.min((0, 1)) + 1e-9).all()


def test_capsules_hold_their_points() -> None:
    rng = np.random.default_rng(6)
    for _ in range(20):
        points = rng.normal(size=(30, 3)) * rng.uniform(0.05, 1.0, 3)
        capsule = Capsule.around(points, 0.1)
        for point in points:
            away = contact_kernels.segment_distance(np.stack([point, point]), capsule.ends)
            assert away + 0.1 <= capsule.radius + 1e-9


def test_key_frames_and_between() -> None:
    keys = key_frames(100, 50.0, 12.0)
    assert keys[0] == 0 and keys[-1] == 99 and 3 <= np.diff(keys).min() <= 5
    assert len(key_frames(5, 50.0, 12.0)) == 5
    time = np.arange(100) / 50.0
    turn = np.stack([0.0 * time, 0.0 * time, 2.0 * time])
    root = np.stack([time, 2 * time, 0 * time])
    whole = ClipState(root, rotation_matrix(turn), time[None])
    some = ClipState(root[:, keys], rotation_matrix(turn)[..., keys], time[None, keys])
    made = between(some, keys, 100)
    np.testing.assert_allclose(made.root, whole.root, atol=1e-12)
    np.testing.assert_allclose(made.mat, whole.mat, atol=1e-12)
    np.testing.assert_allclose(made.joints, whole.joints, atol=1e-12)


def descend(g1: Robot, tree: BodyTree, state: ClipState, obstacle) -> ClipState:
    """Follow an obstacle's own rows for a few Gauss-Newton steps."""
    n = tree.num_dofs
    for _ in range(12):
        pose = pose_of(tree, state)
        normal = NormalEquations(tree, pose)
        obstacle(normal, pose, np.arange(state.frames))
        system = BandedSystem(state.frames, n)
        normal.fill(system.blocks, system.gradient)
        coupling = TimeCoupling.empty(state.frames, n)
        coupling.own += 1.0
        step = system.solve(coupling)
        turn = rotation_matrix(step[:, 3:6].T)
        state = ClipState(
            state.root + step[:, :3].T,
            np.einsum("ijt,jkt->ikt", turn, state.mat),
            state.joints + step[:, 6:].T,
        )
    return state


def test_the_ground_pushes_everything_out(g1: Robot, tree: BodyTree, state: ClipState) -> None:
    low = ClipState(state.root * np.array([[1.0], [1.0], [0.0]]) + 0.3, state.mat, state.joints)

    def lowest(s: ClipState) -> float:
        quat = matrix_to_quat(np.moveaxis(s.mat, -1, 0))
        pos, turned = forward_kinematics(g1, s.root.T, quat, s.joints.T)
        return float(lowest_point(check_geometry(g1), g1.body_names, pos, turned).min())

    assert lowest(low) < -0.1
    assert lowest(descend(g1, tree, low, Ground(g1, low.frames))) > -3e-3


def test_the_ground_lets_go_of_what_is_lifted(g1: Robot, tree: BodyTree, state: ClipState) -> None:
    low = ClipState(state.root * np.array([[1.0], [1.0], [0.0]]), state.mat, state.joints)
    pose, frames, ground = pose_of(tree, low), np.arange(FRAMES), Ground(g1, FRAMES)

    def held() -> Array:
        ground(NormalEquations(tree, pose), pose, frames)
        return ((ground.touching & 1) == 1).any(axis=1)

    assert held().all()
    step = np.zeros((FRAMES, tree.num_dofs))
    step[1, 2] = 3.0  # the root rises
    step[2, 6:] = 0.5 * np.linspace(-1, 1, tree.num_joints)
    rise = ground.after(tree, pose, frames, step)
    assert rise[0] == 0.0 and rise[1] > 1.0
    marked = (ground.touching & 1) == 1
    assert marked[0].any() and not marked[1].any() and not (ground.touching[1] > 1).any()
    # What a small turn of the hinges lifts, by finite differences.
    eps = 1e-5
    ahead = pose_of(tree, stepped(low, eps * step[2]))
    part = np.repeat(np.arange(len(ground.body)), np.diff(ground.start))
    body, points = ground.body[part], ground.points.T

    def heights(p: TreePose, t: int) -> Array:
        at = p.pos[body, 2, t] + np.einsum("pj,pj->p", p.mat[body, 2, :, t], points)
        return p.root[2, t] + at - ground.lift[part]

    predicted = heights(pose, 2) + (heights(ahead, 2) - heights(pose, 2)) / eps
    held()
    before = (ground.touching[2] & 1) == 1
    ground.after(tree, pose, frames, step)
    np.testing.assert_array_equal((ground.touching[2] & 1) == 1, before & (predicted < 0.0))


@pytest.mark.corpus
def test_lying_hips_leave_the_ground_with_the_source(g1: Robot, corpus: Path) -> None:
    human = read_human_motion(corpus / "deepmimic" / "humanoid3d_getup_faceup.txt").crop(20, 110)
    motion = retarget(human, g1)
    scaled = 0.78 * (human.role("pelvis")[:, 2] - human.role("pelvis")[0, 2])
    assert np.abs(motion.root_pos[:, 2] - motion.root_pos[0, 2] - scaled).max() < 0.12
    assert motion.quality["smooth"]["root_jerk"] < 100.0


def test_hands_are_pushed_out_of_the_hips(g1: Robot, tree: BodyTree) -> None:
    joints = g1.default_joint_pos.copy()
    joints[g1.joint_names.index("left_shoulder_roll_joint")] = -0.35
    start = ClipState(np.array([[0.0], [0.0], [0.8]]), np.eye(3)[..., None], joints[:, None])

    def depth(s: ClipState) -> float:
        geometry = check_geometry(g1)
        data = mujoco.MjData(geometry.model)
        data.qpos[:7] = [*s.root[:, 0], 1, 0, 0, 0]
        data.qpos[3:7] = matrix_to_quat(s.mat[..., 0])
        addresses = [geometry.model.joint(name).qposadr[0] for name in g1.joint_names]
        data.qpos[addresses] = s.joints[:, 0]
        mujoco.mj_kinematics(geometry.model, data)
        found = self_contacts(geometry.model, data, geometry.touching)
        return -min((distance for _, distance in found), default=0.0)

    assert depth(start) > 0.01, "the pose chosen for this test does not touch"
    assert depth(descend(g1, tree, start, OwnBody(g1))) < 1e-3


@pytest.mark.parametrize("name", ["squat", "walk"])
def test_both_methods_give_the_same_person(g1: Robot, name: str) -> None:
    clip = generate(name).crop(40, 100)
    whole = retarget(clip, g1)
    single = retarget(clip, g1, settings=RetargetSettings(method="per-frame"))
    assert np.abs(whole.root_pos - single.root_pos).max() < 0.03
    assert np.abs(whole.joint_pos - single.joint_pos).mean() < 0.08
    if name == "walk":  # where something moves, and feet come and go
        jerk, other = (m.quality["smooth"]["mean_abs_jerk"] for m in (whole, single))
        assert jerk <= other


def test_parts_of_a_long_clip_leave_no_seam(
    g1: Robot, squat: HumanMotion, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = squat.crop(0, 40)
    whole = retarget(clip, g1)
    monkeypatch.setattr("retarget.solvers.whole_clip.solver.CHUNK", 7)
    parts = retarget(clip, g1)
    np.testing.assert_allclose(parts.joint_pos, whole.joint_pos, atol=1e-6)


@pytest.mark.parametrize("frames", [2, 3, 5])
def test_clips_of_a_few_frames(g1: Robot, squat: HumanMotion, frames: int) -> None:
    assert retarget(squat.crop(0, frames), g1).num_frames == frames


def test_active_frames_are_what_moves_and_a_still_border() -> None:
    unsettled = np.zeros(40, bool)
    unsettled[[10, 30]] = True
    active = ActiveFrames.around(unsettled, 1)
    assert active.frames.tolist() == [*range(7, 14), *range(27, 34)]
    assert active.frames[active.free].tolist() == [9, 10, 11, 29, 30, 31]
    unsettled[0] = True  # the clip's own end is no border
    assert ActiveFrames.around(unsettled, 1).frames[:4].tolist() == [0, 1, 2, 3]
    everything = ActiveFrames.around(np.ones(5, bool), 1)
    assert everything.frames.tolist() == list(range(5)) and everything.free.all()


def test_going_on_with_a_part_leads_where_the_whole_does(
    g1: Robot, squat: HumanMotion, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = squat.crop(0, 60)
    settings = RetargetSettings(clip=ClipSettings(iterations=(12, 40)))
    parts = retarget(clip, g1, settings=settings)
    monkeypatch.setattr("retarget.solvers.whole_clip.damping.WHOLE_SHARE", 0.0)
    whole = retarget(clip, g1, settings=settings)
    # Both stop within 0.01 rad a step of the same minimum.
    assert np.abs(parts.joint_pos - whole.joint_pos).max() < 0.03
    assert np.abs(parts.root_pos - whole.root_pos).max() < 0.01


def test_a_hinge_stopped_at_its_limit_is_held_until_drawn_inside() -> None:
    state = ClipState(np.zeros((3, 4)), np.zeros((3, 3, 4)), np.zeros((2, 4)))
    damping = Damping.fresh(state, 0.01)
    frames = np.array([1, 2])
    wanted = np.array([[0.5, 0.1], [0.2, 0.3]])
    got = np.array([[0.4, 0.1], [0.2, 0.3]])
    damping.hold(frames, wanted, got, wanted)
    assert np.argwhere(damping.held).tolist() == [[0, 1]]
    damping.hold(frames, got, got, np.zeros((2, 2)))
    assert damping.held[0, 1]
    damping.hold(frames, got - 1e-3, got - 1e-3, np.full((2, 2), -1e-3))
    assert not damping.held.any()


def test_long_steps_raise_the_damping_of_their_frames_only() -> None:
    state = ClipState(np.zeros((3, 20)), np.zeros((3, 3, 20)), np.zeros((1, 20)))
    settings = ClipSettings()
    damping = Damping.fresh(state, settings.damping)
    frames = np.arange(20)
    step = np.zeros((20, 7))
    step[10, 6] = 9.0
    for _ in range(20):
        damping.adapt(frames, step, settings)
    assert damping.value[10] == settings.most_damping
    assert damping.value[0] == damping.value[19] == settings.damping


def test_steps_that_take_each_other_back_raise_the_damping() -> None:
    state = ClipState(np.zeros((3, 20)), np.zeros((3, 3, 20)), np.zeros((1, 20)))
    settings = ClipSettings()
    damping = Damping.fresh(state, settings.damping)
    step = np.zeros((20, 7))
    step[3, 6], step[15, 6] = 0.1, 0.1
    for _ in range(6):
        step[3] *= -1.0
        damping.adapt(np.arange(20), step, settings)
    assert damping.value[3] > 100 * settings.damping
    assert damping.value[15] == settings.damping


@pytest.mark.corpus
@pytest.mark.parametrize("name", ["humanoid3d_getup_faceup", "humanoid3d_cartwheel"])
def test_motions_near_the_ground_come_to_rest(g1: Robot, corpus: Path, name: str) -> None:
    motion = retarget(read_human_motion(corpus / "deepmimic" / f"{name}.txt"), g1)
    quality = motion.quality
    assert quality["any_geom_ground_pen"]["rate_1cm"] == 0.0
    assert quality["self_collision"]["rate_deep"] < 0.06
    assert quality["fidelity"]["limb_dir_err_mean_deg"] < 4.5
