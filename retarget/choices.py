"""What one may choose by name, on the command line and in settings."""

from __future__ import annotations

from typing import Literal

Method = Literal["whole-clip", "per-frame"]
"""Solve all frames at once, or one after the other."""
Backend = Literal["processes", "ray"]
"""What a batch runs on: a pool of processes of this machine, or the CPUs of a Ray cluster."""
Means = Literal["both", "shift", "warp"]
"""How a reference is brought nearer to what a robot can do: move the base, slow down, or both."""
FLOORS = ("follow", "fixed")
"""Words for ``--ground`` that name no terrain: a floor that follows the feet, or stays."""
