"""The parts of the world-model trainer: what it collects, fits, climbs and measures."""
