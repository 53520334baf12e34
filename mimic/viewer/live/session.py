"""A policy in the environment of its task, step by step in real time, as users command it."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch

from mimic.envs.environment import TaskConfig
from mimic.policy.player import PolicyPlayer
from mimic.viewer.live.controls import ReachControl, controls_of, figures_of, told
from mimic.viewer.live.keys import Event, Gamepad
from mimic.viewer.task_rollout import playing_env
from robots import Robot

FOREVER_S = 1e6
"""s after which an episode would be over by itself."""
LONGEST_LAG_S = 0.25
"""s behind the clock from which on what is late is no longer caught up."""


@dataclass
class Shown:
    """What a page shows of a moment.

    Attributes:
        place, quat, joints: [3] m, [4] and [J] rad of the robot. told: what is commanded, a line.
        figures: what the commands measure. target: [3] m in the world, where there is one.
        pace: seconds of the robot's time in a second.
    """

    place: list[float]
    quat: list[float]
    joints: list[float]
    told: str = ""
    time_s: float = 0.0
    falls: int = 0
    figures: dict[str, float] = field(default_factory=dict)
    target: list[float] | None = None
    pace: float = 1.0


class LivePlay:
    """One robot that does what is asked of it until somebody ends it.

    Events and gamepads may be told from any thread; all else is for one.

    Raises:
        MimicError: the policy does not fit the task as it is now.
    """

    def __init__(
        self, player: PolicyPlayer, task: TaskConfig, robot: Robot, *, seed: int = 0
    ) -> None:
        long = replace(task, episode_length_s=FOREVER_S)
        self.player = player
        self.env = playing_env(player, long, robot, seed=seed)
        self._obs = self.env.reset()[0]
        self.controls = controls_of(self.env)
        self.pad = Gamepad()
        self.ended = False
        self.falls = 0
        self.time_s = 0.0
        self.pace = 1.0
        self.figures: dict[str, float] = {}
        self._events: queue.SimpleQueue[Event | str] = queue.SimpleQueue()
        self._set: queue.SimpleQueue[tuple[int, str, float]] = queue.SimpleQueue()

    # from any thread -----------------------------------------------------------------------

    def say(self, event: Event) -> None:
        """Ask for something, see ``mimic.viewer.live.keys``."""
        self._events.put(event)

    def say_gamepad(self, words: str) -> None:
        """Tell what a browser says of its gamepad."""
        self._events.put(words)

    def set(self, control: int, slider: str, value: float) -> None:
        """Set a slider of a control."""
        self._set.put((control, slider, value))

    # the loop ------------------------------------------------------------------------------

    def _hear(self, event: Event) -> None:
        name, amount = event
        self.ended = self.ended or name == "end"
        if name == "restart":
            self._obs = self.env.reset()[0]
            self._restarted()
        for control in self.controls:
            control.hear(name, amount)

    def _restarted(self) -> None:
        self.time_s = 0.0
        for control in self.controls:
            control.restart(self.env)

    def step(self) -> None:
        """A control step as commanded by now."""
        while not self._set.empty():
            number, slider, value = self._set.get()
            self.controls[number].sliders[slider].set(value)
        while not self._events.empty():
            event = self._events.get()
            for each in self.pad.take(event) if isinstance(event, str) else [event]:
                self._hear(each)
        for control in self.controls:
            if self.pad.active:
                control.stick(self.pad, self.env.control_dt)
            control.apply(self.env)
        self.pad.settle()
        action = torch.as_tensor(self.player.act(self._obs["actor"].cpu().numpy()))
        self._obs, _, dones, extras = self.env.step(action)
        self.figures = figures_of(extras)
        self.time_s += self.env.control_dt
        if bool(dones[0]):
            self.falls += 1
            self._restarted()

    def shown(self) -> Shown:
        """The present moment."""
        robot = self.env.state.robot
        reach = next((each for each in self.controls if isinstance(each, ReachControl)), None)
        return Shown(
            place=robot.root_pos_w[0].tolist(),
            quat=robot.root_quat_w[0].tolist(),
            joints=robot.joint_pos[0].tolist(),
            told=told(self.controls),
            time_s=self.time_s,
            falls=self.falls,
            figures=dict(self.figures),
            target=None if reach is None else reach.point_w(self.env),
            pace=self.pace,
        )

    def told(self) -> str:
        """What was commanded last, for the console."""
        return f"commanded last: {told(self.controls) or 'nothing'}; falls: {self.falls}"

    def run(self, each_step: Callable[[LivePlay], None], seconds: float = 0.0) -> None:
        """Play in real time until it is ended, or for so long (s of the robot's time; 0: for ever).

        Args:
            each_step: called after every step.
        """
        dt = self.env.control_dt
        began = due = time.monotonic()
        steps = 0
        with torch.no_grad():
            while not self.ended and (not seconds or steps * dt < seconds):
                self.step()
                steps += 1
                each_step(self)
                due += dt
                now = time.monotonic()
                if now - due > LONGEST_LAG_S:
                    due = now
                time.sleep(max(0.0, due - now))
                if steps % round(1.0 / dt) == 0:
                    now = time.monotonic()
                    self.pace = round(1.0 / dt) * dt / max(now - began, 1e-9)
                    began = now
