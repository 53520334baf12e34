"""Everything that shapes the result of retargeting, as data."""

from __future__ import annotations

from dataclasses import dataclass, field

from retarget.choices import Method
from retarget.feet.contacts import ContactSettings
from retarget.person.scaling import RootFitSettings
from retarget.solvers.per_frame.settings import FrameSettings
from retarget.solvers.whole_clip.settings import ClipSettings


@dataclass(frozen=True)
class RetargetSettings:
    """Everything that shapes the result."""

    source_hz: float = 8.0
    """Cut-off of the zero-phase filter on the source, Hz; above human movement, below jitter."""
    contacts: ContactSettings = field(default_factory=ContactSettings)
    root: RootFitSettings = field(default_factory=RootFitSettings)
    method: Method = "whole-clip"
    """All frames at once, or one after the other."""
    clip: ClipSettings = field(default_factory=ClipSettings)
    per_frame: FrameSettings = field(default_factory=FrameSettings)
