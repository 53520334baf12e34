"""Judging a policy: named protocols, metrics, and the functions that play them."""

from mimic.evaluation.evaluate import evaluate
from mimic.evaluation.protocols import PROTOCOLS, Protocol, default_protocol, get_protocol
from mimic.evaluation.result import EvaluationResult
from mimic.evaluation.task_episodes import TaskResult, evaluate_task

__all__ = [
    "PROTOCOLS", "EvaluationResult", "Protocol", "TaskResult", "default_protocol", "evaluate",
    "evaluate_task", "get_protocol",
]  # fmt: skip
