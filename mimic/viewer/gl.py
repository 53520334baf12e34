"""Which OpenGL draws without a screen here: EGL, OSMesa, the platform's own, or none.

MuJoCo reads ``MUJOCO_GL`` once, when it is imported, and a broken driver may end the process that
asks it. So a process of its own tries each way, and programs call ``settle_backend()`` before
anything else imports MuJoCo. Nothing here imports it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import lru_cache

MISSING = (
    "no OpenGL without a screen (EGL or OSMesa) works here: drawing stick figures; "
    "install libegl1 and libgl1-mesa-dri, or libosmesa6, for rendered pictures"
)
OFF = ("disable", "disabled", "off", "false", "0")
"""Values of MUJOCO_GL that forbid drawing."""

_PROBE = """
import mujoco
with mujoco.Renderer(mujoco.MjModel.from_xml_string("<mujoco/>"), 16, 16) as renderer:
    renderer.render()
"""


def settle_backend() -> str | None:
    """Find a working backend and name it in ``MUJOCO_GL`` for this process and its children.

    Returns:
        Its name ("" is the platform's own), or None where nothing can draw.
    """
    backend = working_backend()
    if backend is None:
        os.environ["MUJOCO_GL"] = OFF[0]
    elif backend:
        os.environ["MUJOCO_GL"] = backend
        if "mujoco" not in sys.modules:
            # Left over from another backend, it would make MuJoCo refuse this one.
            os.environ.pop("PYOPENGL_PLATFORM", None)
    return backend


def working_backend() -> str | None:
    """The first backend that draws: ``MUJOCO_GL``'s own choice, then EGL, then OSMesa."""
    return _first_working(os.environ.get("MUJOCO_GL", "").strip().lower())


@lru_cache(maxsize=4)
def _first_working(wanted: str) -> str | None:
    if wanted in OFF:
        return None
    return next((name for name in _candidates(wanted) if _draws(name)), None)


def _candidates(wanted: str) -> tuple[str, ...]:
    if not sys.platform.startswith("linux"):
        return tuple(dict.fromkeys((wanted, "")))
    names = [wanted, "egl", "osmesa"]
    if os.environ.get("DISPLAY"):
        names.append("glfw")
    return tuple(dict.fromkeys(filter(None, names)))


def _draws(backend: str) -> bool:
    environment = {**os.environ, "MUJOCO_GL": backend}
    environment.pop("PYOPENGL_PLATFORM", None)
    try:
        probe = subprocess.run(
            [sys.executable, "-c", _PROBE],
            env=environment,
            capture_output=True,
            timeout=60,
            check=False,
        )
    except (subprocess.TimeoutExpired, OSError):
        return False
    return probe.returncode == 0
