"""The latent skill as an observation, and what a policy on top of skills observes of joints."""

from __future__ import annotations

from typing import Any

from mimic.envs.observation import joints, observable, unchanged


@observable(mirror=unchanged())
def skill(env: Any, command: str = "skill") -> Any:
    """The commanded skill, [N, k] of length one; in the mirror image it is the same."""
    return env.commands[command].z


@observable(mirror=joints())
def joint_actions(env: Any, action: str = "skills") -> Any:
    """The last action that the joints were given, [N, J]: the frozen policy's where the actions are
    skills (``mimic.learning.skills``), the policy's own where it is played as one file."""
    term = getattr(env, "action_terms", {}).get(action)
    if term is None:
        return env.actions
    return term.joint_actions * (env.episode_length_buf[:, None] > 0)
