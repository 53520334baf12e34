"""``mimic benchmark``: environment steps per second, beside the physics alone."""

from __future__ import annotations

import itertools
import json
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mimic.commands.output import make_console, say


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Measure the full environment against physics alone, in one run on this machine."""

    num_envs: tuple[int, ...] = (64, 512, 2048)
    """Numbers of environments to measure."""
    task: str = "tracking"
    """Task to measure; `mimic list` shows them; package.module:function is one of your own."""
    motion: tuple[Path, ...] = ()
    """Robot motions (.npz) or folders of them; by default the clips that come with the program."""
    robot: str = "unitree_g1"
    """Robot name, or a description file (.toml)."""
    engine: str = "auto"
    """Physics engine: auto, mujoco, mjx or warp; options follow a colon (warp:nconmax=64)."""
    engines: tuple[str, ...] = ()
    """Several physics engines, measured one after the other in this run."""
    device: str = "auto"
    """Where physics and environment are computed: auto, cpu, cuda or cuda:N."""
    threads: tuple[int, ...] = (0,)
    """Threads of the `mujoco` engine's physics; 0 is one per core. Several numbers are measured one
    after the other and compared."""
    compile: tuple[Literal["auto", "on", "off"], ...] = ("auto",)
    """Whether the environment's own work goes through torch.compile; auto: on a GPU. `off on`
    measures both."""
    seconds: float = 2.0
    """About how long each of five rounds of the environment runs."""
    ppo: bool = True
    """Also measure a training iteration."""
    seed: int = 0
    """Seed of noise and starts."""
    json: Path | None = None
    """Also write everything into this file."""

    def run(self) -> int:
        import robots
        from mimic.benchmark import (
            benchmark,
            environment_facts,
            measurement_table,
            scaling_table,
            stage_table,
            to_dict,
        )
        from mimic.benchmark.motion import default_motions
        from mimic.envs.motion_library import find_motion_files
        from mimic.tasks.registry import task_config
        from mimic.tasks.tracking import motion_commands
        from mimic_base.errors import MimicError
        from mimic_base.files import atomic_path

        if not self.num_envs or min(self.num_envs) < 1:
            raise MimicError(f"--num-envs must be at least 1, got {min(self.num_envs, default=0)}")
        if not self.seconds > 0:
            raise MimicError(f"--seconds must be above zero, got {self.seconds}")
        if not self.threads or min(self.threads) < 0:
            raise MimicError(f"--threads must not be negative, got {self.threads}")
        console = make_console()
        robot = robots.load(self.robot)
        motions = find_motion_files(self.motion) if self.motion else []
        if not motions and motion_commands(task_config(self.task)):
            motions = default_motions(robot)
        # The place of the result is tried before the work, not after.
        with nullcontext() if self.json is None else atomic_path(self.json) as output:
            facts = environment_facts()
            measurements = []
            for engine, count, threads, compile in self._plan():
                with console.status("") as status:
                    measurements.append(
                        benchmark(
                            self.task, motions, robot, count, engine=engine,
                            device=self.device, threads=threads, compile=compile, seed=self.seed,
                            seconds=self.seconds, ppo=self.ppo, progress=status.update,
                        )
                    )  # fmt: skip
            if output is not None:
                names = [m.name if not isinstance(m, Path) else str(m) for m in motions]
                report = to_dict(
                    measurements, facts, task=self.task, robot=robot.name,
                    engines=self.engines or (self.engine,), device=self.device,
                    motions=names, seconds=self.seconds, seed=self.seed,
                )  # fmt: skip
                output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        say(
            console,
            f"{facts['processor']}, {facts['cores']} cores; load {facts['load_at_start']:.1f}"
            + (f"; {facts['gpu']}" if facts["gpu"] else ""),
        )
        if facts["busy"]:
            text = "other programs are running: rates are too low, and ratios uncertain"
            say(console, text, style="yellow")
        console.print(measurement_table(measurements))
        console.print(stage_table(measurements))
        if len(self.threads) > 1:
            console.print(scaling_table(measurements))
        if self.json is not None:
            say(console, str(self.json))
        return 0

    def _plan(self) -> list[tuple[str, int, int, str]]:
        """Engine, number of environments, threads and compilation of each measurement."""
        plan: list[tuple[str, int, int, str]] = []
        for engine in self.engines or (self.engine,):
            # The other engines have no threads of ours: once is enough.
            ours = engine.partition(":")[0] not in ("mjx", "warp")
            threads = self.threads if ours else self.threads[:1]
            plan += itertools.product((engine,), self.num_envs, threads, self.compile)
        return plan
