"""Terms of reaching for a point with a hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mimic.envs.observation import beside, joined, observable, opposite, polar

if TYPE_CHECKING:
    import torch

    from mimic.envs.environment import Environment


# In the mirror image the other hand reaches for the mirrored point.
@observable(mirror=beside(polar(), opposite()))
def reach_command(env: Any, command: str = "reach") -> Any:
    """The point in the robot's heading frame (m) and the hand (1 left, -1 right), [N, 4]."""
    c = env.commands[command]
    return joined(c.point, c.side)


def hand_at_point(env: Environment, scale: float, command: str = "reach") -> torch.Tensor:
    """``exp(-scale |x* - x_hand|^2)`` [N]: ASE's reward for reaching (arXiv 2205.01906, appendix),
    there with a scale of 5 / m^2 and the tip of a sword for the hand."""
    import torch

    from mimic.envs.commands.reach import hand_in_heading

    c: Any = env.commands[command]
    hand = hand_in_heading(env.state.robot, c.hands, c.side)
    return torch.exp(-scale * (hand - c.point).square().sum(-1))
