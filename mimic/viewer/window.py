"""A window that shows rollouts in a loop, with the reference as a ghost."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence

import mujoco

from mimic.errors import MimicError
from mimic.viewer.camera import View, heading
from mimic.viewer.rollout import Rollout
from mimic.viewer.stage import COLLISION_GROUP, GHOST_GROUP, stage_model
from robots import Robot


def require_display() -> None:
    """Refuse a window where there is no screen.

    Raises:
        MimicError: on Linux without DISPLAY or WAYLAND_DISPLAY.
    """
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        raise MimicError(
            "--viewer needs a screen and there is none (DISPLAY is not set); "
            "write a video instead: --video out.mp4"
        )


def show(robot: Robot, rollouts: Sequence[Rollout], *, loops: int | None = None) -> None:
    """Play rollouts one after the other in real time until the window is closed.

    The space bar pauses. ``loops`` ends the show by itself after so many rounds.
    """
    require_display()
    from mujoco import viewer as mujoco_viewer

    model = stage_model(robot)
    shown, ghost = mujoco.MjData(model), mujoco.MjData(model)
    option, perturb = mujoco.MjvOption(), mujoco.MjvPerturb()
    for group in range(len(option.geomgroup)):
        option.geomgroup[group] = group == GHOST_GROUP
    paused = False

    def on_key(key: int) -> None:
        nonlocal paused
        if key == ord(" "):
            paused = not paused

    with mujoco_viewer.launch_passive(
        model, shown, key_callback=on_key, show_left_ui=False, show_right_ui=False
    ) as window:
        for group in range(len(window.opt.geomgroup)):
            window.opt.geomgroup[group] = group not in (COLLISION_GROUP, GHOST_GROUP)
        _place_camera(window.cam, rollouts[0])
        rounds = 0
        while window.is_running() and (loops is None or rounds < loops):
            for rollout in rollouts:
                frame = 0
                while frame < len(rollout.qpos) and window.is_running():
                    started = time.perf_counter()
                    with window.lock():
                        shown.qpos[:] = rollout.qpos[frame]
                        ghost.qpos[:] = rollout.reference_qpos[frame]
                        mujoco.mj_kinematics(model, shown)
                        mujoco.mj_camlight(model, shown)
                        mujoco.mj_kinematics(model, ghost)
                        window.cam.lookat[:2] = shown.qpos[:2]
                        window.user_scn.ngeom = 0
                        mujoco.mjv_addGeoms(
                            model, ghost, option, perturb,
                            int(mujoco.mjtCatBit.mjCAT_DYNAMIC), window.user_scn,
                        )  # fmt: skip
                    window.sync()
                    frame += 0 if paused else 1
                    spent = time.perf_counter() - started
                    time.sleep(max(0.0, rollout.control_dt - spent))
            rounds += 1


def _place_camera(camera: mujoco.MjvCamera, rollout: Rollout) -> None:
    view = View()
    camera.lookat[:] = [*rollout.qpos[0, :2], view.lookat[2]]
    camera.distance, camera.elevation = view.distance, view.elevation
    camera.azimuth = heading(rollout.qpos[0, 3:7]) + view.azimuth
