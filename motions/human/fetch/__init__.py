"""Fetching clips from their official places: ``python -m motions fetch cmu/02_01``."""

from __future__ import annotations

from motions.human.fetch.cli import main
from motions.human.fetch.cmu import fetch_cmu

__all__ = ["fetch_cmu", "main"]
