"""Load a robot by name or from a user's own description file."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from mimic_base.errors import RobotError
from mimic_base.reading import real_path
from robots import description as descriptions
from robots.description import Description
from robots.mirror import Mirror
from robots.models import ModelEdits, compile_spec, skeleton, vendor_spec
from robots.overlay import Motors, overlay_spec
from robots.robot import Robot
from robots.sources import MENAGERIE_ROOT, menagerie_file
from robots.standing import sole_points, standing_height

_OWN = "own file"


@dataclass(frozen=True)
class RobotInfo:
    """A line of the list of known robots."""

    name: str
    title: str
    source: str
    path: Path | None
    hint: str


def available() -> list[RobotInfo]:
    """List the built-in robots; one whose model is absent carries the command that gets it."""
    infos = []
    for path in sorted(descriptions.BUILTIN_DIR.glob("*.toml")):
        desc = descriptions.read(path)
        try:
            xml, source = _model_file(desc, download=False)
            infos.append(RobotInfo(desc.name, desc.title, source, xml, ""))
        except RobotError as error:
            infos.append(RobotInfo(desc.name, desc.title, "absent", None, str(error)))
    return infos


def summary(name_or_path: str | Path) -> tuple[int, int, float]:
    """Number of hinges, number of bodies and mass (kg), without reading any mesh.

    Raises:
        RobotError: as `load`, for what it looks at.
    """
    desc = descriptions.read(descriptions.find(name_or_path))
    xml, source = _model_file(desc, download=True)
    _check(xml, source)
    model = compile_spec(skeleton(vendor_spec(xml, _edits(desc))), xml)
    joints, bodies = _names(model, xml)
    points = sum(2 if point.mirror else 1 for point in desc.points)
    return len(joints), len(bodies) + points, float(model.body_mass.sum())


def load(name_or_path: str | Path) -> Robot:
    """Load a built-in robot by name, or a user's robot from its description file.

    Args:
        name_or_path: ``unitree_g1`` or the path of a ``.toml`` naming an MJCF file.

    Raises:
        RobotError: unknown name, absent model, or a description that does not fit the model.
    """
    path = real_path(descriptions.find(name_or_path))
    return _load(path, path.stat().st_mtime_ns, os.environ.get("MENAGERIE_ROOT", ""))


@lru_cache(maxsize=32)
def _load(path: Path, _modified: int, _root: str) -> Robot:
    # Remembered for one state of the description and one MENAGERIE_ROOT.
    desc = descriptions.read(path)
    xml, source = _model_file(desc, download=True)
    _check(xml, source)
    edits = _edits(desc)
    vendor = compile_spec(skeleton(vendor_spec(xml, edits)), xml)
    joints, bodies = _names(vendor, xml)
    armature, effort, velocity, ratio = _motor_constants(desc, joints)
    omega = 2.0 * np.pi * desc.natural_frequency_hz
    kp = armature * omega**2
    kd = 2.0 * ratio * armature * omega
    motors = Motors(joint_names=joints, armature=armature, effort=effort, kp=kp, kd=kd)
    ranges = descriptions.match_joints(desc.joint_ranges, joints, f"{path}: joint_ranges")
    edits = replace(edits, joint_ranges=tuple(ranges.items()))
    vendor_factory = partial(vendor_spec, xml, edits)
    factory = partial(_overlaid, xml, edits, desc, motors, Mirror.of(vendor))
    # What is only seen is left out: vendors' meshes take longer to compile than all the rest.
    plain = overlay_spec(skeleton(vendor_spec(xml, edits)), desc, motors, Mirror.of(vendor))
    model = compile_spec(plain, path)
    bodies = tuple(model.body(i).name for i in range(1, model.nbody))
    default = np.zeros(len(joints))
    pose = descriptions.match_joints(desc.default_pose, joints, f"{path}: default_pose")
    for joint, value in pose.items():
        default[joints.index(joint)] = value
    limits = np.array([model.joint(name).range for name in joints])
    if not all(model.joint(name).limited[0] for name in joints):
        raise RobotError(f"{xml}: every hinge joint needs a range")
    centre, half = limits.mean(1), 0.5 * (limits[:, 1] - limits[:, 0]) * desc.soft_limit_factor
    wanted = {
        "root": [desc.bodies["root"]],
        "anchor": [desc.bodies["anchor"]],
        "feet": desc.bodies["feet"],
        "end_effectors": desc.bodies["end_effectors"],
        "key_bodies": desc.bodies["key_bodies"],
        "human": desc.human.values(),
    }
    for key, names in wanted.items():
        for name in names:
            if name not in bodies:
                raise RobotError(f"{path}: {key}: body '{name}' is not in {xml.name}: {bodies}")
    if bodies[0] != desc.bodies["root"]:
        raise RobotError(
            f"{path}: root: '{desc.bodies['root']}' must be the floating base '{bodies[0]}'"
        )
    keys = list(desc.bodies["key_bodies"])
    if keys[:1] != [bodies[0]]:
        raise RobotError(f"{path}: key_bodies: the first must be the root '{bodies[0]}': {keys}")
    for name in (desc.bodies["anchor"], *desc.bodies["end_effectors"]):
        if name not in keys:
            raise RobotError(f"{path}: '{name}' is an anchor or end effector: add it to key_bodies")
    left, right = desc.bodies["feet"]
    soles = (sole_points(model, left), sole_points(model, right))
    return Robot(
        name=desc.name,
        title=desc.title,
        vendor_xml=xml,
        model_source=source,
        model=model,
        spec_factory=factory,
        vendor_factory=vendor_factory,
        joint_names=joints,
        body_names=bodies,
        default_joint_pos=default,
        default_root_height=standing_height(model, default, (left, right), soles),
        kp=kp,
        kd=kd,
        effort_limit=effort,
        velocity_limit=velocity,
        armature=armature,
        action_scale=desc.action_scale_factor * effort / kp,
        joint_lower=limits[:, 0],
        joint_upper=limits[:, 1],
        soft_lower=centre - half,
        soft_upper=centre + half,
        root_body=desc.bodies["root"],
        anchor_body=desc.bodies["anchor"],
        key_bodies=tuple(desc.bodies["key_bodies"]),
        end_effectors=tuple(desc.bodies["end_effectors"]),
        feet=(left, right),
        sole_points=soles,
        human_map=dict(desc.human),
        doubts=desc.doubts,
    )


def _model_file(desc: Description, *, download: bool) -> tuple[Path, str]:
    for key in ("menagerie", "file"):
        if not isinstance(desc.model.get(key, ""), str):
            raise RobotError(f"{desc.path}: [model] {key} must be text")
    if "menagerie" in desc.model and "file" in desc.model:
        return menagerie_file(desc.model["menagerie"], desc.model["file"], download=download)
    if "menagerie" in desc.model or "file" not in desc.model:
        raise RobotError(f"{desc.path}: [model] needs 'file' (an MJCF) or 'menagerie' and 'file'")
    if "\0" in desc.model["file"]:
        raise RobotError(
            f"{desc.path}: [model] file must be a path (found a text with a zero byte)"
        )
    xml = real_path(desc.path.parent / desc.model["file"])
    if not xml.is_file():
        raise RobotError(f"{desc.path}: [model] file '{xml}' does not exist")
    return xml, _OWN


def _check(xml: Path, source: str) -> None:
    """Look a model over that did not come with an installed package; see `robots.foreign`."""
    if source in (_OWN, MENAGERIE_ROOT):
        from robots.foreign import check_model

        check_model(xml)


def _overlaid(
    xml: Path, edits: ModelEdits, desc: Description, motors: Motors, mirror: Mirror
) -> mujoco.MjSpec:
    return overlay_spec(vendor_spec(xml, edits), desc, motors, mirror)


def _edits(desc: Description) -> ModelEdits:
    fixed = desc.model.get("fixed_joints", [])
    if not isinstance(fixed, list):
        raise RobotError(f"{desc.path}: model.fixed_joints must be a list of joints, is {fixed!r}")
    turn = desc.model.get("turn", [1.0, 0.0, 0.0, 0.0])
    try:
        w, x, y, z = (float(value) for value in turn)
    except (TypeError, ValueError):
        raise RobotError(f"{desc.path}: model.turn must be 4 numbers, is {turn!r}") from None
    if not 0.99 < w * w + x * x + y * y + z * z < 1.01:
        raise RobotError(f"{desc.path}: model.turn must be a unit quaternion, is {turn!r}")
    return ModelEdits(
        turn=(w, x, y, z),
        fixed_joints=tuple(str(name) for name in fixed),
        free_joint=bool(desc.model.get("free_joint", False)),
        drop_missing_meshes=bool(desc.model.get("drop_missing_meshes", False)),
    )


def _names(model: mujoco.MjModel, xml: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    # Enum members compare unequal to numpy integers in recent MuJoCo: compare plain ints.
    kinds = [int(kind) for kind in model.jnt_type]
    if not kinds or kinds[0] != int(mujoco.mjtJoint.mjJNT_FREE):
        raise RobotError(f"{xml}: the first joint must be the floating base's free joint")
    if any(kind != int(mujoco.mjtJoint.mjJNT_HINGE) for kind in kinds[1:]):
        raise RobotError(f"{xml}: all joints but the floating base must be hinges")
    joints = tuple(model.joint(i).name for i in range(1, model.njnt))
    bodies = tuple(model.body(i).name for i in range(1, model.nbody))
    return joints, bodies


def _motor_constants(desc: Description, joints: tuple[str, ...]) -> tuple[NDArray, ...]:
    patterns = {}
    for motor in desc.motors:
        for pattern in motor.joints:
            if pattern in patterns:
                raise RobotError(f"{desc.path}: motors: two motors claim the pattern '{pattern}'")
            patterns[pattern] = motor
    motors = descriptions.match_joints(patterns, joints, f"{desc.path}: motors")
    missing = [joint for joint in joints if joint not in motors]
    if missing:
        raise RobotError(f"{desc.path}: motors: no motor drives {missing}")
    table = []
    for motor in (motors[joint] for joint in joints):
        ratio = desc.damping_ratio if motor.damping_ratio is None else motor.damping_ratio
        table.append((motor.armature, motor.effort, motor.velocity, ratio))
    constants = np.array(table).T.copy()
    if not np.all(constants > 0):
        raise RobotError(
            f"{desc.path}: motors: armature, effort, velocity and damping_ratio must be positive"
        )
    return tuple(constants)
