"""From a raw clip to a `HumanMotion`: recognise, detect, convert, and say what was done."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.errors import input_error
from mimic_base.extent import check_clip_size, check_magnitude
from mimic_base.limits import check_limit
from mimic_base.resample import check_fps
from mimic_base.rotations import quat_continuous, quat_mul
from mimic_base.stretches import by_stretches
from motions.human.motion import REQUIRED_ROLES, ROLES, SIDES, HumanMotion, body_height
from motions.human.readers import detect, plausible
from motions.human.readers.nameless import names_tell_nothing, other_side, roles_by_shape
from motions.human.readers.raw import GREATEST_PERSON, LEAST_PERSON, SAY_FPS, RawClip
from motions.human.readers.repair import lost_bones, toes_from_end_sites
from motions.human.skeletons import Recognition, parse_joint_name, recognise

Array = NDArray[Any]

# The turn from the file's world to z up: about x, so that the heading stays; where x itself points
# up there is no such turn, and y stays.
_TO_Z_UP = {
    "x": np.array([np.sqrt(0.5), 0.0, -np.sqrt(0.5), 0.0]),
    "-y": np.array([np.sqrt(0.5), -np.sqrt(0.5), 0.0, 0.0]),
    "y": np.array([np.sqrt(0.5), np.sqrt(0.5), 0.0, 0.0]),
    "z": np.array([1.0, 0.0, 0.0, 0.0]),
}
_SWAPPED = -0.2


def assemble(
    clip: RawClip,
    *,
    unit: float | None,
    up: str | None,
    skeleton_map: Mapping[str, str] | None,
    drop_first: int | None,
    height: float | None = None,
) -> HumanMotion:
    """Make the canonical clip; every option that is None is detected.

    `height` m sets the unit where the reader has not made the person that tall already.
    """
    _check_options(clip, unit, up, drop_first)
    if height is not None and unit is not None:
        raise input_error(
            clip.path, "--unit and --height both set the person's size", fix="give one of them"
        )
    check_fps(clip.fps, str(clip.path), SAY_FPS)
    _check_length(clip, len(clip.pos))
    _check_numbers(clip)
    _check_extent(clip)
    warnings: list[str] = list(clip.report.get("warnings", []))
    jumps = detect.jump_frames(clip) if drop_first is None else None
    clip, dropped, why = _drop(clip, drop_first, jumps)
    given = _given_roles(clip, skeleton_map or {})
    pose = clip.pos[len(clip.pos) // 2]
    found = recognise(clip.joint_names, clip.parents, pose, given)
    if _missing(found) and names_tell_nothing(clip.joint_names, clip.parents, pose):
        by_shape, note = roles_by_shape(clip, given)
        found = recognise(clip.joint_names, clip.parents, pose, by_shape)
        warnings.append(note)
    roles = dict(found.roles)
    _check_roles(clip, found, by_hand=bool(given))
    warnings += found.unlikely
    clip, roles, added = toes_from_end_sites(clip, roles)

    if jumps is None or dropped or added:
        jumps = detect.jump_frames(clip)
    if jumps:
        some = ", ".join(map(str, jumps[:5])) + (" ..." if len(jumps) > 5 else "")
        warnings.append(f"the pose jumps at frame {some}: a tracking fault")
    sureness = detect.handedness(clip.pos, roles)
    if sureness < _SWAPPED and not any(r.startswith(SIDES) for r in given):
        roles = {other_side(role): joint for role, joint in roles.items()}
        warnings.append("left and right are swapped in the file's names: roles follow the body")
    warnings += lost_bones(clip, roles)

    if up is None:
        up, doubt = (clip.up, None) if clip.up else detect.detect_up(clip, roles)
        if doubt:
            warnings.append(doubt)
    _check_two_legs(clip, roles, up, warnings, by_hand=bool(given))
    clip = _root_in_unit(clip, roles, up, warnings)
    size = body_height(clip.pos, roles)
    if height is not None and not clip.sized:
        unit, unit_name = height / size, f"{height:g} m tall as given"
    elif unit is None:
        unit, unit_name, doubt = detect.detect_unit(size, clip.unit)
        if doubt:
            warnings.append(doubt)
    else:
        unit_name = "given"
        _check_size(clip, unit, size, warnings)

    turn = _TO_Z_UP[up or "y"]
    pos_w = by_stretches(lambda pos: to_z_up(pos, up) * unit, clip.pos)
    quat_w = None
    if clip.quat is not None:
        quat_w = by_stretches(partial(quat_mul, turn), clip.quat)
    rest_pos = clip.rest_pos
    if rest_pos is not None:
        rest_pos = to_z_up(rest_pos, clip.rest_up or up) * unit
    hovers = plausible.hovering(pos_w, roles, clip.fps)
    if hovers:
        warnings.append(hovers)
    front = detect.forward_of(pos_w[:1], roles)[0]
    report = {
        **{k: v for k, v in clip.report.items() if k != "warnings"},
        "format": clip.format,
        "skeleton": clip.family or found.family,
        "unit": unit,
        "unit_name": unit_name,
        "up": up,
        "facing_deg": round(float(np.degrees(np.arctan2(front[1], front[0]))), 1),
        "handedness": round(abs(sureness), 2),
        "dropped_frames": dropped,
        "dropped_why": why,
        "height_m": round(size * unit, 3),
        "added_joints": added,
        "warnings": warnings,
    }
    return HumanMotion(
        name=clip.path.stem,
        fps=clip.fps,
        joint_names=clip.joint_names,
        parents=clip.parents,
        pos_w=pos_w,
        quat_w=None if quat_w is None else quat_continuous(quat_w),
        roles=roles,
        rest_pos=rest_pos,
        source=clip.path.name,
        licence=clip.licence,
        report=report,
    )


def _check_two_legs(
    clip: RawClip, roles: dict[str, int], up: str | None, warnings: list[str], *, by_hand: bool
) -> None:
    """Refuse an animal's clip; who maps its joints by hand gets a warning."""
    every = max(1, len(clip.pos) // 1000)
    rest = clip.rest_pos
    score, said = plausible.four_legs(
        to_z_up(clip.pos[::every], up),
        None if rest is None else to_z_up(rest, clip.rest_up or up),
        roles,
        clip.joint_names,
    )
    if score < plausible.FOUR_LEGS:
        return
    if by_hand:
        warnings.append(f"this may be an animal on four legs: {', '.join(said)}")
        return
    raise input_error(
        clip.path,
        "this is no person but an animal on four legs",
        found=", ".join(said),
        expected="a person's clip",
        fix="if it is a person, map a joint by hand: --skeleton-map "
        f"pelvis={clip.joint_names[roles['pelvis']]}",
    )


def _root_in_unit(
    clip: RawClip, roles: dict[str, int], up: str | None, warnings: list[str]
) -> RawClip:
    """The clip with its root in the unit of its bones, and a warning where that was another."""
    few = clip if len(clip.pos) <= 8000 else replace(clip, pos=clip.pos[:8000], quat=None)
    factor, said = plausible.root_factor(to_z_up(few.pos, up), roles, clip.fps)
    if factor == 1.0:
        return clip
    warnings.append(
        f"the root is in another unit than the bones ({said}): its positions are taken times "
        f"{factor:g}"
    )
    track = clip.pos[:, plausible.root_joint(clip.pos, roles)]
    return replace(clip, pos=clip.pos + ((factor - 1.0) * track)[:, None])


def to_z_up(pos: Array, up: str | None) -> Array:
    """Positions [..., 3] in a z-up world.

    (x, y, z) becomes (x, -z, y) where y is up, (x, z, -y) where y points down and (-z, y, x) where
    x is up: turns all, so that left stays left.
    """
    if up == "z":
        return pos
    if up == "-y":
        return np.stack([pos[..., 0], pos[..., 2], -pos[..., 1]], axis=-1)
    if up == "x":
        return np.stack([-pos[..., 2], pos[..., 1], pos[..., 0]], axis=-1)
    return np.stack([pos[..., 0], -pos[..., 2], pos[..., 1]], axis=-1)


def _check_options(
    clip: RawClip, unit: float | None, up: str | None, drop_first: int | None
) -> None:
    if unit is not None and not (np.isfinite(unit) and unit > 0):
        raise input_error(clip.path, "the unit must be positive, metres per file unit", found=unit)
    if up not in (None, *_TO_Z_UP):
        raise input_error(clip.path, "the up axis", found=up, expected=", ".join(_TO_Z_UP))
    if drop_first is not None and drop_first < 0:
        raise input_error(clip.path, "frames to drop cannot be negative", found=drop_first)


def _check_size(clip: RawClip, unit: float, size: float, warnings: list[str]) -> None:
    """What a unit given by hand makes of a person `size` file units tall."""
    tall = size * unit
    if not LEAST_PERSON <= tall <= GREATEST_PERSON:
        fits = detect.detect_unit(size, clip.unit)
        raise input_error(
            clip.path,
            "with this unit the person has no person's size",
            found=f"{tall:.3g} m tall with --unit {unit:g}",
            expected=f"{LEAST_PERSON} to {GREATEST_PERSON} m",
            fix=f"leave out --unit ({fits[0]:.4g}, {fits[1]}, fits), or say --height METRES",
        )
    if not detect.LEAST_HEIGHT <= tall <= detect.GREATEST_HEIGHT:
        warnings.append(f"the unit given makes the person {tall:.2f} m tall")


def _check_numbers(clip: RawClip) -> None:
    """Frames, joints, names and numbers within the limits: all readers end here."""
    check_clip_size(clip.path, len(clip.pos), len(clip.joint_names))
    for name in clip.joint_names:
        check_limit(clip.path, "text", len(name), "the length of a joint's name")
    check_magnitude(clip.path, "the positions", clip.pos, clip.joint_names)
    if clip.rest_pos is not None:
        check_magnitude(clip.path, "the rest pose", clip.rest_pos[None], clip.joint_names)
    for tip in clip.end_sites.values():
        check_magnitude(clip.path, "an end site", tip[None])


def _check_extent(clip: RawClip) -> None:
    if not (clip.pos != clip.pos[:, :1]).any():
        raise input_error(
            clip.path,
            "all joints are at one point in every frame: this is no person",
            found=f"{len(clip.joint_names)} joints, {len(clip.pos)} frames",
            fix="export the clip again, with its values",
        )


def _check_length(clip: RawClip, frames: int, dropped: int = 0) -> None:
    if frames < 2:
        after = f" after {dropped} were dropped at the start" if dropped else ""
        raise input_error(
            clip.path,
            f"a clip needs at least two frames{after}",
            found=frames,
            fix="use a longer clip: velocities need a neighbour frame",
        )


def _drop(
    clip: RawClip, drop_first: int | None, jumps: list[int] | None
) -> tuple[RawClip, int, str]:
    count, why = (drop_first, "asked for") if drop_first else (0, "")
    if jumps is not None:
        count, why = detect.leading_frames(clip, jumps)
    if not count:
        return clip, 0, ""
    _check_length(clip, len(clip.pos) - count, count)
    quat = None if clip.quat is None else clip.quat[count:]
    return replace(clip, pos=clip.pos[count:], quat=quat), count, why


# -- roles -------------------------------------------------------------------------------------


def _given_roles(clip: RawClip, skeleton_map: Mapping[str, str]) -> dict[str, int]:
    given = {}
    for role, name in skeleton_map.items():
        if role not in ROLES:
            raise input_error(
                clip.path, f"skeleton map: no such role {role!r}", expected=", ".join(ROLES)
            )
        if name not in clip.joint_names:
            near = difflib.get_close_matches(name, clip.joint_names, 1, 0.5)
            raise input_error(
                clip.path,
                f"skeleton map: the file has no joint {name!r} for {role}",
                found=_listing(clip),
                fix=f"did you mean {near[0]}?" if near else None,
            )
        given[role] = clip.joint_names.index(name)
    return given


def _missing(found: Recognition) -> list[str]:
    # The pelvis follows from the hips: name it last.
    return [r for r in (*REQUIRED_ROLES[1:], REQUIRED_ROLES[0]) if r not in found.roles]


def _same_place(clip: RawClip, roles: list[str]) -> str:
    """Joints of the sides of `roles` that stand where their parent does, for an error line."""
    sides = {role.split("_")[0] for role in roles}
    found = [
        f"{name} stands where {clip.joint_names[above]} does"
        for name, above, joint in zip(
            clip.joint_names, clip.parents, range(len(clip.parents)), strict=True
        )
        if above >= 0
        and parse_joint_name(name).side in sides
        and not (clip.pos[:, joint] - clip.pos[:, above]).any()
    ]
    return f"{', '.join(found[:4])}; " if found else ""


def _check_roles(clip: RawClip, found: Recognition, *, by_hand: bool) -> None:
    missing = _missing(found)
    if missing:
        raise input_error(
            clip.path,
            f"unknown skeleton, no joint is known for {', '.join(missing)}",
            found=_same_place(clip, missing) + _listing(clip),
            fix=f"say which joint it is: --skeleton-map {missing[0]}=NAME",
        )
    if by_hand and found.misplaced:
        raise input_error(clip.path, f"skeleton map: {found.misplaced[0]}")
    # Who maps by hand may have unusual proportions: these become warnings.
    problems = found.misplaced or ([] if by_hand else found.unlikely)
    if problems:
        raise input_error(
            clip.path,
            f"this does not look like a person: {problems[0]}",
            found=_listing(clip),
            fix="map the joints by hand, e.g. --skeleton-map left_knee=NAME",
        )


def _listing(clip: RawClip) -> str:
    return f"{len(clip.joint_names)} joints: {', '.join(clip.joint_names)}"
