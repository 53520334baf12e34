"""The robot alone: a model without the scene around it and without what that leaves dangling."""

from __future__ import annotations

from pathlib import Path

import mujoco

from mimic_base.errors import RobotError

_SECOND_ROBOT = 6
"""Joints from which on another body of the world is a second robot and not an object."""


def keep_robot(spec: mujoco.MjSpec, path: Path) -> mujoco.MjsBody:
    """Delete everything but the robot from `spec`, name its unnamed parts; returns its root.

    A scene's floor, objects and lights go, with keyframes and sensors (sized for the whole scene)
    and whatever else names a deleted part.

    Raises:
        RobotError: no body has joints, or two robots stand in the scene.
    """
    try:
        return _alone(spec, path)
    except RobotError:
        raise
    except (ValueError, RuntimeError) as error:  # MuJoCo's, of a model that does not compile
        raise RobotError(f"{path}: MuJoCo cannot compile this robot: {error}") from error


def _alone(spec: mujoco.MjSpec, path: Path) -> mujoco.MjsBody:
    root = root_body(spec, path)
    for part in [*spec.keys, *spec.sensors, *spec.skins, *spec.tuples]:
        spec.delete(part)
    before = True
    for body in list(spec.worldbody.bodies):
        if body == root:
            before = False
            continue
        # A bare frame is no part of a scene; motions of the robot may name one behind it.
        if before or body.find_all("joint") or body.find_all("geom"):
            spec.delete(body)
    world = spec.worldbody
    for part in [*world.geoms, *world.sites, *world.cameras, *world.lights]:
        spec.delete(part)
    # Static bodies must stay bodies: key points are welded to the robot as such.
    spec.compiler.fusestatic = False
    # Nor may the floating base's frame move to its inertia's.
    spec.compiler.alignfree = False
    for joint in root.joints:
        if int(joint.type) == int(mujoco.mjtJoint.mjJNT_FREE):
            joint.align = mujoco.mjtAlignFree.mjALIGNFREE_FALSE
    _name_parts(spec)
    drop_dangling(spec)
    return root


def root_body(spec: mujoco.MjSpec, path: Path) -> mujoco.MjsBody:
    """The body that carries the robot: the world's child with the most joints below it.

    Raises:
        RobotError: no body has joints, or a second one has too many for an object of the scene.
    """
    counted = sorted(
        ((len(body.find_all("joint")), -k) for k, body in enumerate(spec.worldbody.bodies)),
        reverse=True,
    )
    if not counted or counted[0][0] == 0:
        raise RobotError(f"{path}: not a robot: no body has joints")
    bodies = [spec.worldbody.bodies[-k] for _, k in counted]
    if len(counted) > 1 and counted[1][0] >= max(_SECOND_ROBOT, 0.5 * counted[0][0]):
        raise RobotError(
            f"{path}: several robots in one scene: '{bodies[0].name}' ({counted[0][0]} joints) and "
            f"'{bodies[1].name}' ({counted[1][0]}); give a file with one of them"
        )
    return bodies[0]


def drop_dangling(spec: mujoco.MjSpec) -> None:
    """Delete what refers to parts that are gone: MuJoCo would refuse to compile it."""
    bodies = _names(spec.bodies) | {"world"}
    geoms, joints, sites = _names(spec.geoms), _names(spec.joints), _names(spec.sites)
    for tendon in list(spec.tendons):
        wraps = [w for w in tendon.path if int(w.type) != int(mujoco.mjtWrap.mjWRAP_PULLEY)]
        if any(wrap.target is None for wrap in wraps):
            spec.delete(tendon)
    tendons = _names(spec.tendons)
    for pair in list(spec.pairs):
        if not {pair.geomname1, pair.geomname2} <= geoms:
            spec.delete(pair)
    for exclude in list(spec.excludes):
        if not {exclude.bodyname1, exclude.bodyname2} <= bodies:
            spec.delete(exclude)
    kinds = {
        int(mujoco.mjtTrn.mjTRN_JOINT): joints,
        int(mujoco.mjtTrn.mjTRN_JOINTINPARENT): joints,
        int(mujoco.mjtTrn.mjTRN_TENDON): tendons,
        int(mujoco.mjtTrn.mjTRN_SITE): sites,
        int(mujoco.mjtTrn.mjTRN_SLIDERCRANK): sites,
        int(mujoco.mjtTrn.mjTRN_BODY): bodies,
    }
    for actuator in list(spec.actuators):
        known = kinds.get(int(actuator.trntype))
        helpers = {actuator.refsite, actuator.slidersite} - {""}
        if known is not None and (actuator.target not in known or not helpers <= sites):
            spec.delete(actuator)
    joined = {
        int(mujoco.mjtEq.mjEQ_JOINT): joints,
        int(mujoco.mjtEq.mjEQ_TENDON): tendons,
    }
    for equality in list(spec.equalities):
        known = joined.get(int(equality.type))
        if known is None:
            by_site = int(equality.objtype) == int(mujoco.mjtObj.mjOBJ_SITE)
            known = sites if by_site else bodies
        if not {equality.name1, equality.name2} - {""} <= known:
            spec.delete(equality)
    for camera in list(spec.cameras):
        if camera.targetbody and camera.targetbody not in bodies:
            spec.delete(camera)
    for light in list(spec.lights):
        if light.targetbody and light.targetbody not in bodies:
            spec.delete(light)


def _names(parts: list) -> set[str]:
    return {part.name for part in parts if part.name}


def _name_parts(spec: mujoco.MjSpec) -> None:
    """Names for the bodies and hinges that have none: a description refers to them by name."""
    bodies, joints = _names(spec.bodies), _names(spec.joints)
    for number, body in enumerate(spec.bodies):
        if not body.name:
            body.name = _free_name(f"body_{number}", bodies)
        for joint in body.joints:
            if not joint.name:
                joint.name = _free_name(f"{body.name}_joint", joints)


def _free_name(wanted: str, taken: set[str]) -> str:
    name, number = wanted, 2
    while name in taken:
        name, number = f"{wanted}_{number}", number + 1
    taken.add(name)
    return name
