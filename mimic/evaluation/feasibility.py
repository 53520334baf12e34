"""How well a reference can be followed, by a learned model of the robot.

A reference is cut into overlapping windows of H control steps. In each one the robot begins in the
reference's own state, and joint targets are sought, by the gradient through the learned model,
that keep it on the reference: multiple shooting, all windows side by side. What is left of the
error is what the robot cannot help. See docs/world_model.md for the formula.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from mimic.envs.motion_library import MotionLibrary, MotionSource, load_library
from mimic.learning.learned_model import LearnedModel
from mimic.learning.modules.dynamics import plausible
from mimic.sim import make_engine, pick_device
from mimic.sim.engine import Engine
from mimic.sim.kinematics import Kinematics
from mimic.sim.motion_scene import scene_of_motions
from mimic.sim.scene import make_scene
from mimic.sim.terrain import Plane
from mimic_base.errors import MimicError
from mimic_base.rotations_torch import quat_angle, quat_inv_rotate, quat_rotate
from motions import RobotMotion

SCHEMA = "humanoid-mimic/feasibility/1"
SCALE_M = 0.1
"""Distance of the key bodies at which a moment's score has fallen to 1/e, m."""
FAR = 1e3
"""What a state that has blown up is off by, in any unit."""
WORST = 5
"""Moments named of each clip."""
BATCH = 256
"""Windows that are shot at a time."""
UNKNOWN = 1.0
"""Distance from the replayed transitions beyond which the model is asked about what it has not
seen; see ``Familiarity``."""


@dataclass(frozen=True, kw_only=True)
class ShootingConfig:
    """How joint targets are sought."""

    window_s: float = 0.5
    """Seconds of a window; a new one begins every half window."""
    iterations: int = 60
    """Gradient steps on the joint targets, over all rounds."""
    rounds: int = 4
    """Times that what was found is played in physics, and the model is corrected by it."""
    learning_rate: float = 0.05
    """Adam's, in parts of the range that an action of one moves a joint through."""
    turn_weight: float = 0.05
    """Weight of the anchor's rotation error, of (rad/0.1)^2 beside (m/0.1)^2 of the bodies."""
    smooth_weight: float = 0.002
    """Weight of the targets' changes from step to step, of the square of actions."""
    torque_weight: float = 1.0
    """Weight of torques beyond the motors' limits, of the square of the share beyond."""
    known_weight: float = 1.0
    """Weight of leaving what the model has seen, of the square of the distance beyond."""

    def __post_init__(self) -> None:
        if (
            not self.window_s > 0
            or min(self.iterations, self.rounds) < 1
            or not self.learning_rate > 0
        ):
            raise MimicError(
                "a window needs some time, one gradient step at least and a positive learning "
                f"rate, got {self.window_s} s, {self.iterations} and {self.learning_rate}"
            )


@dataclass(frozen=True, kw_only=True)
class Window:
    """Some seconds of a reference.

    Attributes:
        from_s, to_s: in the clip.
        score: mean over its steps of ``exp(-(e / 0.1 m)^2)`` over the share of the distance that
            the model is beyond what it knows; in [0, 1].
        error_mm: mean distance of the key bodies from the reference's, mm.
        turn_rad: mean angle between the anchor and the reference's.
        torque: largest share of a motor's limit that was asked for.
        unfamiliar: mean of the model inputs' distance from the replayed ones; up to 1 is known.
    """

    from_s: float
    to_s: float
    score: float
    error_mm: float
    turn_rad: float
    torque: float
    unfamiliar: float | None


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A control step at which a reference is hardest to follow."""

    time_s: float
    score: float
    error_mm: float


@dataclass(frozen=True, kw_only=True)
class ClipFeasibility:
    """A reference, window by window."""

    name: str
    file: str
    sha: str
    """Hash of the motion's content, as policies name what they were trained on."""
    seconds: float
    windows: tuple[Window, ...]
    worst: tuple[Moment, ...] = field(default=())
    """The hardest moments, at least a window apart, hardest first."""

    @property
    def score(self) -> float:
        """Mean over the windows."""
        return sum(each.score for each in self.windows) / len(self.windows)

    @property
    def lowest(self) -> float:
        """Of the worst window."""
        return min(each.score for each in self.windows)

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "name": self.name,
            "file": self.file,
            "sha": self.sha,
            "seconds": self.seconds,
            "score": self.score,
            "lowest": self.lowest,
            "windows": [{**vars(each)} for each in self.windows],
            "worst": [{**vars(each)} for each in self.worst],
        }


@dataclass(frozen=True, kw_only=True)
class Shot:
    """What B windows of H steps came to; every field [H, B]."""

    error: torch.Tensor
    """Mean distance of the key bodies from the reference's, m."""
    turn: torch.Tensor
    """Angle between the anchor and the reference's, rad."""
    torque: torch.Tensor
    """Largest share of a motor's limit that was asked for."""
    unfamiliar: torch.Tensor
    """Distance of the model's inputs from what it has seen; 0 where that is not known."""
    cost: torch.Tensor
    """What was minimised."""
    real: bool
    """Whether physics went this way, rather than the model alone."""

    @property
    def score(self) -> torch.Tensor:
        """``exp(-(e / 0.1 m)^2)``, over how far the model is beyond what it knows where only the
        model says so; see docs/world_model.md."""
        close = torch.exp(-((self.error / SCALE_M) ** 2)).nan_to_num(0.0)
        return close if self.real else close / (self.unfamiliar.clamp_min(UNKNOWN) / UNKNOWN)

    def finite(self) -> Shot:
        """The same, with what has blown up as far as can be."""
        kept = ("error", "turn", "torque", "unfamiliar", "cost")
        far = {name: getattr(self, name).nan_to_num(FAR, FAR, FAR).clamp(max=FAR) for name in kept}
        return Shot(**far, real=self.real)

    def or_better(self, other: Shot) -> Shot:
        """Window by window the one of less cost."""
        better = other.cost.mean(0).nan_to_num(torch.inf) < self.cost.mean(0).nan_to_num(torch.inf)
        chosen = {
            name: torch.where(better, getattr(other, name), getattr(self, name))
            for name in ("error", "turn", "torque", "unfamiliar", "cost")
        }
        return Shot(**chosen, real=self.real)


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    bodies: torch.Tensor
    """[H, B, K, 3] m"""
    anchor_quat: torch.Tensor
    """[H, B, 4]"""


class Shooting:
    """Multiple shooting in one model, corrected by physics where it is asked for.

    Args:
        engine: name of the physics engine that what was found is played in; empty: none.
    """

    def __init__(self, model: LearnedModel, config: ShootingConfig, engine: str = "auto") -> None:
        self.model, self.config = model, config
        robot, device = model.robot, model.dynamics.in_mean.device
        self._kinematics = Kinematics(robot, device)
        self._key = [robot.body_names.index(name) for name in robot.key_bodies]
        self._anchor = robot.body_names.index(robot.anchor_body)

        def row(values: Any) -> torch.Tensor:
            return torch.as_tensor(values, dtype=torch.float32, device=device)

        self._kp, self._kd, self._limit = (
            row(each) for each in (robot.kp, robot.kd, robot.effort_limit)
        )
        self._unit = 1.0 / model.dynamics.inverse_scale
        self._engine_name = engine
        self._scene = make_scene(robot, control_hz=1.0 / model.control_dt) if engine else None

    def shoot(self, states: torch.Tensor, bodies: torch.Tensor) -> Shot:
        """Seek the joint targets that keep robots on their references.

        With an engine, in rounds: what was found is played in it, and what the model was off by in
        each step is added to its prediction from then on (as in training, docs/world_model.md), so
        that with the same targets it goes the way physics went.

        Args:
            states: [H + 1, B, 13 + 2 J] the references; the robots begin in the first ones.
            bodies: [H + 1, B, K, 3] m, the references' key bodies.

        Returns:
            The best round of each window: as physics went, else as the model did.
        """
        c = self.config
        j = self.model.robot.num_joints
        wanted = _Wanted(bodies=bodies[1:], anchor_quat=self._anchor_quat(states[1:]))
        # The pose asked for next, as the command feedthrough of a policy does.
        guess = states[1:, :, 7 : 7 + j]
        offset = torch.zeros_like(guess, requires_grad=True)
        optimizer = torch.optim.Adam([offset], c.learning_rate, betas=(0.9, 0.95))
        residual, best = None, None
        rounds = c.rounds if self._engine_name else 1
        engine = self._engine(states.shape[1]) if self._engine_name else None
        for _ in range(rounds):
            steps = max(1, c.iterations // rounds)
            for i in range(steps):
                for group in optimizer.param_groups:
                    group["lr"] = c.learning_rate * (1.0 - 0.8 * i / steps)
                cost = self._follow(states[0], guess, offset, wanted, residual).cost.sum(0).sum()
                optimizer.zero_grad()
                cost.backward()
                if offset.grad is not None:
                    offset.grad.nan_to_num_(0.0, 0.0, 0.0)
                optimizer.step()
            with torch.no_grad():
                if engine is None:
                    return self._follow(states[0], guess, offset, wanted, None)
                targets = guess + offset * self._unit
                path = self._played(engine, states[0], targets)
                found = self._judged(path, targets, offset, wanted, real=True)
                best = found if best is None else best.or_better(found)
                residual = self._off_by(path, targets)
        assert best is not None
        return best

    def _engine(self, count: int) -> Engine:
        assert self._scene is not None
        device = pick_device("auto" if self._unit.is_cuda else "cpu", self._engine_name)
        return make_engine(self._engine_name, self._scene, count, device=device, threads=1)

    def _played(self, engine: Engine, start: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """[H + 1, B, S] the states that physics goes through from ``start`` [B, S]."""
        j = self.model.robot.num_joints
        spin = quat_rotate(start[:, 3:7], start[:, 7 + j : 10 + j])
        everyone = torch.arange(len(start), device=engine.device)
        qvel = torch.cat([spin, start[:, 10 + j :]], -1)
        engine.reset(everyone, start[:, : 7 + j].to(engine.device), qvel.to(engine.device))
        states = [start]
        for t in range(len(targets)):
            engine.step(targets[t].to(engine.device))
            robot = engine.state.robot
            parts = (robot.root_pos_w, robot.root_quat_w, robot.joint_pos,
                     robot.root_lin_vel_b, robot.root_ang_vel_b, robot.joint_vel)  # fmt: skip
            states.append(torch.cat(parts, -1).to(start))
        return torch.stack(states)

    def _off_by(self, path: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """[H, B, 2 V] what the model is off by along states [H + 1, B, S]; 0 where nothing that a
        robot can do has happened."""
        d = self.model.dynamics
        step, shape = self.model.stepping(path[0]), path.shape[:2]
        before, after = path[:-1].flatten(0, 1), path[1:].flatten(0, 1)
        change = d.change(before, after)
        fine = plausible(change, d.velocities)
        predicted = torch.cat([step(path[t], targets[t]) for t in range(shape[0] - 1)])
        off = (change - d.change(before, predicted)) / d.scale
        off = torch.where(fine[:, None], off, torch.zeros_like(off)).nan_to_num(0.0)
        return off.unflatten(0, (shape[0] - 1, shape[1]))

    def _follow(
        self,
        start: torch.Tensor,
        guess: torch.Tensor,
        offset: torch.Tensor,
        wanted: _Wanted,
        residual: torch.Tensor | None,
    ) -> Shot:
        """Where the model goes."""
        step, states, targets = self.model.stepping(start), [start], guess + offset * self._unit
        for t in range(len(guess)):
            off = None if residual is None else residual[t]
            states.append(step(states[-1], targets[t], off))
        return self._judged(torch.stack(states), targets, offset, wanted, real=False)

    def _judged(
        self,
        path: torch.Tensor,
        targets: torch.Tensor,
        offset: torch.Tensor,
        wanted: _Wanted,
        *,
        real: bool,
    ) -> Shot:
        """States [H + 1, B, S] held against the reference."""
        c, joints = self.config, self.model.robot.num_joints
        positions, quats = self._bodies(path[1:])
        distance = (positions[:, :, self._key] - wanted.bodies).square().sum(-1)
        error = (distance + 1e-10).sqrt().mean(-1)
        turn = quat_angle(quats[:, :, self._anchor], wanted.anchor_quat)
        position, speed = path[:-1, :, 7 : 7 + joints], path[:-1, :, 13 + joints :]
        asked = self._kp * (targets - position) - self._kd * speed
        torque = asked.abs() / self._limit
        unfamiliar = torch.zeros_like(error)
        if self.model.familiarity is not None:
            inputs = self.model.dynamics.inputs(path[:-1].flatten(0, 1), targets.flatten(0, 1))
            unfamiliar = self.model.familiarity.distance(inputs).view_as(error)
        changes = torch.diff(offset, dim=0, prepend=offset[:1]).square().sum(-1)
        cost = (
            distance.mean(-1) / SCALE_M**2
            + c.turn_weight * (turn / SCALE_M).square()
            + c.torque_weight * (torque - 1.0).clamp_min(0.0).square().sum(-1)
            + c.known_weight * (unfamiliar - UNKNOWN).clamp_min(0.0).square()
            + c.smooth_weight * changes
        ) / len(targets)
        return Shot(
            error=error, turn=turn, torque=torque.amax(-1), unfamiliar=unfamiliar, cost=cost,
            real=real,
        )  # fmt: skip

    def _bodies(self, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Positions [H, B, N, 3] and orientations [H, B, N, 4] of all bodies."""
        j = self.model.robot.num_joints
        flat = states.flatten(0, 1)
        velocity = torch.zeros(len(flat), 6 + j, device=flat.device)
        pos, quat, _, _ = self._kinematics(flat[:, : 7 + j], velocity)
        shape = states.shape[:2]
        return pos.unflatten(0, shape), quat.unflatten(0, shape)

    def _anchor_quat(self, states: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return self._bodies(states)[1][:, :, self._anchor]


def feasibility(
    model: LearnedModel,
    motions: Sequence[MotionSource],
    config: ShootingConfig | None = None,
    *,
    engine: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> list[ClipFeasibility]:
    """Score references of the model's robot.

    Args:
        engine: what corrects the model; empty: nothing, the model is believed.
        progress: called with (control steps done, of how many) after each clip.

    Raises:
        MimicError, InputError: a file that cannot be read, another robot's, too short a clip.
    """
    config = config or ShootingConfig()
    for motion in motions:
        scene = scene_of_motions([motion])
        if scene.objects or not isinstance(scene.terrain, Plane):
            raise MimicError(
                f"{motion if not isinstance(motion, RobotMotion) else motion.name}: its scene has "
                f"{', '.join(scene.objects) or type(scene.terrain).__name__}; the model knows a "
                "robot alone on the plane"
            )
    steps = max(2, round(config.window_s / model.control_dt))
    shooting = Shooting(model, config, engine)
    library = load_library(motions, model.robot, 1.0 / model.control_dt)
    states = reference_states(library, model)
    total, done = int((library.length - 1).sum()), 0
    found = []
    for clip, motion in enumerate(motions):
        first, length = int(library.start[clip]), int(library.length[clip])
        if length < 3:
            raise MimicError(
                f"motion {library.names[clip]}: {length} frames are too few to be followed"
            )
        rows = slice(first, first + length)
        windows, worst = _windows(
            shooting, states[rows], library.body_pos_w[rows], min(steps, length - 1)
        )
        found.append(
            ClipFeasibility(
                name=library.names[clip],
                file="" if isinstance(motion, RobotMotion) else str(Path(motion).resolve()),
                sha=library.hashes[clip],
                seconds=(length - 1) * model.control_dt,
                windows=windows,
                worst=worst,
            )
        )
        done += length - 1
        if progress is not None:
            progress(done, total)
    return found


def _windows(
    shooting: Shooting, states: torch.Tensor, bodies: torch.Tensor, steps: int
) -> tuple[tuple[Window, ...], tuple[Moment, ...]]:
    """The windows of one clip, [T, S] and [T, K, 3], and its hardest moments."""
    dt, last = shooting.model.control_dt, len(states) - 1 - steps
    starts = sorted({*range(0, last + 1, max(1, steps // 2)), last})
    ahead = torch.arange(steps + 1)[:, None]
    known = shooting.model.familiarity is not None
    windows: list[Window] = []
    moments: list[Moment] = []
    for part in (starts[i : i + BATCH] for i in range(0, len(starts), BATCH)):
        rows = ahead + torch.tensor(part)
        shot = shooting.shoot(states[rows], bodies[rows]).finite()
        score = shot.score
        for b, start in enumerate(part):
            windows.append(
                Window(
                    from_s=round(start * dt, 6),
                    to_s=round((start + steps) * dt, 6),
                    score=float(score[:, b].mean()),
                    error_mm=1e3 * float(shot.error[:, b].mean()),
                    turn_rad=float(shot.turn[:, b].mean()),
                    torque=float(shot.torque[:, b].max()),
                    unfamiliar=float(shot.unfamiliar[:, b].mean()) if known else None,
                )
            )
            t = int(score[:, b].argmin())
            moments.append(
                Moment(
                    time_s=round((start + t + 1) * dt, 6),
                    score=float(score[t, b]),
                    error_mm=1e3 * float(shot.error[t, b]),
                )
            )
    return tuple(windows), _apart(moments, steps * dt)


def _apart(moments: Sequence[Moment], least_s: float) -> tuple[Moment, ...]:
    """The hardest moments that are at least so far from each other, hardest first."""
    chosen: list[Moment] = []
    for each in sorted(moments, key=lambda moment: moment.score):
        if all(abs(each.time_s - other.time_s) >= least_s - 1e-9 for other in chosen):
            chosen.append(each)
        if len(chosen) == WORST:
            break
    return tuple(chosen)


def reference_states(library: MotionLibrary, model: LearnedModel) -> torch.Tensor:
    """[F, 13 + 2 J] the references of all clips as states of the robot, see ``StateRows``."""
    root = model.robot.key_bodies.index(model.robot.root_body)
    quat = library.body_quat_w[:, root]
    return torch.cat(
        [
            library.body_pos_w[:, root], quat, library.joint_pos,
            quat_inv_rotate(quat, library.body_lin_vel_w[:, root]),
            quat_inv_rotate(quat, library.body_ang_vel_w[:, root]), library.joint_vel,
        ],
        -1,
    )  # fmt: skip
