"""Trains a policy: `mimic train`."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mimic.commands.kept_help import can_be_kept, kept_help
from mimic.commands.training.arguments import KEPT, TrainArguments
from mimic.commands.training.command_line import parse
from mimic.commands.training.defaults import task_of
from mimic.commands.training.saved import PROGRAM_ENGINES, check_saved_engine
from mimic.commands.training.task import resolved_task
from mimic.learning.config import RunConfig
from mimic.learning.registry import with_groups_of
from mimic.learning.run_dir import create_run_dir, run_lock, write_config
from mimic_base.command_line import exit_on_user_error
from mimic_base.errors import MimicError

if TYPE_CHECKING:
    from mimic.envs.environment import Environment
    from mimic.envs.motion_library import MotionLibrary
    from mimic.evaluation.judge import TrainingJudge
    from mimic.learning.distributed import Ranks
    from mimic.learning.runner import Callback, Runner

    Watch = Callable[[TrainingJudge | None, Runner], Callback]

__all__ = ["TrainArguments", "check_saved_engine", "main", "parse", "resolved_task", "train"]

SCHEMA = "humanoid-mimic/run/2"


def train(args: TrainArguments, watch: Watch | None = None) -> int:
    """Train, or go on training, and leave a policy in the run directory.

    Args:
        watch: makes of the run's judge and its runner what is called after every iteration instead
            of the judge.
    """
    # Loading torch takes seconds; help and mistyped options should not wait for it.
    import torch

    from mimic.learning.distributed import ranks
    from mimic.sim.choice import check_device
    from mimic.sim.errors import one_line_of_device_trouble
    from mimic.tasks import task_names

    if not args.task:
        raise MimicError(f"no task given; known: {', '.join(task_names())}")
    device = args.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    check_device(device)
    if not 0.0 <= args.judge_until <= 1.0:
        raise MimicError(
            f"--judge-until is a share of episodes from 0 to 1, got {args.judge_until}"
        )
    if args.judge_every < 0:
        raise MimicError(
            f"--judge-every is a number of iterations, or 0 for never, got {args.judge_every}"
        )
    if args.judge_until and not args.judge_every:
        raise MimicError("--judge-until needs judgements: give --judge-every N too")
    # The loop itself names the checkpoint; this is for what fails before and after it.
    where = f"{args.loop.num_envs} environments on {device}"
    with ranks(device) as group, one_line_of_device_trouble(where):
        return _train(args, group, watch)


def _train(args: TrainArguments, group: Ranks, watch: Watch | None) -> int:
    with ExitStack() as stack:
        if args.resume is not None and group.first:
            # Asked for before the minutes that engines and programs take.
            from mimic.learning.checkpoints import find_checkpoint

            find_checkpoint(args.resume)
            stack.enter_context(run_lock(_resumed(args.resume)))
        return _train_locked(args, group, stack, watch)


def _resumed(path: Path) -> Path:
    """The run directory that goes on, named itself or by one of its checkpoints."""
    return path if path.is_dir() else path.parent.parent


def _train_locked(args: TrainArguments, group: Ranks, stack: ExitStack, watch: Watch | None) -> int:
    from mimic.evaluation.judge import TrainingJudge
    from mimic.learning.runner import start_runner
    from mimic.tasks import make_env
    from mimic_base.trust import remember_program

    # A resumed run's task has its groups, whatever has become of what they were made from.
    numbers = args.algorithm_config if args.resume is None else None
    task = with_groups_of(resolved_task(args), args.algorithm, numbers, args.robot)
    config = RunConfig(
        task=task,
        algorithm_name=args.algorithm,
        algorithm=args.algorithm_config,
        loop=args.loop,
    )
    env = make_env(
        task,
        args.motion,
        num_envs=args.loop.num_envs,
        robot=args.robot,
        engine=args.engine,
        device=group.device,
        seed=group.seed(args.seed),
        compile=args.compile,
    )
    if args.engine.partition(":")[0] in PROGRAM_ENGINES:
        remember_program(args.engine)
    _check_difficulties(env)
    notes = [note for each in _libraries(env) for note in short_clips(each)]
    runner = start_runner(env, config, device=group.device, seed=args.seed, ranks=group)
    judge = None
    if args.judge_every and group.first:
        judge = TrainingJudge(
            args.motion, task, env.robot, args.engine,
            every=args.judge_every, episodes=args.judge_episodes, until=args.judge_until,
        )  # fmt: skip
    if args.resume is not None:
        runner.resume(args.resume)
        if runner.iteration >= args.loop.iterations:
            raise MimicError(
                f"{args.resume}: already has {runner.iteration} iterations; "
                f"ask for more with --loop.iterations"
            )
        folder = _resumed(args.resume)
    else:
        if args.init_from is not None:
            runner.initialise(args.init_from)
        folder = create_run_dir(args.out, task.task, args.name) if group.first else None
        if folder is not None:
            stack.enter_context(run_lock(folder))
            if args.skills is not None:
                from mimic.learning.skills import kept_in

                runner.config = dataclasses.replace(config, task=kept_in(task, folder))
    runner.run_dir = folder
    if folder is None or not group.first:
        outcome = runner.learn()
        return 130 if outcome == "interrupted" else 0
    write_config(folder, record_of(args, runner))
    for note in notes:
        print(f"note: {note}", file=sys.stderr, flush=True)
    about = "".join(
        f" {each.num_clips} clip(s), {each.num_frames * env.control_dt:.1f} s,"
        for each in _libraries(env)
    )
    of_ranks = f" on each of {group.size} devices" if group.size > 1 else ""
    print(
        f"{args.task} on {env.robot.name}:{about} "
        f"{env.num_envs} environments{of_ranks}, {group.device}, iterations {runner.iteration} to "
        f"{args.loop.iterations}\n{folder}",
        flush=True,
    )
    outcome = runner.learn(judge if watch is None else watch(judge, runner))
    print(f"{outcome} after {runner.iteration} iterations, {runner.samples:,} samples, "
          f"{runner.wall_s:.0f} s\n{folder / 'policy.onnx'}")  # fmt: skip
    if outcome == "interrupted":
        print(f"continue with: mimic train --resume {folder}")
        return 130
    return 0


def _check_difficulties(env: Environment) -> None:
    """Refuse a curriculum of clips that do not say how hard they are, before there is a run."""
    from mimic.envs.mdp.curriculum import admit_by_difficulty

    ramps = any(each.function is admit_by_difficulty for each in env.cfg.curriculum.values())
    for library in _libraries(env) if ramps else ():
        library.known_difficulty()


FEWEST_STEPS = 10
"""Control steps of a clip below which it is too short to learn a movement from: 0.2 s at 50 Hz."""


def short_clips(library: MotionLibrary) -> list[str]:
    """A line on clips that are too short to learn much from, where there are some.

    Raises:
        MimicError: every clip is.
    """
    steps = (library.length - 1).tolist()
    short = [name for name, each in zip(library.names, steps, strict=True) if each < FEWEST_STEPS]
    if not short:
        return []
    some = ", ".join(short[:3]) + (", ..." if len(short) > 3 else "")
    if len(short) < library.num_clips:
        text = f"{len(short)} of {library.num_clips} clips are shorter than {FEWEST_STEPS} control"
        return [f"{text} steps ({some}); there is little to learn from them"]
    longest = max(steps)
    raise MimicError(
        f"motion {some}: too short to learn from (found {longest} control "
        f"step{'' if longest == 1 else 's'} of {1 / library.fps:g} s, expected at least "
        f"{FEWEST_STEPS}); give a longer clip"
    )


def _libraries(env: Environment) -> list[MotionLibrary]:
    found = [getattr(each, "library", None) for each in env.commands.values()]
    return [each for each in found if each is not None]


def record_of(args: TrainArguments, runner: Runner) -> dict[str, Any]:
    """What ``config.json`` of a run says: enough to start the same run again."""
    return {
        "schema": SCHEMA,
        **{name: getattr(args, name) for name in KEPT},
        "init_from": str(args.init_from) if args.init_from else None,
        "motion": [str(path.resolve()) for path in args.motion],
        "run": runner.config.to_plain(),
        "identity": runner.env.identity,
        "observations": {
            group: [dataclasses.asdict(entry) for entry in entries]
            for group, entries in runner.spec.observations.items()
        },
    }


def main(arguments: Sequence[str] | None = None, *, prog: str = "mimic train") -> int:
    """Run the command with ``arguments``, by default the process's own; returns the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    if task_of(words) and can_be_kept(words):
        kept_help(words, prog, lambda: parse(words, prog=prog))
    return train(parse(words, prog=prog))


if __name__ == "__main__":
    exit_on_user_error(main)
