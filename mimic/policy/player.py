"""Runs a policy file with numpy and onnxruntime alone, as a robot's computer does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import ArrayLike, NDArray

from mimic.configuration import from_plain
from mimic.policy.contract import GOLDEN_KEY, METADATA_KEY, PolicyContract
from mimic.policy.interfaces import interface_of, with_interface
from mimic.policy.observations import ObservationBuilder, Reference, RobotState, Situation
from mimic.policy.onnx_file import check_onnx
from mimic_base.errors import InputError, MimicError
from mimic_base.json_text import parse_json
from mimic_base.kinds import START, refuse_other_kind
from mimic_base.reading import read_bounded
from motions import RobotMotion
from motions.robot.motion import RobotNames, check_fits

GOLDEN_TOLERANCE = 1e-4
"""Largest difference from the golden trace, relative to actions larger than one: other processors
round otherwise."""


@dataclass(frozen=True, kw_only=True)
class _GoldenTrace:
    """What the network gave when it was exported."""

    obs: tuple[tuple[float, ...], ...]
    """Observations, [N, D]."""
    actions: tuple[tuple[float, ...], ...]
    """Its actions, [N, A]."""


def open_session(path: Path, threads: int = 1) -> tuple[Any, dict[str, str]]:
    """The onnxruntime session of a policy file, and the file's metadata; nothing of it is run yet.

    Raises:
        MimicError: absent or damaged file, or one that is not opened (see `check_onnx`).
    """
    if not path.is_file():
        raise MimicError(f"policy file '{path}' does not exist; train one with mimic train")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        data = read_bounded(path)
        refuse_other_kind(
            path, data[:START], "ONNX", "ONNX file",
            "expected a policy.onnx that this program exported, a run directory or a "
            "checkpoint.pt",
        )  # fmt: skip
        check_onnx(path, data)
    except InputError as error:
        raise MimicError(str(error)) from error
    try:
        # Its fallback would print, and try the same once more.
        session = onnxruntime.InferenceSession(
            data, options, providers=["CPUExecutionProvider"], enable_fallback=False
        )
    except Exception as error:
        # onnxruntime's exceptions have no common base of their own.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MimicError(
            f"{path}: not a readable ONNX file ({reason[:120]}); export the policy again"
        ) from error
    try:
        return session, session.get_modelmeta().custom_metadata_map
    except ValueError as error:  # a text that is none
        raise MimicError(
            f"{path}: not a readable ONNX file ({str(error)[:120]}); export the policy again"
        ) from error


class PolicyPlayer:
    """A policy file that has proved itself: readable, consistent, and true to its golden trace.

    Example:
        player = PolicyPlayer("policy.onnx")
        reference = player.reference(RobotMotion.load("walk.npz"))
        action = np.zeros(player.contract.num_joints)
        for t in range(reference.num_frames):
            action = player.act(player.observe(state, reference, t, action))
            targets = player.joint_targets(action)
    """

    def __init__(self, path: Path | str, *, threads: int = 1) -> None:
        """Load and check a policy file.

        Raises:
            MimicError: absent or damaged file, one without our contract or of another schema,
                sizes that contradict the contract, or outputs that differ from the golden trace.
        """
        self.path = Path(path)
        self._session, metadata = open_session(self.path, threads)
        if METADATA_KEY not in metadata:
            raise MimicError(
                f"{path}: this ONNX file carries no humanoid-mimic contract (metadata "
                f"'{METADATA_KEY}'); only policies exported by this program can be played"
            )
        try:
            self.contract = PolicyContract.from_json(metadata[METADATA_KEY])
            self._check_shapes()
            self.golden_obs, self.golden_actions = self._golden(metadata)
            self._check_golden()
        except MimicError as error:
            raise MimicError(f"{path}: {error}") from error
        self._builder: ObservationBuilder | None = None
        self._frames: dict[str, NDArray[np.float64]] | None = None
        self._default = np.asarray(self.contract.default_joint_pos)
        self._scale = np.asarray(self.contract.action_scale)

    @property
    def interface(self) -> str:
        """The interface that the policy is commanded through; empty where it knows of none."""
        return interface_of(self.contract)

    def choose_interface(self, name: str) -> None:
        """Have the policy commanded through another of the interfaces it was trained for.

        Raises:
            MimicError: it has none of this name.
        """
        self.contract = with_interface(self.contract, name, self.path)
        self._builder = None

    # control -------------------------------------------------------------------------------

    def act(self, obs: ArrayLike) -> NDArray[np.float32]:
        """Deterministic actions [A] or [N, A] for observations [D] or [N, D].

        Raises:
            MimicError: another size than the contract's, or a result that is not finite.
        """
        values = np.asarray(obs, np.float32)
        size = self.contract.observation_size
        if values.ndim not in (1, 2) or values.shape[-1] != size:
            raise MimicError(
                f"{self.path}: observation has shape {values.shape}, this policy takes [{size}] "
                f"or [N, {size}]"
            )
        actions = self._run(["actions"], np.atleast_2d(values), 0)[0]
        if not np.isfinite(actions).all():
            raise MimicError(f"{self.path}: the policy's action is not finite")
        return actions.reshape(*values.shape[:-1], actions.shape[-1])

    def restart(self) -> None:
        """Begin a new episode: histories and filters of ``observe`` start anew."""
        self._observations().restart()

    def observe(
        self,
        state: RobotState,
        reference: Reference | None,
        t: int,
        last_action: ArrayLike,
        commands: Mapping[str, Any] | None = None,
        objects: Mapping[str, Any] | None = None,
    ) -> NDArray[np.float32]:
        """Build the observation [D] of one robot, once for each control step.

        Args:
            state: what the robot measures.
            reference: from ``reference`` or ``reference_inside``; None for a policy that tracks
                nothing.
            t: control step of the reference the robot should be in now. What is observed of
                the reference is ``contract.reference_lead`` steps later, clamped to the clip.
            last_action: [A] of the step before, zeros at the start.
            commands: by name, commands that are not clips, with numpy attributes; those that the
                file gives out by itself need not be given.
            objects: by name, objects with ``pos_w`` [3] and what else is observed of them.

        Raises:
            MimicError: what a term needs is not measured or not given.
        """
        last = np.asarray(last_action, np.float64)
        coming = t + self.contract.reference_lead
        frame = None if reference is None else reference.frame(coming)
        later = None if reference is None else lambda steps: reference.frame(coming + steps)
        known = {**self.commands_inside(t), **(commands or {})}
        situation = Situation(self.contract, state, frame, last, known, objects or {}, later)
        return self._observations()(situation)

    def _observations(self) -> ObservationBuilder:
        # Made when it is first needed: who only runs the network needs no package that declares
        # its observations.
        if self._builder is None:
            try:
                self._builder = ObservationBuilder(self.contract)
            except MimicError as error:
                raise MimicError(f"{self.path}: {error}") from error
        return self._builder

    def joint_targets(self, actions: ArrayLike) -> NDArray[np.float64]:
        """Joint position targets [..., J] rad of raw actions [..., J]."""
        return self._default + self._scale * np.asarray(actions, np.float64)

    def torques(
        self, targets: ArrayLike, joint_pos: ArrayLike, joint_vel: ArrayLike
    ) -> NDArray[np.float64]:
        """Motor torques [..., J] N m: proportional-derivative, within the effort limits."""
        c = self.contract
        error = np.asarray(targets, np.float64) - np.asarray(joint_pos)
        torque = np.asarray(c.kp) * error - np.asarray(c.kd) * np.asarray(joint_vel)
        limit = np.asarray(c.effort_limit)
        return np.clip(torque, -limit, limit)

    # references ----------------------------------------------------------------------------

    def reference(self, motion: RobotMotion, where: object = None) -> Reference:
        """A motion at the policy's control rate, joints and bodies in its order.

        Args:
            where: the file it comes from, for refusals; its name unless given.

        Raises:
            InputError: another robot's motion, or one without a needed joint or body.
        """
        c = self.contract
        check_fits(
            motion,
            RobotNames(
                name=c.robot.name, joint_names=c.joint_names, body_names=tuple(c.body_names)
            ),
            where=f"motion '{motion.name}'" if where is None else where,
        )
        clip = motion.resample(1.0 / c.control_dt)
        clip = clip.with_joint_order(c.joint_names).with_body_order(c.body_names)
        return Reference(
            **{f.name: np.asarray(getattr(clip, f.name), np.float64) for f in fields(Reference)}
        )

    def reference_inside(self) -> Reference:
        """The clip inside the file.

        Raises:
            MimicError: there is none.
        """
        if self.contract.clip_inside is None:
            raise MimicError(f"{self.path}: holds no clip; name a motion file with --motion")
        frames = self.frames_inside()
        return Reference(**{f.name: frames[f.name] for f in fields(Reference)})

    def commands_inside(self, t: int) -> dict[str, SimpleNamespace]:
        """The commands that the file gives out, as observations read them in control step ``t``."""
        inside = self.contract.inside
        if not inside:
            return {}
        frames = self.frames_inside()
        return {
            command: SimpleNamespace(
                **{
                    attribute: frames[f"{command}.{attribute}"][min(max(int(t), 0), count - 1)]
                    for attribute, count in attributes.items()
                }
            )
            for command, attributes in inside.items()
        }

    def frames_inside(self) -> dict[str, NDArray[np.float64]]:
        """All frames [T, ...] that the file gives out, by the name of the output.

        Raises:
            MimicError: numbers that are not finite, or quaternions not of length one.
        """
        if self._frames is None:
            c = self.contract
            counts = c.outputs_inside
            if c.clip_inside is not None:
                frames = c.motions[c.clip_inside].frames
                counts |= {f.name: frames for f in fields(Reference)}
            names, most = list(counts), max(counts.values(), default=0)
            obs = np.zeros((most, c.observation_size), np.float32)
            rows = self._run(names, obs, np.arange(most)) if names else []
            frames = {
                name: np.asarray(row[: counts[name]], np.float64)
                for name, row in zip(names, rows, strict=True)
            }
            for name, values in frames.items():
                self._check_frames(name, values)
            self._frames = frames
        return self._frames

    def _check_frames(self, name: str, values: NDArray[np.float64]) -> None:
        """Refuse frames of the file that no robot could be asked for."""
        bad = ~np.isfinite(values).reshape(len(values), -1).all(-1)
        rule = "a number is not finite"
        if name == "body_quat_w" and not bad.any():
            length = np.linalg.norm(values, axis=-1).reshape(len(values), -1)
            bad = (np.abs(length - 1.0) > 1e-2).any(-1)
            rule = "a quaternion is not of length one"
        if bad.any():
            raise MimicError(
                f"{self.path}: {rule} in frame {int(np.argmax(bad))} of '{name}' that the file "
                "itself gives out; it is damaged, export the policy again"
            )

    # checks --------------------------------------------------------------------------------

    def _run(self, outputs: list[str], obs: NDArray[np.float32], time_step: Any) -> Any:
        inputs = {"obs": obs}
        if self.contract.takes_time:
            column = np.broadcast_to(np.asarray(time_step, np.float32), (len(obs),))
            inputs["time_step"] = np.ascontiguousarray(column[:, None])
        try:
            return self._session.run(outputs, inputs)
        except Exception as error:
            # onnxruntime's exceptions have no common base of their own.
            reason = " ".join(str(error).split())[:120] or type(error).__name__
            raise MimicError(f"{self.path}: the network cannot be run ({reason})") from error

    def _check_shapes(self) -> None:
        c = self.contract
        ends = [*self._session.get_inputs(), *self._session.get_outputs()]
        sizes = {each.name: each.shape[-1] if each.shape else 0 for each in ends}
        wanted = {"obs": c.observation_size, "actions": c.num_joints}
        if c.clip_inside is not None:
            wanted |= {"joint_pos": c.num_joints, "body_quat_w": 4}
        if c.takes_time:
            wanted["time_step"] = 1
        for name in (*wanted, *c.outputs_inside):
            if name not in sizes:
                raise MimicError(f"the network has no input or output '{name}'")
        for name, size in wanted.items():
            if sizes[name] != size:
                raise MimicError(
                    f"the network's '{name}' has {sizes[name]} entries, its contract says {size}; "
                    "the file was put together from two policies"
                )

    def _golden(self, metadata: dict[str, str]) -> tuple[NDArray[Any], NDArray[Any]]:
        c = self.contract
        what = f"the golden trace (metadata '{GOLDEN_KEY}')"
        if GOLDEN_KEY not in metadata:
            raise MimicError(f"{what} is missing or unreadable")
        try:
            plain = parse_json(what, metadata[GOLDEN_KEY])
        except InputError as error:
            raise MimicError(f"{what} is missing or unreadable: {error}") from error
        trace = from_plain(_GoldenTrace, plain, source=what, imports=False, lenient=True)
        try:
            obs = np.asarray(trace.obs, np.float32).reshape(-1, c.observation_size)
            actions = np.asarray(trace.actions, np.float32).reshape(len(obs), c.num_joints)
        except (TypeError, ValueError, OverflowError) as error:
            raise MimicError(f"{what} is missing or unreadable") from error
        if not (np.isfinite(obs).all() and np.isfinite(actions).all()):
            raise MimicError(f"{what} holds a number that is not finite")
        if len(obs) == 0:
            raise MimicError(f"the golden trace (metadata '{GOLDEN_KEY}') is empty")
        return obs, actions

    def _check_golden(self) -> None:
        actions = self._run(["actions"], self.golden_obs, 0)[0]
        if np.shape(actions) != self.golden_actions.shape:
            raise MimicError(
                f"the network's actions have the shape {list(np.shape(actions))}, its golden trace "
                f"{list(self.golden_actions.shape)}"
            )
        if not np.isfinite(actions).all():
            raise MimicError("the network's output is not finite; its weights are damaged")
        scale = np.maximum(1.0, np.abs(self.golden_actions))
        error = float((np.abs(actions - self.golden_actions) / scale).max())
        if error > GOLDEN_TOLERANCE:
            raise MimicError(
                f"the network's output differs from its golden trace by {error:.2g}, allowed is "
                f"{GOLDEN_TOLERANCE:g}; the file was altered, export the policy again"
            )
