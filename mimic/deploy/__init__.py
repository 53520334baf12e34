"""From a policy file to a robot: typed messages, one limiter, trips to damping; no torch."""
