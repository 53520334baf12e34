"""C3D: markers on the skin, made into joint centres where the marker set is a known one."""

from __future__ import annotations

import importlib.util
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base import child
from mimic_base.errors import input_error
from mimic_base.limits import check_limit
from mimic_base.reading import real_path
from mimic_base.text import plain
from motions import native
from motions.human.motion import SIDES
from motions.human.readers.marker_sets import SETS, MarkerSet, joint_centres, match_set
from motions.human.readers.raw import RawClip, ReadOptions, need_fps, read_bytes
from motions.human.readers.reader import Reader

Array = NDArray[Any]

_BYTES_A_SHARE = 5e6
"""A file of that size is read within the limit of time by far; a larger one is given more."""
_UNITS = {"mm": 0.001, "cm": 0.01, "m": 1.0, "in": 0.0254}
_LONGEST_GAP_S = 0.25
_TREE = (
    ("pelvis", ""),
    ("chest", "pelvis"),
    ("neck", "chest"),
    ("head", "neck"),
    *(
        (f"{side}_{part}", f"{side}_{above}" if above not in ("pelvis", "chest") else above)
        for side in SIDES
        for part, above in (
            ("hip", "pelvis"),
            ("knee", "hip"),
            ("ankle", "knee"),
            ("toe", "ankle"),
            ("shoulder", "chest"),
            ("elbow", "shoulder"),
            ("wrist", "elbow"),
            ("hand", "wrist"),
        )
    ),
)


def read_c3d(path: Path, options: ReadOptions) -> RawClip:
    """A clip of joint centres from a C3D file with a marker set of `marker_sets.SETS`.

    Short gaps of a marker are filled; frames at the ends in which a needed marker is lost are cut.
    Needs the package ezc3d (extra `c3d`), which runs in a process apart with limits of time and
    memory (`mimic_base.child`).

    Raises `InputError` for a broken file, and for markers that are no whole-body set: it then lists
    the labels.
    """
    labels, points, rate, unit = _load(path)
    found, names = match_set(labels)
    if found is None:
        raise input_error(
            path,
            "these markers are no known whole-body set",
            found=f"{len(labels)} labels: {', '.join(labels)}",
            expected=" or ".join(s.title for s in SETS),
            fix=f"nearest is {_nearest(names)}; rename the markers in the capture program",
        )
    fps = need_fps(path, options, rate)
    chosen = {mark: points[labels.index(label)] for mark, label in names.items()}
    chosen, first, filled = _without_gaps(path, found, chosen, fps)
    unit_m = unit if unit is not None else 0.001
    centres = joint_centres(found, chosen, unit_m)
    tree = [(name, above) for name, above in _TREE if name in centres]
    joint_names = tuple(name for name, _ in tree)
    warnings = []
    frames = len(next(iter(centres.values())))
    if frames < points.shape[1]:
        warnings.append(
            f"a needed marker is lost at the ends: frames {first} to {first + frames - 1} of "
            f"{points.shape[1]} are read"
        )
    return RawClip(
        path=path,
        format="C3D",
        fps=fps,
        joint_names=joint_names,
        parents=tuple(joint_names.index(above) if above else -1 for _, above in tree),
        pos=np.stack([centres[name] for name in joint_names], axis=1),
        unit=unit,
        family=found.title,
        report={
            "marker_set": found.name,
            "markers": len(names),
            "filled_markers": filled,
            "joint_centres": found.how,
            "warnings": warnings,
        },
    )


def _load(path: Path) -> tuple[list[str], Array, float | None, float | None]:
    """Labels, points [M, T, 3] (NaN where a marker is lost), frames per second, metres per unit."""
    start = read_bytes(path, 65536)
    if importlib.util.find_spec("ezc3d") is None:
        raise input_error(
            path,
            "reading C3D needs the package ezc3d",
            fix="pip install 'humanoid-mimic[c3d]'",
        )
    frames = _declared_frames(start)
    check_limit(path, "frames", frames, "the number of frames")
    file = real_path(path)
    job = child.Job(
        target=native.C3D,
        arguments={"file": str(file)},
        about=path,
        what="ezc3d",
        reads=[file],
        share=max(1.0, file.stat().st_size / _BYTES_A_SHARE),
    )
    try:
        found = child.call(job)
    except child.ChildError as error:
        # A library in C++: what it throws at a broken file is of any kind.
        raise input_error(
            path,
            "not a readable C3D file (is it truncated?)",
            found=plain(error, 200),
            fix="export or download the clip again",
        ) from error
    labels = [str(name).split(":")[-1].strip() for name in found["labels"]]
    points, rate, unit_name = found["points"], found["rate"], found["unit"]
    check_limit(path, "joints", len(labels), "the number of markers")
    there = points.shape[1]
    check_limit(path, "frames", there, "the number of frames")
    if there < frames:
        raise input_error(
            path,
            "the file is truncated",
            found=f"{there} frames",
            expected=f"{frames} as declared",
            fix="export or download the clip again",
        )
    if not len(labels) or not there or len(points) < len(labels):
        raise input_error(path, "there are no markers in this C3D file")
    # An all-zero point is how many writers mark a lost one.
    lost = ~points.any(axis=-1)
    if lost.any():
        points = np.where(lost[..., None], np.nan, points)
    unit = _UNITS.get(str(unit_name).strip().lower()) if unit_name is not None else None
    return labels, points, rate, unit


def _declared_frames(start: bytes) -> int:
    """Frames that the header declares; 0 when it cannot say.

    ezc3d silently stops at the end of a truncated file. Words four and five of the header are the
    first and the last frame; 65535 stands for more than the field can hold.
    """
    if len(start) < 512:
        return 0
    processor = start[(start[0] - 1) * 512 + 3 :][:1]
    order = ">" if processor == b"\x56" else "<"  # 86 is MIPS, the one big-endian kind
    first, last = struct.unpack(f"{order}HH", start[6:10])
    return last - first + 1 if 0 < first <= last < 65535 else 0


def _nearest(names: dict[str, str]) -> str:
    best = max(SETS, key=lambda s: sum(m in names for m in s.needed))
    missing = [m for m in best.needed if m not in names]
    return f"{best.title}, of which {', '.join(missing[:6])} are missing"


def _without_gaps(
    path: Path, found: MarkerSet, markers: dict[str, Array], fps: float
) -> tuple[dict[str, Array], int, int]:
    """Markers over the longest stretch in which all needed ones are known; short gaps filled."""
    frames = len(next(iter(markers.values())))
    if frames > 1 and all(np.isfinite(path_of).all() for path_of in markers.values()):
        return markers, 0, 0
    longest = max(1, round(_LONGEST_GAP_S * fps))
    known = np.ones(frames, bool)
    filled, count = {}, 0
    for name, path_of in markers.items():
        full, there, added = _fill(path_of, longest)
        filled[name], count = full, count + added
        if name in found.needed:
            known &= there
    edges = np.flatnonzero(np.diff(np.concatenate([[0], known.astype(int), [0]])))
    runs = list(zip(edges[::2], edges[1::2], strict=True))
    if not runs or max(b - a for a, b in runs) < 2:
        lost = {n: float(np.isnan(markers[n]).any(axis=1).mean()) for n in found.needed}
        worst = max(lost, key=lambda n: lost[n])
        raise input_error(
            path,
            "in no two frames all needed markers are seen",
            found=f"{worst} is lost in {100 * lost[worst]:.0f} % of the frames",
            fix="fill the gaps in the capture program",
        )
    first, last = max(runs, key=lambda run: run[1] - run[0])
    cut = {n: p[first:last] for n, p in filled.items()}
    # A marker that may be missing altogether is left out where it is lost.
    return {n: p for n, p in cut.items() if np.isfinite(p).all()}, int(first), count


def _fill(path_of: Array, longest: int) -> tuple[Array, Array, int]:
    """A marker's path [T, 3] with gaps of at most `longest` frames interpolated.

    Returns the path, where it is known [T] and how many frames were filled.
    """
    there: Array = np.asarray(np.isfinite(path_of).all(axis=1))
    index = np.flatnonzero(there)
    if not len(index):
        return path_of, there, 0
    steps = np.diff(index)
    gaps = np.flatnonzero((steps > 1) & (steps <= longest + 1))
    if not len(gaps):
        return path_of, there, 0
    full, known = path_of.copy(), there.copy()
    for a, b in zip(index[gaps], index[gaps + 1], strict=True):
        share = (np.arange(a + 1, b) - a)[:, None] / (b - a)
        full[a + 1 : b] = path_of[a] + share * (path_of[b] - path_of[a])
        known[a + 1 : b] = True
    return full, known, int(known.sum() - there.sum())


_PARAMETERS = 0x50


def _recognise(start: bytes, _: str) -> bool:
    return len(start) > 1 and start[1] == _PARAMETERS and 0 < start[0] < 32


READER = Reader(name="c3d", extensions=(".c3d",), read=read_c3d, recognise=_recognise)
