"""Read a vendor's model, MJCF or URDF, into an editable MuJoCo model."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np

from mimic_base.errors import RobotError
from robots.alone import drop_dangling, keep_robot
from robots.geom_types import MESH
from robots.heard import warnings_of_mujoco
from robots.turn import level_root
from robots.urdf import urdf_for_mujoco

MESH_FORMATS = (".stl", ".obj", ".msh")
_FREE = int(mujoco.mjtJoint.mjJNT_FREE)


@dataclass(frozen=True, kw_only=True)
class ModelEdits:
    """What is changed in a vendor's model before anything else looks at it.

    Attributes:
        fixed_joints: hinges to weld at their zero angle.
        free_joint: give the root a free joint (models that are drawn fixed to the world), in place
            of joints of its own.
        drop_missing_meshes: leave out geometry whose mesh file is absent or of a format that MuJoCo
            does not read, instead of failing.
        joint_ranges: joint name -> lowest and highest angle, rad.
        turn: quaternion (wxyz) by which the root's content is turned in its frame, so that the
            frame is upright and faces +x.
    """

    fixed_joints: Sequence[str] = ()
    free_joint: bool = False
    drop_missing_meshes: bool = False
    joint_ranges: tuple[tuple[str, tuple[float, float]], ...] = ()
    turn: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)


def vendor_spec(path: Path, edits: ModelEdits) -> mujoco.MjSpec:
    """The vendor's model with `edits` applied; its own collision geometry and meshes stay.

    Raises:
        RobotError: MuJoCo cannot read the file, or an edit names a joint that is not there.
    """
    spec = load_spec(path)
    root = keep_robot(spec, path)
    if edits.drop_missing_meshes:
        drop_missing_meshes(spec, path)
    for name in edits.fixed_joints:
        joint = spec.joint(name)
        if joint is None:
            raise RobotError(f"{path}: fixed_joints: there is no joint '{name}'")
        spec.delete(joint)
    if edits.free_joint and not any(int(j.type) == _FREE for j in root.joints):
        for joint in list(root.joints):
            spec.delete(joint)
        root.add_freejoint(name="floating_base")
    level_root(spec, root, edits.turn)
    drop_dangling(spec)
    for name, limits in edits.joint_ranges:
        joint = spec.joint(name)
        if joint is None:
            raise RobotError(f"{path}: joint_ranges: there is no joint '{name}'")
        # MuJoCo converts at compile time what the file gives in degrees.
        unit = np.rad2deg(1.0) if spec.compiler.degree else 1.0
        joint.range = [unit * limit for limit in limits]
        joint.limited = mujoco.mjtLimited.mjLIMITED_TRUE
    return spec


def load_spec(path: Path) -> mujoco.MjSpec:
    """Parse an MJCF or URDF file, naming it in the error when it cannot be read.

    A model of strangers goes through `robots.foreign.check_model` before.
    """
    require_file(path)
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, UnicodeDecodeError, LookupError) as error:
        raise RobotError(f"{path}: MuJoCo cannot read this model: not XML: {error}") from error
    except OSError as error:
        raise RobotError(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        with warnings_of_mujoco() as told:
            if root.tag == "robot":
                spec = mujoco.MjSpec.from_string(urdf_for_mujoco(root, path))
            elif root.tag == "mujoco":
                spec = mujoco.MjSpec.from_file(str(path))
            else:
                raise RobotError(
                    f"{path}: not a robot model: the XML root is <{root.tag}>, "
                    "expected <mujoco> (MJCF) or <robot> (URDF)"
                )
        if any("NaN" in each for each in told):
            raise RobotError(f"{path}: MuJoCo cannot read this model: it contains a 'nan'")
        return spec
    except (ValueError, OSError, RuntimeError, mujoco.FatalError) as error:
        if isinstance(error, RobotError):
            raise
        raise RobotError(f"{path}: MuJoCo cannot read this model: {error}") from error


def require_file(path: Path) -> None:
    """Say in one line that a model's file is absent, or that it is a folder."""
    if path.is_dir():
        found = sorted(p.name for p in path.iterdir() if p.suffix.lower() in (".xml", ".urdf"))
        some = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
        raise RobotError(
            f"robot model '{path}' is a folder; give the MJCF (.xml) or URDF file itself"
            + (f", one of: {some}" if found else "")
        )
    if not path.exists():
        raise RobotError(f"robot model '{path}' does not exist")
    if not path.is_file():
        raise RobotError(f"robot model '{path}' is no ordinary file")


def compile_spec(spec: mujoco.MjSpec, path: Path) -> mujoco.MjModel:
    """Compile, naming the file in the error when MuJoCo refuses."""
    try:
        return spec.compile()
    except (ValueError, OSError, RuntimeError, mujoco.FatalError) as error:
        raise RobotError(f"{path}: MuJoCo cannot compile this robot: {error}") from error


def skeleton(spec: mujoco.MjSpec) -> mujoco.MjSpec:
    """Leave out what kinematics do not need, meshes above all; `spec` itself is changed.

    Geometry stays where a body's mass is inferred from it.
    """
    for geom in list(spec.geoms):
        if not carries_mass(spec, geom):
            spec.delete(geom)
    return without_unused_meshes(spec)


def without_unused_meshes(spec: mujoco.MjSpec) -> mujoco.MjSpec:
    """Delete meshes that no geom shows, and what refers to deleted parts."""
    used = {geom.meshname for geom in spec.geoms}
    for mesh in list(spec.meshes):
        if (mesh.name or Path(mesh.file).stem) not in used:
            spec.delete(mesh)
    drop_dangling(spec)
    return spec


def colliding(spec: mujoco.MjSpec) -> mujoco.MjSpec:
    """Leave out geometry that neither collides nor carries mass; `spec` itself is changed.

    Models that leave contacts to a list of pairs: their collision shapes count all the same. Shapes
    are in groups from 3 on, by MuJoCo's custom; a model that has none is its visible hulls.
    """
    on_robot = [geom for geom in spec.geoms if geom.parent.name != "world"]
    if not any(geom.contype or geom.conaffinity for geom in on_robot):
        for geom in [geom for geom in on_robot if geom.group >= 3] or on_robot:
            geom.contype = geom.conaffinity = 1
    for geom in list(spec.geoms):
        if not (geom.contype or geom.conaffinity or carries_mass(spec, geom)):
            spec.delete(geom)
    return without_unused_meshes(spec)


def model_files(spec: mujoco.MjSpec, path: Path) -> list[Path] | None:
    """The files that a model read from `path` depends on; None where one cannot be found."""
    folder = Path(spec.modelfiledir or path.parent)
    folder = folder if folder.is_absolute() else path.parent
    files, texts = [], [path]
    while texts:
        text = texts.pop()
        files.append(text)
        try:
            root = ElementTree.parse(text).getroot()
        except (OSError, ElementTree.ParseError):
            return None
        texts += [path.parent / include.get("file", "") for include in root.iter("include")]
        if len(files) > 100:
            return None
    for mesh in spec.meshes:
        if mesh.file:
            places = [folder / spec.meshdir / mesh.file, folder / mesh.file]
            found = next((place for place in places if place.is_file()), None)
            if found is None:
                return None
            files.append(found)
    return files


def carries_mass(spec: mujoco.MjSpec, geom: mujoco.MjsGeom) -> bool:
    """Whether the body's mass is inferred from this geom, so that it has to stay."""
    rules = mujoco.mjtInertiaFromGeom
    rule = int(spec.compiler.inertiafromgeom)
    if geom.parent.name == "world" or rule == int(rules.mjINERTIAFROMGEOM_FALSE):
        return False
    always = rule == int(rules.mjINERTIAFROMGEOM_TRUE)
    return always or not geom.parent.explicitinertial


def missing_meshes(spec: mujoco.MjSpec, path: Path) -> list[str]:
    """Names of the meshes whose file is absent, or of a format that MuJoCo does not read."""
    folder = Path(spec.modelfiledir or path.parent)
    if not folder.is_absolute():
        folder = path.parent
    absent = []
    for mesh in spec.meshes:
        if not mesh.file:
            continue
        file = Path(mesh.file)
        places = [file] if file.is_absolute() else [folder / spec.meshdir / file, folder / file]
        readable = file.suffix.lower() in MESH_FORMATS or mesh.content_type
        if not readable or not any(place.is_file() for place in places):
            absent.append(mesh.name or file.stem)
    return absent


def drop_missing_meshes(spec: mujoco.MjSpec, path: Path) -> list[str]:
    """Delete the meshes of `missing_meshes` and what shows them; returns their names."""
    absent = set(missing_meshes(spec, path))
    for geom in list(spec.geoms):
        if int(geom.type) == MESH and geom.meshname in absent:
            spec.delete(geom)
    for mesh in list(spec.meshes):
        if (mesh.name or Path(mesh.file).stem) in absent:
            spec.delete(mesh)
    drop_dangling(spec)
    return sorted(absent)
