"""The model of the robot that a world-model run has learnt, taken out of its checkpoint.

A by-product of training: it plays policies (``mimic.learning.learned_engine``) and tells how well a
reference can be followed (``mimic.evaluation.feasibility``). It comes with a measure of what it
knows: how far the network's inputs are from those of the replayed transitions it was fitted to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import robots
from mimic.configuration import from_plain
from mimic.learning.checkpoints import find_checkpoint, load_checkpoint
from mimic.learning.modules.dynamics import Dynamics, Stepping
from mimic.learning.run_dir import config_file, read_config
from mimic.learning.world_model_config import WorldModelConfig
from mimic.sim.scene import PHYSICS_HZ
from mimic_base.errors import MimicError
from robots import Robot

SAMPLED = 20_000
"""Replayed transitions from which ``Familiarity`` is measured."""
KNOWN_SHARE = 0.999
"""Share of the replayed transitions that lie within a distance of one."""


@dataclass(frozen=True, kw_only=True)
class Familiarity:
    """How far inputs of the network are from those it was fitted to: Mahalanobis's distance over
    that within which ``KNOWN_SHARE`` of the replayed inputs lie. Up to 1 is known ground."""

    mean: torch.Tensor
    """[D]"""
    whitening: torch.Tensor
    """[D, D]: ``(x - mean) @ whitening`` has unit covariance."""
    radius: torch.Tensor
    """[] the distance that counts as one."""

    @classmethod
    def of(cls, inputs: torch.Tensor) -> Familiarity:
        """Measure it from the inputs [M, D] of replayed transitions."""
        x = inputs.double()
        mean = x.mean(0)
        covariance = torch.cov(x.T)
        # A little of each column's own spread keeps directions that never moved from dominating.
        covariance = covariance + torch.diag(0.02 * covariance.diagonal() + 1e-6)
        values, vectors = torch.linalg.eigh(covariance)
        whitening = vectors / values.sqrt()
        radius = ((x - mean) @ whitening).norm(dim=-1).quantile(KNOWN_SHARE)
        return cls(mean=mean.float(), whitening=whitening.float(), radius=radius.float())

    def distance(self, inputs: torch.Tensor) -> torch.Tensor:
        """[N] of inputs [N, D]."""
        return ((inputs - self.mean) @ self.whitening).norm(dim=-1) / self.radius


@dataclass(frozen=True, kw_only=True, eq=False)
class LearnedModel:
    """A model of one robot, with what is needed to use it alone."""

    dynamics: Dynamics
    """One control step."""
    familiarity: Familiarity | None
    """What it knows; None where the checkpoint holds no replayed transitions."""
    robot: Robot
    """Whose motion it has learnt."""
    control_dt: float
    """Seconds of a control step."""
    source: Path
    """The checkpoint."""
    iteration: int
    samples: int
    """How far the run was."""

    def stepping(self, state: torch.Tensor) -> Stepping:
        """The model going on from states [N, 13 + 2 J]: called once a control step, in order."""
        return self.dynamics.stepping(state)

    def about(self) -> dict[str, Any]:
        """Plain values that say which model it is."""
        return {
            "checkpoint": str(self.source),
            "robot": self.robot.name,
            "iterations": self.iteration,
            "samples": self.samples,
        }


def load_model(
    run: Path | str, robot: Robot | str | Path | None = None, device: str = "cpu"
) -> LearnedModel:
    """The model in a run directory or a checkpoint of the world-model trainer.

    Args:
        robot: instead of the one that the run names.

    Raises:
        MimicError: absent or damaged checkpoint, one of another algorithm or robot.
    """
    path = find_checkpoint(run)
    state = load_checkpoint(path, device)
    name = state["algorithm"]["name"]
    learner = state["algorithm"]["state"].get("learner")
    if name != "world-model" or not isinstance(learner, Mapping):
        raise MimicError(
            f"{path}: a checkpoint of algorithm '{name}' holds no model of the robot; give a run "
            "of mimic train --algorithm world-model"
        )
    if not learner.get("fitted"):
        raise MimicError(
            f"{path}: its model has not been fitted yet (iteration {state['iteration']}, before "
            "the end of the warm-up); train on"
        )
    config = from_plain(
        WorldModelConfig,
        state["config"]["algorithm"],
        source=f"{path}: algorithm",
        imports=False,
        lenient=True,
    )
    body = _robot(path, state, robot)
    try:
        dynamics = _dynamics(state, learner, config, body, path).to(device)
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, MimicError):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise MimicError(
            f"{path}: its model does not fit its configuration ({reason[:120]}); use the version "
            "of the program it was written by"
        ) from error
    dynamics.requires_grad_(False)
    return LearnedModel(
        dynamics=dynamics,
        familiarity=_familiarity(dynamics, learner.get("replay")),
        robot=body,
        control_dt=dynamics.dt,
        source=path,
        iteration=int(state["iteration"]),
        samples=int(state["samples"]),
    )


def _robot(path: Path, state: Mapping[str, Any], given: Robot | str | Path | None) -> Robot:
    """The robot of the checkpoint; a run directory knows the file of one of one's own."""
    name = state["identity"]["robot"]
    if given is None:
        folder = path.parent.parent
        known = read_config(folder).get("robot") if config_file(folder) is not None else None
        given = str(known or name)
    body = given if isinstance(given, Robot) else robots.load(given)
    if body.name != name:
        raise MimicError(f"{path}: the model is of robot '{name}', not of '{body.name}'")
    return body


def _dynamics(
    state: Mapping[str, Any],
    learner: Mapping[str, Any],
    config: WorldModelConfig,
    robot: Robot,
    path: Path,
) -> Dynamics:
    about = learner.get("model")
    spec, joints = state["spec"], robot.num_joints
    if isinstance(about, Mapping):
        default, scale = about["default_joint_pos"], about["target_scale"]
        substeps = int(about["substeps"])
    else:
        # Older checkpoints: an action for every joint.
        if spec["num_actions"] != joints:
            raise MimicError(
                f"{path}: its {spec['num_actions']} actions are not the {joints} joints of robot "
                f"'{robot.name}', and the checkpoint does not say how they move them; train again"
            )
        default = torch.tensor(spec["default_joint_pos"], dtype=torch.float32)
        scale = torch.tensor(spec["action_scale"], dtype=torch.float32)
        task = state["config"].get("task") or {}
        substeps = round(task.get("physics_hz", PHYSICS_HZ) * spec["control_dt"])
    if len(default) != joints or len(scale) != joints:
        raise MimicError(
            f"{path}: its model has {len(default)} joints, robot '{robot.name}' has {joints}; use "
            "the robot it was trained with"
        )
    widths = config.model_hidden
    weights = sum(a * b for a, b in zip(widths, widths[1:], strict=False)) + sum(widths)
    if weights > path.stat().st_size:
        raise MimicError(
            f"{path}: its model does not fit its configuration (model_hidden would have {weights} "
            f"weights, the file has {path.stat().st_size} bytes); use another checkpoint"
        )
    own = 4 + (6 + joints) + 2 * joints
    context = len(learner["dynamics"]["in_mean"]) - own * (1 + config.model_history)
    dynamics = Dynamics(
        default.cpu(), scale.cpu(), float(spec["control_dt"]), substeps, config.model_hidden,
        history=config.model_history, context=max(context, 0), members=config.ensemble,
    )  # fmt: skip
    dynamics.load_state_dict(learner["dynamics"])
    return dynamics


def _familiarity(dynamics: Dynamics, replay: Any) -> Familiarity | None:
    """From the replayed transitions that the model was fitted to."""
    if not isinstance(replay, Mapping) or not int(replay.get("steps", 0)):
        return None
    fields, fine = replay["fields"], replay["pure"].flatten().nonzero().squeeze(-1)
    if len(fine) < 100:
        return None
    if len(fine) > SAMPLED:
        # Evenly over time, the same ones every time.
        fine = fine[torch.linspace(0, len(fine) - 1, SAMPLED).long()]
    states = fields["state"].flatten(0, 1)[fine].to(dynamics.in_mean)
    default = fields["default_joint_pos"].flatten(0, 1)[fine].to(dynamics.in_mean)
    actions = fields["actions"].flatten(0, 1)[fine].to(dynamics.in_mean)
    if actions.shape[-1] != dynamics.joints:
        return None
    targets = default + actions / dynamics.inverse_scale
    return Familiarity.of(dynamics.inputs(states, targets))
