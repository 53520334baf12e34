"""LCP: Lipschitz-constrained policies (Chen et al. 2024, arXiv 2410.11825).

A policy is smooth where it does not change fast with what it sees. Instead of rewarding small
changes of the actions, which must be tuned for every task, PPO's loss gets the penalty

    ``L = L_PPO + lambda E |d log pi(a | o) / d o|^2``

over the rollout's own actions and its normalised observations, with lambda = 0.002; the standard
deviation of the actions is taken as given in it, since a wider one makes log pi flatter and the
policy no smoother. The penalty is
computed where the surrogate is (``mimic.learning.parallel_ppo``); of an actor with command
feedthrough it is that of the network, not of the commanded pose that is added to its output: that
pose is as smooth as the clip. The presets take the task's reward for a small action rate away
(``mimic.learning.lcp_config``).
"""

from __future__ import annotations

from mimic.learning.algorithms.ppo import PPO
from mimic.learning.lcp_config import LCPConfig


class LCP(PPO):
    """PPO with the gradient penalty; everything else is PPO's."""

    Config = LCPConfig
    takes_actor_of = PPO.takes_actor_of | {"ppo"}
