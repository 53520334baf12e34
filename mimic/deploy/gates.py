"""What has to be true before a robot moves: pure checks that refuse in one line."""

from __future__ import annotations

import numpy as np

from mimic.deploy.messages import RobotIdentity, RobotState, array
from mimic.deploy.modes import Mode
from mimic.deploy.trips import Moment, Thresholds, first_trip
from mimic.policy.contract import PolicyContract
from mimic_base.errors import MimicError, RobotError

RANGE_TOLERANCE = 0.02
"""rad by which a robot's range may exceed the one that the policy was trained with."""
EFFORT_TOLERANCE = 0.05
"""Share by which the motors of policy and robot may differ."""
STIFFEST = 40.0
"""Stiffness (N m/rad) per N m of the motor beyond which a gain is a mistake: the motor would be at
its limit 1.4 degrees from its target. Robotis OP3's servos have 36."""
START_TILT = 0.6
"""rad from upright within which a robot is made to stand."""
START_RANGE = 0.3
"""rad outside of its soft limits at which a joint may be found: beyond, its zero is wrong."""


def check_contract(contract: PolicyContract, identity: RobotIdentity, path: object) -> None:
    """Refuse a policy that was not made for this robot.

    Raises:
        MimicError: another name, joints, model, motors, ranges, or gains that no motor has.
    """

    def refuse(what: str, fix: str) -> None:
        raise MimicError(f"{path}: the policy does not fit robot '{identity.name}': {what}; {fix}")

    retrain = "train or export a policy for this robot"
    if contract.robot.name != identity.name:
        refuse(f"it is for '{contract.robot.name}'", f"name its robot, or {retrain}")
    missing = [name for name in contract.joint_names if name not in identity.joint_names]
    extra = [name for name in identity.joint_names if name not in contract.joint_names]
    if missing:
        refuse(f"the robot has no joint {', '.join(missing)}", retrain)
    if extra:
        refuse(f"it says nothing of joint {', '.join(extra)}", retrain)
    if identity.hash and identity.hash != contract.robot.hash:
        refuse(
            f"its model or gains differ ({contract.robot.hash} in the policy, {identity.hash} "
            "here)",
            retrain,
        )
    order = [contract.joint_names.index(name) for name in identity.joint_names]
    effort = np.asarray(contract.effort_limit)[order]
    kp, kd = np.asarray(contract.kp)[order], np.asarray(contract.kd)[order]
    lower, upper = np.asarray(contract.joint_lower)[order], np.asarray(contract.joint_upper)[order]
    off = np.abs(effort / array(identity.effort_limit) - 1.0)
    for joint, name in enumerate(identity.joint_names):
        if off[joint] > EFFORT_TOLERANCE:
            refuse(
                f"the motor of '{name}' has {array(identity.effort_limit)[joint]:g} N m, the "
                f"policy was trained with {effort[joint]:g}",
                retrain,
            )
        ours = array(identity.joint_lower)[joint], array(identity.joint_upper)[joint]
        if ours[0] < lower[joint] - RANGE_TOLERANCE or ours[1] > upper[joint] + RANGE_TOLERANCE:
            refuse(
                f"'{name}' moves within [{ours[0]:.3f}, {ours[1]:.3f}] rad, the policy was "
                f"trained within [{lower[joint]:.3f}, {upper[joint]:.3f}]",
                retrain,
            )
        if kp[joint] > STIFFEST * effort[joint] or kd[joint] > kp[joint]:
            refuse(
                f"the gains of '{name}' ({kp[joint]:g} N m/rad, {kd[joint]:g} N m s/rad) are none "
                f"for a motor of {effort[joint]:g} N m",
                "export the policy again",
            )


def check_observed(contract: PolicyContract, *, odometry: bool) -> None:
    """Refuse a policy that looks at what this robot does not measure.

    Args:
        odometry: whether the robot tells, or somebody estimates, place and velocity of its base.
    """
    needs = [each.name for each in contract.observations if each.name in NEED_ODOMETRY]
    if needs and not odometry:
        raise MimicError(
            f"the policy observes {' and '.join(needs)}, which this robot does not measure; "
            "estimate it, or use a policy of a task without state estimation"
        )


NEED_ODOMETRY = ("motion_anchor_pos_b", "base_lin_vel")
"""Observations of the base's place or velocity."""


def check_start(
    state: RobotState,
    identity: RobotIdentity,
    thresholds: Thresholds,
    rejected_in_row: int = 0,
    *,
    state_age: float = 0.0,
    tick_age: float = 0.0,
) -> None:
    """Refuse to begin with a robot that is not well, or that does not hang upright.

    Args:
        state_age: s since ``state`` came. tick_age: s for which its tick has been the same.

    Raises:
        RobotError: a trip answers already, another kind of robot, a joint outside of its range,
            or a base that leans.
    """
    if state.mode_machine != identity.mode_machine:
        raise RobotError(
            f"the robot calls itself mode_machine {state.mode_machine}, '{identity.name}' is "
            f"{identity.mode_machine}; name the robot that is there"
        )
    moment = Moment(
        mode=Mode.PASSIVE,
        identity=identity,
        state=state,
        state_age=state_age,
        tick_age=tick_age,
        rejected_in_row=rejected_in_row,
        mode_machine=identity.mode_machine,
        since_tick=0.0,
        silence=0.0,
        overruns=0,
        up_b=np.array([0.0, 0.0, 1.0]),
        off_reference=0.0,
        asked="",
    )
    trip, told = first_trip(moment, thresholds)
    if trip:
        raise RobotError(f"the robot is not ready to start: {told}; mend it and start again")
    joints = array(state.joint_pos)
    lower, upper = array(identity.joint_lower), array(identity.joint_upper)
    out = np.maximum(lower - joints, joints - upper)
    worst = int(np.argmax(out))
    if out[worst] > START_RANGE:
        raise RobotError(
            f"joint '{identity.joint_names[worst]}' is at {joints[worst]:.2f} rad, its range is "
            f"[{lower[worst]:.2f}, {upper[worst]:.2f}]; calibrate its zero and start again"
        )
    leans = lean(state)
    if leans > START_TILT:
        raise RobotError(
            f"the robot leans by {leans:.2f} rad, it starts within {START_TILT:g}; hang it "
            "upright and start again"
        )


def lean(state: RobotState) -> float:
    """rad between the base's vertical axis and the world's."""
    _, x, y, _ = array(state.imu_quat_w)
    return float(np.arccos(np.clip(1.0 - 2.0 * (x * x + y * y), -1.0, 1.0)))
