"""Which engine runs: names with options, ``auto``, and extras that are not installed."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from mimic.sim.errors import EngineError

ENGINES: Mapping[str, str] = {
    "mujoco": "mimic.sim.mujoco_engine:MujocoEngine",
    "mjx": "mimic.sim.mjx_engine:MjxEngine",
    "warp": "mimic.sim.warp_engine:WarpEngine",
}
"""Engines and where they are."""

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
        """Read ``name`` or ``name:key=value,key=value``.

        Raises:
            EngineError: unknown engine, or options that are not pairs.
        """
        name, _, rest = text.partition(":")
        if name != "auto" and name not in ENGINES:
            raise EngineError(f"unknown engine '{name}'; known: auto, {', '.join(ENGINES)}")
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
    return [name for name in _PACKAGES[engine] if not _is_installed(name)]


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        # The parent package is absent.
        return False


def engine_class(engine: str) -> Any:
    """The class behind an engine's name.

    Raises:
        EngineError: its extra is not installed.
    """
    missing = missing_packages(engine)
    if missing:
        raise EngineError(
            f"engine '{engine}' needs {' and '.join(missing)}: "
            f"{INSTALL.format(extra=engine)}, or use --engine mujoco"
        )
    module, _, name = ENGINES[engine].partition(":")
    return getattr(importlib.import_module(module), name)


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


def pick_device(device: str, engine: str) -> str:
    """The torch device meant by ``auto``: a GPU where there is one and the engine computes on it.

    Raises:
        EngineError: a CUDA device is named and there is none.
    """
    if device == "auto":
        on_gpu = torch.cuda.is_available() and EngineSpec.parse(engine).name != "mujoco"
        return "cuda" if on_gpu else "cpu"
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise EngineError(f"device '{device}': this torch sees no GPU; use --device cpu")
    return device
