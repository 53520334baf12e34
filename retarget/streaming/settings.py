"""Numbers of the streaming retargeter."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from mimic_base.errors import InputError, input_error
from retarget.feet.contacts import ContactSettings
from retarget.person.scaling import RootFitSettings
from retarget.solvers.per_frame.settings import IkSettings


@dataclass(frozen=True)
class StreamSettings:
    """Everything that shapes a stream's output.

    Raises `InputError` for a value that cannot be.
    """

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
    """Pull of every joint to where an even movement would take it, per radian."""
    evenness: float = 0.6
    """Share of the last step that an even movement repeats; weakly held joints would swing to and
    fro with all of it."""
    rise_seconds: float = 0.1
    """A foot that begins to stand is held fully after this time."""
    fall_seconds: float = 0.1
    carry_seconds: float = 0.12
    """How long the correction of a footprint lasts when the foot has left it."""
    slide: float = 0.03
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

    def __post_init__(self) -> None:
        for name, kind in (
            ("ik", IkSettings), ("contacts", ContactSettings), ("root", RootFitSettings)
        ):  # fmt: skip
            if not isinstance(getattr(self, name), kind):
                raise _refusal(name, getattr(self, name), f"a {kind.__name__}")
        for name in _COUNTS:
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise _refusal(name, value, "a whole number, at least 1")
        for name in _POSITIVE:
            if not (name == "source_hz" and self.source_hz is None):
                self._check(name, zero=False)
        for name in _AT_LEAST_ZERO:
            self._check(name, zero=True)
        if self.evenness > 1.0:
            raise _refusal("evenness", self.evenness, "a share from 0 to 1")

    def _check(self, name: str, *, zero: bool) -> None:
        value = getattr(self, name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (number and math.isfinite(value) and (value > 0 or (zero and value == 0))):
            least = "at least 0" if zero else "above 0"
            raise _refusal(name, value, f"a number, {least}")


_COUNTS = ("orientation_iterations", "position_iterations", "warm_up")
_POSITIVE = (
    "source_hz", "blend_seconds", "carry_seconds", "ground_speed", "ground_seconds",
    "coast_seconds", "jump_speed", "root_turn_speed", "root_speed",
)  # fmt: skip
_AT_LEAST_ZERO = (
    "source_beta", "calibration_seconds", "bend", "evenness", "rise_seconds", "fall_seconds",
    "slide", "pivot_deg", "hold_seconds", "allowed_depth",
)  # fmt: skip


def _refusal(name: str, value: object, expected: str) -> InputError:
    return input_error(None, f"StreamSettings: {name}", found=repr(value), expected=expected)
