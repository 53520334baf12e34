"""Robots of other build than the G1: fewer hinges, other names and frames, thick feet."""

from __future__ import annotations

import numpy as np
import pytest

import robots
from motions import HumanMotion
from retarget import retarget
from retarget.page.picture import _body_sides
from retarget.solvers.normal import NormalEquations
from retarget.solvers.tree import BodyTree
from retarget.solvers.weights import ObjectiveWeights, bodies_between, rest_posture
from retarget.solvers.whole_clip.obstacles import Ground
from robots import Robot
from robots.collision import check_geometry
from robots.frames import robot_frames


@pytest.fixture(scope="module")
def h1() -> Robot:
    return robots.load("unitree_h1")


@pytest.fixture(scope="module")
def t1() -> Robot:
    return robots.load("booster_t1")


@pytest.mark.parametrize("name", ["unitree_h1", "booster_t1", "robotis_op3", "unitree_g1_23dof"])
def test_a_walk_comes_out_clean(name: str, walk: HumanMotion) -> None:
    robot = robots.load(name)
    quality = retarget(walk, robot).quality
    assert quality["any_geom_ground_pen"]["max_m"] < 2e-3
    assert quality["self_collision"]["max_depth_m"] < 1e-3
    assert quality["source_contact"]["skate_mean_mps"] < 0.02
    assert quality["source_contact"]["float_rate_3cm"] == 0.0
    assert quality["joint_limit"]["frame_rate"] == 0.0
    assert quality["velocity"]["over_own_limit_rate"] == 0.0
    assert quality["jumps"]["count"] == 0
    assert quality["fidelity"]["leg_deg"] < 4.0
    # OP3's arms cannot twist: a forearm that comes forward is out of its reach.
    assert quality["fidelity"]["arm_deg"] < (15.0 if name == "robotis_op3" else 2.5)


def test_hands_that_no_hinge_turns_follow_nothing(h1: Robot, t1: Robot, g1: Robot) -> None:
    both = frozenset({"left_hand", "right_hand"})
    assert robot_frames(h1).rigid == both and robot_frames(t1).rigid == both
    assert robot_frames(g1).rigid == frozenset()


def test_the_waist_is_found_whichever_end_floats(t1: Robot, g1: Robot) -> None:
    for robot, waist in ((t1, ["Waist"]), (g1, [j for j in g1.joint_names if "waist" in j])):
        model = robot.model
        pelvis, chest = (model.body(robot.human_map[role]).id for role in ("pelvis", "chest"))
        found = [
            model.joint(joint).name
            for body in bodies_between(model, chest, pelvis)
            for joint in range(
                model.body_jntadr[body], model.body_jntadr[body] + model.body_jntnum[body]
            )
        ]
        assert sorted(found) == sorted(waist)
        settings = ObjectiveWeights()
        _, weight = rest_posture(robot, settings)
        for joint in waist:
            assert weight[robot.joint_names.index(joint)] == settings.rest_waist


def test_sides_in_pictures_do_not_hang_on_names(t1: Robot, h1: Robot) -> None:
    sides = _body_sides(t1)
    assert sides["AL1"] == sides["Hip_Pitch_Left"] == sides["left_foot_link"] == "left"
    assert sides["AR3"] == sides["Ankle_Cross_Right"] == "right"
    assert not {"Trunk", "Waist", "H1", "H2"} & set(sides)
    assert _body_sides(h1)["left_wrist"] == "left"


def test_shapes_that_only_pairs_let_collide_are_checked_all_the_same() -> None:
    bodies = {hull.body for hull in check_geometry(robots.load("apptronik_apollo")).hulls}
    assert {"l_foot_link", "r_foot_link", "torso_link", "l_knee_fe_link"} <= bodies


def test_the_ground_lifts_a_thick_foot_by_its_lowest_edge(t1: Robot) -> None:
    """The upper edge of a toe under the ground comes up with the lower one and asks for nothing."""
    model, tree = t1.model, BodyTree(t1.model)
    joints = t1.default_joint_pos.copy()
    joints[t1.joint_names.index("Left_Ankle_Pitch")] += 0.5
    root = np.array([[0.0], [0.0], [t1.default_root_height]])
    pose = tree.pose(root, np.eye(3)[..., None], joints[:, None])
    foot = int(model.body("left_foot_link").id)
    ground = Ground(t1, 1)
    ground(NormalEquations(tree, pose), pose, np.array([0]))
    mine = np.repeat(ground.body, np.diff(ground.start)) == foot
    pushed = ground.points[:, mine & (ground.touching[0] & 1 == 1)]
    depths = -(pushed.T @ pose.mat[foot][..., 0].T + pose.pos[foot, :, 0] + root[:, 0])[:, 2]
    corners = np.array([[x, y, z] for x in (-0.1015, 0.1215) for y in (-0.05, 0.05)
                        for z in (-0.03, 0.0)])  # fmt: skip
    heights = (corners @ pose.mat[foot][..., 0].T + pose.pos[foot, :, 0])[:, 2] + root[2]
    assert (heights < -0.01).sum() >= 4  # both edges of the toe are under the ground
    assert len(depths) and min(depths) > 0.45 * max(depths)
