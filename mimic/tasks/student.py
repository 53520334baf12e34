"""Tracking by a teacher that sees everything, and by a student that sees what a robot measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mimic.envs.environment import TaskConfig
from mimic.envs.mdp import future, observations, privileged
from mimic.envs.terms import ObservationTerm
from mimic.tasks.tracking import tracking

HISTORY = 5
"""Control steps of each measurement that a student sees."""
STUDENT_STEPS = (5, 10, 20)
"""Control steps beyond the coming frame at which a student sees the reference: up to 0.4 s."""
TEACHER_STEPS = (1, 2, 5, 10, 20, 40)
"""Those at which a teacher sees it: up to 0.8 s."""

Terms = Mapping[str, ObservationTerm]


def measured(history: int = HISTORY) -> dict[str, ObservationTerm]:
    """What gyroscope, accelerometer and encoders measure, and the last actions, each with history.

    The noise is BeyondMimic's (arXiv 2508.08241), that on gravity 0.05.
    """
    o = observations
    return {
        "base_ang_vel": ObservationTerm(function=o.base_ang_vel, noise=0.2, history=history),
        "projected_gravity": ObservationTerm(
            function=o.projected_gravity, noise=0.05, history=history
        ),
        "joint_pos": ObservationTerm(function=o.joint_pos, noise=0.01, history=history),
        "joint_vel": ObservationTerm(function=o.joint_vel, noise=0.5, history=history),
        "actions": ObservationTerm(function=o.actions, history=history),
    }


def commanded(steps: tuple[int, ...]) -> dict[str, ObservationTerm]:
    """The reference without its place and heading: the coming frame, and later ones."""
    return {
        "command": ObservationTerm(function=observations.command),
        "reference_root": ObservationTerm(function=future.reference_root),
        "reference_frames": ObservationTerm(
            function=future.reference_frames, parameters={"steps": steps}
        ),
    }


def everything() -> dict[str, ObservationTerm]:
    """The privileged view, without noise: true state and errors, contacts, later references, and
    the physics that was drawn."""
    o, p = observations, privileged
    return {
        **commanded(TEACHER_STEPS),
        "motion_anchor_pos_b": ObservationTerm(function=o.motion_anchor_pos_b),
        "motion_anchor_ori_b": ObservationTerm(function=o.motion_anchor_ori_b),
        "body_pos_b": ObservationTerm(function=o.body_pos_b),
        "body_ori_b": ObservationTerm(function=o.body_ori_b),
        "root_height": ObservationTerm(function=o.root_height),
        "projected_gravity": ObservationTerm(function=o.projected_gravity),
        "base_lin_vel": ObservationTerm(function=o.base_lin_vel),
        "base_ang_vel": ObservationTerm(function=o.base_ang_vel),
        "joint_pos": ObservationTerm(function=o.joint_pos),
        "joint_vel": ObservationTerm(function=o.joint_vel),
        "actions": ObservationTerm(function=o.actions),
        "foot_contacts": ObservationTerm(function=p.foot_contacts),
        "drawn_numbers": ObservationTerm(
            function=p.drawn_numbers, parameters={"names": ("foot_friction", "mass", "base_mass")}
        ),
        "drawn_vectors": ObservationTerm(
            function=p.drawn_vectors, parameters={"names": ("anchor_com", "base_com")}
        ),
        "drawn_joint_angles": ObservationTerm(
            function=p.drawn_joint_angles, parameters={"names": ("joint_default",)}
        ),
        "drawn_joint_factors": ObservationTerm(
            function=p.drawn_joint_factors,
            parameters={"names": ("kp", "kd", "motor_strength", "armature")},
        ),
    }


def teacher() -> TaskConfig:
    """The tracking task seen through everything that a simulation knows."""
    return replace(
        tracking(),
        task="tracking-teacher",
        observations={"actor": everything(), "critic": everything()},
    )


NOT_IMAGINED = (
    "foot_contacts", "drawn_numbers", "drawn_vectors", "drawn_joint_angles", "drawn_joint_factors",
)  # fmt: skip
"""What a teacher sees and a learnt model of the robot does not tell."""


def teacher_of_states() -> TaskConfig:
    """The teacher's task without contacts and drawn physics: all that it sees follows from the
    robot's state and the reference, so that the world-model trainer can imagine it."""
    seen = {name: term for name, term in everything().items() if name not in NOT_IMAGINED}
    return replace(
        tracking(),
        task="tracking-teacher-states",
        observations={"actor": seen, "critic": seen},
    )


def student() -> TaskConfig:
    """The tracking task seen through what a robot measures: no velocity of the base, no place, no
    heading. The critic sees what a teacher sees."""
    return replace(
        tracking(),
        task="tracking-student",
        observations={
            "actor": {**commanded(STUDENT_STEPS), **measured()},
            "critic": everything(),
        },
    )


def student_with_heading() -> TaskConfig:
    """The student's task with a compass: the actor also sees the reference anchor's orientation in
    the robot's own, which takes an estimate of the heading (an IMU's drifts slowly)."""
    base = student()
    ori = ObservationTerm(function=observations.motion_anchor_ori_b, noise=0.05)
    actor = {**base.observations["actor"], "motion_anchor_ori_b": ori}
    return replace(
        base,
        task="tracking-student-heading",
        observations={**base.observations, "actor": actor},
    )
