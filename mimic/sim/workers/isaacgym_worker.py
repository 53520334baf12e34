"""Isaac Gym (Preview 4) behind the protocol of engines in other processes.

Written against the type information of ``isaacgym-stubs`` and NVIDIA's documentation; NEVER RUN ON
THE REAL PACKAGE. Python 3.8, with isaacgym and the torch it wants, on a machine with a GPU or not.

What differs from MuJoCo's engines: the vendor's own collision shapes are used, contacts are
PhysX's, a robot does not touch itself, and PhysX moves bodies by their centre of mass: where it
reports that point's velocity, the base's velocity differs by the angular velocity times the offset.
"""

import os
import sys
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from worker_protocol import Simulator, serve  # noqa: E402


def columns(source: Sequence[str], wanted: Sequence[str], what: str = "joints") -> np.ndarray:
    """Indices such that ``values[..., indices]`` has the columns ``wanted`` of ``source``."""
    places = {name: index for index, name in enumerate(source)}
    if len(places) != len(source):
        twice = sorted({name for name in source if list(source).count(name) > 1})
        raise ValueError("{} {} are named twice".format(what, ", ".join(twice)))
    missing = [name for name in wanted if name not in places]
    if missing:
        raise ValueError(
            "{} {} are missing; there are {}".format(what, ", ".join(missing), ", ".join(source))
        )
    return np.array([places[name] for name in wanted], dtype=np.int64)


def root_state(qpos: np.ndarray, qvel: np.ndarray) -> np.ndarray:
    """Isaac Gym's root state [..., 13] of the floating base in ``qpos``, ``qvel``.

    Position, quaternion xyzw, linear and angular velocity, both along the axes of the world; from
    m, wxyz, m/s in the world and rad/s along the base's own axes.
    """
    quat = qpos[..., 3:7]
    spin = _rotate(quat, qvel[..., 3:6])
    return np.concatenate([qpos[..., :3], quat[..., [1, 2, 3, 0]], qvel[..., :3], spin], -1)


def floating_base(state: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """``qpos[..., :7]`` and ``qvel[..., :6]`` from Isaac Gym's root state [..., 13]."""
    quat = state[..., [6, 3, 4, 5]]
    spin = _rotate(quat * np.array([1.0, -1.0, -1.0, -1.0], quat.dtype), state[..., 10:13])
    return (
        np.concatenate([state[..., :3], quat], -1),
        np.concatenate([state[..., 7:10], spin], -1),
    )


def _rotate(quat: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """``vector`` [..., 3] turned by unit quaternions wxyz [..., 4]."""
    axis = quat[..., 1:]
    twice = 2.0 * np.cross(axis, vector)
    return vector + quat[..., :1] * twice + np.cross(axis, twice)


class IsaacGymSimulator(Simulator):
    """N robots on a plane, all at the origin of the world and invisible to each other."""

    def __init__(self) -> None:
        # Isaac Gym refuses to be imported after torch.
        try:
            from isaacgym import gymapi, gymtorch  # type: ignore[attr-defined]
        except ImportError as error:
            raise RuntimeError(
                f"Python {sys.version_info[0]}.{sys.version_info[1]} at {sys.executable} "
                f"has no isaacgym package ({error})"
            ) from error
        import torch

        self._api, self._interop, self._torch = gymapi, gymtorch, torch
        self._gym = gymapi.acquire_gym()

    def open(self, request: Dict[str, Any]) -> List[str]:
        api, gym, torch = self._api, self._gym, self._torch
        robot, count = request["robot"], int(request["num_envs"])
        self._count, self._decimation = count, int(request["decimation"])
        on_gpu = torch.cuda.is_available()
        params = api.SimParams()
        params.dt = float(request["physics_dt"])
        params.substeps = 1
        params.up_axis = api.UP_AXIS_Z
        params.gravity = api.Vec3(0.0, 0.0, -9.81)
        params.use_gpu_pipeline = on_gpu
        params.physx.use_gpu = on_gpu
        params.physx.num_threads = int(request["threads"]) or (os.cpu_count() or 1)
        params.physx.solver_type = 1
        params.physx.num_position_iterations = 4
        params.physx.num_velocity_iterations = 0
        params.physx.contact_offset = 0.01
        params.physx.rest_offset = 0.0
        self._sim = gym.create_sim(0, -1, api.SIM_PHYSX, params)
        if self._sim is None:
            raise RuntimeError("Isaac Gym could not create a simulation")
        self._on_gpu, device = on_gpu, torch.device("cuda:0" if on_gpu else "cpu")
        plane = api.PlaneParams()
        plane.normal = api.Vec3(0.0, 0.0, 1.0)
        plane.static_friction = plane.dynamic_friction = float(request["friction"])
        gym.add_ground(self._sim, plane)
        asset, bodies = self._asset(robot)

        joints = gym.get_asset_dof_names(asset)
        self._to_ours = torch.as_tensor(columns(joints, robot["joint_names"]), device=device)
        self._to_theirs = torch.as_tensor(columns(robot["joint_names"], joints), device=device)

        def theirs(key: str) -> Any:
            values = np.array(robot[key], np.float32)[columns(robot["joint_names"], joints)]
            return torch.as_tensor(values, device=device)

        self._kp, self._kd, self._effort = theirs("kp"), theirs("kd"), theirs("effort")
        properties = gym.get_asset_dof_properties(asset)
        # Torques are computed here, as on every other engine: the drive does nothing.
        properties["driveMode"].fill(int(api.DOF_MODE_EFFORT))
        for key in ("stiffness", "damping", "friction"):
            properties[key].fill(0.0)
        properties["armature"] = theirs("armature").cpu().numpy()
        properties["effort"] = self._effort.cpu().numpy()
        properties["velocity"] = theirs("velocity").cpu().numpy()
        pose = api.Transform()
        pose.p = api.Vec3(0.0, 0.0, 1.0)
        nowhere = api.Vec3(0.0, 0.0, 0.0)
        per_row = max(1, int(count**0.5))
        for index in range(count):
            env = gym.create_env(self._sim, nowhere, nowhere, per_row)
            # A collision group of its own; filter 1: no contacts between its own links.
            actor = gym.create_actor(env, asset, pose, robot["name"], index, 1)
            gym.set_actor_dof_properties(env, actor, properties)
        gym.prepare_sim(self._sim)

        wrap = self._interop.wrap_tensor
        self._root = wrap(gym.acquire_actor_root_state_tensor(self._sim))
        self._dofs = wrap(gym.acquire_dof_state_tensor(self._sim)).view(count, len(joints), 2)
        forces = wrap(gym.acquire_net_contact_force_tensor(self._sim))
        self._forces = forces.view(count, len(bodies), 3)
        self._touching = columns(bodies, [body for body, _ in request["contacts"]], "bodies")
        default = np.array(robot["default_joint_pos"], np.float32)
        qpos = np.zeros((count, 7 + len(joints)), np.float32)
        qpos[:, 2], qpos[:, 3], qpos[:, 7:] = 1.0, 1.0, default
        everyone = np.arange(count, dtype=np.int32)
        self.reset(everyone, qpos, np.zeros((count, 6 + len(joints)), np.float32))
        self._publish()
        return []

    def step(self) -> None:
        gym, torch = self._gym, self._torch
        targets = torch.as_tensor(self.arrays["targets"].copy(), device=self._dofs.device)
        targets = targets[:, self._to_theirs]
        for _ in range(self._decimation):
            torque = self._kp * (targets - self._dofs[..., 0]) - self._kd * self._dofs[..., 1]
            torque = torch.maximum(torch.minimum(torque, self._effort), -self._effort)
            unwrapped = self._interop.unwrap_tensor(torque.contiguous())
            gym.set_dof_actuation_force_tensor(self._sim, unwrapped)
            gym.simulate(self._sim)
            if not self._on_gpu:
                gym.fetch_results(self._sim, True)
            gym.refresh_dof_state_tensor(self._sim)
        gym.refresh_actor_root_state_tensor(self._sim)
        gym.refresh_net_contact_force_tensor(self._sim)
        self._publish()
        self.arrays["forces"][:] = self._forces.cpu().numpy()[:, self._touching]

    def reset(self, ids: np.ndarray, qpos: np.ndarray, qvel: np.ndarray) -> None:
        self._write(ids, root_state(qpos, qvel), qpos[:, 7:], qvel[:, 6:])

    def velocity(self, ids: np.ndarray, qvel: np.ndarray) -> None:
        qpos = self._states()[0][ids]
        self._write(ids, root_state(qpos, qvel), qpos[:, 7:], qvel[:, 6:])

    def _asset(self, robot: Dict[str, Any]) -> Tuple[Any, List[str]]:
        """The vendor's robot and the names of its bodies."""
        options = self._api.AssetOptions()
        options.fix_base_link = False
        # Bodies must keep their names: contacts are looked up by them.
        options.collapse_fixed_joints = False
        options.replace_cylinder_with_capsule = True
        options.default_dof_drive_mode = int(self._api.DOF_MODE_EFFORT)
        options.disable_gravity = False
        options.angular_damping = options.linear_damping = 0.0
        folder, file = os.path.split(robot["file"])
        asset = self._gym.load_asset(self._sim, folder, file, options)
        if asset is None:
            raise RuntimeError("Isaac Gym cannot read {}".format(robot["file"]))
        return asset, self._gym.get_asset_rigid_body_names(asset)

    def _write(
        self, ids: np.ndarray, root: np.ndarray, joints: np.ndarray, speeds: np.ndarray
    ) -> None:
        torch, device = self._torch, self._root.device
        chosen = torch.as_tensor(np.array(ids, np.int32), device=device)
        rows, order = chosen.long(), self._to_theirs
        self._root[rows] = torch.as_tensor(root.astype(np.float32), device=device)
        self._dofs[rows, :, 0] = torch.as_tensor(np.array(joints), device=device)[:, order]
        self._dofs[rows, :, 1] = torch.as_tensor(np.array(speeds), device=device)[:, order]
        unwrap, count = self._interop.unwrap_tensor, len(ids)
        self._gym.set_actor_root_state_tensor_indexed(
            self._sim, unwrap(self._root), unwrap(chosen), count
        )
        self._gym.set_dof_state_tensor_indexed(self._sim, unwrap(self._dofs), unwrap(chosen), count)

    def _states(self) -> Tuple[np.ndarray, np.ndarray]:
        base_pos, base_vel = floating_base(self._root.cpu().numpy())
        dofs = self._dofs[:, self._to_ours].cpu().numpy()
        return (
            np.concatenate([base_pos, dofs[..., 0]], -1),
            np.concatenate([base_vel, dofs[..., 1]], -1),
        )

    def _publish(self) -> None:
        self.arrays["qpos"][:], self.arrays["qvel"][:] = self._states()


if __name__ == "__main__":
    sys.exit(serve(IsaacGymSimulator, "isaacgym"))
