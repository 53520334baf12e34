"""From a user's MJCF or URDF to a description file that the loader takes, with a picture."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import mujoco
import numpy as np

from mimic_base.errors import RobotError
from mimic_base.files import atomic_path, temporary_folder
from robots.alone import keep_robot
from robots.constraints import described, passive_hinges, satisfied
from robots.derive.anatomy import Anatomy, Guess, joint_limits, subtree
from robots.derive.facing import IDENTITY, Turn, find_turn, forward
from robots.derive.limbs import find_anatomy
from robots.derive.motors import find_motors
from robots.derive.pose import KNEE_BEND, standing_pose, straight_angle
from robots.derive.shapes import limb_capsules
from robots.derive.soles import Sole, find_sole
from robots.derive.write import Derived, toml_text
from robots.foreign import check_model
from robots.frames import robot_frames
from robots.heard import heard
from robots.loader import load
from robots.models import (
    ModelEdits,
    compile_spec,
    load_spec,
    missing_meshes,
    require_file,
    vendor_spec,
)
from robots.robot import Robot

_FREE = int(mujoco.mjtJoint.mjJNT_FREE)
_SLIDE = int(mujoco.mjtJoint.mjJNT_SLIDE)
_HINGE = int(mujoco.mjtJoint.mjJNT_HINGE)


@dataclass(frozen=True)
class Added:
    """What `add_robot` has made: the loaded robot, its files, and what was derived."""

    robot: Robot
    out: Path
    picture: Path
    derived: Derived
    warnings: tuple[str, ...] = ()
    """What MuJoCo and its libraries remarked on the model."""


def add_robot(
    file: Path,
    *,
    out: Path | None = None,
    name: str | None = None,
    picture: Path | None = None,
    overwrite: bool = False,
    confirm: Callable[[Derived], None] | None = None,
) -> Added:
    """Derive a description of the robot in an MJCF or URDF file and write it.

    Args:
        out: description file to write; ``NAME.toml`` in the current directory unless given.
        name: of the robot; the model's own unless given.
        picture: PNG to write; beside `out` unless given.
        overwrite: replace files that exist.
        confirm: called before anything is written; may raise, where `Derived.split` says something.

    Raises:
        RobotError: the file is no humanoid robot that can be used; nothing is written.
    """
    require_file(file)
    check_model(file)
    with heard() as first:
        name = robot_name(file, name)
    out = Path(f"{name}.toml") if out is None else out
    picture = out.with_suffix(".png") if picture is None else picture
    if out.suffix != ".toml":
        raise RobotError(f"--out {out}: a description file ends in .toml")
    for path in (out, picture):
        if path.exists() and not overwrite:
            raise RobotError(f"{path} exists; choose another place with --out, or --overwrite it")
        if not path.resolve().parent.is_dir():
            raise RobotError(f"{path}: the folder '{path.parent}' does not exist")
    with heard() as remarks:
        robot, derived = _made(file, name, out, picture, confirm)
    return Added(robot, out, picture, derived, tuple(dict.fromkeys([*first, *remarks])))


def _made(
    file: Path,
    name: str,
    out: Path,
    picture: Path,
    confirm: Callable[[Derived], None] | None,
) -> tuple[Robot, Derived]:
    """The robot as its new description says, and what was derived; both files are written."""
    derived = derive(file, name)
    from robots.derive.picture import draw_robot

    try:
        # Loaded from a draft first: what the loader refuses is never left behind.
        with temporary_folder("mimic-robot") as folder:
            draft, drawn = folder / "robot.toml", folder / "robot.png"
            draft.write_text(toml_text(derived, draft), encoding="utf-8")
            try:
                robot = load(draft)
            except RobotError as error:
                # The user knows the model, not the draft.
                raise RobotError(str(error).replace(str(draft), str(file))) from error
            derived = replace(derived, frame_doubts=robot_frames(robot).doubts)
            if confirm is not None:
                confirm(derived)
            if derived.doubts():
                robot = replace(robot, doubts=derived.doubts())
            draw_robot(drawn, robot)
            draft.write_text(toml_text(derived, out), encoding="utf-8")
            _place(drawn, picture)
            _place(draft, out)
    except OSError as error:
        raise RobotError(f"{error.filename or out}: cannot write: {error.strerror}") from error
    return robot, derived


def _place(source: Path, target: Path) -> None:
    """Put a finished file in its place in one step, be it on another disk."""
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)


def robot_name(file: Path, name: str | None) -> str:
    """A name fit for files: as given, or the model's."""
    if name is not None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
            raise RobotError(f"--name {name!r}: letters, digits, '_', '-' and '.' only")
        return name
    for text in (load_spec(file).modelname, file.stem):
        cleaned = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
        if cleaned not in ("", "mujoco_model"):
            return cleaned
    return "robot"


def derive(file: Path, name: str) -> Derived:
    """Everything that `add_robot` writes, as data; see `Derived`."""
    spec = load_spec(file)
    root = keep_robot(spec, file)
    kinds = {int(joint.type) for joint in root.joints}
    fixed = _FREE not in kinds
    # Slides of the root stand for a floating base; a hinge alone is an arm's first joint.
    if fixed and kinds and _SLIDE not in kinds:
        raise RobotError(
            f"{file}: no free joint possible: the root '{root.name}' turns on a joint of its own "
            f"('{root.joints[0].name}') against the world; the robot's base must be a body above it"
        )
    dropped = tuple(missing_meshes(spec, file))
    slides = tuple(
        j.name for j in spec.joints if int(j.type) == _SLIDE and not (fixed and j.parent == root)
    )
    edits = ModelEdits(free_joint=fixed, drop_missing_meshes=bool(dropped), fixed_joints=slides)
    model = compile_spec(vendor_spec(file, edits), file)
    _check(model, file)
    turn = find_turn(model, str(file))
    if turn != IDENTITY:
        edits = replace(edits, turn=turn)
        model = compile_spec(vendor_spec(file, edits), file)
    anatomy = find_anatomy(model, str(file))
    points = anatomy.points
    if slides:
        anatomy.guesses["slides"] = Guess(
            0.4,
            f"{', '.join(slides[:4])}{', ...' if len(slides) > 4 else ''}: slide joints are fixed "
            "where they are drawn; a human has none",
        )
    anatomy.guesses["facing"] = _facing_guess(anatomy, turn)
    leg = anatomy.legs[0]
    reach = float(anatomy.data.xpos[leg.bodies[0]][2] - anatomy.data.xpos[leg.end][2])
    soles = [_sole(anatomy, points, k, reach) for k in (0, 1)]
    ranges = _ranges(anatomy)
    pose = _closed(model, standing_pose(anatomy, (soles[0], soles[1])))
    anatomy.guesses.update(_constraints_guess(model))
    anatomy.guesses["pose"] = _pose_guess(anatomy, (soles[0], soles[1]), pose)
    anatomy.guesses["trunk"] = Guess(
        0.9 if anatomy.pelvis != anatomy.chest else 0.7,
        f"the legs hang on '{anatomy.name(anatomy.pelvis)}', the arms on "
        f"'{anatomy.name(anatomy.chest)}'",
    )
    return Derived(
        name=name,
        file=file,
        anatomy=anatomy,
        soles=(soles[0], soles[1]),
        pose=pose,
        motors=find_motors(anatomy, file),
        ranges=ranges,
        capsules=limb_capsules(anatomy, points),
        free_joint=fixed,
        dropped=dropped,
        turn=turn,
        slides=slides,
    )


def _check(model: mujoco.MjModel, file: Path) -> None:
    """What nothing further on could make sense of."""
    for what, values in (
        ("a body's position", model.body_pos),
        ("a body's orientation", model.body_quat),
        ("a body's mass", model.body_mass),
        ("a joint's axis", model.jnt_axis),
        ("a joint's range", model.jnt_range),
        ("a shape's size", model.geom_size),
    ):
        if not np.isfinite(values).all():
            raise RobotError(f"{file}: {what} is not a finite number; look for nan or inf in it")
    kinds = [int(kind) for kind in model.jnt_type]
    if int(model.jnt_bodyid[0]) != 1 or kinds[0] != _FREE:
        raise RobotError(
            f"{file}: the robot must be the first body of the world, with the free joint on it"
        )
    balls = [model.joint(j).name for j in range(1, model.njnt) if kinds[j] != _HINGE]
    if balls:
        raise RobotError(
            f"{file}: {len(balls)} ball joints ({', '.join(balls[:4])}): a robot's motion has one "
            "angle per hinge; replace each by three hinges in the same place, one to an axis"
        )


def _sole(anatomy: Anatomy, points: dict, side: int, reach: float) -> Sole:
    body = anatomy.legs[side].end
    pos, mat = anatomy.data.xpos[body], anatomy.data.xmat[body].reshape(3, 3)
    clouds = [points[b] for b in subtree(anatomy.model, body) if b in points]  # toes are of it
    if clouds:
        return find_sole(np.concatenate(clouds), pos, mat, reach)
    # No geometry: a foot of human proportions below the ankle.
    length, wide, low = 0.3 * reach, 0.12 * reach, float(pos[2]) - 0.08 * reach
    corners = [[x, y, low] for x in (-0.25 * length, 0.75 * length) for y in (wide / 2, -wide / 2)]
    world = np.array(corners) + [pos[0], pos[1], 0.0]
    return Sole(
        points=(world - pos) @ mat,
        radius=0.006 * reach,
        up=mat.T @ np.array([0.0, 0.0, 1.0]),
        forward=mat.T @ np.array([1.0, 0.0, 0.0]),
        guess=Guess(0.1, "the foot has no geometry: a foot of human proportions is assumed"),
    )


def _closed(model: mujoco.MjModel, pose: dict[int, float]) -> dict[int, float]:
    """The pose with gears and linkages met."""
    if not model.neq:
        return pose
    qpos = np.array(model.qpos0)
    for joint, value in pose.items():
        qpos[model.jnt_qposadr[joint]] = value
    closed, _ = satisfied(model, qpos[None], passive_hinges(model))
    found = {j: round(float(closed[0, model.jnt_qposadr[j]]), 4) for j in range(1, model.njnt)}
    return {joint: value for joint, value in found.items() if value}


def _constraints_guess(model: mujoco.MjModel) -> dict[str, Guess]:
    """What becomes of the model's equalities; loops are to be confirmed."""
    coupled, others = described(model)
    if not coupled and not others:
        return {}
    told = [*others, *coupled]
    some = "; ".join(told[:4]) + (f"; and {len(told) - 4} more" if len(told) > 4 else "")
    if not others:
        return {"constraints": Guess(0.8, f"{some}: kept in simulation and in retargeting")}
    return {
        "constraints": Guess(
            0.3,
            f"{some}: kept in simulation; retargeting solves the limbs without them and then "
            "closes them by the hinges that carry no key point",
        )
    }


def _facing_guess(anatomy: Anatomy, turn: Turn) -> Guess:
    score = forward(anatomy)
    said = "knees and toes say" if score > 0.5 else "knees and toes hardly say"
    if turn == IDENTITY:
        return Guess(0.95 if score > 0.5 else 0.5, f"{said} that it faces +x, as it should")
    return Guess(
        0.8 if score > 0.5 else 0.4,
        f"the file's robot stands or faces another way: turned by the quaternion {list(turn)}; "
        f"{said} that it faces +x now",
    )


def _ranges(anatomy: Anatomy) -> dict[int, tuple[float, float]]:
    """Ranges for joints without one: half a turn, knees only the human way."""
    model = anatomy.model
    found = {}
    for joint in range(1, model.njnt):
        if not model.jnt_limited[joint]:
            found[joint] = joint_limits(model, joint)
    for leg in anatomy.legs:
        if leg.bend in found:
            straight, sign = straight_angle(anatomy, leg)
            low, high = sorted((straight - 0.05 * sign, straight + 2.4 * sign))
            found[leg.bend] = (low, high)
    return found


def _pose_guess(anatomy: Anatomy, soles: tuple[Sole, Sole], pose: dict[int, float]) -> Guess:
    """How well the pose stands: how level the soles are, where the centre of mass is."""
    model = anatomy.model
    data = mujoco.MjData(model)
    for joint, value in pose.items():
        data.qpos[model.jnt_qposadr[joint]] = value
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    placed = [
        sole.points @ data.xmat[leg.end].reshape(3, 3).T + data.xpos[leg.end]
        for leg, sole in zip(anatomy.legs, soles, strict=True)
    ]
    every = np.concatenate(placed)
    uneven = 1000.0 * float(np.ptp(every[:, 2]))
    x = float(data.subtree_com[0][0])
    share = (x - float(every[:, 0].min())) / max(float(np.ptp(every[:, 0])), 1e-9)
    good = uneven < 2.0 and 0.2 < share < 0.8
    return Guess(
        0.9 if good else 0.4,
        f"found numerically: knees {KNEE_BEND:g} rad from straight, soles level within "
        f"{uneven:.1f} mm, centre of mass {100 * share:.0f} % of the way from heel to toe",
    )
