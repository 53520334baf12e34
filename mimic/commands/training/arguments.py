"""The options of `mimic train`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from mimic.learning.config import SHORT_NAMES, LoopConfig, PPOConfig

GROUPED = {
    f"--{name}".replace("_", "-"): f"--{place}".replace("_", "-")
    for name, place in SHORT_NAMES.items()
    if name != "drift_limit"
} | {f"--{name}": f"--algorithm.{name}" for name in ("teacher", "teacher-choice", "pull")}
"""Options without a group (``--num-envs``) -> those with one (``--loop.num-envs``)."""


@dataclass(frozen=True, kw_only=True)
class TrainArguments:
    """Train a policy; Ctrl-C saves, --resume continues."""

    task: Annotated[str, tyro.conf.Positional] = ""
    """Task to train, first of all arguments; `mimic list` shows them; package.module:function is
    one of your own. A resumed run knows its own."""
    motion: tuple[Path, ...] = ()
    """Robot motions (.npz) or folders of them. A resumed run knows its own."""
    algorithm: str = "ppo"
    """How it learns: ppo, world-model, another method (docs/training.md: lcp, awr, fast-td3,
    fast-sac, ...); from a teacher (--teacher RUN): dagger, ppo-kl, supervised-then-rl; or
    package.module:Class of your own. By default world-model for the task tracking with the preset
    cpu, unless an option is given that only ppo has, or a --randomisation with late actions; that
    of the run named by --init-from; else ppo."""
    preset: Literal["cpu", "gpu"] = "cpu"
    """Where the numbers below come from: sized for a laptop, or BeyondMimic's for a GPU."""
    resume: Path | None = None
    """Run directory (or one of its checkpoints) to continue, up to --loop.iterations. Options that
    change it are kept in resumed.json."""
    config: Path | None = None
    """A run, or its config.json: to start the same one again, as it was started first."""
    init_from: Path | None = None
    """Run directory or checkpoint whose networks a new run starts from, to fine-tune on other
    motions."""
    skills: Path | None = None
    """Run directory or checkpoint of skills (--algorithm ase on the task skills): the policy acts
    by choosing among them instead of moving joints. A resumed run knows its own."""
    robot: str = "unitree_g1"
    """Robot name, or a description file (.toml)."""
    engine: str = "auto"
    """Physics engine: auto, mujoco, mjx or warp; options follow a colon (warp:nconmax=64)."""
    device: str = "auto"
    """Where physics, environment and networks are computed: auto, cpu, cuda or cuda:N."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Whether the environment's own work goes through torch.compile; auto: on a GPU."""
    sampling: Literal["adaptive", "return", "beyondmimic"] = "adaptive"
    """How starts are drawn: failures per visit, missed reward per visit, or BeyondMimic's
    published rule."""
    drift_limit: float | None = None
    """Episodes also end when the robot's anchor is this far from the reference's, horizontally, m.
    0: never, as in BeyondMimic. By default 0.7 (preset cpu) or never (gpu)."""
    difficulty_ramp: int = 0
    """Begin with the easiest fifth of the clips, and let the others in over so many iterations, by
    the difficulties that `mimic motions split --difficulty` writes into a set; 0: all at once."""
    randomisation: str = ""
    """Physics that is drawn for each environment instead of the task's own: none, beyondmimic,
    holosoma, omnih2o, twist, pbhc, hard (mimic.tasks.randomisation); empty: the task's own."""
    name: str = ""
    """Ends the run directory's name."""
    seed: int = 0
    """Seed of everything random."""
    out: Path = Path("runs")
    """Run directories are made below this one."""
    judge_every: int = 0
    """Iterations between judgements of the policy on its clips (noisy starts from the first
    frame, deterministic), kept in judgements.jsonl; 0 never judges."""
    judge_episodes: int = 100
    """Episodes of each clip in a judgement."""
    judge_until: float = 0.0
    """End the training once this share of a judgement's episodes finishes; 0 goes on."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    algorithm_config: Annotated[Any, tyro.conf.arg(name="algorithm")] = field(
        default_factory=PPOConfig
    )
    task_config: tyro.conf.Suppress[Any] = None
    saved_task: tyro.conf.Suppress[Any] = None


KEPT = (
    "task", "algorithm", "preset", "robot", "engine", "device", "compile", "sampling",
    "randomisation", "name", "seed", "judge_every", "judge_episodes", "judge_until",
)  # fmt: skip
"""Arguments that are kept in the run directory beside its configuration."""
