"""Which engine runs: names with options, ``auto``, and extras that are not installed."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from mimic.sim.errors import EngineError
from mimic_base.by_name import is_path, object_at

if TYPE_CHECKING:
    from mimic.sim.engine import Engine

ENGINES: Mapping[str, str] = {
    "mujoco": "mimic.sim.engines.mujoco:MujocoEngine",
    "mjx": "mimic.sim.engines.mjx:MjxEngine",
    "warp": "mimic.sim.engines.warp:WarpEngine",
    "remote": "mimic.sim.engines.remote:RemoteEngine",
    "isaacgym": "mimic.sim.engines.isaacgym:IsaacGymEngine",
    "learned": "mimic.learning.learned_engine:LearnedEngine",
}
"""Engines and where they are; any other is named ``package.module:Class``."""

_PACKAGES: Mapping[str, tuple[str, ...]] = {
    "mujoco": ("mjbatch",),
    "mjx": ("jax", "mujoco.mjx"),
    "warp": ("warp", "mujoco_warp"),
}
INSTALL = "pip install -c constraints.txt -e '.[{extra}]'"


@dataclass(frozen=True)
class EngineSpec:
    """An engine's name and options as given: ``warp:nconmax=64,njmax=300``."""

    name: str
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> EngineSpec:
        """Read ``name``, ``name:key=value,key=value``, or the same after ``package.module:Class``.

        Raises:
            EngineError: unknown engine, or options that are not pairs.
        """
        name, _, rest = text.partition(":")
        if name != "auto" and name not in ENGINES:
            cls_name, _, options_text = rest.partition(":")
            if not is_path(f"{name}:{cls_name}"):
                raise EngineError(
                    f"unknown engine '{name}'; known: auto, {', '.join(ENGINES)}, or "
                    "package.module:Class"
                )
            name, rest = f"{name}:{cls_name}", options_text
        options: dict[str, str] = {}
        for pair in filter(None, rest.split(",")):
            key, equals, value = pair.partition("=")
            if not equals:
                raise EngineError(
                    f"engine '{text}': '{pair}' is not an option; write {name}:key=value"
                )
            options[key.strip()] = value.strip()
        return cls(name, options)

    def checked(self, engine: str, known: Mapping[str, str]) -> dict[str, Any]:
        """The options as an engine takes them: whole numbers where they look like one.

        Args:
            known: the engine's options and what they mean.

        Raises:
            EngineError: an option the engine does not have, or a negative number.
        """
        values: dict[str, Any] = {}
        for key, text in self.options.items():
            if key not in known:
                have = ", ".join(known) if known else "none"
                raise EngineError(f"engine '{engine}' has no option '{key}'; it has: {have}")
            if not text.isdigit() and text.lstrip("-").isdigit():
                raise EngineError(f"engine '{engine}': {key} must not be negative, got {text}")
            values[key] = int(text) if text.isdigit() else text
        return values


def missing_packages(engine: str) -> list[str]:
    """Python packages of an engine that are not installed."""
    return [name for name in _PACKAGES.get(engine, ()) if not _is_installed(name)]


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        # The parent package is absent.
        return False


def engine_class(engine: str) -> type[Engine]:
    """The class behind an engine's name, or behind ``package.module:Class``.

    Raises:
        EngineError: its extra is not installed, or the class is no engine.
    """
    from mimic.sim.engine import Engine

    missing = missing_packages(engine)
    if missing:
        raise EngineError(
            f"engine '{engine}' needs {' and '.join(missing)}: "
            f"{INSTALL.format(extra=engine)}, or use --engine mujoco"
        )
    found = object_at(ENGINES.get(engine, engine), "engine")
    if not (isinstance(found, type) and issubclass(found, Engine)):
        raise EngineError(
            f"engine '{engine}': {getattr(found, '__name__', found)} does not derive from "
            "mimic.sim.Engine; see the docstring of that class"
        )
    return found


def choose_engine(name: str, device: torch.device) -> str:
    """The engine meant by ``name`` on a torch device.

    ``auto``: MuJoCo Warp on NVIDIA, MJX on other accelerators, MuJoCo's C threads on a CPU. Where
    the best one's extra is absent, the next one that is there, with a line on standard error that
    names the command which installs it.
    """
    if name != "auto":
        return name
    wanted: list[str] = []
    if device.type == "cuda":
        wanted = ["mjx"] if torch.version.hip else ["warp", "mjx"]
    elif _has_tpu():
        wanted = ["mjx"]
    for engine in wanted:
        if not missing_packages(engine):
            return engine
    if wanted:
        print(
            f"physics runs on the CPU; for the accelerator: {INSTALL.format(extra=wanted[0])}",
            file=sys.stderr,
        )
    return "mujoco"


def _has_tpu() -> bool:
    """Whether JAX would run on a TPU; loads JAX only where its TPU library is installed."""
    if missing_packages("mjx") or not _is_installed("libtpu"):
        return False
    import jax

    return jax.default_backend() == "tpu"


def engine_on_gpu(engine: str) -> bool:
    """Whether an engine computes on a GPU; a stranger's says so by its ``on_gpu``."""
    if engine in ENGINES:
        return engine in ("mjx", "warp", "learned")
    return engine_class(engine).on_gpu


def pick_device(device: str, engine: str) -> str:
    """The torch device meant by ``auto``: a GPU where there is one and the engine computes on it.

    Raises:
        EngineError: a device that there is not.
    """
    if device == "auto":
        name = EngineSpec.parse(engine).name
        on_gpu = torch.cuda.is_available() and (name == "auto" or engine_on_gpu(name))
        return "cuda" if on_gpu else "cpu"
    check_device(device)
    return device


def check_device(device: str) -> None:
    """Refuse a device that is not there before anything is built for it.

    Raises:
        EngineError: neither cpu nor cuda, or a GPU that this torch does not see.
    """
    try:
        named = torch.device(device)
    except RuntimeError:
        named = None
    if named is None or named.type not in ("cpu", "cuda"):
        raise EngineError(f"device '{device}' is unknown; expected auto, cpu, cuda or cuda:N")
    if named.type == "cpu":
        return
    if not torch.cuda.is_available():
        raise EngineError(f"device '{device}': this torch sees no GPU; use --device cpu")
    count = torch.cuda.device_count()
    if (named.index or 0) >= count:
        raise EngineError(
            f"device '{device}': this torch sees {count} GPU(s), cuda:0 to cuda:{count - 1}"
        )
