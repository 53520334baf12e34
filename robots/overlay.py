"""Our overlay on a vendor model: lean collision geometry, motors, gains and limits."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from robots.description import CollisionGeom, Description
from robots.errors import RobotError

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


def overlay_spec(
    xml: Path,
    description: Description,
    joint_names: tuple[str, ...],
    armature: NDArray,
    effort: NDArray,
    kp: NDArray,
    kd: NDArray,
) -> mujoco.MjSpec:
    """Return the vendor's MJCF with our collision geometry and actuators.

    The vendor's actuators, keyframes and collision flags are removed, its visual meshes stay.
    Joint friction loss is dropped as in BeyondMimic's model. Actuators are position servos named
    after their joints, in joint order: torque = kp (ctrl - q) - kd qd, clipped to the effort limit.
    """
    spec = load_spec(xml)
    for actuator in list(spec.actuators):
        spec.delete(actuator)
    for key in list(spec.keys):
        spec.delete(key)
    for sensor in list(spec.sensors):
        spec.delete(sensor)
    for pair in list(spec.pairs):
        spec.delete(pair)
    for geom in list(spec.geoms):
        if not (geom.contype or geom.conaffinity):
            continue
        if _carries_mass(spec, geom):
            geom.contype = geom.conaffinity = 0
        else:
            spec.delete(geom)
    for light in list(spec.lights):
        spec.delete(light)

    for index, name in enumerate(joint_names):
        joint = spec.joint(name)
        joint.armature = armature[index]
        joint.frictionloss = 0.0
        # The servo's own limit is the only one: a joint-level clamp would count twice.
        joint.actfrclimited = mujoco.mjtLimited.mjLIMITED_FALSE
        actuator = spec.add_actuator(name=name, target=name)
        actuator.trntype = mujoco.mjtTrn.mjTRN_JOINT
        actuator.gaintype = mujoco.mjtGain.mjGAIN_FIXED
        actuator.biastype = mujoco.mjtBias.mjBIAS_AFFINE
        actuator.gainprm[0] = kp[index]
        actuator.biasprm[1] = -kp[index]
        actuator.biasprm[2] = -kd[index]
        actuator.forcelimited = mujoco.mjtLimited.mjLIMITED_TRUE
        actuator.forcerange = np.array([-effort[index], effort[index]])
        actuator.ctrllimited = mujoco.mjtLimited.mjLIMITED_FALSE

    for geom in description.collision:
        _add_geom(spec, geom, mirrored=False)
        if geom.mirror:
            _add_geom(spec, geom, mirrored=True)

    spec.option.timestep = 0.005
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    # Measured on this model: the default tolerance and iteration count cost 30-40 % of the steps
    # per second and change the state of a walking step by less than the observation noise.
    spec.option.jacobian = mujoco.mjtJacobian.mjJAC_SPARSE
    spec.option.iterations = 6
    spec.option.ls_iterations = 8
    spec.option.tolerance = 1e-5
    return spec


def _carries_mass(spec: mujoco.MjSpec, geom: mujoco.MjsGeom) -> bool:
    """Whether the body's mass is inferred from this geom, so that it has to stay."""
    rules = mujoco.mjtInertiaFromGeom
    rule = int(spec.compiler.inertiafromgeom)
    if geom.parent.name == "world" or rule == int(rules.mjINERTIAFROMGEOM_FALSE):
        return False
    always = rule == int(rules.mjINERTIAFROMGEOM_TRUE)
    return always or not geom.parent.explicitinertial


def load_spec(xml: Path) -> mujoco.MjSpec:
    """Parse an MJCF file, naming it in the error when MuJoCo refuses it."""
    if not xml.is_file():
        raise RobotError(f"robot model '{xml}' does not exist")
    try:
        return mujoco.MjSpec.from_file(str(xml))
    except ValueError as error:
        raise RobotError(f"{xml}: MuJoCo cannot read this model: {error}") from error


def _mirror_name(name: str) -> str:
    for left, right in (("left", "right"), ("Left", "Right")):
        if name.startswith(left):
            return right + name[len(left) :]
    raise RobotError(f"collision entry of body '{name}' asks for mirror but is not a left body")


def _add_geom(spec: mujoco.MjSpec, geom: CollisionGeom, *, mirrored: bool) -> None:
    name = _mirror_name(geom.body) if mirrored else geom.body
    body = spec.body(name)
    if body is None:
        raise RobotError(f"collision geometry names body '{name}', which the model does not have")
    if geom.type not in _GEOM_TYPES:
        raise RobotError(f"collision type '{geom.type}' of body '{name}': not {list(_GEOM_TYPES)}")
    group = geom.group
    if group in ("side", "other_side"):
        group += "_right" if mirrored else "_left"
    if group not in _FILTER:
        raise RobotError(f"collision group '{geom.group}' of body '{name}' is unknown")
    contype, conaffinity = _FILTER[group]
    sign = np.array([1.0, -1.0, 1.0]) if mirrored else np.ones(3)
    places: list[dict] = []
    if geom.fromto:
        ends = np.concatenate([np.array(geom.fromto[:3]) * sign, np.array(geom.fromto[3:]) * sign])
        places.append({"fromto": ends})
    for point in geom.points:
        places.append({"pos": np.array(point) * sign})
    if not places:
        raise RobotError(f"collision geometry of body '{name}' has neither points nor fromto")
    for index, place in enumerate(places):
        size = np.zeros(3)
        size[: len(geom.size)] = geom.size
        added = body.add_geom(type=_GEOM_TYPES[geom.type], size=size, **place)
        added.name = f"{name}_{geom.group}{index}_{geom.type}"
        added.contype = contype
        added.conaffinity = conaffinity
        added.condim = 3
        added.mass = 0.0
        added.group = 3
        if geom.group == "foot":
            # The foot's friction rules the pair, so that it can be randomised in one place.
            added.priority = 1
            added.friction = np.array([FOOT_FRICTION, 0.005, 0.0001])
