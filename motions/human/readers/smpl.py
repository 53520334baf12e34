"""SMPL-family clips: rotations of a body model's joints, made into positions by its skeleton."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from motions.human.motion import chain_poses
from motions.human.readers.arrays import stated_fps
from motions.human.readers.raw import RawClip, ReadOptions, need_fps
from motions.human.readers.smpl_body import rest_body
from motions.human.readers.smpl_keys import find_smpl, parameters
from motions.human.skeletons.layouts import SMPL_BODY, SMPL_BODY_PARENTS

_FAMILIES = {"smpl": "SMPL", "smplh": "SMPL-H", "smplx": "SMPL-X"}
_USUAL = "AMASS states it, video estimates have the video's rate"


def read_smpl(path: Path, keys: Mapping[Any, Any], options: ReadOptions) -> RawClip | None:
    """A clip from SMPL, SMPL-H or SMPL-X parameters; None when there are none among the arrays.

    The 22 body joints are placed by forward kinematics on the rest skeleton of `rest_body`. The
    translation moves the model's origin, so the pelvis is at its rest place plus the translation.
    Of several persons the one seen longest is read.
    """
    found = find_smpl(keys)
    if not found:
        return None
    people = [parameters(path, group, names) for _, group, names in found]
    chosen = int(np.argmax([len(p.trans) for p in people]))
    person, group = people[chosen], found[chosen][1]
    stated = stated_fps(group)
    fps = need_fps(path, options, stated_fps(keys) if stated is None else stated, _USUAL)
    body = rest_body(person.model, person.gender, person.betas, options.body_models, options.height)
    offsets = body.joints - body.joints[np.maximum(np.array(SMPL_BODY_PARENTS), 0)]
    moving = np.tile(offsets, (len(person.trans), 1, 1))
    moving[:, 0] = body.joints[0] + person.trans
    pos, quat = chain_poses(SMPL_BODY_PARENTS, moving, person.quats)
    warnings = [*person.notes, *body.warnings]
    report: dict[str, Any] = {
        "tool": person.tool,
        "body_model": _FAMILIES[person.model],
        "body_shape": body.source,
        "gender": person.gender,
        "warnings": warnings,
    }
    if found[chosen][0]:
        report["person"] = found[chosen][0]
    if len(found) > 1:
        warnings.append(f"{len(found)} persons: the longest, {found[chosen][0]}, is read")
    return RawClip(
        path=path,
        format="SMPL parameters",
        fps=fps,
        joint_names=SMPL_BODY,
        parents=SMPL_BODY_PARENTS,
        pos=pos,
        quat=quat,
        rest_pos=body.joints - body.joints[0],
        rest_up="y",
        unit=1.0,
        sized=options.height is not None,
        family=_FAMILIES[person.model],
        report=report,
    )
