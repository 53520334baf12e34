"""Live on a ground that is not flat: feet on it, no jumps, the motion carries it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mimic_base.surface import Slope, Steps, Surface
from mimic_base.vectors import Array
from motions import HumanMotion, RobotMotion
from motions.human.writers import write_bvh
from motions.robot.quality.ground import sole_heights
from motions.robot.terrain import ground_of
from motions.robot.terrain_files import read_terrain
from retarget.person.calibration import calibrate
from retarget.person.scaling import leg_scale
from retarget.streaming import frames_of
from retarget.streaming.cli import main
from retarget.streaming.play import motion_of
from retarget.streaming.terrain import GroundBelow, highest_hip, within_reach
from robots.frames import robot_frames
from robots.robot import Robot
from tests.retarget.stream_helpers import stream_of


def streamed(
    human: HumanMotion, robot: Robot, ground: Surface | None, source: Surface | None = None
) -> tuple[RobotMotion, Array]:
    """The motion on its ground, and heights of soles that stand firmly over it."""
    stream = stream_of(human, robot, calibration=human, ground=ground, source_ground=source)
    poses = [stream.step(frame) for frame in frames_of(human)]
    assert stream.ground is not None
    motion = motion_of(
        poses, robot, human.fps, human, "walk", ground=stream.ground, source_ground=source
    )
    heights = sole_heights(robot, motion.body_pos_w, motion.body_quat_w, stream.ground)
    return motion, heights[motion.contact > 0.999]


def middle(human: HumanMotion, robot: Robot) -> float:
    scale = leg_scale(calibrate(human), robot_frames(robot))
    return float(scale * np.median(human.role("pelvis")[:, 0]))


@pytest.mark.parametrize("kind", ["slope", "across", "up", "down"])
def test_a_live_walk_has_its_soles_on_the_ground(g1: Robot, walk: HumanMotion, kind: str) -> None:
    edge = middle(walk, g1)
    ground = {
        "slope": Slope(along_x=0.12),
        "across": Slope(along_y=0.1, level=0.3),
        "up": Steps(edges=(edge,), heights=(0.1,)),
        "down": Steps(edges=(edge,), heights=(-0.1,)),
    }[kind]
    motion, standing = streamed(walk, g1, ground)
    assert len(standing) > 30 and np.median(np.abs(standing)) < 0.004
    assert (np.abs(standing) < 0.03).mean() > 0.95
    quality = motion.quality
    assert quality["any_geom_ground_pen"]["max_m"] < 0.01
    assert quality["velocity"]["over_own_limit_rate"] == 0.0
    assert quality["jumps"]["count"] == 0
    rise = float(ground.height(*motion.root_pos[-1, :2]) - ground.height(*motion.root_pos[0, :2]))
    assert motion.root_pos[-1, 2] - motion.root_pos[0, 2] == pytest.approx(rise, abs=0.05)
    # No frame is thrown to and fro: neighbouring steps of the joints agree.
    step = np.diff(motion.joint_pos[5:], axis=0)
    assert (np.abs(np.diff(step, axis=0)).max(axis=1) > 0.3).mean() < 0.03


def test_a_person_on_a_slope_is_live_on_the_robots_own(g1: Robot, walk: HumanMotion) -> None:
    slope = Slope(along_x=0.12, level=0.4)
    pos, hips = walk.pos_w.copy(), walk.role("pelvis")
    pos[..., 2] += slope.height(hips[:, 0], hips[:, 1])[:, None]
    motion, standing = streamed(replace(walk, pos_w=pos), g1, None, slope)
    assert len(standing) > 30 and np.median(np.abs(standing)) < 0.006
    climbed = motion.root_pos[-1, 2] - motion.root_pos[0, 2]
    way = motion.root_pos[-1, 0] - motion.root_pos[0, 0]
    assert climbed == pytest.approx(0.12 * way, abs=0.03) and climbed > 0.08
    assert motion.scene["terrain"]["type"] == "height_field"


def test_a_stream_says_what_it_walked_on(
    g1: Robot, walk: HumanMotion, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_bvh(walk.crop(0, 40), tmp_path / "walk.bvh")
    out = tmp_path / "slope.npz"
    arguments = [str(tmp_path / "walk.bvh"), "--ground", "slope:5", "--out", str(out)]
    assert main(arguments) == 0
    capsys.readouterr()
    motion = RobotMotion.load(out)
    assert motion.scene["terrain"] == read_terrain("slope:5")
    heights = sole_heights(g1, motion.body_pos_w, motion.body_quat_w, ground_of(motion.scene))
    assert np.median(np.abs(heights[motion.contact > 0.999])) < 0.004


def test_the_ground_below_follows_what_stands() -> None:
    step = Steps(edges=(1.0,), heights=(0.2,))
    below = GroundBelow(step, 50.0)
    ball = np.array([[0.0, 0.1, 0.0], [2.0, -0.1, 0.0]])
    below.update(ball, np.array([1.0, 0.0]))
    assert below.support == pytest.approx(0.0, abs=0.005)
    supports = []
    for _ in range(60):
        below.update(ball, np.array([0.0, 1.0]))
        supports.append(below.support)
    assert np.diff(supports).max() < 0.03 and supports[-1] == pytest.approx(0.2, abs=0.005)
    np.testing.assert_allclose(below.tilt, np.tile(np.eye(3), (2, 1, 1)))


def test_a_swinging_foot_is_up_before_the_step() -> None:
    surface = ground_of({"terrain": read_terrain("steps:0.2,1,1,start=1.0")})
    below = GroundBelow(surface, 50.0)
    sole = np.array([[-0.1, 0.0, 0.0], [0.1, 0.0, 0.0]])
    lifts = []
    for t in range(60):  # 1 m/s towards the edge at x = 1
        here = sole + [0.2 + t / 50.0, 0.0, 0.1]
        lifts.append(below.lifts([here, sole], np.array([False, True])))
    lift, toe = np.array(lifts)[:, 0], 0.3 + np.arange(60) / 50.0
    assert np.abs(lift[toe < 0.7]).max() < 0.01
    assert lift[toe >= 1.0].min() > 0.18 and np.abs(np.diff(lift, n=2)).max() < 0.03
    assert np.abs(np.array(lifts)[:, 1]).max() < 1e-9


def test_legs_reach_as_far_as_they_do() -> None:
    hip = np.array([0.0, 0.0, 1.0])
    near, far = np.array([0.1, 0.0, 0.4]), np.array([0.0, 0.6, 0.2])
    assert within_reach(hip, near, 0.8) is near
    assert np.linalg.norm(within_reach(hip, far, 0.8) - hip) == pytest.approx(0.8 * 0.985)
    lowered = np.array([0.0, 0.0, highest_hip(hip, far, 0.8)])
    assert np.linalg.norm(lowered - far) == pytest.approx(0.8 * 0.985)
