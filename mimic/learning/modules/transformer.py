"""A transformer over the later frames of the reference (Vaswani et al. 2017, arXiv 1706.03762).

Every later frame that the task shows is a token, everything else together is one more; after some
layers of self-attention the latter says what to do. Layers normalise first and add (Xiong et al.
2020, arXiv 2002.04745).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from rsl_rl.modules import MLP
from torch import nn
from torch.nn import functional

from mimic.envs.spec import ObservationEntry
from mimic.learning.networks import Shape, check_between
from mimic_base.errors import MimicError


@dataclass(frozen=True)
class TransformerOptions:
    """Numbers of ``FutureTransformer``."""

    width: int = 128
    """Width of a token; a multiple of the heads."""
    heads: int = 4
    """Heads of the attention."""
    layers: int = 2
    """Layers of attention."""
    feedforward: int = 256
    """Width of the hidden layer behind each attention."""

    def __post_init__(self) -> None:
        check_between(self, width=(1, 4096), heads=(1, 64), layers=(1, 32), feedforward=(1, 16384))
        if self.width % self.heads:
            raise MimicError(f"width {self.width} is no multiple of {self.heads} heads")


class Layer(nn.Module):
    """Self-attention and a small network over tokens [N, T, W], each added to what it is given."""

    def __init__(self, options: TransformerOptions) -> None:
        super().__init__()
        width = options.width
        self.heads, self.width = options.heads, width
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.inner = nn.Linear(width, options.feedforward)
        self.outer = nn.Linear(options.feedforward, width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        tokens = tokens + self.mix(self._attended(self.first(tokens)))
        return tokens + self.outer(functional.gelu(self.inner(self.second(tokens))))

    def _attended(self, tokens: torch.Tensor) -> torch.Tensor:
        count, each = tokens.shape[1], self.width // self.heads
        parts = self.queries_keys_values(tokens).view(-1, count, 3, self.heads, each)
        # [N, heads, T, each]
        queries, keys, values = (parts[:, :, i].transpose(1, 2) for i in range(3))
        scores = torch.matmul(queries, keys.transpose(2, 3)) / each**0.5
        mixed = torch.matmul(torch.softmax(scores, -1), values)
        return mixed.transpose(1, 2).reshape(-1, count, self.width)


class FutureTransformer(nn.Module):
    """See the module.

    Args:
        frames: first column, number and width of the later frames, for each observation of them.
    """

    Options = TransformerOptions

    def __init__(
        self,
        shape: Shape,
        options: TransformerOptions,
        frames: Sequence[tuple[int, int, int]],
    ) -> None:
        super().__init__()
        self.frames = tuple(frames)
        taken = {at + i for at, count, size in frames for i in range(count * size)}
        rest = torch.tensor([i for i in range(shape.inputs) if i not in taken])
        self.register_buffer("rest", rest, persistent=False)
        self.present = nn.Linear(len(rest), options.width)
        self.embed = nn.ModuleList([nn.Linear(size, options.width) for _, _, size in frames])
        tokens = 1 + sum(count for _, count, _ in frames)
        self.place = nn.Parameter(0.02 * torch.randn(1, tokens, options.width))
        self.layers = nn.ModuleList([Layer(options) for _ in range(options.layers)])
        self.norm = nn.LayerNorm(options.width)
        self.head = MLP(options.width, shape.outputs, list(shape.hidden), shape.activation)

    rest: torch.Tensor

    @classmethod
    def build(cls, shape: Shape, options: TransformerOptions) -> FutureTransformer:
        frames = future_frames(shape.entries)
        if not frames:
            names = ", ".join(entry.name for entry in shape.entries) or "unknown"
            raise MimicError(
                "network 'transformer' needs later frames of the reference (an observation with "
                f"the parameter 'steps', as tracking-student has); here are: {names}"
            )
        return cls(shape, options, frames)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = [self.present(x.index_select(-1, self.rest)).unsqueeze(1)]
        for (at, count, size), embed in zip(self.frames, self.embed, strict=True):
            tokens.append(embed(x[:, at : at + count * size].view(-1, count, size)))
        mixed = torch.cat(tokens, 1) + self.place
        for layer in self.layers:
            mixed = layer(mixed)
        return self.head(self.norm(mixed[:, 0]))


def future_frames(entries: Sequence[ObservationEntry]) -> list[tuple[int, int, int]]:
    """First column, number K and width of the later frames in an observation's columns."""
    found, at = [], 0
    for entry in entries:
        steps = entry.parameters.get("steps")
        if isinstance(steps, list | tuple) and steps and entry.history == 1:
            count = len(steps)
            if entry.size % count == 0:
                found.append((at, count, entry.size // count))
        at += entry.width
    return found
