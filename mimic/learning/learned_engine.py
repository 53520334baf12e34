"""A learned model of the robot as an engine: ``--engine learned:model=RUN``.

Policies are played, judged and compared in it as in any other engine. What no model of the robot
predicts is told: contact forces are absent, objects and grounds other than the plane are refused,
and so are terms that read a named contact and events that vary the model.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import ClassVar

import torch

from mimic.learning.learned_model import LearnedModel, load_model
from mimic.learning.modules.past import Following
from mimic.sim.along_base import along_base, state_along_base
from mimic.sim.engine import Engine
from mimic.sim.errors import EngineError
from mimic.sim.scene import Scene
from mimic.sim.state import ContactState
from mimic.sim.terrain import Plane
from mimic_base.rotations_torch import quat_rotate

ABSENT = "contact forces are absent from it (they read zero)"


class LearnedEngine(Engine):
    """``Engine`` on a ``LearnedModel``. See ``mimic.sim.engine.Engine``.

    Args:
        model: run directory or checkpoint of the world-model trainer, or the model itself.
    """

    name = "learned"
    options: ClassVar[Mapping[str, str]] = {
        "model": "run directory or checkpoint of mimic train --algorithm world-model",
    }

    def __init__(
        self,
        scene: Scene,
        num_envs: int,
        *,
        device: str = "cpu",
        threads: int = 0,
        model: LearnedModel | str | Path | int = "",
    ) -> None:
        super().__init__(scene, num_envs, device)
        if not isinstance(model, LearnedModel):
            if not str(model):
                raise EngineError(
                    "engine 'learned' needs a model: --engine learned:model=RUN, a run directory "
                    "or checkpoint of mimic train --algorithm world-model"
                )
            model = load_model(str(model), scene.robot, device)
        self.model = model
        self._check_scene(scene, model)
        self._state = torch.zeros(num_envs, 13 + 2 * scene.robot.num_joints, device=self.device)
        self._state[:, 3] = 1.0
        self._state[:, 2] = scene.robot.default_root_height
        self._state[:, 7 : 7 + scene.robot.num_joints] = self._own(
            torch.as_tensor(scene.robot.default_joint_pos)
        )
        self._stepping = model.stepping(self._state)
        self.state.contacts = _NoContacts(scene.contacts)
        _tell(model.source)
        self._publish(*self._read())

    @staticmethod
    def _check_scene(scene: Scene, model: LearnedModel) -> None:
        """Refuse what no model of the robot alone predicts.

        Raises:
            EngineError: another robot or rate, objects, a ground that is not flat.
        """
        where = f"engine 'learned' ({model.source})"
        if scene.robot.content_hash != model.robot.content_hash:
            raise EngineError(
                f"{where}: the model is of robot '{model.robot.name}' "
                f"({model.robot.content_hash}), the scene has '{scene.robot.name}' "
                f"({scene.robot.content_hash}); take the robot it was trained with"
            )
        if abs(scene.control_dt - model.control_dt) > 1e-9:
            raise EngineError(
                f"{where}: a step of the model is {1e3 * model.control_dt:g} ms, of the scene "
                f"{1e3 * scene.control_dt:g} ms; set task.control_hz to {1 / model.control_dt:g}"
            )
        if scene.objects:
            raise EngineError(
                f"{where}: the scene has objects ({', '.join(scene.objects)}), whose motion the "
                "model does not know; use --engine mujoco"
            )
        if not isinstance(scene.config.terrain, Plane):
            raise EngineError(
                f"{where}: the ground is {type(scene.config.terrain).__name__}, the model knows "
                "the plane it was trained on; use --engine mujoco"
            )

    def advance(self, targets: torch.Tensor) -> None:
        """The model's step alone: state tensors are stale until the next ``step``."""
        with torch.no_grad():
            self._state = self._stepping(self._state, self._own(targets))

    def _read(self) -> tuple[torch.Tensor, torch.Tensor]:
        j = self.scene.robot.num_joints
        s = self._state
        qvel = torch.cat([quat_rotate(s[:, 3:7], s[:, 7 + j : 10 + j]), s[:, 10 + j :]], -1)
        return s[:, : 7 + j].clone(), qvel

    def _write(self, env_ids: torch.Tensor, qpos: torch.Tensor, qvel: torch.Tensor) -> None:
        qpos, qvel = self._own(qpos), self._own(qvel)
        state = self._state.clone()
        state[env_ids] = state_along_base(qpos, qvel)
        self._state = state
        if isinstance(self._stepping, Following):
            self._stepping.forget(env_ids)

    def _write_velocity(self, env_ids: torch.Tensor, qvel: torch.Tensor) -> None:
        j = self.scene.robot.num_joints
        qvel = self._own(qvel)
        state = self._state.clone()
        state[env_ids, 7 + j :] = along_base(state[env_ids, 3:7], qvel)
        self._state = state

    @property
    def unfamiliar(self) -> torch.Tensor | None:
        """[N] how far the present states are from what the model has seen, with the pose held."""
        if self.model.familiarity is None:
            return None
        j = self.scene.robot.num_joints
        held = self._state[:, 7 : 7 + j]
        return self.model.familiarity.distance(self.model.dynamics.inputs(self._state, held))


class _NoContacts(Mapping[str, ContactState]):
    """``state.contacts`` of an engine that knows none: who asks for one is refused by its name."""

    def __init__(self, known: Mapping[str, object]) -> None:
        self._known = tuple(known)

    def __getitem__(self, name: str) -> ContactState:
        if name not in self._known:
            raise KeyError(name)
        raise EngineError(
            f"engine 'learned' knows no contact forces, the task reads that of '{name}'; use "
            "--engine mujoco"
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


@cache
def _tell(source: Path) -> None:
    """Say once on standard error what this engine does not have."""
    print(f"engine learned ({source}): {ABSENT}", file=sys.stderr)
