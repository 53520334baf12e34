"""Checkpoints: everything that decides what a run does next, in one file without pickled code.

A checkpoint (schema ``/2``) is a mapping of

* ``identity``: task, robot, motions, sizes: what it can be used with;
* ``spec``: names and sizes of observations and actions, from which networks are built again;
* ``config``: the run's ``RunConfig`` as plain values;
* ``seed``, ``iteration``, ``samples``, ``wall_s``: how far the run is;
* ``algorithm``: ``name`` and ``state``, which only the algorithm understands;
* ``contract``: what ``policy.onnx`` would say about itself, as JSON, where there is one;
* ``env``, ``random``: states of the environment and of the global random numbers.

Files of schema ``/1`` are read as if they had been written this way.
"""

from __future__ import annotations

import os
import random
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from mimic.configuration import from_plain, to_plain
from mimic.envs.spec import COMMAND, EnvSpec, ObservationEntry
from mimic.learning.config import SHORT_NAMES, RunConfig, run_config
from mimic_base.archives import check_archive
from mimic_base.errors import InputError, MimicError
from mimic_base.files import atomic_path
from mimic_base.json_text import check_nesting
from mimic_base.kinds import START, refuse_other_kind
from mimic_base.limits import check_limit
from mimic_base.reading import opened

SCHEMA = "humanoid-mimic/checkpoint/2"
FIRST_SCHEMA = "humanoid-mimic/checkpoint/1"
LAST = "last.pt"


def save_checkpoint(folder: Path, iteration: int, state: Mapping[str, Any], keep: int) -> Path:
    """Write ``folder/<iteration>.pt`` in one piece, point ``last.pt`` at it, drop old ones.

    A process killed at any moment leaves the previous checkpoint or the new one, never half a
    file; so does a full disk, which raises an `InputError`.

    Args:
        state: tensors, numbers, texts and None in dicts, lists and tuples.
        keep: how many numbered checkpoints stay.
    """
    path = folder / f"{iteration:07d}.pt"
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        sink: Any = _Sink(file)
        torch.save({"schema": SCHEMA, **state}, sink)
        if sink.error is not None:
            raise sink.error
    with atomic_path(folder / LAST) as link:
        link.unlink()
        try:
            os.link(path, link)
        except OSError:
            # A file system without hard links.
            shutil.copyfile(path, link)
    for old in numbered_checkpoints(folder)[:-keep]:
        old.unlink(missing_ok=True)
    return path


class _Sink:
    """A file that keeps its first error for the end: torch's writer makes a RuntimeError about its
    own insides of it, or ends the process."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        if self.error is None:
            try:
                return self.file.write(data)
            except OSError as error:
                self.error = error
        return len(data)

    def flush(self) -> None:
        if self.error is None:
            try:
                self.file.flush()
            except OSError as error:
                self.error = error


def numbered_checkpoints(folder: Path) -> list[Path]:
    """Checkpoints of a run, oldest first."""
    return sorted(path for path in folder.glob("*.pt") if path.stem.isdigit())


def find_checkpoint(run: Path | str) -> Path:
    """The checkpoint meant by a run directory (its last one) or by a file."""
    run = Path(run)
    if run.is_file():
        return run
    if not run.is_dir():
        raise MimicError(f"run '{run}' does not exist; pass a run directory or a checkpoint file")
    folder = run if run.name == "checkpoints" else run / "checkpoints"
    last = folder / LAST
    if last.is_file():
        return last
    found = numbered_checkpoints(folder)
    if not found:
        raise MimicError(f"run '{run}' holds no checkpoint in 'checkpoints/'; start it afresh")
    return found[-1]


def load_checkpoint(path: Path | str, device: str | torch.device = "cpu") -> dict[str, Any]:
    """Read a checkpoint without running any code from it, and hold it against its schema.

    Raises:
        MimicError: not a checkpoint of ours, damaged, or with entries of other types.
    """
    path = find_checkpoint(path)
    state = load_state(path, device)
    _check_state(path, state)
    return state


def load_state(path: Path, device: str | torch.device = "cpu") -> dict[str, Any]:
    """The content of a checkpoint file, of which only the schema's name is known to be right.

    Raises:
        MimicError: damaged, larger than the limits allow, or of another schema.
    """
    try:
        with opened(path) as stream:
            start = stream.read(START)
        refuse_other_kind(
            path, start, "PyTorch", "checkpoint",
            "expected a run of mimic train or a checkpoint.pt of one",
        )  # fmt: skip
        check_archive(path, what="checkpoint")
    except InputError as error:
        raise MimicError(f"{error}; use another one of this run") from error
    try:
        with warnings.catch_warnings():
            # PyTorch warns of a pickle protocol that it has not written, and then refuses or reads.
            warnings.simplefilter("ignore")
            state = torch.load(path, weights_only=True, map_location=device)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MimicError(
            f"{path}: not a readable checkpoint ({reason[:120]}); use another one of this run"
        ) from error
    try:
        check_nesting(path, state)
    except InputError as error:
        raise MimicError(str(error)) from error
    schema = state.get("schema") if isinstance(state, dict) else None
    if schema == FIRST_SCHEMA:
        try:
            state = upgraded(state)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, MimicError):
                raise MimicError(f"{path}: {error}") from error
            raise MimicError(
                f"{path}: a checkpoint of schema {FIRST_SCHEMA} with other entries than it has "
                f"({type(error).__name__}: {str(error)[:80]}); use another one of this run"
            ) from error
    elif schema != SCHEMA:
        raise MimicError(
            f"{path}: schema is {schema!r:.60}, expected '{SCHEMA}'; "
            "use a checkpoint written by this program's mimic train"
        )
    return state


@dataclass(frozen=True, kw_only=True)
class _Identity:
    """What a checkpoint can be used with."""

    task: str
    """Name of the task."""
    robot: str
    """Name of the robot."""


@dataclass(frozen=True, kw_only=True)
class SavedSpec:
    """The part of a specification that networks are built from."""

    task: str
    """Name of the task."""
    robot: str
    """Name of the robot."""
    num_actions: int
    """Width of an action, A."""
    control_dt: float
    """Seconds of a control step."""
    default_joint_pos: tuple[float, ...]
    """[A] rad; what an action of zeros commands."""
    action_scale: tuple[float, ...]
    """[A] rad of an action of one."""
    observations: Mapping[str, tuple[ObservationEntry, ...]]
    """Group -> its terms."""

    def __post_init__(self) -> None:
        check_limit("num_actions", "joints", self.num_actions, "the number of actions")
        sizes = (len(self.default_joint_pos), len(self.action_scale))
        if self.num_actions < 1 or sizes != (self.num_actions, self.num_actions):
            raise MimicError(f"{self.num_actions} actions, {sizes[0]} and {sizes[1]} numbers")
        for group, entries in self.observations.items():
            width = sum(entry.width for entry in entries)
            if not 0 < width <= _WIDEST or any(entry.width < 1 for entry in entries):
                raise MimicError(f"the observation '{group}' has {width} entries")


@dataclass(frozen=True, kw_only=True)
class _Head:
    """What a checkpoint says in plain values."""

    identity: _Identity
    spec: SavedSpec
    seed: int
    iteration: int
    samples: int
    wall_s: float
    contract: str | None
    algorithm: str
    """Name of the algorithm."""


_WIDEST = 1_000_000
"""Entries of an observation."""
_MAPPINGS = ("identity", "spec", "config", "algorithm")


def _check_state(path: Path, state: Mapping[str, Any]) -> None:
    """Hold the plain part of a checkpoint against its schema (`MimicError`, one line)."""
    for name in _MAPPINGS:
        if not isinstance(state.get(name), Mapping):
            kind = type(state[name]).__name__ if name in state else "nothing"
            raise MimicError(f"{path}: {name}: found {kind}, expected a mapping")
    for name, parts in (("config", ("algorithm", "loop")), ("algorithm", ("state",))):
        for part in parts:
            if not isinstance(state[name].get(part), Mapping):
                kind = type(state[name].get(part)).__name__
                raise MimicError(f"{path}: {name}.{part}: found {kind}, expected a mapping")
    head = {name: state.get(name) for name in ("identity", "spec", "contract")}
    numbers = ("seed", "iteration", "samples", "wall_s")
    head |= {name: state[name] for name in numbers if name in state}
    try:
        from_plain(
            _Head,
            {**head, "algorithm": state["algorithm"].get("name")},
            source=path,
            imports=False,
            lenient=True,
        )
    except InputError as error:
        raise MimicError(f"{path}: {error}") from error


def upgraded(state: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint of schema ``/1``, which knew PPO alone, in the present layout."""
    old = state["config"]
    config, _ = config_of_first_schema(old)
    if state["average"] is not None and not config.algorithm.ema_decay:
        # The field may have had another name; that there is an average is what counts.
        config = run_config(config, ema_decay=0.5)
    identity = state["identity"]
    actions = identity["actions"]

    def entries(size: int) -> list[dict[str, Any]]:
        first = {"name": COMMAND, "size": min(actions, size)}
        return [first, {"name": "other", "size": size - first["size"]}]

    kept = ("identity", "seed", "iteration", "samples", "wall_s", "env", "random")
    names = ("actor", "critic", "optimizer", "learning_rate", "average")
    return {
        "schema": SCHEMA,
        **{name: state[name] for name in kept},
        "config": config.to_plain(),
        "spec": {
            "task": identity["task"], "robot": identity["robot"], "num_actions": actions,
            "control_dt": 0.02, "default_joint_pos": [0.0] * actions,
            "action_scale": [1.0] * actions, "observations": {
                group: entries(identity[f"{group}_observations"]) for group in ("actor", "critic")
            },
        },
        "algorithm": {"name": "ppo", "state": {name: state[name] for name in names}},
        "contract": None,
    }  # fmt: skip


def config_of_first_schema(flat: Mapping[str, Any]) -> tuple[RunConfig, list[str]]:
    """The configuration of a run of the first schema, and its entries that are unknown now.

    What belonged to the task there (physics rate, drift limit, randomisation) is left out.
    """
    values, unknown = {}, []
    for name, value in flat.items():
        place = SHORT_NAMES.get(name)
        if place is None:
            unknown.append(name)
        elif not place.startswith("task."):
            values[name] = tuple(value) if isinstance(value, list) else value
    return run_config(**values), unknown


def spec_to_plain(spec: EnvSpec) -> dict[str, Any]:
    """The part of a specification from which networks can be built again."""
    return {
        "task": spec.task,
        "robot": spec.robot,
        "num_actions": spec.num_actions,
        "control_dt": spec.control_dt,
        "default_joint_pos": list(spec.default_joint_pos),
        "action_scale": list(spec.action_scale),
        "observations": {
            group: [to_plain(entry, ObservationEntry) for entry in entries]
            for group, entries in spec.observations.items()
        },
    }


def spec_from_plain(plain: Mapping[str, Any], source: Path | str) -> EnvSpec:
    """A specification without environments, on the CPU."""
    observations = {
        group: tuple(
            from_plain(ObservationEntry, entry, source=source, imports=False) for entry in entries
        )
        for group, entries in plain["observations"].items()
    }
    return EnvSpec(
        num_envs=0,
        device=torch.device("cpu"),
        observations=observations,
        default_joint_pos=tuple(plain["default_joint_pos"]),
        action_scale=tuple(plain["action_scale"]),
        **{name: plain[name] for name in ("task", "robot", "num_actions", "control_dt")},
    )


def check_identity(path: Path | str, saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse a checkpoint that was trained for something else.

    Args:
        saved, wanted: the ``identity`` of the checkpoint and of the environment: task, robot,
            motions, sizes of observations and actions.
    """
    fixes = {
        "task": "name the task it was trained for",
        "robot": "use the robot it was trained for",
        "motions": "pass the motion files it was trained on",
    }
    for key, expected in wanted.items():
        found = saved.get(key)
        if found != expected:
            raise MimicError(
                f"{path}: this checkpoint has {key} {_short(found)}, the environment has "
                f"{_short(expected)}; {fixes.get(key, 'train a new policy for this environment')}"
            )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def random_state() -> dict[str, Any]:
    """State of the global generators of torch, numpy and Python."""
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    version, internal, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [
            str(name), torch.from_numpy(np.asarray(keys).astype(np.int64)),
            int(position), int(has_gauss), float(cached),
        ],
        "python": [version, list(internal), gauss],
    }  # fmt: skip


def set_random_state(state: Mapping[str, Any]) -> None:
    """Put the global generators back to a saved state."""
    torch.set_rng_state(state["torch"].cpu())
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([each.cpu() for each in state["cuda"]])
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.cpu().numpy().astype(np.uint32), position, has_gauss, cached))
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))


def seed_everything(seed: int) -> None:
    """Seed the global generators of torch, numpy and Python."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)
