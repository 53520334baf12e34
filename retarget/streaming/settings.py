"""Numbers of the streaming retargeter."""

from __future__ import annotations

from dataclasses import dataclass, field

from retarget.contacts import ContactSettings
from retarget.ik import IkSettings
from retarget.scaling import RootFitSettings


@dataclass(frozen=True)
class StreamSettings:
    """Everything that shapes a stream's output."""

    ik: IkSettings = field(default_factory=IkSettings)
    contacts: ContactSettings = field(default_factory=ContactSettings)
    root: RootFitSettings = field(default_factory=RootFitSettings)
    source_hz: float | None = None
    """Cut-off of a first-order filter on the source at rest, Hz; None for none."""
    source_beta: float = 2.0
    """How much the cut-off rises, Hz per m/s of the joint (Casiez, Roussel, Vogel 2012: 1 euro
    filter)."""
    calibration_seconds: float = 2.0
    """Without a calibration clip: what is seen of the person until then calibrates."""
    blend_seconds: float = 0.5
    """A better calibration takes over within this time."""
    orientation_iterations: int = 1
    """Most solver steps per frame for where the limbs point."""
    position_iterations: int = 2
    """Most solver steps per frame for the whole pose."""
    warm_up: int = 60
    """Solver steps of the first frame, each of both stages."""
    bend: float = 0.5
    """Pull of every hinge to where an even movement would take it, per radian."""
    evenness: float = 0.6
    """Share of the last step that an even movement repeats; weakly held hinges would swing to and
    fro with all of it."""
    rise_seconds: float = 0.1
    """A foot that begins to stand is held fully after this time."""
    fall_seconds: float = 0.1
    carry_seconds: float = 0.12
    """How long the correction of a footprint lasts when the foot has left it."""
    glide: float = 0.03
    """m; a standing foot whose source strays by more follows it."""
    pivot_deg: float = 8.0
    """A standing foot whose source turns by more turns with it."""
    ground_speed: float = 0.1
    """m/s; a better estimate of the ground's height is approached so fast."""
    ground_seconds: float = 20.0
    """What soles have stood on so long ago still tells where the ground is, while one foot rests;
    both fill the memory twice as fast."""
    coast_seconds: float = 0.08
    """Time constant with which the source's movement fades while frames are missing."""
    hold_seconds: float = 0.25
    """After that time without frames the source counts as lost and is held."""
    jump_speed: float = 8.0
    """m/s, of the person's hips; faster is a jump of the source, which the robot does not follow
    over the ground."""
    root_turn_speed: float = 15.0
    """rad/s; the robot's root does not turn faster."""
    root_speed: float = 6.0
    """m/s; the robot's root does not move faster, but to stay above the ground."""
    allowed_depth: float = 0.002
    """m; soles are lifted that go deeper into the ground."""
