"""Numbers of the solvers that go frame by frame."""

from __future__ import annotations

from dataclasses import dataclass, field

from retarget.solvers.weights import ObjectiveWeights


@dataclass(frozen=True)
class IkSettings:
    """Numbers of the solvers that go frame by frame."""

    weights: ObjectiveWeights = field(default_factory=ObjectiveWeights)
    """Weights of the person's objectives and of the rest posture."""
    posture: float = 1.0
    """Pull of every joint to the smoothed solution (last pass)."""
    pelvis_hold: float = 3.0
    """Weight of the smoothed pelvis' directions (last pass)."""
    keep: float = 0.02
    """Pull of every joint to its last angle: keeps singular poses from spinning."""
    damping: float = 1e-5
    """Added to the diagonal of the normal equations."""
    iterations: tuple[int, int, int] = (3, 4, 2)
    """Most solver steps a frame: stage 1, stage 2, last pass after smoothing."""
    tolerance: float = 1.5e-3
    """rad; a frame is done when no joint moved more in a step."""
    warm_up: int = 80
    """Solver steps for the first frame, from the default pose."""
    max_step: float = 0.45
    """rad per frame at most, beside the joints' own velocity limits."""
    velocity_share: float = 0.95
    """Share of the joints' velocity limits that is used."""
    bad_limb_deg: float = 30.0
    """A limb that misses its direction by more sets off a fresh start (stage 1)."""
    catch_up: float = 3.0
    """Pull of a joint that is more than a frame's step away from where stage 1 has it."""


@dataclass(frozen=True)
class FrameSettings:
    """Settings of the per-frame method."""

    ik: IkSettings = field(default_factory=IkSettings)
    """Weights and limits of the solver."""
    smooth_hz: float | None = 7.0
    """Cut-off of the zero-phase filter on the solution, Hz; None leaves it as solved."""
