"""DeepMimic (Peng et al. 2018, arXiv 1804.02717) as in MimicKit: tracking by five kernels.

``r = 0.5 exp(-0.25 E_q) + 0.1 exp(-0.01 E_qd) + 0.15 exp(-5 E_root) + 0.1 exp(-E_vel)
+ 0.15 exp(-10 E_key)`` with errors summed over joints and end effectors
(``mimic.envs.mdp.deepmimic``), or their product without weights. The policy sees its own state and
the reference one, two and three frames later; with these it need not be told a phase. An episode
ends early where another body than a foot or a hand touches anything, a body is a metre from its
reference, or the base is far from its height.

Two things are this project's: the state is seen in the robot's own frames instead of the world's,
so that a policy does not learn which way is north; and the clip's end cuts an episode off, where
MimicKit gives the last state the value 0.
"""

from __future__ import annotations

from dataclasses import replace

from mimic.envs.environment import TaskConfig
from mimic.envs.mdp import deepmimic as d
from mimic.envs.mdp import future, observations, rewards, terminations
from mimic.envs.terms import ObservationTerm, RewardTerm, TerminationTerm
from mimic.tasks.tracking import tracking

STEPS = (0, 1, 2)
"""Frames of the reference that are seen: the coming one and two more, MimicKit's 1, 2 and 3."""
SCALES = {"pose": 0.25, "velocity": 0.01, "root_pose": 5.0, "root_velocity": 1.0, "key_body": 10.0}
WEIGHTS = {"pose": 0.5, "velocity": 0.1, "root_pose": 0.15, "root_velocity": 0.1, "key_body": 0.15}


def deepmimic() -> TaskConfig:
    """The sum of the five kernels."""
    base, o = tracking(), observations
    seen = {
        # First, so that an actor can pass the commanded pose on.
        "command": ObservationTerm(function=o.command),
        "target_root": ObservationTerm(function=d.target_root, parameters={"steps": STEPS}),
        "reference_frames": ObservationTerm(
            function=future.reference_frames, parameters={"steps": STEPS[1:]}
        ),
        "root_height": ObservationTerm(function=o.root_height),
        "projected_gravity": ObservationTerm(function=o.projected_gravity),
        "base_lin_vel": ObservationTerm(function=o.base_lin_vel),
        "base_ang_vel": ObservationTerm(function=o.base_ang_vel),
        "joint_pos": ObservationTerm(function=o.joint_pos),
        "joint_vel": ObservationTerm(function=o.joint_vel),
        "body_pos_b": ObservationTerm(function=o.body_pos_b),
    }
    kernels = {
        name: RewardTerm(
            function=d.kernel, weight=WEIGHTS[name], tracking=True,
            parameters={"error": name, "scale": SCALES[name]},
        )
        for name in SCALES
    }  # fmt: skip
    last = ObservationTerm(function=o.actions)
    ends = {name: base.terminations[name] for name in ("time_out", "clip_end")}
    return replace(
        base,
        task="deepmimic",
        observations={"actor": seen, "critic": {**seen, "actions": last}},
        rewards={
            **kernels,
            # No kernel of DeepMimic's says that actions should not jump; robots say so.
            "action_rate": RewardTerm(function=rewards.action_rate_l2, weight=-0.005),
            "joint_limit": RewardTerm(function=rewards.joint_limit, weight=-1.0),
        },
        terminations={
            **ends,
            "contact": TerminationTerm(function=d.touched_down, parameters={"threshold": 1.0}),
            "body_distance": TerminationTerm(
                function=terminations.max_body_distance, parameters={"threshold": 1.0}
            ),
            "root_height": TerminationTerm(
                function=terminations.root_height, parameters={"threshold": 0.4}
            ),
        },
    )


def deepmimic_product() -> TaskConfig:
    """Their product, which a policy cannot raise by one of them alone."""
    base = deepmimic()
    whole = RewardTerm(function=d.product, weight=1.0, tracking=True, parameters=SCALES)
    others = {name: each for name, each in base.rewards.items() if not each.tracking}
    return replace(base, task="deepmimic-product", rewards={"product": whole, **others})
