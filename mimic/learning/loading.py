"""A trained policy without its environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mimic.learning.checkpoints import find_checkpoint, load_checkpoint
from mimic.learning.config import TrainConfig
from mimic.learning.models import PlainActor, build_networks


def load_policy(run: Path | str) -> tuple[PlainActor, dict[str, Any]]:
    """Load the policy of a run directory or checkpoint file.

    Returns:
        The deterministic policy (with averaged weights where the run keeps them), obs [N, D] ->
        actions [N, A] on the CPU; and the checkpoint's ``identity`` (task, robot, motions, sizes).

    Raises:
        MimicError: absent or damaged checkpoint.
    """
    state = load_checkpoint(find_checkpoint(run))
    identity = state["identity"]
    sizes = {name: identity[f"{name}_observations"] for name in ("actor", "critic")}
    actor, _ = build_networks(TrainConfig.from_dict(state["config"]), sizes, identity["actions"])
    actor.load_state_dict(state["actor"])
    policy = PlainActor(actor)
    if state["average"] is not None:
        policy.load_weights(state["average"]["weights"])
    return policy, identity
