"""Where the base is and how fast it moves, from IMU, encoders and motor torques alone."""

from __future__ import annotations

from collections.abc import Callable

from mimic.deploy.messages import RobotState

See = Callable[[RobotState | None], RobotState | None]


def estimating(robot: str) -> See:
    """What adds an estimate of the base to each state of a robot, by its name or description file.

    Args:
        robot: empty: states stay as they are.
    """
    if not robot:
        return lambda state: state
    import robots
    from mimic.deploy.estimation.estimator import StateEstimator, WithEstimate

    return WithEstimate(StateEstimator(robots.load(robot)))
