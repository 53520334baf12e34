"""Stick figures drawn with matplotlib, for machines without OpenGL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import mujoco
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mimic.viewer.camera import View, project
from mimic.viewer.painter import Limbs, Pose
from mimic_base.terrain import TerrainParts, TerrainSurface
from robots import Robot
from robots.shapes import drawn_model

Array = NDArray[Any]
SKY, GROUND, GRID, SHADOW = "#dfe8f2", "#d3d7db", "#bcc2c9", "#a2a9b2"
GHOST = "#86b8f2"
MIDDLE, LEFT, RIGHT = "#4a515b", "#2b3038", "#7d8590"
TIP_LENGTH = 0.1
"""A part whose middle is farther than this from its body's joints is drawn as a limb, m."""


class StickPainter:
    """``Painter`` without OpenGL: bodies joined to their parents, the right side lighter.

    The ground is a grid of lines, of metres on the level floor, closer on terrain.
    """

    def __init__(
        self, robot: Robot, width: int, height: int, terrain: TerrainParts | None = None
    ) -> None:
        self.width, self.height = width, height
        self._surface = TerrainSurface(terrain or TerrainParts())
        self._model = robot.model
        self._data = mujoco.MjData(robot.model)
        self._sticks = _Sticks(robot)
        self._figure = Figure(figsize=(width / 100, height / 100), dpi=100)
        self._canvas = FigureCanvasAgg(self._figure)
        self._axes = self._figure.add_axes((0.0, 0.0, 1.0, 1.0))

    def __enter__(self) -> StickPainter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._figure.clear()

    def draw(
        self,
        poses: Sequence[Pose],
        view: View,
        *,
        limbs: Iterable[Limbs] = (),
        title: str = "",
        caption: str = "",
    ) -> NDArray[np.uint8]:
        """Draw robots and figures; returns RGB [height, width, 3]."""
        axes = self._axes
        axes.clear()
        axes.set_axis_off()
        axes.set_xlim(0, self.width)
        axes.set_ylim(0, self.height)
        self._draw_ground(view)
        figures: list[tuple[Array, Any, float]] = []
        for pose in sorted(poses, key=lambda p: not p.ghost):
            # Objects of the scene come after the robot; sticks show the robot alone.
            pose.state.put(self._model, self._data)
            segments = self._sticks.segments(self._data)
            colours = GHOST if pose.ghost else self._sticks.colours
            if not pose.ghost:
                self._draw_shadow(segments, view)
            figures.append((segments, colours, 0.02))
        for figure in limbs:
            segments = np.stack([figure.starts, figure.ends], axis=1)
            self._draw_shadow(segments, view)
            figures.append((segments, figure.rgba, figure.radius))
        for segments, colours, radius in figures:
            self._draw_segments(segments, view, colours, radius)
        for x, y, text in ((10, self.height - 10, title), (10, 10, caption)):
            if text:
                side = "top" if y > self.height / 2 else "bottom"
                axes.text(x, y, text, va=side, fontsize=11, color="#222222", parse_math=False)
        self._canvas.draw()
        return np.asarray(self._canvas.buffer_rgba())[..., :3].copy()

    def _draw_ground(self, view: View) -> None:
        """Sky, ground and a grid of metres."""
        far = np.array(view.position) * [1, 1, 0] + 1e4 * view.ahead * [1, 1, 0]
        horizon = project(far, view, self.width, self.height)[0][1]
        self._figure.set_facecolor(SKY)
        self._axes.axhspan(0, float(np.clip(horizon, 0, self.height)), color=GROUND, lw=0)
        centre = np.round(np.array(view.lookat[:2]))
        span = np.arange(-8.0, 9.0)
        # In short pieces: what lies behind the camera must be cut away; shorter where it is rough.
        pieces = 33
        if not self._surface.is_flat:
            span, pieces = np.arange(-4.0, 4.125, 0.25), 161
        cuts = np.linspace(span[0], span[-1], pieces)
        lines = []
        for across in span:
            beside = np.full(pieces, across)
            for along in ((cuts, beside), (beside, cuts)):
                path = np.stack([*along, np.zeros(pieces)], axis=-1) + [*centre, 0.0]
                path[:, 2] = self._surface.height(path[:, 0], path[:, 1])
                lines.append(np.stack([path[:-1], path[1:]], axis=1))
        self._draw_segments(np.concatenate(lines), view, GRID, 0.0)

    def _draw_shadow(self, segments: Array, view: View) -> None:
        # Light from straight above: tells feet on the ground from feet in the air.
        below = segments.copy()
        below[..., 2] = self._surface.height(segments[..., 0], segments[..., 1])
        self._draw_segments(below, view, SHADOW, 0.018)

    def _draw_segments(self, segments: Array, view: View, colours: Any, radius: float) -> None:
        """Add segments [S, 2, 3]; ``radius`` (m) sets the width of the lines."""
        pixels, depth = project(segments, view, self.width, self.height)
        seen = (depth > 0.2).all(axis=1)
        scale = 0.5 * self.height / np.tan(np.radians(0.5 * view.fovy)) / view.distance
        width = max(0.8, 2.0 * radius * scale * 72.0 / self._figure.dpi)
        if isinstance(colours, list):
            colours = [colours[index] for index in np.flatnonzero(seen)]
        lines = list(pixels[seen])
        self._axes.add_collection(
            LineCollection(lines, colors=colours, linewidths=width, capstyle="round")
        )


class _Sticks:
    """Which points of a robot are joined by lines."""

    def __init__(self, robot: Robot) -> None:
        model = drawn_model(robot)
        self._bodies = [b for b in range(2, model.nbody)]
        self._parents = [int(model.body_parentid[b]) for b in self._bodies]
        self._tips: list[tuple[int, Array]] = []
        for body in range(1, model.nbody):
            joints = [np.zeros(3)]
            joints += [model.body_pos[c] for c, p in zip(self._bodies, self._parents, strict=True)
                       if p == body]  # fmt: skip
            for geom in np.flatnonzero(model.geom_bodyid == body):
                centre = model.geom_pos[geom]
                if min(np.linalg.norm(centre - joint) for joint in joints) > TIP_LENGTH:
                    self._tips.append((body, np.array(centre)))
        self._feet = [
            (model.body(name).id, points)
            for name, points in zip(robot.feet, robot.sole_points, strict=True)
        ]
        owners = [*self._bodies, *(body for body, _ in self._tips)]
        owners += [body for body, points in self._feet for _ in points]
        self.colours = [_colour(model.body(body).name) for body in owners]

    def segments(self, data: mujoco.MjData) -> Array:
        """[S, 2, 3] m, world."""
        lines = [np.stack([data.xpos[self._parents], data.xpos[self._bodies]], axis=1)]
        for body, point in self._tips:
            tip = data.xpos[body] + data.xmat[body].reshape(3, 3) @ point
            lines.append(np.stack([data.xpos[body], tip])[None])
        for body, points in self._feet:
            sole = data.xpos[body] + points @ data.xmat[body].reshape(3, 3).T
            lines.append(np.stack([np.broadcast_to(data.xpos[body], sole.shape), sole], axis=1))
        return np.concatenate(lines)


def _colour(body: str) -> str:
    name = body.lower()
    return LEFT if name.startswith("left") else RIGHT if name.startswith("right") else MIDDLE
