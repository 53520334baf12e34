"""A picture to confirm a derived robot by: front and side view with what was found marked."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
from scipy.spatial import ConvexHull, QhullError

from robots.derive.anatomy import Array
from robots.derive.geometry import geom_points
from robots.robot import Robot
from robots.shapes import drawn_model

_SIDES = {"left": "#2f6fd0", "right": "#c8402f", "": "#555555"}


def draw_robot(path: Path, robot: Robot) -> None:
    """Write a PNG of the default pose: hulls of all links, key points, soles, centre of mass."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    model = drawn_model(robot)
    data = mujoco.MjData(model)
    data.qpos[:7] = [0.0, 0.0, robot.default_root_height, 1.0, 0.0, 0.0, 0.0]
    data.qpos[7:] = robot.default_joint_pos
    mujoco.mj_forward(model, data)
    shapes = _outlines(model, data)
    figure = Figure(figsize=(11.0, 7.0), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(
        f"{robot.title}: blue is its left, red its right; triangles are soles, + the mass centre",
        fontsize=10,
        parse_math=False,
    )
    # Seen from the front, the robot's left is on the right.
    for axis, (across, title) in zip(
        figure.subplots(1, 2), ((1, "front"), (0, "left side, facing right")), strict=True
    ):
        _view(axis, across, title, robot, data, shapes)
    figure.savefig(path, format="png")


def _view(axis, across: int, title: str, robot: Robot, data: mujoco.MjData, shapes) -> None:
    from matplotlib.collections import PolyCollection

    polygons = []
    for points in shapes:
        flat = points[:, [across, 2]]
        try:
            polygons.append(flat[ConvexHull(flat).vertices])
        except QhullError:
            continue
    axis.add_collection(
        PolyCollection(polygons, facecolors="#b8bcc4", edgecolors="#8a8f99", alpha=0.35, lw=0.5)
    )
    marked: dict[tuple[float, float], list[tuple[str, str]]] = {}
    for role, body in robot.human_map.items():
        side = role.split("_")[0] if "_" in role else ""
        if across == 0 and side == "right":
            continue
        place = data.body(body).xpos
        key = (round(float(place[across]), 4), round(float(place[2]), 4))
        marked.setdefault(key, []).append((role.removeprefix(f"{side}_"), side))
    for (x, z), found in marked.items():
        colour = _SIDES[found[0][1]]
        axis.plot(x, z, "o", color=colour, ms=5)
        label = ", ".join(role for role, _ in found)
        right = x >= 0 or across == 0
        axis.annotate(
            label, (x, z), xytext=(6 if right else -6, 3), textcoords="offset points",
            color=colour, fontsize=8, ha="left" if right else "right", parse_math=False,
        )  # fmt: skip
    for name, foot, points in zip(("left", "right"), robot.feet, robot.sole_points, strict=True):
        placed = points @ data.body(foot).xmat.reshape(3, 3).T + data.body(foot).xpos
        axis.plot(placed[:, across], placed[:, 2], "^", color=_SIDES[name], ms=5)
    axis.plot(data.subtree_com[0][across], data.subtree_com[0][2], "k+", ms=12)
    axis.axhline(0.0, color="#666666", lw=0.8)
    axis.set_title(title, fontsize=9)
    axis.set_aspect("equal")
    axis.autoscale_view()
    axis.set_xlabel("y, m" if across else "x, m", fontsize=8)
    axis.set_ylabel("z, m", fontsize=8)
    axis.tick_params(labelsize=7)


def _outlines(model: mujoco.MjModel, data: mujoco.MjData) -> list[Array]:
    """World points of what is seen of the robot; the lean collision geometry where nothing is."""
    lean = (model.geom_contype | model.geom_conaffinity).astype(bool)
    chosen = [g for g in range(model.ngeom) if model.geom_bodyid[g] > 0 and not lean[g]]
    chosen = chosen or [g for g in range(model.ngeom) if lean[g]]
    outlines = []
    for geom in chosen:
        points = geom_points(model, geom)
        world = points @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom]
        if len(world) > 3 and np.isfinite(world).all():
            outlines.append(world)
    return outlines
