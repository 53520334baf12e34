"""Loading a motion library: seconds and peak memory, beside loading serially and joining after.

Makes synthetic clips of the G1 in a temporary folder, then loads them in processes of their own::

    python scripts/bench_library.py --clips 300 --seconds 20

`before` reads every clip one after the other, keeps all of them, and joins them then, as the loader
did before it filled its tensors in place; `now` is `load_library` with 1 thread and with more.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import robots
from mimic_base.frame_fields import FRAME_FIELDS
from motions import RobotMotion


def make_clips(folder: Path, clips: int, seconds: float, fps: float) -> None:
    """Swaying clips of the G1, no two alike; compressed as any motion file."""
    robot = robots.load("unitree_g1")
    rng = np.random.default_rng(0)
    time_s = np.arange(int(seconds * fps) + 1) / fps
    for number in range(clips):
        phase = rng.uniform(0, 2 * np.pi, robot.num_joints)
        sway = 0.1 * np.sin(2 * np.pi * 0.5 * time_s[:, None] + phase)
        joints = robot.default_joint_pos + sway + rng.normal(scale=1e-3, size=sway.shape)
        root = np.tile([0.0, 0.0, robot.default_root_height], (len(time_s), 1))
        upright = np.tile([1.0, 0.0, 0.0, 0.0], (len(time_s), 1))
        motion = RobotMotion.from_coordinates(robot, root, upright, joints, fps=fps)
        motion.save(folder / f"clip_{number:04d}.npz")


def load(folder: Path, way: str) -> dict[str, float]:
    """Load the folder; seconds, and the growth of the process's peak memory in MiB."""
    import torch

    from mimic.envs.motion_library import find_motion_files, load_library

    robot = robots.load("unitree_g1")
    files = find_motion_files([folder])
    torch.zeros(1)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    begin = time.perf_counter()
    if way == "before":
        clips = [RobotMotion.load(Path(file)) for file in files]
        order = [
            clip.resample(50.0)
            .with_joint_order(robot.joint_names)
            .with_body_order(robot.key_bodies)
            for clip in clips
        ]
        fields = {
            name: torch.as_tensor(
                np.concatenate([getattr(clip, name) for clip in order]).astype(np.float32)
            )
            for name in FRAME_FIELDS
        }
        table = torch.cat([values.flatten(1) for values in fields.values()], 1)
    else:
        library = load_library(files, robot, 50.0, workers=int(way))
        assert library.table is not None
        table = library.table
    spent = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - base
    return {"seconds": spent, "peak_mib": peak, "table_mib": table.nbytes / 2**20}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--clip-fps", type=float, default=30.0)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(load(options.folder, options.way)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_clips(folder, options.clips, options.seconds, options.clip_fps)
        of = f"{options.seconds:g} s at {options.clip_fps:g} fps"
        print(f"{options.clips} clips of {of} to 50 Hz")
        print(f"{'way':>12} {'seconds':>8} {'peak MiB':>9} {'table MiB':>10}")
        for way in ["before", *map(str, options.threads)]:
            command = [sys.executable, __file__, "--folder", str(folder), "--way", way]
            run = subprocess.run(command, capture_output=True, text=True, check=True)
            row = json.loads(run.stdout)
            title = way if way == "before" else f"{way} thread{'s' * (way != '1')}"
            print(
                f"{title:>12} {row['seconds']:8.2f} {row['peak_mib']:9.0f} {row['table_mib']:10.0f}"
            )


if __name__ == "__main__":
    main()
