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
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz.mutations import PICKLED

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
    content = pickle.dumps(value, protocol)
    PICKLED[content] = (value, protocol)
    return Seed(name, content, {})


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
    omomo = io.BytesIO()
    np.save(omomo, test_positions._omomo_rows())
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
        Seed("omomo.npy", omomo.getvalue(), {}),
        _made(lambda folder: test_c3d._write(folder / "clip.c3d", markers)),
        Seed("clip.fbx", fbx, {}),
    )  # fmt: skip


@cache
def robot() -> tuple[Seed, ...]:
    """Robot motions in every format that is written, and as pickles of other tools."""
    import torch

    from motions.robot.formats import WRITTEN
    from tests.motions import test_robot_format_files as files

    trajectory = _moving()
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

    written = [
        _made(lambda folder, name=name: files.file_of(trajectory, folder, name))
        for name in WRITTEN
        if name != "robot-motion"
    ]
    return (
        *own(),
        *written,
        *(_pickled(f"gmr{protocol}.pkl", gmr, protocol) for protocol in (0, 2, 4, 5)),
        Seed("gmr.pt", out.getvalue(), {}),
    )


def _moving() -> Any:
    """A trajectory with the body poses of the robot's own kinematics."""
    import robots
    from motions.robot.completion import complete
    from motions.robot.formats.trajectory import BodyPoses
    from tests.motions import test_robot_format_files as files

    trajectory = files.walk(FRAMES)
    motion = complete(trajectory, robots.load("unitree_g1"), check=False)
    bodies = BodyPoses(names=motion.body_names, pos=motion.body_pos_w, quat=motion.body_quat_w)
    return replace(trajectory, bodies=bodies)


@cache
def own() -> tuple[Seed, ...]:
    """Robot motions in the program's own format, with and without objects."""
    import robots
    from mimic.benchmark.motion import squat

    def write(folder: Path) -> Path:
        squat(robots.load("unitree_g1"), seconds=1.0).crop(0, FRAMES).save(folder / "own.npz")
        return folder / "own.npz"

    return (_made(write),)


@cache
def model() -> tuple[Seed, ...]:
    """Robots' models, MJCF and URDF."""
    from tests.robots.stick_urdf import urdf

    return (
        Seed("stick.urdf", urdf().encode(), {}),
        Seed("stick.xml", _stick_mjcf(), {}),
    )


def _stick_mjcf() -> bytes:
    """The humanoid of boxes as MuJoCo writes it."""
    import mujoco

    from tests.robots.stick_urdf import urdf

    kept = '><mujoco><compiler fusestatic="false"/></mujoco>'
    spec = mujoco.MjSpec.from_string(urdf().replace(">", kept, 1))
    spec.body("base").add_freejoint()
    spec.compile()
    return spec.to_xml().encode()


@cache
def description() -> tuple[Seed, ...]:
    """A robot's description with its model, and the motion that is shown on it."""
    folder = REPO / "tests/robots"
    xml = {"tiny.xml": (folder / "tiny.xml").read_bytes()}
    return (Seed("tiny.toml", (folder / "tiny.toml").read_bytes(), xml),)


@cache
def scene() -> tuple[Seed, ...]:
    """Robot motions with objects and terrain."""
    import robots
    from motions import RobotMotion
    from motions.robot.objects import ObjectTracks
    from motions.robot.terrain_files import read_terrain

    robot = robots.load(str(REPO / "tests/robots/tiny.toml"))
    still = np.tile([1.0, 0.0, 0.0, 0.0], (FRAMES, 1))
    base = np.tile([0.0, 0.0, robot.default_root_height], (FRAMES, 1))
    tracks = ObjectTracks(
        names=("box", "ball"),
        pos_w=np.stack([base + [0.3, 0.0, 0.0], base + [0.0, 0.5, 0.1]], axis=1),
        quat_w=np.stack([still, still], axis=1),
    )
    shapes = {
        "box": {"shape": "box", "size": [0.2, 0.15, 0.15], "mass": 2.0, "friction": 0.9},
        "ball": {"shape": "sphere", "size": [0.1], "mass": 0.5},
        "wall": {"shape": "capsule", "size": [0.1, 1.0], "fixed": True, "pos": [2, 0, 0]},
    }

    def motion(name: str, spec: str, objects: ObjectTracks | None) -> Callable[[Path], Path]:
        def write(folder: Path) -> Path:
            RobotMotion.from_coordinates(
                robot, base, still, np.tile(robot.default_joint_pos, (FRAMES, 1)), fps=30.0,
                objects=objects,
                scene={"terrain": read_terrain(spec), "objects": shapes if objects else {}},
            ).save(folder / name)  # fmt: skip
            return folder / name

        return write

    return (
        _made(motion("box.npz", "steps:0.1,0.3,2", tracks)),
        _made(motion("rough.npz", "rough:size=2x2", None)),
        _made(motion("plain.npz", "flat", None)),
    )


@cache
def ground() -> tuple[Seed, ...]:
    """Files that ``--ground`` takes."""
    from motions.robot.terrain_files import read_terrain
    from tests.motions.test_grounds import CUBE, WEDGE

    boxes = {"terrain": read_terrain("steps:0.1,0.3,2")}
    heights = np.arange(12.0).reshape(3, 4) / 50.0
    return (
        Seed("steps.json", json.dumps(boxes).encode(), {}),
        Seed("slope.json", b'{"type": "slope", "angle": 0.1, "heading": 0.5}', {}),
        Seed("field.toml", b"""type = "height_field"
size = [2.0, 1.0]
heights = [[0.0, 0.1], [0.2, 0.1]]
pos = [0.5, 0.0]
""", {}),
        _saved("size.npz", heights=heights, size=np.array([2.0, 1.0]), pos=np.zeros(2)),
        _saved("spacing.npz", heights=heights, spacing=np.array(0.5), around=np.array(0.0)),
        Seed("box.obj", CUBE.encode(), {}),
        Seed("wedge.obj", WEDGE.encode(), {}),
        *scene(),
    )  # fmt: skip


@cache
def policy() -> tuple[Seed, ...]:
    """Policy files of both schemas; the contract is changed as JSON too (see `targets`)."""
    return (
        Seed("policy.onnx", (REPO / "tests/learning/first_schema/policy.onnx").read_bytes(), {}),
        Seed("demo.onnx", (REPO / "mimic/assets/policy_g1_demo.onnx").read_bytes(), {}),
        Seed("new.onnx", _tiny_policy(), {}),
    )


@cache
def checkpoint() -> tuple[Seed, ...]:
    """A checkpoint of the first schema, and what is made of it now with a contract."""
    import torch

    from mimic.learning.checkpoints import load_checkpoint

    file = REPO / "tests/learning/first_schema/checkpoints/last.pt"
    out = io.BytesIO()
    torch.save({**load_checkpoint(file), "contract": _contract().to_json()}, out)
    return (
        Seed("checkpoint.pt", file.read_bytes(), {}),
        Seed("second.pt", out.getvalue(), {}),
    )


def _contract() -> Any:
    """The contract of the first schema's policy in the present one."""
    from mimic.policy.contract import SCHEMA
    from mimic.policy.player import PolicyPlayer

    player = PolicyPlayer(REPO / "tests/learning/first_schema/policy.onnx")
    return replace(player.contract, schema=SCHEMA)


def _tiny_policy() -> bytes:
    """A policy file of the present schema: that of the old checkpoint, exported again."""
    import torch

    from mimic.learning.checkpoints import load_checkpoint
    from mimic.learning.loading import policy_of
    from mimic.policy.export import export_policy

    file = REPO / "tests/learning/first_schema/checkpoints/last.pt"
    policy = policy_of(load_checkpoint(file), file)
    contract = _contract()
    rows = torch.linspace(-1.0, 1.0, 4)[:, None].expand(4, contract.observation_size)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "policy.onnx"
        export_policy(policy, contract, rows, path)
        return path.read_bytes()


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
    text = '{"clip": "clip.bvh", "name": "one", "start": 0, "end": 0.2}\nclip.bvh\n'
    return (Seed("clips.jsonl", text.encode(), {"clip.bvh": clip}),)


@cache
def stream() -> tuple[Seed, ...]:
    """A live stream's lines."""
    from motions.human import demo
    from tests.retarget.stream_helpers import lines_of

    lines = lines_of(demo.generate("walk").crop(0, FRAMES))
    return (Seed("stream.jsonl", "\n".join(lines).encode() + b"\n", {}),)


@cache
def foreign() -> tuple[Seed, ...]:
    """Policies of mjlab's and holosoma's kind with a clip inside, of small networks."""
    import onnx

    from mimic.deploy.setup import SHIPPED_CLIP, SHIPPED_POLICY
    from mimic.policy.player import PolicyPlayer
    from motions import RobotMotion
    from tests.deploy.test_foreign import mjlab_metadata, small

    player = PolicyPlayer(SHIPPED_POLICY)
    contract = player.contract
    clip = player.reference(RobotMotion.load(SHIPPED_CLIP)).frame_fields()
    frames = {name: values[:FRAMES] for name, values in clip.items()}
    anchor = contract.body_names.index(contract.anchor_body)
    theirs = {
        "joint_pos": frames["joint_pos"],
        "joint_vel": frames["joint_vel"],
        "ref_pos_xyz": frames["body_pos_w"][:, anchor],
        "ref_quat_xyzw": frames["body_quat_w"][:, anchor][:, [1, 2, 3, 0]],
    }
    lists = (("dof_names", contract.joint_names), ("kp", contract.kp), ("kd", contract.kd))

    def written(folder: Path, name: str, size: int, tables: Any, metadata: Any) -> Path:
        model = onnx.load(small(folder / name, size, 29, tables))
        for key, value in metadata.items():
            model.metadata_props.add(key=key, value=value)
        onnx.save(model, folder / name)
        return folder / name

    return (
        _made(lambda folder: written(folder, "mjlab.onnx", 160, frames, mjlab_metadata(player))),
        _made(
            lambda folder: written(
                folder, "holosoma.onnx", 154, theirs, {k: json.dumps(list(v)) for k, v in lists}
            )
        ),
    )


@cache
def described() -> tuple[Seed, ...]:
    """What is said of a policy that says nothing itself: a TOML file, a deploy.yaml."""
    import yaml

    from tests.deploy.test_foreign import DESCRIBED, SIZE, description, small
    from tests.deploy.test_unitree_rl_lab import deploy_yaml, network

    def toml(folder: Path) -> Path:
        small(folder / "policy.onnx", SIZE, 4)
        return description(folder / "policy.toml", DESCRIBED)

    def lab(folder: Path) -> Path:
        network(folder / "policy.onnx", 480)
        text = yaml.dump(deploy_yaml(), default_flow_style=None, sort_keys=False)
        (folder / "deploy.yaml").write_text(text)
        return folder / "deploy.yaml"

    return (_made(toml, "policy.onnx"), _made(lab, "policy.onnx"))


@cache
def torchscript() -> tuple[Seed, ...]:
    """A network in TorchScript with its description beside it."""
    import warnings

    import torch

    from tests.deploy.test_foreign import SIZE, description

    def script(folder: Path) -> Path:
        description(folder / "policy.toml")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.jit.script(torch.nn.Linear(SIZE, 4)).save(str(folder / "legs.pt"))
        return folder / "legs.pt"

    return (_made(script, "policy.toml"),)


@cache
def live() -> tuple[Seed, ...]:
    """Poses as ``mimic stream --live`` sends them."""
    import robots
    from tests.deploy.test_live import header, line

    robot = robots.load("unitree_g1")
    lines = header(robot) + b"".join(line(robot, time=0.02 * k) for k in range(FRAMES))
    return (Seed("poses.jsonl", lines, {}),)
