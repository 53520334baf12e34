"""A learnt model of the robot: what one control step does to its state.

Seen from the heading of the base nothing depends on where the robot is or which way it faces: the
network sees the base's height, gravity, velocities along the base's own axes, the joints and what
their servos are asked for, and gives increments along the same axes. Places and orientations follow
by integration, so that the model is exactly invariant to yaw and to horizontal translation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from mimic_base.rotations_torch import quat_exp, quat_log, quat_product, quat_to_matrix

ROOT_WEIGHT = 3.0
"""Weight of the base's six velocities in the loss, relative to a joint's: all else follows them."""
CORRECTION_WEIGHT = 0.3
"""Weight of the corrections of integrated positions, relative to the velocities."""


class Dynamics(nn.Module):
    """One control step of a floating-base robot.

    A state [N, 13 + 2 J] is base position (m) and orientation (wxyz) in the world, joint
    positions (rad), base velocity (m/s) and angular velocity (rad/s) along the base's axes, joint
    velocities (rad/s). With V = 6 + J velocities v, the *change* [N, 2 V] of a step is

        dv = v' - v          (the base's new velocity turned back into the old base's axes)
        c  = d - dt (v + b dv)

    where d are base displacement, rotation vector (both along the old base's axes) and joint
    displacements, and b = (n + 1) / 2 n what n semi-implicit substeps of constant acceleration
    give: c is small, and velocities are all that has to be predicted well.

    Args:
        default_joint_pos, target_scale: [J] rad, the origin and unit of joint positions.

    Attributes:
        fit_dtype: of the network's products; its weights stay in single precision.
    """

    mean: torch.Tensor
    scale: torch.Tensor
    in_mean: torch.Tensor
    in_std: torch.Tensor
    weight: torch.Tensor
    default_joint_pos: torch.Tensor
    inverse_scale: torch.Tensor

    def __init__(
        self,
        default_joint_pos: torch.Tensor,
        target_scale: torch.Tensor,
        control_dt: float,
        substeps: int,
        hidden: Sequence[int] = (512, 512),
    ) -> None:
        super().__init__()
        joints = len(default_joint_pos)
        self.joints, self.velocities = joints, 6 + joints
        self.dt, self.b = control_dt, (substeps + 1) / (2 * substeps)
        self.fit_dtype = torch.float32
        inputs = 4 + self.velocities + 2 * joints
        sizes = [inputs, *hidden, 2 * self.velocities]
        layers: list[nn.Module] = []
        for before, after in zip(sizes[:-1], sizes[1:], strict=True):
            layers += [nn.Linear(before, after), nn.SiLU()]
        self.net = nn.Sequential(*layers[:-1])
        with torch.no_grad():
            last = self.net[-1]
            assert isinstance(last, nn.Linear)
            # Nothing changes, to begin with.
            last.weight.mul_(0.1)
            last.bias.zero_()
        both = 2 * self.velocities
        self.register_buffer("default_joint_pos", default_joint_pos.clone(), persistent=False)
        self.register_buffer("inverse_scale", 1.0 / target_scale, persistent=False)
        self.register_buffer("in_mean", torch.zeros(inputs))
        self.register_buffer("in_std", torch.ones(inputs))
        self.register_buffer("mean", torch.zeros(both))
        self.register_buffer("scale", torch.ones(both))
        weight = torch.ones(both)
        weight[:6] = weight[self.velocities : self.velocities + 6] = ROOT_WEIGHT
        weight[self.velocities :] *= CORRECTION_WEIGHT
        self.register_buffer("weight", weight / weight.mean(), persistent=False)

    # the network ---------------------------------------------------------------------------

    def inputs(self, state: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """[N, D] what the network sees, not normalised.

        Args:
            targets: [N, J] joint targets, rad.
        """
        _, height, quat, joint, velocity = state.split([2, 1, 4, self.joints, self.velocities], -1)
        w, x, y, z = quat.split(1, -1)
        gravity = [-2 * (x * z - w * y), -2 * (y * z + w * x), 2 * (x * x + y * y) - 1]
        return torch.cat(
            [
                height, *gravity, velocity, joint - self.default_joint_pos,
                (targets - joint) * self.inverse_scale,
            ],
            -1,
        )  # fmt: skip

    def output(self, state: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """[N, 2 V] the predicted change in units of its own spread: (change - mean) / scale."""
        normal = ((self.inputs(state, targets) - self.in_mean) / self.in_std).clamp(-8, 8)
        if self.fit_dtype == torch.float32:
            return self.net(normal)
        with torch.autocast(normal.device.type, self.fit_dtype):
            return self.net(normal).float()

    def forward(
        self, state: torch.Tensor, targets: torch.Tensor, residual: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The state [N, 13 + 2 J] a control step later.

        Args:
            residual: [N, 2 V] is added to ``output``: what the model was off by where the step
                really happened.
        """
        output = self.output(state, targets)
        if residual is not None:
            output = output + residual
        return self.integrate(state, output * self.scale + self.mean)

    def frozen(self, dtype: torch.dtype = torch.float32) -> FrozenDynamics:
        """The model as it is now, without gradients of its own weights."""
        return FrozenDynamics(self, dtype)

    # geometry ------------------------------------------------------------------------------

    def integrate(self, state: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
        """The state [N, 13 + 2 J] that a change [N, 2 V] leads to; inverse of ``change``."""
        pos, quat, joint, velocity = state.split([3, 4, self.joints, self.velocities], -1)
        dv, correction = change.split(self.velocities, -1)
        d = self.dt * velocity + (self.dt * self.b) * dv + correction
        moved, turned, bent = d.split([3, 3, self.joints], -1)
        step = quat_exp(turned)
        lin, rest = (velocity + dv).split([3, 3 + self.joints], -1)
        back = quat_to_matrix(step)
        return torch.cat(
            [
                pos + torch.bmm(quat_to_matrix(quat), moved[:, :, None])[:, :, 0],
                quat_product(quat, step),
                joint + bent,
                torch.bmm(lin[:, None], back)[:, 0],
                rest,
            ],
            -1,
        )

    def change(self, state: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
        """The change [N, 2 V] between two states [N, 13 + 2 J]."""
        pos, quat, joint, velocity = state.split([3, 4, self.joints, self.velocities], -1)
        pos1, quat1, joint1, velocity1 = after.split([3, 4, self.joints, self.velocities], -1)
        conjugate = torch.cat([quat[:, :1], -quat[:, 1:]], -1)
        step = quat_product(conjugate, quat1)
        lin = torch.bmm(quat_to_matrix(step), velocity1[:, :3, None])[:, :, 0]
        dv = torch.cat([lin, velocity1[:, 3:]], -1) - velocity
        moved = torch.bmm((pos1 - pos)[:, None], quat_to_matrix(quat))[:, 0]
        d = torch.cat([moved, quat_log(step), joint1 - joint], -1)
        return torch.cat([dv, d - self.dt * velocity - (self.dt * self.b) * dv], -1)

    def distance(self, state: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Difference [N, 2 V] of two states in the spread of one step's velocity changes:
        velocities, then positions over what such a velocity covers in a step."""
        pos, quat, joint, velocity = state.split([3, 4, self.joints, self.velocities], -1)
        pos1, quat1, joint1, velocity1 = wanted.split([3, 4, self.joints, self.velocities], -1)
        conjugate = torch.cat([quat1[:, :1], -quat1[:, 1:]], -1)
        off = torch.bmm((pos - pos1)[:, None], quat_to_matrix(quat1))[:, 0]
        turn = quat_log(quat_product(conjugate, quat))
        spread = self.scale[: self.velocities]
        places = torch.cat([off, turn, joint - joint1], -1) / (self.dt * spread)
        return torch.cat([(velocity - velocity1) / spread, places], -1)

    # fitting -------------------------------------------------------------------------------

    @torch.no_grad()
    def fit_scales(
        self, state: torch.Tensor, targets: torch.Tensor, change: torch.Tensor, share: float = 1.0
    ) -> None:
        """Move the normalisers by ``share`` towards the mean and spread of transitions [B, ...]."""
        inputs = self.inputs(state, targets)
        self.in_mean.lerp_(inputs.mean(0), share)
        self.in_std.lerp_(inputs.std(0).clamp_min(1e-2), share)
        v = self.velocities
        self.mean[:v].lerp_(change[:, :v].mean(0), share)
        floor = torch.full_like(self.scale, 1e-3)
        floor[v:] = 1e-5
        self.scale.lerp_(torch.maximum(change.std(0), floor), share)

    def one_step_loss(
        self, state: torch.Tensor, targets: torch.Tensor, change: torch.Tensor
    ) -> torch.Tensor:
        """Pseudo-Huber loss of predicted changes of transitions [B, ...]."""
        error = self.output(state, targets) - (change - self.mean) / self.scale
        return (pseudo_huber(error) * self.weight).mean()

    def unrolled_loss(
        self, states: torch.Tensor, targets: torch.Tensor, after: torch.Tensor, known: torch.Tensor
    ) -> torch.Tensor:
        """Pseudo-Huber loss of states predicted one from the other over K steps.

        Args:
            states: [K, B, S] real states. targets: [K, B, J]. after: [K, B, S] where each really
                led. known: [K, B] bool, whether it did.
        """
        state, total = states[0], states.new_zeros(())
        for k in range(len(states)):
            state = self(state, targets[k])
            loss = (pseudo_huber(self.distance(state, after[k])) * self.weight).mean(-1)
            total = total + (loss * known[k]).sum() / known[k].sum().clamp_min(1)
        return total / len(states)


class FrozenDynamics:
    """A ``Dynamics`` to imagine with: gradients go through it, none to its weights.

    Args:
        dtype: of the network's products. Half precision moves an imagined step by far less than
            the model is wrong by, and the gradient hardly.
    """

    def __init__(self, dynamics: Dynamics, dtype: torch.dtype) -> None:
        self._dynamics, self._dtype = dynamics, dtype
        layers = [each for each in dynamics.net if isinstance(each, nn.Linear)]
        self._layers = [
            (each.weight.detach().to(dtype), each.bias.detach().to(dtype)) for each in layers
        ]

    def output(self, state: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """As ``Dynamics.output``."""
        d = self._dynamics
        hidden = ((d.inputs(state, targets) - d.in_mean) / d.in_std).clamp(-8, 8).to(self._dtype)
        for weight, bias in self._layers[:-1]:
            hidden = functional.silu(functional.linear(hidden, weight, bias))
        return functional.linear(hidden, *self._layers[-1]).float()

    def __call__(
        self, state: torch.Tensor, targets: torch.Tensor, residual: torch.Tensor | None = None
    ) -> torch.Tensor:
        """As ``Dynamics.forward``."""
        d = self._dynamics
        output = self.output(state, targets)
        if residual is not None:
            output = output + residual
        return d.integrate(state, output * d.scale + d.mean)


def half_precision_pays(device: torch.device) -> bool:
    """Whether this processor multiplies bfloat16 matrices faster than single precision."""
    if device.type != "cpu":
        return True
    asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, name, lambda: False)()) for name in asked)


def pseudo_huber(error: torch.Tensor) -> torch.Tensor:
    """``sqrt(1 + e^2) - 1``: quadratic near zero, linear far away (contacts strike rarely)."""
    return (1.0 + error.square()).sqrt() - 1.0


def plausible(change: torch.Tensor, velocities: int) -> torch.Tensor:
    """[N] bool: whether a robot can have done this in a step, rather than been put elsewhere."""
    corrections = change[:, velocities:]
    finite = torch.isfinite(change.sum(-1))
    return finite & (corrections[:, :6].abs().amax(-1) < 0.3)


def parameters_of(module: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Matrices between hidden layers and inputs, and all other parameters, of an MLP.

    The first are those Muon is meant for; the last layer and the vectors are Adam's.
    """
    linear = [each for each in module.modules() if isinstance(each, nn.Linear)]
    hidden: list[Any] = [each.weight for each in linear[:-1]]
    chosen = {id(each) for each in hidden}
    rest: list[Any] = [each for each in module.parameters() if id(each) not in chosen]
    return hidden, rest
