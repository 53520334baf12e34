"""Our overlay on a vendor model: lean collision geometry, motors, gains and limits."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from mimic_base.errors import RobotError
from robots.alone import drop_dangling
from robots.description import CollisionGeom, Description
from robots.mirror import Mirror
from robots.models import carries_mass

# Contact filter bits: geoms touch when contype of one meets conaffinity of the other. The ground
# has contype 1; a limb's left side offers bit 2 to the right side; hands offer bit 4 to the trunk.
GROUND_CONTYPE = 1
_FILTER = {
    "foot": (0, 1),
    "body": (0, 1),
    "trunk": (0, 1 | 4),
    "hand": (4, 1),
    "side_left": (2, 1),
    "side_right": (0, 1 | 2),
    "other_side_left": (2, 0),
    "other_side_right": (0, 2),
}
_GEOM_TYPES = {
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
    "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
    "box": mujoco.mjtGeom.mjGEOM_BOX,
}
FOOT_FRICTION = 0.6
_PLAIN = mujoco.MjSpec()
"""Gives MuJoCo's own defaults: a vendor's may hold a gear, a shape or a mass."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Motors:
    """Constants of all hinges in joint order, [J] each: kg m^2, N m, N m/rad, N m s/rad."""

    joint_names: tuple[str, ...]
    armature: NDArray[np.float64]
    effort: NDArray[np.float64]
    kp: NDArray[np.float64]
    kd: NDArray[np.float64]


def overlay_spec(
    spec: mujoco.MjSpec, description: Description, motors: Motors, mirror: Mirror
) -> mujoco.MjSpec:
    """Put our collision geometry, key points and actuators on the vendor's model `spec`.

    The vendor's actuators, keyframes and collision flags are removed, its visual meshes stay.
    Joint friction, damping and springs are dropped as in BeyondMimic's model: what damps is the
    servo. Actuators are position servos named after their joints, in joint order:
    torque = kp (ctrl - q) - kd qd, clipped to the effort limit.
    """
    for actuator in list(spec.actuators):
        spec.delete(actuator)
    for pair in list(spec.pairs):
        spec.delete(pair)
    for geom in list(spec.geoms):
        if not (geom.contype or geom.conaffinity):
            continue
        if carries_mass(spec, geom):
            geom.contype = geom.conaffinity = 0
        else:
            spec.delete(geom)
    for light in list(spec.lights):
        spec.delete(light)
    drop_dangling(spec)

    for index, name in enumerate(motors.joint_names):
        joint = spec.joint(name)
        joint.armature = motors.armature[index]
        joint.frictionloss = 0.0
        joint.damping = np.zeros_like(joint.damping)
        joint.stiffness = np.zeros_like(joint.stiffness)
        # The servo's own limit is the only one: a joint-level clamp would count twice.
        joint.actfrclimited = mujoco.mjtLimited.mjLIMITED_FALSE
        actuator = spec.add_actuator(_PLAIN.default, name=name, target=name)
        actuator.trntype = mujoco.mjtTrn.mjTRN_JOINT
        actuator.gaintype = mujoco.mjtGain.mjGAIN_FIXED
        actuator.biastype = mujoco.mjtBias.mjBIAS_AFFINE
        actuator.gainprm[0] = motors.kp[index]
        actuator.biasprm[1] = -motors.kp[index]
        actuator.biasprm[2] = -motors.kd[index]
        actuator.forcelimited = mujoco.mjtLimited.mjLIMITED_TRUE
        actuator.forcerange = np.array([-motors.effort[index], motors.effort[index]])
        actuator.ctrllimited = mujoco.mjtLimited.mjLIMITED_FALSE

    for geom in description.collision:
        _add_geom(spec, geom, None)
        if geom.mirror:
            _add_geom(spec, geom, mirror)
    for point in description.points:
        sides = [(point.name, point.body, np.array(point.pos))]
        if point.mirror:
            other = mirror.body(point.body)
            sides.append(
                (mirror.name(point.name), other, mirror.point(point.body, np.array(point.pos)))
            )
        for name, body, pos in sides:
            if spec.body(body) is None:
                raise RobotError(f"point '{name}' names body '{body}', which the model lacks")
            if spec.body(name) is not None:
                raise RobotError(f"point '{name}': the model has a body of that name already")
            spec.body(body).add_body(name=name, pos=pos)

    # A file for viewing only may have gravity or contacts switched off.
    spec.option.disableflags = 0
    spec.option.gravity = np.array([0.0, 0.0, -9.81])
    spec.option.timestep = 0.005
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    # Measured on this model: the default tolerance and iteration count cost 30-40 % of the steps
    # per second and change the state of a walking step by less than the observation noise.
    spec.option.jacobian = mujoco.mjtJacobian.mjJAC_SPARSE
    spec.option.iterations = 6
    spec.option.ls_iterations = 8
    spec.option.tolerance = 1e-5
    return spec


def _add_geom(spec: mujoco.MjSpec, geom: CollisionGeom, mirror: Mirror | None) -> None:
    """Add a collision entry, or its mirror image."""
    if spec.body(geom.body) is None:
        raise RobotError(
            f"collision geometry names body '{geom.body}', which the model does not have"
        )
    name = geom.body if mirror is None else mirror.body(geom.body)
    body = spec.body(name)
    if geom.type not in _GEOM_TYPES:
        raise RobotError(f"collision type '{geom.type}' of body '{name}': not {list(_GEOM_TYPES)}")
    group = geom.group
    if group in ("side", "other_side"):
        group += "_left" if mirror is None else "_right"
    if group not in _FILTER:
        raise RobotError(f"collision group '{geom.group}' of body '{name}' is unknown")
    contype, conaffinity = _FILTER[group]
    places: list[dict] = []

    def at(point: tuple[float, ...]) -> NDArray:
        place = np.array(point)
        return place if mirror is None else mirror.point(geom.body, place)

    if geom.fromto:
        places.append({"fromto": np.concatenate([at(geom.fromto[:3]), at(geom.fromto[3:])])})
    places += [{"pos": at(point)} for point in geom.points]
    if not places:
        raise RobotError(f"collision geometry of body '{name}' has neither points nor fromto")
    for index, place in enumerate(places):
        size = np.zeros(3)
        size[: len(geom.size)] = geom.size
        added = body.add_geom(_PLAIN.default, type=_GEOM_TYPES[geom.type], size=size, **place)
        added.name = f"{name}_{geom.group}{index}_{geom.type}"
        added.contype = contype
        added.conaffinity = conaffinity
        added.condim = 3
        added.mass = 0.0
        added.group = 3
        # Contacts of all robots are alike.
        added.margin = added.gap = 0.0
        added.solref = np.array([0.02, 1.0])
        added.solimp = np.array([0.9, 0.95, 0.001, 0.5, 2.0])
        added.friction = np.array([1.0, 0.005, 0.0001])
        if geom.group == "foot":
            # The foot's friction rules the pair, so that it can be randomised in one place.
            added.priority = 1
            added.friction[0] = FOOT_FRICTION
