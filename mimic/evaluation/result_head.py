"""What all outcomes of evaluations begin and end with: who was judged, in what, and by what."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mimic.evaluation.protocols import Protocol
from mimic_base.files import atomic_write_text


@dataclass(frozen=True, kw_only=True)
class Result(ABC):
    """The outcome of something that plays a policy."""

    policy: str
    """Where the policy comes from."""
    task: str
    robot: str
    robot_hash: str
    engine: str
    """Names of task, robot and engine, and what tells one robot of a name from another."""
    seed: int
    """Of all that was drawn."""
    notes: tuple[str, ...] = ()
    """What the user should know of the figures."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What the policy's file says of itself."""

    def head(self, schema: str) -> dict[str, Any]:
        """What the JSON of an outcome of this schema begins with."""
        return {
            "schema": schema,
            "policy": self.policy,
            "task": self.task,
            "robot": {"name": self.robot, "hash": self.robot_hash},
            "engine": self.engine,
            "seed": self.seed,
        }

    def tail(self) -> dict[str, Any]:
        """What the JSON of every outcome ends with."""
        return {"notes": list(self.notes), "details": dict(self.details)}

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Everything in plain numbers and texts."""

    def save_json(self, path: Path | str) -> None:
        """Write ``to_dict`` to a file, whole or not at all."""
        atomic_write_text(path, json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n")


@dataclass(frozen=True, kw_only=True)
class ProtocolResult(Result):
    """The outcome of a protocol; ``protocol`` holds the number of episodes that were played."""

    protocol: Protocol
    """How it was judged."""
    control_dt: float
    """Duration of a control step, s."""

    def head(self, schema: str) -> dict[str, Any]:
        return {
            **super().head(schema),
            "control_dt": self.control_dt,
            "protocol": self.protocol.to_dict(),
        }
