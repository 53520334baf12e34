"""AMP through a learnt model of the robot: its discriminator is climbed by its gradient.

The discriminator is that of ``mimic.learning.algorithms.amp``.

    r = w_task r_task / r_max + w_style r_style

``r_style`` is the publication's with a slope wherever it is not yet good, since who follows a
gradient has none where a reward is clipped (``mimic.learning.modules.discriminator``):

    least squares:   1 - (D - 1)^2 / 4, and 1 + D below D = -1
    cross entropy:   -log(1 - sigmoid(D)) / log 4, at most 1
"""

from __future__ import annotations

from mimic.learning.algorithms.amp import AMPAdversary
from mimic.learning.world_model.motion_prior import WorldModelWithPrior
from mimic.learning.world_model_prior_config import WorldModelAMPConfig


class WorldModelAMP(WorldModelWithPrior):
    """See the module."""

    Config = WorldModelAMPConfig
    config: WorldModelAMPConfig
    Judge = AMPAdversary
