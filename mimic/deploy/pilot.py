"""The policy's side of a deployment: modes, clips, observations, actions; no clock, no sockets.

`Pilot.tick` is called once in each control step with the time and the newest state, and answers
with a `mimic.deploy.guard.Request`. Its stages can be called one by one, which is how a recorded
session is replayed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic.deploy.guard import UP, Request
from mimic.deploy.kinematics import Chain
from mimic.deploy.messages import Array, Odometry, RobotIdentity, RobotState, array
from mimic.deploy.modes import Mode, ModeMachine
from mimic.deploy.playlist import Playlist
from mimic.deploy.rest import Rest
from mimic.policy.observations import Reference
from mimic.policy.observations import RobotState as Measured
from mimic.policy.player import PolicyPlayer
from mimic_base.errors import MimicError
from mimic_base.rotations import matrix_to_quat, quat_inv_rotate, quat_mul, quat_rotate


class Event(StrEnum):
    """What an operator may ask for; ``clip:2`` and ``queue:2`` besides, with a clip's number."""

    STAND = "stand"
    READY = "ready"
    TRACK = "track"
    STOP = "stop"
    RESET = "reset"
    PASSIVE = "passive"
    NEXT = "next"
    LOOP = "loop"
    HOLD = "hold"


CLIP, QUEUE = "clip:", "queue:"
"""What an event begins with that asks for a clip now, or after what is played."""


@dataclass(frozen=True, kw_only=True)
class PilotSettings:
    """How a robot is brought to the clip and back."""

    stand_s: float = 3.0
    """s of the way to the standing pose."""
    ready_s: float = 2.0
    """s of the way to the clip's first frame."""
    stand_gain: float = 3.0
    """Stiffness and damping of standing, in times of the policy's: nothing balances then."""
    fade_s: float = 0.2
    """s over which the policy takes over from the standing pose and its gains."""
    blend_s: float = 0.4
    """s of the way from one clip to the next."""
    settle_s: float = 0.8
    """s of the way into the pose that is held, where a robot cannot stay in the last frame."""
    gains: float = 1.0
    """Share of all gains, 0 to 1, for a robot that hangs in a gantry."""
    loop: int = 1
    """How often the clips are played; 0: until somebody stops."""

    def __post_init__(self) -> None:
        for name in ("stand_s", "ready_s", "stand_gain", "fade_s", "blend_s", "settle_s"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise MimicError(f"{name} must be positive (found {value})")
        if not 0.0 <= self.gains <= 1.0:
            raise MimicError(f"gains is a share from 0 to 1 (found {self.gains})")
        if self.loop < 0:
            raise MimicError(f"loop must not be negative (found {self.loop})")


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """What happened in a control step.

    Attributes:
        request: for the guard.
        observation: [D] of the network, [0] where the policy did not run. action: [A], likewise.
    """

    request: Request
    observation: NDArray[Any]
    action: Array
    events: tuple[str, ...] = field(default=())


class Pilot:
    """Brings a robot from where it lies to the clip, tracks it, holds its end.

    Attributes:
        machine: the mode. playlist: what is tracked and what comes after it.
        stop: why it stopped; empty while it did not.
    """

    def __init__(
        self,
        player: PolicyPlayer,
        identity: RobotIdentity,
        clips: Sequence[Reference],
        anchor: Chain,
        settings: PilotSettings | None = None,
        *,
        library: Sequence[Reference] = (),
        rest: Rest | None = None,
        playlist: Playlist | None = None,
    ) -> None:
        """Make a pilot.

        Args:
            clips: at the policy's rate, in its order.
            anchor: from the base to the policy's anchor body, joints in the contract's order.
            library: further clips, played when asked for, numbered after ``clips``.
            rest: poses that are held at the end; None: the last frame, whatever it is.
            playlist: in place of one of the clips.
        """
        contract = player.contract
        self.player, self.identity, self.settings = player, identity, settings or PilotSettings()
        self.anchor = anchor
        # Joints of the robot in the contract's order, and the other way round.
        self._to_policy = [identity.joint_names.index(name) for name in contract.joint_names]
        self._to_robot = [contract.joint_names.index(name) for name in identity.joint_names]
        self._root = contract.body_names.index(contract.root_body)
        self._anchor = contract.body_names.index(contract.anchor_body)
        self.playlist = playlist or Playlist(
            clips,
            body=self._anchor,
            blend=max(1, round(self.settings.blend_s / contract.control_dt)),
            settle=max(1, round(self.settings.settle_s / contract.control_dt)),
            control_dt=contract.control_dt,
            loop=self.settings.loop,
            library=library,
            rest=rest,
        )
        self.machine = ModeMachine()
        self.stop = ""
        self._number = 0
        self._reset = False
        self._action = np.zeros(contract.num_joints)
        self._kp = np.asarray(contract.kp)[self._to_robot] * self.settings.gains
        self._kd = np.asarray(contract.kd)[self._to_robot] * self.settings.gains
        self._standing = self._in_limits(np.asarray(contract.default_joint_pos)[self._to_robot])
        self._from = self._standing
        self._target = self._standing
        self._gain = 1.0
        self._taken = 0.0
        """s since the policy began to take over."""

    @property
    def mode(self) -> Mode:
        return self.machine.mode

    @property
    def reference(self) -> Reference:
        """What is tracked, where the robot stood when it began."""
        return self.playlist.reference

    @property
    def frame(self) -> int:
        """Frame of the reference that the robot should be in."""
        return self.playlist.frame

    @frame.setter
    def frame(self, frame: int) -> None:
        self.playlist.frame = frame

    # one step ------------------------------------------------------------------------------

    def tick(
        self,
        now: float,
        state: RobotState | None,
        *,
        trip: str = "",
        events: Sequence[str] = (),
        overruns: int = 0,
    ) -> Step | None:
        """One control step; None while nothing was heard of the robot.

        Args:
            now: s. trip: why the guard damps, empty while it does not.
            events: what the operator asked for since the last step.
            overruns: deadlines missed lately.
        """
        if state is None:
            return None
        self.change_mode(now, state, trip, events)
        observation: NDArray[Any] = np.zeros(0)
        action = np.zeros(0)
        if self.mode in (Mode.TRACK, Mode.HOLD):
            try:
                observation = self.observe(state)
                action = self.act(observation)
            except MimicError as error:
                self.fail(now, str(error))
        return Step(
            request=self.request(now, action, overruns),
            observation=np.asarray(observation),
            action=np.asarray(action),
            events=tuple(events),
        )

    def change_mode(self, now: float, state: RobotState, trip: str, events: Sequence[str]) -> None:
        """What the time, the guard and the operator make of the mode."""
        self._reset = False
        machine = self.machine
        machine.go(Mode.PASSIVE, now) if self.mode == Mode.DISCONNECTED else None
        for event in events:
            if event == Event.STOP:
                self.fail(now, "the operator")
            elif event == Event.RESET and machine.reset(now):
                self.stop, self._reset = "", True
            elif event == Event.STAND and machine.go(Mode.STAND, now):
                self._latch(state)
            elif event == Event.READY and self._stood(now) and machine.go(Mode.READY, now):
                self._from = self._target
                self._place(state)
            elif event == Event.TRACK and self.mode == Mode.HOLD and machine.go(Mode.TRACK, now):
                self.playlist.switch(0)
            elif event == Event.TRACK and self._may_track(now) and machine.go(Mode.TRACK, now):
                self._place(state)
                self._start()
            elif event == Event.PASSIVE:
                machine.go(Mode.PASSIVE, now)
            else:
                self._choose(now, event)
        if trip and not self._reset:
            self.fail(now, trip)
        if self.mode == Mode.TRACK:
            self.playlist.listen()
        if self.mode == Mode.TRACK and self.playlist.ended:
            self._end(now)

    def observe(self, state: RobotState) -> NDArray[np.float32]:
        """The network's observation [D] of a state."""
        return self.player.observe(self.measured(state), self.reference, self.frame, self._action)

    def act(self, observation: NDArray[Any]) -> Array:
        """The network's action [A]; the next observation remembers it."""
        self._action = np.asarray(self.player.act(observation), np.float64)
        return self._action

    def remember(self, action: Array) -> None:
        """Let the next observation remember this action [A], whatever the network gave."""
        self._action = np.asarray(action, np.float64)

    def request(self, now: float, action: Array, overruns: int = 0) -> Request:
        """What the guard is asked for, after `change_mode`, and with an action in track and hold;
        the reference moves on to its next frame."""
        since, settings = now - self.machine.since, self.settings
        up, reference = UP, self._target
        if self.mode == Mode.STAND:
            share = _smooth(since / settings.stand_s)
            self._target = self._from + share * (self._standing - self._from)
            self._gain, reference = settings.stand_gain, self._target
        elif self.mode == Mode.READY:
            share = _smooth(since / settings.ready_s)
            first = self._in_limits(self.reference.joint_pos[0][self._to_robot])
            self._target = self._from + share * (first - self._from)
            self._gain, reference = settings.stand_gain, self._target
        elif self.mode in (Mode.TRACK, Mode.HOLD) and len(action):
            wanted = self.player.joint_targets(action)[self._to_robot]
            share = 1.0
            if self._taken < settings.fade_s:
                share = _smooth(self._taken / settings.fade_s)
                self._taken += self.player.contract.control_dt
            self._target = wanted if share >= 1.0 else self._held + share * (wanted - self._held)
            self._gain = settings.stand_gain + share * (1.0 - settings.stand_gain)
            now_frame = self.reference.frame(self.frame)
            reference = now_frame.joint_pos[self._to_robot]
            up = quat_inv_rotate(now_frame.body_quat_w[self._root], UP)
            self.playlist.advance()
        self._number += 1
        return Request(
            number=self._number,
            mode=self.mode,
            joint_pos=self._target,
            kp=self._gain * self._kp,
            kd=self._gain * self._kd,
            up_b=up,
            reference=reference,
            overruns=overruns,
            stop=self.stop,
            reset=self._reset,
        )

    def measured(self, state: RobotState) -> Measured:
        """A robot's state as the policy's observations read it."""
        joints = array(state.joint_pos)[self._to_policy]
        quat = array(state.imu_quat_w)
        offset, turn = self.anchor.pose(joints)
        known: Odometry | None = state.odometry
        return Measured(
            joint_pos=joints,
            joint_vel=array(state.joint_vel)[self._to_policy],
            root_ang_vel_b=state.gyro,
            anchor_quat_w=quat_mul(quat, matrix_to_quat(turn)),
            anchor_pos_w=None if known is None else known.pos_w + quat_rotate(quat, offset),
            root_lin_vel_b=None if known is None else known.lin_vel_b,
            root_pos_w=None if known is None else known.pos_w,
            root_quat_w=quat,
        )

    # parts ---------------------------------------------------------------------------------

    def fail(self, now: float, why: str) -> None:
        """Damp from now on."""
        self.machine.go(Mode.DAMPING, now)
        self.stop = self.stop or why

    def _latch(self, state: RobotState) -> None:
        self._from = self._target = self._in_limits(array(state.joint_pos))

    def _in_limits(self, joint_pos: Array) -> Array:
        return np.clip(joint_pos, self.identity.joint_lower, self.identity.joint_upper)

    def _stood(self, now: float) -> bool:
        return self.mode == Mode.STAND and now - self.machine.since >= self.settings.stand_s

    def _may_track(self, now: float) -> bool:
        return self.mode == Mode.READY and now - self.machine.since >= self.settings.ready_s

    def _place(self, state: RobotState) -> None:
        """Put the clip where the robot is and towards where it looks."""
        measured = self.measured(state)
        pos = None if measured.anchor_pos_w is None else array(measured.anchor_pos_w)
        self.playlist.place(pos, array(measured.anchor_quat_w))

    def _start(self) -> None:
        self.playlist.start()
        self._taken = 0.0
        self._held = self._target
        self._action = np.zeros(len(self._action))
        self.player.restart()

    def _end(self, now: float) -> None:
        """What is played is over: what comes after it, or hold."""
        if not self.playlist.follow():
            self.playlist.settle()
            self.machine.go(Mode.HOLD, now)

    def _choose(self, now: float, event: str) -> None:
        """What is asked of the clips, while the policy runs; anything else is nothing."""
        playlist = self.playlist
        if self.mode not in (Mode.TRACK, Mode.HOLD):
            return
        if event == Event.HOLD and self.mode == Mode.TRACK:
            playlist.settle()
            self.machine.go(Mode.HOLD, now)
        elif event == Event.LOOP:
            playlist.looping = not playlist.looping
        elif event == Event.NEXT:
            playlist.next()
            self.machine.go(Mode.TRACK, now)
        elif event.startswith((CLIP, QUEUE)):
            number = event.partition(":")[2]
            if not (number.isdecimal() and len(number) < 6 and playlist.has(int(number))):
                return
            if event.startswith(QUEUE) and self.mode == Mode.TRACK:
                playlist.queue(int(number))
            else:
                playlist.switch(int(number))
                self.machine.go(Mode.TRACK, now)


def _smooth(share: float) -> float:
    """3 s^2 - 2 s^3 of a share that is kept within 0 and 1."""
    share = min(1.0, max(0.0, share))
    return share * share * (3.0 - 2.0 * share)


def next_event(mode: Mode) -> tuple[str, ...]:
    """What takes a robot further on its way to the clip."""
    after = {Mode.PASSIVE: Event.STAND, Mode.STAND: Event.READY, Mode.READY: Event.TRACK}
    return (after[mode],) if mode in after else ()
