"""Measure a robot motion: contact, limits, smoothness, self-collision; and could it be done?

    python examples/03_quality.py [MOTION.npz]

Works on motions from anywhere, not only on those made here. `mimic retarget` writes the same
figures into every file it makes; docs/tour/1_clip_to_reference.md has their definitions.
"""

from __future__ import annotations

import sys

import robots
from motions import RobotMotion
from motions.human import demo
from motions.robot.dynamics.feasibility import check_dynamics
from retarget import measure, retarget


def main(path: str | None = None) -> None:
    robot = robots.load("unitree_g1")
    motion = RobotMotion.load(path) if path else retarget(demo.generate("walk"), robot, fps=50.0)

    root_pos, root_quat = motion.body_pos_w[:, 0], motion.body_quat_w[:, 0]
    # `contact` tells which foot of the source stands; without it only the robot's own soles count.
    stands = motion.contact > 0.5
    figures = measure(robot, motion.fps, root_pos, root_quat, motion.joint_pos, contact=stands)

    # Foot skate has two definitions, which differ most where swinging feet pass low.
    low, standing = figures["foot"]["skate_mean_mps"], figures["source_contact"]["skate_mean_mps"]
    print(f"skate of soles under 2 cm {100 * low:.2f} cm/s, of standing feet {100 * standing:.2f}")
    print(f"deepest point under the ground {1e3 * figures['any_geom_ground_pen']['max_m']:.1f} mm")
    speed = figures["velocity"]
    print(f"fastest joint {speed['worst_joint']}: {speed['max']:.1f} rad/s")
    print(f"joint jerk {figures['smooth']['mean_abs_jerk']:.0f} rad/s^3")

    # Inverse dynamics: forces that no foot on the ground could give, torques beyond the motors'.
    dynamics = check_dynamics(motion, robot)
    print(f"feasible frames: {100 * dynamics.feasible.mean():.0f} %")


if __name__ == "__main__":
    main(*sys.argv[1:])
