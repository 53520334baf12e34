"""What a child process does with a robot's model that is new to us; see `robots.foreign`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mujoco

from mimic_base.errors import RobotError
from robots.alone import keep_robot
from robots.models import compile_spec, drop_missing_meshes, load_spec, skeleton


def prepare(**_: object) -> None:
    """Have MuJoCo ready before rights are given up; no file is touched."""
    mujoco.MjData(mujoco.MjSpec().compile())


def compile_model(file: str) -> dict[str, Any]:
    """Parse and compile a model, make its state, and compute one position.

    A model whose meshes are absent, or that holds more than a robot, is compiled as it will be:
    without the meshes, of the robot alone, or without all that is only seen.

    Returns:
        ``refused``: the reason, a line of `RobotError`, or None.
    """
    path = Path(file)
    refused = None
    for ready in (None, _robot_alone, _skeleton):
        try:
            spec = load_spec(path)
            if ready is not None:
                ready(spec, path)
            model = compile_spec(spec, path)
            mujoco.mj_forward(model, mujoco.MjData(model))
            return {"refused": None}
        except RobotError as error:
            refused = refused or str(error)
    return {"refused": refused}


def _robot_alone(spec: mujoco.MjSpec, path: Path) -> None:
    keep_robot(spec, path)
    drop_missing_meshes(spec, path)


def _skeleton(spec: mujoco.MjSpec, path: Path) -> None:
    _robot_alone(spec, path)
    skeleton(spec)


def compile_mesh(file: str, scale: list[float]) -> dict[str, Any]:
    """Compile a world with one mesh in it, a file that a motion's scene names; as above."""
    spec = mujoco.MjSpec()
    spec.add_mesh(name="mesh", file=file, scale=scale)
    geom = spec.worldbody.add_geom()
    geom.type, geom.meshname = mujoco.mjtGeom.mjGEOM_MESH, "mesh"
    try:
        spec.compile()
        return {"refused": None}
    except (ValueError, OSError, RuntimeError, mujoco.FatalError) as error:
        return {"refused": f"{file}: MuJoCo cannot use this mesh: {error}"}
