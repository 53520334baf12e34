"""Offscreen pictures of robots, ghosts and human figures, with whichever OpenGL works."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from mimic.sim.scene import SceneConfig
from mimic.viewer.camera import View
from mimic.viewer.gl import MISSING, working_backend
from mimic.viewer.painter import Limbs, Pose
from mimic.viewer.stage import (
    COLLISION_GROUP,
    FLOOR_GROUP,
    GHOST_GROUP,
    stage_model,
)
from mimic_base.errors import MimicError
from robots import Robot

MAX_GEOMS = 4000
SUN_DISTANCE = 8.0
SUPERSAMPLING = 2


class Renderer:
    """``Painter`` on OpenGL. See ``mimic.viewer.painter.Painter``."""

    def __init__(
        self, robot: Robot, width: int, height: int, scene: SceneConfig | None = None
    ) -> None:
        self.width, self.height = width, height
        self.model = stage_model(robot, scene)
        # Drawing at twice the size and averaging smooths shadows and textures as well as edges,
        # and costs a software OpenGL less than four samples a pixel.
        inner = self._inner = (SUPERSAMPLING * width, SUPERSAMPLING * height)
        self.model.vis.global_.offwidth, self.model.vis.global_.offheight = inner
        self.model.vis.quality.offsamples = 0
        self._data = mujoco.MjData(self.model)
        mujoco.mj_kinematics(self.model, self._data)
        self._gl = _open_context(*inner)
        self._context = mujoco.MjrContext(
            self.model, int(mujoco.mjtFontScale.mjFONTSCALE_300.value)
        )
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        self._scene = mujoco.MjvScene(self.model, MAX_GEOMS)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        self._scene.flags[mujoco.mjtRndFlag.mjRND_HAZE] = True
        self._perturb = mujoco.MjvPerturb()
        self._nothing, self._solid, self._ghost = (mujoco.MjvOption() for _ in range(3))
        for group in range(len(self._solid.geomgroup)):
            self._nothing.geomgroup[group] = group == FLOOR_GROUP
            self._solid.geomgroup[group] = group < COLLISION_GROUP
            self._ghost.geomgroup[group] = group == GHOST_GROUP

    def __enter__(self) -> Renderer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._context.free()
        self._gl.free()

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
        self._gl.make_current()
        scene, camera = self._scene, mujoco.MjvCamera()
        camera.lookat[:] = view.lookat
        camera.distance, camera.azimuth = view.distance, view.azimuth
        camera.elevation = view.elevation
        self.model.vis.global_.fovy = view.fovy
        everything = int(mujoco.mjtCatBit.mjCAT_ALL)
        mujoco.mj_camlight(self.model, self._data)
        self._place_sun(view)
        # Floor, light and camera first; the robot of this call is out of sight.
        mujoco.mjv_updateScene(
            self.model, self._data, self._nothing, self._perturb, camera, everything, scene
        )
        # Decoration casts no shadow; a floor that does would speckle itself.
        self._decorate(0)
        self._context.shadowClip = view.reach
        for pose in sorted(poses, key=lambda p: p.ghost):
            self._add_pose(pose)
        for figure in limbs:
            self._add_limbs(figure)
        area = mujoco.MjrRect(0, 0, *self._inner)
        mujoco.mjr_render(area, scene, self._context)
        font = mujoco.mjtFont.mjFONT_NORMAL.value
        for place, text in (
            (mujoco.mjtGridPos.mjGRID_TOPLEFT, title),
            (mujoco.mjtGridPos.mjGRID_BOTTOMLEFT, caption),
        ):
            if text:
                mujoco.mjr_overlay(font, place.value, area, text, "", self._context)
        image = np.empty((self._inner[1], self._inner[0], 3), np.uint8)
        mujoco.mjr_readPixels(image, None, area, self._context)
        return _averaged(image)[::-1]

    def _add_pose(self, pose: Pose) -> None:
        pose.state.put(self.model, self._data)
        scene, option = self._scene, self._ghost if pose.ghost else self._solid
        before, moving = scene.ngeom, int(mujoco.mjtCatBit.mjCAT_DYNAMIC)
        mujoco.mjv_addGeoms(self.model, self._data, option, self._perturb, moving, scene)
        if pose.ghost:
            self._decorate(before)

    def _decorate(self, first: int) -> None:
        for geom in self._scene.geoms[first : self._scene.ngeom]:
            geom.category = mujoco.mjtCatBit.mjCAT_DECOR

    def _place_sun(self, view: View) -> None:
        """Light from over the camera's shoulder, going along: shadows reach few metres."""
        right = view.right
        ahead = np.array([-right[1], right[0], 0.0])
        direction = 0.42 * ahead + 0.38 * right - np.array([0.0, 0.0, 0.82])
        direction /= np.linalg.norm(direction)
        self._data.light_xdir[-1] = direction
        self._data.light_xpos[-1] = view.lookat - SUN_DISTANCE * direction

    def _add_limbs(self, figure: Limbs) -> None:
        scene = self._scene
        for start, end in zip(figure.starts, figure.ends, strict=True):
            if scene.ngeom >= scene.maxgeom:
                return
            geom = scene.geoms[scene.ngeom]
            capsule = mujoco.mjtGeom.mjGEOM_CAPSULE
            mujoco.mjv_initGeom(
                geom, capsule, np.zeros(3), np.zeros(3), np.eye(3).ravel(),
                np.array(figure.rgba, np.float32),
            )  # fmt: skip
            mujoco.mjv_connector(geom, capsule, figure.radius, start, end)
            scene.ngeom += 1


def _averaged(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mean of each square of SUPERSAMPLING x SUPERSAMPLING pixels."""
    step = SUPERSAMPLING
    total = np.zeros((image.shape[0] // step, image.shape[1] // step, 3), np.uint16)
    for row in range(step):
        for column in range(step):
            total += image[row::step, column::step]
    return (total // step**2).astype(np.uint8)


def _open_context(width: int, height: int) -> Any:
    backend = working_backend()
    if backend is None:
        raise MimicError(MISSING)
    default = "cgl" if sys.platform == "darwin" else "glfw"
    module = importlib.import_module(f"mujoco.{backend if backend in _MODULES else default}")
    context = module.GLContext(width, height)
    context.make_current()
    return context


_MODULES = ("egl", "osmesa", "glfw", "cgl")
