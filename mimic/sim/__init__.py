"""Physics engines behind one small protocol."""

from mimic.sim.engine import Engine, make_engine

__all__ = ["Engine", "make_engine"]
