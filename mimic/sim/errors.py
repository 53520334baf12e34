"""What goes wrong in an engine or on its device, in one line each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mimic_base.errors import MimicError


class EngineError(MimicError):
    """An engine cannot run, or its physics can no longer be trusted."""


class CannotVaryError(EngineError):
    """An engine has one value of a model field for all environments."""

    def __init__(self, engine: str, field: str, why: str = "") -> None:
        self.engine, self.field = engine, field
        super().__init__(
            f"engine '{engine}' cannot vary the model field '{field}' between environments"
            f"{why or '; use --engine mujoco'}"
        )


OUT_OF_MEMORY = (
    "the device is out of memory; use fewer environments (--num-envs) or smaller contact buffers "
    "(--engine warp:nconmax=...,njmax=...)"
)
LOST_DEVICE = (
    "the device has failed or was lost; look at it with nvidia-smi (or the system's log), then "
    "resume"
)

_MEMORY_SIGNS = (
    "out of memory",  # torch: OutOfMemoryError, cuBLAS, cuDNN; JAX: RESOURCE_EXHAUSTED
    "resource_exhausted",
    "failed to allocate",  # Warp; also JAX's allocator
    "cuda_error_out_of_memory",
    "cublas_status_alloc_failed",
)
_DEVICE_SIGNS = (
    "cuda error",  # torch, Warp: CUDA error 700, an illegal memory access, ...
    "acceleratorerror",
    "device lost",
    "device-side assert",
    "has fallen off the bus",
    "unspecified launch failure",
    "illegal memory access",
    "cuda_error_",  # JAX: CUDA_ERROR_ILLEGAL_ADDRESS, ...
    "hip error",
    "nccl error",
)


@contextmanager
def one_line_of_device_trouble(where: str) -> Iterator[None]:
    """Turn what a library raises about memory or a failed device into one line.

    Raises:
        EngineError: it begins with ``where``.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        trouble = device_trouble(error)
        if trouble is None:
            raise
        raise EngineError(f"{where}: {trouble}") from error


def device_trouble(error: BaseException) -> str | None:
    """Say in one line what a library's exception means for the device; None if it is another one.

    torch, JAX and Warp report memory and device failures as ``RuntimeError`` (or a subclass of
    their own), told apart by the text only.
    """
    if not isinstance(error, RuntimeError | MemoryError):
        return None
    text = f"{type(error).__name__}: {error}".lower()
    if isinstance(error, MemoryError) or any(sign in text for sign in _MEMORY_SIGNS):
        return f"{OUT_OF_MEMORY} ({_first_line(error)})"
    if any(sign in text for sign in _DEVICE_SIGNS):
        return f"{LOST_DEVICE} ({_first_line(error)})"
    return None


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:160]
