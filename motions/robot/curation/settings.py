"""What a motion has to satisfy to be kept, and how far repairs may go."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Limits on the measures of a chunk. The measures are PHUMA's (arXiv 2510.26236), taken on the
    robot; docs/curation.md tells where each number comes from. Heights are shares of the height of
    the base in the default pose."""

    contact_score: float = 0.6
    """Least mean share of sole points of the best-placed half foot within 2.5 cm of the ground."""
    root_jerk: float = 80.0
    """Most mean jerk of the base after PHUMA's 3 Hz filter, m/s^3 (PHUMA: 50)."""
    base_height_min: float = 0.45
    base_height_max: float = 1.6
    support_distance: float = 0.06
    """Most mean horizontal distance from the centre of mass to the hull of both soles, m."""
    penetration: float = 0.05
    """Deepest point under the ground, m."""
    penetration_rate: float = 0.15
    """Most share of frames with a point deeper than 2 cm."""
    limit_excess: float = 0.10
    """Most rad beyond a joint's range after repair."""
    fast_rate: float = 0.01
    """Most share of samples faster than the joint's motor."""


@dataclass(frozen=True, kw_only=True)
class FaultSettings:
    """What counts as a fault of the recording, and what is repaired."""

    root_step: float = 0.08
    """m between two frames, beyond which an isolated step of the base is a fault."""
    turn_step: float = 0.30
    """rad, likewise for the base's rotation."""
    joint_step: float = 0.50
    """rad, likewise for a joint."""
    isolation: float = 3.0
    """An isolated step is so many times larger than the largest just before and after."""
    moving: float = 0.25
    """rad/s root mean square over the joints: a stop from and to such speed is a frozen frame."""
    longest_gap: float = 0.25
    """Seconds that are filled by interpolation at most."""
    joint_jump: float = 1.2
    """rad; a joint's jump up to here is spread over `joint_spread` s, the clip is not cut."""
    joint_spread: float = 0.2
    longest_drop: int = 4
    """Frames that may be missing between two neighbours."""
    drop_evidence: float = 10.0
    """How much better the motion has to fit with frames missing than without, summed over base and
    joints (see `motions.robot.curation.drops`); clean clips reach 4."""
    edge: float = 0.5
    """Seconds at the ends of a clip within which a jump is cut off rather than split at."""


@dataclass(frozen=True, kw_only=True)
class CurationSettings:
    """Everything that decides about a clip."""

    chunk: float = 4.0
    overlap: float = 0.5
    shortest: float = 1.0
    """Seconds; PHUMA's chunks."""
    thresholds: Thresholds = field(default_factory=Thresholds)
    faults: FaultSettings = field(default_factory=FaultSettings)
    repair: bool = True
    """Repair short faults; else they are reasons to reject."""
    feasibility: float = 0.5
    """Least score of a chunk's hardest window, where a learned model has scored the clip."""
    shift_ground: float = 0.10
    """Most m by which a clip is lifted or lowered onto the ground."""
