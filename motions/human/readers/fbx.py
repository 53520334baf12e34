"""FBX: the animated skeleton of a scene, through Assimp (extra `fbx`).

Assimp reads the file and writes the scene as JSON (`motions.human.readers.assimp`). Nodes carry a
4x4 matrix, animated ones keys of translation, rotation and scale. What FBX knows beyond
that of a rotation (pivots, pre- and post-rotations) Assimp puts into nodes of their own above the
joint; they move the joint and are no joints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.errors import input_error
from mimic_base.rotations import matrix_to_quat, quat_continuous
from motions.human.readers.assimp import read_scene
from motions.human.readers.fbx_keys import (
    check_keys,
    frame_times,
    local_matrices,
    longest_animation,
)
from motions.human.readers.raw import RawClip, ReadOptions, check_unique, read_bytes
from motions.human.readers.reader import Reader

Array = NDArray[Any]

FBX_MAGIC = (b"Kaydara FBX Binary", b"; FBX")
_PIVOT = "_$AssimpFbx$_"
_STILL = 1e-4
"""Share of its distance from the origin by which a node above a skeleton may move and still not
be the skeleton's root."""


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
        found: list[_Node] = []
        left: list[_Node] = [self]
        while left:
            node = left.pop()
            found.append(node)
            left += reversed(node.children)
        return found

    def joints(self) -> int:
        return sum(not node.pivot for node in self.below())


def read_fbx(path: Path, options: ReadOptions) -> RawClip:
    """Read the skeleton that has the most animated nodes, at the scene's frame rate.

    Keys between frames are interpolated linearly, rotations by slerp; of several animations the
    longest is read. Unit and up axis are left to detection. Raises `InputError`.
    """
    if not read_bytes(path, 32).startswith(FBX_MAGIC):
        raise input_error(path, "this is no FBX file", fix="export the clip again")
    scene = read_scene(path)
    warnings: list[str] = []
    animation = longest_animation(path, scene, warnings)
    for channel in animation["channels"]:
        check_keys(path, channel)
    root = _tree(scene["rootnode"])
    nodes = root.below()
    channels = {channel["name"]: channel for channel in animation["channels"]}
    rate, times = frame_times(path, animation)
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


def _tree(root: Mapping[str, Any]) -> _Node:
    top: list[_Node] = []
    left: list[tuple[Mapping[str, Any], _Node | None]] = [(root, None)]
    while left:
        entry, parent = left.pop()
        node = _Node(entry["name"], np.array(entry["transformation"]).reshape(4, 4), parent)
        (top if parent is None else parent.children).append(node)
        left += [(child, node) for child in reversed(entry.get("children", []))]
    return top[0]


# -- motion ------------------------------------------------------------------------------------


def _world(
    nodes: list[_Node], channels: Mapping[str, Mapping[str, Any]], times: Array
) -> dict[int, Array]:
    """World matrices [T, 4, 4] of all nodes, by their id."""
    world: dict[int, Array] = {}
    for node in nodes:
        channel = channels.get(node.name)
        local = node.matrix if channel is None else local_matrices(channel, times)
        above = np.eye(4) if node.parent is None else world[id(node.parent)]
        world[id(node)] = np.broadcast_to(above @ local, (len(times), 4, 4))
    return world


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


READER = Reader(
    name="fbx",
    extensions=(".fbx",),
    read=read_fbx,
    recognise=lambda start, _: start.startswith(FBX_MAGIC),
)
