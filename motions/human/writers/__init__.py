"""Writers of human clips."""

from __future__ import annotations

from motions.human.writers.bvh import write_bvh

__all__ = ["write_bvh"]
