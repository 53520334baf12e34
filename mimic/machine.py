"""Where a figure or a file was made: written into run directories, reports and benchmarks."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from pathlib import Path
from typing import Any

PACKAGES = (
    "humanoid-mimic", "mujoco", "mjbatch", "mujoco-mjx", "mujoco-warp", "warp-lang", "jax", "torch",
    "rsl-rl-lib", "tensordict", "onnxruntime", "numpy", "mink",
)  # fmt: skip


def machine_info() -> dict[str, Any]:
    """Time, operating system, processor and package versions."""
    return {
        "created": time.strftime("%Y-%m-%d %H:%M %z"),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": f"{processor_name()}, {usable_cores()} cores",
        "versions": package_versions(),
    }


def package_versions() -> dict[str, str | None]:
    """Version of Python and of the packages that decide a result; None where one is absent."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return versions


def processor_name() -> str:
    """The processor's own name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return " ".join(value.split())
    return platform.processor() or "unknown processor"


def usable_cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
