"""The interface command: through which part of the reference each environment is commanded.

A deployed policy is commanded by whatever its user has: a whole clip, a headset and two
controllers, a path, a joystick. An interface says which parts of the reference are shown
(``PARTS``); the others read as if the robot stood in its default pose, and the policy sees the mask
too, so that one network serves all of them (as HOVER, arXiv 2410.21229). In training the interface
is drawn with every episode; evaluations, players and policy files have one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from mimic.envs.body_parts import hands, leg_joints
from mimic.envs.commands.base import Command, CommandConfig
from mimic.envs.mdp.interfaces import PARTS
from mimic_base.errors import MimicError

if TYPE_CHECKING:
    from mimic.envs.environment import Environment

NEVER = 2**30
"""Control steps until an interface is finished."""


@dataclass(frozen=True, kw_only=True)
class Interface:
    """What a policy is shown of its reference."""

    shows: tuple[str, ...]
    """Parts of the reference that are shown, see ``mimic.envs.mdp.interfaces.PARTS``."""
    share: float = 1.0
    """Weight with which training draws it."""

    def __post_init__(self) -> None:
        unknown = [name for name in self.shows if name not in PARTS]
        if unknown:
            raise MimicError(
                f"an interface shows '{unknown[0]}', expected some of {', '.join(PARTS)}"
            )
        if not 0 <= self.share < float("inf"):
            raise MimicError(f"an interface's share must not be negative, got {self.share}")

    @property
    def mask(self) -> list[float]:
        """[P] 1 for each part that is shown, else 0."""
        return [float(name in self.shows) for name in PARTS]


def published() -> dict[str, Interface]:
    """The interfaces of publications, as far as a robot without map and compass can be told them.

    ``three-point`` is OmniH2O's (arXiv 2406.08858), ``pelvis-path`` PHUMA's (arXiv 2510.26236),
    ``exbody`` ExBody's (arXiv 2402.16796); ``velocity`` is what a joystick says.
    """
    return {
        "full": Interface(shows=PARTS),
        "three-point": Interface(shows=("points",)),
        "pelvis-path": Interface(shows=("velocity", "posture", "later")),
        "exbody": Interface(shows=("upper-body", "velocity", "posture")),
        "velocity": Interface(shows=("velocity",)),
    }


@dataclass(frozen=True, kw_only=True)
class InterfaceCommandConfig(CommandConfig):
    """Through which interface the reference is commanded."""

    interfaces: Mapping[str, Interface] = field(default_factory=published)
    """Interfaces by name. The first is the one that evaluations and policy files have unless
    another is asked for."""
    fixed: str = ""
    """The only interface that is commanded; drawn with every episode where it is empty."""

    def __post_init__(self) -> None:
        if not self.interfaces:
            raise MimicError("an interface command needs an interface")
        if not self.fixed and not any(each.share > 0 for each in self.interfaces.values()):
            raise MimicError("no interface is ever drawn: the share of each is 0")
        if self.fixed and self.fixed not in self.interfaces:
            raise MimicError(unknown_interface(self.fixed, self.interfaces))

    def build(self, env: Environment) -> InterfaceCommand:
        return InterfaceCommand(self, env)

    def quiet(self, start_noise: float = 0.0) -> InterfaceCommandConfig:
        return replace(self, fixed=self.fixed or next(iter(self.interfaces)))


def unknown_interface(name: str, known: Mapping[str, Any]) -> str:
    """The refusal of an interface that there is not."""
    return f"unknown interface '{name}'; known: {', '.join(known)}"


class InterfaceCommand(Command):
    """Which parts of its reference each environment is shown.

    Attributes:
        index: [N] number of the interface in each environment.
        mask: [N, P] 1 for each part of the reference that is shown, else 0.
        legs: [J] 1 for the joints of the legs, 0 for the upper body's.
        points: [3] places of head (the anchor), left and right hand among the key bodies; a robot
            without wrists has its anchor for them.
    """

    shared_tensors: ClassVar[frozenset[str]] = frozenset({"legs", "points"})

    def __init__(self, config: InterfaceCommandConfig, env: Environment) -> None:
        super().__init__(env)
        self.config = config
        self.names = tuple(config.interfaces)
        robot, device = env.robot, env.device
        each = config.interfaces.values()
        self._masks = torch.tensor([one.mask for one in each], device=device)
        shares = [float(name == config.fixed) for name in self.names]
        if not config.fixed:
            shares = [one.share for one in each]
        self._shares = torch.tensor(shares, device=device)
        self.legs = torch.from_numpy(leg_joints(robot)).to(device).float()
        named = (robot.anchor_body, *(hands(robot) or (robot.anchor_body,) * 2))
        places = [robot.key_bodies.index(name) for name in named]
        self.points = torch.tensor(places, device=device)
        self.index = torch.zeros(env.num_envs, dtype=torch.long, device=device)
        self.mask = self._masks[self.index]

    def resample(self, env_ids: torch.Tensor) -> None:
        self.index[env_ids] = torch.multinomial(
            self._shares, len(env_ids), replacement=True, generator=self.env.generator
        )
        self.mask = self._masks[self.index]

    def update(self, env_ids: torch.Tensor | None = None) -> None:
        """Nothing of it depends on the state."""

    def statistics(self) -> Mapping[str, torch.Tensor]:
        return {
            f"interface/{name}": (self.index == number).float().mean()
            for number, name in enumerate(self.names)
        }

    def describe(self) -> dict[str, Any]:
        chosen = self.config.quiet().fixed
        return {
            **super().describe(),
            "interface": chosen,
            "parts": list(PARTS),
            "interfaces": {name: one.mask for name, one in self.config.interfaces.items()},
            # What observations read of it wherever the policy is played.
            "constants": {
                "mask": self.config.interfaces[chosen].mask,
                "legs": self.legs.tolist(),
                "points": self.points.tolist(),
            },
        }

    # imagination ---------------------------------------------------------------------------

    @property
    def moment(self) -> torch.Tensor:
        """[N, 1] number of the interface."""
        return self.index[:, None].float()

    def later(self, moment: torch.Tensor) -> torch.Tensor:
        return moment

    def steps_left(self, moment: torch.Tensor) -> torch.Tensor:
        return torch.full((len(moment),), NEVER, device=moment.device)

    def imagined(self, moment: torch.Tensor, robot: Any) -> SimpleNamespace:
        mask = self._masks[moment[:, 0].long()]
        return SimpleNamespace(mask=mask, legs=self.legs, points=self.points)
