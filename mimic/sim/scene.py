"""Compose the simulated scene: the robot on a ground plane, with contact sensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import mujoco

from mimic_base.errors import MimicError
from robots import Robot
from robots.overlay import GROUND_CONTYPE

_FEET = ("left_foot", "right_foot")
GROUND_FRICTION = 1.0
PHYSICS_HZ = 200.0
"""The rate policies are judged at; training may use a coarser one."""


@dataclass(frozen=True)
class ContactPair:
    """Whose contact with whom: body names of the scene's model.

    Attributes:
        body: the force that acts on this body is reported.
        other: the body it is exerted by, or None for everything.
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
            (``engine.state.contacts``): the feet, and the hands where the robot has them.
    """

    robot: Robot
    model: mujoco.MjModel
    decimation: int
    contact_bodies: tuple[str, ...]
    contacts: Mapping[str, ContactPair]

    @property
    def physics_dt(self) -> float:
        return float(self.model.opt.timestep)

    @property
    def control_dt(self) -> float:
        return self.physics_dt * self.decimation


def make_scene(
    robot: Robot, *, control_hz: float = 50.0, physics_hz: float = PHYSICS_HZ, sensors: bool = True
) -> Scene:
    """Put ``robot`` on an infinite flat ground.

    Args:
        physics_hz: a multiple of ``control_hz``.
        sensors: add a contact sensor for each body with collision geometry, feet and hands apart.
    """
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
    ground = spec.worldbody.add_geom(
        name="ground", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[0.0, 0.0, 0.05]
    )
    ground.contype = GROUND_CONTYPE
    ground.conaffinity = 0
    ground.friction = [GROUND_FRICTION, 0.005, 0.0001]
    contact_bodies = undesired_contact_bodies(robot) if sensors else ()
    contacts = robot_contacts(robot) if sensors else {}
    for body in contact_bodies:
        _add_contact_sensor(spec, f"contact_{body}", ContactPair(body))
    for name, pair in contacts.items():
        _add_contact_sensor(spec, f"named_contact_{name}", pair)
    model = spec.compile()
    # Where inertial and body frame coincide MuJoCo takes a short cut that would ignore a
    # randomised body_ipos.
    model.body_sameframe[:] = int(mujoco.mjtSameFrame.mjSAMEFRAME_NONE)
    return Scene(
        robot=robot,
        model=model,
        decimation=decimation,
        contact_bodies=contact_bodies,
        contacts=MappingProxyType(contacts),
    )


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
