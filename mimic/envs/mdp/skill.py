"""The latent skill as an observation."""

from __future__ import annotations

from typing import Any

from mimic.envs.observation import observable, unchanged


@observable(mirror=unchanged())
def skill(env: Any, command: str = "skill") -> Any:
    """The commanded skill, [N, k] of length one; in the mirror image it is the same."""
    return env.commands[command].z
