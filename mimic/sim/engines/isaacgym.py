"""Isaac Gym, which needs Python 3.8, in a process of its own.

``--engine isaacgym:python=/path/to/python3.8``. Written against NVIDIA's type information and never
run on the real package: what the worker does is in ``mimic.sim.workers.isaacgym_worker``, what is
said between the two in ``mimic.sim.workers.worker_protocol``.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping

from mimic.sim.engines.remote import WORKERS, RemoteEngine
from mimic.sim.errors import EngineError
from mimic.sim.scene import Scene
from mimic.sim.terrain import Plane

PYTHON = "python3.8"
HINT = (
    "NVIDIA's Isaac Gym Preview 4 is not on PyPI: install it from developer.nvidia.com/isaac-gym "
    "into a Python 3.8 and name that, --engine isaacgym:python=/path/to/python3.8"
)


class IsaacGymEngine(RemoteEngine):
    """``Engine`` on Isaac Gym: the robot on a level floor. See ``mimic.sim.engine.Engine``.

    No objects, no other terrain, no contacts between two named bodies, no model fields that differ
    between environments.
    """

    name = "isaacgym"
    options: Mapping[str, str] = {"python": f"interpreter with isaacgym; {PYTHON} unless given"}

    def __init__(
        self, scene: Scene, num_envs: int, *, device: str = "cpu", threads: int = 0,
        python: str = "",
    ):  # fmt: skip
        if scene.objects or not isinstance(scene.config.terrain, Plane):
            what = (
                f"objects ({', '.join(scene.objects)})"
                if scene.objects
                else (f"this terrain ({type(scene.config.terrain).__name__}), a level floor only")
            )
            raise EngineError(f"engine 'isaacgym' cannot do {what}; use --engine mujoco")
        between = [name for name, pair in scene.contacts.items() if pair.other is not None]
        if between:
            raise EngineError(
                "engine 'isaacgym' knows the sum of the forces on a body only, not the contact "
                f"{', '.join(between)}; use --engine mujoco"
            )
        if shutil.which(python or PYTHON) is None:
            raise EngineError(f"engine 'isaacgym': there is no {python or PYTHON}; {HINT}")
        try:
            super().__init__(
                scene, num_envs, device=device, threads=threads,
                worker=WORKERS / "isaacgym_worker.py", python=python or PYTHON,
            )  # fmt: skip
        except EngineError as error:
            # No package, another version of Python, or a launcher that finds no interpreter.
            if "has no isaacgym package" in str(error) or "at 'start'" in str(error):
                raise EngineError(f"{error}; {HINT}") from error
            raise
