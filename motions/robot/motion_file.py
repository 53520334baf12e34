"""The robot motion file: BeyondMimic's arrays plus the names of their columns."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.errors import InputError, input_error
from mimic_base.files import save_npz
from mimic_base.frame_fields import FRAME_FIELDS

if TYPE_CHECKING:
    from motions.robot.motion import RobotMotion

Array = NDArray[Any]

SCHEMA = "humanoid-mimic/robot-motion/1"
_MAKE_IT = "make the file with: python -m retarget CLIP --robot unitree_g1 --out DIR"


def write_robot_motion(motion: RobotMotion, path: Path | str) -> None:
    """Write ``.npz``: float32 arrays, names and texts as unicode arrays, no pickles."""
    arrays: dict[str, Any] = {k: getattr(motion, k).astype(np.float32) for k in FRAME_FIELDS}
    save_npz(
        path,
        **arrays,
        fps=np.array([motion.fps]),
        joint_names=np.array(motion.joint_names, dtype=np.str_),
        body_names=np.array(motion.body_names, dtype=np.str_),
        robot=np.array(motion.robot),
        schema=np.array(SCHEMA),
        source=np.array(motion.source),
        licence=np.array(motion.licence),
        contact=motion.contact.astype(np.float32),
        quality=np.array(json.dumps(dict(motion.quality))),
        name=np.array(motion.name),
    )


def read_robot_motion_fields(
    path: Path,
    joint_names: Sequence[str] | None,
    body_names: Sequence[str] | None,
    robot: str | None,
) -> dict[str, Any]:
    """The fields of a `RobotMotion` from its file, not yet checked against each other."""
    data = _read_npz(path)
    missing = [key for key in ("fps", *FRAME_FIELDS) if key not in data]
    if missing:
        raise input_error(
            path,
            f"not a robot motion, it lacks {', '.join(missing)}",
            found=f"the arrays {', '.join(sorted(data)) or 'none'}",
            fix=_MAKE_IT,
        )
    schema = _text(data, "schema", SCHEMA)
    if schema != SCHEMA:
        raise input_error(path, "unknown schema", found=repr(schema), expected=repr(SCHEMA))
    names: dict[str, tuple[str, ...]] = {}
    for key, given in (("joint_names", joint_names), ("body_names", body_names)):
        if given is None and key not in data:
            raise input_error(
                path,
                f"the file carries no {key}, and columns without names may be in any order",
                fix="retarget the clip again, or say the order: "
                "RobotMotion.load(path, joint_names=..., body_names=...)",
            )
        found = given if given is not None else data[key].reshape(-1).tolist()
        names[key] = tuple(str(n) for n in found)
    for key in ("fps", *FRAME_FIELDS, "contact"):
        if key in data and data[key].dtype.kind not in "fiub":
            raise input_error(path, f"{key} must hold numbers", found=f"type {data[key].dtype}")
    if data["fps"].size != 1:
        raise input_error(path, "fps must be one number", found=data["fps"].tolist())
    try:
        quality = json.loads(_text(data, "quality", "{}"))
    except json.JSONDecodeError as error:
        raise input_error(path, f"quality is not JSON: {error}") from error
    return {
        "fps": float(data["fps"].reshape(-1)[0]),
        **{key: data[key] for key in FRAME_FIELDS},
        **names,
        "robot": robot if robot is not None else _text(data, "robot", ""),
        "source": _text(data, "source", ""),
        "licence": _text(data, "licence", ""),
        "contact": data.get("contact", np.zeros((0, 2))),
        "quality": quality,
        "name": _text(data, "name", "") or path.stem,
    }


def _text(data: Mapping[str, Array], key: str, default: str) -> str:
    return str(data[key].reshape(-1)[0]) if key in data and data[key].size else default


def _read_npz(path: Path) -> dict[str, Array]:
    if path.is_dir():
        raise input_error(path, "a motion file is expected, not a directory")
    if not path.exists():
        raise input_error(path, "no such file", fix=_MAKE_IT)
    if path.stat().st_size == 0:
        raise input_error(path, "the file is empty", fix="retarget the clip again")
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise input_error(path, "a .npz archive is expected, not a single array")
        with archive:
            return {key: archive[key] for key in archive.files}
    except InputError:
        raise
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, ValueError) and "pickle" in str(error).lower():
            # numpy says the same of any file that is no archive at all.
            reason = "it holds pickled objects or is no .npz archive"
        else:
            reason = str(error)
        raise input_error(
            path, f"not a readable motion file: {reason}", fix="retarget the clip again"
        ) from error
