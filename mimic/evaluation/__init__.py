"""Judging a policy: named protocols, metrics, and the one function that plays them."""

from mimic.evaluation.evaluate import evaluate
from mimic.evaluation.protocols import PROTOCOLS, Protocol, get_protocol
from mimic.evaluation.result import EvaluationResult

__all__ = ["PROTOCOLS", "EvaluationResult", "Protocol", "evaluate", "get_protocol"]
