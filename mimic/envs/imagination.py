"""A task's terms on states that nobody simulates: one definition for simulation and imagination.

A learnt model of the robot goes on from a replayed state by itself; rewards, failures and
observations of the states it predicts are those of the task, computed by the very functions that
the environment calls. They read their environment by name, so that all they need is something
that has what they read: ``ImaginedEnvironment``. Everything is differentiable in the state.

An algorithm that imagines asks for the observation group ``STATE_GROUP``: it tells, at every
control step, what an imagined environment is made from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch

from mimic.envs.terms import ObservationTerm, RewardTerm, TerminationTerm, weighted_rewards
from mimic.sim.kinematics import Kinematics
from mimic_base.errors import MimicError
from mimic_base.rotations_torch import quat_rotate

if TYPE_CHECKING:
    from mimic.envs.environment import Environment

STATE_GROUP = "state"
"""Name of the observation group that a model of the robot learns from."""


# what is kept of a simulated state ---------------------------------------------------------


def root_pose(env: Any) -> torch.Tensor:
    """Position (m) and orientation (wxyz) of the floating base in the world, [N, 7]."""
    robot = env.state.robot
    return torch.cat([robot.root_pos_w, robot.root_quat_w], -1)


def joint_pos(env: Any) -> torch.Tensor:
    """Joint positions, [N, J] rad."""
    return env.state.robot.joint_pos


def velocity(env: Any) -> torch.Tensor:
    """Base velocity (m/s) and angular velocity (rad/s) along the base's axes, and the joints'
    (rad/s), [N, 6 + J]."""
    robot = env.state.robot
    return torch.cat([robot.root_lin_vel_b, robot.root_ang_vel_b, robot.joint_vel], -1)


def default_joint_pos(env: Any) -> torch.Tensor:
    """The joint positions that an action of zero asks for, each environment's own, [N, J] rad."""
    return env.default_joint_pos_of_env


def moment(env: Any) -> torch.Tensor:
    """The moments of all commands side by side, [N, m]."""
    moments = [command.moment for command in env.commands.values()]
    return torch.cat(moments, -1) if moments else torch.zeros(env.num_envs, 0, device=env.device)


STATE_TERMS: Mapping[str, ObservationTerm] = {
    "root_pose": ObservationTerm(function=root_pose),
    "joint_pos": ObservationTerm(function=joint_pos),
    "velocity": ObservationTerm(function=velocity),
    "default_joint_pos": ObservationTerm(function=default_joint_pos),
    "moment": ObservationTerm(function=moment),
}
"""The group ``STATE_GROUP``: state [13 + 2 J], default joint positions [J] and moments [m]."""


@dataclass(frozen=True)
class StateRows:
    """The group ``STATE_GROUP`` taken apart.

    A state is a row of 13 + 2 J numbers: base position in the world (m), base orientation (wxyz),
    joint positions (rad), base velocity (m/s) and angular velocity (rad/s) along the base's own
    axes, joint velocities (rad/s).
    """

    state: torch.Tensor
    """[N, 13 + 2 J]"""
    default_joint_pos: torch.Tensor
    """[N, J] rad"""
    moment: torch.Tensor
    """[N, m]"""

    @classmethod
    def of_group(cls, values: torch.Tensor, joints: int) -> StateRows:
        """From the group's values [N, 13 + 3 J + m]."""
        parts = values.split([13 + 2 * joints, joints, values.shape[-1] - 13 - 3 * joints], -1)
        return cls(*parts)


# what terms read ---------------------------------------------------------------------------


class NotImaginedError(AttributeError):
    """A term has read what an imagined environment cannot know."""


class ImaginedRobot:
    """Robots [N] in given states, with the attributes of ``mimic.sim.state.RobotState``.

    Args:
        state: [N, 13 + 2 J], see ``StateRows``.
    """

    def __init__(self, state: torch.Tensor, joints: int, kinematics: Kinematics) -> None:
        self._kinematics = kinematics
        self.state = state
        (
            self.root_pos_w, self.root_quat_w, self.joint_pos,
            self.root_lin_vel_b, self.root_ang_vel_b, self.joint_vel,
        ) = state.split([3, 4, joints, 3, 3, joints], -1)  # fmt: skip

    @cached_property
    def root_lin_vel_w(self) -> torch.Tensor:
        """[N, 3] m/s in the world."""
        return quat_rotate(self.root_quat_w, self.root_lin_vel_b)

    @cached_property
    def _bodies(self) -> tuple[torch.Tensor, ...]:
        qpos = torch.cat([self.root_pos_w, self.root_quat_w, self.joint_pos], -1)
        qvel = torch.cat([self.root_lin_vel_w, self.root_ang_vel_b, self.joint_vel], -1)
        return self._kinematics(qpos, qvel)

    @property
    def body_pos_w(self) -> torch.Tensor:
        return self._bodies[0]

    @property
    def body_quat_w(self) -> torch.Tensor:
        return self._bodies[1]

    @property
    def body_lin_vel_w(self) -> torch.Tensor:
        return self._bodies[2]

    @property
    def body_ang_vel_w(self) -> torch.Tensor:
        return self._bodies[3]

    def pose_of(self, body: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Position [N, 3] and orientation [N, 4] in the world of one body, without the others."""
        if "_bodies" in self.__dict__:
            return self.body_pos_w[:, body], self.body_quat_w[:, body]
        return self._kinematics.pose_of(body, self.root_pos_w, self.root_quat_w, self.joint_pos)


class ImaginedEnvironment:
    """Environments [N] in given states, as far as terms can be read on them.

    Anything else that a term asks for raises ``NotImaginedError``: the engine and its contacts,
    and how long an episode has lasted.
    """

    def __init__(self, shared: Mapping[str, Any], rows: Mapping[str, Any]) -> None:
        self.__dict__.update(shared)
        self.__dict__.update(rows)

    def __getattr__(self, name: str) -> Any:
        raise NotImaginedError(f"an imagined environment has no '{name}'")


class _ImaginedScene:
    """``env.state`` of an imagined environment: its robot alone."""

    def __init__(self, robot: ImaginedRobot) -> None:
        self.robot = robot

    def __getattr__(self, name: str) -> Any:
        raise NotImaginedError(f"the state of an imagined environment has no '{name}'")


class Imagination:
    """The terms of an environment's task as functions of states.

    Raises:
        MimicError: a command cannot be imagined, or the scene holds objects that nobody predicts.

    Attributes:
        num_joints: J.
        num_actions: A.
        default_joint_pos: [J] rad, the robot's.
        substeps: physics steps in a control step.
        target_scale: [J] rad, the range of joint targets that an action of one moves through; 1
            where no action moves a joint.
        max_reward: what a perfect step pays.
        left_out: reward terms that cannot be imagined and why; they are no part of ``rewards``.
    """

    def __init__(self, env: Environment) -> None:
        if env.scene.objects:
            raise MimicError(
                f"task '{env.task_name}' has objects in its scene ({', '.join(env.scene.objects)}),"
                " whose motion the world model does not learn; train by --algorithm ppo"
            )
        if env.action_delay is not None:
            raise MimicError(
                f"task '{env.task_name}' has late actions (action_delay {env.cfg.action_delay}), "
                "and which of them the robot got is not in its state; train by --algorithm ppo"
            )
        self._actions = env.action_terms
        self._action_sizes = [each.size for each in self._actions.values()]
        self._commands = env.commands
        moments = [command.moment for command in env.commands.values()]
        self._moment_sizes = [each.shape[-1] for each in moments]
        self._kinematics = Kinematics(env.robot, env.device)
        self._groups = env.cfg.observations
        self._observing = env.observing
        self.device = env.device
        self.control_dt = env.control_dt
        self.substeps = env.scene.decimation
        self.num_joints = env.robot.num_joints
        self.num_actions = env.num_actions
        shared = (
            "robot", "device", "control_dt", "task_name", "default_joint_pos",
            "joint_action_scale", "action_offset", "action_scale", "soft_lower", "soft_upper",
            "key_body_ids",
        )  # fmt: skip
        self._shared = {name: getattr(env, name) for name in shared}
        self.default_joint_pos: torch.Tensor = env.default_joint_pos
        self.target_scale = self._target_scale()
        self.failures: dict[str, TerminationTerm] = {
            name: term
            for name, term in env.cfg.terminations.items()
            if not (term.time_out or term.success)
        }
        here = StateRows.of_group(
            torch.cat([term.function(env) for term in STATE_TERMS.values()], -1), self.num_joints
        )
        trial = self.environment(here, env.actions, env.previous_actions)
        for name, term in env.cfg.observations.get("actor", {}).items():
            reason = _why_not(term.function, trial, term.parameters)
            if reason is not None:
                raise MimicError(
                    f"task '{env.task_name}': the actor's observation '{name}' cannot be imagined "
                    f"({reason}); train by --algorithm ppo"
                )
        self.left_out: dict[str, str] = {}
        self.reward_terms: dict[str, RewardTerm] = {}
        for name, term in env.cfg.rewards.items():
            reason = _why_not(term.function, trial, term.parameters)
            if reason is None:
                self.reward_terms[name] = term
            else:
                self.left_out[name] = reason
        for name, term in list(self.failures.items()):
            reason = _why_not(term.function, trial, {**term.parameters})
            if reason is not None:
                self.left_out[name] = reason
                del self.failures[name]
        positive = [term.weight for term in self.reward_terms.values() if term.weight > 0]
        self.max_reward = env.max_reward or sum(positive) or 1.0

    def environment(
        self, rows: StateRows, actions: torch.Tensor, previous_actions: torch.Tensor
    ) -> ImaginedEnvironment:
        """Environments in which terms find the states ``rows`` [N].

        Args:
            actions: [N, A] that led to the states. previous_actions: [N, A] the ones before.
        """
        robot = ImaginedRobot(rows.state, self.num_joints, self._kinematics)
        moments = rows.moment.split(self._moment_sizes, -1)
        commands = {
            name: command.imagined(each, robot)
            for (name, command), each in zip(self._commands.items(), moments, strict=True)
        }
        return ImaginedEnvironment(
            self._shared,
            {
                "num_envs": len(rows.state),
                "state": _ImaginedScene(robot),
                "commands": commands,
                "actions": actions,
                "previous_actions": previous_actions,
                "default_joint_pos_of_env": rows.default_joint_pos,
            },
        )

    def rewards(self, env: ImaginedEnvironment) -> torch.Tensor:
        """[N] weighted sum of the task's reward terms, before the control step is multiplied in."""
        return weighted_rewards(env, self.reward_terms)[0]

    def margins(self, env: ImaginedEnvironment) -> torch.Tensor:
        """[N, K] how far each failure's error is from its limit: 1 without error, 0 at the limit.

        A failure that does not tell its error (``mimic.envs.terms.limit_on``) is 1 or -1, without
        a gradient; one that takes no threshold tells its error in units of its limit.
        """
        found = []
        for term in self.failures.values():
            error = getattr(term.function, "error", None)
            if error is None:
                found.append(1.0 - 2.0 * term.function(env, **term.parameters).float())
            else:
                parameters = dict(term.parameters)
                threshold = parameters.pop("threshold", 1.0)
                found.append(1.0 - error(env, **parameters) / threshold)
        if not found:
            return torch.ones(env.num_envs, 1, device=self.device)
        return torch.stack(found, -1)

    def observations(self, env: ImaginedEnvironment, group: str) -> torch.Tensor:
        """[N, D] an observation group without noise and memory."""
        values = []
        for term in self._groups[group].values():
            value = term.function(env, **term.parameters)
            values.append(value if term.scale == 1.0 else value * term.scale)
        return torch.cat(values, -1)

    def noise(self, group: str) -> torch.Tensor:
        """[D] half width of the uniform noise on each column of a group."""
        return self._observing.noise_widths(group)

    def targets(self, actions: torch.Tensor, default: torch.Tensor) -> torch.Tensor:
        """[N, J] joint targets (rad) that actions [N, A] ask for.

        Args:
            default: [N, J] rad, ``default_joint_pos`` of the environments.
        """
        env = SimpleNamespace(default_joint_pos_of_env=default)
        targets = default
        columns = actions.split(self._action_sizes, -1)
        for term, own in zip(self._actions.values(), columns, strict=True):
            targets = term.on(env).apply(own, targets)
        return targets

    def later(self, moment: torch.Tensor) -> torch.Tensor:
        """The moments [N, m] a control step later."""
        each = [
            command.later(part)
            for command, part in zip(
                self._commands.values(), moment.split(self._moment_sizes, -1), strict=True
            )
        ]
        return torch.cat(each, -1) if each else moment

    def steps_left(self, moment: torch.Tensor) -> torch.Tensor:
        """[N] control steps until the first command is finished; many where none ever is."""
        left = torch.full((len(moment),), 1 << 30, device=moment.device)
        parts = moment.split(self._moment_sizes, -1)
        for command, part in zip(self._commands.values(), parts, strict=True):
            left = torch.minimum(left, command.steps_left(part))
        return left

    def _target_scale(self) -> torch.Tensor:
        nothing = torch.zeros(1, self.num_actions, device=self.device)
        default = self._shared["default_joint_pos"][None]
        moved = self.targets(nothing + 1.0, default) - self.targets(nothing, default)
        scale = moved.abs().squeeze(0)
        return torch.where(scale > 0, scale, torch.ones_like(scale))


def _why_not(
    function: Callable[..., Any], env: ImaginedEnvironment, parameters: Mapping[str, Any]
) -> str | None:
    """Why a term cannot be read on an imagined environment; None: it can."""
    try:
        function(env, **parameters)
    except NotImaginedError as error:
        return str(error)
    return None
