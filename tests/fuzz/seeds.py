"""Sound files of every kind that the program reads, small, made by its own code.

What they are damaged into is the matter of `mutations`; which command reads them that of `targets`.
"""

from __future__ import annotations

import gzip
import io
import json
import pickle
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

REPO = Path(__file__).resolve().parents[2]
FRAMES = 16


@dataclass(frozen=True)
class Seed:
    """A sound input.

    Attributes:
        name: of the file that is damaged. content: its bytes.
        beside: further files, by name, some of which are damaged in its place.
    """

    name: str
    content: bytes
    beside: Mapping[str, bytes]


def _made(write: Callable[[Path], Path], *beside: str) -> Seed:
    """What `write` puts into a folder: the path it returns, and others of that folder."""
    with tempfile.TemporaryDirectory() as name:
        path = write(Path(name))
        others = {other: (path.parent / other).read_bytes() for other in beside}
        return Seed(path.name, path.read_bytes(), others)


def _saved(name: str, **arrays: Any) -> Seed:
    out = io.BytesIO()
    np.savez(out, **arrays)
    return Seed(name, out.getvalue(), {})


def _pickled(name: str, value: Any, protocol: int) -> Seed:
    return Seed(name, pickle.dumps(value, protocol), {})


@cache
def human() -> tuple[Seed, ...]:
    """Human clips in every format."""
    import ezc3d  # noqa: F401  (the extra that has tests)
    import torch

    from motions.human import demo
    from motions.human.skeletons.layouts import BY_NAME
    from motions.human.writers.bvh import write_bvh
    from tests.motions import test_c3d, test_landmarks, test_positions, test_readers, test_smpl
    from tests.motions.people import walk

    def bvh(folder: Path) -> Path:
        write_bvh(demo.generate("walk").crop(0, FRAMES), folder / "clip.bvh")
        return folder / "clip.bvh"

    lafan = BY_NAME["lafan22"]
    positions = walk(lafan, FRAMES)
    smpl = {
        "poses": test_smpl._poses()[:FRAMES].astype(np.float32),
        "trans": test_smpl._trans()[:FRAMES],
        "betas": np.zeros(16),
        "mocap_framerate": np.array(60.0),
        "gender": "male",
    }
    npy = io.BytesIO()
    np.save(npy, positions.astype(np.float32))
    torch_file = io.BytesIO()
    torch.save(
        {
            part: {key: torch.as_tensor(value) for key, value in values.items()}
            for part, values in test_smpl._gvhmr().items()
        },
        torch_file,
    )
    markers = {name: path[:FRAMES] for name, path in test_c3d._markers().items()}
    fbx = gzip.decompress((REPO / "tests/motions/step.fbx.gz").read_bytes())
    return (
        _made(bvh),
        _made(bvh),
        _made(test_readers.write_asf_amc, "07.asf"),
        _made(lambda folder: test_readers.write_deepmimic(
            folder / "clip.txt", test_readers.deepmimic_frames())),
        _saved("lafan.npz", global_joint_positions=positions, fps=np.array(30.0)),
        _saved("named.npz", positions=positions, joint_names=np.array(lafan.joint_names),
               parents=np.array(lafan.parents), fps=30.0),
        Seed("positions.npy", npy.getvalue(), {}),
        _saved("amass.npz", **smpl),
        *(_pickled(f"smpl{protocol}.pkl", smpl, protocol) for protocol in (0, 2, 4, 5)),
        _pickled("wham.pkl", test_smpl._wham(), 4),
        _pickled("glamr.pkl", test_smpl._glamr(), 3),
        Seed("gvhmr.pt", torch_file.getvalue(), {}),
        _saved("landmarks.npz", world_landmarks=test_landmarks._walk(30)[0], fps=30.0),
        _saved("omomo.npz", rows=test_positions._omomo_rows(), fps=30.0),
        _made(lambda folder: test_c3d._write(folder / "clip.c3d", markers)),
        Seed("clip.fbx", fbx, {}),
    )  # fmt: skip


@cache
def robot() -> tuple[Seed, ...]:
    """Robot motions in every format that is written, and as pickles of other tools."""
    import torch

    import robots
    from mimic.benchmark.motion import squat
    from motions.robot.formats import WRITTEN
    from tests.motions import test_robot_format_files as files

    trajectory = files.walk(FRAMES, bodies=True)
    gmr = {
        "fps": 30.0,
        "root_pos": trajectory.root_pos,
        "root_rot": np.roll(trajectory.root_quat, -1, axis=1),
        "dof_pos": trajectory.joint_pos.astype(np.float32),
        "local_body_pos": None,
        "link_body_list": None,
    }
    out = io.BytesIO()
    torch.save(
        {key: torch.as_tensor(v) for key, v in gmr.items() if isinstance(v, np.ndarray)}, out
    )

    def own(folder: Path) -> Path:
        squat(robots.load("unitree_g1"), seconds=1.0).crop(0, FRAMES).save(folder / "own.npz")
        return folder / "own.npz"

    written = [
        _made(lambda folder, name=name: files.file_of(trajectory, folder, name))
        for name in WRITTEN
        if name != "robot-motion"
    ]
    return (
        _made(own),
        *written,
        *(_pickled(f"gmr{protocol}.pkl", gmr, protocol) for protocol in (0, 2, 4, 5)),
        Seed("gmr.pt", out.getvalue(), {}),
    )


@cache
def model() -> tuple[Seed, ...]:
    """Robots' models, MJCF and URDF."""
    from tests.robots.stick_urdf import urdf

    return (
        Seed("stick.urdf", urdf().encode(), {}),
        Seed("tiny.xml", (REPO / "tests/robots/tiny.xml").read_bytes(), {}),
    )


@cache
def description() -> tuple[Seed, ...]:
    """A robot's description with its model, and the motion that is shown on it."""
    folder = REPO / "tests/robots"
    xml = {"tiny.xml": (folder / "tiny.xml").read_bytes()}
    return (Seed("tiny.toml", (folder / "tiny.toml").read_bytes(), xml),)


@cache
def policy() -> tuple[Seed, ...]:
    """Policy files of both schemas; the contract is changed as JSON too (see `targets`)."""
    return (
        Seed("policy.onnx", (REPO / "tests/learning/first_schema/policy.onnx").read_bytes(), {}),
    )


@cache
def checkpoint() -> tuple[Seed, ...]:
    """A checkpoint of the first schema in its run."""
    folder = REPO / "tests/learning/first_schema"
    file = next((folder / "checkpoints").glob("*.pt"))
    return (Seed("checkpoint.pt", file.read_bytes(), {}),)


@cache
def configuration() -> tuple[Seed, ...]:
    """The configuration of a run."""
    from mimic.learning.config import RunConfig
    from mimic.tasks.registry import task_config

    config = RunConfig(task=task_config("tracking"))
    return (Seed("config.json", json.dumps(config.to_plain()).encode(), {}),)


@cache
def manifest() -> tuple[Seed, ...]:
    """Lists of robot motions, as JSON lines and as a table."""
    own = robot()[0].content
    rows = [
        {"file": "a.npz", "weight": 1.0, "tags": ["walk"], "split": "train"},
        {"file": "b.npz", "weight": 2.0, "split": "validation"},
    ]
    lines = "\n".join(json.dumps(row) for row in rows) + "\n"
    table = "file,weight,split\na.npz,1,train\nb.npz,2,validation\n"
    beside = {"a.npz": own, "b.npz": own}
    return (
        Seed("set.jsonl", lines.encode(), beside),
        Seed("set.csv", table.encode(), beside),
    )


@cache
def pack() -> tuple[Seed, ...]:
    """A set of motions in one file."""
    import robots
    from motions.robot.dataset import find_motion_files
    from motions.robot.packing import write_pack

    def make(folder: Path) -> Path:
        for name in ("a", "b"):
            (folder / f"{name}.npz").write_bytes(robot()[0].content)
        files = find_motion_files([folder])
        write_pack(files, folder / "set.pack", robots.load("unitree_g1"))
        return folder / "set.pack"

    return (_made(make),)


@cache
def batch() -> tuple[Seed, ...]:
    """A list of human clips for a batch."""
    clip = human()[0].content
    text = '{"clip": "clip.bvh", "name": "one", "start": 0, "end": 0.3}\nclip.bvh\n'
    return (Seed("clips.jsonl", text.encode(), {"clip.bvh": clip}),)


@cache
def stream() -> tuple[Seed, ...]:
    """A live stream's lines."""
    from motions.human import demo
    from tests.retarget.stream_helpers import lines_of

    lines = lines_of(demo.generate("walk").crop(0, FRAMES))
    return (Seed("stream.jsonl", "\n".join(lines).encode() + b"\n", {}),)
