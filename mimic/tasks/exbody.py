"""ExBody's own task (Cheng et al. 2024, arXiv 2402.16796): the upper body follows a clip, the legs
follow how its base moves.

One stage of reinforcement, no teacher. Joints and key bodies of the upper body imitate the clip;
of the rest only the base's velocity, heading, tilt and height are commanded, and the legs are asked
for a gait by regularisers: they never see the clip's legs. Kernels are exponentials of unsquared
norms. Weights and kernels are the published ones; what differs is said here:

- gains, action scale and control rate are the robot's own, as in this program's other tasks;
- the base's command is told in the clip's own heading, roll and pitch as the direction of gravity;
  joint velocities of the upper body are told too;
- the actor sees ten steps of what is measured itself, in place of a history encoder and of an
  estimator of the base's velocity; foot contacts, which the publication sets to a constant, are no
  part of it. The critic sees velocity, contacts and drawn physics.

Physics is drawn as ``--randomisation exbody`` does, see ``mimic.tasks.randomisation``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from mimic.envs.body_parts import leg_joints, upper_key_bodies
from mimic.envs.commands import (
    Command,
    CommandConfig,
    Interface,
    InterfaceCommandConfig,
    MotionCommandConfig,
)
from mimic.envs.commands.motion import motion_command
from mimic.envs.environment import TaskConfig
from mimic.envs.mdp import interfaces, observations, privileged, rewards, terminations
from mimic.envs.mdp.future import bodies_ahead, frames_ahead
from mimic.envs.observation import (
    beside,
    flat,
    joined,
    observable,
    of_key_bodies,
    opposite,
    rotations_of,
    unchanged,
)
from mimic.envs.terms import ObservationTerm, RewardTerm, TerminationTerm, limit_on
from mimic.tasks.randomisation import with_randomisation
from mimic.tasks.student import measured
from mimic_base.rotations_torch import quat_angle, quat_inv_rotate, quat_mul, yaw_quat

if TYPE_CHECKING:
    from mimic.envs.environment import Environment

HISTORY = 10
"""Control steps of each measurement that the actor sees."""
STANDING = 0.1
"""Below this speed (m/s) of the reference nobody is asked to lift a foot."""


# what a gait is judged by ------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class GaitConfig(CommandConfig):
    """The state that a gait's regularisers need; it commands nothing."""

    contact_n: float = 2.0
    """Force (N) from which on a foot is on the ground."""

    def build(self, env: Environment) -> Gait:
        return Gait(self, env)


class Gait(Command):
    """How long each foot has been in the air, and how the joints accelerate.

    Attributes:
        down: [N, 2] bool, left and right foot on the ground.
        air_s: [N, 2] s since the foot has left the ground.
        landed_s: [N, 2] s that the flight has lasted which ends in this step; 0 where none does.
        touched: [N, 2] bool, where a flight ends in this step.
        joint_acc: [N, J] rad/s2 over the last control step.
        legs: [J] 1 for the legs' joints, 0 for the upper body's.
        keys: [K] places of the upper body's key bodies, the anchor apart.
        all: [B] places of all key bodies; upper: [B] 1 for ``keys``, else 0.
        kp, kd, effort: [J] of the robot's servos.
    """

    shared_tensors: ClassVar[frozenset[str]] = frozenset(
        {"legs", "keys", "all", "upper", "kp", "kd", "effort"}
    )

    def __init__(self, config: GaitConfig, env: Environment) -> None:
        super().__init__(env)
        self.config = config
        robot, n, device = env.robot, env.num_envs, env.device
        self.down = torch.ones(n, 2, dtype=torch.bool, device=device)
        self.touched = torch.zeros(n, 2, dtype=torch.bool, device=device)
        self.air_s = torch.zeros(n, 2, device=device)
        self.landed_s = torch.zeros(n, 2, device=device)
        self.joint_acc = torch.zeros(n, robot.num_joints, device=device)
        self._joint_vel = torch.zeros_like(self.joint_acc)
        self.legs = torch.from_numpy(leg_joints(robot)).to(device).float()
        names = [name for name in upper_key_bodies(robot) if name != robot.anchor_body]
        places = [robot.key_bodies.index(name) for name in names or [robot.anchor_body]]
        self.keys = torch.tensor(places, device=device)
        self.all = torch.arange(len(robot.key_bodies), device=device)
        self.upper = torch.zeros(len(robot.key_bodies), device=device)
        self.upper[self.keys] = 1.0
        self.kp, self.kd, self.effort = (
            torch.as_tensor(values, dtype=torch.float32, device=device)
            for values in (robot.kp, robot.kd, robot.effort_limit)
        )

    def resample(self, env_ids: torch.Tensor) -> None:
        for values in (self.air_s, self.landed_s, self.joint_acc):
            values[env_ids] = 0.0
        self.down[env_ids], self.touched[env_ids] = True, False

    def advance(self) -> None:
        contacts = self.env.state.contacts
        feet = [contacts[name].magnitude for name in ("left_foot", "right_foot")]
        down = torch.stack(feet, -1) > self.config.contact_n
        flown = self.air_s + self.env.control_dt
        self.touched = down & ~self.down
        self.landed_s = torch.where(self.touched, flown, 0.0)
        self.air_s = torch.where(down, 0.0, flown)
        self.down = down
        velocity = self.env.state.robot.joint_vel
        self.joint_acc = (velocity - self._joint_vel) / self.env.control_dt

    def update(self, env_ids: torch.Tensor | None = None) -> None:
        velocity = self.env.state.robot.joint_vel
        if env_ids is None:
            self._joint_vel = velocity.clone()
        else:
            self._joint_vel[env_ids] = velocity[env_ids]

    def metrics(self) -> Mapping[str, torch.Tensor]:
        return {"gait/feet_on_ground": self.down.float().sum(-1)}

    def describe(self) -> dict[str, Any]:
        # What observations read of it wherever the policy is played.
        constants = {"upper": self.upper.tolist(), "all": self.all.tolist()}
        return {**super().describe(), "constants": constants}


def gait(env: Environment) -> Gait:
    """The gait of an environment's robots."""
    return env.commands["gait"]  # type: ignore[return-value]


# observations ------------------------------------------------------------------------------


@observable(mirror=beside(opposite(), unchanged()))
def heading_error(env: Any, command: str = "motion") -> Any:
    """Sine and cosine of the turn from the robot's heading to the coming reference's, [N, 2]."""
    here = env.state.robot.root_quat_w
    there = frames_ahead(env.commands[command], (0,)).root_quat_w[..., 0, :]
    r = rotations_of(here)
    turn = r.quat_mul(r.quat_conj(r.yaw_quat(here)), r.yaw_quat(there))
    w, z = turn[..., :1], turn[..., 3:]
    return joined(2.0 * w * z, w * w - z * z)


@observable(mirror=of_key_bodies("polar"))
def upper_body_pos(env: Any, command: str = "motion", state: str = "gait") -> Any:
    """Key bodies of the coming reference from its base along its heading: those of the upper body,
    all others as zeros, [N, 3 B] m."""
    upper = env.commands[state].upper
    bodies = bodies_ahead(env.commands[command], (0,), env.commands[state].all)
    place, quat = bodies.body_pos_w[..., 0, :, :], bodies.body_quat_w[..., 0, 0, :]
    r = rotations_of(quat)
    heading = r.yaw_quat(quat)[..., None, :]
    off = r.quat_inv_rotate(heading, place - place[..., :1, :])
    return flat(off * upper[:, None])


# rewards -----------------------------------------------------------------------------------


def _upper_error(env: Environment, command: str) -> torch.Tensor:
    """[N] length of the upper body's joint errors, rad."""
    off = env.state.robot.joint_pos - motion_command(env, command).joint_pos
    return torch.linalg.vector_norm(off * (1.0 - gait(env).legs), dim=-1)


def upper_joints(env: Environment, sharpness: float, command: str = "motion") -> torch.Tensor:
    """exp(-s |q - q_ref|) of the upper body's joints."""
    return torch.exp(-sharpness * _upper_error(env, command))


def upper_bodies(env: Environment, command: str = "motion") -> torch.Tensor:
    """exp(-|p - p_ref|) of the upper body's key bodies, from the base, along its heading."""
    c, keys = motion_command(env, command), gait(env).keys

    def local(pos: torch.Tensor, quat: torch.Tensor) -> torch.Tensor:
        off = pos.index_select(1, keys) - pos[:, :1]
        return quat_inv_rotate(yaw_quat(quat[:, 0])[:, None], off)

    off = local(c.robot_body_pos_w, c.robot_body_quat_w) - local(c.body_pos_w, c.body_quat_w)
    return torch.exp(-torch.linalg.vector_norm(off.flatten(1), dim=-1))


def base_velocity(env: Environment, sharpness: float, command: str = "motion") -> torch.Tensor:
    """exp(-s |v - v_ref|), each velocity along its own base's axes."""
    c = motion_command(env, command)
    wanted = quat_inv_rotate(c.body_quat_w[:, 0], c.body_lin_vel_w[:, 0])
    off = env.state.robot.root_lin_vel_b - wanted
    return torch.exp(-sharpness * torch.linalg.vector_norm(off, dim=-1))


def heading(env: Environment, command: str = "motion") -> torch.Tensor:
    """exp(-|difference of heading|), rad."""
    c = motion_command(env, command)
    here, there = yaw_quat(c.robot_body_quat_w[:, 0]), yaw_quat(c.body_quat_w[:, 0])
    return torch.exp(-quat_angle(here, there))


def roll_pitch(env: Environment, command: str = "motion") -> torch.Tensor:
    """exp(-|difference of roll and pitch|), rad: the angle between the two directions of gravity
    as their bases see them."""
    c = motion_command(env, command)

    def tilted(quat: torch.Tensor) -> torch.Tensor:
        return quat_mul(yaw_quat(quat) * quat.new_tensor([1.0, -1.0, -1.0, -1.0]), quat)

    return torch.exp(-quat_angle(tilted(c.robot_body_quat_w[:, 0]), tilted(c.body_quat_w[:, 0])))


def alive(env: Environment) -> torch.Tensor:
    """1."""
    return torch.ones(env.num_envs, device=env.device)


def tilt(env: Environment) -> torch.Tensor:
    """Square of gravity's horizontal part in the base."""
    return observations.projected_gravity(env)[:, :2].square().sum(-1)


def vertical_velocity(env: Environment) -> torch.Tensor:
    """Square of the base's vertical velocity, its own axes."""
    return env.state.robot.root_lin_vel_b[:, 2].square()


def rolling(env: Environment) -> torch.Tensor:
    """Square of the base's roll and pitch rates."""
    return env.state.robot.root_ang_vel_b[:, :2].square().sum(-1)


def joint_acceleration(env: Environment) -> torch.Tensor:
    """Sum of squares, (rad/s2)^2."""
    return gait(env).joint_acc.square().sum(-1)


def collision(env: Environment, force: float) -> torch.Tensor:
    """Number of bodies other than feet and hands touched by more than ``force`` N."""
    return rewards.undesired_contacts(env, force)


def action_rate(env: Environment) -> torch.Tensor:
    """Length of the change of the action."""
    return torch.linalg.vector_norm(env.actions - env.previous_actions, dim=-1)


def energy(env: Environment) -> torch.Tensor:
    """Length of the joints' mechanical powers, W."""
    state, servos = env.state.robot, gait(env)
    off = env.targets(env.actions) - state.joint_pos
    torque = (servos.kp * off - servos.kd * state.joint_vel).clamp(-servos.effort, servos.effort)
    return torch.linalg.vector_norm(torque * state.joint_vel, dim=-1)


def legs_off_default(env: Environment) -> torch.Tensor:
    """Sum of squares of the legs' joints from the default pose, rad2."""
    off = env.state.robot.joint_pos - env.default_joint_pos
    return (off.square() * gait(env).legs).sum(-1)


def _feet_force(env: Environment) -> torch.Tensor:
    """[N, 2, 3] N."""
    contacts = env.state.contacts
    return torch.stack([contacts[name].force for name in ("left_foot", "right_foot")], 1)


def _feet(env: Environment, values: torch.Tensor) -> torch.Tensor:
    """[N, 2, 3] of the two feet, from values of all bodies [N, B, 3]."""
    names = list(env.robot.body_names)
    return values[:, [names.index(foot) for foot in env.robot.feet]]


def stumble(env: Environment, ratio: float) -> torch.Tensor:
    """1 where a foot is pushed ``ratio`` times as hard sideways as upwards."""
    force = _feet_force(env)
    sideways = torch.linalg.vector_norm(force[..., :2], dim=-1)
    return (sideways > ratio * force[..., 2].abs()).any(-1).float()


def drag(env: Environment) -> torch.Tensor:
    """Speed (sum of absolute components, m/s) of the feet that are on the ground."""
    speed = _feet(env, env.state.robot.body_lin_vel_w).abs().sum(-1)
    return (speed * gait(env).down).sum(-1)


def _moving(env: Environment, command: str) -> torch.Tensor:
    """[N] 1 where the reference goes somewhere."""
    speed = torch.linalg.vector_norm(motion_command(env, command).body_lin_vel_w[:, 0, :2], dim=-1)
    return (speed > STANDING).float()


def air_time(env: Environment, least: float, command: str = "motion") -> torch.Tensor:
    """By how much flights that end now were longer than ``least`` s."""
    state = gait(env)
    return ((state.landed_s - least) * state.touched).sum(-1) * _moving(env, command)


def feet_height(env: Environment, enough: float, command: str = "motion") -> torch.Tensor:
    """How far both feet's height (its length, m) is below ``enough``, never positive."""
    height = _feet(env, env.state.robot.body_pos_w)[..., 2]
    low = (torch.linalg.vector_norm(height, dim=-1) - enough).clamp_max(0.0)
    return low * _moving(env, command)


def feet_force(env: Environment, bearable: float) -> torch.Tensor:
    """Vertical force (length of both, N) beyond what is bearable."""
    force = torch.linalg.vector_norm(_feet_force(env)[..., 2], dim=-1)
    return (force - bearable).clamp_min(0.0)


# ends --------------------------------------------------------------------------------------


@limit_on
def torso_contact(env: Environment) -> torch.Tensor:
    """Force on the torso (the anchor body), N."""
    names = env.scene.contact_bodies
    if env.robot.anchor_body not in names:
        return torch.zeros(env.num_envs, device=env.device)
    return env.engine.contact_force[:, names.index(env.robot.anchor_body)]


@limit_on
def upper_body_off(env: Environment, command: str = "motion") -> torch.Tensor:
    """Length of the upper body's joint errors, rad."""
    return _upper_error(env, command)


# the task ----------------------------------------------------------------------------------


def exbody_rewards() -> dict[str, RewardTerm]:
    """The published terms and weights."""

    def follows(function: object, weight: float, **parameters: float) -> RewardTerm:
        return RewardTerm(
            function=function,  # type: ignore[arg-type]
            weight=weight, parameters=parameters, tracking=True,
        )  # fmt: skip

    def term(function: object, weight: float, **parameters: float) -> RewardTerm:
        return RewardTerm(function=function, weight=weight, parameters=parameters)  # type: ignore[arg-type]

    return {
        "upper_joints": follows(upper_joints, 3.0, sharpness=0.7),
        "upper_bodies": follows(upper_bodies, 2.0),
        "base_velocity": follows(base_velocity, 6.0, sharpness=4.0),
        "heading": follows(heading, 1.0),
        "roll_pitch": follows(roll_pitch, 1.0),
        "alive": term(alive, 1.0),
        "tilt": term(tilt, -2.0),
        "vertical_velocity": term(vertical_velocity, -1.0),
        "rolling": term(rolling, -0.4),
        "joint_acceleration": term(joint_acceleration, -3e-7),
        "collision": term(collision, -10.0, force=0.1),
        "action_rate": term(action_rate, -0.1),
        "energy": term(energy, -1e-3),
        "legs_off_default": term(legs_off_default, -0.1),
        "stumble": term(stumble, -2.0, ratio=4.0),
        "drag": term(drag, -0.1),
        "joint_limit": term(rewards.joint_limit, -10.0),
        "air_time": term(air_time, 10.0, least=0.5),
        "feet_height": term(feet_height, 2.0, enough=0.2),
        "feet_force": term(feet_force, -3e-3, bearable=500.0),
    }


def seen() -> dict[str, ObservationTerm]:
    """What the actor sees."""
    return {
        "command": ObservationTerm(function=interfaces.shown_joints),
        "reference_root": ObservationTerm(function=interfaces.shown_root),
        "upper_body_pos": ObservationTerm(function=upper_body_pos),
        "heading_error": ObservationTerm(function=heading_error),
        **measured(HISTORY),
    }


def exbody() -> TaskConfig:
    """ExBody's single-stage task, see the module."""
    known = {
        "base_lin_vel": ObservationTerm(function=observations.base_lin_vel),
        "foot_contacts": ObservationTerm(function=privileged.foot_contacts),
        "drawn_numbers": ObservationTerm(
            function=privileged.drawn_numbers, parameters={"names": ("foot_friction", "base_mass")}
        ),
        "drawn_vectors": ObservationTerm(
            function=privileged.drawn_vectors, parameters={"names": ("base_com",)}
        ),
        "drawn_joint_factors": ObservationTerm(
            function=privileged.drawn_joint_factors, parameters={"names": ("motor_strength",)}
        ),
    }
    interface = Interface(shows=("upper-body", "velocity", "posture"))
    task = TaskConfig(
        task="exbody",
        commands={
            "motion": MotionCommandConfig(),
            "interface": InterfaceCommandConfig(interfaces={"exbody": interface}),
            "gait": GaitConfig(),
        },
        observations={
            "actor": seen(),
            "critic": {**{n: replace(t, noise=0.0) for n, t in seen().items()}, **known},
        },
        rewards=exbody_rewards(),
        terminations={
            "time_out": TerminationTerm(function=terminations.time_out, time_out=True),
            "clip_end": TerminationTerm(function=terminations.clip_end, time_out=True),
            "torso_contact": TerminationTerm(function=torso_contact, parameters={"threshold": 1.0}),
            # exp(-0.7 e) < 0.1
            "upper_body_off": TerminationTerm(
                function=upper_body_off, parameters={"threshold": 3.29}
            ),
        },
    )
    return with_randomisation(task, "exbody")
