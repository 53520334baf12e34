"""Cut, mirror, join and loop robot motions, and make a deployable clip of them.

    python examples/02_edit_motion.py

Editing works on generalised coordinates (base pose and joint angles over time); `complete` computes
the body poses that training reads. On the command line: mimic motions edit FILE --out FILE ...
"""

from __future__ import annotations

import robots
from motions.human import demo
from motions.robot.completion import complete
from motions.robot.editing import crop, loop, mirror, ramp_in, ramp_out, stitch
from motions.robot.formats import trajectory_of
from retarget import retarget


def main() -> None:
    robot = robots.load("unitree_g1")
    walk = trajectory_of(retarget(demo.generate("walk"), robot, fps=50.0))
    squat = trajectory_of(retarget(demo.generate("squat"), robot, fps=50.0))

    # One after the other, aligned in place and heading, cross-faded over 0.4 s.
    routine = stitch(crop(walk, 1.0, 4.0), crop(squat, 0.5, None), 0.4)
    # From and to the robot's default pose, as a robot needs it.
    routine = ramp_out(ramp_in(routine, robot, 1.0), robot, 1.0)
    motion = complete(routine, robot)
    motion.save("routine.npz")
    print(f"routine.npz: {motion.num_frames / motion.fps:.1f} s, {motion.num_frames} frames")

    other = mirror(routine, robot)
    left, right = (robot.joint_names.index(f"{side}_knee_joint") for side in ("left", "right"))
    same = abs(other.joint_pos[:, left] - routine.joint_pos[:, right]).max() < 1e-9
    print(f"mirrored: the left knee does what the right one did: {same}")

    cycle = loop(crop(walk, 2.0, 4.5), 0.5)
    gap = abs(cycle.joint_pos[-1] - cycle.joint_pos[0]).max()
    print(f"cycle: first and last pose differ by {gap:.0e} rad")


if __name__ == "__main__":
    main()
