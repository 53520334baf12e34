"""Sizes of the contact and constraint buffers that MuJoCo Warp allocates once and for all."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

NCONMAX_MEANING = "contacts kept per environment, on average over all"
NJMAX_MEANING = "constraint rows kept for any one environment"

# Most contacts of a pair of geom types in MuJoCo's own colliders; other pairs get 4.
_CONTACTS = {
    ("plane", "sphere"): 1, ("plane", "capsule"): 2, ("plane", "box"): 4,
    ("sphere", "sphere"): 1, ("sphere", "capsule"): 1, ("sphere", "box"): 1,
    ("capsule", "capsule"): 2, ("capsule", "box"): 2, ("box", "box"): 8,
    ("hfield", "sphere"): 4, ("hfield", "capsule"): 8, ("hfield", "box"): 16,
}  # fmt: skip
_NAMES = {
    int(mujoco.mjtGeom.mjGEOM_PLANE): "plane",
    int(mujoco.mjtGeom.mjGEOM_HFIELD): "hfield",
    int(mujoco.mjtGeom.mjGEOM_SPHERE): "sphere",
    int(mujoco.mjtGeom.mjGEOM_CAPSULE): "capsule",
    int(mujoco.mjtGeom.mjGEOM_BOX): "box",
}
LARGEST_NCONMAX = 48
LARGEST_NJMAX = 256
"""Defaults end here: a robot does not touch itself and the ground everywhere at once."""


@dataclass(frozen=True)
class BufferSizes:
    """``nconmax`` contacts per environment on average, ``njmax`` constraint rows in any one."""

    nconmax: int
    njmax: int

    @classmethod
    def of(cls, model: mujoco.MjModel, nconmax: int = 0, njmax: int = 0) -> BufferSizes:
        """Sizes for a model: those given, else what the model can need, within reason."""
        contacts, rows = most_contacts(model)
        return cls(
            nconmax or min(max(contacts, 8), LARGEST_NCONMAX),
            njmax or min(max(rows, 16), LARGEST_NJMAX),
        )


def most_contacts(model: mujoco.MjModel) -> tuple[int, int]:
    """Contacts and constraint rows if every pair of geoms that may touch did."""
    contacts = 0
    rows = int(model.jnt_limited.sum()) + int((model.dof_frictionloss > 0).sum())
    rows += 6 * int(model.neq)
    for first in range(model.ngeom):
        for second in range(first + 1, model.ngeom):
            if not may_touch(model, first, second):
                continue
            kinds = sorted((int(model.geom_type[first]), int(model.geom_type[second])))
            names = (_NAMES.get(kinds[0], ""), _NAMES.get(kinds[1], ""))
            count = _CONTACTS.get(names, 4)
            dim = int(max(model.geom_condim[first], model.geom_condim[second]))
            contacts += count
            rows += count * (2 * (dim - 1) if dim > 1 else 1)
    return contacts, rows


def may_touch(model: mujoco.MjModel, first: int, second: int) -> bool:
    """Whether MuJoCo's filters let two geoms collide."""
    bits = model.geom_contype[first] & model.geom_conaffinity[second]
    bits |= model.geom_contype[second] & model.geom_conaffinity[first]
    one, two = int(model.geom_bodyid[first]), int(model.geom_bodyid[second])
    weld_one, weld_two = int(model.body_weldid[one]), int(model.body_weldid[two])
    if not bits or weld_one == weld_two:
        return False
    if (min(one, two) << 16) + max(one, two) in np.asarray(model.exclude_signature).tolist():
        return False
    parents = (
        int(model.body_weldid[model.body_parentid[weld_one]]),
        int(model.body_weldid[model.body_parentid[weld_two]]),
    )
    filtered = not int(model.opt.disableflags) & int(mujoco.mjtDisableBit.mjDSBL_FILTERPARENT)
    related = weld_one == parents[1] or weld_two == parents[0]
    return not (filtered and related and weld_one and weld_two)
