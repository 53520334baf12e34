"""Memory and time of a clip of 200,000 frames: read, retargeted in windows, converted, loaded.

    python scripts/bench_long_clip.py [--frames 200000] [--robot unitree_g1] [--windows 1024 4096]
        [--scratch /tmp/long_clip] [--against DIR] [--only TEXT] [--json FILE]

The clip is made of the project's generated clips, one after the other in an order drawn with a
fixed seed, each at another pace: each begins where the last one ended, standing. Every step is a
process of its own; told are its peak resident memory (the kernel's ``ru_maxrss``) and its user plus
system time. The results of all windows are compared to the last bit. With ``--against`` another
checkout does the steps too, window lengths left out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
FPS = 60.0
MIMIC = ("-m", "mimic.cli")


@dataclass(frozen=True)
class Spent:
    """What one process took: peak memory in MB, CPU and wall seconds, and its exit code."""

    step: str
    memory_mb: float
    cpu_s: float
    wall_s: float
    code: int


def make_clip(path: Path, frames: int, seed: int = 7) -> None:
    """Write a BVH file of so many frames at 60 frames/s, a piece at a time.

    A piece is one of the generated clips, played at 0.8 to 1.25 of its pace and turned and moved so
    that it goes on where the piece before ended.
    """
    import numpy as np
    from scipy.spatial.transform import Rotation, Slerp

    from motions.human import demo
    from motions.human.readers.bvh import read_channels

    rng = np.random.default_rng(seed)
    pieces, head = [], ""
    with tempfile.TemporaryDirectory() as folder:
        for name in demo.names():
            file = demo.write(name, Path(folder) / f"{name}.bvh")
            pieces.append(read_channels(file))
            head = file.read_text().partition("MOTION")[0]
    place, heading, left = np.zeros(2), 0.0, frames
    with path.open("w") as stream:
        stream.write(f"{head}MOTION\nFrames: {frames}\nFrame Time: {1.0 / FPS:.8f}\n")
        while left > 0:
            values = pieces[int(rng.integers(len(pieces)))]
            stride = float(rng.uniform(0.8, 1.25))
            at = np.arange(0.0, len(values) - 1, stride)
            low, share = at.astype(int), (at % 1.0)[:, None]
            moved = values[low] + share * (values[low + 1] - values[low])
            for joint in range(1, values.shape[1] // 3):
                column = slice(3 * joint, 3 * joint + 3)
                turns = Rotation.from_euler("ZXY", values[:, column], degrees=True)
                turns = Slerp(np.arange(len(values)), turns)(at)
                if joint == 1:
                    turns = Rotation.from_euler("Y", heading) * turns
                moved[:, column] = turns.as_euler("ZXY", degrees=True)
            # Seen from above, x to the right and z towards the reader, y turns z to x.
            c, s = np.cos(heading), np.sin(heading)
            start = values[0, [0, 2]]
            x, z = (moved[:, [0, 2]] - start).T
            moved[:, 0], moved[:, 2] = place[0] + c * x + s * z, place[1] - s * x + c * z
            moved = moved[:left]
            np.savetxt(stream, np.round(moved, 6) + 0.0, fmt="%.6f")
            place = moved[-1, [0, 2]]
            ahead = Rotation.from_euler("ZXY", moved[-1, 3:6], degrees=True).apply([0.0, 0.0, 1.0])
            heading = float(np.arctan2(ahead[0], ahead[2]))
            left -= len(moved)


def run(step: str, repo: Path, arguments: Sequence[str]) -> Spent:
    """Run Python in a checkout; its memory is that of this one child, waited for by its number."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=repo, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(repo), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert process.stderr is not None
    error = process.stderr.read().decode(errors="replace")
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = code = os.waitstatus_to_exitcode(status)
    spent = Spent(
        step, usage.ru_maxrss / 1024.0, usage.ru_utime + usage.ru_stime,
        time.perf_counter() - started, code,
    )  # fmt: skip
    print(
        f"{step:44} {spent.memory_mb:8.0f} MB {spent.cpu_s:8.1f} s CPU {spent.wall_s:8.1f} s"
        + ("" if code == 0 else f"   exit {code}: {error.strip()[-300:]}"),
        flush=True,
    )
    return spent


READ = "import sys; from motions import read_human_motion as r; print(r(sys.argv[1]).num_frames)"
RETARGET = (
    "import sys, robots; from motions import read_human_motion as r; from retarget import retarget;"
    "clip, robot, out, window = sys.argv[1:];"
    "retarget(r(clip), robots.load(robot), window=int(window)).save(out)"
)
LOAD = (
    "import sys, robots; from mimic.envs.motion_library import load_library as l; "
    "print(l([sys.argv[1]], robots.load(sys.argv[2]), 50.0).num_frames)"
)


def digest(path: Path) -> str:
    """Hash of the arrays of a motion file, its clip's name apart."""
    import numpy as np

    found = hashlib.sha256()
    with np.load(path, allow_pickle=False) as archive:
        for name in sorted(set(archive.files) - {"name"}):
            found.update(name.encode())
            found.update(archive[name].tobytes())
    return found.hexdigest()[:16]


def main() -> int:
    """Make the clip, run the steps, compare the bits; 0 when all ended well and alike."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=200_000)
    parser.add_argument("--robot", default="unitree_g1")
    parser.add_argument("--windows", type=int, nargs="*", default=[1024, 4096])
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()) / "long_clip")
    parser.add_argument("--against", type=Path, help="another checkout, beside this one")
    parser.add_argument("--only", default="", help="steps whose name holds this text")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    sys.path.insert(0, str(REPO))
    options.scratch.mkdir(parents=True, exist_ok=True)
    clip = options.scratch / f"walk_{options.frames}.bvh"
    if not clip.exists():
        make_clip(clip, options.frames)
    print(f"{clip}: {options.frames} frames, {clip.stat().st_size / 1e6:.0f} MB", flush=True)
    spent: list[Spent] = []

    def step(name: str, repo: Path, *arguments: str) -> None:
        if options.only in name:
            spent.append(run(name, repo, arguments))

    digests: dict[str, str] = {}
    for repo in [each for each in (options.against, REPO) if each is not None]:
        own = repo == REPO
        mark = "" if own else f" ({repo.name})"
        step(f"read{mark}", repo, "-c", READ, str(clip))
        motion = options.scratch / f"motion{mark.strip()}.npz"
        step(f"retarget{mark}", repo, *MIMIC, "retarget", str(clip), "--robot", options.robot,
             "--out", str(motion))  # fmt: skip
        for window in options.windows if own else []:
            out = options.scratch / f"motion_{window}.npz"
            step(f"retarget, window of {window}", repo, "-c", RETARGET, str(clip), options.robot,
                 str(out), str(window))  # fmt: skip
            if out.exists():
                digests[str(window)] = digest(out)
        if own and motion.exists():
            digests["as chosen"] = digest(motion)
        folder = options.scratch / f"converted{mark.strip()}"
        if not motion.exists():
            continue
        motions = (*MIMIC, "motions")
        step(f"info{mark}", repo, *motions, "info", str(motion))
        step(f"convert to trajectory{mark}", repo, *motions, "convert", str(motion), "--out",
             str(folder / "trajectory"))  # fmt: skip
        step(f"convert with the robot{mark}", repo, *motions, "convert", str(motion), "--robot",
             options.robot, "--out", str(folder / "robot"))  # fmt: skip
        step(f"pack{mark}", repo, *motions, "pack", str(motion), "--robot", options.robot,
             "--out", str(folder / "motion.pack"))  # fmt: skip
        step(f"into a motion library at 50 Hz{mark}", repo, "-c", LOAD, str(motion), options.robot)
    if len(digests) > 1:
        same = len(set(digests.values())) == 1
        print(f"bits of {len(digests)} window lengths: {'equal' if same else f'DIFFER {digests}'}")
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(each) for each in spent], indent=1))
    return int(any(each.code for each in spent) or len(set(digests.values())) > 1)


if __name__ == "__main__":
    sys.exit(main())
