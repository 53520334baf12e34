"""The simulated scene as data: a robot, terrain, objects and named contacts, and its model.

SceneConfig(
    terrain=Steps(rise=0.12),
    objects={"box": ObjectConfig(size=(0.2, 0.2, 0.15), mass=3.0, pos=(1.0, 0.0, 0.15))},
    contacts={"grip": ContactConfig(body="box", other="left_wrist_yaw_link")},
)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, overload

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from mimic.sim.objects import ObjectConfig, SceneObject, add_object, find_object
from mimic.sim.terrain import Plane, Terrain, TerrainSurface, add_terrain
from mimic_base.errors import MimicError
from robots import Robot

if TYPE_CHECKING:
    import torch

_FEET = ("left_foot", "right_foot")
PHYSICS_HZ = 200.0
"""The rate policies are judged at; training may use a coarser one."""


TERRAIN = "terrain"
"""In a ``ContactConfig``: everything of the terrain."""


@dataclass(frozen=True, kw_only=True)
class ContactConfig:
    """A contact whose force is reported by name, ``state.contacts[name].force``."""

    body: str
    """A body of the robot or an object: the force that acts on it is reported."""
    other: str | None = None
    """What exerts it: a body of the robot, an object or ``terrain``; None is everything."""


@dataclass(frozen=True, kw_only=True)
class SceneConfig:
    """What is around the robot, as plain data."""

    terrain: Terrain = field(default_factory=Plane)
    """What the robot stands on."""
    objects: Mapping[str, ObjectConfig] = field(default_factory=dict)
    """Objects by name."""
    contacts: Mapping[str, ContactConfig] = field(default_factory=dict)
    """Further named contacts; ``left_foot``, ``right_foot``, and ``left_hand``, ``right_hand``
    where the robot has hands, are always there."""


@dataclass(frozen=True)
class ContactPair:
    """Whose contact with whom: body names of the scene's model.

    Attributes:
        body: the force that acts on this body is reported.
        other: the body it is exerted by (``world`` is the terrain), or None for everything.
    """

    body: str
    other: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """A compiled scene.

    Attributes:
        decimation: physics steps in a control step.
        contact_bodies: bodies that should touch nothing; the engine reports the magnitude of the
            contact force on each (``engine.contact_force``), in this order.
        contacts: named contacts, whose force vectors the engine reports
            (``engine.state.contacts``): the feet, the hands where the robot has them, and what
            the configuration names.
        objects: where the objects are in the model.
        surface: the terrain's height.
    """

    robot: Robot
    model: mujoco.MjModel
    decimation: int
    contact_bodies: tuple[str, ...]
    contacts: Mapping[str, ContactPair]
    objects: Mapping[str, SceneObject]
    config: SceneConfig
    surface: TerrainSurface

    @overload
    def height(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor: ...
    @overload
    def height(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]: ...
    def height(self, x: Any, y: Any) -> Any:
        """Height (m) of the terrain over places [...] of the world, torch or numpy."""
        return self.surface.height(x, y)

    @property
    def coordinate_names(self) -> tuple[str, ...]:
        """What each generalised coordinate is: the base, joints and free objects of ``qpos``."""
        return self._named("{} {}", "{} quaternion {}", self.robot.joint_names, "wxyz")

    @property
    def velocity_names(self) -> tuple[str, ...]:
        """What each generalised velocity is, as ``coordinate_names``."""
        return self._named("{} velocity {}", "{} spin {}", self.robot.joint_names, "xyz")

    def _named(self, place: str, turn: str, joints: Sequence[str], axes: str) -> tuple[str, ...]:
        def free(name: str) -> list[str]:
            return [place.format(name, a) for a in "xyz"] + [turn.format(name, a) for a in axes]

        moving = [(each.qpos, name) for name, each in self.objects.items() if each.qpos is not None]
        others = [text for _, name in sorted(moving) for text in free(name)]
        return (*free("base"), *joints, *others)

    @property
    def physics_dt(self) -> float:
        return float(self.model.opt.timestep)

    @property
    def control_dt(self) -> float:
        return self.physics_dt * self.decimation


def make_scene(
    robot: Robot,
    config: SceneConfig | None = None,
    *,
    control_hz: float = 50.0,
    physics_hz: float = PHYSICS_HZ,
    sensors: bool = True,
) -> Scene:
    """Put ``robot`` into a scene; without a configuration on an infinite flat ground.

    The robot's bodies and coordinates come first in the model, in its own order; then those of the
    objects, in theirs. Who resets places the robot relative to ``scene.height``.

    Args:
        physics_hz: a multiple of ``control_hz``.
        sensors: report contact forces, of named contacts and of each body with collision geometry,
            feet and hands apart.

    Raises:
        MimicError: numbers that make no scene, names that are unknown or taken.
    """
    config = SceneConfig() if config is None else config
    decimation = round(physics_hz / control_hz)
    if decimation < 1 or abs(decimation * control_hz - physics_hz) > 1e-6 * physics_hz:
        raise MimicError(
            f"physics at {physics_hz:g} Hz does not fit control at {control_hz:g} Hz; "
            f"take a multiple, such as {max(1, decimation) * control_hz:g}"
        )
    spec = robot.spec()
    spec.option.timestep = 1.0 / physics_hz
    # A blown-up state must be seen and counted by the engine, not silently replaced.
    spec.option.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_AUTORESET)
    surface = TerrainSurface(config.terrain.parts())
    add_terrain(spec, surface.parts, config.terrain.friction)
    taken = {"world", TERRAIN, *robot.body_names, *robot.joint_names}
    for name, each in config.objects.items():
        if name in taken:
            raise MimicError(f"object '{name}': robot '{robot.name}' has that name; take another")
        add_object(spec, name, each.checked(name))
    contact_bodies = undesired_contact_bodies(robot) if sensors else ()
    contacts = _contacts(robot, config) if sensors else {}
    for body in contact_bodies:
        _add_contact_sensor(spec, f"contact_{body}", ContactPair(body))
    for name, pair in contacts.items():
        _add_contact_sensor(spec, f"named_contact_{name}", pair)
    try:
        model = spec.compile()
    except ValueError as error:
        raise MimicError(f"the scene cannot be built: {error}") from error
    # Where inertial and body frame coincide MuJoCo takes a short cut that would ignore a
    # randomised body_ipos.
    model.body_sameframe[:] = int(mujoco.mjtSameFrame.mjSAMEFRAME_NONE)
    return Scene(
        robot=robot,
        model=model,
        decimation=decimation,
        contact_bodies=contact_bodies,
        contacts=MappingProxyType(contacts),
        objects=MappingProxyType(
            {name: find_object(model, name, each) for name, each in config.objects.items()}
        ),
        config=config,
        surface=surface,
    )


def _contacts(robot: Robot, config: SceneConfig) -> dict[str, ContactPair]:
    """The robot's own named contacts and those of the configuration."""
    found = robot_contacts(robot)
    known = (*robot.body_names, *config.objects)
    for name, each in config.contacts.items():
        if name in found:
            raise MimicError(f"contact '{name}': every scene has one of that name; take another")
        if each.body not in known:
            raise MimicError(
                f"contact '{name}': body '{each.body}' is neither an object nor of robot "
                f"'{robot.name}'; there are: {', '.join(known)}"
            )
        if each.other is not None and each.other not in (*known, TERRAIN):
            raise MimicError(
                f"contact '{name}': other '{each.other}' is neither '{TERRAIN}', an object nor of "
                f"robot '{robot.name}'; there are: {', '.join(known)}"
            )
        found[name] = ContactPair(each.body, "world" if each.other == TERRAIN else each.other)
    return found


def _add_contact_sensor(spec: mujoco.MjSpec, name: str, pair: ContactPair) -> None:
    """Report the net force of all contacts of a pair, world axes, exerted BY ``pair.body``."""
    sensor = spec.add_sensor(name=name)
    sensor.type = mujoco.mjtSensor.mjSENS_CONTACT
    sensor.objtype = mujoco.mjtObj.mjOBJ_BODY
    sensor.objname = pair.body
    if pair.other is not None:
        sensor.reftype = mujoco.mjtObj.mjOBJ_BODY
        sensor.refname = pair.other
    # data = force only, reduce = net force of all contacts, one slot.
    sensor.intprm[0] = 1 << int(mujoco.mjtConDataField.mjCONDATA_FORCE)
    sensor.intprm[1] = 3
    sensor.intprm[2] = 1


def robot_contacts(robot: Robot) -> dict[str, ContactPair]:
    """Named contacts every scene has: ``left_foot, right_foot, left_hand, right_hand``.

    Feet are the robot's feet; hands are its end effectors at the wrists, where it has some. A hand
    that is a point without geometry stands for the body that carries it.
    """
    found = {side: ContactPair(foot) for side, foot in zip(_FEET, robot.feet, strict=True)}
    for side in ("left", "right"):
        wrist = robot.human_map.get(f"{side}_wrist")
        if wrist in robot.end_effectors and wrist not in robot.feet:
            found[f"{side}_hand"] = ContactPair(_carrier(robot.model, wrist))
    return found


def _carrier(model: mujoco.MjModel, name: str) -> str:
    """The body itself, or the body it is welded to where it has no collision geometry."""
    body = model.body(name).id
    weld = int(model.body_weldid[body])
    while body != weld and not _touches(model, body):
        body = int(model.body_parentid[body])
    return model.body(body).name


def _touches(model: mujoco.MjModel, body: int) -> bool:
    first = int(model.body_geomadr[body])
    geoms = slice(first, first + int(model.body_geomnum[body]))
    return bool((model.geom_conaffinity[geoms] | model.geom_contype[geoms]).any())


def undesired_contact_bodies(robot: Robot) -> tuple[str, ...]:
    """Bodies with collision geometry that should touch nothing: all but feet and hands."""
    model = robot.model
    touching = {
        model.body(model.geom_bodyid[geom]).name
        for geom in range(model.ngeom)
        if model.geom_conaffinity[geom] or model.geom_contype[geom]
    }
    allowed = set(robot.feet) | set(robot.end_effectors)
    return tuple(name for name in robot.body_names if name in touching - allowed)
