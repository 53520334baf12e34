"""What makes a policy fall: success against disturbances, one at a time and all together."""

from mimic.evaluation.robustness.disturbances import DISTURBANCES, Disturbance
from mimic.evaluation.robustness.sweep import RobustnessResult, sweep_robustness

__all__ = ["DISTURBANCES", "Disturbance", "RobustnessResult", "sweep_robustness"]
