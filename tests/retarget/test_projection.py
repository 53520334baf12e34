"""Projection onto what is feasible: it helps, and keeps its bounds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mimic_base.errors import RobotError
from mimic_base.vectors import Array
from motions import InputError, RobotMotion
from motions.robot.dynamics.support import polygon_edges, polygon_margin
from retarget.projection import DynamicsSettings, Projection, ProjectionSettings, project
from retarget.projection.cli import main
from retarget.projection.loads import Loads, measure_loads
from retarget.projection.pinned import PinnedFeet
from retarget.projection.program import LinearProgram
from retarget.projection.shift import plan_shift
from retarget.projection.warp import frame_positions, rebuilt, warped
from robots.collision import check_geometry, sole_paths
from robots.kinematics import forward_kinematics
from robots.robot import Robot

REPO = Path(__file__).resolve().parents[2]
TINY = REPO / "tests" / "robots" / "tiny.toml"
FPS = 30.0


def standing(robot: Robot, frames: int, **angles: Array) -> RobotMotion:
    """The default pose, still, but for joints with given angles [T] on top."""
    joints = np.tile(robot.default_joint_pos, (frames, 1))
    for name, angle in angles.items():
        joints[:, robot.joint_names.index(name)] += angle
    root = np.tile([0.0, 0.0, robot.default_root_height], (frames, 1))
    quat = np.tile([1.0, 0.0, 0.0, 0.0], (frames, 1))
    pos, turned = forward_kinematics(robot, root, quat, joints)
    return RobotMotion.build(
        fps=FPS, joint_pos=joints, body_pos_w=pos, body_quat_w=turned, robot=robot.name,
        joint_names=robot.joint_names, body_names=robot.body_names, name="made",
        contact=np.ones((frames, 2)),
    )  # fmt: skip


def bump(frames: int, rise: int) -> Array:
    """From 0 smoothly to 1 and back, [T]."""
    t = np.arange(frames)
    u = np.clip(np.minimum(t - rise // 2, frames - 1 - rise // 2 - t) / rise, 0.0, 1.0)
    return u**3 * (u * (6.0 * u - 15.0) + 10.0)


@pytest.fixture(scope="module")
def leaning(g1: Robot) -> RobotMotion:
    """Sways forward until the centre of mass is some centimetres before the toes, and back."""
    still = standing(g1, 50)
    shift = np.stack([0.25 * bump(50, 14), np.zeros(50)], axis=1)
    qpos = PinnedFeet(still, g1).moved(shift, 1.0, 3.0)
    return rebuilt(still, g1, qpos[:, :3], qpos[:, 3:7], qpos[:, 7:], still.contact, None)


@pytest.fixture(scope="module")
def swinging(g1: Robot) -> RobotMotion:
    """Both arms swing faster than their motors can."""
    t = np.arange(70) / FPS
    swing = 1.2 * bump(70, 20) * np.sin(2 * np.pi * 2.2 * t)
    return standing(g1, 70, left_shoulder_pitch_joint=swing, right_shoulder_pitch_joint=swing)


@pytest.fixture(scope="module")
def upright(g1: Robot, leaning: RobotMotion) -> Projection:
    return project(leaning, g1, ProjectionSettings(max_shift=0.08, means="shift"))


@pytest.fixture(scope="module")
def slower(g1: Robot, swinging: RobotMotion) -> Projection:
    return project(swinging, g1, ProjectionSettings(max_slow_down=1.4, means="warp"))


def test_a_lean_is_made_more_feasible(g1: Robot, leaning: RobotMotion, upright: Projection) -> None:
    before, after = upright.before.dynamics, upright.after.dynamics
    assert before.feasible.mean() < 0.7
    assert after.feasible.mean() > before.feasible.mean() + 0.1
    assert upright.after.violation < 0.7 * upright.before.violation
    assert np.nanmin(after.zmp_margin) > np.nanmin(before.zmp_margin) + 0.02
    figures = upright.motion.quality["projection"]
    assert figures["feasible_rate"] == [before.feasible.mean(), after.feasible.mean()]
    # It is the base that moved back, over feet that stay.
    moved = upright.motion.root_pos - leaning.root_pos
    assert moved[25, 0] < -0.04 and np.abs(moved[:3]).max() < 0.005
    geometry = check_geometry(g1)
    for path in sole_paths(
        geometry, g1.body_names, upright.motion.body_pos_w, upright.motion.body_quat_w
    ):
        assert np.abs(path - path[0]).max() < 0.003


def test_bounds_hold_exactly(g1: Robot, leaning: RobotMotion, upright: Projection) -> None:
    tight = project(
        leaning, g1, ProjectionSettings(max_shift=0.08, max_joint_change=0.1, means="shift")
    )
    for result, shift, turn in ((upright, 0.08, 0.5), (tight, 0.08, 0.1)):
        assert result.changed
        moved = np.linalg.norm(result.motion.root_pos - leaning.root_pos, axis=1)
        assert moved.max() <= shift and moved.max() == pytest.approx(result.shift.max())
        change = np.abs(result.motion.joint_pos - leaning.joint_pos)
        assert change.max() <= turn and change.max() == pytest.approx(result.joint_change)
        arms = [k for k, n in enumerate(g1.joint_names) if "shoulder" in n or "waist" in n]
        assert (change[:, arms] == 0.0).all()
    assert tight.after.violation > upright.after.violation


def test_a_swing_is_slowed_down(swinging: RobotMotion, slower: Projection) -> None:
    before, after = slower.before.dynamics, slower.after.dynamics
    assert before.torque.max() > 1.1 and after.torque.max() < before.torque.max() - 0.1
    assert after.feasible.mean() > before.feasible.mean()
    steps, motion = np.diff(slower.positions), slower.motion
    assert steps.min() >= 1.0 / 1.4 - 1e-12 and steps.max() <= 1.0 + 1e-12
    assert 70 < motion.num_frames <= 1 + 1.4 * 69 and motion.fps == swinging.fps
    for end in (0, -1):
        np.testing.assert_array_equal(motion.joint_pos[end], swinging.joint_pos[end])
        np.testing.assert_allclose(motion.root_pos[end], swinging.root_pos[end], atol=1e-12)
    assert motion.contact.shape == (motion.num_frames, 2) and (motion.contact == 1.0).all()
    # Only the timing is another: the path is the same.
    for column in (3, 15):
        path = np.interp(slower.positions, np.arange(70), swinging.joint_pos[:, column])
        np.testing.assert_allclose(motion.joint_pos[:, column], path, atol=0.06)


def test_the_same_input_gives_the_same_result(
    g1: Robot, leaning: RobotMotion, upright: Projection
) -> None:
    again = project(leaning, g1, ProjectionSettings(max_shift=0.08, means="shift"))
    np.testing.assert_array_equal(again.motion.joint_pos, upright.motion.joint_pos)
    np.testing.assert_array_equal(again.motion.body_pos_w, upright.motion.body_pos_w)
    assert again.notes == upright.notes


def test_a_feasible_motion_is_given_back(g1: Robot) -> None:
    motion = standing(g1, 12, waist_yaw_joint=0.1 * bump(12, 4))
    result = project(motion, g1)
    assert result.motion is motion and not result.changed
    assert result.shift.max() == 0.0 and "feasible" in result.notes[0]


def test_what_costs_quality_is_refused(g1: Robot, leaning: RobotMotion) -> None:
    # No motion lies higher than it lies: a penetration of less than it has cannot be met.
    settings = ProjectionSettings(max_shift=0.08, penetration=-0.01, means="shift")
    result = project(leaning, g1, settings)
    assert result.motion is leaning and not result.changed
    assert any("depth under the ground would grow" in note for note in result.notes)
    greedy = project(leaning, g1, ProjectionSettings(gain=0.99, means="warp"))
    assert greedy.motion is leaning and "the timing stays" in greedy.notes[0]


def test_frames_of_a_slowness() -> None:
    rng = np.random.default_rng(3)
    for most in (1.05, 1.3, 4.0):
        slowness = 1.0 + (most - 1.0) * rng.random(50)
        at = frame_positions(slowness, most)
        assert at[0] == 0.0 and at[-1] == 49.0
        steps = np.diff(at)
        assert steps.min() >= 1.0 / most - 1e-12 and steps.max() <= 1.0 + 1e-12
        # As many frames more as the slowness makes room for.
        extra = (0.5 * (slowness[1:] + slowness[:-1]) - 1.0).sum()
        assert len(at) - 50 in (np.floor(extra), np.ceil(extra))
    full = frame_positions(np.full(50, 1.3), 1.3)  # 14.7 frames more, and no room for 15
    assert len(full) == 64 and np.diff(full).min() >= 1.0 / 1.3
    np.testing.assert_allclose(frame_positions(np.ones(20), 1.3), np.arange(20), atol=1e-12)


def test_loads_of_another_timing_are_linear(g1: Robot, swinging: RobotMotion) -> None:
    exact = DynamicsSettings(cutoff_hz=100.0)
    own = measure_loads(swinging, g1, exact)
    # At a constant rate r: gravity + r^2 inertial.
    slow = measure_loads(replace(swinging, fps=FPS / 1.5), g1, exact)
    np.testing.assert_allclose(slow.total, own.gravity + own.inertial / 1.5**2, atol=1e-6)
    # At a rate that changes: its slope counts too. Smooth enough for differences at 30 fps.
    t = np.arange(90) / FPS
    calm = standing(g1, 90, left_shoulder_pitch_joint=np.sin(2 * np.pi * 0.7 * t))
    own = measure_loads(calm, g1, exact)
    slowness = 1.0 + 0.6 * bump(90, 30)
    at = frame_positions(slowness, 1.6)
    found = measure_loads(warped(calm, g1, at), g1, exact).total
    rate = np.gradient(at)
    square = rate**2
    slope = np.gradient(rate) * 2.0 * FPS  # dx/ds = 2 dr/dt

    def here(values: Array) -> Array:
        return np.stack([np.interp(at, np.arange(90), column) for column in values.T], axis=1)

    # Without it the same comparison is off by more.
    flat = here(own.gravity) + square[:, None] * here(own.inertial)
    full = flat + 0.5 * slope[:, None] * here(own.tangential)
    inner = slice(3, -3)
    error = np.abs(full - found)[inner, 4].max()
    assert error < 0.35 * np.abs(flat - found)[inner, 4].max()
    assert error < 0.05 * np.abs(found[inner, 4] - own.gravity[0, 4]).max()


def test_cart_table_moves_no_further_than_allowed() -> None:
    square = np.array([[-0.1, -0.1], [0.1, -0.1], [0.1, 0.1], [-0.1, 0.1]])
    frames, weight = 60, 300.0
    wrench = np.tile([0.0, 0.0, weight, 0.0, 0.0, 0.0], (frames, 1))
    bad = np.zeros(frames, bool)
    bad[25:35] = True
    wrench[bad, 4] = -0.14 * weight  # the zero-moment point 4 cm before the front edge
    loads = Loads(
        fps=FPS, weight=weight, mass=weight / 9.81, gravity=wrench, inertial=0.0 * wrench,
        tangential=0.0 * wrench, centre=np.tile([0.0, 0.0, 0.7], (frames, 1)),
        edges=[polygon_edges(square)] * frames,
    )  # fmt: skip
    zero = np.zeros((frames, 2))
    for most in (0.02, 0.2):
        shift = plan_shift(loads, bad, zero, most, 0.8)
        assert shift is not None
        assert np.linalg.norm(shift, axis=1).max() <= most
        height = 0.7 * FPS**2 / 9.81
        moved = shift[1:-1] - height * np.diff(shift, n=2, axis=0)
        zmp = np.where(bad, 0.14, 0.0)[1:-1] + moved[:, 0]
        was, now = (0.4, np.maximum(zmp - 0.1, 0.0).sum() + np.maximum(-0.1 - zmp, 0.0).sum())
        assert now < (0.9 if most < 0.1 else 0.2) * was
    assert plan_shift(loads, np.zeros(frames, bool), zero, 0.1, 0.8) is None


def test_edges_agree_with_the_margin() -> None:
    points = np.random.default_rng(0).random((9, 2))
    normals, offsets = polygon_edges(points)
    for at in (points.mean(axis=0), np.array([0.4, 0.5])):
        assert (offsets - normals @ at).min() == pytest.approx(polygon_margin(points, at))
    line = np.array([[0.0, 0.0], [0.5, 0.0], [1.0, 0.0]])
    normals, offsets = polygon_edges(line)
    assert (normals @ [0.3, 0.0] <= offsets + 1e-12).all()
    assert not (normals @ [0.3, 0.01] <= offsets + 1e-12).all()
    assert len(polygon_edges(line[:0])[1]) == 0 and len(polygon_edges(line[:1])[1]) == 4


def test_a_linear_programme() -> None:
    program = LinearProgram()
    x = program.variables(2, cost=-1.0, upper=np.array([3.0, 5.0]))
    size = program.variables(1, cost=0.1)
    program.at_most([(x[:1], 1.0), (x[1:], 1.0)], 6.0)
    program.within([(x[:1], 1.0)], [(size, 1.0)], -1.0)  # |x0 - 1| <= size
    values = program.solve()
    assert values is not None and values[x].sum() == pytest.approx(6.0)
    assert values[x[0]] == pytest.approx(1.0) and values[size[0]] == pytest.approx(0.0)
    program.at_most([(x[:1], 1.0)], -1.0)
    assert program.solve() is None


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (ProjectionSettings(max_shift=0.0), "--max-shift must be above 0 (found 0)"),
        (ProjectionSettings(max_shift=float("nan")), "--max-shift must be above 0"),
        (ProjectionSettings(max_joint_change=-1.0), "--max-joint-change must be above 0"),
        (ProjectionSettings(max_slow_down=1.0), "--max-slow-down must be above 1"),
    ],
)
def test_bounds_that_are_none(g1: Robot, settings: ProjectionSettings, text: str) -> None:
    with pytest.raises(InputError) as error:
        project(standing(g1, 8), g1, settings)
    assert text in str(error.value) and "\n" not in str(error.value)


def test_motions_that_cannot_be_projected(g1: Robot, tiny: Robot) -> None:
    with pytest.raises(InputError, match="four frames"):
        project(standing(g1, 3), g1)
    with pytest.raises(InputError, match="joint"):
        project(standing(g1, 8), tiny)


def test_the_command(
    g1: Robot, leaning: RobotMotion, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, still, out = tmp_path / "lean.npz", tmp_path / "still.npz", tmp_path / "out.npz"
    leaning.save(path)
    standing(g1, 8).save(still)
    one = dict(np.load(still))
    keys = [k for k, v in one.items() if v.ndim and len(v) == 8 and k != "joint_names"]
    np.savez(tmp_path / "one.npz", **{k: v[:1] if k in keys else v for k, v in one.items()})

    assert main([str(path), "--out", str(out), "--max-shift", "0.06", "--means", "shift"]) == 0
    shown = capsys.readouterr().out
    assert "feasible frames" in shown and "largest shift of the base" in shown
    moved = RobotMotion.load(out).root_pos - RobotMotion.load(path).root_pos
    assert 0.01 < np.linalg.norm(moved, axis=1).max() <= 0.06 + 1e-6  # files are float32
    (tmp_path / "taken.npz").mkdir()
    np.savez(tmp_path / "nobody.npz", **{**one, "robot": np.array("")})
    for arguments, text in (
        ((path, "--out", out, "--max-shift", 0), "--max-shift must be above 0"),
        ((path, "--out", out, "--max-slow-down", 0.9), "--max-slow-down must be above 1"),
        ((path, still, "--out", out), "--out takes one motion"),
        ((path, "--out", tmp_path / "x.csv"), "expected a name in .npz"),
        ((path, "--out", tmp_path / "x.npz", "--robot", TINY), "joint"),
        ((tmp_path / "one.npz", "--out", tmp_path / "x.npz"), "two frames"),
        ((tmp_path / "nobody.npz",), "the motion names no robot; say which it is for: --robot"),
        ((path, "--friction", "inf"), "--friction must be a number above zero"),
        ((still, "--out", tmp_path / "taken.npz"), "the path is a directory"),
        ((still, "--json", path / "x.json"), "not a directory"),
    ):
        with pytest.raises((InputError, RobotError)) as error:
            main([str(argument) for argument in arguments])
        assert text in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "x.npz").exists()


@pytest.mark.corpus
@pytest.mark.slow
def test_a_real_dance(g1: Robot, corpus: Path) -> None:
    from motions import read_human_motion
    from retarget import retarget

    human = read_human_motion(corpus / "lafan1_bvh" / "dance.bvh").crop(600, 700)
    motion = retarget(human, g1)
    result = project(motion, g1)
    assert result.changed and result.shift.max() <= 0.05
    assert result.after.dynamics.feasible.mean() > result.before.dynamics.feasible.mean() + 0.02
