"""Training on several devices: one process (rank) for each, with its own engine and environments.

Started by ``torchrun``. What is averaged or counted over all ranks, and how often:

* gradients, losses and the KL divergence that steers the learning rate: every gradient step;
* normaliser statistics: once an iteration, by rsl_rl, over the samples of all ranks;
* statistics of the start sampler, figures of the log: once an iteration;
* run directory, checkpoints, console: rank 0 alone.

Every rank runs ``--num-envs`` environments, with noise and starts of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version

import torch
import torch.distributed as dist
from torch import nn

from mimic_base.errors import MimicError

NORMALISERS_SHARED_SINCE = (5, 5)


@dataclass(frozen=True)
class Ranks:
    """The processes that train together; a single one unless ``torchrun`` says otherwise.

    Attributes:
        rank: of this process, 0 to ``size - 1``. local_rank: on this machine.
        device: what this process computes on.
    """

    device: str = "cpu"
    rank: int = 0
    local_rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes files and talks to the user."""
        return self.rank == 0

    def seed(self, seed: int) -> int:
        """A seed of this rank's own."""
        return seed + 7919 * self.rank

    def average(self, tensor: torch.Tensor) -> torch.Tensor:
        """Replace ``tensor`` by its mean over all ranks, in place; it is returned."""
        if self.size > 1:
            there = tensor if self._carries(tensor) else tensor.to(self.device)
            dist.all_reduce(there)
            there /= self.size
            if there is not tensor:
                tensor.copy_(there)
        return tensor

    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace every gradient by its mean over all ranks: one message for all."""
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = self.average(torch.cat([g.flatten() for g in gradients]))
        for gradient, mean in zip(
            gradients, flat.split([g.numel() for g in gradients]), strict=True
        ):
            gradient.copy_(mean.view_as(gradient))

    def average_log(self, log: Mapping[str, float]) -> dict[str, float]:
        """Mean of each entry over the ranks that have it.

        All ranks must call it with entries from the same set of names; a name that only some
        have (no episode ended on the others) counts there with weight zero.
        """
        if self.size == 1:
            return dict(log)
        names = sorted(set().union(*self._gather_names(list(log))))
        values = torch.tensor([log.get(name, 0.0) for name in names], dtype=torch.float64)
        there = torch.tensor([float(name in log) for name in names], dtype=torch.float64)
        both = self.average(torch.stack([values, there]).float())
        return {name: float(v / c) for name, v, c in zip(names, both[0], both[1], strict=True)}

    def any(self, flag: bool) -> bool:
        """Whether it is true on some rank."""
        return float(self.average(torch.tensor([float(flag)]))) > 0.0 if self.size > 1 else flag

    def same_start(self, modules: Sequence[nn.Module]) -> None:
        """Give every rank the weights and buffers of rank 0."""
        if self.size == 1:
            return
        for module in modules:
            for tensor in module.state_dict().values():
                dist.broadcast(tensor, 0)

    def _carries(self, tensor: torch.Tensor) -> bool:
        return tensor.device.type == torch.device(self.device).type

    def _gather_names(self, names: list[str]) -> list[list[str]]:
        gathered: list[list[str]] = [[] for _ in range(self.size)]
        dist.all_gather_object(gathered, names)
        return gathered


SINGLE = Ranks()


@contextmanager
def ranks(device: str) -> Iterator[Ranks]:
    """Join the processes that ``torchrun`` started; a single one otherwise.

    Args:
        device: ``cpu``, or ``cuda`` for one GPU a rank.

    Raises:
        MimicError: fewer GPUs than ranks on this machine, or an rsl_rl that would let every rank
            normalise observations differently.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Ranks(device=device)
        return
    found = tuple(int(part) for part in version("rsl-rl-lib").split(".")[:2])
    if found < NORMALISERS_SHARED_SINCE:
        raise MimicError(
            f"training on {size} devices needs rsl-rl-lib 5.5 or later, "
            f"{version('rsl-rl-lib')} is installed: pip install -c constraints.txt rsl-rl-lib"
        )
    local = int(os.environ.get("LOCAL_RANK", "0"))
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu:
        if local >= torch.cuda.device_count():
            raise MimicError(
                f"rank {local} of this machine has no GPU: torchrun --nproc-per-node must not be "
                f"more than {torch.cuda.device_count()}"
            )
        device = f"cuda:{local}"
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield Ranks(device=device, rank=dist.get_rank(), local_rank=local, size=size)
    finally:
        dist.destroy_process_group()
