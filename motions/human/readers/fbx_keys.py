"""What the keys of an animation in a scene of Assimp's say: its frames, and nodes over time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.errors import input_error
from mimic_base.resample import lerp_frames, slerp_frames
from mimic_base.rotations import quat_continuous, quat_normalize, quat_to_matrix

Array = NDArray[Any]

MOST_FRAMES = 1_000_000
"""More are no clip, but keys at times that a broken exporter wrote: nine hours at 30 frames/s."""


def longest_animation(
    path: Path, scene: Mapping[str, Any], warnings: list[str]
) -> Mapping[str, Any]:
    """The longest animation of a scene; a line goes to `warnings` where there are several."""
    animations = [a for a in scene.get("animations", []) if a.get("channels")]
    if not animations:
        raise input_error(
            path, "the file holds no animation", fix="export it with its animation baked"
        )
    chosen = max(animations, key=_seconds)
    if len(animations) > 1:
        warnings.append(f"{len(animations)} animations found: '{chosen['name']}' is the longest")
    return chosen


def _ticks(animation: Mapping[str, Any]) -> float:
    return float(animation["tickspersecond"]) or 25.0  # Assimp's default where nothing is said


def _seconds(animation: Mapping[str, Any]) -> float:
    return float(animation["duration"]) / _ticks(animation)


def check_keys(path: Path, channel: Mapping[str, Any]) -> None:
    """Raise `InputError` for keys that are absent, not finite or not in the order of time."""
    for kind in ("position", "rotation", "scaling"):
        keys = channel.get(f"{kind}keys") or []
        name = f"node {channel['name']!r}: its {kind} keys"
        if not keys:
            raise input_error(path, f"{name} are absent", fix="export it with animation baked")
        times = np.array([key[0] for key in keys], float)
        values = np.array([key[1] for key in keys], float)
        if not (np.isfinite(times).all() and np.isfinite(values).all()):
            raise input_error(path, f"{name} hold numbers that are not finite", fix="export again")
        back = np.flatnonzero(np.diff(times) < 0.0)
        if len(back):
            k = int(back[0])
            raise input_error(
                path,
                f"{name} go back in time",
                found=f"{times[k + 1]:g} after {times[k]:g} ticks",
                fix="export it with animation baked",
            )


def frame_times(path: Path, animation: Mapping[str, Any]) -> tuple[float, Array]:
    """Frames per second, and the frames' times in ticks.

    A tick is a frame of the scene; keys that come faster set the rate.
    """
    keys = [np.array([key[0] for key in c["rotationkeys"]]) for c in animation["channels"]]
    gaps = np.concatenate([np.diff(times) for times in keys])
    gap = float(np.median(gaps)) if len(gaps) else 1.0
    gap = gap if 0.0 < gap < 0.9 else 1.0
    start, stop = min(t.min() for t in keys), max(t.max() for t in keys)
    count = round(float((stop - start) / gap)) + 1
    if count > MOST_FRAMES:
        raise input_error(
            path,
            "the key times are too far apart for a clip",
            found=f"{count} frames in {(stop - start) / _ticks(animation):.0f} s",
            expected=f"at most {MOST_FRAMES} frames",
            fix="cut the clip, or export it again",
        )
    if count < 2:
        raise input_error(path, "the animation has a single frame")
    return _ticks(animation) / gap, start + gap * np.arange(count)


def local_matrices(channel: Mapping[str, Any], times: Array) -> Array:
    """Matrices [T, 4, 4] of a node in its parent's frame at `times` [T], ticks."""
    at, place = _at_times(channel["positionkeys"], times)
    local = np.zeros((len(times), 4, 4))
    local[:, :3, 3] = lerp_frames(place, at)
    at, quat = _at_times(channel["rotationkeys"], times)
    local[:, :3, :3] = quat_to_matrix(slerp_frames(quat_continuous(quat_normalize(quat)), at))
    at, size = _at_times(channel["scalingkeys"], times)
    local[:, :3, :3] *= lerp_frames(size, at)[:, None]
    local[:, 3, 3] = 1.0
    return local


def _at_times(keys: list[Any], times: Array) -> tuple[Array, Array]:
    """Fractional indices [T] of keys at `times`, and the keys' values [K, n], K at least two."""
    keys = keys if len(keys) > 1 else [keys[0], keys[0]]
    at, values = (np.array([key[i] for key in keys], float) for i in (0, 1))
    return np.interp(times, at, np.arange(len(at))), values
