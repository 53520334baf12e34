"""Judging a policy while it is trained: how many samples and minutes until it tracks its clips."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from mimic.envs.environment import Environment, TaskConfig
from mimic.evaluation.evaluate import evaluate, make_evaluation_env
from mimic.evaluation.protocols import default_protocol, get_protocol
from mimic.evaluation.task_episodes import evaluate_task
from mimic_base.errors import MimicError
from mimic_base.files import append_line
from robots import Robot

JUDGEMENTS = "judgements.jsonl"


class Training(Protocol):
    """What a judge needs to know of a training run."""

    iteration: int
    samples: int
    wall_s: float
    run_dir: Path | None

    def policy(self) -> torch.nn.Module:
        """The deterministic policy as it is now, [N, D] -> [N, A]."""
        ...


class TrainingJudge:
    """A callback of ``Runner.learn`` that plays the policy every few iterations.

    Where the task tracks clips, on these by the protocol ``noisy-start``; else on the task's own
    episodes by the protocol ``task``. The noise and the commands are the same at every judgement.
    Each judgement is a line of ``judgements.jsonl`` in the run directory.

    Args:
        task: the task by which the policy is judged; its terminations end its own episodes only.
        every: iterations between judgements. episodes: of each clip, or of the task.
        until: end the training once this share of the episodes succeeds; 0 never does.

    Raises:
        MimicError: a share outside 0..1, or fewer than one iteration or episode.
    """

    def __init__(
        self,
        motions: Sequence[Path],
        task: TaskConfig,
        robot: Robot,
        engine: str,
        *,
        every: int,
        episodes: int = 100,
        until: float = 0.0,
    ) -> None:
        if every < 1:
            raise MimicError(f"judge-every must be at least 1 iteration, got {every}")
        if not 0.0 <= until <= 1.0:
            raise MimicError(f"judge-until is a share of episodes from 0 to 1, got {until}")
        self.motions, self.task, self.robot, self.engine = tuple(motions), task, robot, engine
        self.protocol = get_protocol(default_protocol(task), episodes=episodes)
        self.every, self.until = every, until
        self._env: Environment | None = None

    def __call__(self, iteration: int, run: Training) -> bool:
        """Judge, when it is time; whether the training has reached its goal."""
        if iteration % self.every:
            return False
        if self._env is None:
            # Made once: clips, engine and compiled programs serve every judgement.
            self._env = make_evaluation_env(
                self.task, self.motions, self.protocol, robot=self.robot, engine=self.engine
            )
        policy = run.policy().to(self._env.device)

        def act(obs: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                return policy(obs)

        judge = evaluate_task if self.protocol.own_episodes else evaluate
        total = judge(
            act, self.motions, self.protocol,
            task=self.task, robot=self.robot, engine=self.engine, env=self._env,
        ).total  # fmt: skip
        record: dict[str, Any] = {
            "iteration": iteration,
            "samples": run.samples,
            "wall_s": run.wall_s,
            **total.to_dict(),
        }
        if run.run_dir is not None:
            append_line(run.run_dir / JUDGEMENTS, json.dumps(record))
        print(f"    judged   {total.sentence()}", flush=True)
        return self.until > 0 and total.success >= self.until
