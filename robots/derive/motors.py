"""Torque, speed and reflected inertia of each joint: the file's, else estimated."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np

from robots.constraints import passive_hinges
from robots.derive.anatomy import Anatomy, Guess

INERTIA_PER_TORQUE = 1.6e-4
"""kg m^2 per N m of peak torque: mean of the Unitree G1's leg and arm actuators."""
ASSUMED_SPEED = 15.0
"""rad/s."""
PASSIVE_EFFORT = 0.01
"""N m, of hinges that something else moves: a motor has to have some."""
PASSIVE_ARMATURE = 1e-4
"""kg m^2."""
_SHARE = {"leg": 0.5, "ankle": 0.2, "other": 0.1}
"""Torque as a share of weight times leg length where nothing is said; about known robots'."""


@dataclass(frozen=True)
class MotorGuess:
    """Constants of a joint: kg m^2, N m, rad/s, and what each is based on."""

    armature: float
    effort: float
    velocity: float
    guesses: tuple[Guess, Guess, Guess]
    """What armature, effort and velocity are based on, in this order."""


def find_motors(anatomy: Anatomy, file: Path) -> dict[int, MotorGuess]:
    """Constants per hinge of the model read from `file`."""
    model = anatomy.model
    stated = _urdf_limits(file)
    joints = [
        j for j in range(model.njnt) if int(model.jnt_type[j]) == int(mujoco.mjtJoint.mjJNT_HINGE)
    ]
    efforts = {j: _effort(anatomy, j, stated) for j in joints}
    armatures = {j: float(model.dof_armature[model.jnt_dofadr[j]]) for j in joints}
    passive = set(passive_hinges(model))
    driven = [e for j, (e, _) in efforts.items() if j not in passive] or [1.0]
    spread = max(driven) / min(driven)
    placeholder = len(set(armatures.values())) == 1 and spread >= 2.0
    result = {}
    for joint in joints:
        effort, effort_guess = efforts[joint]
        if joint in passive:
            effort = min(effort, PASSIVE_EFFORT)
            effort_guess = Guess(0.5, "moved by a gear or linkage: nearly free")
        given = armatures[joint]
        if joint in passive:
            armature = given if given > 0 else PASSIVE_ARMATURE
            why = Guess(0.5, "moved by a gear or linkage")
        elif given > 0 and not placeholder:
            armature, why = given, Guess(0.9, "armature of the file")
        else:
            armature = float(f"{INERTIA_PER_TORQUE * effort:.4g}")
            said = "the same for every joint, a placeholder" if given > 0 else "not stated"
            why = Guess(0.3, f"armature is {said}; estimated as {INERTIA_PER_TORQUE:g} per N m")
        speed = stated.get(model.joint(joint).name, (0.0, 0.0))[1]
        if 0.0 < speed < 100.0:
            velocity, fast = speed, Guess(0.9, "velocity limit of the URDF")
        else:
            velocity, fast = ASSUMED_SPEED, Guess(0.2, "speed limit not stated: assumed")
        result[joint] = MotorGuess(armature, effort, velocity, (why, effort_guess, fast))
    return result


def _effort(
    anatomy: Anatomy, joint: int, stated: dict[str, tuple[float, float]]
) -> tuple[float, Guess]:
    model = anatomy.model
    effort = stated.get(model.joint(joint).name, (0.0, 0.0))[0]
    if effort > 0:
        return effort, Guess(0.95, "effort limit of the URDF")
    if model.jnt_actfrclimited[joint]:
        return float(np.abs(model.jnt_actfrcrange[joint]).max()), Guess(
            0.95, "actuatorfrcrange of the joint"
        )
    for actuator in range(model.nu):
        if int(model.actuator_trnid[actuator, 0]) != joint:
            continue
        gear = abs(float(model.actuator_gear[actuator, 0]))
        if model.actuator_forcelimited[actuator]:
            effort = gear * float(np.abs(model.actuator_forcerange[actuator]).max())
            return effort, Guess(0.95, "forcerange of the actuator")
        motor = int(model.actuator_biastype[actuator]) == int(mujoco.mjtBias.mjBIAS_NONE)
        if motor and model.actuator_ctrllimited[actuator]:
            gain = abs(float(model.actuator_gainprm[actuator, 0]))
            effort = gear * gain * float(np.abs(model.actuator_ctrlrange[actuator]).max())
            return effort, Guess(0.9, "ctrlrange of a torque motor")
    return _estimate(anatomy, joint), Guess(
        0.2, "torque limit not stated: estimated from weight and leg length; replace it"
    )


def _estimate(anatomy: Anatomy, joint: int) -> float:
    model, leg = anatomy.model, anatomy.legs[0]
    length = float(anatomy.data.xpos[leg.bodies[0]][2] - anatomy.data.xpos[leg.end][2])
    weight = 9.81 * float(model.body_subtreemass[anatomy.root])
    kind = "other"
    for side in anatomy.legs:
        if joint in side.joints:
            kind = "ankle" if side.joints.index(joint) > side.joints.index(side.bend) else "leg"
    return float(f"{_SHARE[kind] * weight * length:.2g}")


def _urdf_limits(file: Path) -> dict[str, tuple[float, float]]:
    """Joint name -> effort and velocity limit; empty for anything but a URDF."""
    root = ElementTree.parse(file).getroot()
    found = {}
    if root.tag != "robot":
        return found
    for joint in root.findall("joint"):
        limit = joint.find("limit")
        if limit is None:
            continue
        try:
            values = float(limit.get("effort", "0")), float(limit.get("velocity", "0"))
        except ValueError:
            continue
        if np.isfinite(values).all():
            found[joint.get("name", "")] = values
    return found
