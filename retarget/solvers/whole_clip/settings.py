"""Numbers of the whole-clip solver."""

from __future__ import annotations

from dataclasses import dataclass, field

from retarget.solvers.weights import ObjectiveWeights


def _weights() -> ObjectiveWeights:
    """Trunk and swinging feet are held less than frame by frame: the solver sees where it leads.

    Legs are held more: their directions are at odds with the footprints, arms' with nothing. Soles
    are held down but lightly: the ground keeps them up, and a straight leg that were held at a
    height would throw the root up and down with every tenth of a degree.
    """
    segments = dict(
        ObjectiveWeights().segments,
        pelvis=(1.0, 1.0),
        chest=(1.0, 0.7),
        thigh=(4.2, 0.15),
        shank=(4.2, 0.15),
    )
    return ObjectiveWeights(
        segments=segments, root=1.0, ankle=1.5, standing_edge=160.0, standing_height=16.0
    )


@dataclass(frozen=True)
class ClipSettings:
    """Weights of the whole-clip solver."""

    weights: ObjectiveWeights = field(default_factory=_weights)
    """Weights of the person's objectives and of the rest posture."""

    smooth_root: float = 18.0
    """Weight of root accelerations, per metre and squared frame at 30 frames/s; it is scaled with
    the square of the rate."""
    smooth_turn: float = 2.0
    """Weight of the root's angular accelerations, per radian and squared frame."""
    smooth_joint: float = 1.41
    """Weight of joint accelerations, per radian and squared frame."""
    smooth_ankle: float = 2.0
    """Factor on that of ankles: they turn the foot, whose orientation matters less than limbs'."""
    limit: float = 20.0
    """Weight of the excess of a joint nearer than `limit_margin` to its limit, per radian."""
    limit_margin: float = 0.04
    """rad inside the joints' range that the solver keeps to."""
    speed: float = 20.0
    """Weight of a joint's step between frames beyond its own speed limit, per radian."""
    speed_share: float = 0.9
    max_frame_step: float = 0.40
    """rad per frame at most, whatever the speed limit."""
    loose: float = 0.1
    """Factor on the smoothness of stage 1, which only finds the postures."""
    key_hz: float = 12.0
    """Stage 1 solves key frames at about this rate."""
    coarse_tolerance: float = 0.1
    """rad; a key frame is settled when it moves less: stage 2 moves every frame again."""
    iterations: tuple[int, int] = (12, 40)
    """Most Gauss-Newton steps of stage 1 (orientations) and stage 2 (positions, contacts)."""
    held: float = 100.0
    """Weight of the step of a joint that a limit has stopped (an active bound), per radian."""
    damping: float = 1e-2
    most_damping: float = 100.0
    max_step: float = 0.5
    """rad; the step of a frame is cut to it, where the linearisation holds no further."""
