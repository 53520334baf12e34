"""Train a policy.

    mimic train tracking-no-state-estimation --motion walk.npz
    mimic train tracking --motion clips/ --preset gpu --loop.num-envs 8192 --algorithm.clip 0.1
    mimic train tracking --motion walk.npz --task.rewards.body-position.weight 2
    mimic train --resume runs/tracking/2026-01-31_12-00-00-walk
    mimic train --config runs/tracking/2026-01-31_12-00-00-walk/config.json

`mimic train TASK --help` also lists every number of the task (--task.*). Options without a group,
as --num-envs or --learning-rate, stand for the one of that name in --loop.* or --algorithm.*.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from mimic.commands.kept_help import can_be_kept, kept_help
from mimic.configuration import read_json
from mimic.learning.config import (
    PRESETS,
    SHORT_NAMES,
    LoopConfig,
    PPOConfig,
    RunConfig,
    with_values,
)
from mimic.learning.registry import config_class, preset_of, with_groups_of
from mimic.learning.run_dir import (
    CONFIG,
    config_file,
    create_run_dir,
    read_config,
    run_lock,
    write_config,
)
from mimic_base.command_line import exit_on_user_error
from mimic_base.errors import MimicError, UserError
from mimic_base.options import given, respelled
from mimic_base.options import parse as read_options

if TYPE_CHECKING:
    from mimic.envs.environment import Environment, TaskConfig
    from mimic.envs.motion_library import MotionLibrary
    from mimic.learning.distributed import Ranks
    from mimic.learning.runner import Runner

SCHEMA = "humanoid-mimic/run/2"
TASK_GROUP = "--task."
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
    """How it learns: ppo, world-model; from a teacher (--teacher RUN): dagger, ppo-kl,
    supervised-then-rl; or package.module:Class of your own. By default world-model for the task
    tracking with the preset cpu, unless an option is given that only ppo has, or a --randomisation
    with late actions; that of the run named by --init-from; else ppo."""
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


# the command line ------------------------------------------------------------------------------


def parse(arguments: Sequence[str], *, prog: str = "mimic train") -> TrainArguments:
    """Read the command line; what is not given comes from the resumed run or the preset.

    Raises:
        MimicError: options that exclude each other, an unreadable run, an unknown algorithm.
    """
    typed, (arguments, _) = arguments, respelled(arguments, GROUPED)
    preset, algorithm = given(arguments, "--preset"), given(arguments, "--algorithm")
    resume, config = given(arguments, "--resume"), given(arguments, "--config")
    if resume is not None and config is not None:
        raise MimicError("--resume continues a run, --config starts one: give only one of them")
    saved = resume or config
    drawn = given(arguments, "--randomisation")
    if saved is not None:
        if preset is not None:
            raise MimicError("--preset cannot be changed when a run is resumed; leave it out")
        if drawn is not None:
            raise MimicError(
                "--randomisation cannot be changed when a run is resumed; leave it out, or change "
                "single events by --task.events.*"
            )
        # A run starts again as it was started, and goes on as it went on.
        folder = config is not None and Path(saved).is_dir()
        defaults = saved_arguments(Path(saved) / CONFIG if folder else Path(saved))
        if algorithm not in (None, defaults.algorithm):
            raise MimicError(f"{saved}: this run's algorithm is '{defaults.algorithm}'")
    else:
        algorithm = algorithm or default_algorithm(arguments)
        defaults = preset_arguments(preset or "cpu", algorithm)
        defaults = dataclasses.replace(defaults, randomisation=drawn or "")
        if ":" in task_of(arguments):
            defaults = suited(defaults, task_of(arguments))
    if given(arguments, "--algorithm.teacher") is not None and not hasattr(
        defaults.algorithm_config, "teacher"
    ):
        raise MimicError(
            f"--teacher: algorithm '{defaults.algorithm}' has no teacher; add --algorithm dagger, "
            "ppo-kl or supervised-then-rl"
        )
    kind: type[TrainArguments] = TrainArguments
    asked = any(each in ("-h", "--help") for each in arguments)
    if any(each.startswith(TASK_GROUP) for each in arguments) or asked:
        name = task_of(arguments) or defaults.task
        if name:
            kind, defaults = with_task_options(defaults, name)
        elif not asked:
            raise MimicError(
                "options of a task (--task.*) need its name, first of all arguments: "
                "mimic train TASK ..."
            )
    args = read_options(
        kind, typed, prog=prog, description=__doc__, default=defaults, renamed=GROUPED
    )
    if kind is TrainArguments:
        args = dataclasses.replace(args, task_config=None, saved_task=defaults.saved_task)
    if args.resume is not None and args.init_from is not None:
        raise MimicError("--resume continues a run, --init-from starts one: give only one of them")
    return args


QUICKEST = {("tracking", "cpu"): "world-model"}
"""Algorithms that have been measured to learn a task with a preset sooner than PPO does."""
ALGORITHM_GROUP = "--algorithm."


def default_algorithm(arguments: Sequence[str]) -> str:
    """How a new run learns that does not say it: see ``TrainArguments.algorithm``.

    Args:
        arguments: of the command line, with their present names.
    """
    begun = given(arguments, "--init-from")
    if begun is not None:
        try:
            same = str(read_config(Path(begun))["algorithm"])
        except (MimicError, OSError, LookupError):
            # A checkpoint alone, or one of the first schema; what is wrong with it is told later.
            return "ppo"
        taught = any(each.name == "teacher" for each in dataclasses.fields(config_class(same)))
        return "ppo" if taught and given(arguments, "--algorithm.teacher") is None else same
    drawn = given(arguments, "--randomisation")
    if drawn:
        from mimic.tasks.randomisation import RANDOMISATIONS

        # Late actions are what a world model cannot imagine.
        if drawn in RANDOMISATIONS and RANDOMISATIONS[drawn].action_delay[1]:
            return "ppo"
    quickest = QUICKEST.get((task_of(arguments), given(arguments, "--preset") or "cpu"), "ppo")
    known = {each.name for each in dataclasses.fields(config_class(quickest))}
    for each in arguments:
        if each.startswith(ALGORITHM_GROUP):
            name = each.partition("=")[0].removeprefix(ALGORITHM_GROUP).replace("-", "_")
            if not {name.partition(".")[0], name.removeprefix("no_")} & known:
                return "ppo"
    return quickest


def preset_arguments(preset: str, algorithm: str) -> TrainArguments:
    """The defaults of a new run."""
    chosen = preset_of(preset if preset in PRESETS else "cpu", algorithm)
    # An algorithm without presets of its own has the loop of PPO's, and its own numbers.
    kind = config_class(algorithm)
    config = chosen.algorithm if isinstance(chosen.algorithm, kind) else kind()
    return TrainArguments(
        preset="gpu" if preset == "gpu" else "cpu",
        algorithm=algorithm,
        loop=chosen.loop,
        algorithm_config=config,
    )


def suited(defaults: TrainArguments, name: str) -> TrainArguments:
    """The defaults of a new run of a task of one's own: an actor that is not shown commanded joint
    positions cannot pass them on."""
    from mimic.envs.spec import COMMAND

    task = base_task(dataclasses.replace(defaults, task=name))
    networks = getattr(defaults.algorithm_config, "networks", None)
    seen = next(iter(task.observations.get("actor", {})), None)
    if seen == COMMAND or not getattr(networks, "command_feedthrough", False):
        return defaults
    config = with_values(defaults.algorithm_config, {"networks.command_feedthrough": False})
    return dataclasses.replace(defaults, algorithm_config=config)


OWN_ENGINES = ("auto", "mujoco", "mjx", "warp", "learned")
PROGRAM_ENGINES = ("remote", "isaacgym")
"""Engines that start another program, which their options may name."""


def saved_arguments(run: Path) -> TrainArguments:
    """The arguments a run was started with, of this or the first schema.

    Raises:
        MimicError: no configuration there, or one that cannot be read.
    """
    if run.suffix == ".json":
        source, saved = str(run), read_json(run)
    else:
        saved, file = read_config(run), config_file(run)
        source = f"{run}: {CONFIG if file is None else file.name}"
    check_saved_engine(str(saved.get("engine", "auto")), source)
    try:
        given = {name: saved[name] for name in KEPT if name in saved}
        motion = tuple(Path(each) for each in saved["motion"])
        if "run" not in saved:
            return _of_first_schema(given, motion, saved["train"], source)
        config = RunConfig.from_plain(saved["run"], source=source)
    except (KeyError, TypeError) as error:
        raise MimicError(f"{source} was not written by mimic train ({error})") from error
    return TrainArguments(
        **given,
        motion=motion,
        loop=config.loop,
        algorithm_config=config.algorithm,
        saved_task=(source, saved["task"], saved["run"].get("task")),
    )


def check_saved_engine(engine: str, source: str) -> None:
    """Raise a `MimicError` where a file's engine is code or a program that nobody named here."""
    from mimic_base.trust import check_program, check_trusted

    name = engine.partition(":")[0]
    try:
        if name in PROGRAM_ENGINES:
            check_program(engine)
        else:
            check_trusted(engine if name not in OWN_ENGINES else "")
    except UserError as error:
        raise MimicError(f"{source}: engine: {error}") from error


def _of_first_schema(
    given: dict[str, Any], motion: tuple[Path, ...], flat: Mapping[str, Any], source: str
) -> TrainArguments:
    # Imported here: it needs torch.
    from mimic.learning.checkpoints import config_of_first_schema

    config, unknown = config_of_first_schema(flat)
    if unknown:
        print(
            f"note: {source}: left out {', '.join(unknown)}, of another version of the program",
            file=sys.stderr,
        )
    task = {name: value for name, value in flat.items() if name in SHORT_NAMES}
    return TrainArguments(
        **given,
        motion=motion,
        loop=config.loop,
        algorithm_config=config.algorithm,
        drift_limit=task.get("drift_limit", 0.0),
        saved_task=(source, given["task"], task),
    )


def task_of(arguments: Sequence[str]) -> str:
    """The task named on the command line; empty where it does not come first."""
    if arguments and not arguments[0].startswith("-"):
        return arguments[0]
    return ""


def with_task_options(
    defaults: TrainArguments, name: str
) -> tuple[type[TrainArguments], TrainArguments]:
    """Arguments that have an option for every number of a task."""
    task = base_task(dataclasses.replace(defaults, task=name))
    kind = dataclasses.make_dataclass(
        "TrainArguments",
        [("task_config", Annotated[Any, tyro.conf.arg(name="task")], field(default=None))],
        bases=(TrainArguments,),
        frozen=True,
        kw_only=True,
    )
    kind.__doc__ = TrainArguments.__doc__
    given = {each.name: getattr(defaults, each.name) for each in dataclasses.fields(defaults)}
    return kind, kind(**{**given, "task_config": task})


# the task --------------------------------------------------------------------------------------


def base_task(args: TrainArguments) -> TaskConfig:
    """The task before options change it: the saved run's, else the preset's.

    Raises:
        MimicError: unknown task, or a saved one that cannot be read.
    """
    from mimic.configuration import from_plain
    from mimic.envs.environment import TaskConfig
    from mimic.tasks.registry import task_config

    if args.saved_task is not None:
        source, name, plain = args.saved_task
        if name == args.task and plain is not None and "rewards" in plain:
            return from_plain(TaskConfig, plain, source=f"{source}: task")
        numbers = {key: each for key, each in (plain or {}).items() if key in TASK_NUMBERS}
        return with_numbers(task_config(args.task, sampling=args.sampling), numbers)
    preset = preset_of(args.preset, args.algorithm)
    task = task_config(args.task, sampling=args.sampling)
    if args.randomisation:
        from mimic.tasks.randomisation import with_randomisation

        task = with_randomisation(task, args.randomisation)
    return limited(with_numbers(task, preset.task), preset.drift_limit)


TASK_NUMBERS = ("physics_hz", "randomisation_start", "randomisation_ramp")


def with_numbers(task: TaskConfig, numbers: Mapping[str, Any]) -> TaskConfig:
    """A task with the numbers that have short names; a curriculum it has not is left out."""
    for name, value in numbers.items():
        _, _, path = SHORT_NAMES[name].partition(".")
        if path.startswith("curriculum.") and path.split(".")[1] not in task.curriculum:
            continue
        task = with_values(task, {path: value})
    return task


def resolved_task(args: TrainArguments) -> TaskConfig:
    """The task as it is trained, with every option of the command line."""
    task = args.task_config if args.task_config is not None else base_task(args)
    return task if args.drift_limit is None else limited(task, args.drift_limit)


def limited(task: TaskConfig, limit: float) -> TaskConfig:
    """A tracking task with another limit (m) of its drift from the reference; 0 takes it away.

    Raises:
        MimicError: a negative limit.
    """
    from mimic.tasks.tracking import with_drift_limit

    if not limit >= 0:
        raise MimicError(f"drift_limit must not be negative, got {limit}")
    if "anchor_height" not in task.terminations:
        # It has no anchor that could drift.
        return task
    if limit:
        return with_drift_limit(task, limit)
    kept = {name: term for name, term in task.terminations.items() if name != "anchor_drift"}
    return dataclasses.replace(task, terminations=kept)


# training --------------------------------------------------------------------------------------


def train(args: TrainArguments) -> int:
    """Train, or go on training, and leave a policy in the run directory."""
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
        return _train(args, group)


def _train(args: TrainArguments, group: Ranks) -> int:
    with ExitStack() as stack:
        if args.resume is not None and group.first:
            # Asked for before the minutes that engines and programs take.
            from mimic.learning.checkpoints import find_checkpoint

            find_checkpoint(args.resume)
            stack.enter_context(run_lock(_resumed(args.resume)))
        return _train_locked(args, group, stack)


def _resumed(path: Path) -> Path:
    """The run directory that goes on, named itself or by one of its checkpoints."""
    return path if path.is_dir() else path.parent.parent


def _train_locked(args: TrainArguments, group: Ranks, stack: ExitStack) -> int:
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
    outcome = runner.learn(judge)
    print(f"{outcome} after {runner.iteration} iterations, {runner.samples:,} samples, "
          f"{runner.wall_s:.0f} s\n{folder / 'policy.onnx'}")  # fmt: skip
    if outcome == "interrupted":
        print(f"continue with: mimic train --resume {folder}")
        return 130
    return 0


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
