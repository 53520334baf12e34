"""Tasks: terms assembled into environments, by name."""

from mimic.tasks.registry import TASKS, make_env, task_names

__all__ = ["TASKS", "make_env", "task_names"]
