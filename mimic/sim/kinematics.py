"""Batched forward kinematics in torch: poses and velocities of every body from qpos and qvel.

Cheaper on a CPU than a second forward pass of the physics library, and differentiable.
"""

from __future__ import annotations

import mujoco
import numpy as np
import torch
from numpy.typing import NDArray

from mimic_base.errors import MimicError
from robots import Robot


class Kinematics:
    """Forward kinematics of one robot.

    Only orientations go level by level down the tree. Positions and velocities are sums over each
    body's ancestors, one matrix product for all bodies. Tensors are body-major inside ([B, 3, N]),
    so that every operation runs along the environments, and constant rotations become small
    matrices applied to all environments at once. Every body carries at most one hinge whose axis
    passes through the body's origin, as in all supported humanoids.
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
        axis = np.zeros((count, 3))
        for body in range(count):
            if joint_of[body] >= 0:
                axis[body] = model.jnt_axis[joint_of[body] + 1]
        offset = model.body_pos[1:].copy()
        offset[0] = 0.0  # the root's pose is given in the world

        def tensor(array: NDArray) -> torch.Tensor:
            return torch.as_tensor(np.ascontiguousarray(array), dtype=dtype, device=device)

        def index(values: list[int]) -> torch.Tensor:
            return torch.tensor(values, dtype=torch.long, device=device)

        # child = parent (x) fixed (x) [cos, sin axis]: linear in the parent's quaternion, with one
        # matrix for the cosine and one for the sine, stacked.
        fixed = _times(_fixed_rotations(robot, joint_of))
        turned = _times(np.hstack([np.zeros((count, 1)), axis])) @ fixed
        by_depth = sorted(range(count), key=lambda body: depth[body])
        place = {body: i for i, body in enumerate(by_depth)}
        self._levels: list[tuple[slice, torch.Tensor, torch.Tensor]] = []
        for level in range(1, max(depth) + 1):
            members = [body for body in by_depth if depth[body] == level]
            rows = slice(place[members[0]], place[members[-1]] + 1)
            steps = tensor(np.hstack([fixed[members], turned[members]]))
            self._levels.append((rows, index([place[parent[b]] for b in members]), steps))
        # Bodies without a joint read an extra row that is always zero.
        rows_of = [j if j >= 0 else model.njnt - 1 for j in joint_of]
        self._joint_by_depth = index([rows_of[body] for body in by_depth])
        self._joint = index(rows_of)
        self._place = index([place[body] for body in range(count)])
        self._parents = index([0, *parent[1:]])
        self._ancestors = tensor(ancestors)
        self._axis = tensor(np.einsum("ijm,bj->bim", _rotation_of_products(), axis))
        self._offset = tensor(np.einsum("ijm,bj->bim", _rotation_of_products(), offset))
        self._rotation = tensor(_rotation_of_products().reshape(9, 16))

        self._chains: dict[int, _Chain] = {}

        def chain(body: int) -> _Chain:
            path = []
            while body > 0:
                path.append(body)
                body = parent[body]
            path.reverse()
            still = _fixed_rotations(robot, joint_of)[path]
            along = np.hstack([np.zeros((len(path), 1)), axis[path]])
            turned = np.einsum("bij,bj->bi", _times(along), still)
            joints = index([rows_of[b] for b in path])
            return _Chain(joints, tensor(still), tensor(turned), tensor(offset[path]))

        self._make_chain = chain
        self._hamilton = tensor(_products_of_quaternions())

    def pose_of(
        self, body: int, root_pos: torch.Tensor, root_quat: torch.Tensor, joint_pos: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """World position [N, 3] and orientation [N, 4] of one body; only its ancestors are
        computed.

        Args:
            root_pos: [N, 3]. root_quat: [N, 4]. joint_pos: [N, J].
        """
        if body not in self._chains:
            self._chains[body] = self._make_chain(body)
        chain = self._chains[body]
        pos, quat = root_pos, root_quat
        padded = torch.nn.functional.pad(joint_pos, (0, 1))
        half = 0.5 * padded.index_select(1, chain.joint)[..., None]
        steps = (torch.cos(half) * chain.still + torch.sin(half) * chain.turned).unbind(1)
        for step, offset, moves in zip(steps, chain.offset, chain.moves, strict=True):
            if moves:
                products = (quat[:, :, None] * quat[:, None]).flatten(1)
                pos = pos + products @ (offset @ self._rotation.view(3, 3, 16)).T
            quat = (quat[:, :, None] * step[:, None]).flatten(1) @ self._hamilton
        return pos, quat

    def __call__(
        self, qpos: torch.Tensor, qvel: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return world positions, orientations, linear and angular velocities of all bodies.

        Args:
            qpos: [N, 7 + J]. qvel: [N, 6 + J], MuJoCo's convention (see ``Engine``).

        Returns:
            [N, B, 3] m, [N, B, 4] wxyz, [N, B, 3] m/s of the body origins, [N, B, 3] rad/s; views
            whose memory runs along the environments.
        """
        qpos, qvel = qpos.T, qvel.T
        quat = self._orientations(qpos)
        products = (quat[:, :, None] * quat[:, None]).flatten(1, 2)
        arms = torch.bmm(self._offset, products.index_select(0, self._parents))
        rates = _joint_rows(qvel[6:], self._joint)
        spin = torch.bmm(self._axis, products) * rates
        to_world = (self._rotation @ products[0]).unflatten(0, (3, 3))
        root_spin = (to_world * qvel[3:6]).sum(1)

        from_root = self._sum_over_ancestors(arms)
        ang_vel = self._sum_over_ancestors(spin) + root_spin
        lin_vel = _cross(ang_vel, from_root)
        lin_vel -= self._sum_over_ancestors(_cross(spin, from_root))
        lin_vel += qvel[:3]
        outputs = (from_root + qpos[:3], quat, lin_vel, ang_vel)
        return tuple(x.permute(2, 0, 1) for x in outputs)  # type: ignore[return-value]

    def _orientations(self, qpos: torch.Tensor) -> torch.Tensor:
        """[B, 4, N] from qpos [7 + J, N]."""
        half = 0.5 * _joint_rows(qpos[7:], self._joint_by_depth)
        cos, sin = torch.cos(half), torch.sin(half)
        quat = qpos.new_empty(len(self._place), 4, qpos.shape[1])
        quat[0] = qpos[3:7]
        for rows, parents, steps in self._levels:
            both = torch.bmm(steps, quat.index_select(0, parents))
            quat[rows] = cos[rows] * both[:, :4] + sin[rows] * both[:, 4:]
        return quat.index_select(0, self._place)

    def _sum_over_ancestors(self, values: torch.Tensor) -> torch.Tensor:
        """[B, 3, N]: for every body the sum over itself and its ancestors but the root."""
        return (self._ancestors @ values.flatten(1)).view_as(values)


class _Chain:
    """The K bodies from below the root down to one body.

    Attributes:
        joint: [K] joint of each, the number of joints where it has none.
        still, turned: [K, 4] its orientation in its parent is ``cos(q / 2) still + sin(q / 2)
            turned``.
        offset: [K, 3] its place in its parent, m. moves: [K] whether that is not the origin.
    """

    def __init__(
        self,
        joint: torch.Tensor,
        still: torch.Tensor,
        turned: torch.Tensor,
        offset: torch.Tensor,
    ) -> None:
        self.joint, self.still, self.turned, self.offset = joint, still, turned, offset
        self.moves = (offset != 0).any(-1).tolist()


def _products_of_quaternions() -> NDArray:
    """[16, 4]: the Hamilton product of a and b as a linear function of the products a_i b_j."""
    basis = np.eye(4)
    table = np.zeros((4, 4, 4))
    for j in range(4):
        # ``_times(b) @ a`` is a (x) b.
        table[:, j] = _times(basis[j : j + 1])[0].T
    return table.reshape(16, 4)


def _joint_rows(values: torch.Tensor, joint: torch.Tensor) -> torch.Tensor:
    """Rows ``joint`` [B] of joint values [J, N] with a zero row appended, [B, 1, N]."""
    return torch.nn.functional.pad(values, (0, 0, 0, 1)).index_select(0, joint)[:, None]


def _times(quat: NDArray) -> NDArray:
    """Matrices [B, 4, 4] such that ``matrix @ p`` is the Hamilton product ``p (x) quat``."""
    w, x, y, z = np.asarray(quat).T
    return np.array([[w, -x, -y, -z], [x, w, z, -y], [y, -z, w, x], [z, y, -x, w]]).transpose(
        2, 0, 1
    )


def _rotation_of_products() -> NDArray:
    """[3, 3, 16]: the rotation matrix of q as a linear function of the products q_a q_b."""
    table = np.zeros((3, 3, 4, 4))
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        table[i, i, 0, 0] = table[i, i, i + 1, i + 1] = 1.0
        table[i, i, j + 1, j + 1] = table[i, i, k + 1, k + 1] = -1.0
        table[i, j, i + 1, j + 1] = table[j, i, i + 1, j + 1] = 2.0
        table[i, j, 0, k + 1], table[j, i, 0, k + 1] = -2.0, 2.0
    return table.reshape(3, 3, 16)


def _cross(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Cross product of [B, 3, N] along the second dimension."""
    return torch.stack(
        [
            a[:, 1] * b[:, 2] - a[:, 2] * b[:, 1],
            a[:, 2] * b[:, 0] - a[:, 0] * b[:, 2],
            a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0],
        ],
        1,
    )


def _fixed_rotations(robot: Robot, joint_of: list[int]) -> NDArray:
    """[B, 4] orientation of every body in its parent when its joint reads zero."""
    model = robot.model
    fixed = model.body_quat[1:].copy()
    for body, joint in enumerate(joint_of):
        # MJCF's `ref`: the reading of the joint in the pose the model is drawn in.
        if joint >= 0 and model.qpos0[7 + joint] != 0.0:
            turn = np.zeros(4)
            mujoco.mju_axisAngle2Quat(turn, model.jnt_axis[joint + 1], -model.qpos0[7 + joint])
            mujoco.mju_mulQuat(fixed[body], model.body_quat[body + 1], turn)
    return fixed


def _joint_of_body(robot: Robot) -> list[int]:
    """Index of each body's hinge in ``robot.joint_names``; -1 for the root and welded bodies."""
    model = robot.model
    joint_of = [-1] * (model.nbody - 1)
    for joint in range(1, model.njnt):
        body = int(model.jnt_bodyid[joint]) - 1
        name = robot.body_names[body]
        if joint_of[body] != -1:
            raise MimicError(
                f"{robot.vendor_xml}: body '{name}' has more than one joint; give each its own body"
            )
        if np.abs(model.jnt_pos[joint]).max() > 1e-9:
            raise MimicError(
                f"{robot.vendor_xml}: the joint of body '{name}' is off the body's origin; "
                "move the body's frame into the joint"
            )
        joint_of[body] = joint - 1
    return joint_of
