"""How well a finished run of a comparison does: everything judged alike."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mimic.evaluation.evaluate import evaluate
from mimic.evaluation.gait import GAIT
from mimic.evaluation.judge import JUDGEMENTS
from mimic.evaluation.measures import DEFAULT_ERRORS
from mimic.evaluation.policies import load, named_task
from mimic.evaluation.protocols import default_protocol, get_protocol
from mimic.evaluation.task_episodes import evaluate_task
from mimic.tasks.tracking import tracking_rewards

LOCAL = "mpjpe_l_mm"


def judged_run(
    run: Path, motions: Sequence[Path], *, episodes: int, robot: str, engine: str, device: str
) -> dict[str, Any]:
    """Figures of a run: of a task of clips by noisy starts with smoothness, of another by its own
    episodes. Returns of all tasks of clips are those of task tracking's kernels."""
    loaded = load(run)
    task, _ = named_task(loaded)
    protocol = get_protocol(default_protocol(task), episodes=episodes)
    if protocol.own_episodes:
        total = evaluate_task(
            loaded, motions, protocol, task=task, robot=robot, engine=engine, device=device
        ).total
    else:
        protocol = replace(protocol, smoothness=True, errors=(*DEFAULT_ERRORS, LOCAL))
        task = replace(task, rewards=tracking_rewards())
        total = evaluate(
            loaded, motions, protocol, task=task, robot=robot, engine=engine, device=device
        ).total
    figures = {**_of_its_own(total.to_dict()), **getattr(total, "smoothness", {})}
    kept = ("episodes", "success", "normalised_return", "survived_s", "survived_share", "failures",
            *DEFAULT_ERRORS, LOCAL, "joint_jerk_rms", "torque_rate_rms", "joint_acceleration_rms",
            "action_rate_rms", "gait_distance")  # fmt: skip
    return {name: _plain(figures[name]) for name in kept if name in figures}


def curve_of(run: Path, marks: Mapping[int, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The judgements of a run with their minutes, an iteration judged twice once.

    Args:
        marks: by iteration, with ``seconds``; every judgement has one.
    """
    file = run / JUDGEMENTS
    found: dict[int, dict[str, Any]] = {}
    if file.is_file():
        for line in file.read_text(encoding="utf-8").splitlines():
            each = _of_its_own(json.loads(line))
            found[each["iteration"]] = {
                "iteration": each["iteration"], "samples": each["samples"],
                "minutes": marks[each["iteration"]]["seconds"] / 60.0,
                "success": each["success"], "survived_share": each["survived_share"],
                "normalised_return": each.get("normalised_return"),
            }  # fmt: skip
    return [found[iteration] for iteration in sorted(found)]


def _of_its_own(figures: dict[str, Any]) -> dict[str, Any]:
    """Figures of a task's own episodes by the names of those of clips."""
    if "survived_s" in figures:
        return figures
    length, longest = figures["length_s"], figures["longest_s"]
    gait = figures.get("measured", {}).get(GAIT)
    return {
        **figures,
        "survived_s": length,
        "survived_share": length / longest,
        **({} if gait is None else {"gait_distance": gait}),
    }


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
