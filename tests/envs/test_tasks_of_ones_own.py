"""A task made of parts the project does not know: command, object, events, curriculum, actions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

from mimic.envs.actions import JointPositionConfig
from mimic.envs.commands import Command, CommandConfig, InitialState
from mimic.envs.environment import Environment, TaskConfig, quiet_task
from mimic.envs.mdp import observations, rewards
from mimic.envs.terms import (
    CurriculumTerm,
    EventTerm,
    ObservationTerm,
    RewardTerm,
    TerminationTerm,
)
from mimic.sim.objects import ObjectConfig
from mimic.sim.scene import SceneConfig
from mimic.tasks import make_env
from mimic_base.errors import MimicError
from mimic_base.trust import consent
from robots import Robot


class Place(Command):
    """Carry the box to a place on the floor that is drawn at every restart."""

    def __init__(self, config: PlaceConfig, env: Environment) -> None:
        super().__init__(env)
        self.config = config
        self.target_w = torch.zeros(env.num_envs, 2, device=env.device)
        self.offset_w = torch.zeros(env.num_envs, 2, device=env.device)
        self.age = torch.zeros(env.num_envs, device=env.device)
        self.arrivals = 0

    def resample(self, env_ids: torch.Tensor) -> None:
        far = self.config.far
        self.target_w[env_ids] = self.env.uniform((len(env_ids), 2), -far, far)
        self.age[env_ids] = 0.0

    def advance(self) -> None:
        self.age = self.age + 1.0

    def update(self, env_ids: torch.Tensor | None = None) -> None:
        self.offset_w = self.target_w - self.env.state.objects["box"].pos_w[:, :2]

    @property
    def finished(self) -> torch.Tensor:
        return self.age >= self.config.steps

    def metrics(self) -> Mapping[str, torch.Tensor]:
        return {"error/place": self.offset_w.norm(dim=-1)}

    def state_dict(self) -> dict[str, Any]:
        return {"arrivals": self.arrivals}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.arrivals = int(state["arrivals"])


@dataclass(frozen=True, kw_only=True)
class PlaceConfig(CommandConfig):
    far: float = 2.0
    steps: int = 1000

    def build(self, env: Environment) -> Place:
        return Place(self, env)


def to_place(env: Environment, command: str = "place") -> torch.Tensor:
    return env.commands[command].offset_w  # type: ignore[attr-defined]


def near_place(env: Environment) -> torch.Tensor:
    return torch.exp(-env.commands["place"].offset_w.norm(dim=-1))  # type: ignore[attr-defined]


def finished(env: Environment) -> torch.Tensor:
    return env.commands["place"].finished


def box_height(env: Environment) -> torch.Tensor:
    return env.state.objects["box"].pos_w[:, 2:]


def count_iterations(env: Environment, iteration: int, step: float) -> float:
    env.randomisation = step * iteration
    return env.randomisation


def carrying(**changes: Any) -> TaskConfig:
    task = TaskConfig(
        task="carrying",
        scene=SceneConfig(objects={"box": ObjectConfig(size=(0.1, 0.1, 0.1), pos=(1, 0, 0.1))}),
        commands={"place": PlaceConfig()},
        observations={
            "actor": {
                "to_place": ObservationTerm(function=to_place),
                "box_height": ObservationTerm(function=box_height, history=2),
                "gravity": ObservationTerm(function=observations.projected_gravity),
                "joint_pos": ObservationTerm(function=observations.joint_pos),
            }
        },
        rewards={
            "near": RewardTerm(function=near_place, weight=2.0, tracking=True),
            "rate": RewardTerm(function=rewards.action_rate_l2, weight=-0.1),
        },
        terminations={"finished": TerminationTerm(function=finished, time_out=True)},
    )
    return replace(task, **changes)


def build(g1: Robot, task: TaskConfig, num_envs: int = 3, seed: int = 0) -> Environment:
    return make_env(task, num_envs=num_envs, robot=g1, engine="mujoco", threads=1, seed=seed)


def still(env: Environment) -> torch.Tensor:
    return torch.zeros(env.num_envs, env.num_actions)


def test_a_command_and_an_object_without_any_motion(g1: Robot) -> None:
    env = build(g1, carrying())
    place: Any = env.commands["place"]
    assert env.spec.sizes == {"actor": 2 + 2 + 3 + 29}
    # Nobody says where episodes begin: the robot stands in its default pose at the origin.
    height = float(g1.default_root_height)
    torch.testing.assert_close(
        env.state.robot.root_pos_w, torch.tensor([[0.0, 0.0, height]]).repeat(3, 1)
    )
    torch.testing.assert_close(env.state.robot.joint_pos, env.default_joint_pos.repeat(3, 1))
    observed, reward, _, extras = env.step(still(env))
    box = env.state.objects["box"].pos_w
    torch.testing.assert_close(observed["actor"][:, :2], place.target_w - box[:, :2])
    torch.testing.assert_close(reward, 0.02 * 2.0 * torch.exp(-place.offset_w.norm(dim=-1)))
    assert float(extras["log"]["error/place"]) == pytest.approx(
        float(place.offset_w.norm(dim=-1).mean())
    )
    assert env.max_reward == 2.0
    assert len(place.target_w.unique()) == 6  # every environment has its own


def test_restarts_draw_new_commands_and_put_objects_back(g1: Robot) -> None:
    env = build(g1, carrying(commands={"place": PlaceConfig(steps=3)}))
    place: Any = env.commands["place"]
    first = place.target_w.clone()
    for step in range(3):
        _, _, dones, extras = env.step(still(env))
        assert dones.all() == (step == 2)
    assert extras["time_outs"].all() and not extras["terminated"].any()
    final = extras["final_observations"]["actor"]
    torch.testing.assert_close(final[:, :2], first - torch.tensor([1.0, 0.0]), atol=1e-2, rtol=0)
    assert not torch.isclose(place.target_w, first).any()
    torch.testing.assert_close(
        env.state.objects["box"].pos_w, torch.tensor([[1.0, 0.0, 0.1]]).repeat(3, 1)
    )


def test_a_command_may_say_where_objects_begin(g1: Robot) -> None:
    class Tossed(Place):
        def initial_state(self, env_ids: torch.Tensor, *, noise: bool = True) -> InitialState:
            count = len(env_ids)
            pos = torch.tensor([[0.5, 0.5, 1.0]]).repeat(count, 1)
            quat = torch.tensor([[1.0, 0, 0, 0]]).repeat(count, 1)
            up = torch.tensor([[0.0, 0, 1.0]]).repeat(count, 1)
            state = self.env.default_state(count)
            return replace(state, objects={"box": (pos, quat, up, 0 * up)})

    @dataclass(frozen=True, kw_only=True)
    class TossedConfig(PlaceConfig):
        def build(self, env: Environment) -> Tossed:
            return Tossed(self, env)

    env = build(g1, carrying(commands={"place": TossedConfig()}))
    assert env.state.objects["box"].pos_w[:, 2].tolist() == [1.0] * 3
    assert env.state.objects["box"].lin_vel_w[:, 2].tolist() == [1.0] * 3
    two = {"place": TossedConfig(), "other": TossedConfig()}
    with pytest.raises(MimicError, match="place, other all say where episodes begin"):
        build(g1, carrying(commands=two))


def test_events_happen_at_start_up_at_restarts_and_in_between(g1: Robot) -> None:
    seen: list[tuple[str, list[int]]] = []

    def note(env: Environment, env_ids: torch.Tensor, name: str) -> None:
        seen.append((name, env_ids.tolist()))

    def event(mode: Any, **options: Any) -> EventTerm:
        return EventTerm(function=note, mode=mode, parameters={"name": mode}, **options)

    events = {
        "once": event("startup"),
        "again": event("reset"),
        "now_and_then": event("interval", interval_s=(0.06, 0.06)),
    }
    env = build(g1, carrying(events=events))
    assert seen == [("startup", [0, 1, 2]), ("reset", [0, 1, 2])]
    seen.clear()
    env.reset_envs(torch.tensor([1]))
    assert seen == [("reset", [1])]
    seen.clear()
    for _ in range(3):
        env.step(still(env))
    assert seen == [("interval", [0, 1, 2])]
    assert quiet_task(carrying(events=events)).events == {}


def test_a_reset_event_draws_physics_anew(g1: Robot) -> None:
    from mimic.envs.mdp.events import randomize_foot_friction

    friction = EventTerm(
        function=randomize_foot_friction, mode="reset", parameters={"friction": (0.3, 1.2)}
    )
    env = build(g1, carrying(events={"friction": friction}))
    foot = g1.feet[0]
    geom = next(
        g for g in range(env.scene.model.ngeom)
        if env.scene.model.body(env.scene.model.geom_bodyid[g]).name == foot
        and env.scene.model.geom_contype[g]
    )  # fmt: skip
    before = env.engine.model_field("geom_friction")[:, geom, 0].clone()
    env.reset_envs(torch.tensor([0, 2]))
    after = env.engine.model_field("geom_friction")[:, geom, 0]
    assert (before != after).tolist() == [True, False, True]


def test_curricula_follow_the_iterations_and_are_logged(g1: Robot) -> None:
    term = CurriculumTerm(function=count_iterations, parameters={"step": 0.25})
    env = build(g1, carrying(curriculum={"strength": term}))
    assert env.randomisation == 1.0
    env.begin_iteration(3)
    assert env.randomisation == 0.75
    assert env.step(still(env))[3]["log"]["curriculum/strength"] == 0.75
    assert quiet_task(env.cfg).curriculum == {}


def test_some_joints_may_be_moved_and_the_others_rest(g1: Robot) -> None:
    names = ("left_knee_joint", "right_knee_joint")
    actions = {"knees": JointPositionConfig(joints=names, scale=0.5)}
    env = build(g1, carrying(actions=actions))
    assert env.num_actions == 2
    targets = env.targets(torch.tensor([[1.0, -1.0]]).repeat(3, 1))
    moved = [g1.joint_names.index(name) for name in names]
    change = (targets - env.default_joint_pos)[0]
    wanted = 0.5 * torch.tensor(g1.action_scale, dtype=torch.float32)[moved]
    torch.testing.assert_close(change[moved], wanted * torch.tensor([1.0, -1.0]))
    rest = [j for j in range(29) if j not in moved]
    assert not change[rest].any()
    env.step(still(env))
    with pytest.raises(MimicError, match="has no joint 'wheel'"):
        build(g1, carrying(actions={"x": JointPositionConfig(joints=("wheel",))}))


def test_commands_are_saved_and_described(g1: Robot) -> None:
    env = build(g1, carrying())
    place: Any = env.commands["place"]
    place.arrivals = 7
    again = build(g1, carrying(), seed=5)
    again.load_state_dict(env.state_dict())
    assert again.commands["place"].arrivals == 7  # type: ignore[attr-defined]
    assert env.describe()["commands"]["place"]["kind"].endswith(":Place")
    assert env.identity["motions"] == []


def test_tasks_are_found_by_module_and_function(
    g1: Robot, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mimic.tasks.registry import task_config

    (tmp_path / "my_tasks.py").write_text(
        "from dataclasses import replace\n"
        "from mimic.tasks.tracking import tracking\n\n\n"
        "def short():\n    return replace(tracking(), episode_length_s=1.0)\n\n\n"
        "def wrong():\n    return 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    consent(["my_tasks"])
    config = task_config("my_tasks:short")
    assert config.episode_length_s == 1.0 and config.task == "my_tasks:short"
    for name, text in (
        ("my_tasks:absent", "has no 'absent'"),
        ("no_such_module:x", "cannot import 'no_such_module'"),
        ("my_tasks:wrong", "is a int, expected a function that returns"),
    ):
        with pytest.raises(MimicError, match=text):
            task_config(name)


def test_motions_need_a_command_that_takes_them(g1: Robot, motion: Any) -> None:
    with pytest.raises(MimicError, match="task 'carrying' takes no motion"):
        make_env(carrying(), [motion], num_envs=1, robot=g1)


def test_a_task_needs_numbers_that_can_be() -> None:
    with pytest.raises(MimicError, match="control_hz must be positive, got 0"):
        carrying(control_hz=0.0)
    with pytest.raises(MimicError, match="has no action"):
        carrying(actions={})
