"""Sweeps every disturbance, one at a time and all together, and says what breaks first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import mujoco

from mimic.envs.environment import Environment, TaskConfig
from mimic.envs.motion_library import find_motion_files
from mimic.evaluation.evaluate import check_protocol, evaluate
from mimic.evaluation.jobs import KEPT, Job, digest, run_jobs
from mimic.evaluation.library import policy_identity
from mimic.evaluation.metrics import Summary, Sums
from mimic.evaluation.policies import LoadedPolicy, named_task, open_policy, robot_of, trained_task
from mimic.evaluation.protocols import Protocol, get_protocol
from mimic.evaluation.result_head import Result
from mimic.evaluation.robustness.disturbances import (
    DISTURBANCES,
    Context,
    measured_terms,
    with_disturbances,
)
from mimic.sim import pick_device
from mimic.sim.engine import make_engine
from mimic.sim.scene import make_scene
from mimic.tasks.registry import with_motion_scene, with_motions
from mimic_base.errors import MimicError
from motions import RobotMotion
from robots import Robot

SCHEMA = "humanoid-mimic/robustness/1"
MULTIPLES = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
QUICK_MULTIPLES = (1.0, 2.0)
LIMITS = (0.95, 0.5)
"""Success below which something is said to break, and to break the policy altogether."""
HOPELESS = 0.05
"""Success below which larger multiples are not played."""


@dataclass(frozen=True, kw_only=True)
class Physics:
    """Another way to compute the same physics than the one of training and evaluation."""

    title: str
    hz: float = 200.0
    integrator: str = ""
    """``Euler``, ``implicit``, ``implicitfast`` or ``RK4``; empty: the model's own."""
    engine: str = ""
    """Another engine; empty: the one of the sweep."""
    episodes: int | None = None
    """Of each clip, where fewer are enough."""


PHYSICS: tuple[Physics, ...] = (
    Physics(title="100 Hz", hz=100.0),
    Physics(title="500 Hz", hz=500.0),
    Physics(title="1000 Hz", hz=1000.0),
    Physics(title="RK4, 200 Hz", integrator="RK4"),
    Physics(title="implicit, 200 Hz", integrator="implicit"),
    Physics(title="Euler, 1000 Hz", integrator="Euler", hz=1000.0),
)
QUICK_PHYSICS = (PHYSICS[1], PHYSICS[3])


@dataclass(frozen=True, kw_only=True)
class Point:
    """A condition that was played."""

    multiple: float
    total: Summary
    clips: tuple[Summary, ...]
    played: bool = True
    """False where a smaller multiple had left no hope: success is taken as 0."""

    @property
    def success(self) -> float:
        """Share of episodes without a failure."""
        return self.total.success if self.played else 0.0


@dataclass(frozen=True, kw_only=True)
class RobustnessResult(Result):
    """What ``sweep_robustness`` found.

    Attributes:
        nominal: without any disturbance; with figures of smoothness, as the points of ``together``.
        sweeps: points by disturbance, by rising multiple.
        together: all disturbances at once.
        physics: other physics without disturbances, by title; None and the reason where one
            cannot be played.
        left_out: disturbances that the task cannot have.
    """

    episodes: int
    clips: tuple[str, ...]
    nominal: Point
    sweeps: Mapping[str, tuple[Point, ...]]
    together: tuple[Point, ...]
    physics: Mapping[str, Summary | None]
    left_out: tuple[str, ...] = ()

    def breaks_at(self, name: str, limit: float) -> float | None:
        """Smallest multiple at which success falls below ``limit``; None where none was."""
        return first_below(self.sweeps[name], limit)

    def first_to_break(self, limit: float) -> str | None:
        """The disturbance that breaks at the smallest multiple, the worse one of several."""
        found = []
        for name, points in self.sweeps.items():
            multiple = first_below(points, limit)
            if multiple is not None:
                success = next(p.success for p in points if p.multiple == multiple)
                found.append((multiple, success, name))
        return min(found)[2] if found else None

    def verdict(self) -> list[str]:
        """What breaks first, in words."""
        lines = []
        nominal = self.nominal.success
        if nominal < LIMITS[0]:
            lines.append(
                f"undisturbed only {100 * nominal:.4g} % of the episodes succeed: nothing has to "
                "break"
            )
        for limit in LIMITS:
            name = self.first_to_break(limit)
            percent = f"{100 * limit:.0f} %"
            if name is None:
                lines.append(f"nothing alone takes success below {percent}")
                continue
            each, multiple = DISTURBANCES[name], self.breaks_at(name, limit)
            assert multiple is not None
            point = next(p for p in self.sweeps[name] if p.multiple == multiple)
            lines.append(
                f"below {percent} first: {each.title} ({name}) at {multiple:g} times the published "
                f"range of {each.source}: {each.span(multiple)}, success "
                f"{100 * point.success:.4g} %"
            )
            multiple = first_below(self.together, limit)
            lines.append(
                f"all together below {percent}: at {multiple:g} times the published ranges"
                if multiple is not None
                else f"all together stay at {percent} or above"
            )
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Everything in plain numbers and texts."""

        def point(p: Point) -> dict[str, Any]:
            told = {"multiple": p.multiple, "played": p.played, "success": p.success}
            if p.played:
                told |= {"total": p.total.to_dict(), "clips": [c.to_dict() for c in p.clips]}
            return told

        return {
            **self.head(SCHEMA),
            "episodes_per_clip": self.episodes,
            "clips": list(self.clips),
            "verdict": self.verdict(),
            "nominal": point(self.nominal),
            "sweeps": {
                name: {
                    "title": DISTURBANCES[name].title,
                    "source": DISTURBANCES[name].source,
                    "published_range": DISTURBANCES[name].span(1.0),
                    "breaks_at": {str(limit): first_below(points, limit) for limit in LIMITS},
                    "points": [
                        {**point(p), "range": DISTURBANCES[name].span(p.multiple)} for p in points
                    ],
                }
                for name, points in self.sweeps.items()
            },
            "together": [point(p) for p in self.together],
            "physics": {
                title: None if each is None else each.to_dict()
                for title, each in self.physics.items()
            },
            "left_out": list(self.left_out),
            **self.tail(),
        }


def first_below(points: Sequence[Point], limit: float) -> float | None:
    """Smallest multiple of which success is below ``limit``."""
    return next((p.multiple for p in points if p.success < limit), None)


@dataclass(frozen=True, kw_only=True)
class _Common:
    """What all points share; travels to other processes."""

    policy: str
    motions: tuple[str, ...]
    robot: str | None
    engine: str
    device: str
    seed: int
    episodes: int
    measured: tuple[str, ...]


def sweep_robustness(
    policy: Path | str,
    motions: Sequence[Path | str] = (),
    *,
    disturbances: Sequence[str] = tuple(DISTURBANCES),
    multiples: Sequence[float] = MULTIPLES,
    physics: Sequence[Physics] = PHYSICS,
    episodes: int = 20,
    workers: int = 1,
    robot: Path | str | None = None,
    engine: str = "auto",
    device: str = "auto",
    seed: int = 0,
    folder: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> RobustnessResult:
    """Play a policy's clips under every disturbance; figures do not depend on ``workers``.

    Each point plays ``episodes`` of each clip from its first frame, judged as in appendix F. A
    point of which less than 5 % succeed ends its sweep.

    Args:
        motions: motion files, folders, manifests or packs; by default those of the policy.
        disturbances: names of ``DISTURBANCES``.
        multiples: of the published ranges.
        folder: where finished points are kept; a call that was interrupted goes on there.
        progress: called with (points done, points there are at most).

    Raises:
        MimicError, InputError, RobotError: a policy, clip, disturbance or number that cannot be
            used.
    """
    unknown = [name for name in disturbances if name not in DISTURBANCES]
    if unknown:
        raise MimicError(f"unknown disturbance '{unknown[0]}'; known: {', '.join(DISTURBANCES)}")
    multiples = sorted(set(map(float, multiples)))
    if not multiples or multiples[0] <= 0.0:
        raise MimicError(f"multiples must be greater than 0, got {multiples or 'none'}")
    if episodes < 1:
        raise MimicError(f"episodes must be at least 1, got {episodes}")
    loaded = open_policy(policy)
    body = robot_of(loaded, robot)
    named, notes = named_task(loaded)
    check_protocol(named, _protocol(episodes, False))
    paths = tuple(map(str, motions))
    common = _Common(
        policy=str(policy), motions=paths, robot=None if robot is None else str(robot),
        engine=engine, device=device, seed=seed, episodes=episodes, measured=(),
    )  # fmt: skip
    probe = _environment(common, loaded, body, named, _protocol(1, False))
    try:
        notes += loaded.check(probe)
        # In the scene that the clips carry: on steps there is no rough ground.
        trained = replace(_trained(loaded, named), scene=probe.cfg.scene)
        context = Context(task=trained, measured=measured_terms(probe))
        clips = tuple(probe.commands["motion"].library.names)  # type: ignore[attr-defined]
        identities = probe.identity["motions"]
        name_of_engine = probe.engine.name
    finally:
        probe.close()
    common = replace(common, measured=context.measured)
    chosen = [name for name in disturbances if DISTURBANCES[name].fits(context)]
    left_out = tuple(name for name in disturbances if name not in chosen)
    most = 1 + len(physics) + len(multiples) * (len(chosen) + 1)
    finished = 0

    def done(job: Job, result: Mapping[str, Any], found: bool) -> None:
        nonlocal finished
        finished += 1
        if progress is not None:
            progress(finished, most)

    identity = digest(
        policy_identity(policy), identities, body.content_hash, name_of_engine, seed, episodes,
        context.measured,
    )  # fmt: skip

    def play(points: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        return run_jobs(
            "mimic.evaluation.robustness.sweep:play_point", common,
            [Job(title=str(each), arguments=each) for each in points], workers=workers,
            keep=None if folder is None else folder / KEPT, identity=identity, done=done,
        )  # fmt: skip

    first = play([{"multiples": {}, "smooth": True}])[0]
    dt = first["control_dt"]
    sweeps: dict[str, list[Point]] = {name: [] for name in chosen}
    together: list[Point] = []
    others: list[dict[str, Any]] = []
    nominal = _point(0.0, first, dt)
    for number, multiple in enumerate(multiples):
        going = [n for n in chosen if not sweeps[n] or sweeps[n][-1].success >= HOPELESS]
        wave: list[dict[str, Any]] = [{"multiples": {name: multiple}} for name in going]
        everything = not together or together[-1].success >= HOPELESS
        if everything:
            every = {name: multiple for name in chosen}
            wave.append({"multiples": every, "smooth": True})
        if number == 0:
            wave += [{"multiples": {}, "physics": vars(each)} for each in physics]
        found = play(wave)
        for name in chosen:
            at = going.index(name) if name in going else None
            sweeps[name].append(_point(multiple, None if at is None else found[at], dt))
        together.append(_point(multiple, found[len(going)] if everything else None, dt))
        if number == 0:
            others = found[len(found) - len(physics) :]
    played: dict[str, Summary | None] = {}
    for each, result in zip(physics, others, strict=True):
        if "refused" in result:
            notes.append(f"{each.title}: {result['refused']}")
            played[each.title] = None
        else:
            played[each.title] = Sums.from_dict(result["total"]).summary(each.title, dt)
    return RobustnessResult(
        policy=str(policy),
        task=named.task,
        robot=body.name,
        robot_hash=body.content_hash,
        engine=name_of_engine,
        seed=seed,
        episodes=episodes,
        clips=clips,
        nominal=nominal,
        sweeps={name: tuple(points) for name, points in sweeps.items()},
        together=tuple(together),
        physics=played,
        left_out=left_out,
        notes=tuple(dict.fromkeys(notes)),
        details=loaded.details,
    )


def play_point(common: _Common, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The sums of one point, in plain values."""
    loaded = _policy(common.policy)
    body = robot_of(loaded, common.robot)
    named, _ = named_task(loaded)
    physics = Physics(**arguments["physics"]) if arguments.get("physics") else None
    episodes = common.episodes
    if physics is not None and physics.episodes is not None:
        episodes = physics.episodes
    protocol = _protocol(episodes, bool(arguments.get("smooth")))
    context = Context(task=_trained(loaded, named), measured=common.measured)
    try:
        env = _environment(
            common, loaded, body, named, protocol, arguments["multiples"], context, physics
        )
    except MimicError as error:
        if physics is None:
            raise
        return {"refused": str(error)}
    try:
        result = evaluate(
            replace(loaded, check=lambda env: []), _clips(common.motions, loaded), protocol,
            task=named, robot=body, env=env, seed=common.seed,
        )  # fmt: skip
    finally:
        env.close()
    return {
        "control_dt": result.control_dt,
        "total": vars(Sums.joined(result.sums)),
        "clips": [
            {"name": clip.name, "sums": vars(sums)}
            for clip, sums in zip(result.clips, result.sums, strict=True)
        ],
    }


def _protocol(episodes: int, smooth: bool) -> Protocol:
    return replace(
        get_protocol("appendix-f", episodes=episodes), name="robustness", smoothness=smooth,
        description="whole clips from their first frame under disturbances, judged as in appendix "
        "F",
    )  # fmt: skip


def _environment(
    common: _Common,
    policy: LoadedPolicy,
    body: Robot,
    named: TaskConfig,
    protocol: Protocol,
    multiples: Mapping[str, float] | None = None,
    context: Context | None = None,
    physics: Physics | None = None,
) -> Environment:
    """The environment of a point, with a place for every episode."""
    clips = _clips(common.motions, policy)
    config = with_motion_scene(with_motions(named, clips))
    config = replace(protocol.environment(config), motion_scene=False)
    if multiples and context is not None:
        config = with_disturbances(config, multiples, context)
    if physics is not None:
        config = replace(config, physics_hz=physics.hz)
    scene = make_scene(
        body, config.scene, control_hz=config.control_hz, physics_hz=config.physics_hz
    )
    if physics is not None and physics.integrator:
        kind = getattr(mujoco.mjtIntegrator, f"mjINT_{physics.integrator.upper()}")
        scene.model.opt.integrator = int(kind)
    name = physics.engine if physics is not None and physics.engine else common.engine
    engine = make_engine(
        name, scene, len(clips) * protocol.episodes, device=pick_device(common.device, name),
        threads=1,
    )  # fmt: skip
    return Environment(config, engine, seed=common.seed)


def _trained(policy: LoadedPolicy, named: TaskConfig) -> TaskConfig:
    """The task with the noise that the policy was trained under, as far as it is known."""
    try:
        return trained_task(policy)
    except MimicError:
        return named


def _clips(paths: tuple[str, ...], policy: LoadedPolicy) -> list[RobotMotion]:
    if paths:
        return _loaded(paths)
    found: list[RobotMotion] = [m for m in policy.motions if isinstance(m, RobotMotion)]
    files = [m for m in policy.motions if not isinstance(m, RobotMotion)]
    found += [each.load() for each in find_motion_files(files)] if files else []
    if not found:
        raise MimicError(
            f"{policy.source}: the policy comes without a clip; name one with --motion FILE"
        )
    return found


@lru_cache(maxsize=1)
def _loaded(paths: tuple[str, ...]) -> list[RobotMotion]:
    return [each.load() for each in find_motion_files(list(paths))]


@lru_cache(maxsize=1)
def _policy(path: str) -> LoadedPolicy:
    return open_policy(path)


def _point(multiple: float, result: Mapping[str, Any] | None, dt: float) -> Point:
    if result is None:
        nothing = Sums().summary("total", dt)
        return Point(multiple=multiple, total=nothing, clips=(), played=False)
    clips = tuple(
        Sums.from_dict(each["sums"]).summary(each["name"], dt) for each in result["clips"]
    )
    total = Sums.from_dict(result["total"]).summary("total", dt)
    return Point(multiple=multiple, total=total, clips=clips)
