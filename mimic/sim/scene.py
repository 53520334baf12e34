"""Compose the simulated scene: the robot on a ground plane, with contact sensors."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco

from mimic_base.errors import MimicError
from robots import Robot
from robots.overlay import GROUND_CONTYPE

GROUND_FRICTION = 1.0
PHYSICS_HZ = 200.0
"""The rate policies are judged at; training may use a coarser one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """A compiled scene.

    Attributes:
        decimation: physics steps in a control step.
        contact_bodies: bodies whose contact force the engine reports, in sensor order.
    """

    robot: Robot
    model: mujoco.MjModel
    decimation: int
    contact_bodies: tuple[str, ...]

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
    for body in contact_bodies:
        sensor = spec.add_sensor(name=f"contact_{body}")
        sensor.type = mujoco.mjtSensor.mjSENS_CONTACT
        sensor.objtype = mujoco.mjtObj.mjOBJ_BODY
        sensor.objname = body
        # data = force only, reduce = net force of all contacts, one slot.
        sensor.intprm[0] = 1 << int(mujoco.mjtConDataField.mjCONDATA_FORCE)
        sensor.intprm[1] = 3
        sensor.intprm[2] = 1
    model = spec.compile()
    # Where inertial and body frame coincide MuJoCo takes a short cut that would ignore a
    # randomised body_ipos.
    model.body_sameframe[:] = int(mujoco.mjtSameFrame.mjSAMEFRAME_NONE)
    return Scene(
        robot=robot,
        model=model,
        decimation=decimation,
        contact_bodies=contact_bodies,
    )


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
