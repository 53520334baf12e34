"""The training loop: roll out, update, report, save; stop and resume at any moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rsl_rl.storage import RolloutStorage
from tensordict import TensorDict
from torch.utils.tensorboard import SummaryWriter

from mimic.envs.commands.motion import motion_command
from mimic.envs.threads import few_threads
from mimic.learning.average import WeightAverage
from mimic.learning.checkpoints import (
    check_identity,
    find_checkpoint,
    load_checkpoint,
    random_state,
    save_checkpoint,
    seed_everything,
    set_random_state,
)
from mimic.learning.config import TrainConfig
from mimic.learning.console import IterationStats, TrainingConsole
from mimic.learning.distributed import SINGLE, Ranks
from mimic.learning.finite import what_is_not_finite
from mimic.learning.models import PlainActor, build_networks, command_feedthrough
from mimic.learning.ppo import NonFiniteError, ParallelPPO
from mimic.learning.run_dir import ProgressFile
from mimic.learning.session import MeanLog, Pace, stop_requests
from mimic.policy.contract import contract_of_env
from mimic.policy.export import export_policy, reference_clip
from mimic.sim.errors import EngineError, device_trouble
from mimic_base.errors import MimicError

Callback = Callable[[int, "Runner"], bool | None]


class Runner:
    """Trains one policy in one environment and keeps its run directory.

    Attributes:
        iteration, samples, wall_s: how far the run is, over all its sessions.
        last_checkpoint: what a resumed run would start from.
    """

    def __init__(
        self,
        env: Any,
        config: TrainConfig,
        run_dir: Path | None = None,
        *,
        device: str = "cpu",
        seed: int = 0,
        ranks: Ranks = SINGLE,
    ) -> None:
        seed_everything(seed)
        self.ranks = ranks
        self.env = env
        self.config = config
        self.run_dir = run_dir
        self.device = device
        self.seed = seed
        self.iteration = 0
        self.samples = 0
        self.wall_s = 0.0
        self._clock = time.perf_counter()
        self.last_checkpoint: Path | None = None
        obs = env.get_observations().to(device)
        self.sizes = {name: int(obs[name].shape[-1]) for name in ("actor", "critic")}
        self.ppo = self._build(obs)
        self.average = (
            WeightAverage(self.ppo.actor, config.ema_decay) if config.ema_decay > 0 else None
        )
        # Without this the first iteration would see raw observations and the second others.
        self.ppo.train_mode()
        self.ppo.actor.update_normalization(obs)
        self.ppo.critic.update_normalization(obs)
        ranks.same_start([self.ppo.actor, self.ppo.critic])
        if not ranks.first:
            # The same networks, but noise of its own.
            seed_everything(ranks.seed(seed))

    # training ------------------------------------------------------------------------------

    def learn(self, callback: Callback | None = None) -> str:
        """Train up to ``config.iterations``.

        Args:
            callback: called after every iteration with its number and the runner; returning True
                ends the training.

        Returns:
            ``finished``, ``stopped`` (by the callback) or ``interrupted`` (Ctrl-C, SIGTERM). The
            state is saved in each case.

        Raises:
            MimicError: an observation or a loss is not finite; the last checkpoint is untouched.
        """
        config = self.config
        outcome = "finished"
        writer = progress = None
        if self.run_dir is not None and self.ranks.first:
            writer = SummaryWriter(str(self.run_dir), purge_step=self.iteration + 1)
            progress = ProgressFile(self.run_dir, self.iteration)
        obs = self.env.get_observations().to(self.device)
        pace = Pace()
        self._clock = time.perf_counter()
        with TrainingConsole(config.log_interval) as console, stop_requests(console) as stop:
            try:
                while self.iteration < config.iterations:
                    obs, stats = self._guarded_iteration(obs, pace)
                    if self.ranks.first:
                        console.show(stats)
                    if writer and progress:
                        record = stats.record()
                        progress.write(record)
                        for name, value in record.items():
                            if isinstance(value, int | float) and name != "iteration":
                                tag = name if "/" in name else f"train/{name}"
                                writer.add_scalar(tag, value, self.iteration)
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
                if writer and progress:
                    writer.close()
                    progress.close()
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
        config, ppo, env = self.config, self.ppo, self.env
        started = time.perf_counter()
        env.begin_iteration(self.iteration)
        log = MeanLog()
        reward = 0.0
        lengths: list[torch.Tensor] = []
        # Not inference_mode: what the environment keeps must stay writable outside of it.
        with torch.no_grad(), few_threads(env.num_envs):
            for _ in range(config.steps_per_iteration):
                age = env.episode_length_buf.clone()
                obs, rewards, dones, extras = env.step(ppo.act(obs).to(env.device))
                obs, rewards, dones = (x.to(self.device) for x in (obs, rewards, dones))
                wrong = what_is_not_finite(env, obs, rewards)
                if wrong is not None:
                    raise self._diverged(wrong)
                ppo.process_env_step(obs, rewards, dones, extras)
                reward += float(rewards.mean())
                lengths.append(age[dones.to(age.device).bool()] + 1)
                log.add(extras.get("log", {}))
            collected = time.perf_counter()
            ppo.compute_returns(obs)
        try:
            losses = ppo.update()
        except NonFiniteError as error:
            raise self._diverged(str(error)) from error
        if self.average is not None:
            self.average.update(ppo.actor)
        figures = {"reward": reward / config.steps_per_iteration / env.control_dt, **log.mean()}
        ended = torch.cat(lengths).float()
        if len(ended):
            figures["length"] = float(ended.mean()) * env.control_dt
        figures = self.ranks.average_log(figures)
        self._share_sampler()
        finished = time.perf_counter()

        self.iteration += 1
        samples = env.num_envs * config.steps_per_iteration * self.ranks.size
        self.samples += samples
        self.wall_s += finished - self._clock
        self._clock = finished
        return obs, IterationStats(
            iteration=self.iteration,
            iterations=config.iterations,
            samples=self.samples,
            samples_per_s=samples / (finished - started),
            eta_s=pace.eta(finished - started, config.iterations - self.iteration),
            wall_s=self.wall_s,
            reward=figures.pop("reward"),
            episode_length_s=figures.pop("length", None),
            action_std=float(ppo.actor.output_std.mean()),
            learning_rate=ppo.learning_rate,
            collect_s=collected - started,
            learn_s=finished - collected,
            losses=losses,
            log=figures,
        )

    def _share_sampler(self) -> None:
        """Let every rank draw starts by the failures of all."""
        for statistic in self.env.shared_statistics():
            self.ranks.average(statistic)

    # state ---------------------------------------------------------------------------------

    @property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint must share with the environment it is resumed in."""
        env = self.env
        return {
            "task": env.task_name,
            "robot": env.robot.name,
            "robot_hash": env.robot.content_hash,
            "motions": env.identity["motions"],
            "actor_observations": self.sizes["actor"],
            "critic_observations": self.sizes["critic"],
            "actions": env.num_actions,
        }

    def state_dict(self) -> dict[str, Any]:
        """Everything that decides what the run does next."""
        return {
            "identity": self.identity,
            "config": self.config.to_dict(),
            "seed": self.seed,
            "iteration": self.iteration,
            "samples": self.samples,
            "wall_s": self.wall_s,
            "actor": self.ppo.actor.state_dict(),
            "critic": self.ppo.critic.state_dict(),
            "optimizer": self.ppo.optimizer.state_dict(),
            "learning_rate": self.ppo.learning_rate,
            "average": None if self.average is None else self.average.state_dict(),
            "env": self.env.state_dict(),
            "random": random_state(),
        }

    def save(self) -> None:
        """Write a checkpoint and ``policy.onnx`` into the run directory."""
        if self.run_dir is None or not self.ranks.first:
            return
        self.last_checkpoint = save_checkpoint(
            self.run_dir / "checkpoints",
            self.iteration,
            self.state_dict(),
            self.config.keep_checkpoints,
        )
        self.export(self.run_dir / "policy.onnx")

    def resume(self, run: Path | str) -> None:
        """Continue from a checkpoint file, or from the last checkpoint of a run directory.

        Raises:
            MimicError: absent or damaged checkpoint, or one of another task, robot or network.
        """
        path = find_checkpoint(run)
        state = load_checkpoint(path, self.device)
        check_identity(path, state["identity"], self.identity)
        try:
            self.ppo.actor.load_state_dict(state["actor"])
            self.ppo.critic.load_state_dict(state["critic"])
            self.ppo.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError) as error:
            raise MimicError(
                f"{path}: its networks do not fit this configuration; resume with the widths it "
                f"was trained with (actor {state['config']['actor_hidden']}, critic "
                f"{state['config']['critic_hidden']}, command feedthrough "
                f"{state['config']['command_feedthrough']})"
            ) from error
        self.ppo.learning_rate = state["learning_rate"]
        if self.average is not None and state["average"] is not None:
            self.average.load_state_dict(state["average"])
        self.env.load_state_dict(state["env"])
        self.iteration, self.samples = state["iteration"], state["samples"]
        self.wall_s = state["wall_s"]
        self.last_checkpoint = path
        set_random_state(state["random"])
        if not self.ranks.first:
            # The checkpoint holds the random states of rank 0.
            own = self.ranks.seed(self.seed + self.iteration)
            seed_everything(own)
            self.env.generator.manual_seed(own)

    def initialise(self, run: Path | str) -> None:
        """Start from the networks and normalisers of another run; everything else is new.

        Raises:
            MimicError: absent or damaged checkpoint, or networks of other sizes.
        """
        path = find_checkpoint(run)
        state = load_checkpoint(path, self.device)
        check_identity(path, state["identity"], {"robot": self.identity["robot"]})
        try:
            self.ppo.actor.load_state_dict(state["actor"])
            self.ppo.critic.load_state_dict(state["critic"])
        except RuntimeError as error:
            raise MimicError(
                f"{path}: its networks do not fit this task and configuration (task "
                f"{state['identity']['task']}, actor {state['config']['actor_hidden']}, critic "
                f"{state['config']['critic_hidden']})"
            ) from error
        if self.average is not None:
            self.average = WeightAverage(self.ppo.actor, self.config.ema_decay)

    # policy --------------------------------------------------------------------------------

    def policy(self) -> PlainActor:
        """The deterministic policy as it would be exported: obs [N, D] -> actions [N, A], CPU."""
        plain = PlainActor(self.ppo.actor)
        if self.average is not None:
            plain.load_weights(self.average.weights)
        return plain

    def export(self, path: Path, clip: int | None = None) -> None:
        """Write ``policy.onnx`` with its contract; ``clip`` puts a reference clip inside."""
        training = {
            "iterations": self.iteration,
            "samples": self.samples,
            "wall_s": round(self.wall_s, 1),
            "seed": self.seed,
            "num_envs": self.env.num_envs,
        }
        reference = None if clip is None else reference_clip(motion_command(self.env).library, clip)
        contract = contract_of_env(self.env, training, clip=clip)
        obs = self.env.get_observations()["actor"]
        export_policy(self.policy(), contract, obs, path, reference)

    # parts ---------------------------------------------------------------------------------

    def _build(self, obs: TensorDict) -> ParallelPPO:
        c, env = self.config, self.env
        feedthrough = command_feedthrough(env) if c.command_feedthrough else None
        actor, critic = build_networks(c, self.sizes, env.num_actions, feedthrough)
        storage = RolloutStorage(
            "rl", env.num_envs, c.steps_per_iteration, obs, [env.num_actions], self.device
        )
        return ParallelPPO(
            actor.to(self.device), critic.to(self.device), storage,
            num_learning_epochs=c.epochs, num_mini_batches=c.minibatches, clip_param=c.clip,
            gamma=c.gamma, lam=c.gae_lambda, value_loss_coef=c.value_coef,
            entropy_coef=c.entropy_coef, learning_rate=c.learning_rate,
            critic_learning_rate=c.critic_learning_rate,
            learning_rate_range=c.learning_rate_range, max_grad_norm=c.max_grad_norm,
            use_clipped_value_loss=c.clipped_value_loss, schedule=c.schedule,
            desired_kl=c.desired_kl, workers=c.workers, device=self.device, ranks=self.ranks,
            reflections=env.spec.reflections() if c.symmetry else None,
        )  # fmt: skip

    def _diverged(self, reason: str) -> MimicError:
        return self._failed(
            reason, "resume from it or start with a lower --learning-rate or --desired-kl"
        )

    def _failed(self, reason: str, advice: str) -> MimicError:
        kept = (
            f"the last good checkpoint is {self.last_checkpoint}"
            if self.last_checkpoint
            else "no checkpoint had been written yet"
        )
        return MimicError(f"iteration {self.iteration + 1}: {reason}; {kept}; {advice}")
