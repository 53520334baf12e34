"""A window that shows rollouts in a loop, with the reference as a ghost."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

import mujoco

from mimic.viewer.camera import View, heading
from mimic.viewer.rollout import Rollout
from mimic.viewer.stage import COLLISION_GROUP, GHOST_GROUP, stage_model
from mimic_base.errors import MimicError
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

    scenes = [rollout.scene for rollout in rollouts]
    if any(scene != scenes[0] for scene in scenes):
        raise MimicError(
            "--viewer shows one scene, and these motions carry different ones; name motions of one "
            "scene, or --no-motion-scene, or --video out.mp4"
        )
    model = stage_model(robot, scenes[0])
    # The sun stays behind here, and with it the few metres on which shadows fall.
    model.light_castshadow[:] = False
    shown, ghost = mujoco.MjData(model), mujoco.MjData(model)
    paused = threading.Event()

    def on_key(key: int) -> None:
        if key == ord(" "):
            paused.clear() if paused.is_set() else paused.set()

    others = set(threading.enumerate())
    with mujoco_viewer.launch_passive(
        model, shown, key_callback=on_key, show_left_ui=False, show_right_ui=False
    ) as window:
        for group in range(len(window.opt.geomgroup)):
            window.opt.geomgroup[group] = group not in (COLLISION_GROUP, GHOST_GROUP)
        _place_camera(window.cam, rollouts[0], View.of_height(robot.default_root_height))
        rounds = 0
        while window.is_running() and (loops is None or rounds < loops):
            for rollout in rollouts:
                _play_once(window, model, shown, ghost, rollout, paused)
            rounds += 1
    # A window still being drawn when the interpreter leaves would crash it.
    for thread in set(threading.enumerate()) - others:
        thread.join(timeout=5.0)


def _play_once(
    window: Any,
    model: mujoco.MjModel,
    shown: mujoco.MjData,
    ghost: mujoco.MjData,
    rollout: Rollout,
    paused: threading.Event,
) -> None:
    option, perturb = mujoco.MjvOption(), mujoco.MjvPerturb()
    for group in range(len(option.geomgroup)):
        option.geomgroup[group] = group == GHOST_GROUP
    moving = int(mujoco.mjtCatBit.mjCAT_DYNAMIC)
    frame = 0
    while frame < len(rollout.states) and window.is_running():
        started = time.perf_counter()
        with window.lock():
            for data, reference in ((shown, False), (ghost, True)):
                rollout.drawn(frame, reference=reference).put(model, data)
            mujoco.mj_camlight(model, shown)
            window.cam.lookat[:2] = rollout.states.root_pos_w[frame, :2]
            window.user_scn.ngeom = 0
            mujoco.mjv_addGeoms(model, ghost, option, perturb, moving, window.user_scn)
        window.sync()
        frame += 0 if paused.is_set() else 1
        time.sleep(max(0.0, rollout.control_dt - (time.perf_counter() - started)))


def _place_camera(camera: mujoco.MjvCamera, rollout: Rollout, view: View) -> None:
    camera.lookat[:] = [*rollout.states.root_pos_w[0, :2], view.lookat[2]]
    camera.distance, camera.elevation = view.distance, view.elevation
    camera.azimuth = heading(rollout.states.root_quat_w[0]) + view.azimuth
