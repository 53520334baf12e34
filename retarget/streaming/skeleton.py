"""What a live source says once, its skeleton, and what it says again and again, its frames."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mimic_base.errors import input_error
from mimic_base.vectors import Array
from motions import HumanMotion
from motions.human.motion import REQUIRED_ROLES, ROLES
from motions.human.readers.detect import handedness
from motions.human.readers.nameless import other_side
from motions.human.skeletons import recognise

_SWAPPED = -0.5
"""Handedness below which one pose says that left is right."""


@dataclass(frozen=True, eq=False)
class HumanFrame:
    """One frame of a person, in the conventions of `HumanMotion`.

    Attributes:
        pos_w: [J, 3] m, z up. quat_w: [J, 4] wxyz, the source's joint frames; None for positions
            only. joint_names: [J] if known, to be compared with the skeleton's.
    """

    pos_w: Array
    quat_w: Array | None = None
    joint_names: tuple[str, ...] | None = None


@dataclass(frozen=True, eq=False)
class Skeleton:
    """The joints of a live source; fields as in `HumanMotion`.

    `rotations` says whether frames carry joint orientations. `rest_pos` [J, 3] m, z up, is of use
    where it is a standing pose. `checked` says that unit, axes and sides were looked at by the
    reader of a clip; `notes` what was put right.
    """

    name: str
    joint_names: tuple[str, ...]
    parents: tuple[int, ...]
    roles: Mapping[str, int]
    rotations: bool
    rest_pos: Array | None = None
    checked: bool = False
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, human: HumanMotion) -> Skeleton:
        """The skeleton of a clip."""
        return cls(
            human.name,
            human.joint_names,
            human.parents,
            human.roles,
            human.quat_w is not None,
            human.rest_pos,
            checked=True,
        )

    @classmethod
    def recognised(
        cls,
        name: str,
        joint_names: Sequence[str],
        parents: Sequence[int],
        pose: Array,
        rotations: bool,
        rest_pos: Array | None = None,
        roles: Mapping[str, str] | None = None,
    ) -> Skeleton:
        """A skeleton whose roles are found by its joints' names, as readers of clips do.

        `pose` [J, 3] is any pose; `roles` (role to joint name) fixes some by hand. Raises
        `InputError` when a role that is needed is not found.
        """
        names = tuple(joint_names)
        unknown = [joint for joint in (roles or {}).values() if joint not in names]
        if unknown:
            raise input_error(name, f"the skeleton has no joint {unknown[0]!r}", found=list(names))
        odd = [role for role in roles or {} if role not in ROLES]
        if odd:
            raise input_error(name, f"there is no role {odd[0]!r}", expected=", ".join(ROLES))
        given = {role: names.index(joint) for role, joint in (roles or {}).items()}
        found = recognise(names, tuple(parents), pose, given)
        missing = [role for role in REQUIRED_ROLES if role not in found.roles]
        if missing:
            raise input_error(
                name,
                f"no joint is known for {', '.join(missing)}",
                found=f"the joints {', '.join(names)}",
                fix=f'name them: "roles": {{"{missing[0]}": "NAME", ...}} or --skeleton-map',
            )
        known, notes = dict(found.roles), []
        # As of files: knees, elbows and toes tell the front, whatever the names say.
        shown = pose if rest_pos is None else rest_pos
        if not given and handedness(shown[None], known) < _SWAPPED:
            known = {other_side(role): joint for role, joint in known.items()}
            notes.append("left and right are swapped in the joints' names: roles follow the body")
        skeleton = cls(
            name, names, tuple(parents), known, rotations, rest_pos, notes=tuple(notes)
        )
        skeleton.clip(np.stack([pose, pose]), None, 1.0)  # its checks
        return skeleton

    def clip(self, pos: Array, quat: Array | None, fps: float) -> HumanMotion:
        """Frames [T, J, 3] and [T, J, 4] as a clip; raises `InputError` when they are none."""
        return HumanMotion(
            name=self.name,
            fps=fps,
            joint_names=self.joint_names,
            parents=self.parents,
            pos_w=pos,
            quat_w=quat,
            roles=self.roles,
            rest_pos=self.rest_pos,
        )

    def check(self, frame: HumanFrame) -> None:
        """Raise `InputError` for a frame of another skeleton."""
        joints = len(self.joint_names)
        if frame.joint_names is not None and tuple(frame.joint_names) != self.joint_names:
            raise input_error(
                self.name,
                "the frame is of another skeleton",
                found=f"the joints {', '.join(map(str, frame.joint_names))}",
                expected=", ".join(self.joint_names),
                fix="start a stream of its own for it",
            )
        shapes = [("pos_w", frame.pos_w, (joints, 3))]
        if self.rotations:
            if frame.quat_w is None:
                raise input_error(
                    self.name,
                    "the frame has no rotations",
                    expected=f"quat_w of shape [{joints}, 4], as the skeleton says",
                )
            shapes.append(("quat_w", frame.quat_w, (joints, 4)))
        for key, value, shape in shapes:
            if np.shape(value) != shape:
                raise input_error(
                    self.name,
                    f"the frame is of another skeleton, {key} has the wrong shape",
                    found=list(np.shape(value)),
                    expected=list(shape),
                    fix="start a stream of its own for it",
                )


def frames_of(human: HumanMotion) -> Iterator[HumanFrame]:
    """A clip's frames, one after the other."""
    for t in range(human.num_frames):
        yield HumanFrame(human.pos_w[t], None if human.quat_w is None else human.quat_w[t])


def with_frame(clip: HumanMotion, pos: Array, quat: Array | None) -> HumanMotion:
    """`clip` with one frame, [J, 3] and [J, 4], in place of its own.

    A clip has two frames at least, and is checked when it is made; neither fits a frame that has
    to be on its way in a millisecond and was checked before.
    """
    one = copy.copy(clip)
    object.__setattr__(one, "pos_w", pos[None])
    object.__setattr__(one, "quat_w", None if quat is None else quat[None])
    return one
