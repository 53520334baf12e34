"""Generalised forces that a reference's motion takes, by MuJoCo's inverse dynamics."""

from __future__ import annotations

from functools import lru_cache

import mujoco
import numpy as np

from mimic_base.signals import low_pass
from mimic_base.vectors import Array
from robots.robot import Robot


def coordinates(root_pos: Array, root_quat: Array, joint_pos: Array) -> Array:
    """qpos [T, 7 + J] of a floating robot."""
    return np.concatenate([root_pos, root_quat, joint_pos], axis=1)


def derivatives(
    model: mujoco.MjModel, qpos: Array, fps: float, cutoff_hz: float
) -> tuple[Array, Array]:
    """qvel and qacc [T, nv] of a trajectory by central differences on the configuration space.

    Differences amplify what is left of capture noise, hence the zero-phase filter on velocities.
    The ends repeat their neighbours.
    """
    step = np.zeros((len(qpos) - 1, model.nv))
    for t in range(len(step)):
        mujoco.mj_differentiatePos(model, step[t], 1.0 / fps, qpos[t], qpos[t + 1])
    step = low_pass(step, fps, cutoff_hz)
    acceleration = np.diff(step, axis=0) * fps
    velocity = 0.5 * (step[1:] + step[:-1])
    ends = ((1, 1), (0, 0))
    return np.pad(velocity, ends, mode="edge"), np.pad(acceleration, ends, mode="edge")


@lru_cache(maxsize=4)
def bare_model(robot: Robot) -> mujoco.MjModel:
    """The robot's masses and hinges without contacts, limits, damping or motors.

    Made once for each robot: leave it as it is.
    """
    spec = robot.spec()
    for actuator in list(spec.actuators):
        spec.delete(actuator)
    for joint in spec.joints:
        joint.damping = 0.0 * np.asarray(joint.damping)
        joint.frictionloss = 0.0
    model = spec.compile()
    model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_CONSTRAINT)
    return model


def required_forces(
    model: mujoco.MjModel, data: mujoco.MjData, qpos: Array, qvel: Array, qacc: Array
) -> Array:
    """Generalised forces [nv] of one frame: N and N m on the base, N m on the hinges.

    The rows of the base are what only contacts can provide: force in the world, then torque in the
    base's axes. `data` is left at the frame, with the poses of its bodies.
    """
    data.qpos[:], data.qvel[:], data.qacc[:] = qpos, qvel, qacc
    mujoco.mj_inverse(model, data)
    return np.array(data.qfrc_inverse)
