"""Physics engines behind one abstract class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mimic_base.lazy import lazy_attributes

if TYPE_CHECKING:
    from mimic.sim.choice import ENGINES, pick_device
    from mimic.sim.engine import Engine, make_engine
    from mimic.sim.errors import EngineError

__all__ = ["ENGINES", "Engine", "EngineError", "make_engine", "pick_device"]

# Who composes a scene only, such as the viewer of a policy file, needs no torch.
__getattr__ = lazy_attributes(
    __name__,
    {
        "ENGINES": "mimic.sim.choice",
        "Engine": "mimic.sim.engine",
        "EngineError": "mimic.sim.errors",
        "make_engine": "mimic.sim.engine",
        "pick_device": "mimic.sim.choice",
    },
)
