"""The ladder from a file to a robot: rung by rung, go or no-go with a reason.

Every rung but the first two plays the clips from limp to the end and holds it, in lock-step. A rung
is passed if the robot got there, nothing tripped, and the robot counted no command outside the
limits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mimic.deploy.foreign import open_policy
from mimic.deploy.gates import check_contract, check_observed
from mimic.deploy.kinematics import Chain
from mimic.deploy.messages import Odometry
from mimic.deploy.modes import Mode
from mimic.deploy.pilot import PilotSettings, next_event
from mimic.deploy.rest import Rest
from mimic.deploy.robot_io import FakeRobot
from mimic.deploy.setup import DeploySettings, make_guard, make_pilot, references_of
from mimic.deploy.trips import Thresholds
from mimic.policy.observations import Reference
from mimic.policy.player import PolicyPlayer
from mimic_base.errors import UserError

if TYPE_CHECKING:
    from mimic.deploy.simulated import Imperfections, SimulationSettings
    from robots import Robot

HOLD = 1.0
"""s for which the clip's end is held."""
PILOT = PilotSettings(stand_s=1.0, ready_s=0.5)


@dataclass(frozen=True, kw_only=True)
class Rung:
    """What came of a rung.

    Attributes:
        name: what was tried. go: whether it was passed. why: figures, or why it was not.
    """

    name: str
    go: bool
    why: str


def ladder(
    path: Path,
    motions: Sequence[Path] = (),
    robot: Robot | None = None,
    describe: Path | None = None,
) -> Iterator[Rung]:
    """Climb, rung by rung; what needs a rung that was not passed is left out.

    Args:
        motions: the clips to be tracked, as for `references_of`.
        robot: to be simulated, the policy's own unless given.
        describe: what another program's policy does not say of itself.
    """
    import robots
    from mimic.deploy.simulated import Imperfections, SimulationSettings, identity_of

    try:
        player = open_policy(path, describe)
    except UserError as error:
        yield Rung(name="file", go=False, why=str(error))
        return
    contract = player.contract
    observed = f"{len(player.golden_obs)} golden observations, {contract.observation_size} numbers"
    yield Rung(name="file", go=True, why=observed)
    try:
        robot = robot or robots.load(contract.robot.name)
        check_contract(contract, identity_of(robot), path)
        check_observed(contract, odometry=True)
        clips = references_of(player, motions)
    except UserError as error:
        yield Rung(name="contract", go=False, why=str(error))
        return
    frames = sum(clip.num_frames for clip in clips)
    yield Rung(
        name="contract", go=True, why=f"{robot.name}, {contract.num_joints} joints, {frames} frames"
    )
    yield _fake(player, robot, clips)

    def simulated(
        name: str,
        hz: float,
        settings: SimulationSettings,
        flaws: Imperfections | None = None,
        *,
        wire: bool = False,
        estimate: bool = False,
    ) -> Rung:
        return _simulated(
            player, robot, clips, name, hz, settings, flaws, wire=wire, estimate=estimate
        )

    rate = 1.0 / contract.control_dt
    coarse = SimulationSettings(tick=contract.control_dt, physics_hz=4 * rate)
    fine = SimulationSettings(tick=contract.control_dt / 4, physics_hz=4 * rate)
    yield simulated("lock-step, one command a step", rate, coarse)
    yield simulated("four commands a step", 4 * rate, fine)
    yield simulated("through the wire's bytes", 4 * rate, fine, wire=True)
    twice = replace(fine, physics_hz=20 * rate)
    yield simulated(
        f"physics at {20 * rate:g} Hz, Euler", 4 * rate, replace(twice, integrator="euler")
    )
    for ticks in (1, 2, 4):
        late = 1e3 * 2 * ticks * fine.tick
        flaws = Imperfections(state_delay=ticks, command_delay=ticks)
        yield simulated(f"{late:g} ms late, there and back", 4 * rate, fine, flaws)
    noise = Imperfections(
        joint_pos_noise=0.01, joint_vel_noise=0.5, gyro_noise=0.2, tilt_noise=0.02, seed=1
    )
    yield simulated("noise of training", 4 * rate, fine, noise)
    loss = Imperfections(state_loss=0.1, command_loss=0.1, seed=1)
    yield simulated("a tenth of the messages lost", 4 * rate, fine, loss)
    alone = replace(fine, odometry=False)
    try:
        check_observed(contract, odometry=False)
        yield simulated("without odometry", 4 * rate, alone)
    except UserError:
        yield simulated("without odometry, estimated", 4 * rate, alone, estimate=True)
        yield simulated("estimated in that noise", 4 * rate, alone, noise, estimate=True)


def _fake(player: PolicyPlayer, robot: Robot, clips: Sequence[Reference]) -> Rung:
    """A second of tracking on a robot without physics: the loop itself, without a fall.

    Its joints follow every command and its base hangs still, so that a policy which balances asks
    for more and more: how far it goes from its reference says nothing here.
    """
    from mimic.deploy.simulated import identity_of

    identity, dt = identity_of(robot), player.contract.control_dt
    settings = DeploySettings(
        command_hz=1.0 / dt,
        pilot=replace(PILOT, stand_s=0.2, ready_s=0.2),
        thresholds=Thresholds(tracking_time=60.0),
    )
    now = [0.0]
    fake = FakeRobot(identity, lambda: now[0])
    pilot = make_pilot(player, identity, clips, _anchor(player, robot), settings)
    guard = make_guard(player, identity, settings)
    here = Odometry(pos_w=[0.0, 0.0, robot.default_root_height], lin_vel_b=np.zeros(3))
    fake.say(joint_pos=robot.default_joint_pos, odometry=here)
    for _ in range(round(1.5 / dt)):
        state = fake.read()
        step = pilot.tick(now[0], state, trip=guard.trip, events=next_event(pilot.mode))
        verdict = guard.tick(now[0], state, step.request if step else None)
        if verdict.command is not None:
            fake.write(verdict.command)
        if guard.trip or pilot.stop:
            return Rung(name="fake robot", go=False, why=guard.told or pilot.stop)
        now[0] += dt
    tracked = pilot.mode in (Mode.TRACK, Mode.HOLD) and not any(
        c.damps for c in fake.commands[-10:]
    )
    return Rung(
        name="fake robot",
        go=tracked,
        why=f"{len(fake.commands)} commands, {pilot.mode.name.lower()}",
    )


def _anchor(player: PolicyPlayer, robot: Robot) -> Chain:
    return Chain.of(robot, player.contract.anchor_body, player.contract.joint_names)


def _simulated(
    player: PolicyPlayer,
    robot: Robot,
    clips: Sequence[Reference],
    name: str,
    hz: float,
    settings: SimulationSettings,
    flaws: Imperfections | None,
    *,
    wire: bool,
    estimate: bool = False,
) -> Rung:
    """The clips once, from limp to their end."""
    from mimic.deploy.estimation.estimator import StateEstimator, WithEstimate
    from mimic.deploy.lockstep import LockStep
    from mimic.deploy.simulated import SimulatedRobot

    deploy = DeploySettings(command_hz=hz, pilot=PILOT)
    simulated = SimulatedRobot(robot, settings, flaws)
    if wire:
        _through_bytes(simulated)
    identity, dt = simulated.identity, player.contract.control_dt
    steps = LockStep(
        simulated,
        make_guard(player, identity, deploy),
        make_pilot(
            player,
            identity,
            clips,
            _anchor(player, robot),
            deploy,
            rest=Rest.of(player.contract, robot, clips),
        ),
        deploy.every(dt),
    )
    if estimate:
        steps.see = WithEstimate(StateEstimator(robot))
    pilot, errors = steps.pilot, []
    most = sum(clip.num_frames for clip in clips) * dt + PILOT.stand_s + PILOT.ready_s + HOLD + 2.0
    for _ in steps.run(most):
        if pilot.mode == Mode.TRACK:
            order = [player.contract.joint_names.index(each) for each in robot.joint_names]
            wanted = pilot.reference.frame(pilot.frame).joint_pos[order]
            errors.append(np.abs(simulated.body.state.joint_pos - wanted).mean())
        held = pilot.mode == Mode.HOLD and simulated.time - pilot.machine.since >= HOLD
        if steps.guard.trip or held:
            break
    inspector = simulated.inspector
    reached = pilot.mode == Mode.HOLD and not steps.guard.trip
    if inspector.unsafe:
        why = f"{inspector.unsafe} commands outside the limits ({inspector.first})"
    elif reached:
        why = f"joints {np.mean(errors):.3f} rad off, {inspector.seen} commands"
    else:
        why = f"{steps.guard.told or pilot.mode.name.lower()} after {simulated.time:.1f} s"
    return Rung(name=name, go=reached and not inspector.unsafe, why=why)


def _through_bytes(simulated: object) -> None:
    """Let a simulated robot's states and commands pass Unitree's messages, in single precision."""
    from mimic.deploy.messages import RobotCommand, RobotState
    from mimic.deploy.simulated import SimulatedRobot
    from mimic.deploy.wire.codecs import codec_of

    assert isinstance(simulated, SimulatedRobot)
    codec = codec_of(simulated.identity)
    read: Callable[[], RobotState | None] = simulated.read
    write = simulated.write

    def decoded() -> RobotState | None:
        state = read()
        if state is None:
            return None
        return codec.decode_state(codec.encode_state(state), state.time, state.odometry)

    def encoded(command: RobotCommand, number: int | None = None) -> None:
        write(codec.decode_command(codec.encode_command(command)), number)

    simulated.read = decoded  # type: ignore[method-assign]
    simulated.write = encoded  # type: ignore[method-assign]


def table(rungs: Sequence[Rung]) -> list[str]:
    """The ladder for a console."""
    wide = max((len(rung.name) for rung in rungs), default=0)
    return [f"{'go' if rung.go else 'NO-GO':6} {rung.name:{wide}}  {rung.why}" for rung in rungs]
