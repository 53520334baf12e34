"""Engines, one file each; the registry is ``mimic.sim.choice.ENGINES``."""
