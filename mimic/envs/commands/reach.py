"""The reach command: a point that one of the hands shall be at, drawn anew at intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from mimic.envs.body_parts import hands
from mimic.envs.commands.base import Command, CommandConfig
from mimic_base.errors import MimicError
from mimic_base.rotations_torch import quat_inv_rotate, yaw_quat

if TYPE_CHECKING:
    from mimic.envs.environment import Environment

NEVER = 2**30
"""Control steps until there is nothing left to reach."""


@dataclass(frozen=True, kw_only=True)
class ReachCommandConfig(CommandConfig):
    """A point for one of the hands, in the robot's heading frame: on the floor below the floating
    base, turned by its heading alone.

    ASE (arXiv 2205.01906, "reach") draws it for the tip of a sword and leaves it where it is in the
    world; here it goes along with the robot, so that a robot without map and compass is told it.
    The ranges are the left hand's; the right one's are their mirror image.
    """

    forward: tuple[float, float] = (0.1, 0.5)
    """Least and largest distance ahead, m."""
    outward: tuple[float, float] = (-0.1, 0.5)
    """Least and largest distance to the side of the hand, m."""
    height: tuple[float, float] = (0.6, 1.3)
    """Lowest and highest place over the floor, m."""
    interval_s: tuple[float, float] = (2.0, 5.0)
    """Shortest and longest time that a point stays, s."""

    def __post_init__(self) -> None:
        for name in ("forward", "outward", "height", "interval_s"):
            least, most = getattr(self, name)
            if not -math.inf < least <= most < math.inf:
                raise MimicError(
                    f"{name} must be two finite numbers, the smaller first, got {(least, most)}"
                )
        if self.interval_s[0] < 0:
            raise MimicError(f"interval_s must not be negative, got {self.interval_s}")

    def build(self, env: Environment) -> ReachCommand:
        return ReachCommand(self, env)


class ReachCommand(Command):
    """See ``ReachCommandConfig``.

    Attributes:
        point: [N, 3] m in the heading frame. side: [N, 1] 1 for the left hand, -1 for the right.
        hands: [2] places of the left and the right hand among all bodies.

    Raises:
        MimicError: a robot whose key bodies have no wrists.
    """

    shared_tensors: ClassVar[frozenset[str]] = frozenset({"hands"})

    def __init__(self, config: ReachCommandConfig, env: Environment) -> None:
        super().__init__(env)
        self.config = config
        named = hands(env.robot)
        if named is None:
            raise MimicError(
                f"task '{env.task_name}': robot '{env.robot.name}' has no hands to reach with "
                "(left_wrist and right_wrist of its human_map among its key bodies)"
            )
        self.names = named
        names = list(env.robot.body_names)
        n, device = env.num_envs, env.device
        self.hands = torch.tensor([names.index(name) for name in named], device=device)
        self.point = torch.zeros(n, 3, device=device)
        self.side = torch.ones(n, 1, device=device)
        self._left_s = torch.zeros(n, device=device)
        self._held = False

    def hold(self, point: torch.Tensor, side: torch.Tensor) -> None:
        """Command these from now on, whatever time passes: points [N, 3] m, sides [N, 1]."""
        self.point, self.side, self._held = point, side.sign(), True

    def resample(self, env_ids: torch.Tensor) -> None:
        if self._held or len(env_ids) == 0:
            return
        c, uniform, count = self.config, self.env.uniform, len(env_ids)
        drawn = torch.cat(
            [uniform((count, 1), *c.forward), uniform((count, 1), *c.outward),
             uniform((count, 1), *c.height)], -1,
        )  # fmt: skip
        side = torch.where(uniform((count, 1), -1.0, 1.0) < 0.0, -1.0, 1.0)
        drawn[:, 1:2] *= side
        # New tensors: what was observed before keeps what it was.
        self.point = self.point.index_copy(0, env_ids, drawn)
        self.side = self.side.index_copy(0, env_ids, side.to(self.side))
        left = uniform((count,), *c.interval_s)
        self._left_s = self._left_s.index_copy(0, env_ids, left)

    def advance(self) -> None:
        self._left_s = self._left_s - self.env.control_dt
        self.resample((self._left_s <= 0.0).nonzero().squeeze(-1))

    def update(self, env_ids: torch.Tensor | None = None) -> None:
        """Nothing of it depends on the state."""

    def metrics(self) -> Mapping[str, torch.Tensor]:
        hand = hand_in_heading(self.env.state.robot, self.hands, self.side)
        return {"error/hand": (hand - self.point).norm(dim=-1)}

    def describe(self) -> dict[str, Any]:
        c = self.config
        return {
            **super().describe(),
            "inputs": {
                "point": "[3] m: place for the hand in the robot's heading frame, whose origin is "
                "on the floor below the floating base",
                "side": "[1] 1 for the left hand, -1 for the right one",
            },
            "ranges": {
                "forward": list(c.forward),
                "outward": list(c.outward),
                "height": list(c.height),
            },
            "hands": list(self.names),
        }

    # imagination ---------------------------------------------------------------------------

    @property
    def moment(self) -> torch.Tensor:
        """[N, 4] point and side."""
        return torch.cat([self.point, self.side], -1)

    def later(self, moment: torch.Tensor) -> torch.Tensor:
        return moment

    def steps_left(self, moment: torch.Tensor) -> torch.Tensor:
        return torch.full((len(moment),), NEVER, device=moment.device)

    def imagined(self, moment: torch.Tensor, robot: Any) -> SimpleNamespace:
        return SimpleNamespace(point=moment[:, :3], side=moment[:, 3:], hands=self.hands)


def hand_in_heading(robot: Any, bodies: torch.Tensor, side: torch.Tensor) -> torch.Tensor:
    """[N, 3] m: the hand that is meant, in the robot's heading frame.

    Args:
        robot: ``env.state.robot``. bodies: [2] of the left and the right hand. side: [N, 1].
    """
    both = robot.body_pos_w[:, bodies]
    hand = torch.where(side > 0.0, both[:, 0], both[:, 1])
    root = robot.root_pos_w
    floor = torch.cat([root[:, :2], torch.zeros_like(root[:, 2:])], -1)
    return quat_inv_rotate(yaw_quat(robot.root_quat_w), hand - floor)
