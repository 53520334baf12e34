"""Former names of events of `mimic.envs.mdp.randomisation`, for files that have them."""

from mimic.envs.mdp.randomisation import masses as randomize_link_mass
from mimic.envs.mdp.randomisation import motors as randomize_motors

__all__ = ["randomize_link_mass", "randomize_motors"]
