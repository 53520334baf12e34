"""Train a policy that tracks motions.

mimic train tracking-no-state-estimation --motion walk.npz
mimic train tracking --motion clips/ --preset gpu --num-envs 8192
mimic train --resume runs/tracking/2026-01-31_12-00-00-walk
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from mimic.learning import PRESETS, TrainConfig
from mimic.learning.run_dir import create_run_dir, read_config, write_config
from mimic_base.errors import MimicError

if TYPE_CHECKING:
    from mimic.learning.distributed import Ranks


JUDGING = ("judge_every", "judge_episodes", "judge_until")


@dataclass(frozen=True, kw_only=True)
class TrainArguments:
    """Train a policy that tracks motions; Ctrl-C saves, --resume continues."""

    task: Annotated[str, tyro.conf.Positional] = ""
    """Task to train; `mimic list` shows them. A resumed run knows its own."""
    motion: tuple[Path, ...] = ()
    """Robot motions (.npz) or folders of them. A resumed run knows its own."""
    preset: Literal["cpu", "gpu"] = "cpu"
    """Where the numbers below come from: sized for a laptop, or BeyondMimic's for a GPU."""
    resume: Path | None = None
    """Run directory (or one of its checkpoints) to continue, up to --iterations."""
    init_from: Path | None = None
    """Run directory or checkpoint whose networks a new run starts from, to fine-tune on other
    motions."""
    robot: str = "unitree_g1"
    """Robot, or the path of its description."""
    engine: str = "auto"
    """Physics engine: auto, mujoco, mjx or warp; options follow a colon (warp:nconmax=64)."""
    device: str = "auto"
    """Where networks are trained: auto, cpu, cuda or cuda:N."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Whether the environment's own work goes through torch.compile; auto: on a GPU."""
    sampling: Literal["adaptive", "beyondmimic"] = "adaptive"
    """How starts are drawn: failures per visit, or BeyondMimic's published rule."""
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
    config: tyro.conf.OmitArgPrefixes[TrainConfig] = field(default_factory=TrainConfig)


def parse(arguments: Sequence[str], *, prog: str = "mimic train") -> TrainArguments:
    """Read the command line; what is not given comes from the resumed run or the preset."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--preset")
    first.add_argument("--resume", type=Path)
    known, _ = first.parse_known_args(arguments)
    defaults = TrainArguments(config=PRESETS.get(known.preset or "cpu", PRESETS["cpu"]))
    if known.resume is not None:
        if known.preset is not None:
            raise MimicError("--preset cannot be changed when a run is resumed; leave it out")
        defaults = saved_arguments(known.resume)
    args = tyro.cli(
        TrainArguments, args=list(arguments), default=defaults, prog=prog, description=__doc__
    )
    if args.resume is not None and args.init_from is not None:
        raise MimicError("--resume continues a run, --init-from starts one: give only one of them")
    return args


def saved_arguments(run: Path) -> TrainArguments:
    """The arguments a run was started with."""
    saved = read_config(run)
    try:
        return TrainArguments(
            **{name: saved[name] for name in ("task", "preset", "robot", "engine", "device")},
            **{name: saved[name] for name in ("sampling", "name", "seed")},
            **{name: saved[name] for name in JUDGING if name in saved},
            compile=saved.get("compile", "auto"),
            motion=tuple(Path(each) for each in saved["motion"]),
            config=TrainConfig.from_dict(saved["train"]),
        )
    except (KeyError, TypeError) as error:
        raise MimicError(f"{run}: config.json was not written by train.py ({error})") from error


def train(args: TrainArguments) -> int:
    """Train, or go on training, and leave a policy in the run directory."""
    # Loading torch takes seconds; help and mistyped options should not wait for it.
    import torch

    from mimic.learning.distributed import ranks
    from mimic.sim.errors import one_line_of_device_trouble
    from mimic.tasks import task_names

    if not args.task:
        raise MimicError(f"no task given; known: {', '.join(task_names())}")
    device = args.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    # The loop itself names the checkpoint; this is for what fails before and after it.
    where = f"{args.config.num_envs} environments on {device}"
    with ranks(device) as group, one_line_of_device_trouble(where):
        return _train(args, group)


def _train(args: TrainArguments, group: Ranks) -> int:
    from mimic.envs.commands.motion import motion_command
    from mimic.evaluation.judge import TrainingJudge
    from mimic.learning.runner import Runner
    from mimic.tasks import make_env
    from mimic.tasks.registry import task_config
    from mimic.tasks.tracking import with_drift_limit, with_randomisation_ramp

    task = judged_by = task_config(args.task, sampling=args.sampling)
    if args.config.drift_limit > 0:
        task = with_drift_limit(task, args.config.drift_limit)
    if args.config.randomisation_ramp:
        task = with_randomisation_ramp(
            task, args.config.randomisation_start, args.config.randomisation_ramp
        )
    env = make_env(
        task,
        args.motion,
        num_envs=args.config.num_envs,
        robot=args.robot,
        engine=args.engine,
        device=group.device,
        seed=group.seed(args.seed),
        physics_hz=args.config.physics_hz,
        compile=args.compile,
    )
    runner = Runner(env, args.config, device=group.device, seed=args.seed, ranks=group)
    judge = None
    if args.judge_every and group.first:
        judge = TrainingJudge(
            args.motion, judged_by, env.robot, args.engine,
            every=args.judge_every, episodes=args.judge_episodes, until=args.judge_until,
        )  # fmt: skip
    if args.resume is not None:
        runner.resume(args.resume)
        if runner.iteration >= args.config.iterations:
            raise MimicError(
                f"{args.resume}: already has {runner.iteration} iterations; "
                f"ask for more with --iterations"
            )
        folder = args.resume if args.resume.is_dir() else args.resume.parent.parent
    else:
        if args.init_from is not None:
            runner.initialise(args.init_from)
        folder = create_run_dir(args.out, args.task, args.name) if group.first else None
    runner.run_dir = folder
    if folder is None or not group.first:
        outcome = runner.learn()
        return 130 if outcome == "interrupted" else 0
    write_config(
        folder,
        {
            **{f.name: getattr(args, f.name) for f in dataclasses.fields(args)
               if f.name not in ("config", "resume", "init_from", "out", "motion")},
            "init_from": str(args.init_from) if args.init_from else None,
            "motion": [str(path.resolve()) for path in args.motion],
            "train": args.config.to_dict(),
            "identity": runner.identity,
            "observations": {name: env.observation_layout(name) for name in ("actor", "critic")},
        },
    )  # fmt: skip
    library = motion_command(env).library
    seconds = library.num_frames * env.control_dt
    of_ranks = f" on each of {group.size} devices" if group.size > 1 else ""
    print(
        f"{args.task} on {env.robot.name}: {library.num_clips} clip(s), {seconds:.1f} s, "
        f"{env.num_envs} environments{of_ranks}, {group.device}, iterations {runner.iteration} to "
        f"{args.config.iterations}\n{folder}",
        flush=True,
    )
    outcome = runner.learn(judge)
    print(f"{outcome} after {runner.iteration} iterations, {runner.samples:,} samples, "
          f"{runner.wall_s:.0f} s\n{folder / 'policy.onnx'}")  # fmt: skip
    if outcome == "interrupted":
        print(f"continue with: mimic train --resume {folder}")
        return 130
    return 0


def main(arguments: Sequence[str] | None = None, *, prog: str = "mimic train") -> int:
    """Train; returns the exit code."""
    return train(parse(sys.argv[1:] if arguments is None else arguments, prog=prog))
