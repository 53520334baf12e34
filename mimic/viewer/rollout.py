"""Plays a policy file against a reference in one simulated robot, step by step, without torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic.envs.failure import ROOT_HEIGHT, ROOT_TILT, root_errors
from mimic.policy.observations import Reference, RobotState
from mimic.policy.player import PolicyPlayer
from mimic.sim.scene import PHYSICS_HZ, Scene, SceneConfig, make_scene
from mimic.sim.single import SingleRobot
from mimic.sim.states import States
from mimic_base.errors import MimicError
from mimic_base.rotations import (
    quat_conj,
    quat_inv_rotate,
    quat_mul,
    quat_of_yaw,
    quat_rotate,
    yaw_of_quat,
)
from mimic_base.text import plain
from robots import Robot

Array = NDArray[Any]
SHOWN = 300
"""Characters of a policy's names that a refusal shows."""


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """What happened. T control frames, J joints in the robot's order, B key bodies.

    Attributes:
        states: [T] what the robot was, and the free objects of the scene.
        reference: [T] what it was asked to be.
        observations, actions: [T - 1, D], [T - 1, J] what the policy saw and answered.
        torques: [T - 1, J] N m, in the last physics step of each control step.
        key_body_error: [T] mean distance of the key bodies from the reference's, world, m.
        key_body_error_anchor: [T] the same after moving the reference to the robot's anchor: its
            place on the floor and its heading.
        joint_error: [T] mean absolute difference of the joints, rad.
        foot_contact: [T, 2] whether the left, right foot touches the ground.
        planned_s: length of the reference, s.
        failed_at: frame of the first failure, or None.
        failure: what failed.
        scene: what was around the robot; None for the bare floor.
    """

    robot: str
    clip: str
    control_dt: float
    states: States
    reference: States
    observations: Array
    actions: Array
    torques: Array
    key_body_error: Array
    key_body_error_anchor: Array
    joint_error: Array
    foot_contact: Array
    planned_s: float
    failed_at: int | None = None
    failure: str = ""
    scene: SceneConfig | None = None

    def drawn(self, frame: int, *, reference: bool = False) -> States:
        """The robot or its reference in a frame, and the free objects."""
        shown = self.states[frame]
        return self.reference[frame].beside(shown.objects) if reference else shown

    @property
    def success(self) -> bool:
        return self.failed_at is None

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the last."""
        return (len(self.states) - 1) * self.control_dt

    def summary(self) -> str:
        """One line for the console."""
        part, dt = self.judged, self.control_dt
        if self.failed_at is None:
            outcome = f"tracked all {self.duration:.1f} s"
        else:
            when = f"{self.failed_at * dt:.1f} of {self.planned_s:.1f} s"
            outcome = f"FAILED after {when} ({self.failure})"
        gone, wanted = farthest(self.states[part]), farthest(self.reference[part])
        if wanted > 0.2:
            outcome += f", went {gone:.2f} of {wanted:.2f} m"
        return (
            f"{self.clip or 'clip'}: {outcome}; key-body error "
            f"{1e3 * self.key_body_error[part].mean():.0f} mm in the world, "
            f"{1e3 * self.key_body_error_anchor[part].mean():.0f} mm relative to the anchor; "
            f"joint error {self.joint_error[part].mean():.3f} rad"
        )

    @property
    def judged(self) -> slice:
        """The frames that errors are averaged over: up to the failure."""
        return slice(0, None if self.failed_at is None else max(self.failed_at, 1))


def roll_out(
    player: PolicyPlayer,
    reference: Reference,
    robot: Robot,
    *,
    clip: str = "",
    scene: SceneConfig | None = None,
    progress: Callable[[int, int], None] | None = None,
    simulate: Callable[[Scene], SingleRobot] = SingleRobot,
) -> Rollout:
    """Track ``reference`` from its first frame to its last, deterministically.

    Nothing is disturbed: no noise, no pushes, nominal masses and friction. After a failure the
    simulation goes on, so that it can be watched; it ends early only where the state blows up.

    Args:
        reference: from ``player.reference`` or ``player.reference_inside``.
        robot: the policy's robot.
        scene: terrain and objects around the robot; the bare floor without it.
        progress: called with (frames done, of how many) after each control step.
        simulate: makes the robot that is stepped; MuJoCo's unless told otherwise.

    Raises:
        MimicError: another robot than the policy's.
    """
    contract = player.contract
    check_robot(player, robot)
    # The policy may have been trained on coarser physics than it is judged by.
    steps = max(
        round(contract.control_dt / contract.physics_dt),
        math.ceil(PHYSICS_HZ * contract.control_dt - 1e-6),
    )
    rate = 1.0 / contract.control_dt
    made = make_scene(robot, scene, control_hz=rate, physics_hz=steps * rate)
    ours = [contract.joint_names.index(name) for name in robot.joint_names]
    anchor = contract.body_names.index(contract.anchor_body)
    theirs = [robot.joint_names.index(name) for name in contract.joint_names]
    simulation = simulate(made)
    bodies = simulation.body_ids(contract.body_names)
    wanted = reference_states(player, reference, robot)
    frames, root = reference.num_frames, contract.body_names.index(contract.root_body)
    simulation.start(
        wanted[0],
        reference.body_lin_vel_w[0, root],
        quat_inv_rotate(wanted.root_quat_w[0], reference.body_ang_vel_w[0, root]),
        reference.joint_vel[0, ours],
    )

    record = _Record(player, reference, wanted, bodies)
    record.add(simulation, 0)
    player.restart()
    action = np.zeros(contract.num_joints)
    for t in range(frames - 1):
        measured = _measured(simulation, bodies, anchor, theirs)
        observation = player.observe(measured, reference, t, action)
        action = player.act(observation)
        simulation.step(player.joint_targets(action)[ours])
        fine = record.add(simulation, t + 1, observation, action[ours])
        if progress is not None:
            progress(t + 1, frames - 1)
        if not fine:
            break
    return record.finish(robot.name, clip, scene)


def check_robot(player: PolicyPlayer, robot: Robot) -> None:
    """Refuse a policy of another robot, or one whose joints or bodies this robot lacks."""
    contract = player.contract
    if contract.robot.name != robot.name:
        raise MimicError(
            f"{player.path}: the policy is for robot '{contract.robot.name}', "
            f"not for '{robot.name}'"
        )
    if set(contract.joint_names) != set(robot.joint_names):
        different = sorted(set(contract.joint_names) ^ set(robot.joint_names))
        raise MimicError(
            f"{player.path}: the joints of the policy and of robot '{robot.name}' differ: "
            f"{plain(', '.join(different), SHOWN)}"
        )
    missing = [name for name in contract.body_names if name not in robot.body_names]
    if missing:
        raise MimicError(
            f"{player.path}: robot '{robot.name}' has no body {plain(', '.join(missing), SHOWN)}"
        )
    if contract.root_body not in contract.body_names:
        raise MimicError(
            f"{player.path}: root_body '{contract.root_body}' is not among the contract's "
            "body_names, so the reference does not say where the robot is"
        )


def reference_states(player: PolicyPlayer, reference: Reference, robot: Robot) -> States:
    """The reference as states [T] of the robot."""
    contract = player.contract
    root = contract.body_names.index(contract.root_body)
    ours = [contract.joint_names.index(name) for name in robot.joint_names]
    return States(
        root_pos_w=reference.body_pos_w[:, root],
        root_quat_w=reference.body_quat_w[:, root],
        joint_pos=reference.joint_pos[:, ours],
    )


def farthest(states: States) -> float:
    """How far the base gets from where it started, on the floor, m."""
    place = states.root_pos_w[:, :2]
    return float(np.linalg.norm(place - place[0], axis=-1).max())


def _measured(
    simulation: SingleRobot, bodies: list[int], anchor: int, joints: list[int]
) -> RobotState:
    """What the policy's robot measures; ``joints``: the robot's in the contract's order."""
    state = simulation.state
    positions, quats = simulation.bodies(bodies)
    return RobotState(
        joint_pos=state.joint_pos[joints],
        joint_vel=simulation.joint_vel[joints],
        root_ang_vel_b=simulation.root_ang_vel_b,
        anchor_quat_w=quats[anchor],
        anchor_pos_w=positions[anchor],
        root_lin_vel_b=simulation.root_lin_vel_b,
        root_pos_w=state.root_pos_w,
        root_quat_w=state.root_quat_w,
        body_pos_w=positions,
        body_quat_w=quats,
    )


class _Record:
    """Collects a rollout frame by frame."""

    def __init__(
        self, player: PolicyPlayer, reference: Reference, wanted: States, bodies: list[int]
    ) -> None:
        contract = player.contract
        self._reference, self._wanted, self._bodies = reference, wanted, bodies
        self._states: list[States] = []
        self._anchor = contract.body_names.index(contract.anchor_body)
        self._dt = contract.control_dt
        self._rows: dict[str, list[Any]] = {
            name: []
            for name in (
                "observations", "actions", "torques", "key_body_error",
                "key_body_error_anchor", "joint_error", "foot_contact",
            )
        }  # fmt: skip
        self._failed_at: int | None = None
        self._failure = ""

    def add(
        self,
        simulation: SingleRobot,
        t: int,
        observation: Array | None = None,
        action: Array | None = None,
    ) -> bool:
        """Keep frame ``t`` and the step that led to it; False where the state has blown up."""
        if not simulation.fine:
            self._fail(t, "the simulation blew up")
            return False
        state = simulation.state
        positions, quats = simulation.bodies(self._bodies)
        wanted, wanted_quats = self._reference.body_pos_w[t], self._reference.body_quat_w[t]
        moved = to_anchor(wanted, wanted_quats, positions, quats, self._anchor)
        rows = self._rows
        self._states.append(state)
        rows["key_body_error"].append(np.linalg.norm(positions - wanted, axis=-1).mean())
        rows["key_body_error_anchor"].append(np.linalg.norm(positions - moved, axis=-1).mean())
        rows["joint_error"].append(np.abs(state.joint_pos - self._wanted.joint_pos[t]).mean())
        rows["foot_contact"].append(simulation.feet_on_ground())
        if observation is not None and action is not None:
            rows["observations"].append(observation)
            rows["actions"].append(action)
            rows["torques"].append(simulation.torques)
        self._judge(t, state)
        return True

    def _judge(self, t: int, state: States) -> None:
        wanted = self._wanted[t]
        height, tilt = root_errors(
            state.root_pos_w, state.root_quat_w, wanted.root_pos_w, wanted.root_quat_w
        )
        if height > ROOT_HEIGHT:
            self._fail(t, f"base height off by {height:.2f} m")
        elif tilt > ROOT_TILT:
            self._fail(t, f"base tilt off by {tilt:.2f}")

    def _fail(self, t: int, reason: str) -> None:
        if self._failed_at is None:
            self._failed_at, self._failure = t, reason

    def finish(self, robot: str, clip: str, scene: SceneConfig | None) -> Rollout:
        arrays = {name: np.array(values) for name, values in self._rows.items()}
        return Rollout(
            robot=robot,
            clip=clip,
            control_dt=self._dt,
            states=States.stack(self._states),
            reference=self._wanted[: len(self._states)],
            planned_s=(len(self._wanted) - 1) * self._dt,
            failed_at=self._failed_at,
            failure=self._failure,
            scene=scene,
            **arrays,
        )


def to_anchor(
    wanted: Array, wanted_quats: Array, positions: Array, quats: Array, anchor: int
) -> Array:
    """The reference's bodies [B, 3] moved to the robot's anchor: its place and heading."""
    turn = quat_of_yaw(yaw_of_quat(quat_mul(quats[anchor], quat_conj(wanted_quats[anchor]))))
    offset = wanted - wanted[anchor] * [1.0, 1.0, 0.0]
    return quat_rotate(turn, offset) + positions[anchor] * [1.0, 1.0, 0.0]
