"""What stretches of the replay mean to a model: joint targets, pasts, residuals and outcomes."""

from __future__ import annotations

import torch

from mimic.envs.imagination import Imagination
from mimic.learning.modules.dynamics import Dynamics, FrozenDynamics
from mimic.learning.modules.past import Past
from mimic.learning.storage.replay import Transitions, Windows


class Replayed:
    """Reads drawn stretches for a model of the robot."""

    def __init__(self, imagination: Imagination, dynamics: Dynamics) -> None:
        self.imagination, self.dynamics = imagination, dynamics

    @torch.no_grad()
    def past(self, drawn: Transitions | Windows) -> Past | None:
        """What the model remembers before drawn steps."""
        earlier = drawn.earlier
        if earlier is None:
            return None
        count, steps = earlier.states.shape[:2]
        default = drawn.rows.default_joint_pos.repeat_interleave(steps, 0)
        targets = self.imagination.targets(earlier.actions.flatten(0, 1), default)
        inputs = self.dynamics.inputs(earlier.states.flatten(0, 1), targets)
        return Past(
            inputs=inputs.view(count, steps, self.dynamics.own_inputs),
            fresh=earlier.fresh,
            context=earlier.context,
        )

    def extra(self, drawn: Transitions, targets: torch.Tensor) -> torch.Tensor | None:
        """[B, E] what the model sees of drawn transitions besides their states."""
        past = self.past(drawn)
        return None if past is None else past.extra(self.dynamics.inputs(drawn.rows.state, targets))

    def targets(self, windows: Windows, actions: torch.Tensor) -> torch.Tensor:
        """[H, B, J] joint targets of actions [H, B, A]."""
        steps = len(actions)
        default = windows.default_joint_pos.repeat(steps, 1)
        return self.imagination.targets(actions.flatten(0, 1), default).unflatten(0, (steps, -1))

    @torch.no_grad()
    def residual(self, frozen: FrozenDynamics, windows: Windows) -> torch.Tensor:
        """[H, B, 2 V] what the model is off by in the replayed steps; 0 where there are none."""
        states = windows.states.flatten(0, 1)
        targets = self.targets(windows, windows.actions).flatten(0, 1)
        past, extra = self.past(windows), None
        if past is not None:
            inputs = frozen.inputs(states, targets).unflatten(0, windows.states.shape[:2])
            extra = past.along(inputs).flatten(0, 1)
        output = frozen.output(states, targets, extra).view_as(windows.change)
        residual = (windows.change - self.dynamics.mean) / self.dynamics.scale - output
        steps = torch.arange(len(residual), device=residual.device)[:, None]
        return residual * (steps < windows.length)[..., None]

    def really(self, windows: Windows) -> tuple[torch.Tensor, torch.Tensor]:
        """[H, B, S] the states that replayed steps led to, and [H, B] whether there are any."""
        after = self.dynamics.integrate(
            windows.states.flatten(0, 1), windows.change.flatten(0, 1)
        ).view_as(windows.states)
        steps = torch.arange(len(after), device=after.device)[:, None]
        return after, steps < windows.length


def at_times(values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Rows [B, D] of values [H, B, D] at times ``index`` [B]."""
    return values[index, torch.arange(len(index), device=index.device)]
