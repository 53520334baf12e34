"""The rest skeleton of an SMPL-family clip: from a licensed model, a free stand-in, or the mean.

The body models themselves may not be shipped with this package. Their owner's folder is used when
it is named; else the package `mannequin-x`, whose calibration gives the joints of neutral SMPL-X
for ten shape coefficients; else a mean skeleton.
"""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.errors import input_error
from motions.human.motion import body_height
from motions.human.skeletons.layouts import SMPL_BODY, SMPL_BODY_PARENTS

Array = NDArray[Any]

MODELS_VARIABLE = "MIMIC_BODY_MODELS"
"""Environment variable with the folder of licensed body models."""
JOINTS = len(SMPL_BODY)

# Where the owners' archives put the files, by model; {g} is the gender.
_PLACES = {
    "smplx": ("smplx/SMPLX_{G}.npz", "SMPLX_{G}.npz", "models/smplx/SMPLX_{G}.npz"),
    "smplh": ("smplh/{g}/model.npz", "{g}/model.npz", "smplh/SMPLH_{G}.npz", "SMPLH_{G}.npz"),
    "smpl": ("smpl/SMPL_{G}.npz", "SMPL_{G}.npz"),
}
_TITLES = {"smplx": "SMPL-X", "smplh": "SMPL-H", "smpl": "SMPL"}

# A person of average build in the models' T-pose, legs slightly apart: offsets from the parent,
# m, x to the left, y up, z ahead; rounded to half a centimetre.
_MEAN: dict[str, tuple[float, float, float]] = {
    "pelvis": (0.0, 0.0, 0.0),
    "hip": (0.06, -0.095, -0.025),
    "knee": (0.05, -0.37, -0.01),
    "ankle": (-0.03, -0.405, -0.025),
    "foot": (0.04, -0.06, 0.12),
    "spine1": (0.0, 0.11, -0.03),
    "spine2": (0.0, 0.13, -0.005),
    "spine3": (0.0, 0.055, 0.03),
    "neck": (0.0, 0.165, -0.03),
    "head": (0.0, 0.16, 0.02),
    "collar": (0.045, 0.085, -0.005),
    "shoulder": (0.12, 0.055, -0.015),
    "elbow": (0.255, -0.065, -0.04),
    "wrist": (0.25, 0.015, -0.005),
}


@dataclass(frozen=True)
class RestBody:
    """Joints [22, 3] of the T-pose, m, y up, x to the left; where they come from."""

    joints: Array
    source: str
    warnings: tuple[str, ...] = ()


def rest_body(
    model: str,
    gender: str,
    betas: Array,
    folder: Path | None = None,
    height: float | None = None,
) -> RestBody:
    """The rest skeleton for a body model ("smpl", "smplh", "smplx") and shape coefficients.

    `folder` (else the environment variable `MODELS_VARIABLE`) holds the licensed models; `height`
    m scales the skeleton to a standing height.

    Raises `InputError` for a folder without a fitting model, or a model file that is broken.
    """
    given = os.environ.get(MODELS_VARIABLE, "").strip()
    place = folder or (Path(given) if given else None)
    if place is not None:
        body = _licensed(place, model, gender, betas)
    else:
        body = _mannequin(model, betas) or RestBody(
            mean_skeleton(),
            "mean skeleton",
            (
                "no body model: a mean skeleton stands in (--body-models DIR, or "
                "pip install 'humanoid-mimic[smpl]')",
            ),
        )
    if height is None:
        return body
    if not (np.isfinite(height) and 0.3 <= height <= 3.0):
        raise input_error(None, "--height must be a person's, in metres", found=f"{height:g}")
    roles = {name.replace("foot", "toe"): SMPL_BODY.index(name) for name in SMPL_BODY}
    scale = height / body_height(body.joints[None], roles)
    return RestBody(body.joints * scale, f"{body.source}, scaled to {height:g} m", body.warnings)


def mean_skeleton() -> Array:
    """Joints [22, 3] m of an average person in T-pose, pelvis at the origin."""
    joints = np.zeros((JOINTS, 3))
    for j, (name, parent) in enumerate(zip(SMPL_BODY, SMPL_BODY_PARENTS, strict=True)):
        side, _, part = name.rpartition("_")
        mirror = np.array([-1.0 if side == "right" else 1.0, 1.0, 1.0])
        joints[j] = joints[max(parent, 0)] + mirror * _MEAN[part]
    return joints


def _mannequin(model: str, betas: Array) -> RestBody | None:
    try:
        resource = files("mannequin") / "assets" / "smplx_calibration.npz"
        with resource.open("rb") as stream, np.load(stream, allow_pickle=False) as data:
            rest, directions = data["joint_rest"], data["joint_dirs"]
    except (ImportError, OSError, KeyError, ValueError):
        return None
    if model == "smplx":
        used = np.zeros(directions.shape[2])
        count = min(len(betas), len(used))
        used[:count] = betas[:count]
        joints = (rest + directions @ used)[:JOINTS]
        return RestBody(joints, f"mannequin-x, {count} shape coefficients of neutral SMPL-X")
    return RestBody(
        rest[:JOINTS].astype(np.float64),
        "mannequin-x, mean shape",
        (
            f"the shape coefficients of {_TITLES[model]} are not SMPL-X's: a mean body stands in "
            "(--body-models DIR for the person's own, --height METRES for its size)",
        ),
    )


def _licensed(folder: Path, model: str, gender: str, betas: Array) -> RestBody:
    places = [
        folder / place.format(g=g, G=g.upper())
        for g in dict.fromkeys((gender, "neutral"))
        for place in _PLACES[model]
    ]
    found = next((p for p in places if p.is_file()), None)
    if found is None:
        raise input_error(
            folder,
            f"no {_TITLES[model]} body model ({gender}) in this folder",
            expected=" or ".join(str(p.relative_to(folder)) for p in places[:2]),
            fix="download it from its owner, or leave out --body-models and unset "
            f"{MODELS_VARIABLE}",
        )
    try:
        with np.load(found, allow_pickle=False) as data:
            template = np.asarray(data["v_template"], np.float64)
            directions = np.asarray(data["shapedirs"], np.float64)
            regressor = np.asarray(data["J_regressor"], np.float64)
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise input_error(
            found,
            "not a readable body model",
            found=str(error),
            expected="plain arrays v_template, shapedirs, J_regressor",
        ) from error
    if (
        template.ndim != 2
        or directions.shape[:2] != template.shape
        or regressor.ndim != 2
        or regressor.shape[1] != len(template)
        or len(regressor) < JOINTS
    ):
        raise input_error(
            found,
            "the arrays of this body model do not fit together",
            found=f"v_template {list(template.shape)}, shapedirs {list(directions.shape)}, "
            f"J_regressor {list(regressor.shape)}",
            expected="[V, 3], [V, 3, B], [J >= 22, V]",
        )
    count = min(len(betas), directions.shape[2])
    joints = regressor[:JOINTS] @ (template + directions[..., :count] @ betas[:count])
    used = gender if places.index(found) < len(_PLACES[model]) else "neutral"
    notes = () if used == gender else (f"no {gender} model: the neutral one is used",)
    return RestBody(
        joints, f"{_TITLES[model]} {used}, {count} shape coefficients ({found.name})", notes
    )
