"""BlazePose world landmarks: the pose that a video estimator sees, 33 points around the hips."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.errors import input_error
from mimic_base.signals import low_pass
from motions.human.motion import SIDES, body_height
from motions.human.readers.arrays import UNNAMED, numbers, stated_fps
from motions.human.readers.footing import CONTACT_HEIGHT, fixed_bones, walk_on_ground
from motions.human.readers.raw import RawClip, ReadOptions, need_fps
from motions.human.video.body import POINTS
from motions.human.video.fit import Camera, fit_clip

Array = NDArray[Any]

LANDMARKS = 33
LAYOUT = "blazepose33"
_KEY = "world_landmarks"
_PIXELS = "image_landmarks_px"
_JITTER_HZ = 5.0
"""Cut-off of the zero-phase filter, Hz: human movement is below it, the estimator's noise above."""
_LONGEST_GAP_S = 0.5
_FOLLOWED_M_S = 0.4
_PACE_S = 1.5
_LEAST_VISIBLE = 0.5

# Index of the left landmark, the right one follows it.
_PAIRS = {
    "ear": 7,
    "shoulder": 11,
    "elbow": 13,
    "wrist": 15,
    "pinky": 17,
    "index": 19,
    "hip": 23,
    "knee": 25,
    "ankle": 27,
    "heel": 29,
    "toe": 31,
}
_LIMBS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
# Joint and parent; the sides are alike.
_MIDDLE = (("pelvis", ""), ("chest", "pelvis"), ("head", "chest"))
_SIDED = (
    ("hip", "pelvis"), ("knee", "hip"), ("ankle", "knee"), ("heel", "ankle"), ("toe", "ankle"),
    ("shoulder", "chest"), ("elbow", "shoulder"), ("wrist", "elbow"), ("hand", "wrist"),
)  # fmt: skip


def is_landmarks(keys: Mapping[Any, Any], options: ReadOptions) -> bool:
    """Whether the arrays are landmarks: by their name, or 33 points under any."""
    if _KEY in keys or options.layout == LAYOUT:
        return True
    shape = np.shape(keys[UNNAMED]) if UNNAMED in keys else ()
    return len(shape) == 3 and shape[1] == LANDMARKS


def read_landmarks(path: Path, keys: Mapping[Any, Any], options: ReadOptions) -> RawClip:
    """A clip from MediaPipe's world landmarks, [T, 33, 3] m: hip-centred, y down, camera axes.

    Where the file also says which pixels they are (`image_landmarks_px` [T, 33, 2 or 3], `width`,
    `height`), a fit of the whole clip to these tells the way of the body, its jumps and the
    ground. Otherwise the camera is taken for level. Short gaps are filled, the landmarks filtered
    without delay, bones made constant in length and alike on both sides, and the way of the body
    over the ground is recovered from what stands on it (see `footing.walk_on_ground`): landmarks
    have none.
    """
    key = _KEY if _KEY in keys else next(iter(keys))
    points = numbers(path, key, keys[key])
    if points.ndim != 3 or points.shape[1] != LANDMARKS or points.shape[2] < 3:
        raise input_error(
            path,
            f"{key} is no array of BlazePose landmarks",
            found=f"shape {list(points.shape)}",
            expected=f"[frames, {LANDMARKS}, 3]",
        )
    fps = need_fps(path, options, stated_fps(keys), "the video's rate")
    seen: Array = np.asarray(np.isfinite(points[..., :3]).all(axis=(1, 2)))
    if "detected" in keys and np.shape(keys["detected"]) == seen.shape:
        seen = seen & np.asarray(keys["detected"], bool)
    points = points[..., :3]
    place = _pixels(path, keys, points, seen)
    points, first, filled = _without_gaps(path, points, seen, fps)
    warnings: list[str] = []
    if first or len(points) < len(seen):
        warnings.append(
            f"nobody is seen for longer than {_LONGEST_GAP_S:g} s: frames {first} to "
            f"{first + len(points) - 1} of {len(seen)} are read"
        )
    if 0.45 * fps <= _JITTER_HZ:
        warnings.append(f"{fps:g} fps is too slow to filter jitter at {_JITTER_HZ:g} Hz")
    warnings += _unseen(keys)
    if place is not None:
        kept = slice(first, first + len(points))
        shown = (points, place[0][kept], place[1][kept])
        clip = _fitted(path, shown, place[2:], fps, options, warnings, filled)
        walked, seen_to_move = _pace(_walked(points, fps, options)[2], fps), _pace(clip.pos, fps)
        if walked - seen_to_move < _FOLLOWED_M_S or seen_to_move > 0.5 * walked:
            return clip
        warnings.append(
            f"the feet walk at {walked:.1f} m/s, the picture shows {seen_to_move:.1f} m/s: the "
            "camera follows (or there is a treadmill), so the pixels are not used"
        )
    names, parents, pos = _walked(points, fps, options)
    return _clip(
        path, "BlazePose world landmarks", (names, parents, pos), fps, options,
        {
            "jitter_filter": f"zero-phase Butterworth, {_JITTER_HZ:g} Hz",
            "filled_frames": filled,
            "translation": "recovered: what is on the ground stays in its place "
            f"(within {100 * CONTACT_HEIGHT:g} cm of the lowest point); flight is lost",
            "camera": "taken for level",
            "warnings": warnings,
        },
    )  # fmt: skip


def _clip(
    path: Path,
    kind: str,
    body: tuple[tuple[str, ...], tuple[int, ...], Array],
    fps: float,
    options: ReadOptions,
    report: dict[str, Any],
) -> RawClip:
    """The clip of a body's names, parents and positions [T, J, 3] m, y up."""
    names, parents, pos = body
    return RawClip(
        path=path, format=kind, fps=fps, joint_names=names, parents=parents, pos=pos, unit=1.0,
        sized=options.height is not None, up="y", family="BlazePose", report=report,
    )  # fmt: skip


def _walked(
    points: Array, fps: float, options: ReadOptions
) -> tuple[tuple[str, ...], tuple[int, ...], Array]:
    """Names, parents and positions [T, J, 3] whose way is told by the feet that stand."""
    # Camera axes (x right, y down, z away) to y up: half a turn about x.
    points = low_pass(points * np.array([1.0, -1.0, -1.0]), fps, _JITTER_HZ)
    names, parents, pos = _joints(points)
    pos = fixed_bones(pos, parents, names)
    if options.height is not None:
        roles = {n: i for i, n in enumerate(names)}
        pos = pos * (options.height / body_height(pos, roles))
    return names, parents, walk_on_ground(pos, fps)


def _pace(pos: Array, fps: float) -> float:
    """Median speed of the first joint over the ground, taken over 1.5 s, m/s."""
    frames = min(len(pos) - 1, max(1, round(_PACE_S * fps)))
    way = pos[frames:, 0] - pos[:-frames, 0]
    return float(np.median(np.hypot(way[:, 0], way[:, 2]))) * fps / frames


def _pixels(
    path: Path, keys: Mapping[Any, Any], points: Array, seen: Array
) -> tuple[Array, Array, int, int] | None:
    """Pixels [T, 33, 2], confidence [T, 33], width and height of the picture; None without."""
    if not {_PIXELS, "width", "height"} <= set(keys):
        return None
    pixels = numbers(path, _PIXELS, keys[_PIXELS])
    if pixels.shape[:2] != points.shape[:2] or pixels.ndim != 3 or pixels.shape[2] < 2:
        raise input_error(
            path,
            f"{_PIXELS} must have a row for each of the {_KEY}",
            found=f"shape {list(pixels.shape)}",
            expected=f"[{len(points)}, {LANDMARKS}, 2 or 3]",
        )
    size = []
    for key in ("width", "height"):
        value = numbers(path, key, keys[key])
        if value.size != 1 or not 16 <= value.ravel()[0] <= 65536:
            raise input_error(
                path, f"{key} must be the picture's, in pixels", found=str(value.ravel()[:1])
            )
        size.append(int(value.ravel()[0]))
    pixels = pixels[..., :2]
    told = np.asarray(keys.get("visibility", np.ones(points.shape[:2])))
    fits = told.shape == points.shape[:2] and told.dtype.kind in "fiub"
    told = told if fits else np.ones(points.shape[:2])
    good = seen & np.isfinite(pixels).all(axis=(1, 2))
    confidence = np.clip(np.nan_to_num(told.astype(float)), 0.0, 1.0) * good[:, None]
    return np.where(good[:, None, None], pixels, 0.0), confidence, *size


def _fitted(
    path: Path,
    shown: tuple[Array, Array, Array],
    size: tuple[int, int],
    fps: float,
    options: ReadOptions,
    warnings: list[str],
    filled: int,
) -> RawClip:
    """The clip of landmarks whose place in the picture is known (see `motions.human.video`)."""
    camera = Camera.of(*size, options.fov)
    fit = fit_clip(*shown, fps, camera)
    names, parents, pos = _tree({name: fit.pos[:, i] for i, name in enumerate(POINTS)})
    pos = fixed_bones(pos, parents, names)
    if options.height is not None:
        roles = {n: i for i, n in enumerate(names)}
        pos = pos * (options.height / body_height(pos, roles))
    told = "guessed; say it: read_human_motion(path, fov=DEGREES)" if camera.guessed else "as given"
    return _clip(
        path, "BlazePose landmarks with pixels", (names, parents, pos), fps, options,
        {
            "filled_frames": filled,
            "translation": "whole-clip fit to the landmarks' pixels",
            "focal_px": round(camera.focal, 1),
            "fov": told,
            "camera": f"still, looking down {fit.tilt_deg:.1f} degrees on the ground found",
            "pixel_error_median": round(fit.pixel_error, 2),
            "warnings": warnings,
        },
    )  # fmt: skip


def _joints(points: Array) -> tuple[tuple[str, ...], tuple[int, ...], Array]:
    """Joint names, parents and positions [T, J, 3] from landmarks [T, 33, 3]."""
    at: dict[str, Array] = {}
    for part, index in _PAIRS.items():
        for offset, side in enumerate(SIDES):
            at[f"{side}_{part}"] = points[:, index + offset]
    for side in SIDES:
        at[f"{side}_hand"] = 0.5 * (at[f"{side}_index"] + at[f"{side}_pinky"])
    at["head"] = 0.5 * (at["left_ear"] + at["right_ear"])
    return _tree(at)


def _tree(at: dict[str, Array]) -> tuple[tuple[str, ...], tuple[int, ...], Array]:
    """The same from the limbs' points and the head, each [T, 3]."""
    for name, part in (("pelvis", "hip"), ("chest", "shoulder")):
        at[name] = 0.5 * (at[f"left_{part}"] + at[f"right_{part}"])
    tree = [*_MIDDLE]
    for side in SIDES:
        for part, above in _SIDED:
            middle = above in ("pelvis", "chest")
            tree.append((f"{side}_{part}", above if middle else f"{side}_{above}"))
    names = tuple(name for name, _ in tree)
    parents = tuple(names.index(above) if above else -1 for _, above in tree)
    return names, parents, np.stack([at[n] for n in names], axis=1)


def _without_gaps(path: Path, points: Array, seen: Array, fps: float) -> tuple[Array, int, int]:
    """The longest stretch without a long gap, its short gaps filled; its start, frames filled."""
    index = np.flatnonzero(seen)
    if len(index) < 2:
        raise input_error(
            path,
            "nobody is seen in this video",
            found=f"{len(index)} of {len(seen)} frames with a person",
            expected="two or more",
        )
    breaks = np.flatnonzero(np.diff(index) > max(1.0, _LONGEST_GAP_S * fps)) + 1
    runs = [run for run in np.split(index, breaks) if len(run) > 1] or [index[:2]]
    run = max(runs, key=len)
    first, last = int(run[0]), int(run[-1])
    wanted = np.arange(first, last + 1)
    flat = points[run].reshape(len(run), -1)
    full = np.stack([np.interp(wanted, run, column) for column in flat.T], axis=1)
    return full.reshape(-1, LANDMARKS, 3), first, len(wanted) - len(run)


def _unseen(keys: Mapping[Any, Any]) -> list[str]:
    seen = np.asarray(keys.get("visibility", 0))
    if seen.ndim != 2 or seen.dtype.kind not in "fiub" or not np.isfinite(seen).any(axis=0).all():
        return []
    share = np.nanmean(seen.astype(float), axis=0)
    hidden = [
        f"{side} {part}"
        for part in _LIMBS
        for offset, side in enumerate(SIDES)
        if len(share) == LANDMARKS and share[_PAIRS[part] + offset] < _LEAST_VISIBLE
    ]
    return [f"mostly hidden in the video, so guessed: {', '.join(hidden)}"] if hidden else []
