"""What can be commanded of a policy while it plays, a control for each kind of command."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch

from mimic.envs.commands import HeadingCommand, ReachCommand, SkillCommand
from mimic.envs.environment import Environment
from mimic.viewer.live.keys import Gamepad
from mimic_base.rotations_torch import quat_rotate, yaw_quat

TURN = 1.0
"""Fastest turn that can be asked for, rad/s."""
PLACES_S = 0.4
"""How fast a stick moves a point, m/s."""


@dataclass
class Slider:
    """A number that can be set.

    Attributes:
        low, high: its range. step: what a key changes it by.
    """

    name: str
    low: float
    high: float
    step: float
    value: float

    def set(self, value: float) -> None:
        """Take a value, within the range."""
        if math.isfinite(value):
            self.value = min(self.high, max(self.low, value))


class Control(ABC):
    """Turns what a user asks for into one command of the only environment.

    Attributes:
        sliders: by what the events call them.
    """

    sliders: dict[str, Slider]

    def hear(self, name: str, amount: float) -> None:
        """Take an event, see ``mimic.viewer.live.keys``."""
        slider = self.sliders.get(name)
        if slider is not None:
            slider.set(slider.value + amount * slider.step)

    def stick(self, pad: Gamepad, seconds: float) -> None:  # noqa: B027
        """Take where the sticks are, for a control step of ``seconds``."""

    def restart(self, env: Environment) -> None:  # noqa: B027
        """A new episode has begun."""

    @abstractmethod
    def apply(self, env: Environment) -> None:
        """Command what is asked for, for a control step."""


class HeadingControl(Control):
    """Speeds along and across the way that is kept, which turns."""

    def __init__(self, command: HeadingCommand, env: Environment) -> None:
        self.command = command
        fastest = max(command.config.speed)
        self.sliders = {
            "forward": Slider("forward (m/s)", -fastest, fastest, 0.1, 0.0),
            "left": Slider("left (m/s)", -fastest, fastest, 0.1, 0.0),
            "turn": Slider("turn (rad/s)", -TURN, TURN, 0.2, 0.0),
        }
        self._fastest = fastest
        self.restart(env)

    def restart(self, env: Environment) -> None:
        quat = yaw_quat(env.state.robot.root_quat_w)[0]
        self.yaw = 2.0 * math.atan2(float(quat[3]), float(quat[0]))

    def hear(self, name: str, amount: float) -> None:
        if name == "still":
            for slider in self.sliders.values():
                slider.set(0.0)
        super().hear("forward" if name == "up" else name, amount)

    def stick(self, pad: Gamepad, seconds: float) -> None:
        for name in ("forward", "left", "turn"):
            slider = self.sliders[name]
            slider.set(slider.high * getattr(pad, name))

    def apply(self, env: Environment) -> None:
        forward, left = self.sliders["forward"].value, self.sliders["left"].value
        self.yaw += self.sliders["turn"].value * env.control_dt
        speed = math.hypot(forward, left)
        angle = self.yaw + (math.atan2(left, forward) if speed else 0.0)
        device = env.device
        direction = torch.tensor([[math.cos(angle), math.sin(angle)]], device=device)
        # Faster than it was trained to go along a diagonal is not asked for.
        self.command.hold(direction, torch.tensor([[min(speed, self._fastest)]], device=device))


class ReachControl(Control):
    """The point and the hand that shall be there."""

    def __init__(self, command: ReachCommand) -> None:
        self.command = command
        c = command.config
        point = command.point[0].tolist()
        wide = max(map(abs, c.outward))
        self.sliders = {
            "forward": Slider("ahead (m)", *c.forward, 0.05, point[0]),
            "left": Slider("to the left (m)", -wide, wide, 0.05, point[1]),
            "up": Slider("height (m)", *c.height, 0.05, point[2]),
        }
        self.side = float(command.side[0])

    def hear(self, name: str, amount: float) -> None:
        if name == "hand":
            self.side = -self.side
        super().hear(name, amount)

    def stick(self, pad: Gamepad, seconds: float) -> None:
        for name, way in (("forward", pad.forward), ("left", pad.left), ("up", pad.turn)):
            slider = self.sliders[name]
            slider.set(slider.value + way * PLACES_S * seconds)

    def apply(self, env: Environment) -> None:
        point = [self.sliders[name].value for name in ("forward", "left", "up")]
        device = env.device
        self.command.hold(
            torch.tensor([point], device=device), torch.tensor([[self.side]], device=device)
        )

    def point_w(self, env: Environment) -> list[float]:
        """[3] the point in the world, m."""
        robot = env.state.robot
        there = quat_rotate(yaw_quat(robot.root_quat_w), self.command.point)[0]
        floor = robot.root_pos_w[0] * there.new_tensor([1.0, 1.0, 0.0])
        return (there + floor).tolist()


class SkillControl(Control):
    """One skill until another one is asked for."""

    def __init__(self, command: SkillCommand, env: Environment) -> None:
        self.command = command
        self.sliders = {}
        self.drawn = 0
        self._draw(env)

    def _draw(self, env: Environment) -> None:
        size = self.command.config.size
        self._z = torch.randn(1, size, generator=env.generator, device=env.device)
        self._wanted = False
        self.drawn += 1

    def hear(self, name: str, amount: float) -> None:
        self._wanted = self._wanted or name == "skill"

    def apply(self, env: Environment) -> None:
        if self._wanted:
            self._draw(env)
        self.command.hold(self._z)


def controls_of(env: Environment) -> list[Control]:
    """A control for each command of an environment that can be steered."""
    found: list[Control] = []
    for command in env.commands.values():
        match command:
            case HeadingCommand():
                found.append(HeadingControl(command, env))
            case ReachCommand():
                found.append(ReachControl(command))
            case SkillCommand():
                found.append(SkillControl(command, env))
            case _:
                pass
    return found


def told(controls: list[Control]) -> str:
    """What is commanded, in a line."""
    parts = []
    for each in controls:
        parts += [f"{slider.name} {slider.value:.2f}" for slider in each.sliders.values()]
        if isinstance(each, ReachControl):
            parts.append("left hand" if each.side > 0 else "right hand")
        if isinstance(each, SkillControl):
            parts.append(f"skill {each.drawn}")
    return ", ".join(parts)


def figures_of(extras: dict[str, Any]) -> dict[str, float]:
    """What the commands measure of the only environment."""
    return {
        name: float(values[0])
        for name, values in extras["figures"].items()
        if not name.startswith(("reward/", "termination/"))
    }
