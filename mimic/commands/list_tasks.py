"""``mimic list``: the tasks there are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mimic.commands.output import make_console

if TYPE_CHECKING:
    from robots import Robot

GROUPS = ("actor", "critic")
PACKAGES = ("mimic_base", "robots", "motions", "mimic")
"""What a task's sizes may depend on beside the robot."""


@dataclass(frozen=True, kw_only=True)
class ListTasks:
    """List the tasks a policy can be trained for, with the observations each gives."""

    robot: str = "unitree_g1"
    """Robot name, or a description file (.toml); its sizes are shown."""
    terms: bool = False
    """Also list every observation, reward and termination."""

    def run(self) -> int:
        from rich.table import Table

        import robots

        console = make_console()
        robot = robots.load(self.robot)
        table = Table(title=f"tasks on {robot.name}", title_style="")
        for heading in ("task", "actor", "critic", "actions", "rewards", "terminations"):
            table.add_column(heading, justify="left" if heading == "task" else "right")
        tasks = task_facts(robot)
        for task in tasks:
            sizes = (str(_size(task["observations"][group])) for group in GROUPS)
            table.add_row(
                task["name"], *sizes, str(task["actions"]), str(len(task["rewards"])),
                str(len(task["terminations"])),
            )  # fmt: skip
        console.print(table)
        if self.terms:
            for task in tasks:
                console.print(f"\n[bold]{task['name']}[/bold]")
                for group in GROUPS:
                    parts = [f"{t['name']} {t['size']}" for t in task["observations"][group]]
                    console.print(f"  {group}: {', '.join(parts)}")
                rewards = [f"{name} {weight:g}" for name, weight in task["rewards"].items()]
                console.print(f"  rewards: {', '.join(rewards)}")
                console.print(f"  terminations: {', '.join(task['terminations'])}")
        return 0


def task_facts(robot: Robot) -> list[dict[str, Any]]:
    """Sizes and terms of every task on a robot.

    They are measured, not written down: one environment of each task is built, once for a state of
    the program and the robot; afterwards they are read from the user's cache.
    """
    import numpy as np

    from mimic_base.cache import load_arrays, save_arrays

    key = f"{program_hash()} {robot.content_hash}"
    kept = load_arrays("tasks", robot.name, key)
    if kept is not None and "facts" in kept:
        return json.loads(kept["facts"].tobytes())
    facts = measured_facts(robot)
    arrays = {"facts": np.frombuffer(json.dumps(facts).encode(), np.uint8)}
    save_arrays("tasks", robot.name, key, arrays)
    return facts


def measured_facts(robot: Robot) -> list[dict[str, Any]]:
    """What `task_facts` says, of environments built for it."""
    import gc

    from mimic.benchmark.motion import squat
    from mimic.tasks import make_env, task_names

    facts = []
    for name in task_names():
        env = make_env(name, [squat(robot)], num_envs=1, robot=robot)
        facts.append(
            {
                "name": env.task_name,
                "observations": {group: env.observation_layout(group) for group in GROUPS},
                "actions": env.num_actions,
                "rewards": {term: float(its.weight) for term, its in env.cfg.rewards.items()},
                "terminations": list(env.cfg.terminations),
            }
        )
        # An environment and its terms know each other; a dozen of them are gigabytes.
        del env
        gc.collect()
    return facts


def program_hash() -> str:
    """Hash of the program's own text."""
    from importlib import resources
    from pathlib import Path

    from mimic_base.cache import digest_of

    folders = [Path(str(resources.files(package))) for package in PACKAGES]
    return digest_of(path for folder in folders for path in sorted(folder.rglob("*.py")))


def _size(layout: list[dict[str, Any]]) -> int:
    return sum(term["size"] * term["history"] for term in layout)
