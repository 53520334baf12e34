"""Run the actor of a legged_gym checkpoint on a robot in MuJoCo.

    python examples/legged_gym_policy.py [model_1500.pt] [ROBOT] [SECONDS]

Joints are found by name, the observation of legged_gym is built from our state, and the actor is
read from the checkpoint without running its code. Without a checkpoint an actor that answers zero
(the default pose) takes its place. ROBOT is unitree_g1 unless given; a checkpoint of another tool
may have another observation: change ``LeggedGymObservation``. Isaac Gym itself as an engine:
mimic/sim/engines/isaacgym.py.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

import robots
from mimic.sim import make_engine
from mimic.sim.scene import make_scene
from mimic.sim.workers.isaacgym_worker import columns
from mimic_base.errors import MimicError
from mimic_base.rotations import quat_inv_rotate
from robots import Robot

Array = NDArray[np.float64]
Simulator = Literal["isaacgym", "isaaclab"]
_LAYER = re.compile(r"actor\.(\d+)\.weight")
CLIP = 100.0
"""legged_gym clips observations, and actions, at +-100."""


def joint_order(robot: Robot, simulator: Simulator) -> tuple[str, ...]:
    """Joints in the order in which a simulator numbers them.

    Isaac Gym walks the tree limb by limb and takes siblings by name, Isaac Lab (PhysX articulations
    of Isaac Sim) walks it level by level in the file's order. A model edited after the import may
    differ: ``gym.get_asset_dof_names`` and ``articulation.joint_names`` have the last word, and
    ``columns`` takes any list of names.
    """
    model = robot.model
    joint_of = {int(model.jnt_bodyid[j + 1]): name for j, name in enumerate(robot.joint_names)}
    children: dict[int, list[int]] = {body: [] for body in range(model.nbody)}
    for body in range(2, model.nbody):
        children[int(model.body_parentid[body])].append(body)
    # Body 0 is the world, body 1 the floating base.
    waiting, order = [1], []
    while waiting:
        body = waiting.pop(0)
        order.append(body)
        if simulator == "isaaclab":
            waiting += children[body]
        else:
            waiting = sorted(children[body], key=lambda child: model.body(child).name) + waiting
    return tuple(joint_of[body] for body in order if body in joint_of)


@dataclass(frozen=True, kw_only=True)
class LeggedGymObservation:
    """The observation of legged_gym's ``LeggedRobot`` on flat ground, and its actions.

    Order and scales are those of legged_gym (Rudin et al. 2021, arXiv 2109.11978) unless changed;
    robots derived from it, such as unitree_rl_gym's, leave out the linear velocity and add a phase
    of their own after it.

    Attributes:
        joint_names: in the checkpoint's order, e.g. ``joint_order(robot, "isaacgym")``.
        default_joint_pos: [J] rad, the pose that an action of zero asks for.
        action_scale: rad per unit action.
    """

    joint_names: tuple[str, ...]
    default_joint_pos: tuple[float, ...]
    with_lin_vel: bool = True
    lin_vel_scale: float = 2.0
    ang_vel_scale: float = 0.25
    joint_pos_scale: float = 1.0
    joint_vel_scale: float = 0.05
    action_scale: float = 0.25

    def __post_init__(self) -> None:
        if len(self.joint_names) != len(self.default_joint_pos):
            raise MimicError(
                f"{len(self.default_joint_pos)} default positions for {len(self.joint_names)} "
                "joints: give one for each"
            )

    @property
    def layout(self) -> tuple[tuple[str, int], ...]:
        """Names and sizes of the parts, in order."""
        joints = len(self.joint_names)
        velocity = (("base_lin_vel", 3),) if self.with_lin_vel else ()
        return (
            *velocity, ("base_ang_vel", 3), ("projected_gravity", 3), ("commands", 3),
            ("joint_pos", joints), ("joint_vel", joints), ("actions", joints),
        )  # fmt: skip

    def __call__(
        self, qpos: ArrayLike, qvel: ArrayLike, command: ArrayLike, actions: ArrayLike,
        joint_names: Sequence[str],
    ) -> Array:  # fmt: skip
        """Observations [..., D] of our states.

        Args:
            qpos, qvel: [..., 7 + J'], [..., 6 + J'], MuJoCo's convention, joints ``joint_names``.
            command: [..., 3] wanted forward and sideways velocity (m/s) and turn rate (rad/s).
            actions: [..., J] the last ones, in the checkpoint's order.
        """
        q, v = np.asarray(qpos, np.float64), np.asarray(qvel, np.float64)
        chosen = columns(joint_names, self.joint_names)
        quat = q[..., 3:7]
        down = np.broadcast_to([0.0, 0.0, -1.0], (*quat.shape[:-1], 3))
        scales = np.array([self.lin_vel_scale, self.lin_vel_scale, self.ang_vel_scale])
        parts = [
            v[..., 3:6] * self.ang_vel_scale,
            quat_inv_rotate(quat, down),
            np.asarray(command, np.float64) * scales,
            (q[..., 7:][..., chosen] - np.array(self.default_joint_pos)) * self.joint_pos_scale,
            v[..., 6:][..., chosen] * self.joint_vel_scale,
            np.asarray(actions, np.float64),
        ]
        if self.with_lin_vel:
            parts.insert(0, quat_inv_rotate(quat, v[..., :3]) * self.lin_vel_scale)
        return np.clip(np.concatenate(parts, -1), -CLIP, CLIP)

    def targets(self, actions: ArrayLike, joint_names: Sequence[str]) -> Array:
        """Joint targets (rad) in our order ``joint_names`` from actions [..., J]."""
        clipped = np.clip(np.asarray(actions, np.float64), -CLIP, CLIP)
        wanted = np.array(self.default_joint_pos) + self.action_scale * clipped
        return wanted[..., columns(self.joint_names, joint_names)]


def load_actor(path: Path | str) -> nn.Sequential:
    """The actor of a legged_gym checkpoint (rsl_rl's ``model_<n>.pt``), without running its code.

    Raises:
        MimicError: not readable, recurrent, or of another program.
    """
    try:
        loaded = torch.load(path, weights_only=True, map_location="cpu")
        weights = dict(loaded["model_state_dict"])
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0][:120] or type(error).__name__
        raise MimicError(
            f"{path}: not a checkpoint of legged_gym's rsl_rl ({reason}); expected a file that "
            "holds 'model_state_dict'"
        ) from error
    if any(name.startswith("memory_a.") for name in weights):
        raise MimicError(f"{path}: a recurrent policy; only feed-forward actors can be read")
    rows = sorted(int(found[1]) for name in weights if (found := _LAYER.fullmatch(name)))
    if not rows:
        raise MimicError(f"{path}: holds no 'actor.<n>.weight'; found {', '.join(weights)[:160]}")
    layers: list[nn.Module] = []
    for row in rows:
        weight, bias = (weights.get(f"actor.{row}.{part}") for part in ("weight", "bias"))
        shapes = [list(getattr(each, "shape", [])) for each in (weight, bias)]
        if len(shapes[0]) != 2 or shapes[1] != shapes[0][:1]:
            raise MimicError(
                f"{path}: layer 'actor.{row}' has a weight of shape {shapes[0]} and a bias of "
                f"{shapes[1]}; expected [outputs, inputs] and [outputs]"
            )
        layer = nn.Linear(shapes[0][1], shapes[0][0])
        layer.load_state_dict({"weight": weight, "bias": bias})
        # legged_gym's activation between layers.
        layers += [layer, nn.ELU()]
    return nn.Sequential(*layers[:-1]).requires_grad_(False)


def main(
    checkpoint: str | None = None, robot: str = "unitree_g1", seconds: float | str = 1.0
) -> None:
    body = robots.load(robot)
    engine = make_engine("mujoco", make_scene(body), 1)
    order = joint_order(body, "isaacgym")
    default = body.default_joint_pos[columns(body.joint_names, order)]
    observation = LeggedGymObservation(joint_names=order, default_joint_pos=tuple(default))
    size, joints = sum(count for _, count in observation.layout), body.num_joints
    if checkpoint:
        actor: nn.Module = load_actor(checkpoint)
    else:
        silent = nn.Linear(size, joints).requires_grad_(False)
        silent.weight.zero_()
        silent.bias.zero_()
        actor = silent

    state = engine.state.robot
    zeros = torch.zeros(1, 3)
    engine.reset_to(
        torch.tensor([0]),
        root_pos_w=torch.tensor([[0.0, 0.0, body.default_root_height]]),
        root_quat_w=torch.tensor([[1.0, 0.0, 0.0, 0.0]]),
        joint_pos=torch.tensor(body.default_joint_pos, dtype=torch.float32)[None],
        root_lin_vel_w=zeros, root_ang_vel_b=zeros, joint_vel=torch.zeros(1, joints),
    )  # fmt: skip
    actions, command = np.zeros((1, joints)), np.array([[0.5, 0.0, 0.0]])
    seconds = float(seconds)
    steps = round(seconds / engine.scene.control_dt)
    for _ in range(steps):
        obs = observation(engine.qpos, engine.qvel, command, actions, body.joint_names)
        actions = actor(torch.tensor(obs, dtype=torch.float32)).numpy()
        targets = observation.targets(actions, body.joint_names)
        engine.step(torch.tensor(targets, dtype=torch.float32))
    x, y, z = state.root_pos_w[0].tolist()
    print(f"{body.name}: after {seconds:g} s the base is at {x:.2f}, {y:.2f}, {z:.2f} m")


if __name__ == "__main__":
    main(*sys.argv[1:])
