"""``mimic list``: the tasks there are."""

from __future__ import annotations

from dataclasses import dataclass

from mimic.commands.output import make_console


@dataclass(frozen=True, kw_only=True)
class ListTasks:
    """List the tasks a policy can be trained for, with the observations each gives."""

    robot: str = "unitree_g1"
    """Robot whose sizes are shown, or the path of its description."""
    terms: bool = False
    """Also list every observation, reward and termination."""

    def run(self) -> int:
        from rich.table import Table

        import robots
        from mimic.benchmark.motion import squat
        from mimic.tasks import make_env, task_names

        console = make_console()
        robot = robots.load(self.robot)
        table = Table(title=f"tasks on {robot.name}", title_style="")
        for heading in ("task", "actor", "critic", "actions", "rewards", "terminations"):
            table.add_column(heading, justify="left" if heading == "task" else "right")
        # Sizes are measured, not written down: one environment of each task is built.
        envs = [make_env(name, [squat(robot)], num_envs=1, robot=robot) for name in task_names()]
        for env in envs:
            sizes = {group: _size(env.observation_layout(group)) for group in ("actor", "critic")}
            table.add_row(
                env.task_name, str(sizes["actor"]), str(sizes["critic"]), str(env.num_actions),
                str(len(env.cfg.rewards)), str(len(env.cfg.terminations)),
            )  # fmt: skip
        console.print(table)
        if self.terms:
            for env in envs:
                console.print(f"\n[bold]{env.task_name}[/bold]")
                for group in ("actor", "critic"):
                    parts = [f"{t['name']} {t['size']}" for t in env.observation_layout(group)]
                    console.print(f"  {group}: {', '.join(parts)}")
                rewards = [f"{name} {term.weight:g}" for name, term in env.cfg.rewards.items()]
                console.print(f"  rewards: {', '.join(rewards)}")
                console.print(f"  terminations: {', '.join(env.cfg.terminations)}")
        return 0


def _size(layout: list[dict]) -> int:
    return sum(term["size"] * term["history"] for term in layout)
