"""How far model and critic are from what really happened, and how long rollouts may be."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from mimic.envs.imagination import StateRows
from mimic.learning.imagined_rollouts import judge, survival
from mimic.learning.modules.value import Value, state_values_input
from mimic.learning.returns import discounted_return
from mimic.learning.storage.replay import Replay
from mimic.learning.world_model.payment import Payment
from mimic.learning.world_model.replayed import Replayed, at_times
from mimic.learning.world_model_config import WorldModelConfig

DIAGNOSED = 256
"""Stretches of real steps by which model and critic are measured."""


@torch.no_grad()
def diagnosed(
    config: WorldModelConfig,
    replay: Replay,
    replayed: Replayed,
    value: Value,
    payment: Payment,
) -> dict[str, float]:
    """Errors on the newest stretches, which model and critic have hardly been fitted to.

    The model runs free beside what really happened; ``model/error_k`` is its distance from
    reality after k steps over that of a robot that keeps its velocity.
    """
    imagination, dynamics = replayed.imagination, replayed.dynamics
    horizon = min(config.horizon, replay.filled - 1)
    windows = replay.windows(DIAGNOSED, horizon, config.recent)
    if not len(windows.length):
        return {}
    after, known = replayed.really(windows)
    targets = replayed.targets(windows, windows.actions)
    moment = windows.rows.moment
    free = steady = windows.rows.state
    still = torch.zeros_like(windows.change[0])
    moments, imagined, found = [], [], {}
    past = replayed.past(windows)
    if dynamics.others:
        first = windows.rows.state
        extra = None if past is None else past.extra(dynamics.inputs(first, targets[0]))
        apart = dynamics.disagreement(first, targets[0], extra)
        found["model/disagreement"] = float(apart.mean())
    step = dynamics.following(past)
    for k in range(horizon):
        free = step(free, targets[k])
        steady = dynamics.integrate(steady, still)
        moment = imagination.later(moment)
        moments.append(moment)
        imagined.append(free)
        off = dynamics.distance(free, after[k]).abs().mean(-1)[known[k]].mean()
        kept = dynamics.distance(steady, after[k]).abs().mean(-1)[known[k]].mean()
        found[f"model/error_{k + 1:02d}"] = float(off / kept.clamp_min(1e-9))
    earlier = torch.cat([windows.previous_actions[None], windows.actions[:-1]])
    default, times = windows.default_joint_pos, torch.stack(moments)
    arguments = (times, default, windows.actions, earlier)
    there, there_margins, seen = judge(imagination, after, *arguments, payment.group)
    dreamt, _, seen_there = judge(imagination, torch.stack(imagined), *arguments, payment.group)
    total = imagination.max_reward
    length = windows.length
    there, _ = payment(there / total, seen, windows.judged)
    dreamt, _ = payment(dreamt / total, seen_there, windows.judged)
    real = (there * known).sum(0) / length
    dream = (dreamt * known).sum(0) / length
    # The value of the first states against what followed.
    ends = length - 1
    last = at_times(after, ends)
    rows = StateRows(last, default, at_times(times, ends))
    env = imagination.environment(rows, at_times(windows.actions, ends), earlier[0])
    final = value(state_values_input(imagination.observations(env, "actor"), last))
    paid = there * (1.0 - config.gamma)
    came = discounted_return(
        paid, survival(there_margins, config.softness), final, length, config.gamma
    )
    env = imagination.environment(windows.rows, windows.previous_actions, windows.previous_actions)
    first = windows.rows.state
    thought = value(state_values_input(imagination.observations(env, "actor"), first))
    return {
        **found,
        "return/real": float(real.mean()),
        "return/imagined": float(dream.mean()),
        "return/gap": float((dream - real).abs().mean()),
        "value/error": float((thought - came).abs().mean()),
        "value/mean": float(thought.mean()),
    }


def guarded_horizon(
    config: WorldModelConfig,
    diagnosis: Mapping[str, float],
    horizon: int,
    say: Callable[[str], None],
) -> int:
    """Steps of rollouts: no more than those of which the model still knows something.

    Args:
        horizon: what it was; a change is said.
    """
    if not config.guard or not diagnosis:
        return horizon
    allowed = 0
    for k in range(1, config.horizon + 1):
        error = diagnosis.get(f"model/error_{k:02d}")
        # What nothing is known of yet is no reason to shorten.
        if error is not None and error > config.guard:
            break
        allowed = k
    new = min(config.horizon, max(config.shortest_horizon, allowed))
    if new < horizon:
        worst = diagnosis.get(f"model/error_{min(allowed + 1, config.horizon):02d}", 0.0)
        say(
            f"imagination and reality part: the model's error after {allowed + 1} steps is "
            f"{worst:.2f} of a robot that keeps its velocity; rollouts shortened from "
            f"{horizon} to {new} steps"
        )
    elif new > horizon:
        say(f"the model holds longer: rollouts of {new} steps")
    return new
