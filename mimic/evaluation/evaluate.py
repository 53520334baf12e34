"""Plays a policy on every clip many times side by side, and says how well it did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch

from mimic.envs.commands.motion import motion_command
from mimic.envs.environment import Environment, TaskConfig
from mimic.envs.motion_library import MotionSource, find_motion_files
from mimic.envs.threads import few_threads
from mimic.evaluation.measures import Trace, measure
from mimic.evaluation.metrics import EpisodeTally
from mimic.evaluation.policies import LoadedPolicy, PolicyFunction, load, named_task, robot_of
from mimic.evaluation.protocols import OF_TASKS, Protocol, get_protocol, tracks_clips
from mimic.evaluation.recorder import SmoothnessRecorder
from mimic.evaluation.result import EvaluationResult
from mimic.sim import pick_device
from mimic.tasks.registry import make_env, task_config
from mimic_base.errors import MimicError
from motions import RobotMotion
from robots import Robot

NON_FINITE = "non_finite"
"""The failure of a simulation that has blown up, in every protocol."""

Progress = Callable[[int, int], None]


def evaluate(
    policy: Path | str | LoadedPolicy | PolicyFunction,
    motions: Sequence[Path | str | RobotMotion] = (),
    protocol: Protocol | str = "noisy-start",
    *,
    task: str | TaskConfig | None = None,
    robot: Path | str | Robot | None = None,
    engine: str = "auto",
    device: str = "auto",
    seed: int = 0,
    max_envs: int = 4096,
    threads: int = 0,
    motion_scene: bool = True,
    progress: Progress | None = None,
    env: Environment | None = None,
) -> EvaluationResult:
    """Judge a policy on clips; ``evaluate_task`` judges it on the episodes of any task.

    Args:
        policy: an .onnx file, a run directory or checkpoint, or a function from observations
            [N, D] to actions [N, A].
        motions: motion files, folders or clips; by default those the policy comes with.
        protocol: a protocol of clips or its name, see ``PROTOCOLS``.
        task, robot: where the policy is a bare function; files know theirs.
        engine, device: see ``mimic.sim.make_engine`` and ``mimic.sim.pick_device``.
        max_envs: environments side by side; more episodes are played in several rounds.
        motion_scene: judge in the scene that the motions carry, where the task has none.
        progress: called with (control steps done, most steps there can be).
        env: an environment of ``make_evaluation_env`` to play in again, of the same task, clips
            and protocol; its random numbers begin anew with ``seed``.

    Raises:
        MimicError, InputError, RobotError: unknown names, absent or damaged files, a policy of
            another task or robot.
    """
    if isinstance(protocol, str):
        protocol = get_protocol(protocol)
    loaded = load(policy, task, robot)
    chosen_robot = robot_of(loaded, robot)
    notes: list[str] = []
    if task is None:
        config, notes = named_task(loaded)
    else:
        config = task if isinstance(task, TaskConfig) else task_config(task)
    check_protocol(config, protocol)
    clips = motions or loaded.motions
    if not clips:
        raise MimicError(
            f"{loaded.source}: the policy comes without a clip; name one with --motion FILE"
        )
    config = replace(config, motion_scene=config.motion_scene and motion_scene)
    if env is None:
        env = make_evaluation_env(
            config, clips, protocol, robot=chosen_robot, engine=engine, device=device, seed=seed,
            max_envs=max_envs, threads=threads,
        )  # fmt: skip
    else:
        env.reseed(seed)
    notes += loaded.check(env)
    library = motion_command(env).library
    tally, clip_of_episode = _play(env, loaded.act, protocol, progress)
    everything = torch.ones_like(clip_of_episode, dtype=torch.bool)
    sums = tuple(
        tally.sums(clip_of_episode == index, protocol.averaged_over)
        for index in range(library.num_clips)
    )
    return EvaluationResult(
        protocol=protocol,
        policy=loaded.source,
        task=config.task,
        robot=chosen_robot.name,
        robot_hash=chosen_robot.content_hash,
        engine=env.engine.name,
        seed=seed,
        control_dt=env.control_dt,
        clips=tuple(
            each.summary(name, env.control_dt)
            for each, name in zip(sums, library.names, strict=True)
        ),
        motion_hashes=library.hashes,
        total=tally.summary("total", everything, env.control_dt, protocol.averaged_over),
        sums=sums,
        notes=tuple(notes),
        details=loaded.details,
    )


def check_protocol(task: TaskConfig, protocol: Protocol) -> None:
    """Refuse a protocol of clips for a task that tracks none.

    Raises:
        MimicError: that is so.
    """
    if not protocol.own_episodes and not tracks_clips(task):
        raise MimicError(
            f"protocol '{protocol.name}' plays whole clips, and task '{task.task}' has no motion "
            f"command (its commands: {', '.join(task.commands) or 'none'}); use --protocol "
            f"{OF_TASKS}"
        )


def make_evaluation_env(
    config: TaskConfig,
    clips: Sequence[Path | str | RobotMotion],
    protocol: Protocol,
    *,
    robot: Robot,
    engine: str = "auto",
    device: str = "auto",
    seed: int = 0,
    max_envs: int = 4096,
    threads: int = 0,
) -> Environment:
    """The environment that a protocol plays a task in; for the arguments see ``evaluate``.

    It has a place for every episode (of each clip, or of the task), ``max_envs`` at most.
    """
    paths = [clip for clip in clips if not isinstance(clip, RobotMotion)]
    loaded: list[MotionSource] = [clip for clip in clips if isinstance(clip, RobotMotion)]
    if paths:
        loaded += find_motion_files(paths)
    each = 1 if protocol.own_episodes else len(loaded)
    return make_env(
        protocol.environment(config),
        loaded,
        num_envs=min(each * protocol.episodes, max_envs),
        robot=robot,
        engine=engine,
        device=pick_device(device, engine),
        seed=seed,
        threads=threads,
    )


def _play(
    env: Environment, act: PolicyFunction, protocol: Protocol, progress: Progress | None
) -> tuple[EpisodeTally, torch.Tensor]:
    """Play all episodes; return their tally and the clip [E] of each."""
    library = motion_command(env).library
    planned_of_clip = library.length.cpu() - 1
    if protocol.time_limit_s is not None:
        planned_of_clip = planned_of_clip.clamp_max(round(protocol.time_limit_s / env.control_dt))
    clip = torch.arange(library.num_clips).repeat_interleave(protocol.episodes)
    # Episodes of like length share a round, so that no round waits long for a few.
    clip = clip[torch.argsort(planned_of_clip[clip], stable=True)]
    planned = planned_of_clip[clip]
    names = (NON_FINITE, *protocol.failures)
    rounds = torch.arange(len(clip)).split(env.num_envs)
    most = sum(int(planned[ids].max()) for ids in rounds)
    tallies, done = [], 0
    for ids in rounds:
        tally = EpisodeTally(planned[ids], names, protocol.errors, whole=protocol.whole_clip)

        def report(step: int, before: int = done) -> None:
            if progress:
                progress(before + step, most)

        _play_round(env, act, protocol, clip[ids], tally, report)
        done += int(planned[ids].max())
        tallies.append(tally)
    if progress:
        progress(most, most)
    return EpisodeTally.join(tallies), clip


def _play_round(
    env: Environment,
    act: PolicyFunction,
    protocol: Protocol,
    clip: torch.Tensor,
    tally: EpisodeTally,
    report: Callable[[int], None],
) -> None:
    # The last round may be smaller than the environment: the rest plays along, uncounted.
    count = len(clip)
    everyone = torch.arange(env.num_envs, device=env.device)
    padded = torch.cat([clip, clip[:1].expand(env.num_envs - count)]).to(env.device)
    trace = Trace(env)
    recorder = SmoothnessRecorder(env, count) if protocol.smoothness else None
    with torch.no_grad(), few_threads(env.num_envs), recorder or nullcontext():
        motion_command(env).restart(everyone, padded, torch.zeros_like(padded))
        obs = env.observe()["actor"]
        trace.push()
        step = 0
        while tally.running.any():
            result, _, dones, _ = env.step(act(obs))
            obs = result["actor"]
            trace.push()
            failures = {NON_FINITE: dones}
            for name, term in protocol.failures.items():
                failures[name] = term.function(env, **term.parameters)
            tally.add(
                (env.reward_per_step / env.max_reward)[:count].cpu(),
                {n: value[:count].cpu() for n, value in measure(trace, protocol.errors).items()},
                {name: value[:count].cpu() for name, value in failures.items()},
            )
            step += 1
            report(step)
            if recorder is not None:
                recorder.end_step(tally.told == step)
    if recorder is not None:
        tally.smoothness = recorder.figures()
