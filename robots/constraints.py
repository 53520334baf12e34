"""Equality constraints of a model: gears, mimic joints, four-bar linkages and other closed loops.

MuJoCo keeps them in simulation by forces. Poses that come from elsewhere (a retargeter, a default
pose) meet them when `satisfied` has moved the joints that the constraints drive.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from mimic_base.vectors import Array

_JOINT = int(mujoco.mjtEq.mjEQ_JOINT)
_KINDS = {
    int(mujoco.mjtEq.mjEQ_CONNECT): "loop closed by a point",
    int(mujoco.mjtEq.mjEQ_WELD): "loop closed by a weld",
    int(mujoco.mjtEq.mjEQ_TENDON): "coupled tendons",
}
_EQUALITY = int(mujoco.mjtConstraint.mjCNSTR_EQUALITY)
_HEAVY = 1e4
"""How much dearer it is to move a joint that others follow than one that follows."""
_STEPS = 20
CLOSED = 1e-3
"""m or rad; a constraint within it counts as met."""


@dataclass(frozen=True, kw_only=True)
class Coupling:
    """A hinge that follows another: ``q = sum_k coefficients[k] (q_leader - leader_0)^k + q_0``.

    q_0 and leader_0 are the readings in the pose that the model is drawn in.
    """

    follower: int
    """Joint of the model."""
    leader: int
    """Joint of the model; -1 where the follower is fixed."""
    coefficients: Array
    """[5]"""

    def value(self, leader: Array, reference: tuple[float, float]) -> tuple[Array, Array]:
        """Angle of the follower and its derivative after the leader's, at the leader's angles.

        `reference` are the drawn readings of follower and leader.
        """
        x = leader - reference[1]
        powers = np.stack([x**k for k in range(5)], axis=-1)
        slopes = np.stack([k * x ** max(k - 1, 0) for k in range(5)], axis=-1)
        return powers @ self.coefficients + reference[0], slopes @ self.coefficients


def couplings(model: mujoco.MjModel) -> tuple[Coupling, ...]:
    """The model's hinges that follow another hinge."""
    found = []
    for k in range(model.neq):
        if int(model.eq_type[k]) == _JOINT and model.eq_active0[k]:
            found.append(
                Coupling(
                    follower=int(model.eq_obj1id[k]),
                    leader=int(model.eq_obj2id[k]),
                    coefficients=np.array(model.eq_data[k, :5]),
                )
            )
    return tuple(found)


def described(model: mujoco.MjModel) -> tuple[list[str], list[str]]:
    """What the model's constraints are, a clause each: couplings, and loops and other kinds."""
    coupled, others = [], []
    for each in couplings(model):
        follower = model.joint(each.follower).name
        leader = "nothing: it is fixed" if each.leader < 0 else f"'{model.joint(each.leader).name}'"
        coupled.append(f"'{follower}' follows {leader}")
    for k in range(model.neq):
        kind = _KINDS.get(int(model.eq_type[k]))
        if kind is None or not model.eq_active0[k]:
            continue
        name = model.equality(k).name or f"number {k}"
        others.append(f"{kind} ('{name}')")
    return coupled, others


def satisfied(
    model: mujoco.MjModel, qpos: Array, passive: Iterable[int] = ()
) -> tuple[Array, Array]:
    """Poses [T, 7 + J] that meet the constraints, near those given, and what is left of them.

    Gauss-Newton on all constraints at once; followers of a coupling and the `passive` hinges move
    first. The second value [T] is the largest violation, m or rad.
    """
    if model.neq == 0:
        return qpos, np.zeros(len(qpos))
    kinematic, cheap = _prepared(model, tuple(passive))
    data = mujoco.MjData(kinematic)
    inverse = np.where(cheap, 1.0, 1.0 / _HEAVY)
    inverse[:6] = 0.0  # the base stays
    low, high = _ranges(kinematic)
    result, left = qpos.copy(), np.zeros(len(qpos))
    for t in range(len(qpos)):
        q = qpos[t].copy()
        for step in range(_STEPS + 1):
            data.qpos[:] = q
            mujoco.mj_fwdPosition(kinematic, data)
            rows = np.flatnonzero(data.efc_type[: data.nefc] == _EQUALITY)
            residual = np.asarray(data.efc_pos)[rows]
            left[t] = float(np.abs(residual).max()) if len(rows) else 0.0
            if left[t] < 0.01 * CLOSED or step == _STEPS:
                break
            jacobian = np.asarray(data.efc_J).reshape(-1, kinematic.nv)[rows]
            weighted = jacobian * inverse
            square = weighted @ jacobian.T
            square.flat[:: len(rows) + 1] += 1e-9 * max(float(np.trace(square)), 1e-12)
            change = -weighted.T @ np.linalg.solve(square, residual)
            q[7:] = np.clip(q[7:] + np.clip(change[6:], -0.3, 0.3), low, high)
        result[t] = q
    return result, left


def _prepared(
    model: mujoco.MjModel, passive: tuple[int, ...]
) -> tuple[mujoco.MjModel, NDArray[np.bool_]]:
    """A copy that computes equalities alone, and which degrees of freedom move first [nv]."""
    other = copy.copy(model)
    flags = mujoco.mjtDisableBit
    off = (flags.mjDSBL_CONTACT, flags.mjDSBL_LIMIT, flags.mjDSBL_FRICTIONLOSS)
    other.opt.disableflags = sum(int(flag) for flag in off)
    other.opt.jacobian = mujoco.mjtJacobian.mjJAC_DENSE
    cheap = np.zeros(model.nv, bool)
    for joint in (*(each.follower for each in couplings(model)), *passive):
        cheap[int(model.jnt_dofadr[joint])] = True
    if not cheap.any():
        cheap[6:] = True
    return other, cheap


def passive_hinges(model: mujoco.MjModel) -> list[int]:
    """Hinges that something else moves: followers of a coupling, and in a model that has loops and
    actuators those without an actuator."""
    found = {each.follower for each in couplings(model)}
    if model.nu and any(int(kind) in _KINDS for kind in model.eq_type):
        driven = {int(model.actuator_trnid[a, 0]) for a in range(model.nu)}
        found |= set(range(1, model.njnt)) - driven
    return sorted(found)


def off_limbs(model: mujoco.MjModel, bodies: Iterable[int]) -> list[int]:
    """Hinges that carry none of `bodies`, the key points of a person: fingers, rods, covers."""
    carried = set()
    for body in bodies:
        while body > 0:
            carried.add(body)
            body = int(model.body_parentid[body])
    return [j for j in range(1, model.njnt) if int(model.jnt_bodyid[j]) not in carried]


def _ranges(model: mujoco.MjModel) -> tuple[Array, Array]:
    limited = model.jnt_limited[1:].astype(bool)
    low = np.where(limited, model.jnt_range[1:, 0], -np.inf)
    return low, np.where(limited, model.jnt_range[1:, 1], np.inf)
