"""ASF: CMU's skeleton files, bones with directions, lengths, axes and degrees of freedom."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.errors import input_error
from mimic_base.files import is_hidden
from mimic_base.limits import check_limit, limit
from mimic_base.rotations import quat_exp, quat_mul
from motions.human.readers.raw import check_unique, number, read_text

Array = NDArray[Any]

AXES = {"x": 0, "y": 1, "z": 2}


@dataclass
class Bone:
    name: str
    direction: Array = field(default_factory=lambda: np.zeros(3))
    length: float = 0.0
    axis: Array = field(default_factory=lambda: np.array([1.0, 0.0, 0.0, 0.0]))
    dofs: list[str] = field(default_factory=list)


@dataclass
class Skeleton:
    bones: dict[str, Bone]
    parents: dict[str, str]
    length_unit: float
    degrees: bool


def find_asf(amc: Path) -> Path:
    """The skeleton of a clip: ``02_01.asf``, CMU's ``02.asf``, or the only one in the folder."""
    present = {
        p.name.lower(): p
        for p in sorted(amc.parent.glob("*"))
        if p.suffix.lower() == ".asf" and not is_hidden(p)
    }
    for name in (f"{amc.stem}.asf".lower(), f"{amc.stem.split('_')[0]}.asf".lower()):
        if name in present:
            return present[name]
    if len(present) == 1:
        return next(iter(present.values()))
    raise input_error(
        amc,
        "an AMC clip needs its ASF skeleton beside it",
        found=", ".join(p.name for p in present.values()) or "none in the folder",
        expected=f"{amc.stem}.asf or {amc.stem.split('_')[0]}.asf",
        fix="put the subject's .asf file into the clip's folder",
    )


def ordered(asf: Path, body: Skeleton) -> list[str]:
    """Bone names, parents first, in the order of the hierarchy."""
    names = ["root"]
    for name in names:  # grows while it runs
        names += [child for child, parent in body.parents.items() if parent == name]
    lost = [n for n in body.bones if n not in names]
    if lost:
        raise input_error(asf, "bones without a place in :hierarchy", found=", ".join(lost))
    return names


def parse_asf(path: Path) -> Skeleton:
    body = Skeleton({"root": Bone("root")}, {}, 1.0, True)
    section, bone, names = "", None, ["root"]
    root_axis = "xyz"
    orientation = np.zeros(3)
    for index, line in enumerate(read_text(path).splitlines()):
        words = line.split("#")[0].split()
        if not words:
            continue
        where, key = index + 1, words[0].lower()
        if key.startswith(":"):
            section = key
        elif section == ":units" and key == "length":
            body.length_unit = number(path, where, words[-1])
        elif section == ":units" and key == "angle":
            body.degrees = words[-1].lower().startswith("deg")
        elif section == ":root" and key == "order":
            body.bones["root"].dofs = _dofs(path, where, words[1:])
        elif section == ":root" and key == "axis":
            root_axis = words[-1].lower()
        elif section == ":root" and key == "orientation":
            orientation = _numbers(path, where, words[1:], 3)
        elif section == ":bonedata" and key == "begin":
            bone = Bone("")
        elif section == ":bonedata" and key == "end" and bone is not None:
            body.bones[bone.name] = bone
            names.append(bone.name)
            check_limit(f"{path}:{where}", "joints", len(names), "the number of bones")
            bone = None
        elif section == ":bonedata" and bone is not None:
            _bone_line(path, where, bone, words, body.degrees)
        elif section == ":hierarchy" and key not in ("begin", "end"):
            unknown = [n for n in words if n not in body.bones]
            if unknown:
                raise input_error(f"{path}:{where}", "unknown bone", found=unknown[0])
            if "root" in words[1:]:
                raise input_error(f"{path}:{where}", "the root hangs on no bone", found=words[0])
            body.parents.update({child: words[0] for child in words[1:]})
    check_unique(path, names)
    if not body.parents:
        raise input_error(path, "no :hierarchy in this skeleton file (is it truncated?)")
    if not 0 < body.length_unit <= limit("magnitude"):
        raise input_error(path, "the unit of length must be positive", found=body.length_unit)
    body.bones["root"].axis = _axis(path, 0, orientation, root_axis, body.degrees)
    return body


def _bone_line(path: Path, line: int, bone: Bone, words: list[str], degrees: bool) -> None:
    key = words[0].lower()
    if key == "name":
        bone.name = words[-1]
    elif key == "direction":
        bone.direction = _numbers(path, line, words[1:], 3)
    elif key == "length":
        bone.length = float(_numbers(path, line, words[1:], 1)[0])
    elif key == "axis":
        order = words[4] if len(words) > 4 else "xyz"
        bone.axis = _axis(path, line, _numbers(path, line, words[1:4], 3), order, degrees)
    elif key == "dof":
        bone.dofs = _dofs(path, line, words[1:])
        if any(d.startswith("t") for d in bone.dofs):
            raise input_error(f"{path}:{line}", "only the root may be moved", found=words[1:])


def _dofs(path: Path, line: int, words: list[str]) -> list[str]:
    dofs = [w.lower() for w in words]
    bad = [d for d in dofs if len(d) != 2 or d[0] not in "rt" or d[1] not in AXES]
    if bad:
        raise input_error(
            f"{path}:{line}",
            "unknown degree of freedom",
            found=bad[0],
            expected="rx ry rz tx ty tz",
        )
    return dofs


def _numbers(path: Path, line: int, words: list[str], count: int) -> Array:
    if len(words) != count:
        raise input_error(f"{path}:{line}", f"{count} numbers are expected", found=len(words))
    values = np.array([number(path, line, w) for w in words])
    if not np.isfinite(values).all():
        raise input_error(f"{path}:{line}", "a finite number is expected", found=" ".join(words))
    check_limit(f"{path}:{line}", "magnitude", float(np.abs(values).max()), "a number")
    return values


def _axis(path: Path, line: int, angles: Array, order: str, degrees: bool) -> Array:
    """Quaternion of an axis frame: the first named axis turns first, about fixed axes."""
    order = order.lower()
    if sorted(order) != ["x", "y", "z"]:
        raise input_error(f"{path}:{line}", "unknown axis order", found=order, expected="XYZ")
    q = np.array([1.0, 0.0, 0.0, 0.0])
    for angle, axis in zip(np.radians(angles) if degrees else angles, order, strict=True):
        vector = np.zeros(3)
        vector[AXES[axis]] = angle
        q = quat_mul(quat_exp(vector), q)
    return q
