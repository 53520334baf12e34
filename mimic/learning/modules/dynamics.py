"""A learnt model of the robot: what one control step does to its state.

Seen from the heading of the base nothing depends on where the robot is or which way it faces: the
network sees the base's height, gravity, velocities along the base's own axes, the joints and what
their servos are asked for, and gives increments along the same axes. Places and orientations follow
by integration, so that the model is exactly invariant to yaw and to horizontal translation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from mimic.learning.modules.past import Following, Past
from mimic_base.rotations_torch import quat_exp, quat_log, quat_product, quat_to_matrix

ROOT_WEIGHT = 3.0
"""Weight of the base's six velocities in the loss, relative to a joint's: all else follows them."""
CORRECTION_WEIGHT = 0.3
"""Weight of the corrections of integrated positions, relative to the velocities."""


Stepping = Callable[..., torch.Tensor]
"""A model called once a control step: ``(state [B, S], targets [B, J], residual) -> state``."""


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
        history: steps of the past that the network sees too. context: numbers drawn for a robot
            that it is told; see ``mimic.learning.modules.past``.
        members: networks of an ensemble (Chua et al. 2018, arXiv 1805.12114), each fitted to
            resamples of its own; the prediction is their mean.

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
        *,
        history: int = 0,
        context: int = 0,
        members: int = 1,
    ) -> None:
        super().__init__()
        joints = len(default_joint_pos)
        self.joints, self.velocities = joints, 6 + joints
        self.dt, self.b = control_dt, (substeps + 1) / (2 * substeps)
        self.fit_dtype = torch.float32
        self.own_inputs = 4 + self.velocities + 2 * joints
        self.history, self.context, self.members = history, context, members
        inputs = self.own_inputs * (1 + history) + context
        sizes = [inputs, *hidden, 2 * self.velocities]
        self.net = _network(sizes)
        self.others = nn.ModuleList(_network(sizes) for _ in range(members - 1))
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

    def seen(
        self, state: torch.Tensor, targets: torch.Tensor, extra: torch.Tensor | None = None
    ) -> torch.Tensor:
        """[N, D + E] normalised: all that the network sees.

        Args:
            extra: [N, E] past and context, see ``Past.extra``.
        """
        inputs = self.inputs(state, targets)
        if extra is not None:
            inputs = torch.cat([inputs, extra], -1)
        return ((inputs - self.in_mean) / self.in_std).clamp(-8, 8)

    def output(
        self,
        state: torch.Tensor,
        targets: torch.Tensor,
        extra: torch.Tensor | None = None,
        member: int | None = None,
    ) -> torch.Tensor:
        """[N, 2 V] the predicted change in units of its own spread: (change - mean) / scale.

        Args:
            member: of the ensemble; None: the mean of all.
        """
        seen = self.seen(state, targets, extra)
        if not self.others:
            return self._through(self.net, seen)
        if member is not None:
            return self._through(self.networks[member], seen)
        return torch.stack([self._through(net, seen) for net in self.networks]).mean(0)

    def _through(self, net: nn.Module, seen: torch.Tensor) -> torch.Tensor:
        if self.fit_dtype == torch.float32:
            return net(seen)
        with torch.autocast(seen.device.type, self.fit_dtype):
            return net(seen).float()

    @property
    def networks(self) -> list[nn.Module]:
        """Of all members."""
        return [self.net, *self.others]

    def disagreement(
        self, state: torch.Tensor, targets: torch.Tensor, extra: torch.Tensor | None = None
    ) -> torch.Tensor:
        """[N] standard deviation of the members' outputs, mean over their columns."""
        seen = self.seen(state, targets, extra)
        return torch.stack([self._through(net, seen) for net in self.networks]).std(0).mean(-1)

    def forward(
        self,
        state: torch.Tensor,
        targets: torch.Tensor,
        residual: torch.Tensor | None = None,
        extra: torch.Tensor | None = None,
        member: int | None = None,
    ) -> torch.Tensor:
        """The state [N, 13 + 2 J] a control step later.

        Args:
            residual: [N, 2 V] is added to ``output``: what the model was off by where the step
                really happened. extra, member: see ``output``.
        """
        output = self.output(state, targets, extra, member)
        if residual is not None:
            output = output + residual
        return self.integrate(state, output * self.scale + self.mean)

    def stepping(self, state: torch.Tensor) -> Stepping:
        """The model as it goes on from states [B, S] of which no past and no context is known:
        called once a control step, in order."""
        return self.following(self.no_past(len(state)))

    def following(self, past: Past | None, member: int | None = None) -> Stepping:
        """The model as it goes on after a past; None where it has neither history nor context."""
        return self if past is None and member is None else Following(self, past, member)

    def no_past(self, count: int) -> Past | None:
        """The past of robots [N] that nothing is known of: the mean of what was seen."""
        if not self.history and not self.context:
            return None
        mean = self.in_mean[self.own_inputs * (1 + self.history) :]
        return Past(
            inputs=mean.new_zeros(count, self.history, self.own_inputs),
            fresh=torch.ones(count, dtype=torch.bool, device=mean.device),
            context=mean.repeat(count, 1),
        )

    def frozen(
        self, dtype: torch.dtype = torch.float32, *, shared_out: bool = False
    ) -> FrozenDynamics:
        """The model as it is now, without gradients of its own weights; see ``FrozenDynamics``."""
        return FrozenDynamics(self, dtype, shared_out=shared_out)

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
        self,
        state: torch.Tensor,
        targets: torch.Tensor,
        change: torch.Tensor,
        share: float = 1.0,
        extra: torch.Tensor | None = None,
    ) -> None:
        """Move the normalisers by ``share`` towards the mean and spread of transitions [B, ...]."""
        inputs = self.inputs(state, targets)
        if extra is not None:
            inputs = torch.cat([inputs, extra], -1)
        self.in_mean.lerp_(inputs.mean(0), share)
        self.in_std.lerp_(inputs.std(0).clamp_min(1e-2), share)
        v = self.velocities
        self.mean[:v].lerp_(change[:, :v].mean(0), share)
        floor = torch.full_like(self.scale, 1e-3)
        floor[v:] = 1e-5
        self.scale.lerp_(torch.maximum(change.std(0), floor), share)

    def one_step_loss(
        self,
        state: torch.Tensor,
        targets: torch.Tensor,
        change: torch.Tensor,
        extra: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Pseudo-Huber loss of predicted changes of transitions [B, ...]; the mean over the
        members of an ensemble, each on a resample of its own."""
        if not self.others:
            error = self.output(state, targets, extra) - (change - self.mean) / self.scale
            return (pseudo_huber(error) * self.weight).mean()
        seen, wanted = self.seen(state, targets, extra), (change - self.mean) / self.scale
        total = wanted.new_zeros(())
        for net in self.networks:
            drawn = torch.randint(len(wanted), (len(wanted),), device=wanted.device)
            error = self._through(net, seen[drawn]) - wanted[drawn]
            total = total + (pseudo_huber(error) * self.weight).mean()
        return total / self.members

    def unrolled_loss(
        self,
        states: torch.Tensor,
        targets: torch.Tensor,
        after: torch.Tensor,
        known: torch.Tensor,
        past: Past | None = None,
    ) -> torch.Tensor:
        """Pseudo-Huber loss of states predicted one from the other over K steps.

        Args:
            states: [K, B, S] real states. targets: [K, B, J]. after: [K, B, S] where each really
                led. known: [K, B] bool, whether it did. past: of the first states.
        """
        total = states.new_zeros(())
        for member in range(self.members):
            step = self.following(past, member if self.others else None)
            state = states[0]
            for k in range(len(states)):
                state = step(state, targets[k])
                loss = (pseudo_huber(self.distance(state, after[k])) * self.weight).mean(-1)
                total = total + (loss * known[k]).sum() / known[k].sum().clamp_min(1)
        return total / (len(states) * self.members)


class FrozenDynamics:
    """A ``Dynamics`` to imagine with: gradients go through it, none to its weights.

    Args:
        dtype: of the network's products. Half precision moves an imagined step by far less than
            the model is wrong by, and the gradient hardly.
        shared_out: of an ensemble of K each row is predicted by one member, row i by member
            i mod K, instead of by their mean.
    """

    def __init__(self, dynamics: Dynamics, dtype: torch.dtype, *, shared_out: bool = False) -> None:
        self._dynamics, self._dtype, self._shared_out = dynamics, dtype, shared_out
        self._sources = [
            [(each.weight, each.bias) for each in net.modules() if isinstance(each, nn.Linear)]
            for net in dynamics.networks
        ]
        self._nets = [
            [(weight.detach().to(dtype), bias.detach().to(dtype)) for weight, bias in layers]
            for layers in self._sources
        ]

    @torch.no_grad()
    def refresh(self) -> None:
        """Take the model's present weights, in the tensors that are there."""
        for mine, theirs in zip(self._nets, self._sources, strict=True):
            for layer, source in zip(mine, theirs, strict=True):
                for tensor, present in zip(layer, source, strict=True):
                    # In single precision it is the model's own memory.
                    if tensor.data_ptr() != present.data_ptr():
                        tensor.copy_(present)

    def inputs(self, state: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """As ``Dynamics.inputs``."""
        return self._dynamics.inputs(state, targets)

    def following(self, past: Past | None) -> Stepping:
        """As ``Dynamics.following``."""
        return self if past is None else Following(self, past)

    def output(
        self, state: torch.Tensor, targets: torch.Tensor, extra: torch.Tensor | None = None
    ) -> torch.Tensor:
        """As ``Dynamics.output``."""
        seen = self._dynamics.seen(state, targets, extra).to(self._dtype)
        count = len(self._nets)
        if count == 1:
            return self._through(self._nets[0], seen)
        if self._shared_out:
            found = [self._through(net, seen[k::count]) for k, net in enumerate(self._nets)]
            return torch.stack(found, 1).flatten(0, 1)
        return torch.stack([self._through(net, seen) for net in self._nets]).mean(0)

    @staticmethod
    def _through(
        layers: Sequence[tuple[torch.Tensor, torch.Tensor]], hidden: torch.Tensor
    ) -> torch.Tensor:
        for weight, bias in layers[:-1]:
            hidden = functional.silu(functional.linear(hidden, weight, bias))
        return functional.linear(hidden, *layers[-1]).float()

    def __call__(
        self,
        state: torch.Tensor,
        targets: torch.Tensor,
        residual: torch.Tensor | None = None,
        extra: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """As ``Dynamics.forward``."""
        d = self._dynamics
        output = self.output(state, targets, extra)
        if residual is not None:
            output = output + residual
        return d.integrate(state, output * d.scale + d.mean)


def _network(sizes: Sequence[int]) -> nn.Sequential:
    """An MLP of widths ``sizes`` that gives nearly nothing, to begin with."""
    layers: list[nn.Module] = []
    for before, after in zip(sizes[:-1], sizes[1:], strict=True):
        layers += [nn.Linear(before, after), nn.SiLU()]
    net = nn.Sequential(*layers[:-1])
    with torch.no_grad():
        last = net[-1]
        assert isinstance(last, nn.Linear)
        last.weight.mul_(0.1)
        last.bias.zero_()
    return net


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
