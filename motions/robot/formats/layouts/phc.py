"""The motion libraries of PHC, which ASAP, PBHC, H2O and SONIC use: dictionaries of clips by name.

One clip is ``root_trans_offset`` [T, 3] in metres, ``root_rot`` [T, 4] xyzw, ``dof`` [T, J] (or
[T, J, 1]) in radians and ``fps``; ``pose_aa`` and ``smpl_joints`` beside them repeat it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mimic_base.errors import input_error
from motions.robot.formats.format import Format
from motions.robot.formats.raw import RawRobotMotion, array_of, names, numbers, rate

_KEYS = {"root_trans_offset", "root_rot", "dof"}
_NAMED = 6


def clips_of(content: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The clips of a library by name; none where the content is no such library."""
    if set(content) >= _KEYS:
        return {"": content}
    clips = {
        str(name): clip
        for name, clip in content.items()
        if isinstance(clip, dict) and set(clip) >= _KEYS
    }
    return clips if len(clips) == len(content) else {}


def read_phc(path: Path, data: dict[str, Any]) -> RawRobotMotion:
    """The one clip of a library; a library of several is refused with their names."""
    clips = clips_of(data)
    if not clips:
        raise input_error(
            path, "no library of clips with root_trans_offset, root_rot and dof",
            found=", ".join(sorted(map(str, data))[:_NAMED]) or "nothing",
        )  # fmt: skip
    if len(clips) > 1:
        listed = ", ".join(sorted(clips)[:_NAMED])
        raise input_error(
            path, "a library of several clips, and one is read from a file",
            found=f"{len(clips)}: {listed}" + (", ..." if len(clips) > _NAMED else ""),
            fix="write each into a file of its own with the program that wrote it, as {name: clip}",
        )  # fmt: skip
    name, clip = next(iter(clips.items()))
    root_pos = numbers(path, clip, "root_trans_offset", None, 3)
    dof = array_of(clip["dof"])
    if dof.ndim == 3 and dof.shape[2] == 1:
        clip = {**clip, "dof": dof[..., 0]}
    return RawRobotMotion(
        root_pos=root_pos,
        root_rot=numbers(path, clip, "root_rot", len(root_pos), 4),
        joint_pos=numbers(path, clip, "dof", len(root_pos), None),
        fps=rate(path, clip),
        joint_names=names(clip, "joint_names"),
        name=name or path.stem,
    )


FORMATS = (
    Format(
        name="phc",
        title="PHC, ASAP, PBHC, H2O, SONIC: {clip: root_trans_offset, root_rot xyzw, dof, fps}",
        extensions=(".pkl", ".npz"),
        quaternion="xyzw",
        joint_orders=("g1-29", "g1-23"),
        read=read_phc,
        recognise=lambda content: bool(clips_of(content)),
    ),
)
