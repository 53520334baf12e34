"""Live frames as JSON lines: what comes in on one stream, what goes out on the other.

docs/streaming.md has the format. A line that cannot be used is told on the error stream and
counts as a dropped frame: a live robot must not stop for it.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping
from typing import IO, Any

import numpy as np

from mimic_base.errors import InputError, input_error
from mimic_base.resample import check_fps
from mimic_base.surface import Surface
from mimic_base.vectors import Array
from motions import HumanMotion
from retarget.streaming.door import Conventions
from retarget.streaming.input_filter import Status
from retarget.streaming.play import Watch
from retarget.streaming.pose import RobotPose, waiting_pose
from retarget.streaming.retargeter import StreamingRetargeter
from retarget.streaming.settings import StreamSettings
from retarget.streaming.skeleton import HumanFrame, Skeleton
from robots.robot import Robot

WHERE = "standard input"
_HEADER = '{"skeleton": {"joint_names": [...], "parents": [...]}, "fps": 60}'


class LineStream:
    """Reads frames from `lines`, writes poses to `out` and complaints to `errors`.

    `skeleton_map` (role to joint name) goes before the header's own `roles`.

    Raises `InputError` where the first line, the header, cannot be used; `run` does where that is
    seen only with the first frame (no `rest_pos`, and names that do not tell the joints).
    """

    def __init__(
        self,
        lines: IO[bytes],
        out: IO[str],
        errors: IO[str],
        robot: Robot,
        *,
        calibration: HumanMotion | None = None,
        settings: StreamSettings | None = None,
        skeleton_map: Mapping[str, str] | None = None,
        ground: Surface | None = None,
        source_ground: Surface | None = None,
        conventions: Conventions | None = None,
    ) -> None:
        self._lines, self._out, self._errors = lines, out, errors
        self.robot, self._calibration, self._settings = robot, calibration, settings
        self._grounds = {"ground": ground, "source_ground": source_ground}
        self.header = _header(lines.readline())
        self.fps = check_fps(self.header["fps"], f"{WHERE}, line 1: fps")
        self._skeleton = self.header["skeleton"]
        stated = Conventions.of(self._skeleton, f"{WHERE}, line 1: skeleton")
        stated = Conventions.of(self.header, f"{WHERE}, line 1").over(stated)
        self._said = (conventions or Conventions()).over(stated)
        self._told = ""
        if skeleton_map:
            named = {**(self._skeleton.get("roles") or {}), **skeleton_map}
            self._skeleton = {**self._skeleton, "roles": named}
        self.retargeter: StreamingRetargeter | None = None
        if self._skeleton.get("rest_pos") is not None:
            rest = _numbers(self._skeleton["rest_pos"], f"{WHERE}, line 1: rest_pos")
            self._check_shape(rest)
            self.retargeter = self._begin(rest)
        self.watch = Watch()
        self.stamped = False
        """Whether poses carry ``time``: s of the monotonic clock when their frame was read."""
        self.frames = self.bad = 0
        self.counts: Counter[Status] = Counter()
        """How many frames had which status."""
        self._write({
            "robot": robot.name,
            "fps": self.fps,
            "joint_names": list(robot.joint_names),
            "quaternions": "wxyz",
        })  # fmt: skip

    def run(self, keep: list[RobotPose] | None = None) -> None:
        """Answer every line until there are no more; poses are also appended to `keep`."""
        number = 1
        while raw := self._lines.readline():
            number += 1
            if not raw.strip():
                continue
            read_at = time.monotonic()
            with self.watch.step():
                pose = self._answer(raw, number)
            values: dict[str, Any] = {
                "frame": self.frames,
                "status": pose.status,
                "root_pos": _plain(pose.root_pos),
                "root_quat": _plain(pose.root_quat),
                "joint_pos": _plain(pose.joint_pos),
                "contact": _plain(pose.contact),
                "ms": round(1e3 * self.watch.wall[-1], 3),
            }
            if self.stamped:
                values["time"] = read_at
            self._write(values)
            self.frames += 1
            self.counts[pose.status] += 1
            if keep is not None:
                keep.append(pose)

    def _answer(self, raw: bytes, number: int) -> RobotPose:
        frame = None
        try:
            frame = _frame(raw)
            if frame is not None and self.retargeter is None:
                self._check_shape(frame.pos_w)
        except InputError as error:
            frame = None
            self._complain(number, error)
        if self.retargeter is None:
            if frame is None or not _shows_a_body(frame.pos_w):
                return waiting_pose(self.robot)
            # What is wrong from here on is wrong with the header, and so with every frame to come.
            self.retargeter = self._begin(frame.pos_w)
        try:
            pose = self.retargeter.step(frame)
        except InputError as error:
            self._complain(number, error)
            return self.retargeter.step(None)
        reason = self.retargeter.door.reason
        if reason and reason.split(":")[0][:24] != self._told:
            # Once for each reason, not for each frame.
            self._told = reason.split(":")[0][:24]
            text = f"error: {WHERE}, line {number}: {reason}; the robot waits"
            print(text, file=self._errors, flush=True)
        return pose

    @property
    def shut(self) -> str:
        """Why no frame could be used until now; empty where one was."""
        door = None if self.retargeter is None else self.retargeter.door
        return "" if door is None or door.open else door.reason

    def _complain(self, number: int, error: InputError) -> None:
        self.bad += 1
        text = f"error: {WHERE}, line {number}: {error}; counted as a dropped frame"
        print(text, file=self._errors, flush=True)

    def _check_shape(self, pose: Array) -> None:
        expected = [len(self._skeleton["joint_names"]), 3]
        if list(pose.shape) != expected:
            raise input_error(
                None,
                "positions do not fit the header's joints",
                found=list(pose.shape),
                expected=expected,
            )

    def _begin(self, pose: Array) -> StreamingRetargeter:
        """The retargeter; the lengths in `pose` [J, 3] help to recognise the joints."""
        given = self._skeleton
        rest = given.get("rest_pos")
        skeleton = Skeleton.recognised(
            str(given.get("name", "stream")),
            given["joint_names"],
            given["parents"],
            pose,
            bool(given.get("rotations", True)),
            None if rest is None else _numbers(rest, "rest_pos"),
            given.get("roles"),
        )
        for note in skeleton.notes:
            print(f"{WHERE}: {note}", file=self._errors, flush=True)
        return StreamingRetargeter(
            skeleton,
            self.robot,
            self.fps,
            calibration=self._calibration,
            settings=self._settings,
            conventions=self._said,
            **self._grounds,
        )

    def _write(self, values: Mapping[str, Any]) -> None:
        # One write per line, so that a reader never sees half of one for long.
        self._out.write(json.dumps(values, separators=(",", ":")) + "\n")
        self._out.flush()


def _header(raw: bytes) -> dict[str, Any]:
    value = _json(raw) if raw.strip() else None
    skeleton = value.get("skeleton") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(skeleton, dict) or "fps" not in value:
        raise input_error(
            f"{WHERE}, line 1",
            "the stream must begin with its skeleton and frame rate",
            found=raw[:60].decode("utf-8", "replace").strip() or "nothing",
            expected=_HEADER,
        )
    names, parents = skeleton.get("joint_names"), skeleton.get("parents")
    texts = isinstance(names, list) and all(isinstance(n, str) for n in names)
    whole = isinstance(parents, list) and all(type(p) is int for p in parents)
    if not texts or not whole or len(names or ()) != len(parents or ()) or not names:
        raise input_error(
            f"{WHERE}, line 1",
            "joint_names and parents must be lists of as many texts and whole numbers",
            expected=_HEADER,
        )
    if any(not -1 <= parent < joint for joint, parent in enumerate(parents or ())):
        raise input_error(
            f"{WHERE}, line 1",
            "each parent must stand before its children, -1 for none",
            found=str(parents)[:200],
        )
    rotations, roles = skeleton.get("rotations", True), skeleton.get("roles") or {}
    if not isinstance(rotations, bool):
        raise input_error(
            f"{WHERE}, line 1", "rotations", found=repr(rotations), expected="true or false"
        )
    if not isinstance(roles, dict) or not all(isinstance(joint, str) for joint in roles.values()):
        raise input_error(
            f"{WHERE}, line 1", "roles", found=str(roles)[:80], expected='{"left_hip": "LHip", ...}'
        )
    if type(value["fps"]) not in (int, float):
        raise input_error(f"{WHERE}, line 1", "fps", found=repr(value["fps"]), expected="a number")
    return value


def _frame(raw: bytes) -> HumanFrame | None:
    """The frame of a line; None for one that is missing by intent."""
    value = _json(raw)
    if value is None or (isinstance(value, dict) and value.get("pos", ...) is None):
        return None
    if not isinstance(value, dict) or "pos" not in value:
        raise input_error(
            None, "no frame", found=type(value).__name__, expected='{"pos": [...], "quat": [...]}'
        )
    names = value.get("joint_names")
    if not (names is None or isinstance(names, list)):
        raise input_error(None, "joint_names", found=repr(names)[:60], expected="a list of texts")
    return HumanFrame(
        _numbers(value["pos"], "pos"),
        None if value.get("quat") is None else _numbers(value["quat"], "quat"),
        None if names is None else tuple(map(str, names)),
    )


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise input_error(None, f"not JSON: {error}") from error


def _numbers(value: Any, key: str) -> Array:
    try:
        # A null among the numbers is a missing one, and comes out as nan.
        return np.array(value, dtype=np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise input_error(None, f"{key} must be rows of numbers, all of the same length") from error


def _shows_a_body(pose: Array) -> bool:
    """Whether a skeleton can be recognised by `pose` [J, 3]: trackers begin with zeros or nulls."""
    return bool(np.isfinite(pose).all() and np.ptp(pose, axis=0).max() > 1e-3)


def _plain(values: Array) -> list[float]:
    return [round(float(v), 6) for v in values]
