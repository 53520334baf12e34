"""Lighter meshes for drawing: a vendor's meshes are finer than a pixel of a video."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError


@dataclass(frozen=True)
class Mesh:
    """Vertices [V, 3] (m, in the frame of the mesh file) and triangles [F, 3]."""

    vertices: NDArray[np.float64]
    faces: NDArray[np.int64]

    def write_to(self, target: mujoco.MjsMesh) -> None:
        """Put the triangles into a mesh of a specification, in place of its file."""
        target.file = ""
        target.scale = np.ones(3)
        target.uservert = self.vertices.astype(np.float32).ravel()
        target.userface = self.faces.astype(np.int32).ravel()
        # Simplified surfaces may be open: only a shell's inertia is always defined.
        target.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL


def compiled_mesh(model: mujoco.MjModel, index: int) -> Mesh:
    """The mesh as it stands in its file: compiling moves it to its principal axes."""
    first, count = model.mesh_vertadr[index], model.mesh_vertnum[index]
    turn = np.zeros(9)
    mujoco.mju_quat2Mat(turn, model.mesh_quat[index])
    vertices = model.mesh_vert[first : first + count] @ turn.reshape(3, 3).T
    first_face, faces = model.mesh_faceadr[index], model.mesh_facenum[index]
    return Mesh(
        vertices + model.mesh_pos[index],
        model.mesh_face[first_face : first_face + faces].astype(np.int64),
    )


def simplified(mesh: Mesh, cell: float) -> Mesh:
    """Merge the vertices that share a cube of side ``cell`` (m) and drop what becomes flat."""
    cubes = np.floor(mesh.vertices / cell).astype(np.int64)
    _, merged, size = np.unique(cubes, axis=0, return_inverse=True, return_counts=True)
    merged = merged.ravel()
    vertices = np.stack(
        [np.bincount(merged, mesh.vertices[:, axis]) / size for axis in range(3)], axis=1
    )
    faces = merged[mesh.faces]
    a, b, c = faces.T
    faces = faces[(a != b) & (b != c) & (a != c)]
    _, first = np.unique(np.sort(faces, axis=1), axis=0, return_index=True)
    faces = faces[np.sort(first)]
    return Mesh(vertices, faces) if len(faces) >= 4 else mesh


def hull(mesh: Mesh, scale: float = 1.0) -> Mesh:
    """Convex hull, triangles wound outwards, scaled about its middle; flat meshes unchanged."""
    try:
        shape = ConvexHull(mesh.vertices)
    except QhullError:
        return mesh
    faces = np.array(shape.simplices, dtype=np.int64)
    corners = mesh.vertices[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    inward = np.sum(normal * shape.equations[:, :3], axis=1) < 0
    faces[inward] = faces[inward][:, ::-1]
    kept, renumbered = np.unique(faces, return_inverse=True)
    vertices = mesh.vertices[kept]
    middle = vertices.mean(axis=0)
    return Mesh(middle + scale * (vertices - middle), renumbered.reshape(faces.shape))
