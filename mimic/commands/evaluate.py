"""``mimic evaluate``: how well a policy does its task, by a named protocol."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from mimic.commands.output import make_console, progress_bar, say

if TYPE_CHECKING:
    from mimic.evaluation.policies import LoadedPolicy
    from motions import RobotMotion


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Play a policy many times, on whole clips or on its task's own episodes, and measure success,
    errors and rewards.

    With --out DIR it judges a whole library of clips in parallel: a page with videos of the worst
    ones, a JSON file, a summary for each split; clips that cannot be used are told, a line each,
    and the exit code is then 2. The same command goes on where one was interrupted.
    """

    policy: tyro.conf.Positional[Path]
    """An .onnx file, a run directory, or a checkpoint."""
    motion: tuple[Path, ...] = ()
    """Robot motions (.npz) or folders of them; by default the clips the policy comes with."""
    interface: str | None = None
    """Command the policy through this one of the interfaces it was trained for (full, three-point,
    pelvis-path, exbody, velocity); by default the one that its file says."""
    velocity: tuple[float, float, float] | None = None
    """Command this velocity instead of clips for ten seconds: forwards and to the left (m/s), turn
    to the left (rad/s). Through the interface velocity, unless --interface says another."""
    skill_draws: int = 0
    """Also play so many drawn skills of a policy of skills, and say how many of them are clearly
    different (groups of mean features, by silhouette); 0: do not."""
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
    """Physics engine: auto, mujoco, mjx or warp; options follow a colon (warp:nconmax=64);
    learned:model=RUN is a model of the robot that the world-model trainer has learnt."""
    device: str = "auto"
    """Where physics and environment are computed: auto, cpu, cuda or cuda:N."""
    threads: int = 0
    """Threads of the `mujoco` engine's physics; 0 is one per core."""
    seed: int = 0
    """Seed of noise, starts and disturbances."""
    json: Path | None = None
    """Also write everything into this file."""
    out: Path | None = None
    """Judge a library: write evaluation.json, index.html and videos of the worst clips here."""
    workers: int | None = None
    """Processes that judge a library; as many as there are processors unless given. Figures do not
    depend on it."""
    worst: int = 3
    """Worst clips of a library that are shown on video."""
    video: bool = True
    """Write those videos."""

    def run(self) -> int:
        from mimic.evaluation import default_protocol, evaluate, evaluate_task, get_protocol
        from mimic.evaluation.policies import open_policy
        from mimic.evaluation.protocols import OF_TASKS
        from mimic.tasks.registry import task_config
        from mimic_base.errors import MimicError
        from mimic_base.files import atomic_path

        if self.velocity is not None and (self.motion or self.out or self.workers):
            raise MimicError(
                "--velocity commands without a clip; leave out --motion, --out and --workers"
            )
        if self.out is not None or self.workers is not None:
            return self._judge_library()
        console = make_console()
        numbers: dict[str, Any] = {"episodes": self.episodes, "start_noise": self.start_noise}
        # Numbers that cannot be are told before the policy is opened.
        get_protocol(self.protocol or OF_TASKS, **numbers)
        # The place of the result is tried before the work, not after.
        with nullcontext() if self.json is None else atomic_path(self.json) as output:
            policy = open_policy(self.policy, self._interface)
            motions = self._motions(policy)
            name = self.protocol or default_protocol(task_config(policy.task))
            protocol = get_protocol(name, **numbers)
            play = evaluate_task if protocol.own_episodes else evaluate
            with progress_bar("evaluating") as progress:
                result = play(
                    policy, motions, protocol, robot=self.robot, engine=self.engine,
                    device=self.device, threads=self.threads, seed=self.seed,
                    motion_scene=self.motion_scene, progress=progress,
                )  # fmt: skip
            skills = None
            if self.skill_draws:
                from mimic.evaluation.skills import measure_skills

                skills = measure_skills(
                    policy, self.skill_draws, motions=motions, robot=self.robot,
                    engine=self.engine, device=self.device, threads=self.threads, seed=self.seed,
                )  # fmt: skip
            if output is not None:
                found = result.to_dict() | ({} if skills is None else {"skills": skills.to_dict()})
                text = json.dumps(found, indent=2, allow_nan=False)
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
            from mimic.evaluation.result import EvaluationResult, smoothness_table

            assert isinstance(result, EvaluationResult)
            console.print(smoothness_table([result.total]))
        if skills is not None:
            say(console, skills.sentence())
        if self.json is not None:
            say(console, str(self.json))
        return 0

    @property
    def _interface(self) -> str | None:
        """The interface that is asked for."""
        from mimic.policy.interfaces import VELOCITY

        return VELOCITY if self.interface is None and self.velocity is not None else self.interface

    def _motions(self, policy: LoadedPolicy) -> Sequence[Path | RobotMotion]:
        """What is tracked: motions, or a velocity in their place."""
        if self.velocity is None:
            return self.motion
        from mimic.evaluation.policies import robot_of
        from motions.robot.steady import steady_motion

        return (steady_motion(robot_of(policy, self.robot), self.velocity),)

    def _judge_library(self) -> int:
        if self.out is not None and self.video:
            # MuJoCo reads MUJOCO_GL when it is imported.
            from mimic.viewer.gl import settle_backend

            settle_backend()
        from mimic.commands.library_files import PAGE, worst_videos, write_library
        from mimic.evaluation import default_protocol, get_protocol
        from mimic.evaluation.jobs import processors
        from mimic.evaluation.library import evaluate_library
        from mimic.evaluation.policies import open_policy
        from mimic.evaluation.protocols import OF_CLIPS
        from mimic.evaluation.result import smoothness_table, summary_cells, summary_table
        from mimic.tasks.registry import task_config
        from mimic_base.errors import MimicError
        from mimic_base.files import check_folder_writable, check_writable

        console = make_console()
        numbers: dict[str, Any] = {"episodes": self.episodes, "start_noise": self.start_noise}
        get_protocol(self.protocol or OF_CLIPS, **numbers)
        if self.worst < 0:
            raise MimicError(f"--worst must not be negative, got {self.worst}")
        if self.out is not None:
            check_folder_writable(self.out)
        if self.json is not None:
            check_writable(self.json)
        task = open_policy(self.policy, self._interface).task
        name = self.protocol or default_protocol(task_config(task))
        protocol = get_protocol(name, **numbers)
        with progress_bar("clips") as progress:
            result = evaluate_library(
                self.policy, self.motion, protocol,
                workers=processors() if self.workers is None else self.workers, robot=self.robot,
                engine=self.engine, device=self.device, seed=self.seed,
                motion_scene=self.motion_scene, interface=self.interface, folder=self.out,
                progress=progress,
            )  # fmt: skip
        for line in result.bad:
            say(console, f"not judged: {line}", style="yellow")
        for note in result.notes:
            say(console, f"note: {note}", style="yellow")
        say(
            console,
            f"{result.policy}: task {result.task}, robot {result.robot}, engine {result.engine}, "
            f"seed {result.seed}",
        )
        if len(result.clips) > 1:
            worst = summary_table(protocol, "worst clips" if len(result.clips) > 10 else "clip")
            for row in result.clips[:10]:
                worst.add_row(*summary_cells(row.summary))
            console.print(worst)
        table = summary_table(protocol, "split")
        for row in (*result.splits, result.total):
            table.add_row(*summary_cells(row))
        console.print(table)
        if protocol.smoothness:
            console.print(smoothness_table([*result.splits, result.total]))
        say(console, f"{len(result.clips)} clips judged, {result.failed} with a failure, "
            f"{len(result.bad)} could not be judged")  # fmt: skip
        if self.json is not None:
            from mimic_base.files import atomic_write_text

            text = json.dumps(result.to_dict(), indent=1, allow_nan=False)
            atomic_write_text(self.json, text + "\n")
        if self.out is not None:
            videos = []
            if self.video:
                videos = worst_videos(
                    result, self.out, self.worst, lambda line: say(console, line, style="yellow")
                )
            write_library(result, self.out, videos)
            say(console, str(self.out / PAGE))
        return 2 if result.bad else 0
