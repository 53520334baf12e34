"""The engine protocol: what an environment may ask of physics, whichever library computes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch

from mimic.sim.choice import EngineSpec, choose_engine, engine_class
from mimic.sim.errors import one_line_of_device_trouble

if TYPE_CHECKING:
    from mimic.sim.scene import Scene


@runtime_checkable
class Engine(Protocol):
    """Many copies of one scene, stepped together.

    All tensors live on ``device`` in float32, quaternions wxyz, world frame z up. After ``step``
    and ``reset`` every state tensor belongs to the *new* state, whatever order the library itself
    computes things in.

    Attributes:
        qpos: [N, 7 + J] floating base position (m) and orientation, then joints (rad).
        qvel: [N, 6 + J] floating base linear velocity in the world (m/s) and angular velocity in
            the base frame (rad/s), then joints (rad/s).
        body_pos_w, body_quat_w, body_lin_vel_w, body_ang_vel_w: [N, B, 3 | 4] of the robot's
            bodies in ``robot.body_names`` order, velocities of the body frame's origin.
        contact_force: [N, C] magnitude (N) of the contact force on ``scene.contact_bodies`` during
            the last physics step.
    """

    name: str
    num_envs: int
    device: torch.device
    scene: Scene
    qpos: torch.Tensor
    qvel: torch.Tensor
    body_pos_w: torch.Tensor
    body_quat_w: torch.Tensor
    body_lin_vel_w: torch.Tensor
    body_ang_vel_w: torch.Tensor
    contact_force: torch.Tensor

    def step(self, targets: torch.Tensor) -> None:
        """Advance one control step with joint position targets [N, J] (rad)."""
        ...

    def advance(self, targets: torch.Tensor) -> None:
        """The physics of ``step`` alone: state tensors are stale until the next ``step``.

        For measurements; an environment calls ``step``.
        """
        ...

    def reset(self, env_ids: torch.Tensor, qpos: torch.Tensor, qvel: torch.Tensor) -> None:
        """Put the environments ``env_ids`` [n] into the states [n, 7 + J], [n, 6 + J]."""
        ...

    def set_velocity(self, env_ids: torch.Tensor, qvel: torch.Tensor) -> None:
        """Replace the velocities [n, 6 + J] of some environments (a push)."""
        ...

    def model_field(self, name: str) -> torch.Tensor:
        """Per-environment values [N, ...] of an ``mjModel`` field; call ``write_model_field``."""
        ...

    def write_model_field(self, name: str, values: torch.Tensor) -> None:
        """Set the per-environment values of an ``mjModel`` field."""
        ...

    def non_finite(self) -> torch.Tensor:
        """[N] bool: environments whose state is not finite or has blown up."""
        ...


def make_engine(
    name: str, scene: Scene, num_envs: int, *, device: str = "cpu", threads: int = 0
) -> Engine:
    """Create an engine by name; ``auto`` picks the best one for the device.

    Args:
        name: ``auto``, ``mujoco``, ``mjx`` or ``warp``, with options after a colon:
            ``warp:nconmax=64,njmax=300``.
        device: torch device of the state tensors, and of the physics where the engine can.
        threads: of the ``mujoco`` engine; 0 means one per core.

    Raises:
        EngineError: unknown engine or option, missing extra, a device without enough memory.
    """
    spec = EngineSpec.parse(name)
    chosen = choose_engine(spec.name, torch.device(device))
    make = engine_class(chosen)
    options = spec.checked(chosen, make.options)
    with one_line_of_device_trouble(f"engine {chosen}, {num_envs} environments"):
        return make(scene, num_envs, device=device, threads=threads, **options)
