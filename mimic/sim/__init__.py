"""Physics engines behind one small protocol."""

from mimic.sim.choice import ENGINES, pick_device
from mimic.sim.engine import Engine, make_engine
from mimic.sim.errors import EngineError

__all__ = ["ENGINES", "Engine", "EngineError", "make_engine", "pick_device"]
