"""Many motions as one data set: splits by content, one memory-mapped file, queries at any time.

    python examples/14_data_set.py

The file is written once and mapped by every process that trains; docs/howto/data_set.md.
"""

from __future__ import annotations

import torch

import robots
from mimic.envs.motion_library import find_motion_files, load_library
from mimic.envs.sampling import SamplingConfig, StartSampler
from motions.human import demo
from motions.robot.pack import MotionPack
from motions.robot.packing import write_pack
from retarget import retarget


def main() -> None:
    robot = robots.load("unitree_g1")
    for name in ("walk", "squat"):
        clip = demo.generate(name)
        for part in range(2):
            begin = part * clip.num_frames // 2
            piece = clip.crop(begin, begin + clip.num_frames // 2)
            retarget(piece, robot, fps=50.0).save(f"clips/{name}/{part}.npz")

    # Once: clips at one rate, end to end, each in a split by the hash of its content.
    shares = {"validation": 0.25}
    write_pack(find_motion_files(["clips"]), "set.pack", robot, shares=shares)
    print(MotionPack.open("set.pack").summary())

    # Training maps the file: --motion set.pack, or set.pack:train.
    library = load_library(find_motion_files(["set.pack"]), robot, 50.0)
    print(f"{library.num_clips} clips mapped: {library.mapped}")

    # Any times, with any offsets into the future, in one gather.
    sampler = StartSampler(SamplingConfig(), library, torch.Generator().manual_seed(0))
    clip, frame = sampler.draw(256)
    future = library.at(clip, frame / library.fps + 0.007, offsets=[0.0, 0.1, 0.5, 1.0])
    print(f"body positions {tuple(future['body_pos_w'].shape)}")


if __name__ == "__main__":
    main()
