"""What a clip does not say about itself: which way is up, the unit, a rest pose at its start.

All functions work in the file's own world and unit, on positions [T, J, 3] and roles.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.rotations import cross, dot, norm
from mimic_base.stretches import by_stretches, stretches
from motions.human.motion import SIDES
from motions.human.readers.raw import RawClip

Array = NDArray[Any]

LEAST_HEIGHT, GREATEST_HEIGHT = 1.2, 2.1
"""Standing heights of people, m."""
ASSUMED_HEIGHT = 1.7
UNITS: tuple[tuple[str, float], ...] = (
    ("m", 1.0),
    ("cm", 0.01),
    ("mm", 0.001),
    ("inch", 0.0254),
    ("inch/0.45 (CMU)", 0.0254 / 0.45),
)

# A frame-to-frame movement is a jump when it is this much of the body's size and this many
# times what the clip does in its fastest percent of frames.
_JUMP_SIZE = 0.08
_JUMP_OUTLIER = 4.0
_LONGEST_REST = 30
_REST_LIKE = 0.35


def middle(pos: Array, roles: Mapping[str, int], part: str) -> Array:
    """Point between the left and the right joint of a role, [..., 3]."""
    return 0.5 * (pos[..., roles[f"left_{part}"], :] + pos[..., roles[f"right_{part}"], :])


def _unit(v: Array) -> Array:
    return v / np.maximum(norm(v)[..., None], 1e-12)


# -- up ----------------------------------------------------------------------------------------


def detect_up(clip: RawClip, roles: Mapping[str, int]) -> tuple[str, str | None]:
    """The file's vertical axis ("x", "y", "z", or "-y") and a warning when that is a guess.

    A person mostly stands on the ankles and carries the shoulders over the hips; where the clip
    does not show it (lying, crawling), the rest pose decides, else y as in most files.
    """
    poses = [clip.pos]
    upside_down = True
    if clip.rest_pos is not None and clip.rest_up is None:
        poses.append(clip.rest_pos[None])
    for pose in poses:
        stance = _upright(pose, roles).mean(axis=0)
        order = np.argsort(-np.abs(stance))
        best, second = stance[order[0]], abs(stance[order[1]])
        upside_down &= order[0] == 1 and best <= -0.6 and abs(best) - second >= 0.3
        if abs(best) >= 0.6 and abs(best) - second >= 0.3 and best > 0:
            # Nobody's clips have x up but a few tools': who lies along x looks the same.
            doubt = "x is taken for up, as the person stands along it (--up y or z if they lie)"
            return "xyz"[order[0]], None if order[0] > 0 else doubt
    if upside_down:
        return "-y", "y points down, as in a camera's view (--up y if this is a handstand)"
    return "y", "nobody stands in this clip: y is taken for up (--up z if it is not)"


def _upright(pos: Array, roles: Mapping[str, int]) -> Array:
    hips = middle(pos, roles, "hip")
    legs = _unit(hips - middle(pos, roles, "ankle"))
    return 0.5 * (legs + _unit(middle(pos, roles, "shoulder") - hips))


# -- unit --------------------------------------------------------------------------------------


def detect_unit(height: float, stated: float | None) -> tuple[float, str, str | None]:
    """Metres per file unit, its name, and a warning when no unit makes the person plausible.

    `height` is the person's in file units; `stated` is what the format says, tried first.
    """
    candidates = list(UNITS)
    if stated is not None:
        known = next((n for n, u in UNITS if abs(u - stated) < 1e-9), "stated by the file")
        candidates.insert(0, (known, stated))
    for name, unit in candidates:
        if LEAST_HEIGHT <= height * unit <= GREATEST_HEIGHT:
            return unit, name, None
    unit = ASSUMED_HEIGHT / height
    return (
        unit,
        "scaled",
        f"no common unit makes this person {LEAST_HEIGHT}-{GREATEST_HEIGHT} m tall: "
        f"scaled to {ASSUMED_HEIGHT} m (--unit METRES to change it)",
    )


# -- frames that do not belong -----------------------------------------------------------------


def leading_frames(clip: RawClip, jumps: list[int]) -> tuple[int, str]:
    """How many frames to drop at the start, and why; (0, "") when the clip just begins.

    Args:
        jumps: the frames at which it jumps, see `jump_frames`.

    Exporters put the rest pose (or a calibration pose) into the first frame; the clip then jumps
    into its first real pose.
    """
    if not jumps or jumps[0] > _LONGEST_REST:
        return 0, ""
    # A rest pose may be blended into the clip: the jump then lasts a few frames.
    last = jumps[0]
    while last + 1 in jumps:
        last += 1
    angles = clip.local_angles()
    if len(clip.pos) - last < 2:
        return 0, ""
    if angles is not None:
        turned = angles.mean(axis=1)
        if (turned[: jumps[0]] < _REST_LIKE * np.median(turned)).all():
            return last, "rest pose"
    return (1, "jump after the first frame") if jumps[0] == 1 else (0, "")


def jump_frames(clip: RawClip) -> list[int]:
    """Frames at which the pose or the place jumps, as no person moves."""
    frames = len(clip.pos)
    if frames < 10:
        return []
    size = float(np.median(_extent(clip.pos)))
    found: set[int] = set()
    for step in (_steps(clip.pos, around_root=False), _steps(clip.pos, around_root=True)):
        # The jumps themselves must not raise the bar: the usual speed is that of other frames.
        usual = np.percentile(np.sort(step)[: -max(1, len(step) // 200)], 99)
        limit = max(_JUMP_SIZE * size, _JUMP_OUTLIER * float(usual))
        found.update(int(i) + 1 for i in np.flatnonzero(step > limit))
    return sorted(found)


def _extent(pos: Array) -> Array:
    """The longest side [T] of the box around the joints [T, J, 3] of each frame."""

    def longest(pos: Array) -> Array:
        # The joints first: NumPy reduces an axis in the middle at thirty times the price.
        axes = np.ascontiguousarray(pos.T)
        return (axes.max(axis=1) - axes.min(axis=1)).max(axis=0)

    return by_stretches(longest, pos)


def _steps(pos: Array, *, around_root: bool) -> Array:
    """The longest way [T-1] of a joint to the next frame, in the world or seen from joint 0."""
    steps = []
    for part in stretches(len(pos)):
        path = pos[part.start : part.stop + 1]
        if around_root:
            path = path - path[:, :1]
        steps.append(norm(path[1:] - path[:-1]).max(axis=1, initial=0.0))
    return np.concatenate(steps)


# -- left and right ----------------------------------------------------------------------------


def forward_of(pos: Array, roles: Mapping[str, int]) -> Array:
    """Where the person looks, [T, 3] unit: left side across the body's own up direction."""
    hips, shoulders = middle(pos, roles, "hip"), middle(pos, roles, "shoulder")
    left = _unit(pos[:, roles["left_hip"]] - pos[:, roles["right_hip"]])
    left = left + _unit(pos[:, roles["left_shoulder"]] - pos[:, roles["right_shoulder"]])
    return _unit(cross(left, shoulders - hips))


def handedness(pos: Array, roles: Mapping[str, int]) -> float:
    """How surely "left" is the anatomical left: 1 certain, 0 open, -1 certainly swapped.

    Knees bend forward of the line from hip to ankle, toes lie ahead of the ankles, elbows bend
    backward: all three tell where the front is, whatever the names say.
    """
    front = forward_of(pos, roles)
    votes, weights = 0.0, 0.0
    for side in SIDES:
        at = {p: pos[:, roles[f"{side}_{p}"]] for p in ("hip", "knee", "ankle")}
        shin = _unit(at["ankle"] - at["knee"])
        leg = _unit(at["ankle"] - at["hip"])
        size = norm(at["knee"] - at["hip"])
        bend = at["knee"] - at["hip"]
        bend = bend - dot(bend, leg)[..., None] * leg
        # The thigh carries the hip's own rotation: judge the knee against the body's front, but
        # only where it is bent enough to have a direction.
        cues = [dot(bend, front) / size]
        arm = {p: pos[:, roles[f"{side}_{p}"]] for p in ("shoulder", "elbow", "wrist")}
        reach = _unit(arm["wrist"] - arm["shoulder"])
        upper = arm["elbow"] - arm["shoulder"]
        back = upper - dot(upper, reach)[..., None] * reach
        cues.append(-0.5 * dot(back, front) / norm(upper))
        if f"{side}_toe" in roles:
            toe = pos[:, roles[f"{side}_toe"]] - at["ankle"]
            toe = toe - dot(toe, shin)[..., None] * shin
            cues.append(2.0 * dot(toe, front) / size)
        for cue in cues:
            votes += float(cue.sum())
            weights += float(np.abs(cue).sum())
    return votes / weights if weights > 0 else 0.0
