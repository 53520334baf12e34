"""What a policy's observations are built from on a robot: numpy, one robot, no torch.

The observations themselves are declared in ``mimic.envs.mdp.observations`` (or in a package of
one's own): the same functions that the simulation calls are called here with a robot's numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mimic.envs.observation import find_observation
from mimic.policy.contract import ObservationInfo, PolicyContract
from mimic_base.errors import MimicError
from mimic_base.frame_fields import BODY_FIELDS, FrameArrays

Array = NDArray[np.float64]
OURS = "mimic.envs.mdp.observations"
"""The module that a contract means where it gives an observation's name only."""


@dataclass(frozen=True, kw_only=True)
class RobotState:
    """What one robot measures in a control step; joints and key bodies in the contract's order.

    What is None is not measured: a policy that observes it is refused.

    Attributes:
        joint_pos, joint_vel: [J] rad, rad/s.
        root_ang_vel_b: [3] rad/s, gyroscope of the floating base in its own frame.
        anchor_quat_w: [4] wxyz, orientation of the anchor body.
        anchor_pos_w: [3] m; only policies trained with state estimation need it.
        root_lin_vel_b: [3] m/s of the floating base in its own frame; likewise.
        root_pos_w, root_quat_w: [3] m, [4] of the floating base.
        body_pos_w, body_quat_w: [B, 3] m, [B, 4] of the key bodies.
    """

    joint_pos: ArrayLike
    joint_vel: ArrayLike
    root_ang_vel_b: ArrayLike
    anchor_quat_w: ArrayLike
    anchor_pos_w: ArrayLike | None = None
    root_lin_vel_b: ArrayLike | None = None
    root_pos_w: ArrayLike | None = None
    root_quat_w: ArrayLike | None = None
    body_pos_w: ArrayLike | None = None
    body_quat_w: ArrayLike | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference(FrameArrays[Array]):
    """A clip at the control rate; joints and bodies in the contract's order."""

    @property
    def num_frames(self) -> int:
        return len(self.joint_pos)

    def frame(self, t: int) -> Reference:
        """Frame ``t`` alone, without the leading axis; the last one where the clip has ended."""
        index = min(max(int(t), 0), self.num_frames - 1)
        return Reference(**{name: values[index] for name, values in self.frame_fields().items()})


@dataclass(frozen=True)
class Situation:
    """What an observation is a function of, by the names that environments use.

    Attributes:
        commands: by name; what each holds is numpy without a leading axis.
    """

    contract: PolicyContract
    robot: RobotState
    reference: Reference | None
    """One frame: the one that is observed."""
    last_action: Array
    further_commands: Mapping[str, Any] = field(default_factory=dict)
    """Commands that are not clips, from whoever plays the policy."""
    objects: Mapping[str, Any] = field(default_factory=dict)
    """Objects by name with ``pos_w`` [3] and what else is observed of them; likewise."""
    later: Callable[[int], Reference] | None = None
    """The frame some control steps after ``reference``, where the clip is known beyond it."""

    @property
    def state(self) -> Any:
        """``state.robot``: what is measured; ``state.objects``: what is known of them."""
        return SimpleNamespace(robot=Measured(self.robot), objects=self.objects, contacts={})

    @property
    def actions(self) -> Array:
        """[A] the policy's last action."""
        return np.asarray(self.last_action, np.float64)

    @property
    def default_joint_pos_of_env(self) -> Array:
        """[J] rad."""
        return np.asarray(self.contract.default_joint_pos)

    default_joint_pos = default_joint_pos_of_env

    @property
    def commands(self) -> Mapping[str, Any]:
        """The motion command under every name that the contract knows, and further ones."""
        tracked = [
            name for name, told in self.contract.commands.items() if "reference_lead" in told
        ] or ["motion"]
        return {
            **{name: _Motion(self) for name in tracked if self.reference is not None},
            **constant_commands(self.contract),
            **self.further_commands,
        }


def constant_commands(contract: PolicyContract) -> dict[str, SimpleNamespace]:
    """The commands that never change, as observations read them: their numbers are in the contract
    (``constants`` of what a command says of itself).

    Raises:
        MimicError: they are no numbers.
    """
    found = {}
    for command, told in contract.commands.items():
        constants = told.get("constants") if isinstance(told, Mapping) else None
        if constants is None:
            continue
        try:
            arrays = {str(name): np.asarray(values) for name, values in dict(constants).items()}
            if any(each.dtype.kind not in "if" or each.ndim > 1 for each in arrays.values()):
                raise ValueError("not a list of numbers")
        except (TypeError, ValueError) as error:
            raise MimicError(
                f"the policy's contract is inconsistent: constants of the command '{command}' are "
                f"no lists of numbers ({error})"
            ) from error
        found[command] = SimpleNamespace(**arrays)
    return found


class Measured:
    """A robot's state whose entries are refused, by name, where the robot does not give them."""

    def __init__(self, state: RobotState) -> None:
        self._state = state

    def __getattr__(self, name: str) -> Array:
        if name.startswith("__"):
            raise AttributeError(name)
        value = getattr(self._state, name, None)
        if value is None:
            raise MimicError(
                f"this policy observes '{name}', which the robot does not measure; use a policy "
                "of a task without state estimation"
            )
        return np.asarray(value, np.float64)


class _Motion:
    """The motion command as observations read it, for one robot."""

    def __init__(self, situation: Situation) -> None:
        contract = situation.contract
        anchor = contract.body_names.index(contract.anchor_body)
        # Observed only by policies whose contract has it; others' key bodies may lack it.
        names = contract.body_names
        self._root = names.index(contract.root_body) if contract.root_body in names else 0
        frame = situation.reference
        assert frame is not None
        self._measured = Measured(situation.robot)
        self._frame, self._later = frame, situation.later
        self.target_joints = np.concatenate([frame.joint_pos, frame.joint_vel])
        self.target_anchor_pos_w = frame.body_pos_w[anchor]
        self.target_anchor_quat_w = frame.body_quat_w[anchor]

    def frames_ahead(self, steps: Sequence[int]) -> SimpleNamespace:
        """Frames [K, ...] some control steps after the observed one, see ``mimic.envs.mdp.future``.

        Raises:
            MimicError: later ones than are known.
        """
        frames = self._ahead(steps)

        def stacked(name: str, body: int | None = None) -> Array:
            values = [getattr(each, name) for each in frames]
            return np.stack(values if body is None else [each[body] for each in values])

        return SimpleNamespace(
            joint_pos=stacked("joint_pos"),
            joint_vel=stacked("joint_vel"),
            root_pos_w=stacked("body_pos_w", self._root),
            root_quat_w=stacked("body_quat_w", self._root),
            root_lin_vel_w=stacked("body_lin_vel_w", self._root),
            root_ang_vel_w=stacked("body_ang_vel_w", self._root),
        )

    def bodies_ahead(self, steps: Sequence[int], bodies: NDArray[np.int64]) -> SimpleNamespace:
        """Key bodies [K, b, ...] in those frames.

        Raises:
            MimicError: later ones than are known.
        """
        frames = self._ahead(steps)
        return SimpleNamespace(
            **{
                name: np.stack([getattr(each, name)[bodies] for each in frames])
                for name in BODY_FIELDS
            }
        )

    def _ahead(self, steps: Sequence[int]) -> list[Reference]:
        if self._later is None and any(steps):
            raise MimicError(
                f"this policy observes the reference {max(steps)} control steps ahead, which is "
                "not given here; play it from a clip"
            )
        return [self._later(step) if self._later and step else self._frame for step in steps]

    @property
    def robot_anchor_pos_w(self) -> Array:
        return self._measured.anchor_pos_w

    @property
    def robot_anchor_quat_w(self) -> Array:
        return self._measured.anchor_quat_w

    @property
    def robot_body_pos_w(self) -> Array:
        return self._measured.body_pos_w

    @property
    def robot_body_quat_w(self) -> Array:
        return self._measured.body_quat_w


class ObservationBuilder:
    """Builds the observations of one robot, step after step: it remembers filters and histories.

    Raises:
        MimicError: the contract names an observation that is not declared anywhere.
    """

    def __init__(self, contract: PolicyContract) -> None:
        self.contract = contract
        self._functions = [
            find_observation(info.function or f"{OURS}:{info.name}")
            for info in contract.observations
        ]
        self.restart()

    def restart(self) -> None:
        """Begin a new episode: what was observed before is forgotten."""
        self._past: list[list[Array]] = [[] for _ in self.contract.observations]

    def __call__(self, situation: Situation) -> NDArray[np.float32]:
        """The observation [D] of the next control step, as the contract lays it out.

        Raises:
            MimicError: a term of another size, or one that needs what the robot does not measure
                or a command or an object that nobody has given.
        """
        parts = []
        for info, function, past in zip(
            self.contract.observations, self._functions, self._past, strict=True
        ):
            try:
                value = function(situation, **info.parameters)
            except KeyError as error:
                raise self._not_given(info, str(error).strip("'"), situation) from error
            except (AttributeError, TypeError) as error:
                raise MimicError(
                    f"observation '{info.name}' cannot be computed outside of its task: {error}"
                ) from error
            if value.shape != (info.size,):
                raise MimicError(
                    f"observation '{info.name}' has shape {value.shape}, the contract says "
                    f"({info.size},)"
                )
            parts.append(self._remembered(info, value * info.scale, past))
        return np.concatenate(parts).astype(np.float32)

    def _not_given(self, info: ObservationInfo, what: str, situation: Situation) -> MimicError:
        known = [*situation.commands, *situation.objects]
        text = (
            f"observation '{info.name}' looks at '{what}', which is not given; given are "
            f"{', '.join(known) or 'no commands or objects'}"
        )
        told = self.contract.commands.get(what)
        if told is not None and "reference_lead" not in told:
            kind = told.get("kind", "of its task")
            text += (
                f"; it is a command ({kind}) whose value this file does not hold: give it as "
                f"commands={{'{what}': ...}}, or export it with policy_assets of the command"
            )
        return MimicError(text)

    def _remembered(self, info: ObservationInfo, value: Array, past: list[Array]) -> Array:
        if past and info.filter > 0:
            gain = 1.0 - math.exp(-2.0 * math.pi * info.filter * self.contract.control_dt)
            value = past[-1] + gain * (value - past[-1])
        past.extend([value] * (1 if past else info.history))
        del past[: -info.history]
        return np.concatenate(past)
