"""The training loop: roll out, update, report, save; stop and resume at any moment.

It knows an environment (``mimic.learning.environment``) and an algorithm
(``mimic.learning.algorithm``) by their protocols only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from tensordict import TensorDict
from torch import nn

from mimic.envs.threads import few_threads
from mimic.learning.algorithm import (
    Algorithm,
    NonFiniteError,
    StartsFromNetworks,
    TakesActor,
    Transition,
)
from mimic.learning.checkpoints import (
    check_identity,
    find_checkpoint,
    load_checkpoint,
    random_state,
    save_checkpoint,
    seed_everything,
    set_random_state,
    spec_to_plain,
)
from mimic.learning.config import RunConfig
from mimic.learning.console import IterationStats, TrainingConsole
from mimic.learning.curves import Curves, quiet_writer_threads
from mimic.learning.distributed import SINGLE, Ranks
from mimic.learning.environment import TrainingEnvironment
from mimic.learning.finite import what_is_not_finite
from mimic.learning.modules.actor_critic import ACTOR_FIELDS, averaged_actor
from mimic.learning.registry import algorithm_class
from mimic.learning.run_dir import ProgressFile
from mimic.learning.session import MeanLog, Pace, stop_requests
from mimic.policy.contract import PolicyContract, assets_of_env, contract_of_env
from mimic.policy.export import export_policy, frames_of, whole_observations, whole_policy
from mimic.sim.errors import EngineError, device_trouble
from mimic_base.command_line import user_error_text
from mimic_base.errors import InputError, MimicError

Callback = Callable[[int, "Runner"], bool | None]


def start_runner(
    env: TrainingEnvironment,
    config: RunConfig,
    run_dir: Path | None = None,
    *,
    device: str = "cpu",
    seed: int = 0,
    ranks: Ranks = SINGLE,
) -> Runner:
    """Seed the global random numbers (torch, numpy, Python), then build algorithm and runner.

    Every rank gets the same networks and explores with noise of its own.

    Raises:
        MimicError: unknown algorithm, or one that cannot learn in this environment.
    """
    seed_everything(seed)
    kind = algorithm_class(config.algorithm_name)
    algorithm = kind.build(env.spec, config.algorithm, device, ranks)
    if not ranks.first:
        seed_everything(ranks.seed(seed))
    return Runner(env, algorithm, config, run_dir, device=device, seed=seed, ranks=ranks)


class Runner:
    """Trains one policy in one environment and keeps its run directory.

    Args:
        seed: kept in checkpoints; the process is seeded by ``start_runner``.

    Attributes:
        iteration, samples, wall_s: how far the run is, over all its sessions.
        last_checkpoint: what a resumed run would start from.
    """

    def __init__(
        self,
        env: TrainingEnvironment,
        algorithm: Algorithm,
        config: RunConfig,
        run_dir: Path | None = None,
        *,
        device: str = "cpu",
        seed: int = 0,
        ranks: Ranks = SINGLE,
    ) -> None:
        self.env = env
        self.spec = env.spec
        self.algorithm = algorithm
        self.config = config
        self.run_dir = run_dir
        self.device = device
        self.seed = seed
        self.ranks = ranks
        self.iteration = 0
        self.samples = 0
        self.wall_s = 0.0
        self._clock = time.perf_counter()
        self.last_checkpoint: Path | None = None

    # training ------------------------------------------------------------------------------

    def learn(self, callback: Callback | None = None) -> str:
        """Train up to ``config.loop.iterations``.

        Args:
            callback: called after every iteration with its number and the runner; returning True
                ends the training.

        Returns:
            ``finished``, ``stopped`` (by the callback) or ``interrupted`` (Ctrl-C, SIGTERM). The
            state is saved in each case.

        Raises:
            MimicError: an observation or a loss is not finite, or the run directory cannot be
                written any more (disk full, gone); the last checkpoint is untouched.
        """
        config = self.config.loop
        outcome = "finished"
        curves = progress = None
        obs = self.env.get_observations().to(self.device)
        pace = Pace()
        self._clock = time.perf_counter()
        with (
            TrainingConsole(config.log_interval) as console,
            stop_requests(console) as stop,
            quiet_writer_threads(),
        ):
            try:
                if self.run_dir is not None and self.ranks.first:
                    with self._written():
                        progress = ProgressFile(self.run_dir, self.iteration)
                    curves = Curves(self.run_dir, self.iteration)
                while self.iteration < config.iterations:
                    obs, stats = self._guarded_iteration(obs, pace)
                    if self.ranks.first:
                        console.show(stats)
                    if curves and progress:
                        record = stats.record()
                        with self._written():
                            progress.write(record)
                        curves.write(record, self.iteration)
                    wanted = callback is not None and bool(callback(self.iteration, self))
                    if self.ranks.any(wanted):
                        outcome = "stopped"
                    elif self.ranks.any(stop.requested):
                        outcome = "interrupted"
                    if outcome != "finished" or self.iteration % config.checkpoint_interval == 0:
                        self.save()
                    if outcome != "finished":
                        break
                if outcome == "finished" and self.iteration % config.checkpoint_interval:
                    self.save()
            finally:
                if curves is not None:
                    curves.close()
        return outcome

    def _guarded_iteration(self, obs: TensorDict, pace: Pace) -> tuple[TensorDict, IterationStats]:
        """An iteration whose engine or device may fail: one line that names the checkpoint."""
        try:
            return self._iterate(obs, pace)
        except EngineError as error:
            raise self._failed(str(error), "resume from it") from error
        except (RuntimeError, MemoryError) as error:
            trouble = device_trouble(error)
            if trouble is None:
                raise
            raise self._failed(trouble, "resume from it") from error

    def _iterate(self, obs: TensorDict, pace: Pace) -> tuple[TensorDict, IterationStats]:
        algorithm, env, spec = self.algorithm, self.env, self.spec
        steps, iterations = algorithm.steps, self.config.loop.iterations
        started = time.perf_counter()
        env.begin_iteration(self.iteration)
        log = MeanLog()
        reward = 0.0
        lengths: list[torch.Tensor] = []
        # Not inference_mode: what the environment keeps must stay writable outside of it.
        with torch.no_grad(), few_threads(spec.num_envs):
            for _ in range(steps):
                age = env.episode_length_buf.clone()
                actions = algorithm.act(obs)
                transition, extras = self._step(obs, actions)
                obs = transition.next_obs
                algorithm.observe(transition)
                reward += float(transition.rewards.mean())
                lengths.append(age[transition.dones.to(age.device)] + 1)
                log.add(extras.get("log", {}))
        collected = time.perf_counter()
        try:
            figures = algorithm.update()
        except NonFiniteError as error:
            raise self._diverged(str(error)) from error
        seen = {"reward": reward / steps / spec.control_dt, **log.mean()}
        ended = torch.cat(lengths).float()
        if len(ended):
            seen["length"] = float(ended.mean()) * spec.control_dt
        seen = self.ranks.average_log(seen)
        for statistic in env.shared_statistics():
            # Starts, for one, are drawn by the failures of all ranks.
            self.ranks.average(statistic)
        finished = time.perf_counter()

        self.iteration += 1
        samples = spec.num_envs * steps * self.ranks.size
        self.samples += samples
        self.wall_s += finished - self._clock
        self._clock = finished
        return obs, IterationStats(
            iteration=self.iteration,
            iterations=iterations,
            samples=self.samples,
            samples_per_s=samples / (finished - started),
            eta_s=pace.eta(finished - started, iterations - self.iteration),
            wall_s=self.wall_s,
            reward=seen.pop("reward"),
            episode_length_s=seen.pop("length", None),
            collect_s=collected - started,
            learn_s=finished - collected,
            figures=figures,
            log=seen,
        )

    def _step(self, obs: TensorDict, actions: torch.Tensor) -> tuple[Transition, dict[str, Any]]:
        """A control step of the environment, on the algorithm's device and checked."""
        there = self.spec.device
        following, rewards, _, extras = self.env.step(actions.to(there))
        following, rewards = following.to(self.device), rewards.to(self.device)
        wrong = what_is_not_finite(self.spec, following, rewards)
        if wrong is not None:
            raise self._diverged(wrong)
        disturbed = extras.get("disturbed")
        if disturbed is None:
            disturbed = torch.zeros_like(extras["terminated"])
        return Transition(
            obs=obs,
            actions=actions,
            rewards=rewards,
            terminated=extras["terminated"].to(self.device),
            truncated=extras["time_outs"].to(self.device),
            next_obs=following,
            disturbed=disturbed.to(self.device),
            final_ids=extras["final_ids"].to(self.device),
            final_obs=extras["final_observations"].to(self.device),
        ), extras

    # state ---------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Everything that decides what the run does next."""
        return {
            "identity": self.env.identity,
            "spec": spec_to_plain(self.spec),
            "config": self.config.to_plain(),
            "seed": self.seed,
            "iteration": self.iteration,
            "samples": self.samples,
            "wall_s": self.wall_s,
            "algorithm": {
                "name": self.config.algorithm_name,
                "state": self.algorithm.state_dict(),
            },
            "contract": contract_of_env(self.env, {}).to_json(),
            "env": self.env.state_dict(),
            "random": random_state(),
        }

    def save(self) -> None:
        """Write a checkpoint and ``policy.onnx`` into the run directory."""
        if self.run_dir is None or not self.ranks.first:
            return
        with self._written():
            self.last_checkpoint = save_checkpoint(
                self.run_dir / "checkpoints",
                self.iteration,
                self.state_dict(),
                self.config.loop.keep_checkpoints,
            )
            self.export(self.run_dir / "policy.onnx")

    def resume(self, run: Path | str) -> None:
        """Continue from a checkpoint file, or from the last checkpoint of a run directory.

        Raises:
            MimicError: absent or damaged checkpoint, or one of another task, robot, algorithm or
                network.
        """
        path = find_checkpoint(run)
        state = load_checkpoint(path, self.device)
        check_identity(path, state["identity"], self.env.identity)
        self._check_algorithm(path, state)
        try:
            self.algorithm.load_state_dict(state["algorithm"]["state"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise self._does_not_fit(path, state) from error
        self.env.load_state_dict(state["env"])
        self.iteration, self.samples = state["iteration"], state["samples"]
        self.wall_s = state["wall_s"]
        self.last_checkpoint = path
        set_random_state(state["random"])
        if not self.ranks.first:
            # The checkpoint holds the random states of rank 0.
            own = self.ranks.seed(self.seed + self.iteration)
            seed_everything(own)
            self.env.reseed(own)

    def initialise(self, run: Path | str) -> None:
        """Start from the networks and normalisers of another run; everything else is new.

        Of another algorithm that has the same actor, the actor is taken, with averaged weights
        where that run kept them.

        Raises:
            MimicError: absent or damaged checkpoint, networks of other sizes, or an algorithm
                that cannot start this way.
        """
        path = find_checkpoint(run)
        state = load_checkpoint(path, self.device)
        check_identity(path, state["identity"], {"robot": self.env.identity["robot"]})
        found = state["algorithm"]["name"]
        other = self.algorithm if found != self.config.algorithm_name else None
        if isinstance(other, TakesActor) and found in other.takes_actor_of:
            self._take_actor(other, path, state)
            return
        self._check_algorithm(path, state)
        if not isinstance(self.algorithm, StartsFromNetworks):
            raise MimicError(
                f"algorithm '{self.config.algorithm_name}' cannot start from another run's "
                "networks; it has no load_networks"
            )
        try:
            self.algorithm.load_networks(state["algorithm"]["state"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise self._does_not_fit(path, state) from error

    def _take_actor(self, algorithm: TakesActor, path: Path, state: Mapping[str, Any]) -> None:
        # Weights of the same sizes fit whatever is computed between them; numbers do not tell.
        saved = state["config"]["algorithm"]["networks"]
        ours = self.config.to_plain()["algorithm"]["networks"]
        other = [
            f"{name} {before} there, {now} here"
            for name, before, now in differences(saved, ours)
            if name in ACTOR_FIELDS
        ]
        if other:
            raise MimicError(
                f"{path}: its actor is another one ({'; '.join(other)}); give this run the same "
                "by --algorithm.networks.*"
            )
        try:
            algorithm.load_actor(averaged_actor(state["algorithm"]["state"]))
        except (RuntimeError, ValueError, KeyError) as error:
            raise self._does_not_fit(path, state) from error

    def _check_algorithm(self, path: Path, state: Mapping[str, Any]) -> None:
        found, wanted = state["algorithm"]["name"], self.config.algorithm_name
        if found != wanted:
            raise MimicError(
                f"{path}: this checkpoint is of algorithm '{found}', this run of '{wanted}'; name "
                f"it with --algorithm {found}"
            )

    def _does_not_fit(self, path: Path, state: Mapping[str, Any]) -> MimicError:
        saved, ours = state["config"]["algorithm"], self.config.to_plain()["algorithm"]
        changed = [
            f"{name} {before} there, {now} here" for name, before, now in differences(saved, ours)
        ]
        return MimicError(
            f"{path}: its networks do not fit this task ('{state['identity']['task']}' there, "
            f"'{self.spec.task}' here) and configuration "
            f"({'; '.join(changed) or 'the same numbers'})"
        )

    # policy --------------------------------------------------------------------------------

    def policy(self) -> nn.Module:
        """The deterministic policy as it would be exported: obs [N, D] -> actions [N, A], CPU."""
        return self.algorithm.policy()

    def contract(self, assets: Mapping[str, Any] | None = None) -> PolicyContract:
        """What the policy says about itself; ``assets`` is what its commands put into the file."""
        training = {
            "iterations": self.iteration,
            "samples": self.samples,
            "wall_s": round(self.wall_s, 1),
            "seed": self.seed,
            "num_envs": self.spec.num_envs,
        }
        return contract_of_env(self.env, training, assets)

    def export(self, path: Path, choice: str | int | None = None) -> None:
        """Write ``policy.onnx`` with its contract and what the commands put inside.

        Args:
            choice: what a command offers that shall be inside, see ``assets_of_env``.
        """
        assets = assets_of_env(self.env, choice)
        obs = whole_observations(self.env.get_observations(), self.env)  # type: ignore[arg-type]
        policy = whole_policy(self.policy(), self.env)
        export_policy(policy, self.contract(assets), obs, path, frames_of(assets))

    # failures ------------------------------------------------------------------------------

    @contextmanager
    def _written(self) -> Iterator[None]:
        """What goes into the run directory: where it cannot, the training ends with one line.

        It ends rather than goes on: hours that cannot be saved would be lost with the next fault.
        """
        try:
            yield
        except (InputError, OSError) as error:
            text = user_error_text(error) or str(error)
            if isinstance(error, OSError) and error.filename is None:
                # As the writer of curves says it, which does not know the file.
                text = f"{self.run_dir}: cannot write: {text}"
            raise self._failed(text, "make room, then go on with --resume") from error

    def _diverged(self, reason: str) -> MimicError:
        return self._failed(
            reason, "resume from it, or start with a lower learning rate (--algorithm.*)"
        )

    def _failed(self, reason: str, advice: str) -> MimicError:
        kept = (
            f"the last good checkpoint is {self.last_checkpoint}"
            if self.last_checkpoint
            else "no checkpoint had been written yet"
        )
        return MimicError(f"iteration {self.iteration + 1}: {reason}; {kept}; {advice}")


def differences(
    a: Mapping[str, Any], b: Mapping[str, Any], prefix: str = ""
) -> list[tuple[str, Any, Any]]:
    """The entries in which two trees of plain values differ: dotted name, in ``a``, in ``b``."""
    found = []
    for name in dict.fromkeys([*a, *b]):
        before, now = a.get(name), b.get(name)
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            found += differences(before, now, f"{prefix}{name}.")
        elif before != now:
            found.append((prefix + name, before, now))
    return found
