"""Measures physics alone, the full environment, a policy on top, and a PPO iteration, in one run.

Everything is wall time on the machine as it is; on a GPU the clock waits until the device has done
what it was asked for. Rounds of physics alone and of the full
environment alternate, and medians are taken, so that a neighbour's load hits both alike.
"""

from __future__ import annotations

import contextlib
import io
import resource
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import torch
from torch import nn

from mimic.benchmark.stages import STAGES, clock_of, timed_stages
from mimic.envs.commands import MotionCommand
from mimic.envs.environment import Environment
from mimic.envs.motion_library import MotionSource
from mimic.envs.spec import COMMAND
from mimic.envs.threads import few_threads
from mimic.machine import usable_cores
from mimic.sim import pick_device
from mimic.tasks import make_env
from robots import Robot

ROUNDS = 5
WARM_UP_STEPS = 5
STANDING_STEPS = 25
"""Steps after which standing robots are put back up: by then their random targets tip them."""
ACTION_NOISE = 0.3
"""Noise on the reference's joint targets (in actions): robots stagger, fall and start again."""
TARGET_NOISE = 0.1
"""Noise on the default pose (rad) of the robots that only stand."""
HIDDEN = (256, 256, 128)


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Figures for one number of environments. Rates are control steps of one environment per s.

    Attributes:
        engine, device: what computed the physics, and where state tensors are.
        threads: of the physics of the ``mujoco`` engine; 0 for engines that have none of ours.
        compiled: whether the environment's own work went through ``torch.compile``.
        setup_s: making the environment, its first reset included.
        first_step_s: the first control step: programs and kernels compiled or read from their
            cache, CUDA graphs captured.
        physics_standing: physics alone, robots standing under noisy default targets.
        physics_inside: physics alone as timed inside the steps of the full environment, that is
            in the very same states.
        full: the environment: physics, kinematics, observations, rewards, terminations, resets.
        with_policy: the same plus a policy network's inference.
        ppo_iteration_s, ppo_samples_per_s: one whole training iteration; None when not asked for.
        stages: share of each stage in the environment's step; ``other`` is the rest.
        done_share: share of environments that ended in a step.
        peak_memory_mb: most memory the process has had so far.
        device_memory_mb: memory of the GPU in use when all was measured, by every library and
            program; None on a CPU.
    """

    engine: str
    device: str
    num_envs: int
    threads: int
    compiled: bool
    steps: int
    setup_s: float
    first_step_s: float
    physics_standing: float
    physics_inside: float
    full: float
    with_policy: float
    ppo_iteration_s: float | None
    ppo_samples_per_s: float | None
    stages: dict[str, float]
    done_share: float
    peak_memory_mb: float
    device_memory_mb: float | None

    @property
    def ratio_standing(self) -> float:
        """Full environment over physics alone with standing robots."""
        return self.full / self.physics_standing

    @property
    def ratio_inside(self) -> float:
        """Full environment over physics alone in the same states."""
        return self.full / self.physics_inside


def benchmark(
    task: str,
    motions: Sequence[MotionSource],
    robot: Robot,
    num_envs: int,
    *,
    engine: str = "auto",
    device: str = "auto",
    threads: int = 0,
    compile: str = "auto",
    seed: int = 0,
    seconds: float = 2.0,
    ppo: bool = True,
    progress: Callable[[str], None] = lambda text: None,
) -> Measurement:
    """Measure one number of environments.

    Args:
        engine, device: see ``mimic.sim.make_engine`` and ``mimic.sim.pick_device``.
        threads: of the physics; 0 means one per core.
        compile: see ``mimic.tasks.make_env``.
        seconds: about how long each of the rounds of each figure runs.
        ppo: whether to run a training iteration too.
    """
    progress(f"{engine}, {num_envs} environments: setting up")
    device = pick_device(device, engine)
    now = clock_of(device)
    started = now()
    env = make_env(
        task, motions, num_envs=num_envs, robot=robot, engine=engine, device=device, seed=seed,
        threads=threads, compile=compile,
    )  # fmt: skip
    setup_s = now() - started
    policy = _policy(env)
    generator = torch.Generator().manual_seed(seed)

    progress(f"{engine}, {num_envs} environments: compiling and measuring")
    with torch.no_grad(), few_threads(num_envs):
        started = now()
        env.step(_actions(env, generator))
        first_step_s = now() - started
        for _ in range(WARM_UP_STEPS):
            env.step(_actions(env, generator))
        steps = _steps_for(env, generator, seconds)
        rounds = [_round(env, policy, generator, steps) for _ in range(ROUNDS)]

    def rate(seconds_of: Callable[[_Round], float]) -> float:
        return num_envs * steps / median(seconds_of(each) for each in rounds)

    total = sum(each.timed_s for each in rounds)
    stages = {name: sum(r.stages[name] for r in rounds) / total for name in STAGES}
    stages["other"] = max(0.0, 1.0 - sum(stages.values()))
    ppo_s, samples = None, 0
    if ppo:
        progress(f"{engine}, {num_envs} environments: a training iteration")
        ppo_s, samples = _ppo_iteration(env, seed, threads)
    return Measurement(
        engine=env.engine.name,
        device=str(env.device),
        num_envs=num_envs,
        threads=(threads or usable_cores()) if env.engine.name == "mujoco" else 0,
        compiled=env.compiled,
        steps=steps * ROUNDS,
        setup_s=setup_s,
        first_step_s=first_step_s,
        physics_standing=rate(lambda r: r.standing_s),
        physics_inside=rate(lambda r: r.stages["physics"]),
        full=rate(lambda r: r.environment_s),
        with_policy=rate(lambda r: r.environment_s + r.policy_s),
        ppo_iteration_s=ppo_s,
        ppo_samples_per_s=samples / ppo_s if ppo_s else None,
        stages=stages,
        done_share=sum(each.dones for each in rounds) / (num_envs * steps * ROUNDS),
        peak_memory_mb=_peak_memory_mb(),
        device_memory_mb=_device_memory_mb(env.device),
    )


@dataclass(frozen=True)
class _Round:
    standing_s: float
    environment_s: float
    policy_s: float
    timed_s: float
    stages: dict[str, float]
    dones: int


def _round(env: Environment, policy: nn.Module, generator: torch.Generator, steps: int) -> _Round:
    standing_s = _standing(env, generator, steps)
    with timed_stages(env) as clock:
        timed_s, policy_s, dones = _steps(env, policy, generator, steps)
    environment_s = timed_s
    if env.device.type == "cuda":
        # Waiting after every stage slows a GPU down: the rate comes from steps without it.
        environment_s, policy_s, dones = _steps(env, policy, generator, steps)
    return _Round(standing_s, environment_s, policy_s, timed_s, dict(clock.seconds), dones)


def _steps(
    env: Environment, policy: nn.Module, generator: torch.Generator, steps: int
) -> tuple[float, float, int]:
    """Seconds in the environment and in the policy, and ended episodes, of ``steps`` steps."""
    now = clock_of(env.device)
    environment_s = policy_s = 0.0
    dones = torch.zeros((), dtype=torch.long, device=env.device)
    obs = env.get_observations()["actor"]
    for _ in range(steps):
        actions = _actions(env, generator)
        started = now()
        policy(obs)
        acted = now()
        result, _, done, _ = env.step(actions)
        environment_s += now() - acted
        policy_s += acted - started
        obs = result["actor"]
        dones += done.sum()
    return environment_s, policy_s, int(dones)


def _standing(env: Environment, generator: torch.Generator, steps: int) -> float:
    """Seconds of ``steps`` steps of physics alone; the environment then goes on where it was."""
    engine, robot, n, device = env.engine, env.robot, env.num_envs, env.device
    now = clock_of(device)
    everyone = torch.arange(n, device=device)
    # One engine serves both: a second one would be compiled and kept in memory as well.
    before = engine.snapshot()
    root = torch.zeros(n, 3, device=device)
    root[:, 2] = robot.default_root_height + engine.scene.height(root[:, 0], root[:, 1])
    upright = torch.tensor([1.0, 0.0, 0.0, 0.0], device=device).repeat(n, 1)
    joints = env.default_joint_pos.repeat(n, 1)
    still = torch.zeros(n, 3, device=device)
    seconds = 0.0
    for step in range(steps):
        if step % STANDING_STEPS == 0:
            engine.reset_to(
                everyone, root_pos_w=root, root_quat_w=upright, joint_pos=joints,
                root_lin_vel_w=still, root_ang_vel_b=still, joint_vel=torch.zeros_like(joints),
            )  # fmt: skip
        noise = torch.randn(n, robot.num_joints, generator=generator).to(device)
        targets = joints + TARGET_NOISE * noise
        started = now()
        engine.advance(targets)
        seconds += now() - started
    engine.restore(before)
    return seconds


def _actions(env: Environment, generator: torch.Generator) -> torch.Tensor:
    """Actions [N, A] that ask for the reference pose, with noise; without a reference for the
    default pose."""
    noise = torch.randn((env.num_envs, env.num_actions), generator=generator).to(env.device)
    for command in env.commands.values():
        if isinstance(command, MotionCommand):
            wanted = (command.joint_pos - env.default_joint_pos) / env.action_scale
            return wanted + ACTION_NOISE * noise
    return ACTION_NOISE * noise


def _policy(env: Environment) -> nn.Module:
    layers: list[nn.Module] = []
    size = int(env.get_observations()["actor"].shape[-1])
    for width in HIDDEN:
        layers += [nn.Linear(size, width), nn.ELU()]
        size = width
    return nn.Sequential(*layers, nn.Linear(size, env.num_actions)).to(env.device)


def _steps_for(env: Environment, generator: torch.Generator, seconds: float) -> int:
    """How many steps take about ``seconds``, at least five."""
    now = clock_of(env.device)
    started = now()
    for _ in range(WARM_UP_STEPS):
        env.step(_actions(env, generator))
    return max(5, round(seconds * WARM_UP_STEPS / (now() - started)))


def _ppo_iteration(env: Environment, seed: int, threads: int) -> tuple[float, int]:
    """Seconds and samples of one iteration of the device's preset."""
    from dataclasses import replace

    from mimic.learning import PRESETS, RunConfig, Runner, run_config, start_runner

    on_gpu = env.device.type == "cuda"
    preset = PRESETS["gpu" if on_gpu else "cpu"]
    # On a GPU the first iteration loads libraries; the second one counts.
    algorithm = replace(preset.algorithm, workers=threads)
    if env.spec.observations["actor"][0].name != COMMAND:
        # Nothing that could be passed on.
        networks = replace(algorithm.networks, command_feedthrough=False)
        algorithm = replace(algorithm, networks=networks)
    config = run_config(
        RunConfig(algorithm=algorithm, loop=preset.loop),
        num_envs=env.num_envs, iterations=2 if on_gpu else 1,
    )  # fmt: skip
    runner = start_runner(env, config, device=str(env.device), seed=seed)
    now = clock_of(env.device)
    times = [now()]

    def note(iteration: int, runner: Runner) -> None:
        times.append(now())

    # Its progress is of no interest here.
    with contextlib.redirect_stdout(io.StringIO()):
        runner.learn(note)
    return times[-1] - times[-2], env.num_envs * runner.algorithm.steps


def _device_memory_mb(device: torch.device) -> float | None:
    if device.type != "cuda":
        return None
    free, total = torch.cuda.mem_get_info(device)
    return (total - free) / 1024.0**2


def _peak_memory_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Kilobytes on Linux, bytes on macOS.
    return peak / (1024.0**2 if sys.platform == "darwin" else 1024.0)
