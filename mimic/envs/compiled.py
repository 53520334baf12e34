"""Parts of a control step through ``torch.compile``: many small operations as a few fused ones."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any, Generic, Literal, ParamSpec, TypeVar

import torch

from mimic_base.errors import MimicError

P = ParamSpec("P")
R = TypeVar("R")
CompileMode = Literal["auto", "on", "off"]
BACKEND = "inductor"


def wants_compilation(mode: str, device: torch.device) -> bool:
    """Whether ``mode`` (auto, on, off) means compiling on ``device``; auto does on a GPU.

    Raises:
        MimicError: another mode.
    """
    if mode not in ("auto", "on", "off"):
        raise MimicError(f"compile is '{mode}', expected auto, on or off")
    return mode == "on" or (mode == "auto" and device.type == "cuda")


class Compiled(Generic[P, R]):
    """Calls a function of tensors through ``torch.compile``, or as it is where that fails.

    The function must change nothing: what fails half-way is done again without compilation. No
    gradients pass through it. Failing is said once, on standard error, and costs speed only.

    Args:
        name: what the function computes, for that line.
        backend: of ``torch.compile``; ``BACKEND`` unless given.
    """

    def __init__(
        self, function: Callable[P, R], name: str, backend: str | Callable[..., Any] = ""
    ) -> None:
        self.function = function
        self.name = name
        # Loading the compiler takes seconds; who does not use it should not wait.
        from torch._dynamo.exc import TorchDynamoException

        self._refusals = TorchDynamoException
        # One code object serves all environments of a process; without this their programs would
        # share one small budget.
        known = inspect.signature(torch.compile).parameters
        options: dict[str, Any] = (
            {"isolate_recompiles": True} if "isolate_recompiles" in known else {}
        )
        self.failed = False
        self._compiled: Callable[P, R] = torch.compile(
            function, backend=backend or BACKEND, dynamic=False, **options
        )

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        # The gradient mode is part of a program: callers with and without it share one here.
        with torch.no_grad():
            if self.failed:
                return self.function(*args, **kwargs)
            try:
                return self._compiled(*args, **kwargs)
            except self._refusals as error:
                self.failed = True
                cause = getattr(error, "inner_exception", error)
                lines = str(cause).strip().splitlines() or [""]
                print(
                    f"{self.name} run uncompiled, slower: torch.compile failed "
                    f"({type(cause).__name__}: {lines[0][:160]}); --compile off avoids the attempt",
                    file=sys.stderr,
                )
                return self.function(*args, **kwargs)
