"""A small picture of a retargeted clip: the person above, the robot below, at a few frames.

Drawn in software (orthographic, hulls of the links sorted by depth), so that it needs neither
OpenGL nor a window. Left limbs are blue and right ones red, on the person and on the robot.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.spatial import ConvexHull, QhullError

from mimic_base.files import atomic_path
from mimic_base.rotations import quat_rotate
from mimic_base.surface import Surface
from mimic_base.vectors import UP, Array, unit
from motions import HumanMotion, RobotMotion
from motions.robot.terrain import ground_of
from retarget.page.ground import ground_patches
from retarget.person.bones import body_bones
from robots.collision import check_geometry, geom_points, sphere_directions
from robots.geom_types import MESH
from robots.robot import Robot
from robots.shapes import vendor_model

_LEFT, _RIGHT, _MIDDLE = (0.20, 0.42, 0.80), (0.82, 0.30, 0.25), (0.55, 0.55, 0.58)
_LIGHT = unit(np.array([-0.35, 0.6, 0.7]))
"""In the picture's own axes: from the upper left, in front."""
_ELEVATION_DEG, _AZIMUTH_DEG = 12.0, 35.0
_DIRECTIONS = sphere_directions(160)


def draw_clip(
    path: Path | str,
    human: HumanMotion,
    motion: RobotMotion,
    robot: Robot,
    count: int = 6,
    frames: Sequence[int] = (),
    source_ground: Surface | None = None,
) -> None:
    """Write a PNG with `count` moments, evenly spread over the clip, or with `frames` of it.

    The robot stands on the ground of the motion's scene, the person on `source_ground`, the floor
    without it.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.collections import LineCollection, PolyCollection
    from matplotlib.figure import Figure

    count = len(frames) or max(1, min(count, motion.num_frames))
    last = max(1, motion.num_frames - 1)
    shares = np.array(frames) / last if len(frames) else (np.arange(count) + 0.5) / count
    figure = Figure(figsize=(1.9 * count, 4.8), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(
        f"{motion.name}: source above, {robot.title} below", fontsize=9, parse_math=False
    )
    axes = figure.subplots(2, count, squeeze=False)
    right, depth = _camera(human)
    up = np.cross(depth, right)
    view = np.stack([right, up, depth])
    shift = float(human.report.get("ground_m", 0.0)) if human.report else 0.0
    shapes, sides = _hulls(robot), _body_sides(robot)
    ground = ground_of(motion.scene)
    ground = None if ground.is_flat else ground
    for column, share in enumerate(shares):
        # Rounded up a hair: a frame divided by the last must give that frame again.
        t_human = int(share * (human.num_frames - 1) + 1e-6)
        t_robot = int(share * (motion.num_frames - 1) + 1e-6)
        top, bottom = axes[0, column], axes[1, column]
        lines, colours = _stick(human, t_human, view)
        for axis, surface, centre, level, size, lowest, drawn in (
            (
                top, source_ground, human.role("pelvis")[t_human], shift, human.height,
                float(human.pos_w[t_human, :, 2].min()), (np.zeros((0, 3, 3)), np.zeros((0, 3))),
            ),
            (
                bottom, ground, motion.root_pos[t_robot], 0.0,
                1.32 * robot.default_root_height / 0.757,
                float(motion.body_pos_w[t_robot, :, 2].min()),
                _robot_triangles(motion, shapes, sides, t_robot, view),
            ),
        ):  # fmt: skip
            polygons, shades = list(drawn[0]), drawn[1]
            if surface is not None:
                level = lowest  # what is below a figure on an edge may be far down
                patches, tones = ground_patches(surface, centre[:2], 1.3 * size)
                aside = (patches.mean(axis=1) - [*centre[:2], level]) @ view.T
                seen = (np.abs(aside[:, 0]) < 0.6 * size) & (np.abs(aside[:, 1]) < 1.2 * size)
                polygons += list(patches[seen])
                shades = np.concatenate([shades, tones[seen]])
            flat, depths = _flattened(polygons, view)
            order = np.argsort(depths)
            axis.add_collection(
                PolyCollection(
                    [flat[k] for k in order], facecolors=shades[order], edgecolors=shades[order],
                    linewidths=0.3,
                )
            )  # fmt: skip
            middle = np.array([centre[0], centre[1], level]) @ view.T
            axis.set_xlim(middle[0] - 0.55 * size, middle[0] + 0.55 * size)
            axis.set_ylim(middle[1] - 0.15 * size, middle[1] + 1.15 * size)
            if surface is None:
                axis.axhspan(middle[1] - 0.15 * size, middle[1], color="0.93", zorder=-2)
                axis.axhline(middle[1], color="0.6", linewidth=0.8, zorder=-1)
            axis.set_aspect("equal")
            axis.set_axis_off()
        top.add_collection(LineCollection(lines, colors=colours, linewidths=2.5, capstyle="round"))
        top.set_title(f"{t_robot / motion.fps:.1f} s", fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def _camera(human: HumanMotion) -> tuple[Array, Array]:
    """Unit vectors to the right of the picture and towards the viewer, from the first heading."""
    left = human.role("left_hip")[0] - human.role("right_hip")[0]
    forward = np.cross(unit(left * [1, 1, 0]), UP)
    azimuth = np.arctan2(forward[1], forward[0]) + np.radians(_AZIMUTH_DEG)
    flat = np.array([np.cos(azimuth), np.sin(azimuth), 0.0])
    elevation = np.radians(_ELEVATION_DEG)
    depth = np.cos(elevation) * flat + np.sin(elevation) * UP
    return np.cross(UP, flat), depth


def _stick(human: HumanMotion, frame: int, view: Array) -> tuple[list[Array], list]:
    flat = human.pos_w[frame] @ view.T
    bones = body_bones(human)
    lines = [np.stack([flat[bone.parent, :2], flat[bone.child, :2]]) for bone in bones]
    return lines, [{"left": _LEFT, "right": _RIGHT}.get(bone.side, _MIDDLE) for bone in bones]


def _body_sides(robot: Robot) -> dict[str, str]:
    """Side of every body of a limb: what hangs below a hip or shoulder, and their own motors."""
    model = robot.model
    trunk = {model.body(robot.human_map[role]).id for role in ("pelvis", "chest")}
    sides: dict[int, str] = {}
    for role, name in robot.human_map.items():
        body = model.body(name).id
        while role not in ("pelvis", "chest") and body not in (0, *trunk):
            sides[body] = role.split("_")[0]
            body = int(model.body_parentid[body])
    for body in range(1, model.nbody):
        parent = int(model.body_parentid[body])
        if body not in sides and parent in sides:
            sides[body] = sides[parent]
    return {model.body(body).name: side for body, side in sides.items()}


def _hulls(robot: Robot) -> dict[str, list[tuple[Array, Array]]]:
    """Per body the hulls (points [V, 3] in the body frame, triangles [F, 3]) of what is seen."""
    model = vendor_model(robot)
    seen = [
        (model.body(int(model.geom_bodyid[geom])).name, geom_points(model, geom))
        for geom in range(model.ngeom)
        if int(model.geom_type[geom]) == MESH and not model.geom_contype[geom]
    ]
    # A model without visual meshes is shown by its collision geometry.
    balls = sphere_directions(40)
    seen = seen or [
        (h.body, (h.points[:, None] + h.radius * balls).reshape(-1, 3) if h.radius else h.points)
        for h in check_geometry(robot).hulls
        if len(h.points)
    ]
    shown: dict[str, list[tuple[Array, Array]]] = {}
    for name, points in seen:
        # The outermost points in some directions are a hull that is quick to draw.
        points = points[np.unique((points @ _DIRECTIONS.T).argmax(axis=0))]
        try:
            faces = ConvexHull(points).simplices
        except QhullError:
            continue
        shown.setdefault(name, []).append((points, faces))
    return shown


def _robot_triangles(
    motion: RobotMotion,
    shapes: dict[str, list[tuple[Array, Array]]],
    sides: dict[str, str],
    frame: int,
    view: Array,
) -> tuple[Array, Array]:
    corners, colours = [], []
    for name, hulls in shapes.items():
        if name not in motion.body_names:
            continue
        body = motion.body_names.index(name)
        base = {"left": _LEFT, "right": _RIGHT}.get(sides.get(name, ""), _MIDDLE)
        for points, faces in hulls:
            world = quat_rotate(motion.body_quat_w[frame, body], points)
            world = world + motion.body_pos_w[frame, body]
            triangles = world[faces]
            normal = unit(
                np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
            )
            outward = np.sum(normal * (triangles.mean(axis=1) - world.mean(axis=0)), axis=1)
            normal = normal * np.sign(outward)[:, None]
            seen = normal @ view[2] > 0
            shade = 0.45 + 0.55 * np.clip(normal @ (_LIGHT @ view), 0.0, 1.0)
            corners.append(triangles[seen])
            colours.append(np.asarray(base) * shade[seen, None])
    if not corners:
        return np.zeros((0, 3, 3)), np.zeros((0, 3))
    return np.concatenate(corners), np.clip(np.concatenate(colours), 0.0, 1.0)


def _flattened(polygons: list[Array], view: Array) -> tuple[list[Array], Array]:
    """Polygons [K, 3] m of the world in the picture's axes [K, 2], and their depths."""
    seen = [polygon @ view.T for polygon in polygons]
    return [each[:, :2] for each in seen], np.array([each[:, 2].mean() for each in seen])
