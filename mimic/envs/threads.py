"""How many threads torch's own operations get beside the physics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

ENVS_PER_THREAD = 2048


@contextmanager
def few_threads(num_envs: int) -> Iterator[None]:
    """Limit torch's intra-operation threads to one per 2048 environments inside the block.

    An operation over some thousand rows takes microseconds. Threads that share it spend longer
    waiting for each other, and on a busy machine, where one of them may have lost its core, they
    spin away many times the work itself.
    """
    with threads(max(1, min(torch.get_num_threads(), num_envs // ENVS_PER_THREAD))):
        yield


@contextmanager
def threads(wanted: int) -> Iterator[None]:
    """Let torch's operations have so many threads inside the block; 0: as many as before."""
    before = torch.get_num_threads()
    if wanted in (0, before):
        yield
        return
    torch.set_num_threads(wanted)
    try:
        yield
    finally:
        torch.set_num_threads(before)
