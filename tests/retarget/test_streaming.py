"""One frame in, one pose out: limits, calibration, gaps, jumps, and the command."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mimic_base.rotations import quat_exp, quat_mul, quat_of_yaw, quat_rotate
from motions import HumanMotion, RobotMotion
from motions.human.writers.bvh import write_bvh
from retarget.person.body_constants import BodyConstants, body_constants, constants_in_parts
from retarget.pipeline import retarget
from retarget.settings import RetargetSettings
from retarget.streaming import (
    HumanFrame,
    RobotPose,
    Skeleton,
    StreamSettings,
    frames_of,
)
from retarget.streaming.calibrator import Calibrator, blended
from retarget.streaming.cli import main
from retarget.streaming.contacts import GroundTracker
from retarget.streaming.lines import LineStream
from retarget.streaming.play import Watch, lag_frames, motion_of
from robots.robot import Robot
from tests.conftest import corpus_path
from tests.retarget.helpers import moved
from tests.retarget.stream_helpers import lines_of, stream_of

REPO = Path(__file__).resolve().parents[2]


def _joints(poses: Iterable[RobotPose]) -> np.ndarray:
    return np.stack([pose.joint_pos for pose in poses])


def _check_limits(robot: Robot, joints: np.ndarray, fps: float) -> None:
    assert (joints >= robot.joint_lower - 1e-9).all() and (joints <= robot.joint_upper + 1e-9).all()
    speed = np.abs(np.diff(joints, axis=0)) * fps
    assert (speed <= robot.velocity_limit + 1e-6).all()


@pytest.fixture(scope="module")
def streamed(robot: Robot, walk: HumanMotion) -> list[RobotPose]:
    stream = stream_of(walk, robot, calibration=walk)
    return [stream.step(frame) for frame in frames_of(walk)]


def test_a_streamed_walk_is_clean_and_near_the_per_frame_method(
    robot: Robot, walk: HumanMotion, streamed: list[RobotPose]
) -> None:
    motion = motion_of(streamed, robot, walk.fps, walk, "walk")
    offline = retarget(walk, robot, settings=RetargetSettings(method="per-frame"))
    quality = motion.quality
    assert quality["any_geom_ground_pen"]["max_m"] < 0.01
    assert quality["source_contact"]["skate_mean_mps"] < 0.04
    assert quality["source_contact"]["float_rate_3cm"] == 0.0
    assert quality["fidelity"]["limb_dir_err_mean_deg"] < 1.5
    assert quality["velocity"]["over_own_limit_rate"] == 0.0
    assert quality["joint_limit"]["sample_rate"] == 0.0
    assert quality["jumps"]["count"] == 0
    _check_limits(robot, motion.joint_pos, walk.fps)
    assert np.abs(motion.joint_pos - offline.joint_pos).mean() < 0.06
    ours, theirs = (m.root_pos - m.root_pos[0] for m in (motion, offline))
    assert np.abs(ours - theirs).max() < 0.06
    assert lag_frames(motion.joint_pos, offline.joint_pos) < 1.0


def test_the_first_frame_is_as_good_as_the_rest(
    robot: Robot, walk: HumanMotion, streamed: list[RobotPose]
) -> None:
    offline = retarget(walk, robot, settings=RetargetSettings(method="per-frame"))
    assert np.abs(streamed[0].joint_pos - offline.joint_pos[0]).max() < 0.3
    assert streamed[0].root_pos[2] == pytest.approx(offline.root_pos[0, 2], abs=0.02)
    assert streamed[0].status == "ok"


def test_a_calibration_clip_gives_the_pipelines_constants(robot: Robot, walk: HumanMotion) -> None:
    stream = stream_of(walk, robot, calibration=walk)
    stream.step(next(frames_of(walk)))
    _same(stream.body, body_constants(walk))
    assert stream.calibrated


def test_the_first_frames_give_the_constants_of_a_clip_of_them(
    robot: Robot, walk: HumanMotion
) -> None:
    settings = StreamSettings(calibration_seconds=1.0, blend_seconds=0.2)
    stream = stream_of(walk, robot, settings=settings)
    for frame in frames_of(walk.crop(0, 50)):
        stream.step(frame)
    assert stream.calibrated
    _same(stream.body, body_constants(walk.crop(0, 30)))


def test_every_announced_calibration_takes_place(walk: HumanMotion) -> None:
    settings = StreamSettings(calibration_seconds=2.0, blend_seconds=0.1)
    calibrator = Calibrator(Skeleton.of(walk), walk.fps, settings, None)
    assert walk.quat_w is not None
    goals: list[tuple[int, BodyConstants | None]] = []
    for t in range(90):
        calibrator.update(walk.pos_w[t % 50], walk.quat_w[t % 50], usable=True)
        if not goals or goals[-1][1] is not calibrator.goal:
            goals.append((t, calibrator.goal))
    # The first frame, and shortly after a quarter, a half and the whole of the time (60 frames).
    assert len(goals) == 4
    for (t, _), moment in zip(goals[1:], (15, 30, 60), strict=True):
        assert moment <= t < moment + 15
    _same(goals[1][1], body_constants(walk.crop(0, 15)))


def _same(found: BodyConstants | None, expected: BodyConstants) -> None:
    assert found is not None
    # The stream makes quaternions unit again, which moves their last bit.
    assert found.leg_length == pytest.approx(expected.leg_length, abs=1e-9)
    assert found.ankle_height == pytest.approx(expected.ankle_height, abs=1e-9)
    for name, (role, direction) in expected.in_joints().items():
        assert found.in_joints()[name][0] == role
        assert np.allclose(found.in_joints()[name][1], direction, rtol=0, atol=1e-9), name
    for name, axis in expected.flexion_axes.items():
        assert (axis is None) == (found.flexion_axes[name] is None)
        known = found.flexion_axes[name]
        assert axis is None or (known is not None and np.allclose(axis, known, atol=1e-9))


def test_constants_in_parts_are_the_constants(walk: HumanMotion) -> None:
    parts, steps = constants_in_parts(walk), 0
    while True:
        try:
            next(parts)
        except StopIteration as done:
            _same(done.value, body_constants(walk))
            break
        steps += 1
    assert steps >= 5, "the work is cut into parts"


def test_blended_constants_are_between(walk: HumanMotion, squat: HumanMotion) -> None:
    a, b = body_constants(walk), body_constants(squat)
    half = blended(a, b, 0.5)
    assert half.ankle_height == pytest.approx(0.5 * (a.ankle_height + b.ankle_height))
    for _, direction in half.in_joints().values():
        assert np.linalg.norm(direction) == pytest.approx(1.0)
    _same(blended(a, b, 1.0), b)


def test_a_jump_of_the_source_breaks_no_limit(robot: Robot, walk: HumanMotion) -> None:
    human = walk.crop(0, 60)
    pos, quat = human.pos_w.copy(), human.quat_w
    assert quat is not None
    # Two metres to the side, half turned, in the middle of the stream.
    turn = quat_of_yaw(np.pi)
    pos[30:] = quat_rotate(turn, pos[30:]) + np.array([2.0, 3.0, 0.0])
    quat = np.concatenate([quat[:30], quat_mul(turn, quat[30:])])
    # And for one frame all joints fold up.
    pos[45] = pos[45] * np.array([1.0, 1.0, 0.5])
    stream = stream_of(human, robot)
    poses = [stream.step(HumanFrame(p, q)) for p, q in zip(pos, quat, strict=True)]
    assert poses[30].status == "jump"
    _check_limits(robot, _joints(poses), human.fps)
    root = np.stack([pose.root_pos for pose in poses])
    speed = np.linalg.norm(np.diff(root[:, :2], axis=0), axis=1) * human.fps
    assert speed.max() < 2.0, "the robot is not carried over the ground"
    turns = np.stack([pose.root_quat for pose in poses])
    cosine = np.abs((turns[1:] * turns[:-1]).sum(axis=1))
    rate = 2.0 * np.arccos(np.clip(cosine, 0.0, 1.0)) * human.fps
    assert rate.max() <= StreamSettings().root_turn_speed + 1e-3
    motion = motion_of(poses, robot, human.fps, None, "jump")
    assert motion.quality["any_geom_ground_pen"]["max_m"] < 0.01


def test_a_tumbling_source_breaks_no_limit_of_the_root(robot: Robot, walk: HumanMotion) -> None:
    rng = np.random.default_rng(0)
    settings = StreamSettings(root_speed=1.0)
    stream, poses = stream_of(walk, robot, settings=settings), []
    for k, frame in enumerate(list(frames_of(walk))[:40]):
        turn = quat_exp(2.0 * rng.normal(size=3)) if k % 4 == 3 else np.array([1.0, 0, 0, 0])
        assert frame.quat_w is not None
        pos = quat_rotate(turn, frame.pos_w - frame.pos_w[0]) + frame.pos_w[0]
        poses.append(stream.step(HumanFrame(pos, quat_mul(turn, frame.quat_w))))
    _check_limits(robot, _joints(poses), walk.fps)
    step = np.diff(np.stack([pose.root_pos for pose in poses]), axis=0)
    # Upwards it may be faster, out of the ground.
    step[:, 2] = np.minimum(step[:, 2], 0.0)
    speed = np.linalg.norm(step, axis=1) * walk.fps
    assert 0.9 < speed.max() <= settings.root_speed + 1e-6


def test_the_same_frames_give_the_same_poses_and_reset_forgets(
    robot: Robot, squat: HumanMotion, walk: HumanMotion
) -> None:
    frames = list(frames_of(squat))[:20]
    stream = stream_of(squat, robot)
    first = [stream.step(frame) for frame in frames]
    going_on = stream.step(frames[0])
    stream.reset()
    again = [stream.step(frame) for frame in frames]
    fresh = stream_of(squat, robot)
    other = [fresh.step(frame) for frame in frames]
    for a, b, c in zip(first, again, other, strict=True):
        for key in ("root_pos", "root_quat", "joint_pos", "contact"):
            assert np.array_equal(getattr(a, key), getattr(b, key))
            assert np.array_equal(getattr(a, key), getattr(c, key))
    assert not np.array_equal(going_on.joint_pos, first[0].joint_pos)


def test_what_was_given_out_does_not_change_later(robot: Robot, squat: HumanMotion) -> None:
    stream = stream_of(squat, robot)
    frames = list(frames_of(squat))
    first = stream.step(frames[0])
    kept = first.joint_pos.copy(), first.root_pos.copy()
    for frame in frames[10:20]:
        stream.step(frame)
    assert np.array_equal(first.joint_pos, kept[0]) and np.array_equal(first.root_pos, kept[1])


def test_dropped_frames_fade_and_are_said(robot: Robot, walk: HumanMotion) -> None:
    frames: list[HumanFrame | None] = list(frames_of(walk))
    bad = walk.pos_w[17].copy()
    bad[3, 1] = np.nan
    frames[15:40] = [None] * 25
    frames[17] = HumanFrame(bad, None if walk.quat_w is None else walk.quat_w[17])
    stream = stream_of(walk, robot)
    poses = [stream.step(frame) for frame in frames]
    status = [pose.status for pose in poses]
    assert status[14] == "ok" and status[15] == "extrapolated" and status[17] == "extrapolated"
    assert status[39] == "held" and status[40] in ("ok", "jump")
    joints = _joints(poses)
    assert np.isfinite(joints).all()
    _check_limits(robot, joints, walk.fps)
    speed = np.abs(np.diff(joints, axis=0)).max(axis=1) * walk.fps
    assert speed[14] > 0.3, "the movement goes on for a moment"
    assert speed[36:39].max() < 0.2, "and comes to rest"
    whole = motion_of(poses, robot, walk.fps, None, "gap")
    assert whole.quality["any_geom_ground_pen"]["max_m"] < 0.01


def test_before_the_first_frame_the_robot_waits_in_its_default_pose(
    robot: Robot, squat: HumanMotion
) -> None:
    stream = stream_of(squat, robot)
    pose = stream.step(None)
    assert pose.status == "waiting"
    assert np.array_equal(pose.joint_pos, robot.default_joint_pos)
    assert stream.step(next(frames_of(squat))).status == "ok"


def test_the_ground_is_found_wherever_the_source_has_it(
    robot: Robot, walk: HumanMotion, streamed: list[RobotPose]
) -> None:
    lower = moved(walk, 0.0, np.array([0.0, 0.0, -0.4]))
    stream = stream_of(lower, robot, calibration=walk)
    poses = [stream.step(frame) for frame in frames_of(lower)]
    there = np.array([pose.root_pos[2] for pose in poses])
    here = np.array([pose.root_pos[2] for pose in streamed])
    assert np.abs(there - here).max() < 5e-3


def test_a_wrong_first_ground_is_corrected_slowly() -> None:
    settings = StreamSettings()
    tracker = GroundTracker(30.0, 1.0, settings)
    tracker.start(0.05)
    heights = [tracker.update(np.array([0.0, 0.3]), np.array([True, False])) for _ in range(60)]
    assert heights[-1] == pytest.approx(0.0, abs=1e-6)
    assert np.abs(np.diff([0.05, *heights])).max() <= settings.ground_speed / 30.0 + 1e-9


def test_positions_alone_are_enough(robot: Robot, walk: HumanMotion) -> None:
    bare = replace(walk, quat_w=None, rest_pos=None)
    stream = stream_of(bare, robot)
    poses = [stream.step(frame) for frame in frames_of(bare)]
    quality = motion_of(poses, robot, bare.fps, bare, "bare").quality
    assert quality["fidelity"]["limb_dir_err_mean_deg"] < 2.0
    assert quality["any_geom_ground_pen"]["max_m"] < 0.01


def test_a_source_may_fill_one_buffer_again_and_again(robot: Robot, walk: HumanMotion) -> None:
    one, other = stream_of(walk, robot), stream_of(walk, robot)
    buffer = np.empty_like(walk.pos_w[0])
    for frame in [*list(frames_of(walk))[:20], None]:
        if frame is None:
            buffer[:] = 7.0
            assert np.array_equal(one.step(None).joint_pos, other.step(None).joint_pos)
        else:
            buffer[:] = frame.pos_w
            one.step(replace(frame, pos_w=buffer))
            other.step(frame)


def test_lag_is_found() -> None:
    t = np.arange(200.0)[:, None]
    wave = np.concatenate([np.sin(0.1 * t), np.cos(0.13 * t)], axis=1)
    late = np.concatenate([np.sin(0.1 * (t - 1.5)), np.cos(0.13 * (t - 1.5))], axis=1)
    assert lag_frames(late, wave) == pytest.approx(1.5, abs=0.11)
    assert lag_frames(wave, wave) == 0.0


def test_a_watch_of_a_stream_without_end_keeps_within_bounds() -> None:
    watch = Watch(most=10)
    for k, wall in enumerate([9.0, 7.0, *[0.001 * k for k in range(1, 31)]]):
        watch.add(wall, 0.5 * wall)
        assert len(watch.wall) == len(watch.cpu) == min(k + 1, 10)
    figures = watch.figures()["wall"]
    assert watch.steps == 32
    assert figures["first"] == pytest.approx(9000.0) and figures["max"] == pytest.approx(7000.0)
    assert figures["p50"] == pytest.approx(25.5)
    assert watch.figures()["cpu"]["max"] == pytest.approx(3500.0)
    assert Watch().wall.maxlen, "bounded where nothing is said"


def test_a_watch_tells_the_first_step_from_the_later_ones() -> None:
    watch = Watch()
    watch.add(5.0, 5.0)
    assert watch.figures()["wall"]["max"] == watch.figures()["wall"]["p50"] == 5000.0
    for wall in (0.001, 0.002, 0.003):
        watch.add(wall, wall)
    figures = watch.figures()["wall"]
    assert figures["first"] == 5000.0 and figures["max"] == pytest.approx(3.0)
    assert figures["p50"] == pytest.approx(2.0)


# -- lines ---------------------------------------------------------------------------------------


def _run(*arguments: object, text: bytes = b"") -> tuple[int, str, str]:
    result = subprocess.run(
        [sys.executable, "-m", "retarget.streaming", *map(str, arguments)],
        cwd=REPO,
        input=text,
        capture_output=True,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    return result.returncode, result.stdout.decode(), result.stderr.decode()


def test_lines_in_lines_out(robot: Robot, squat: HumanMotion, tmp_path: Path) -> None:
    human = squat.crop(0, 12)
    lines = lines_of(human)
    lines[4] = '{"pos": [[1, 2'
    lines[6] = "null"
    lines[8] = json.dumps({"pos": [[0.0, 0.0, 1.0]], "quat": [[1.0, 0.0, 0.0, 0.0]]})
    out = tmp_path / "live.npz"
    code, stdout, stderr = _run("-", "--out", out, text="\n".join(lines).encode())
    assert code == 0, stderr
    answers = [json.loads(line) for line in stdout.splitlines()]
    head, poses = answers[0], answers[1:]
    assert head["joint_names"] == list(robot.joint_names) and head["fps"] == human.fps
    assert [pose["frame"] for pose in poses] == list(range(12))
    status = [pose["status"] for pose in poses]
    assert [k for k, s in enumerate(status) if s != "ok"] == [3, 5, 7]
    complaints = [line for line in stderr.splitlines() if line.startswith("error:")]
    assert len(complaints) == 2
    assert "line 5: not JSON" in complaints[0] and "line 9: " in complaints[1]
    assert "Traceback" not in stderr
    stream = stream_of(human, robot)
    same = stream.step(next(frames_of(human)))
    assert np.allclose(poses[0]["joint_pos"], same.joint_pos, atol=1e-6)
    assert RobotMotion.load(out).num_frames == 12


def test_lines_without_a_rest_pose_begin_with_the_first_frame(
    robot: Robot, squat: HumanMotion
) -> None:
    lines = lines_of(squat.crop(0, 4))
    head = json.loads(lines[0])
    del head["skeleton"]["rest_pos"]
    lines[0] = json.dumps(head)
    lines.insert(1, "null")
    out, errors = io.StringIO(), io.StringIO()
    stream = LineStream(io.BytesIO("\n".join(lines).encode()), out, errors, robot)
    stream.run()
    status = [json.loads(line)["status"] for line in out.getvalue().splitlines()[1:]]
    assert status == ["waiting", "ok", "ok", "ok", "ok"]
    assert stream.bad == 0 and errors.getvalue() == ""


def test_what_came_is_kept_when_nobody_reads_the_poses_any_more(
    squat: HumanMotion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Pipe(io.StringIO):
        def flush(self) -> None:
            if len(self.getvalue().splitlines()) > 4:
                raise BrokenPipeError

    out = tmp_path / "live.npz"
    text = io.TextIOWrapper(io.BytesIO("\n".join(lines_of(squat.crop(0, 9))).encode()))
    monkeypatch.setattr(sys, "stdin", text)
    monkeypatch.setattr(sys, "stdout", Pipe())
    with pytest.raises(BrokenPipeError):
        main(["-", "--out", str(out)])
    assert RobotMotion.load(out).num_frames == 3


# -- the command ---------------------------------------------------------------------------------


def test_the_command_plays_a_clip(
    squat: HumanMotion, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip, out = tmp_path / "short.bvh", tmp_path / "robot.npz"
    write_bvh(squat.crop(0, 10), clip)
    begun = time.perf_counter()
    assert main([str(clip), "--out", str(out), "--realtime"]) == 0
    assert time.perf_counter() - begun >= 9 / squat.fps
    printed = capsys.readouterr().out
    assert "p99" in printed and "skate" in printed
    motion = RobotMotion.load(out)
    assert motion.num_frames == 10 and motion.robot == "unitree_g1"


@pytest.mark.corpus
@pytest.mark.parametrize("clip", ["walk", "dance", "jumps"])
def test_real_clips(robot: Robot, clip: str) -> None:
    from motions import read_human_motion

    human = read_human_motion(corpus_path() / "lafan1_bvh" / f"{clip}.bvh").crop(0, 200)
    stream = stream_of(human, robot)
    poses = [stream.step(frame) for frame in frames_of(human)]
    quality = motion_of(poses, robot, human.fps, human, clip).quality
    assert quality["any_geom_ground_pen"]["max_m"] < 0.01
    assert quality["fidelity"]["limb_dir_err_mean_deg"] < 2.5
    assert quality["velocity"]["over_own_limit_rate"] == 0.0
    assert quality["source_contact"]["skate_mean_mps"] < 0.08
