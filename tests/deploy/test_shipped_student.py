"""The shipped student: a file that plays alone and needs nothing but what a robot measures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mimic
import robots
from mimic.deploy.check import ladder
from mimic.deploy.gates import check_observed
from mimic.policy.player import PolicyPlayer
from mimic.viewer.rollout import farthest, roll_out

STUDENT = Path(mimic.__file__).parent / "assets" / "policy_g1_student.onnx"


@pytest.fixture(scope="module")
def player() -> PolicyPlayer:
    return PolicyPlayer(STUDENT)


def test_it_observes_what_a_robot_measures(player: PolicyPlayer) -> None:
    check_observed(player.contract, odometry=False)
    seen = {term.name: term.history for term in player.contract.observations}
    assert {"base_ang_vel", "projected_gravity", "joint_pos", "joint_vel", "actions"} <= set(seen)
    assert not {"motion_anchor_pos_b", "motion_anchor_ori_b", "base_lin_vel"} & set(seen)
    assert seen["joint_vel"] == 5


def test_it_walks_its_clip(player: PolicyPlayer) -> None:
    rollout = roll_out(player, player.reference_inside(), robots.load("unitree_g1"))
    assert rollout.success
    assert farthest(rollout.states) > 0.85 * farthest(rollout.reference)
    assert np.mean(rollout.key_body_error_anchor) < 0.04


def test_it_goes_through_the_wire_of_a_robot_that_tells_no_place(player: PolicyPlayer) -> None:
    for rung in ladder(STUDENT):
        if rung.name == "without odometry":
            assert rung.go, rung.why
            return
    pytest.fail("no rung without odometry")
