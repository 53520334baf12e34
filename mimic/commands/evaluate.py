"""``mimic evaluate``: how well a policy does its task, by a named protocol."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from mimic.commands.output import make_console, progress_bar, say


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Play a policy many times, on whole clips or on its task's own episodes, and measure success,
    errors and rewards."""

    policy: tyro.conf.Positional[Path]
    """An .onnx file, a run directory, or a checkpoint."""
    motion: tuple[Path, ...] = ()
    """Robot motions (.npz) or folders of them; by default the clips the policy comes with."""
    motion_scene: bool = True
    """Judge in the scene (terrain, objects) that the motions carry."""
    protocol: str | None = None
    """Of clips: appendix-f, noisy-start, robust, mjlab, beyondmimic, phc, sonic, holomotion; of any
    task's own episodes: task, task-robust. By default noisy-start where the task tracks clips,
    else task. Figures compare only within one protocol."""
    episodes: int | None = None
    """Episodes of each clip, or of the task; by default the protocol's own number."""
    start_noise: float | None = None
    """Noise on the start state as a fraction of training's; by default the protocol's own."""
    robot: str | None = None
    """Robot name, or a description file (.toml); by default the one that the policy names."""
    engine: str = "auto"
    """Physics engine: auto, mujoco, mjx or warp; options follow a colon (warp:nconmax=64)."""
    device: str = "auto"
    """Where physics and environment are computed: auto, cpu, cuda or cuda:N."""
    threads: int = 0
    """Threads of the `mujoco` engine's physics; 0 is one per core."""
    seed: int = 0
    """Seed of noise, starts and disturbances."""
    json: Path | None = None
    """Also write everything into this file."""

    def run(self) -> int:
        from mimic.evaluation import default_protocol, evaluate, evaluate_task, get_protocol
        from mimic.evaluation.policies import open_policy
        from mimic.evaluation.protocols import OF_TASKS
        from mimic.tasks.registry import task_config
        from mimic_base.files import atomic_path

        console = make_console()
        numbers: dict[str, Any] = {"episodes": self.episodes, "start_noise": self.start_noise}
        # Numbers that cannot be are told before the policy is opened.
        get_protocol(self.protocol or OF_TASKS, **numbers)
        # The place of the result is tried before the work, not after.
        with nullcontext() if self.json is None else atomic_path(self.json) as output:
            policy = open_policy(self.policy)
            name = self.protocol or default_protocol(task_config(policy.task))
            protocol = get_protocol(name, **numbers)
            play = evaluate_task if protocol.own_episodes else evaluate
            with progress_bar("evaluating") as progress:
                result = play(
                    policy, self.motion, protocol, robot=self.robot, engine=self.engine,
                    device=self.device, threads=self.threads, seed=self.seed,
                    motion_scene=self.motion_scene, progress=progress,
                )  # fmt: skip
            if output is not None:
                text = json.dumps(result.to_dict(), indent=2, allow_nan=False)
                output.write_text(text + "\n", encoding="utf-8")
        say(
            console,
            f"{result.policy}: task {result.task}, robot {result.robot}, engine {result.engine}, "
            f"seed {result.seed}",
        )
        for note in result.notes:
            say(console, f"note: {note}", style="yellow")
        console.print(result.table())
        if protocol.smoothness:
            from mimic.evaluation.result import smoothness_table

            console.print(smoothness_table([result.total]))
        if self.json is not None:
            say(console, str(self.json))
        return 0
