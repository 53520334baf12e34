"""What the solver is asked for: named, weighted objectives (`objective`), and those that a
calibrated person makes for a robot (`human`). An objective of one's own is any object with the
methods of `Objective`; it needs no place in this package."""

from retarget.objectives.objective import (
    Direction,
    DirectionStack,
    Distance,
    Height,
    Objective,
    Orientation,
    Point,
    PointStack,
    Posture,
    named,
    stacked,
)

__all__ = [
    "Direction",
    "DirectionStack",
    "Distance",
    "Height",
    "Objective",
    "Orientation",
    "Point",
    "PointStack",
    "Posture",
    "named",
    "stacked",
]
