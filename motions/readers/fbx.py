"""FBX: the animated skeleton of a scene, through Assimp (extra `fbx`).

Assimp (BSD-3-Clause, the shared library of the wheel ``cmeel-assimp`` or the system's own) reads
the file and writes the scene as JSON; only four functions of its C interface are called. Nodes
carry a 4x4 matrix, animated ones keys of translation, rotation and scale. What FBX knows beyond
that of a rotation (pivots, pre- and post-rotations) Assimp puts into nodes of their own above the
joint; they move the joint and are no joints.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motions.errors import input_error
from motions.readers.raw import RawClip, ReadOptions, check_unique, read_bytes
from motions.resample import lerp_frames, slerp_frames
from motions.rotations import matrix_to_quat, quat_continuous, quat_normalize, quat_to_matrix

Array = NDArray[Any]

FBX_MAGIC = (b"Kaydara FBX Binary", b"; FBX")
CONVERT = (
    "convert it to BVH: in Blender File > Import > FBX, select the armature, "
    "File > Export > Motion Capture (.bvh)"
)
_PIVOT = "_$AssimpFbx$_"
_STILL = 1e-4
"""Of its distance from the origin that a node above a skeleton may move without being its root."""


@dataclass(eq=False)
class _Node:
    name: str
    matrix: Array
    parent: _Node | None
    children: list[_Node] = field(default_factory=list)

    @property
    def pivot(self) -> bool:
        return _PIVOT in self.name

    def below(self) -> list[_Node]:
        """The node and all under it, parents first."""
        return [self, *(node for child in self.children for node in child.below())]

    def joints(self) -> int:
        return sum(not node.pivot for node in self.below())


def read_fbx(path: Path, options: ReadOptions) -> RawClip:
    """Read the skeleton that has the most animated nodes, at the scene's frame rate.

    Keys between frames are interpolated linearly, rotations by slerp; of several animations the
    longest is read. Unit and up axis are left to detection. Raises `InputError`.
    """
    scene = _scene(path)
    warnings: list[str] = []
    animation = _longest(path, scene, warnings)
    root = _tree(scene["rootnode"], None)
    nodes = root.below()
    channels = {channel["name"]: channel for channel in animation["channels"]}
    rate, times = _times(path, animation)
    world = _world(nodes, channels, times)
    top = _skeleton(path, root, channels, world, warnings)
    joints = [node for node in top.below() if not node.pivot]
    names = [node.name.split(":")[-1] for node in joints]
    if len(set(names)) < len(names):
        names = [node.name for node in joints]
    check_unique(path, names)
    index = {id(node): k for k, node in enumerate(joints)}
    parents = [index.get(id(_above(node)), -1) for node in joints]
    matrices = np.stack([world[id(node)] for node in joints], axis=1)
    size = np.linalg.norm(matrices[..., :3, :3], axis=-2, keepdims=True)
    if not np.isfinite(matrices).all() or not (size > 0.0).all():
        raise input_error(path, "every transform must be finite and of some size")
    turns = matrices[..., :3, :3] / size
    if (np.linalg.det(turns) < 0.0).any():
        raise input_error(path, "the skeleton is mirrored", fix="export it without negative scale")
    return RawClip(
        path=path,
        format="fbx",
        fps=options.fps or rate,
        joint_names=tuple(names),
        parents=tuple(parents),
        pos=matrices[..., :3, 3],
        quat=quat_continuous(matrix_to_quat(turns)),
        report={"warnings": warnings} if warnings else {},
    )


# -- the scene ---------------------------------------------------------------------------------


class _String(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint32), ("data", ctypes.c_char * 1024)]


class _Blob(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_size_t),
        ("data", ctypes.c_void_p),
        ("name", _String),
        ("next", ctypes.c_void_p),
    ]


def _scene(path: Path) -> Mapping[str, Any]:
    if not read_bytes(path, 32).startswith(FBX_MAGIC):
        raise input_error(path, "this is no FBX file", fix="export the clip again")
    library = _library()
    if library is None:
        raise input_error(
            path,
            "reading FBX needs Assimp",
            fix=f"pip install 'humanoid-mimic[fbx]', or {CONVERT}",
        )
    scene = library.aiImportFile(os.fsencode(path), 0)
    if not scene:
        reason = library.aiGetErrorString().decode(errors="replace")
        raise input_error(path, f"Assimp cannot read this FBX: {reason}", fix=CONVERT)
    try:
        blob = library.aiExportSceneToBlob(scene, b"assjson", 0)
        if not blob:
            raise input_error(path, "Assimp cannot write this scene as JSON", fix=CONVERT)
        try:
            text = ctypes.string_at(blob.contents.data, blob.contents.size)
        finally:
            library.aiReleaseExportBlob(blob)
    finally:
        library.aiReleaseImport(scene)
    return json.loads(text.decode(errors="replace"))


@cache
def _library() -> ctypes.CDLL | None:
    """Assimp of the wheel, else of the system, else None."""
    found: list[str] = []
    try:
        files = distribution("cmeel-assimp").files or []
        found += [str(file.locate()) for file in files if file.name.startswith("libassimp.")]
    except PackageNotFoundError:
        pass
    system = ctypes.util.find_library("assimp")
    for name in [*found, *([system] if system else [])]:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.aiImportFile.restype = ctypes.c_void_p
        library.aiImportFile.argtypes = [ctypes.c_char_p, ctypes.c_uint]
        library.aiGetErrorString.restype = ctypes.c_char_p
        library.aiExportSceneToBlob.restype = ctypes.POINTER(_Blob)
        library.aiExportSceneToBlob.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint]
        library.aiReleaseExportBlob.argtypes = [ctypes.POINTER(_Blob)]
        library.aiReleaseExportBlob.restype = None
        library.aiReleaseImport.argtypes = [ctypes.c_void_p]
        library.aiReleaseImport.restype = None
        return library
    return None


def _longest(path: Path, scene: Mapping[str, Any], warnings: list[str]) -> Mapping[str, Any]:
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


def _tree(entry: Mapping[str, Any], parent: _Node | None) -> _Node:
    node = _Node(entry["name"], np.array(entry["transformation"]).reshape(4, 4), parent)
    node.children = [_tree(child, node) for child in entry.get("children", [])]
    return node


# -- motion ------------------------------------------------------------------------------------


def _times(path: Path, animation: Mapping[str, Any]) -> tuple[float, Array]:
    """Frames per second, and the frames' times in ticks.

    A tick is a frame of the scene; keys that come faster set the rate.
    """
    keys = [np.array([key[0] for key in c["rotationkeys"]]) for c in animation["channels"]]
    gaps = np.concatenate([np.diff(times) for times in keys])
    gap = float(np.median(gaps)) if len(gaps) else 1.0
    gap = gap if 0.0 < gap < 0.9 else 1.0
    start, stop = min(t.min() for t in keys), max(t.max() for t in keys)
    count = int(round((stop - start) / gap)) + 1
    if count < 2:
        raise input_error(path, "the animation has a single frame")
    return _ticks(animation) / gap, start + gap * np.arange(count)


def _world(
    nodes: list[_Node], channels: Mapping[str, Mapping[str, Any]], times: Array
) -> dict[int, Array]:
    """World matrices [T, 4, 4] of all nodes, by their id."""
    world: dict[int, Array] = {}
    for node in nodes:
        channel = channels.get(node.name)
        local = node.matrix if channel is None else _local(channel, times)
        above = np.eye(4) if node.parent is None else world[id(node.parent)]
        world[id(node)] = np.broadcast_to(above @ local, (len(times), 4, 4))
    return world


def _local(channel: Mapping[str, Any], times: Array) -> Array:
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


# -- the skeleton ------------------------------------------------------------------------------


def _above(node: _Node) -> _Node | None:
    """The joint above, pivots passed over."""
    parent = node.parent
    while parent is not None and parent.pivot:
        parent = parent.parent
    return parent


def _skeleton(
    path: Path,
    root: _Node,
    channels: Mapping[str, Any],
    world: Mapping[int, Array],
    warnings: list[str],
) -> _Node:
    """The topmost joint: below what holds the skeleton without being part of it."""

    def animated(node: _Node) -> int:
        return sum(each.name in channels for each in node.below())

    people = [child for child in root.children if animated(child)]
    if not people:
        raise input_error(path, "no animated skeleton is found", found=f"root {root.name}")
    if len(people) > 1:
        warnings.append(f"{len(people)} animated things found: the one with most joints is read")
    top = max(people, key=animated)
    while True:
        # Meshes lie beside a skeleton as single nodes.
        below = [c for c in top.children if animated(c) or c.joints() > 1]
        if not (top.pivot or (len(below) == 1 and _is_still(world[id(top)]))) or not below:
            return top
        top = max(below, key=animated)


def _is_still(matrices: Array) -> bool:
    """Whether a node stays where it is: a group or an armature, hardly a root."""
    reach = max(float(np.abs(matrices).max()), 1.0)
    return bool(np.ptp(matrices, axis=0).max() <= _STILL * reach)
