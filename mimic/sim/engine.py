"""The engine: what an environment may ask of physics, whichever library computes it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from mimic.sim.choice import EngineSpec, check_device, choose_engine, engine_class
from mimic.sim.errors import CannotVaryError, EngineError, one_line_of_device_trouble
from mimic.sim.kinematics import Kinematics
from mimic.sim.state import FixedObject, RowsOfEnvironments, SceneState
from mimic_base.errors import MimicError
from mimic_base.rotations_torch import quat_inv_rotate

if TYPE_CHECKING:
    from mimic.sim.scene import Scene

BodyKinematics = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, ...]]
Sample = Callable[[torch.Tensor, torch.Tensor], None]
"""Is called with torques and forces on the feet after a physics step, see ``Engine.watch``."""
MAX_SPEED = 1e3
"""Joint speeds no real motor reaches: the state has blown up even if it is still finite."""


class Engine(RowsOfEnvironments, ABC):
    """Many copies of one scene, stepped together.

    All tensors live on ``device`` in float32, quaternions wxyz, world frame z up. After ``step``
    and ``reset`` every state tensor belongs to the *new* state, whatever order the library itself
    computes things in: bodies come from one batched kinematics in torch behind every engine, so
    they differ between engines only as ``qpos`` does. Contact forces are those of the last physics
    step.

    Terms and tasks read ``state``; the generalised coordinates are for tools that compare or
    continue whole states.

    A new engine is a class that derives from this one, takes
    ``(scene, num_envs, *, device, threads, **options)`` and has four methods: ``advance``,
    ``_read``, ``_write`` and ``_write_velocity``. Where it knows contact forces it overrides
    ``_read_contacts``; where its environments may differ, ``model_field`` and
    ``_write_model_field``. It ends its ``__init__`` with ``_publish(*self._read())``. It is used
    by ``--engine package.module:Class``, without a word about it elsewhere.

    Attributes:
        name: short name for reports.
        options: what may follow the name on the command line, with meanings.
        on_gpu: whether ``--device auto`` means a GPU where there is one.
        state: the robot, objects and named contacts by name.
        qpos: [N, nq] floating base position (m) and orientation, joints (rad), then position and
            orientation of each free object in the scene's order.
        qvel: [N, nv] floating base linear velocity in the world (m/s) and angular velocity in
            the base frame (rad/s), joints (rad/s), then the same six of each free object.
        body_pos_w, body_quat_w, body_lin_vel_w, body_ang_vel_w: [N, B, 3 | 4] of the robot's
            bodies in ``robot.body_names`` order, velocities of the body frame's origin.
        contact_force: [N, C] magnitude (N) of the contact force on ``scene.contact_bodies``.
        named_contact_force: [N, K, 3] world force (N) of ``scene.contacts``, in their order.
    """

    name: ClassVar[str] = "engine"
    options: ClassVar[Mapping[str, str]] = {}
    on_gpu: ClassVar[bool] = False

    qpos: torch.Tensor
    qvel: torch.Tensor
    body_pos_w: torch.Tensor
    body_quat_w: torch.Tensor
    body_lin_vel_w: torch.Tensor
    body_ang_vel_w: torch.Tensor
    contact_force: torch.Tensor
    named_contact_force: torch.Tensor

    def __init__(self, scene: Scene, num_envs: int, device: torch.device | str) -> None:
        self.scene = scene
        self.num_envs = num_envs
        self.device = torch.device(device)
        self._kinematics = Kinematics(scene.robot, self.device)
        self._kinematics_of_all: BodyKinematics = self._kinematics
        self.contact_force = torch.zeros(num_envs, len(scene.contact_bodies), device=self.device)
        self.named_contact_force = torch.zeros(num_envs, len(scene.contacts), 3, device=self.device)
        self.state = SceneState(self)
        # Of the robot alone; whole tensors where there is nothing else in the scene.
        alone = scene.model.nq == scene.robot.model.nq
        self._robot_columns = None if alone else (scene.robot.model.nq, scene.robot.model.nv)
        self._qpos0 = torch.tensor(scene.model.qpos0, dtype=torch.float32, device=self.device)

    # what an engine has to know ------------------------------------------------------------

    @abstractmethod
    def advance(self, targets: torch.Tensor) -> None:
        """The physics of ``step`` alone: state tensors are stale until the next ``step``.

        For measurements; an environment calls ``step``. Joint torques are those of the scene's
        position servos, ``kp (target - q) - kd qd`` clipped to the effort limit, in each of the
        ``scene.decimation`` physics steps.
        """

    @abstractmethod
    def _read(self) -> tuple[torch.Tensor, torch.Tensor]:
        """[N, nq], [N, nv] the present state in tensors that will not change afterwards."""

    @abstractmethod
    def _write(self, env_ids: torch.Tensor, qpos: torch.Tensor, qvel: torch.Tensor) -> None:
        """Put the environments ``env_ids`` [n] into [n, nq], [n, nv]; their past is forgotten.

        What a solver remembers of a former step must not influence the next one.
        """

    @abstractmethod
    def _write_velocity(self, env_ids: torch.Tensor, qvel: torch.Tensor) -> None:
        """Replace the velocities [n, nv] of the environments ``env_ids`` [n]."""

    def _read_contacts(self) -> torch.Tensor | None:
        """[N, 3 (C + K)] net contact forces (N) on bodies, world axes, of the last physics step.

        First ``scene.contact_bodies``, then ``scene.contacts``. None: the engine has none.
        """
        return None

    def _check(self) -> None:  # noqa: B027
        """Raise an ``EngineError`` if the step that was just taken cannot be trusted."""

    def model_field(self, name: str) -> torch.Tensor:
        """Per-environment values [N, ...] of an ``mjModel`` field; call ``write_model_field``.

        Raises:
            EngineError: the engine cannot vary it between environments.
        """
        raise CannotVaryError(self.name, name)

    def _write_model_field(self, name: str, values: torch.Tensor) -> None:
        """Set the per-environment values [N, ...] of a field that ``model_field`` knows."""
        self.model_field(name)

    def watch(self, sample: Sample | None) -> bool:
        """Have ``sample`` called after every physics step; None ends that.

        It is given the torques [N, J] (N m) that the servos exert and the forces [N, 2, 3] (N,
        world) on the left and right foot, in tensors that change with the next step.

        Returns:
            False where the engine cannot be watched.
        """
        return False

    def close(self) -> None:  # noqa: B027
        """Give back what the garbage collector would not: processes, shared memory."""

    # what an environment asks --------------------------------------------------------------

    def step(self, targets: torch.Tensor) -> None:
        """Advance one control step with joint position targets [N, J] (rad).

        Raises:
            EngineError: the physics cannot be trusted, such as after lost contacts.
        """
        self.advance(targets)
        self._publish(*self._read())
        self._publish_contacts(self._read_contacts())
        self._check()

    def write_model_field(self, name: str, values: torch.Tensor) -> None:
        """Set the per-environment values [N, ...] of an ``mjModel`` field.

        Values as they are: what MuJoCo derives from a field is written by whoever knows it, see
        ``mimic.sim.objects.vary_object``.

        Raises:
            EngineError: the engine cannot vary it between environments.
        """
        self._write_model_field(name, values)
        if name in ("body_pos", "body_quat"):
            for each in self.state.objects.values():
                if isinstance(each, FixedObject):
                    each.moved(name, values)

    def reset(self, env_ids: torch.Tensor, qpos: torch.Tensor, qvel: torch.Tensor) -> None:
        """Put the environments ``env_ids`` [n] into the full states [n, nq], [n, nv].

        Full means the free objects too, in ``Engine.qpos``'s order; ``reset_to`` needs less.
        """
        model = self.scene.model
        if qpos.shape[-1] != model.nq or qvel.shape[-1] != model.nv:
            raise MimicError(
                f"reset takes all coordinates of the scene, [n, {model.nq}] and [n, {model.nv}], "
                f"got {list(qpos.shape)} and {list(qvel.shape)}; reset_to takes the robot alone"
            )
        self._write(env_ids, qpos, qvel)
        self.contact_force[env_ids] = 0.0
        self.named_contact_force[env_ids] = 0.0
        # The caller may hand back our own tensors.
        self._publish_some(env_ids, self._own(qpos).clone(), self._own(qvel).clone())

    def snapshot(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The whole present state, [N, nq] and [N, nv], for ``restore``; columns are named by
        ``scene.coordinate_names`` and ``scene.velocity_names``."""
        return self.qpos.clone(), self.qvel.clone()

    def restore(self, state: tuple[torch.Tensor, torch.Tensor]) -> None:
        """Put all environments into a state of ``snapshot``, of this engine or of another one of
        the same scene; what a solver remembers is forgotten."""
        qpos, qvel = (each.to(self.device) for each in state)
        self.reset(torch.arange(self.num_envs, device=self.device), qpos, qvel)

    def reset_to(
        self,
        env_ids: torch.Tensor,
        *,
        root_pos_w: torch.Tensor,
        root_quat_w: torch.Tensor,
        joint_pos: torch.Tensor,
        root_lin_vel_w: torch.Tensor,
        root_ang_vel_b: torch.Tensor,
        joint_vel: torch.Tensor,
        objects: Mapping[str, tuple[torch.Tensor, ...]] | None = None,
    ) -> None:
        """Put the robots and objects of the environments ``env_ids`` [n] into given states.

        Args:
            root_pos_w: [n, 3] m. root_quat_w: [n, 4] wxyz. joint_pos: [n, J] rad.
            root_lin_vel_w: [n, 3] m/s in the world. root_ang_vel_b: [n, 3] rad/s in the base's
                own axes. joint_vel: [n, J] rad/s.
            objects: of free objects by name (pos_w [n, 3] m, quat_w [n, 4] wxyz), where it rests,
                or (pos_w, quat_w, lin_vel_w [n, 3] m/s, ang_vel_w [n, 3] rad/s). Objects without
                a word rest where the scene's configuration has them.

        Raises:
            MimicError: an object that the scene does not have, or that is fixed.
        """
        qpos = torch.cat([root_pos_w, root_quat_w, joint_pos], -1)
        qvel = torch.cat([root_lin_vel_w, root_ang_vel_b, joint_vel], -1)
        if self._robot_columns is not None:
            nq, nv = self._robot_columns
            qpos = torch.cat([qpos, self._qpos0[nq:].repeat(len(env_ids), 1).to(qpos)], -1)
            rest = qvel.new_zeros(len(env_ids), self.scene.model.nv - nv)
            qvel = torch.cat([qvel, rest], -1)
        for name, state in (objects or {}).items():
            at, velocity_at = self._free_object(name)
            qpos[:, at : at + 3], qpos[:, at + 3 : at + 7] = state[:2]
            if len(state) > 2:
                qvel[:, velocity_at : velocity_at + 3] = state[2]
                own_axes = quat_inv_rotate(state[1], state[3])
                qvel[:, velocity_at + 3 : velocity_at + 6] = own_axes
        self.reset(env_ids, qpos, qvel)

    def set_velocity(self, env_ids: torch.Tensor, qvel: torch.Tensor) -> None:
        """Replace the velocities [n, nv] of some environments."""
        self._write_velocity(env_ids, qvel)
        self._publish_some(env_ids, self.qpos[env_ids], self._own(qvel).clone())

    def set_root_velocity(
        self, env_ids: torch.Tensor, lin_vel_w: torch.Tensor, ang_vel_b: torch.Tensor
    ) -> None:
        """Replace the velocity of some robots' floating base: a push.

        Args:
            env_ids: [n]. lin_vel_w: [n, 3] m/s in the world. ang_vel_b: [n, 3] rad/s along the
                base's own axes.
        """
        qvel = self.qvel[env_ids]
        qvel[:, :3], qvel[:, 3:6] = lin_vel_w, ang_vel_b
        self.set_velocity(env_ids, qvel)

    def set_external_force(
        self, env_ids: torch.Tensor, bodies: torch.Tensor, force: torch.Tensor
    ) -> None:
        """Let forces [n, K, 3] (N, world) act at the centres of mass of the scene's bodies [K] in
        the environments ``env_ids`` [n], until they are set again.

        Raises:
            EngineError: the engine cannot.
        """
        raise CannotVaryError(self.name, "xfrc_applied")

    def non_finite(self) -> torch.Tensor:
        """[N] bool: environments whose state is not finite or has blown up."""
        # A sum or a maximum over one non-finite value is not finite: two reductions are enough.
        fine = torch.isfinite(self.qpos.sum(1)) & (self.qvel.abs().amax(1) < MAX_SPEED)
        return ~fine

    def wrap_kinematics(self, wrap: Callable[[BodyKinematics], BodyKinematics]) -> None:
        """Compute the bodies of all environments through ``wrap`` of the function that does it."""
        self._kinematics_of_all = wrap(self._kinematics)

    # parts ---------------------------------------------------------------------------------

    def _own(self, values: torch.Tensor) -> torch.Tensor:
        return values.to(self.device, torch.float32)

    def _free_object(self, name: str) -> tuple[int, int]:
        """Columns of ``qpos`` and ``qvel`` at which a free object's coordinates begin."""
        found = self.scene.objects.get(name)
        if found is None:
            have = ", ".join(self.scene.objects) or "none"
            raise MimicError(f"the scene has no object '{name}'; it has: {have}")
        if found.qpos is None or found.qvel is None:
            raise MimicError(
                f"object '{name}' is fixed and has no state; write the model field body_pos"
            )
        return found.qpos, found.qvel

    def _publish(self, qpos: torch.Tensor, qvel: torch.Tensor) -> None:
        """Make [N, nq], [N, nv] the state; the tensors must not change afterwards."""
        self.qpos, self.qvel = qpos, qvel
        bodies = self._kinematics_of_all(*self._robot_part(qpos, qvel))
        self.body_pos_w, self.body_quat_w, self.body_lin_vel_w, self.body_ang_vel_w = bodies

    def _publish_some(self, env_ids: torch.Tensor, qpos: torch.Tensor, qvel: torch.Tensor) -> None:
        """Replace the rows ``env_ids`` [n] of the state by [n, nq], [n, nv]."""
        self.qpos[env_ids] = qpos
        self.qvel[env_ids] = qvel
        pos, quat, lin_vel, ang_vel = self._kinematics(*self._robot_part(qpos, qvel))
        self.body_pos_w[env_ids] = pos
        self.body_quat_w[env_ids] = quat
        self.body_lin_vel_w[env_ids] = lin_vel
        self.body_ang_vel_w[env_ids] = ang_vel

    def _robot_part(
        self, qpos: torch.Tensor, qvel: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The robot's columns of [n, nq], [n, nv]."""
        if self._robot_columns is None:
            return qpos, qvel
        nq, nv = self._robot_columns
        return qpos[:, :nq], qvel[:, :nv]

    def _publish_contacts(self, forces: torch.Tensor | None) -> None:
        """Take [N, 3 (C + K)] net contact forces (N); see ``_read_contacts``."""
        count, named = len(self.scene.contact_bodies), len(self.scene.contacts)
        if forces is None or not count + named:
            return
        vectors = forces.reshape(self.num_envs, count + named, 3)
        lengths = torch.linalg.vector_norm(vectors[:, :count], dim=-1)
        self.contact_force = lengths.to(self.device)
        self.named_contact_force = vectors[:, count:].to(self.device, copy=True)


def make_engine(
    name: str, scene: Scene, num_envs: int, *, device: str = "cpu", threads: int = 0
) -> Engine:
    """Create an engine by name; ``auto`` picks the best one for the device.

    Args:
        name: ``auto``, ``mujoco``, ``mjx``, ``warp`` or ``package.module:Class``, with options
            after a colon: ``warp:nconmax=64,njmax=300``.
        device: torch device of the state tensors, and of the physics where the engine can.
        threads: of the ``mujoco`` engine; 0 means one per core.

    Raises:
        EngineError: unknown engine or option, missing extra, a device without enough memory.
    """
    if threads < 0:
        raise EngineError(f"threads must be 0 (one per core) or more, got {threads}")
    check_device(device)
    spec = EngineSpec.parse(name)
    chosen = choose_engine(spec.name, torch.device(device))
    make: Any = engine_class(chosen)
    options = spec.checked(chosen, make.options)
    with one_line_of_device_trouble(f"engine {chosen}, {num_envs} environments"):
        return make(scene, num_envs, device=device, threads=threads, **options)
