"""Batched forward kinematics in torch: poses and velocities of every body from qpos and qvel.

Cheaper on a CPU than a second forward pass of the physics library, and differentiable.
"""

from __future__ import annotations

import numpy as np
import torch

from robots import Robot

# q (x) p = sum_i q_i S_i p[P_i]: the signed permutations of the Hamilton product.
_PERMUTATION = torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1], [3, 2, 1, 0]])
_SIGN = torch.tensor(
    [[1.0, 1, 1, 1], [-1.0, 1, -1, 1], [-1.0, 1, 1, -1], [-1.0, -1, 1, 1]]
)


class Kinematics:
    """Forward kinematics of one robot.

    Only orientations go level by level down the tree. Positions and velocities are sums over each
    body's ancestors, one matrix product for all bodies. Tensors are component- and body-major
    inside ([4, B, N]), so that every operation runs along the environments. Every body carries at
    most one hinge whose axis passes through the body's origin, as in all supported humanoids.
    """

    def __init__(self, robot: Robot, device: torch.device, dtype: torch.dtype = torch.float32):
        model = robot.model
        count = model.nbody - 1
        parent = [int(model.body_parentid[b + 1]) - 1 for b in range(count)]
        joint_of = _joint_of_body(robot)
        depth = [0] * count
        ancestors = np.zeros((count, count))
        for body in range(1, count):
            depth[body] = depth[parent[body]] + 1
            ancestors[body] = ancestors[parent[body]]
            ancestors[body, body] = 1.0

        def tensor(array: np.ndarray) -> torch.Tensor:
            return torch.as_tensor(np.array(array), dtype=dtype, device=device)

        self._levels = [
            (
                torch.tensor([b for b in range(count) if depth[b] == level], device=device),
                torch.tensor([parent[b] for b in range(count) if depth[b] == level], device=device),
            )
            for level in range(1, max(depth) + 1)
        ]
        axis = np.zeros((count, 3))
        for body in range(count):
            if joint_of[body] >= 0:
                axis[body] = model.jnt_axis[joint_of[body] + 1]
        self._axis = tensor(axis.T)[..., None]
        self._offset = tensor(model.body_pos[1:].T)[..., None]
        self._offset[:, 0] = 0.0  # the root's pose is given in the world
        # local = fixed (x) [cos, sin axis] = cos fixed + sin (fixed (x) [0, axis])
        fixed = tensor(model.body_quat[1:].T)
        turned = (_products(tensor(np.hstack([np.zeros((count, 1)), axis]).T)) * fixed[:, None])
        self._cosine = _products(fixed)[..., None]
        self._sine = _products(turned.sum(0))[..., None]
        self._ancestors = tensor(ancestors)
        # Bodies without a joint read an extra row that is always zero.
        rows = [j if j >= 0 else model.njnt - 1 for j in joint_of]
        self._rows = torch.tensor(rows, device=device)
        self._parents = torch.tensor([0, *parent[1:]], device=device)

    def __call__(
        self, qpos: torch.Tensor, qvel: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return world positions, orientations, linear and angular velocities of all bodies.

        Args:
            qpos: [N, 7 + J]. qvel: [N, 6 + J], MuJoCo's convention (see ``Engine``).

        Returns:
            [N, B, 3] m, [N, B, 4] wxyz, [N, B, 3] m/s of the body origins, [N, B, 3] rad/s.
        """
        pad = (0, 0, 0, 1)
        joints = torch.nn.functional.pad(qpos.T[7:], pad)[self._rows]
        rates = torch.nn.functional.pad(qvel.T[6:], pad)[self._rows]
        half = 0.5 * joints
        local = torch.cos(half) * self._cosine + torch.sin(half) * self._sine  # [4, 4, B, N]

        quat = torch.empty_like(local[0])
        quat[:, 0] = qpos.T[3:7]
        for members, parents in self._levels:
            quat[:, members] = (quat[:, None, parents] * local[:, :, members]).sum(0)
        position = qpos.T[:3, None]
        arms = _rotate(quat[:, self._parents], self._offset)
        from_root = self._ancestors @ arms
        spin = _rotate(quat, self._axis) * rates
        root_spin = _rotate(quat[:, :1], qvel.T[3:6, None])
        ang_vel = self._ancestors @ spin + root_spin
        moment = self._ancestors @ _cross(spin, from_root)
        lin_vel = qvel.T[:3, None] + _cross(ang_vel, from_root) - moment
        outputs = (from_root + position, quat, lin_vel, ang_vel)
        return tuple(x.permute(2, 1, 0).contiguous() for x in outputs)  # type: ignore[return-value]


def _products(quat: torch.Tensor) -> torch.Tensor:
    """[4, 4, B] such that (a (x) quat)_k = sum_i a_i products[i, k]."""
    index = _PERMUTATION.to(quat.device)
    return _SIGN.to(quat)[..., None] * quat[index]


def _cross(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Cross product along the first dimension."""
    return torch.stack(
        [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
    )


def _rotate(quat: torch.Tensor, vec: torch.Tensor) -> torch.Tensor:
    """Rotate vectors [3, ...] by quaternions [4, ...]."""
    twice = 2.0 * _cross(quat[1:], vec)
    return vec + quat[0] * twice + _cross(quat[1:], twice)


def _joint_of_body(robot: Robot) -> list[int]:
    """Index of each body's hinge in ``robot.joint_names``; -1 for the root and welded bodies."""
    model = robot.model
    joint_of = [-1] * (model.nbody - 1)
    for joint in range(1, model.njnt):
        body = int(model.jnt_bodyid[joint]) - 1
        name = robot.body_names[body]
        if joint_of[body] != -1:
            raise ValueError(f"{robot.name}: body {name} has more than one joint")
        if np.abs(model.jnt_pos[joint]).max() > 1e-9:
            raise ValueError(f"{robot.name}: the joint of body {name} is off the body's origin")
        joint_of[body] = joint - 1
    return joint_of
