"""DeepMimic JSON: one humanoid character, 44 numbers a frame.

Frames and joint order after Peng et al., "DeepMimic: Example-Guided Deep Reinforcement Learning
of Physics-Based Character Skills" (2018). The character's bones are known constants: x forward,
y up, z to the right, metres.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.errors import input_error
from mimic_base.json_text import parse_json
from mimic_base.resample import LEAST_FPS, lerp_frames, slerp_frames
from mimic_base.rotations import norm, quat_exp, quat_normalize
from motions.human.motion import chain_poses
from motions.human.readers.raw import (
    SAY_FPS,
    RawClip,
    ReadOptions,
    rate_of,
    read_bytes,
    read_text,
)
from motions.human.readers.reader import Reader

Array = NDArray[Any]

FRAME_SIZE = 44
# Name, parent, offset from the parent, numbers in a frame: 4 a quaternion, 1 a hinge about z,
# 0 fixed. The toe is not a joint of the character: it is the front of its foot box.
_JOINTS: tuple[tuple[str, str, tuple[float, float, float], int], ...] = (
    ("root", "", (0.0, 0.0, 0.0), 4),
    ("chest", "root", (0.0, 0.236151, 0.0), 4),
    ("neck", "chest", (0.0, 0.223894, 0.0), 4),
    ("right_hip", "root", (0.0, 0.0, 0.084887), 4),
    ("right_knee", "right_hip", (0.0, -0.421546, 0.0), 1),
    ("right_ankle", "right_knee", (0.0, -0.409870, 0.0), 4),
    ("right_shoulder", "chest", (-0.02405, 0.24350, 0.18311), 4),
    ("right_elbow", "right_shoulder", (0.0, -0.274788, 0.0), 1),
    ("left_hip", "root", (0.0, 0.0, -0.084887), 4),
    ("left_knee", "left_hip", (0.0, -0.421546, 0.0), 1),
    ("left_ankle", "left_knee", (0.0, -0.409870, 0.0), 4),
    ("left_shoulder", "chest", (-0.02405, 0.24350, -0.18311), 4),
    ("left_elbow", "left_shoulder", (0.0, -0.274788, 0.0), 1),
    ("right_wrist", "right_elbow", (0.0, -0.258947, 0.0), 0),
    ("left_wrist", "left_elbow", (0.0, -0.258947, 0.0), 0),
    ("right_toe", "right_ankle", (0.13, -0.03, 0.0), 0),
    ("left_toe", "left_ankle", (0.13, -0.03, 0.0), 0),
)
_OTHER_CHARACTERS = {84: "the dog"}
_STEADY = 1e-3
_UNIT_TOLERANCE = 0.05
# The published clips were filtered component by component: lengths down to 0.58 occur, and their
# direction is still a pose. A quaternion near zero has none.
_LEAST_NORM = 0.2


def read_deepmimic(path: Path, fps: float | None = None) -> RawClip:
    """Read a DeepMimic motion of the humanoid; other characters are refused."""
    text = read_text(path)
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise input_error(
            f"{path}:{error.lineno}",
            f"not valid JSON: {error.msg} (is the file truncated?)",
            fix="download the clip again",
        ) from error
    except (RecursionError, ValueError):
        data = parse_json(path, text)  # it tells why
    if not isinstance(data, dict) or not isinstance(data.get("Frames"), list):
        raise input_error(path, "a DeepMimic motion is an object with a list 'Frames'")
    rows = data["Frames"]
    if not rows:
        raise input_error(path, "'Frames' is empty", expected="at least two frames")
    for frame, row in enumerate(rows):
        size = len(row) if isinstance(row, list) else 0
        if size != FRAME_SIZE:
            who = _OTHER_CHARACTERS.get(size, "another character")
            what = f" (numbers of {who})" if frame == 0 and size else ""
            raise input_error(
                path,
                f"not a motion of the DeepMimic humanoid: frame {frame} has the wrong size",
                found=f"{size}{what}",
                expected=f"{FRAME_SIZE} numbers",
                fix="use a humanoid3d clip",
            )
    try:
        values = np.array(rows, dtype=np.float64)
        if values.ndim != 2:
            raise TypeError
    except (TypeError, ValueError, OverflowError) as error:
        raise input_error(path, "a frame holds something else than numbers") from error
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        raise input_error(
            path,
            "every number must be finite",
            found=f"{values[tuple(bad[0])]} in frame {bad[0][0]}, number {bad[0][1]}",
            fix="repair or cut the clip before that frame",
        )
    root_pos, local, worst = _joint_rotations(path, values)
    report: dict[str, Any] = {"loop": str(data.get("Loop", "none"))}
    if abs(worst - 1) > _UNIT_TOLERANCE:
        report["warnings"] = [f"quaternions of length {worst:.2f} were normalised"]
    if fps is None:
        fps, at = _timing(path, values[:, 0])
        if at is not None:
            root_pos, local = lerp_frames(root_pos, at), slerp_frames(local, at)
            report["resampled"] = "frames of unequal duration were resampled"
    names = [j[0] for j in _JOINTS]
    parents = tuple(names.index(j[1]) if j[1] else -1 for j in _JOINTS)
    offsets = np.array([j[2] for j in _JOINTS])
    rest = np.zeros_like(offsets)
    for joint, parent in enumerate(parents):
        if parent >= 0:
            rest[joint] = rest[parent] + offsets[joint]
    moving = np.tile(offsets, (len(local), 1, 1))
    moving[:, 0] = root_pos
    pos, quat = chain_poses(parents, moving, local)
    return RawClip(
        path=path,
        format="deepmimic",
        fps=fps,
        joint_names=tuple(names),
        parents=parents,
        pos=pos,
        quat=quat,
        rest_pos=rest,
        unit=1.0,
        up="y",
        report=report,
    )


def _joint_rotations(path: Path, values: Array) -> tuple[Array, Array, float]:
    """Root positions [T, 3], local rotations [T, J, 4], the quaternion length farthest from 1."""
    worst = 1.0
    local = np.zeros((len(values), len(_JOINTS), 4))
    local[..., 0] = 1.0
    column = 4
    for joint, (name, _, _, size) in enumerate(_JOINTS):
        part = values[:, column : column + size]
        column += size
        if size == 4:
            length = norm(part)
            frame = int(np.abs(length - 1).argmax())
            if not _LEAST_NORM < length[frame] < 1 / _LEAST_NORM:
                raise input_error(
                    path,
                    f"the rotation of {name} must be a unit quaternion",
                    found=f"length {length[frame]:.3f} in frame {frame}",
                )
            worst = max(worst, float(length[frame]), key=lambda n: abs(n - 1))
            local[:, joint] = quat_normalize(part)
        elif size == 1:
            local[:, joint] = quat_exp(part * np.array([0.0, 0.0, 1.0]))
    return values[:, 1:4], local, worst


def _timing(path: Path, durations: Array) -> tuple[float, Array | None]:
    """Frame rate, and fractional frame indices when the frames are not of equal duration.

    The last duration leads to no further frame and is often zero.
    """
    steps = durations[:-1] if len(durations) > 1 else durations
    if (steps <= 0).any():
        frame = int(np.argmax(steps <= 0))
        raise input_error(
            path,
            "the duration of a frame must be positive",
            found=f"{steps[frame]:g} s in frame {frame}",
            fix=SAY_FPS,
        )
    step = float(np.median(steps))
    fps = rate_of(path, step, what="the duration of a frame")
    longest = int(np.argmax(steps))
    if steps[longest] > 1.0 / LEAST_FPS:  # resampled, it would become any number of frames
        raise input_error(
            path,
            "a frame lasts too long",
            found=f"{steps[longest]:g} s in frame {longest}",
            expected=f"{1.0 / LEAST_FPS:g} s at most",
            fix=SAY_FPS,
        )
    if np.abs(steps - step).max() <= _STEADY * step:
        return fps, None
    times = np.concatenate([[0.0], np.cumsum(steps)])
    count = math.floor(times[-1] * fps + 1e-6) + 1
    wanted = np.minimum(np.arange(count) / fps, times[-1])
    return fps, np.interp(wanted, times, np.arange(len(times)))


def _read(path: Path, options: ReadOptions) -> RawClip:
    return read_deepmimic(path, options.fps)


def _is_clip(path: Path) -> bool:
    head = read_bytes(path, 4096)
    return head.lstrip().startswith(b"{") and b'"Frames"' in head


READER = Reader(
    name="deepmimic",
    extensions=(".json", ".txt"),
    read=_read,
    recognise=lambda _, text: text.startswith("{"),
    is_clip=_is_clip,
    generic=True,
    text=True,
)
