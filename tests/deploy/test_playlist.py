"""Clips that are queued, switched, repeated and held: on small references, and by the walk."""

from __future__ import annotations

import numpy as np
import pytest

import robots
from mimic.deploy.clips import crossed, held
from mimic.deploy.kinematics import Chain
from mimic.deploy.lockstep import LockStep
from mimic.deploy.modes import Mode
from mimic.deploy.operator import Operator, Timetable
from mimic.deploy.pilot import PilotSettings
from mimic.deploy.playlist import Playlist
from mimic.deploy.rest import Rest, standing_reference
from mimic.deploy.setup import (
    SHIPPED_POLICY,
    DeploySettings,
    make_guard,
    make_pilot,
    references_of,
)
from mimic.deploy.simulated import SimulatedRobot, SimulationSettings
from mimic.policy.observations import Reference
from mimic.policy.player import PolicyPlayer
from mimic_base.errors import MimicError

DT = 0.02


def clip(frames: int, speed: float, joint: float, height: float = 0.8) -> Reference:
    """One body that moves along x, one joint that stands."""
    x = speed * DT * np.arange(frames)
    pos = np.zeros((frames, 1, 3))
    pos[:, 0, 0], pos[:, 0, 2] = x, height
    quat = np.zeros((frames, 1, 4))
    quat[..., 0] = 1.0
    return Reference(
        joint_pos=np.full((frames, 1), joint),
        joint_vel=np.zeros((frames, 1)),
        body_pos_w=pos,
        body_quat_w=quat,
        body_lin_vel_w=np.broadcast_to([speed, 0.0, 0.0], (frames, 1, 3)).copy(),
        body_ang_vel_w=np.zeros((frames, 1, 3)),
    )


def playlist(*clips: Reference, **options) -> Playlist:
    return Playlist(clips, body=0, blend=5, settle=10, control_dt=DT, **options)


def play(found: Playlist, frames: int) -> list[float]:
    """The body's way along x and the joint, frame after frame; what ends is followed."""
    joints = []
    for _ in range(frames):
        if found.ended and not found.follow():
            break
        joints.append(float(found.reference.frame(found.frame).joint_pos[0]))
        found.advance()
    return joints


def test_a_switch_goes_on_while_it_blends() -> None:
    walk, other = clip(50, 1.0, 0.0), clip(50, 1.0, 1.0)
    found = crossed(walk, 20, other, 0, 10, DT)
    x, joint = found.body_pos_w[:, 0, 0], found.joint_pos[:, 0]
    # The first frame is the one that was due, and the way goes on at its speed.
    assert x[0] == pytest.approx(20 * DT) and joint[0] == 0.0
    assert np.allclose(np.diff(x[1:]), DT, atol=2e-3)
    assert (np.diff(joint) >= 0).all() and np.diff(joint).max() < 0.2 and joint[-1] == 1.0
    assert np.allclose(found.body_lin_vel_w[2:12, 0, 0], 1.0, atol=0.1)
    assert found.num_frames == 51


def test_the_row_is_played_as_often_as_asked_and_then_held() -> None:
    found = playlist(clip(20, 0.0, 0.0), clip(20, 0.0, 1.0), loop=2)
    joints = play(found, 200)
    assert 75 <= len(joints) <= 80 and found.played == 2
    assert joints[0] == 0.0 and joints[38] == 1.0 and joints[60] < 0.5 and joints[-1] == 1.0


def test_queued_clips_come_in_their_order_and_end_the_loop() -> None:
    found = playlist(clip(20, 0.0, 0.0), library=[clip(20, 0.0, 2.0), clip(20, 0.0, 3.0)], loop=0)
    found.queue(3)
    found.queue(2)
    assert found.has(3) and not found.has(4) and not found.has(0) and found.queued == (3, 2)
    joints = play(found, 200)
    assert joints.index(3.0) < joints.index(2.0) and len(joints) < 70
    assert found.current == 2 and found.queued == ()


def test_looping_is_turned_on_and_off() -> None:
    found = playlist(clip(20, 0.0, 0.0), library=[clip(20, 0.0, 2.0)])
    found.switch(2)
    found.looping = True
    assert len(play(found, 300)) == 300
    found.looping = False
    assert len(play(found, 300)) < 30


def test_next_is_what_is_queued_or_the_clip_after() -> None:
    found = playlist(clip(20, 0.0, 0.0), clip(20, 0.0, 1.0), library=[clip(20, 0.0, 2.0)])
    found.frame = 25
    found.next()
    assert found.current == 3
    found.next()
    assert found.current == 1
    found.queue(3)
    found.next()
    assert found.current == 3


@pytest.fixture(scope="module")
def robot() -> robots.Robot:
    return robots.load("unitree_g1")


@pytest.fixture(scope="module")
def player() -> PolicyPlayer:
    return PolicyPlayer(SHIPPED_POLICY)


def test_where_a_robot_can_stay(player, robot) -> None:
    (walk,) = references_of(player, ())
    rest = Rest.of(player.contract, robot, [walk])
    assert rest.may_stay(walk, walk.num_frames - 1) and not rest.may_stay(walk, 180)
    # The pose is one of the clip's own.
    assert np.abs(walk.joint_pos - rest.pose.joint_pos[0]).sum(-1).min() == 0.0
    standing = standing_reference(player.contract, robot)
    assert rest.may_stay(standing, 0)
    without = Rest.of(player.contract, robot, [])
    assert np.array_equal(without.pose.joint_pos, standing.joint_pos)
    lifted = held(standing, 0, 2)
    lifted.body_pos_w[:, rest.feet[0], 2] += 0.1
    assert not rest.may_stay(lifted, 0)


def deployment(player, robot, *, loop: int = 1) -> LockStep:
    settings = DeploySettings(
        command_hz=50.0, pilot=PilotSettings(stand_s=0.6, ready_s=0.5, loop=loop)
    )
    simulated = SimulatedRobot(robot, SimulationSettings(tick=0.02, physics_hz=200.0))
    contract, clips = player.contract, references_of(player, ())
    pilot = make_pilot(
        player, simulated.identity, clips,
        Chain.of(robot, contract.anchor_body, contract.joint_names), settings,
        rest=Rest.of(contract, robot, clips),
    )  # fmt: skip
    return LockStep(simulated, make_guard(player, simulated.identity, settings), pilot, 1)


def test_hold_in_mid_walk_stands_and_walks_on(player, robot) -> None:
    steps = deployment(player, robot)
    while steps.pilot.mode != Mode.TRACK:
        steps.tick()
    for _ in range(170):
        steps.tick()
    moving = np.linalg.norm(steps.robot.body.data.qvel[:2])
    assert moving > 0.3
    steps.auto = False
    steps.tick(["hold"])
    for _ in range(150):
        steps.tick(["clip:9", "queue:nonsense", "clip:"])
    assert steps.pilot.mode == Mode.HOLD and steps.guard.trip == ""
    assert np.linalg.norm(steps.robot.body.data.qvel[:2]) < 0.2
    before = steps.robot.body.state.root_pos_w[0]
    steps.tick(["clip:1"])
    for _ in range(250):
        steps.tick()
    assert steps.pilot.mode == Mode.TRACK and steps.guard.trip == ""
    assert steps.robot.body.state.root_pos_w[0] > before + 1.0
    assert steps.robot.inspector.unsafe == 0


def test_keys_ask_for_clips() -> None:
    operator = Operator(keys=False)
    asked = [operator._key(key) for key in "s2q3qxqq nlh"]
    assert asked == [
        "stand", "clip:2", "", "queue:3", "", "stop", "", "stop", "stop", "next", "loop", "hold",
    ]  # fmt: skip


def test_a_timetable_asks_once_and_at_its_time() -> None:
    operator = Operator(keys=False, timetable=Timetable.of(["2:hold", "0.5:clip:2"], 2))
    asked = []
    for step in range(200):
        operator.tracking(10.0 + 0.02 * step, Mode.STAND if step < 50 else Mode.TRACK)
        asked += [(step, event) for event in operator()]
    assert asked == [(75, "clip:2"), (150, "hold")]


@pytest.mark.parametrize("text", ["hold", "x:hold", "1:dance", "-1:hold", "1:clip:", "1:clip:3"])
def test_a_timetable_that_is_none(text: str) -> None:
    with pytest.raises(MimicError, match="--at"):
        Timetable.of([text], 2)
