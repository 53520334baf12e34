"""What reads a file of a stranger: commands of the program, and the functions behind the rest."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz import seeds
from tests.fuzz.mutations import mild, mutate
from tests.fuzz.seeds import Seed

Damage = Callable[[bytes, random.Random], bytes]


@dataclass(frozen=True)
class Target:
    """A way into the program.

    Attributes:
        seeds: makes the sound inputs. read: takes the damaged file in the working folder, and may
            write only below ``out`` there; an exit code, or an exception as a user would meet it.
        damage: how content is damaged; by default as `mutations` does.
        share: how often it is drawn, relative to the others: starting a process of its own is dear.
        several: whether it refuses several files of one run, a line each.
        reports: whether it tells of parts that it could not use and of its work before it refuses
            the rest.
    """

    seeds: Callable[[], tuple[Seed, ...]]
    read: Callable[[Path], int | None]
    damage: Damage = mutate
    share: float = 1.0
    several: bool = False
    reports: bool = False


def _mimic(*arguments: object) -> int:
    from mimic.cli import run

    return run([str(each) for each in arguments])


def _finite(path: Path) -> None:
    """Raise where an array of numbers of an archive that the program wrote is not finite."""
    with np.load(path) as arrays:
        for key in arrays.files:
            if arrays[key].dtype.kind in "fc" and not np.isfinite(arrays[key]).all():
                raise ArithmeticError(f"{path.name}: {key} is not finite")


def _human(path: Path) -> None:
    from motions.human.readers import read_human_motion

    motion = read_human_motion(path, fps=30.0)
    for values in (motion.pos_w, motion.quat_w):
        if values is not None and not np.isfinite(values).all():
            raise ArithmeticError("a pose is not finite")


def _retarget(path: Path) -> int:
    code = _mimic("retarget", path, "--source-fps", 30, "--out", "out/result.npz")
    if code == 0:
        _finite(Path("out/result.npz"))
    return code


def _as_it_says(path: Path) -> int:
    """Without saying the rate: the file's own is read."""
    code = _mimic("retarget", path, "--out", "out/result.npz")
    if code == 0:
        _finite(Path("out/result.npz"))
    return code


def _convert(path: Path) -> int:
    options = ("--fps", 30) if path.suffix in (".csv", ".pkl", ".pt") else ()
    code = _mimic("motions", "convert", path, "--robot", "unitree_g1", "--out", "out", *options)
    if code == 0:
        for file in Path("out").glob("*.npz"):
            _finite(file)
    return code


def _load_motion(path: Path) -> None:
    from motions import RobotMotion

    motion = RobotMotion.load(path)
    for name in ("joint_pos", "joint_vel", "body_pos_w", "body_quat_w"):
        if not np.isfinite(getattr(motion, name)).all():
            raise ArithmeticError(f"{name} is not finite")


def _load_scene(path: Path) -> None:
    """A motion with all that goes with it, at another rate too."""
    from motions import RobotMotion
    from motions.robot.terrain import ground_of

    for motion in (RobotMotion.load(path), RobotMotion.load(path).resample(50.0)):
        for name in ("joint_pos", "object_pos_w", "object_quat_w"):
            if not np.isfinite(getattr(motion, name)).all():
                raise ArithmeticError(f"{name} is not finite")
        _heights(ground_of(motion.scene))


def _ground(path: Path) -> None:
    from motions.robot.terrain import ground_of
    from motions.robot.terrain_files import read_terrain

    _heights(ground_of({"terrain": read_terrain(str(path))}))


def _heights(ground: Any) -> None:
    places = np.linspace(-2.0, 2.0, 40)
    heights = ground.height(places, places[::-1] / 3.0)
    if not (np.isfinite(heights).all() and np.isfinite(ground.normal(places, places)).all()):
        raise ArithmeticError("a height is not finite")


def _on_ground(path: Path) -> int:
    """A sound clip on a ground from a file."""
    clip = seeds.human()[0]
    Path("out/clip.bvh").write_bytes(clip.content)
    code = _mimic("retarget", "out/clip.bvh", "--ground", path, "--out", "out/result.npz")
    if code == 0:
        _finite(Path("out/result.npz"))
    return code


TINY = seeds.REPO / "tests/robots/tiny.toml"


def _check(path: Path) -> int:
    return _mimic("motions", "check", path, "--robot", TINY, "--json", "out/report.json")


def _edit(path: Path) -> int:
    code = _mimic("motions", "edit", path, "--robot", TINY, "--out", "out/result.npz",
                  "--time-scale", 1.5, "--start", 0.05)  # fmt: skip
    if code == 0:
        _finite(Path("out/result.npz"))
    return code


def _curate(path: Path) -> int:
    options = ("--source-fps", 30) if path.suffix in (".csv", ".pkl", ".pt") else ()
    code = _mimic("motions", "curate", path, "--out", "out", "--json", "out/report.json", *options)
    for file in Path("out").glob("*.npz"):
        _finite(file)
    return code


def _info(path: Path) -> int:
    return _mimic("motions", "info", path)


def _add_robot(path: Path) -> int:
    return _mimic("robots", "add", path, "--out", "out/found.toml", "--name", "found")


def _description(path: Path) -> None:
    import robots

    robots.load(str(path))


def _policy(path: Path) -> None:
    from mimic.policy.opener import find_policy, open_player

    player = open_player(find_policy(path))
    action = player.act(np.zeros(player.contract.observation_size, np.float32))
    if not np.isfinite(action).all():
        raise ArithmeticError("an action is not finite")


def _checkpoint(path: Path) -> None:
    """The networks of a checkpoint, played where it has a contract (the first schema has none)."""
    from mimic.learning.checkpoints import load_checkpoint
    from mimic.learning.loading import policy_of
    from mimic.policy.opener import find_policy, open_player

    state = load_checkpoint(path)
    policy_of(state, path)
    if state["contract"] is not None:
        player = open_player(find_policy(path))
        player.act(np.zeros(player.contract.observation_size, np.float32))


def _configuration(path: Path) -> None:
    from mimic.configuration import read_json
    from mimic.envs.environment import TaskConfig
    from mimic.learning.config import RunConfig

    RunConfig.from_plain(read_json(path), source=str(path), task_type=TaskConfig)


def _manifest(path: Path) -> None:
    from motions.robot.dataset import find_motion_files, read_header

    for file in find_motion_files([path]):
        read_header(file)


def _pack(path: Path) -> None:
    import robots
    from mimic.envs.motion_library import find_motion_files, load_library

    files = find_motion_files([path])
    library = load_library(files, robots.load("unitree_g1"), 50.0)
    library.gather(library.start)
    files[0].load()


def _batch(path: Path) -> int:
    return _mimic("retarget", "--manifest", path, "--out", "out")


def _stream(path: Path) -> int:
    import io
    import sys

    class Lines(io.TextIOWrapper):
        """Standard input as a live stream has it."""

    with path.open("rb") as lines:
        sys.stdin = Lines(lines)
        return _mimic("stream", "-", "--out", "out/result.npz")


def _contract(content: bytes, rng: random.Random) -> bytes:
    """Damage the texts inside a policy file: the contract and the golden trace."""
    import onnx

    model = onnx.load_from_string(content)
    entry = rng.choice(list(model.metadata_props))
    damaged = mutate(entry.value.encode(), rng)
    entry.value = damaged.decode("utf-8", "replace")
    return model.SerializeToString()


def _network(content: bytes, rng: random.Random) -> bytes:
    """Damage the graph of a policy file: shapes, names, operators, weights."""
    import onnx

    model = onnx.load_from_string(content)
    graph = model.graph
    match rng.randrange(8):
        case 6:
            tensor = rng.choice(list(graph.initializer))
            tensor.raw_data = mild(tensor.raw_data, rng)
        case 7:
            model.producer_name = "another"
            graph.doc_string = rng.choice(("", "text", "\x1b[2J"))
        case 0:
            tensor = rng.choice(list(graph.initializer))
            tensor.raw_data = mutate(tensor.raw_data, rng)
        case 1:
            tensor = rng.choice(list(graph.initializer))
            dims = list(tensor.dims) or [1]
            dims[rng.randrange(len(dims))] = rng.choice((0, -1, 1, 2**31, 2**40))
            del tensor.dims[:]
            tensor.dims.extend(dims)
        case 2:
            node = rng.choice(list(graph.node))
            node.op_type = rng.choice(("Loop", "If", "Unknown", "Add", "NonZero", "Constant", ""))
        case 3:
            del graph.node[rng.randrange(len(graph.node))]
        case 4:
            tensor = rng.choice(list(graph.initializer))
            tensor.data_location = onnx.TensorProto.EXTERNAL
            name = rng.choice(("/etc/passwd", "../secret", "weights.bin", ""))
            tensor.external_data.add(key="location", value=name)
            tensor.ClearField("raw_data")
        case _:
            port = rng.choice([*graph.input, *graph.output])
            port.name = rng.choice(("", "x", "actions", "obs", "a" * 4000))
    return model.SerializeToString()


def _run_config(content: bytes, rng: random.Random) -> bytes:
    damaged = mutate(content, rng)
    try:  # most of the text is the task: reach the few other fields as often
        tree = json.loads(content)
        if isinstance(tree, dict) and rng.random() < 0.5:
            key = rng.choice(list(tree))
            part = json.loads(mutate(json.dumps(tree[key]).encode(), rng))
            return json.dumps({**tree, key: part}).encode()
    except (ValueError, RecursionError):
        pass
    return damaged


def _plays(policy: Path, describe: Path | None = None) -> None:
    from mimic.deploy.foreign import notes_of, open_policy

    player = open_policy(policy, describe)
    notes_of(player)
    action = player.act(np.zeros(player.contract.observation_size, np.float32))
    if not np.isfinite(action).all():
        raise ArithmeticError("an action is not finite")


def _foreign(path: Path) -> None:
    _plays(path)


def _described(path: Path) -> None:
    _plays(Path("policy.onnx"), path)


def _torchscript(path: Path) -> None:
    """A file that its user trusts, and which is damaged."""
    os.environ["MIMIC_TRUST"] = "torchscript"
    _plays(path, Path("policy.toml"))


def _live(path: Path) -> None:
    """A sender whose lines are damaged."""
    import robots
    from mimic.deploy.live import LiveStream

    stream = LiveStream(Path("out/live"), robots.load("unitree_g1"), lambda: 0.0)
    try:
        with socket.socket(socket.AF_UNIX) as sender:
            sender.connect("out/live")
            sender.setblocking(False)
            data = path.read_bytes()[: 1 << 22]
            while data:
                with contextlib.suppress(BlockingIOError, BrokenPipeError):
                    data = data[sender.send(data[: 1 << 15]) :]
                pose = stream.newest()
                if pose is None:
                    continue
                for values in (pose.root_pos, pose.root_quat, pose.joint_pos, pose.time):
                    if not np.isfinite(values).all():
                        raise ArithmeticError("a pose is not finite")
    finally:
        stream.close()


TARGETS: Mapping[str, Target] = {
    "human clip": Target(seeds.human, _human, share=10),
    "retarget": Target(seeds.human, _retarget, share=1.5),
    "retarget, rate of the file": Target(seeds.human, _as_it_says, share=0.7),
    "motions info": Target(seeds.robot, _info, share=2),
    "motions convert": Target(seeds.robot, _convert, share=4),
    "RobotMotion.load": Target(seeds.own, _load_motion, share=2),
    "motion with a scene": Target(seeds.scene, _load_scene, share=2),
    "motions check": Target(seeds.scene, _check, share=1),
    "motions edit": Target(seeds.scene, _edit, share=1),
    "motions curate": Target(seeds.robot, _curate, share=0.5),
    "ground": Target(seeds.ground, _ground, share=2),
    "retarget --ground": Target(seeds.ground, _on_ground, share=0.3),
    "robots add": Target(seeds.model, _add_robot, share=0.6),
    "description": Target(seeds.description, _description, share=0.7),
    "policy": Target(seeds.policy, _policy, share=1),
    "policy contract": Target(seeds.policy, _policy, _contract, share=2),
    "policy network": Target(seeds.policy, _policy, _network, share=1),
    "checkpoint": Target(seeds.checkpoint, _checkpoint, share=1.5),
    "config.json": Target(seeds.configuration, _configuration, _run_config, share=1.5),
    "motion manifest": Target(seeds.manifest, _manifest, share=1.5),
    "motion pack": Target(seeds.pack, _pack, share=1.5),
    "batch manifest": Target(seeds.batch, _batch, share=0.5, several=True),
    "stream": Target(seeds.stream, _stream, share=1, reports=True),
    "foreign policy": Target(seeds.foreign, _foreign, share=0.5),
    "foreign metadata": Target(seeds.foreign, _foreign, _contract, share=1),
    "foreign network": Target(seeds.foreign, _foreign, _network, share=0.7),
    "foreign description": Target(seeds.described, _described, share=1.5),
    "foreign TorchScript": Target(seeds.torchscript, _torchscript, share=0.3),
    "live frames": Target(seeds.live, _live, share=1),
}
"""Name -> way in."""


def preload() -> None:
    """Import what the targets use, so that no child does it again."""
    import onnx  # noqa: F401
    import torch

    import retarget.batch.preload
    import retarget.batch.summary
    import retarget.command.cli
    import retarget.page.table
    import retarget.streaming.cli
    import retarget.streaming.lines
    import retarget.streaming.retargeter  # noqa: F401
    import robots

    torch.set_num_threads(1)
    robots.load("unitree_g1")
    for target in TARGETS.values():
        target.seeds()
