"""Packing and loading sets of many clips: CPU seconds and memory.

    python scripts/bench_pack.py --clips 1000 10000 100000 [--frames 100] [--scratch DIR]

Makes packs of generated clips of the G1 (2 s each, from memory: reading files is not measured),
then loads each in a process of its own, as training does: table of clips, library, start sampler,
4,096 random frames, and 4,096 queries between frames with four offsets.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO))

import robots  # noqa: E402
from motions import RobotMotion  # noqa: E402
from motions.robot.dataset import MotionFile, find_motion_files  # noqa: E402

DIFFERENT = 50
"""Clips that are really different; the set repeats them under other names."""
_CLIPS: list[RobotMotion] = []


@dataclass(frozen=True, kw_only=True)
class Generated(MotionFile):
    """A clip of the set that no file holds."""

    number: int

    def load(self) -> RobotMotion:
        return _CLIPS[self.number % DIFFERENT]


def make(path: Path, clips: int, frames: int) -> dict[str, float]:
    """Write a pack; CPU seconds, and the peak memory of this process, MiB."""
    from motions.robot.packing import write_pack

    robot = robots.load("unitree_g1")
    time_s = np.arange(frames) / 50.0
    root = np.tile([0.0, 0.0, 0.75], (frames, 1))
    upright = np.tile([1.0, 0.0, 0.0, 0.0], (frames, 1))
    for number in range(DIFFERENT):
        phase = number + np.arange(robot.num_joints)
        joints = robot.default_joint_pos + 0.1 * np.sin(time_s[:, None] + phase)
        _CLIPS.append(RobotMotion.from_coordinates(robot, root, upright, joints, fps=50.0))
    files = [
        Generated(
            path=Path(f"{n:06d}.npz"), name=f"set{n % 7}/{n:06d}", number=n, tags=("sway", "slow")
        )
        for n in range(clips)
    ]
    begin = time.process_time()
    write_pack(files, path, robot, shares={"validation": 0.05, "test": 0.05})
    return {"cpu_s": time.process_time() - begin, "peak_mib": _peak()}


def load(path: Path) -> dict[str, float]:
    """Load the training split; CPU seconds until each stage is done, and what memory grew by."""
    import torch

    from mimic.envs.motion_library import load_library
    from mimic.envs.sampling import SamplingConfig, StartSampler

    robot = robots.load("unitree_g1")
    torch.zeros(1)
    base, begin, found = _peak(), time.process_time(), {}

    def done(stage: str) -> None:
        found[f"{stage}_cpu_s"] = time.process_time() - begin
        found[f"{stage}_mib"] = _peak() - base

    files = find_motion_files([f"{path}:train"])
    done("table")
    library = load_library(files, robot, 50.0)
    sampler = StartSampler(SamplingConfig(), library, torch.Generator().manual_seed(0))
    done("library")
    clip, frame = sampler.draw(4096)
    library.gather(library.start[clip] + frame)
    done("gather")
    times = frame / 50.0 + 0.003
    again = time.process_time()
    for _ in range(5):
        library.at(clip, times, [0.0, 0.02, 0.1, 1.0])
    found["query_ms"] = 1e3 * (time.process_time() - again) / 5
    again = time.process_time()
    for _ in range(20):
        sampler.record(library.start[clip] + frame, frame % 50 == 0)
    found["record_ms"] = 1e3 * (time.process_time() - again) / 20
    return found


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clips", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--scratch", type=Path, help="folder for the packs; 1 kB a frame")
    parser.add_argument("--part", nargs=3, metavar=("make|load", "PATH", "CLIPS"))
    args = parser.parse_args()
    if args.part:
        way, path, clips = args.part
        done = make(Path(path), int(clips), args.frames) if way == "make" else load(Path(path))
        print(json.dumps(done))
        return
    heads = ("clips", "hours", "GiB", "pack", "MiB", "table", "library", "MiB", "query", "record")
    print("".join(f"{head:>9}" for head in heads) + "   (CPU s; query and record ms)")
    with tempfile.TemporaryDirectory(dir=args.scratch) as name:
        for clips in args.clips:
            path = Path(name) / "set.pack"
            made, loaded = (_part(way, path, clips, args.frames) for way in ("make", "load"))
            hours = clips * args.frames / 50 / 3600
            cells = (
                clips, hours, path.stat().st_size / 2**30, made["cpu_s"], made["peak_mib"],
                loaded["table_cpu_s"], loaded["library_cpu_s"], loaded["library_mib"],
                loaded["query_ms"], loaded["record_ms"],
            )  # fmt: skip
            print("".join(f"{cell:9.4g}" for cell in cells), flush=True)


def _part(way: str, path: Path, clips: int, frames: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--frames", str(frames), "--part", way, str(path)]
    done = subprocess.run([*command, str(clips)], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
