"""Vectorised environments made of named terms."""

from mimic.envs.env import EnvConfig, TrackingEnv

__all__ = ["EnvConfig", "TrackingEnv"]
