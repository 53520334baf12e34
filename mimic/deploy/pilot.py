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
from mimic.deploy.messages import Array, RobotIdentity, RobotState, array
from mimic.deploy.modes import Mode, ModeMachine
from mimic.deploy.playlist import Playlist
from mimic.deploy.rest import Rest
from mimic.deploy.skill import Skill, Stander
from mimic.deploy.sticks import Steering
from mimic.policy.observations import Reference
from mimic.policy.observations import RobotState as Measured
from mimic.policy.player import PolicyPlayer
from mimic_base.errors import MimicError
from mimic_base.rotations import quat_inv_rotate


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
        stander: Stander | None = None,
        steering: Steering | None = None,
    ) -> None:
        """Make a pilot.

        Args:
            clips: at the policy's rate, in its order.
            anchor: from the base to the policy's anchor body, joints in the contract's order.
            library: further clips, played when asked for, numbered after ``clips``.
            rest: poses that are held at the end; None: the last frame, whatever it is.
            playlist: in place of one of the clips.
            stander: holds in the policy's place.
            steering: asks the policy for a velocity in every step that it observes.
        """
        contract = player.contract
        self.player, self.identity, self.settings = player, identity, settings or PilotSettings()
        self.anchor = anchor
        self.stander, self.steering = stander, steering
        self._tracker = Skill(player, identity, anchor, self.settings.gains)
        self.skill = self._tracker
        self.playlist = playlist or Playlist(
            clips,
            body=self._tracker.body,
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
        standing = np.asarray(contract.default_joint_pos)[self._tracker.to_robot]
        self._standing = self._in_limits(standing)
        self._from = self._standing
        self._target = self._standing
        self._gain, self._from_gain = 1.0, 1.0
        self._taken = 0.0
        """s since the policy began to take over."""
        self._left: Skill | None = None
        """Whose gains are left while the policy takes over."""

    @property
    def mode(self) -> Mode:
        return self.machine.mode

    @property
    def reference(self) -> Reference:
        """What is tracked, where the robot stood when it began."""
        return self._playing.reference

    @property
    def frame(self) -> int:
        """Frame of the reference that the robot should be in."""
        return self._playing.frame

    @frame.setter
    def frame(self, frame: int) -> None:
        self._playing.frame = frame

    @property
    def reference_pose(self) -> Array:
        """[7 + J] of the present frame: the base's place (m), its orientation (wxyz), and the
        joints (rad) in the robot's order."""
        frame, skill = self.reference.frame(self.frame), self.skill
        parts = (
            frame.body_pos_w[skill.root],
            frame.body_quat_w[skill.root],
            frame.joint_pos[skill.to_robot],
        )
        return np.concatenate(parts)

    @property
    def observation_size(self) -> int:
        """Numbers that a network of this deployment observes at most."""
        skills = [self._tracker] + ([self.stander.skill] if self.stander is not None else [])
        return max(skill.contract.observation_size for skill in skills)

    @property
    def _playing(self) -> Playlist:
        stands = self.stander is not None and self.skill is self.stander.skill
        return self.stander.playlist if self.stander is not None and stands else self.playlist

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
                self.skill = self._tracker
                self._latch(state)
            elif event == Event.READY and self._stood(now) and machine.go(Mode.READY, now):
                self._from = self._target
                self._place(state)
            elif event == Event.TRACK and self.mode == Mode.HOLD and machine.go(Mode.TRACK, now):
                self._take_back(state)
                self.playlist.switch(0)
            elif event == Event.TRACK and self._may_track(now) and machine.go(Mode.TRACK, now):
                self._place(state)
                self._start()
            elif event == Event.PASSIVE:
                machine.go(Mode.PASSIVE, now)
            else:
                self._choose(now, event, state)
        if trip and not self._reset:
            self.fail(now, trip)
        if self.mode == Mode.TRACK:
            self.playlist.listen()
        if self.mode == Mode.TRACK and self.playlist.ended:
            self._end(now, state)

    def observe(self, state: RobotState) -> NDArray[np.float32]:
        """The network's observation [D] of a state."""
        if self.steering is not None:
            self.steering(self.player, state)
        return self.skill.observe(state, self.reference, self.frame)

    def act(self, observation: NDArray[Any]) -> Array:
        """The network's action [A]; the next observation remembers it."""
        return self.skill.act(observation)

    def remember(self, action: Array) -> None:
        """Let the next observation remember this action [A], whatever the network gave."""
        self.skill.last = np.asarray(action, np.float64)

    def request(self, now: float, action: Array, overruns: int = 0) -> Request:
        """What the guard is asked for, after `change_mode`, and with an action in track and hold;
        the reference moves on to its next frame."""
        since, settings, skill = now - self.machine.since, self.settings, self.skill
        kp, kd = skill.kp, skill.kd
        up, reference = UP, self._target
        if self.mode == Mode.STAND:
            share = _smooth(since / settings.stand_s)
            self._target = self._from + share * (self._standing - self._from)
            self._gain, reference = settings.stand_gain, self._target
        elif self.mode == Mode.READY:
            share = _smooth(since / settings.ready_s)
            first = self._in_limits(self.reference.joint_pos[0][skill.to_robot])
            self._target = self._from + share * (first - self._from)
            self._gain, reference = settings.stand_gain, self._target
        elif self.mode in (Mode.TRACK, Mode.HOLD) and len(action):
            wanted = skill.targets(action)
            share = 1.0
            if self._taken < settings.fade_s:
                share = _smooth(self._taken / settings.fade_s)
                self._taken += self.player.contract.control_dt
            self._target = wanted if share >= 1.0 else self._held + share * (wanted - self._held)
            self._gain = self._from_gain + share * (1.0 - self._from_gain)
            if self._left is not None:
                kp = self._left.kp + share * (kp - self._left.kp)
                kd = self._left.kd + share * (kd - self._left.kd)
                self._left = self._left if share < 1.0 else None
            now_frame = self.reference.frame(self.frame)
            reference = now_frame.joint_pos[skill.to_robot]
            up = quat_inv_rotate(now_frame.body_quat_w[skill.root], UP)
            self._playing.advance()
        self._number += 1
        return Request(
            number=self._number,
            mode=self.mode,
            joint_pos=self._target,
            kp=self._gain * kp,
            kd=self._gain * kd,
            up_b=up,
            reference=reference,
            overruns=overruns,
            stop=self.stop,
            reset=self._reset,
        )

    def measured(self, state: RobotState) -> Measured:
        """A robot's state as the policy's observations read it."""
        return self.skill.measured(state)

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
        self._taken, self._from_gain = 0.0, self.settings.stand_gain
        self._held = self._target
        self.skill.restart()

    def _hand_over(self, skill: Skill) -> None:
        """Another policy takes over, within `PilotSettings.fade_s`, from what is commanded now."""
        self._left, self.skill = self.skill, skill
        self._taken, self._from_gain, self._held = 0.0, 1.0, self._target
        skill.restart(self._target)

    def _hold(self, now: float, state: RobotState) -> None:
        """From the present frame into a pose in which the robot can stay."""
        self.machine.go(Mode.HOLD, now)
        if self.stander is None:
            self.playlist.settle()
            return
        self.stander.take_over(self._tracker, self.reference, self.frame, state)
        self.playlist.settle()
        self._hand_over(self.stander.skill)

    def _take_back(self, state: RobotState) -> None:
        """Let the tracker go on from the pose in which a stander holds."""
        if self.stander is not None and self.skill is self.stander.skill:
            self.playlist.reference = self.stander.give_back(self._tracker, state)
            self.playlist.frame = 0
            self._hand_over(self._tracker)

    def _end(self, now: float, state: RobotState) -> None:
        """What is played is over: what comes after it, or hold."""
        if not self.playlist.follow():
            self._hold(now, state)

    def _choose(self, now: float, event: str, state: RobotState) -> None:
        """What is asked of the clips, while the policy runs; anything else is nothing."""
        playlist = self.playlist
        if self.mode not in (Mode.TRACK, Mode.HOLD):
            return
        if event == Event.HOLD and self.mode == Mode.TRACK:
            self._hold(now, state)
        elif event == Event.LOOP:
            playlist.looping = not playlist.looping
        elif event == Event.NEXT:
            self._take_back(state)
            playlist.next()
            self.machine.go(Mode.TRACK, now)
        elif event.startswith((CLIP, QUEUE)):
            number = event.partition(":")[2]
            if not (number.isdecimal() and len(number) < 6 and playlist.has(int(number))):
                return
            if event.startswith(QUEUE) and self.mode == Mode.TRACK:
                playlist.queue(int(number))
            else:
                self._take_back(state)
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
