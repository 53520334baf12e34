"""Objects of a scene as data, and their variants between environments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import mujoco
import numpy as np

from mimic.sim.errors import EngineError
from mimic_base.errors import MimicError
from robots.foreign import check_mesh
from robots.overlay import GROUND_CONTYPE

if TYPE_CHECKING:
    import torch

    from mimic.sim.engine import Engine

_OF_C_ALONE = ("dof_M0",)
"""Fields derived from masses that only MuJoCo's C code looks at."""
LARGEST_GROWTH = 4.0
"""How many times its configured extent an object may have in some environment."""
Shape = Literal["box", "sphere", "cylinder", "capsule", "mesh"]
_SIZES: Mapping[str, tuple[int, str]] = {
    "box": (3, "half lengths along x, y, z"),
    "sphere": (1, "radius"),
    "cylinder": (2, "radius, half length along z"),
    "capsule": (2, "radius, half length of the straight part along z"),
    "mesh": (0, "nothing: the file has it"),
}
_GEOMS = {
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
    "mesh": mujoco.mjtGeom.mjGEOM_MESH,
}


@dataclass(frozen=True, kw_only=True)
class ObjectConfig:
    """An object beside the robot: one shape, free to move or fixed in the world."""

    shape: Shape = "box"
    """box, sphere, cylinder, capsule or mesh (collides as its convex hull)."""
    size: tuple[float, ...] = ()
    """m; box: three half lengths; sphere: radius; cylinder and capsule: radius and half length
    along z (of the straight part); mesh: none."""
    mesh: str = ""
    """File of a mesh: .obj or .stl."""
    mesh_scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Factors on the mesh file's coordinates, which are then metres."""
    mass: float = 1.0
    """kg, spread evenly over the volume; of no importance where fixed."""
    fixed: bool = False
    """Part of the furniture: it does not move and has no coordinates."""
    pos: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Where it begins, m, world; the centre of a primitive."""
    quat: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)
    """How it is turned there, wxyz."""
    friction: float = 1.0
    """Sliding friction; a contact has the larger one of the two, feet rule theirs."""
    rgba: tuple[float, float, float, float] = (0.76, 0.55, 0.33, 1.0)
    """Colour in pictures."""

    def checked(self, name: str) -> ObjectConfig:
        """Return the configuration itself.

        Raises:
            MimicError: values that make no object called ``name``.
        """
        if self.shape not in _SIZES:
            raise MimicError(
                f"object '{name}': shape is '{self.shape}', expected {', '.join(_SIZES)}"
            )
        count, meaning = _SIZES[self.shape]
        if len(self.size) != count or not all(value > 0.0 for value in self.size):
            raise MimicError(
                f"object '{name}': size of a {self.shape} is {meaning} (m, above zero), "
                f"got {tuple(self.size)}"
            )
        if self.shape == "mesh" and not Path(self.mesh).is_file():
            raise MimicError(f"object '{name}': mesh file '{self.mesh}' does not exist")
        if not self.mass > 0.0:
            raise MimicError(f"object '{name}': mass must be greater than zero, got {self.mass}")
        if not 0.99 < sum(value * value for value in self.quat) < 1.01:
            raise MimicError(
                f"object '{name}': quat must be a unit quaternion wxyz, got {self.quat}"
            )
        return self


@dataclass(frozen=True, kw_only=True)
class SceneObject:
    """Where an object is in the compiled model.

    Attributes:
        body, geom: their numbers in ``scene.model``.
        qpos, qvel: first of its seven, six generalised coordinates; None where fixed.
    """

    config: ObjectConfig
    body: int
    geom: int
    qpos: int | None
    qvel: int | None


def add_object(spec: mujoco.MjSpec, name: str, config: ObjectConfig) -> None:
    """Add a checked object's body to the world of a model."""
    body = spec.worldbody.add_body(name=name, pos=list(config.pos), quat=list(config.quat))
    if not config.fixed:
        body.add_freejoint(name=name)
    geom = body.add_geom(name=name, type=_GEOMS[config.shape])
    if config.shape == "mesh":
        # The scene of a motion file may name any file.
        check_mesh(Path(config.mesh), config.mesh_scale)
        spec.add_mesh(
            name=f"object_{name}", file=str(Path(config.mesh).resolve()),
            scale=list(config.mesh_scale),
        )  # fmt: skip
        geom.meshname = f"object_{name}"
    else:
        size = np.zeros(3)
        size[: len(config.size)] = config.size
        geom.size = size
    geom.mass = config.mass
    # Touches the ground and other objects by its conaffinity, the robot by its contype.
    geom.contype = geom.conaffinity = GROUND_CONTYPE
    geom.friction = [config.friction, 0.005, 0.0001]
    geom.condim = 3
    geom.rgba = list(config.rgba)


def find_object(model: mujoco.MjModel, name: str, config: ObjectConfig) -> SceneObject:
    """Look up where an added object has come to be in the compiled model, which may vary in size.

    MuJoCo's C code keeps a tree of boxes around the geoms of a body that cannot differ between
    environments: its only leaf is made as large as the object may become.
    """
    model.bvh_aabb[model.body_bvhadr[model.body(name).id], 3:] *= LARGEST_GROWTH
    joint = None if config.fixed else model.joint(name)
    return SceneObject(
        config=config,
        body=int(model.body(name).id),
        geom=int(model.geom(name).id),
        qpos=None if joint is None else int(joint.qposadr[0]),
        qvel=None if joint is None else int(joint.dofadr[0]),
    )


def vary_object(
    engine: Engine,
    name: str,
    env_ids: torch.Tensor,
    *,
    mass: torch.Tensor | None = None,
    size: torch.Tensor | None = None,
) -> None:
    """Give an object another mass or size in some environments.

    Mass, inertia, the extent that collision detection looks at and the constants from which
    MuJoCo derives the stiffness of contacts change together. The object keeps its pose: a larger
    box on the floor is to be lifted by whoever resets. All engines can do it but that in another
    process; MJX compiles its program again after the first change.

    Args:
        env_ids: [n]. mass: [n] kg.
        size: [n, 3 | 1 | 2] m, as in ``ObjectConfig.size``, up to ``LARGEST_GROWTH`` times that;
            not of a mesh.

    Raises:
        MimicError: no such object, values that are no size or mass.
        EngineError: the engine cannot vary a model field.
    """
    import torch

    scene = engine.scene
    if name not in scene.objects:
        have = ", ".join(scene.objects) or "none"
        raise MimicError(f"the scene has no object '{name}'; it has: {have}")
    found = scene.objects[name]
    count = len(found.config.size)
    if size is not None and (count == 0 or tuple(size.shape) != (len(env_ids), count)):
        shape = found.config.shape
        raise MimicError(
            f"object '{name}': sizes of a {shape} must have the shape {(len(env_ids), count)}, "
            f"got {tuple(size.shape)}" if count else f"object '{name}': a mesh has one size only"
        )  # fmt: skip
    for what, values in (("mass", mass), ("size", size)):
        if values is not None and not bool((values > 0.0).all()):
            raise MimicError(f"object '{name}': {what} must be greater than zero in every one")

    def change(field: str, index: int, values: torch.Tensor) -> None:
        try:
            everyone = engine.model_field(field)
        except EngineError:
            if field in _OF_C_ALONE:
                return
            raise
        shape = (len(env_ids), *everyone.shape[2:])
        everyone[env_ids, index] = values.to(everyone).reshape(shape)
        engine.write_model_field(field, everyone)

    if size is not None:
        padded = torch.zeros(len(env_ids), 3, dtype=size.dtype, device=size.device)
        padded[:, :count] = size
        half = _half_extent(found.config.shape, padded)
        nominal = torch.tensor(scene.model.geom_aabb[found.geom, 3:], device=half.device)
        if bool((half > LARGEST_GROWTH * nominal.to(half)).any()):
            raise MimicError(
                f"object '{name}': a size is more than {LARGEST_GROWTH:g} times the configured "
                f"{found.config.size}; configure a larger object and shrink it"
            )
        change("geom_size", found.geom, padded)
        change("geom_rbound", found.geom, _bounding_radius(found.config.shape, padded))
        box = torch.cat([torch.zeros_like(half), half], -1)
        change("geom_aabb", found.geom, box)
    if found.qpos is None or found.qvel is None:
        return
    weight = (engine.model_field("body_mass")[env_ids, found.body] if mass is None else mass).to(
        torch.float64
    )
    if found.config.shape == "mesh":
        nominal = torch.as_tensor(scene.model.body_inertia[found.body].copy(), device=weight.device)
        inertia = nominal * (weight / found.config.mass)[:, None]
    else:
        lengths = engine.model_field("geom_size")[env_ids, found.geom].to(torch.float64)
        inertia = inertia_of(found.config.shape, lengths, weight)
    change("body_mass", found.body, weight)
    change("body_subtreemass", found.body, weight)
    change("body_inertia", found.body, inertia)
    # A free body's inverse weight: one over the mass, and the mean of one over the inertia.
    inverse = torch.stack([1.0 / weight, (1.0 / inertia).mean(-1)], -1)
    change("body_invweight0", found.body, inverse)
    # MuJoCo takes the mass matrix of a lone free body from the model, where it keeps that.
    for axis in range(6):
        diagonal = weight if axis < 3 else inertia[:, axis - 3]
        change("dof_M0", found.qvel + axis, diagonal)
        change("dof_invweight0", found.qvel + axis, inverse[:, axis // 3])


def inertia_of(shape: str, size: torch.Tensor, mass: torch.Tensor) -> torch.Tensor:
    """Principal moments of inertia [n, 3] kg m^2 of solid bodies about their centres.

    Args:
        size: [n, 3] m as MuJoCo's ``geom_size``. mass: [n] kg.
    """
    import torch

    a, b, c = size.unbind(-1)
    if shape == "box":
        moments = [b * b + c * c, a * a + c * c, a * a + b * b]
        return mass[:, None] / 3.0 * torch.stack(moments, -1)
    if shape == "sphere":
        return (0.4 * mass * a * a)[:, None].expand(-1, 3)
    if shape == "cylinder":
        across = mass * (3.0 * a * a + 4.0 * b * b) / 12.0
        return torch.stack([across, across, 0.5 * mass * a * a], -1)
    # A capsule: a cylinder of height 2 b and two half balls, by their share of the volume.
    tube, ball = 2.0 * b, 4.0 / 3.0 * a
    ball_mass = mass * ball / (tube + ball)
    tube_mass = mass - ball_mass
    along = 0.5 * tube_mass * a * a + 0.4 * ball_mass * a * a
    across = tube_mass * (3.0 * a * a + 4.0 * b * b) / 12.0
    across = across + ball_mass * (0.4 * a * a + b * b + 0.75 * a * b)
    return torch.stack([across, across, along], -1)


def _half_extent(shape: str, size: torch.Tensor) -> torch.Tensor:
    """[n, 3] half lengths of the box around a shape in its own frame."""
    import torch

    a, b, _ = size.unbind(-1)
    if shape == "box":
        return size
    if shape == "sphere":
        return torch.stack([a, a, a], -1)
    return torch.stack([a, a, b if shape == "cylinder" else a + b], -1)


def _bounding_radius(shape: str, size: torch.Tensor) -> torch.Tensor:
    """[n] radius of the ball around a shape."""
    import torch

    a, b, _ = size.unbind(-1)
    if shape == "box":
        return torch.linalg.vector_norm(size, dim=-1)
    if shape == "sphere":
        return a
    return torch.hypot(a, b) if shape == "cylinder" else a + b
