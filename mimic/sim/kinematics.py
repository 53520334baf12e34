"""Batched forward kinematics in torch: poses and velocities of every body from qpos and qvel.

Cheaper on a CPU than a second forward pass of the physics library, and differentiable.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
import torch
from numpy.typing import NDArray

from robots import Robot


class Kinematics:
    """Forward kinematics of one robot.

    Only orientations go level by level down the tree. Positions and velocities are sums over each
    body's ancestors, one matrix product for all bodies. Tensors are body-major inside ([B, 3, N]),
    so that every operation runs along the environments, and constant rotations become small
    matrices applied to all environments at once. A body with several hinges, or with one off its
    origin, is a chain of frames with a hinge each; see `_Frames`.
    """

    def __init__(self, robot: Robot, device: torch.device, dtype: torch.dtype = torch.float32):
        model = robot.model
        frames = _Frames.of(model)
        count = len(frames.parent)
        parent, axis, offset = frames.parent, frames.axis, frames.offset
        depth = [0] * count
        ancestors = np.zeros((count, count))
        for frame in range(1, count):
            depth[frame] = depth[parent[frame]] + 1
            ancestors[frame] = ancestors[parent[frame]]
            ancestors[frame, frame] = 1.0

        def tensor(array: NDArray) -> torch.Tensor:
            return torch.as_tensor(np.ascontiguousarray(array), dtype=dtype, device=device)

        def index(values: list[int]) -> torch.Tensor:
            return torch.tensor(values, dtype=torch.long, device=device)

        # child = parent (x) fixed (x) [cos, sin axis]: linear in the parent's quaternion, with one
        # matrix for the cosine and one for the sine, stacked.
        fixed = _times(frames.fixed)
        turned = _times(np.hstack([np.zeros((count, 1)), axis])) @ fixed
        by_depth = sorted(range(count), key=lambda frame: depth[frame])
        place = {frame: i for i, frame in enumerate(by_depth)}
        self._levels: list[tuple[slice, torch.Tensor, torch.Tensor]] = []
        for level in range(1, max(depth) + 1):
            members = [frame for frame in by_depth if depth[frame] == level]
            rows = slice(place[members[0]], place[members[-1]] + 1)
            steps = tensor(np.hstack([fixed[members], turned[members]]))
            self._levels.append((rows, index([place[parent[b]] for b in members]), steps))
        # Frames without a joint read an extra row that is always zero.
        rows_of = [j if j >= 0 else model.njnt - 1 for j in frames.joint]
        self._joint_by_depth = index([rows_of[frame] for frame in by_depth])
        self._joint = index(rows_of)
        self._place = index([place[frame] for frame in range(count)])
        self._parents = index([0, *parent[1:]])
        self._ancestors = tensor(ancestors)
        self._axis = tensor(np.einsum("ijm,bj->bim", _rotation_of_products(), axis))
        self._offset = tensor(np.einsum("ijm,bj->bim", _rotation_of_products(), offset))
        self._rotation = tensor(_rotation_of_products().reshape(9, 16))
        self._bodies = None if len(frames.body) == count else index(frames.body)

        self._chains: dict[int, _Chain] = {}

        def chain(body: int) -> _Chain:
            path, frame = [], frames.body[body]
            while frame > 0:
                path.append(frame)
                frame = parent[frame]
            path.reverse()
            still = frames.fixed[path]
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
        if self._bodies is not None:
            outputs = tuple(x.index_select(0, self._bodies) for x in outputs)
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


@dataclass(frozen=True, kw_only=True)
class _Frames:
    """A model as a tree of F frames that carry at most one hinge each, through their origin.

    A body whose only hinge passes through its origin, and one without, is one frame. Any other is
    a chain: a frame in each hinge's anchor, turned by it, and the body's own at the end.
    """

    parent: list[int]
    """[F], parents first; -1 for the root."""
    joint: list[int]
    """[F] hinge among ``robot.joint_names``, -1 for none."""
    offset: NDArray
    """[F, 3] m, place in the parent frame."""
    fixed: NDArray
    """[F, 4] wxyz, orientation in the parent frame when the hinge reads zero."""
    axis: NDArray
    """[F, 3] of the hinge, zero for none."""
    body: list[int]
    """[B] frame of each body, the root first."""

    @classmethod
    def of(cls, model: mujoco.MjModel) -> _Frames:
        parent, joint, body = [-1], [-1], [0]
        # The root's pose is given in the world.
        offset, fixed, axis = [np.zeros(3)], [model.body_quat[1]], [np.zeros(3)]

        def add(above: int, hinge: int, at: NDArray, turn: NDArray) -> int:
            parent.append(above)
            joint.append(hinge - 1 if hinge > 0 else -1)
            offset.append(at)
            axis.append(model.jnt_axis[hinge] if hinge > 0 else np.zeros(3))
            reading = float(model.qpos0[model.jnt_qposadr[hinge]]) if hinge > 0 else 0.0
            if reading != 0.0:
                # MJCF's `ref`: the reading of the joint in the pose the model is drawn in.
                back, both = np.zeros(4), np.zeros(4)
                mujoco.mju_axisAngle2Quat(back, model.jnt_axis[hinge], -reading)
                mujoco.mju_mulQuat(both, turn, back)
                turn = both
            fixed.append(turn)
            return len(parent) - 1

        straight = np.array([1.0, 0.0, 0.0, 0.0])
        for index in range(2, model.nbody):
            at, turn = model.body_pos[index], model.body_quat[index]
            last, anchor = body[int(model.body_parentid[index]) - 1], np.zeros(3)
            first = int(model.body_jntadr[index])
            hinges = list(range(first, first + int(model.body_jntnum[index])))
            for hinge in hinges:
                place = np.asarray(model.jnt_pos[hinge])
                step = np.zeros(3)
                mujoco.mju_rotVecQuat(step, place - anchor, turn)
                last = add(last, hinge, at + step, turn)
                at, turn, anchor = np.zeros(3), straight, place
            if not hinges or np.abs(anchor).max() > 1e-9:
                last = add(last, 0, at - anchor, turn)
            body.append(last)
        return cls(
            parent=parent, joint=joint, offset=np.array(offset), fixed=np.array(fixed),
            axis=np.array(axis), body=body,
        )  # fmt: skip
