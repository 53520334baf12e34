"""A computation on tensors that is recorded once and then replayed as a whole.

An imagined rollout with its gradient is some ten thousand small kernels. Launched one by one they
keep a GPU waiting for the host; as one CUDA graph they are launched at once. What is recorded must
never ask the host anything: no value is read, no shape depends on values, and every tensor that it
uses stays where it is.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence

import torch
from torch import nn

from mimic_base.errors import MimicError

Tensors = Mapping[str, torch.Tensor]
Run = Callable[[], Tensors]
Recorder = Callable[[Run], tuple[Tensors, Callable[[], None]]]
"""Records a run: what it gives, and what computes that anew in the same tensors."""
WARM_UP = 3


def cuda_graph(run: Run) -> tuple[Tensors, Callable[[], None]]:
    """Record on the present GPU as a CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        # Libraries take memory and make plans in their first calls, which cannot be recorded.
        for _ in range(WARM_UP):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = run()
    return found, graph.replay


class Captured:
    """A function of tensors that leaves gradients in parameters.

    Args:
        function: named tensors -> named tensors; it sets the gradients of ``parameters`` itself.
        parameters: whose gradients it sets.
        wanted: ``on`` records or refuses, ``auto`` records on a GPU, ``off`` never does.
        record: what records.

    Attributes:
        reason: why nothing is recorded; empty while it is.
        recorded: recordings made.
    """

    def __init__(
        self,
        function: Callable[..., Tensors],
        parameters: Sequence[nn.Parameter],
        device: torch.device,
        wanted: str = "auto",
        record: Recorder = cuda_graph,
    ) -> None:
        self.function, self.parameters, self._record = function, parameters, record
        self.reason = ""
        self.recorded = 0
        if wanted == "off":
            self.reason = "--algorithm.capture off"
        elif device.type != "cuda" and record is cuda_graph:
            self.reason = f"it is computed on the {device.type.upper()}, which has no graphs"
            if wanted == "on":
                raise MimicError(
                    "--algorithm.capture on needs a GPU; leave it out, or use --device cuda"
                )
        self._wanted = wanted
        self._key: Hashable = None
        self._inputs: dict[str, torch.Tensor] = {}
        self._outputs: Tensors = {}
        self._gradients: list[torch.Tensor | None] = []
        self._replay: Callable[[], None] = lambda: None

    def __call__(self, inputs: Tensors, key: Hashable = None) -> Tensors:
        """What the function gives for ``inputs``; valid until the next call.

        Args:
            key: whatever else decides what is computed; another one is recorded anew, as are other
                shapes.

        Raises:
            MimicError: it cannot be recorded although it must be.
        """
        if not self.reason:
            shapes = tuple((name, tuple(each.shape)) for name, each in inputs.items())
            if (key, shapes) != self._key:
                self._try(inputs, (key, shapes))
        if self.reason:
            return self._once(inputs)
        for name, values in inputs.items():
            self._inputs[name].copy_(values)
        self._replay()
        for parameter, gradient in zip(self.parameters, self._gradients, strict=True):
            parameter.grad = gradient
        return self._outputs

    def _once(self, inputs: Tensors) -> Tensors:
        for parameter in self.parameters:
            parameter.grad = None
        return self.function(**inputs)

    def _try(self, inputs: Tensors, key: Hashable) -> None:
        # Memory of an earlier recording is given back first.
        self._replay, self._outputs, self._gradients = (lambda: None), {}, []
        self._inputs = {name: each.clone() for name, each in inputs.items()}
        try:
            self._outputs, self._replay = self._record(lambda: self._once(self._inputs))
        except RuntimeError as error:
            self.reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
            if self._wanted == "on":
                raise MimicError(
                    f"the imagined rollout cannot be recorded ({self.reason}); train with "
                    "--algorithm.capture auto"
                ) from error
            print(
                f"imagined rollouts are computed kernel by kernel, which is slower: {self.reason}",
                flush=True,
            )
            return
        self._key = key
        self._gradients = [parameter.grad for parameter in self.parameters]
        self.recorded += 1
