"""Use a robot of your own: derive its description from an MJCF or URDF, look at it, retarget to it.

    python examples/04_add_robot.py [MY_ROBOT.urdf|MY_ROBOT.xml]

Without a file the vendor's model of the Booster T1 stands in, as if it were unknown. On the command
line: mimic robots add FILE
"""

from __future__ import annotations

import sys
from pathlib import Path

from motions.human import demo
from retarget import retarget
from robots.derive.add import add_robot
from robots.sources import menagerie_file


def main(file: str | None = None) -> None:
    model = Path(file) if file else menagerie_file("booster_t1", "t1.xml")[0]

    # Feet, limbs, soles, default pose and motors, each guess with its confidence and reason.
    added = add_robot(model, out=Path("mine.toml"), name="mine", overwrite=True)
    robot = added.robot
    print(f"{added.out} and {added.picture}: {robot.num_joints} hinges, feet {robot.feet}")
    print(f"left knee is {robot.human_map['left_knee']}, anchor is {robot.anchor_body}")

    # The file is all that any command needs: --robot mine.toml
    motion = retarget(demo.generate("squat"), robot, fps=30.0)
    figures = motion.quality
    print(f"squat: limb error {figures['fidelity']['limb_dir_err_mean_deg']:.1f} deg, "
          f"{figures['jumps']['count']} jumps")  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
