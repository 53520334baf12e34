"""torch and JAX on the same memory, and where JAX keeps what it has compiled."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

# Unless told otherwise JAX takes three quarters of a GPU's memory, which torch needs as well.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402

from mimic.sim.errors import EngineError  # noqa: E402

CACHE_VARIABLE = "MIMIC_CACHE"


def cache_directory() -> Path:
    """``$MIMIC_CACHE/jax``; by default ``humanoid-mimic/jax`` in the user's cache directory."""
    own = os.environ.get(CACHE_VARIABLE)
    if own:
        return Path(own) / "jax"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "humanoid-mimic" / "jax"


def use_compilation_cache() -> None:
    """Keep compiled programs on disk; a user's own JAX settings come first."""
    if not getattr(jax.config, "jax_compilation_cache_dir", None):
        jax.config.update("jax_compilation_cache_dir", str(cache_directory()))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)


def jax_device(device: torch.device) -> Any:
    """The JAX device that physics runs on for state tensors on a torch device.

    A torch device on a GPU is the same GPU. A torch device on the CPU is a TPU where JAX has one
    (arrays are then copied through the host), else the CPU.

    Raises:
        EngineError: JAX does not see the GPU.
    """
    if device.type == "cuda":
        try:
            found = jax.devices("gpu")
        except RuntimeError as error:
            raise EngineError(
                f"engine 'mjx' on {device}: this JAX sees no GPU ({_first(error)}); "
                "pip install 'jax[cuda13]' (or jax[cuda12]), or use --device cpu"
            ) from error
        return found[device.index or 0]
    if jax.default_backend() == "tpu":
        return jax.devices("tpu")[0]
    return jax.devices("cpu")[0]


def to_jax(tensor: torch.Tensor, device: Any) -> Any:
    """A JAX array on the tensor's memory (DLPack); a copy only for a TPU."""
    if device.platform == "tpu":
        return jax.device_put(tensor.detach().cpu().numpy(), device)
    return jax.dlpack.from_dlpack(tensor.detach().contiguous())


def to_torch(array: Any, device: torch.device) -> torch.Tensor:
    """A torch tensor on the array's memory (DLPack); a copy only for a TPU.

    The tensor may be written to, as long as nobody uses the array any more.
    """
    if next(iter(array.devices())).platform == "tpu":
        return torch.from_numpy(np.array(array)).to(device)
    return torch.from_dlpack(array)


def _first(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:120]
