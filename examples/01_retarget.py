"""Retarget a clip of a person to a robot, in Python: one call, a motion file, its figures.

    python examples/01_retarget.py [CLIP] [OUT.npz]

CLIP is any human motion that can be read (docs/human_motion_formats.md); without one a generated
walk is taken. The same on the command line: mimic retarget CLIP --robot unitree_g1 --out OUT.npz
"""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

import robots
from motions import RobotMotion, read_human_motion
from motions.human import demo
from retarget import quality_table, retarget


def main(clip: str | None = None, out: str = "walk.npz") -> None:
    human = read_human_motion(clip) if clip else demo.generate("walk")
    robot = robots.load("unitree_g1")

    # Everything has a default: the clip's own frame rate, all frames solved at once.
    motion = retarget(human, robot, fps=50.0)
    motion.save(Path(out))

    # What was written is read back with names, and knows how good it is.
    again = RobotMotion.load(out)
    joints = len(again.joint_names)
    print(f"{out}: {again.num_frames} frames of {joints} joints at {again.fps:g} Hz")
    Console().print(quality_table(again.quality))
    skate = again.quality["source_contact"]["skate_mean_mps"]
    print(f"standing feet slide at {100 * skate:.1f} cm/s")


if __name__ == "__main__":
    main(*sys.argv[1:])
