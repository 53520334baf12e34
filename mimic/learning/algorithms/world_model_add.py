"""ADD through a learnt model of the robot: ``mimic.learning.algorithms.add``'s discriminator of
differences, climbed by its gradient. ``r_style = -log(1 - sigmoid(D)) / log 4``, at most 1.
"""

from __future__ import annotations

from mimic.learning.algorithms.add import ADDAdversary
from mimic.learning.world_model.motion_prior import WorldModelWithPrior
from mimic.learning.world_model_prior_config import WorldModelADDConfig


class WorldModelADD(WorldModelWithPrior):
    """See the module."""

    Config = WorldModelADDConfig
    config: WorldModelADDConfig
    Judge = ADDAdversary
