"""Names of networks. It imports none of them: their classes are found by name.

``--algorithm.networks.actor-network moe:experts=6`` names one, with options after the colon. A new
one is a class in a file of its own and a line in ``NETWORKS``, or ``package.module:Class``::

    class Linear(nn.Linear):
        Options = Nothing                      # a frozen dataclass of numbers

        @classmethod
        def build(cls, shape, options):        # a mimic.learning.networks.Shape
            return cls(shape.inputs, shape.outputs)

It takes normalised observations [N, D] and gives [N, A]. ``scale_output(gain)``, where it has one,
lets what it gives begin small (``output_gain``); by default its last ``nn.Linear`` does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mimic.configuration import nearest, resolve
from mimic_base.errors import MimicError
from mimic_base.trust import check_trusted

if TYPE_CHECKING:
    from torch import nn

    from mimic.envs.spec import ObservationEntry

MLP = "mlp"
"""The plain network, which rsl_rl builds itself."""
NETWORKS: Mapping[str, str] = {
    MLP: "rsl_rl.modules:MLP",
    "moe": "mimic.learning.modules.mixture:Mixture",
    "transformer": "mimic.learning.modules.transformer:FutureTransformer",
}


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a network is built for."""

    inputs: int
    """D, width of the observations."""
    outputs: int
    """A, width of what it gives."""
    hidden: tuple[int, ...]
    """Widths of hidden layers, from the configuration."""
    activation: str
    """Name of the activation."""
    entries: tuple[ObservationEntry, ...] = ()
    """What the columns of the observations are; empty where that is not known."""


@dataclass(frozen=True)
class NetworkChoice:
    """A network's name and options as given: ``moe:experts=6``."""

    name: str
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> NetworkChoice:
        """Read ``name``, ``name:key=value,key=value``, or the same after ``package.module:Class``.

        Raises:
            MimicError: an unknown name, or options that are not pairs.
        """
        name, _, rest = text.partition(":")
        if name not in NETWORKS:
            kind, _, rest = rest.partition(":")
            if not kind or not all(map(str.isidentifier, [*name.split("."), kind])):
                raise MimicError(
                    f"unknown network '{text}'{nearest(name, list(NETWORKS))}; known: "
                    f"{', '.join(NETWORKS)}, or package.module:Class of your own"
                )
            name = f"{name}:{kind}"
        options: dict[str, str] = {}
        for pair in filter(None, rest.split(",")):
            key, equals, value = pair.partition("=")
            if not equals:
                raise MimicError(
                    f"network '{text}': '{pair}' is not an option; write {name}:key=value"
                )
            options[key.strip()] = value.strip()
        if name == MLP and options:
            raise MimicError(f"network '{text}': mlp has no options; its widths are *-hidden")
        return cls(name, options)

    def build(self, shape: Shape) -> nn.Module:
        """Make the network.

        Raises:
            MimicError: a class that is no network, an option it does not have or a value of the
                wrong kind, or observations that it cannot use.
        """
        kind = self._class()
        options = self._options(kind.Options)
        return kind.build(shape, options)

    def _class(self) -> Any:
        if self.name in NETWORKS:
            return resolve(NETWORKS[self.name])
        check_trusted(self.name)
        found = resolve(self.name)
        check_trusted(self.name, found)
        options = getattr(found, "Options", None)
        if not (callable(getattr(found, "build", None)) and dataclasses.is_dataclass(options)):
            raise MimicError(
                f"network '{self.name}' needs a class method build(shape, options) and a dataclass "
                "Options; see mimic.learning.networks"
            )
        return found

    def _options(self, kind: type[Any]) -> Any:
        known = {each.name: each for each in dataclasses.fields(kind)}
        values: dict[str, Any] = {}
        for key, text in self.options.items():
            if key not in known:
                have = ", ".join(f"{name} ({each.default})" for name, each in known.items())
                raise MimicError(
                    f"network '{self.name}' has no option '{key}'{nearest(key, list(known))}; it "
                    f"has: {have or 'none'}"
                )
            wanted = type(known[key].default)
            try:
                values[key] = wanted(text)
            except ValueError as error:
                expected = "a whole number" if wanted is int else "a number"
                raise MimicError(
                    f"network '{self.name}': {key}: found {text}, expected {expected}"
                ) from error
        try:
            return kind(**values)
        except MimicError as error:
            raise MimicError(f"network '{self.name}': {error}") from error


def check_between(config: Any, **limits: tuple[int, int]) -> None:
    """Raise a `MimicError` where a number of a network's options is out of its range."""
    for name, (least, most) in limits.items():
        value = getattr(config, name)
        if not least <= value <= most:
            raise MimicError(f"{name} must be {least} to {most}, got {value}")
