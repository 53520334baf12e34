"""A live reference: poses of the robot that come in as lines while it moves.

The lines are those that ``mimic stream`` writes (docs/streaming.md): a header that names the robot
and its joints, then ``root_pos``, ``root_quat``, ``joint_pos`` of each frame, and with ``--live``
the ``time`` (s, monotonic clock of this computer) at which its source was read.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mimic.deploy import clips as moves
from mimic.deploy.messages import Array
from mimic.deploy.playlist import Playlist
from mimic.policy.observations import Reference
from mimic_base.errors import InputError, MimicError, RobotError
from mimic_base.json_text import parse_json
from mimic_base.rotations import angular_velocity, slerp
from mimic_base.text import plain

if TYPE_CHECKING:
    from mimic.policy.contract import PolicyContract
    from robots import Robot

LONGEST = 1 << 16
"""Bytes of a line at most."""
LOST_S = 0.15
"""s without a frame after which the stream is lost."""
COAST_S = 0.6
"""s within which the reference comes to a halt where the stream is lost."""
AHEAD_S = 0.05
"""s by which a pose is carried on at its speed until the next one comes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LivePose:
    """One frame, joints in the robot's order; ``time`` s, when its source was read."""

    root_pos: Array
    root_quat: Array
    joint_pos: Array
    time: float


class LiveStream:
    """Listens on a Unix socket for one sender at a time; never waits.

    Attributes:
        bad: lines that were no frame. frames: that were.
    """

    def __init__(self, path: Path, robot: Robot, clock: Callable[[], float]) -> None:
        """Listen.

        Raises:
            RobotError: there is something at ``path``, or nothing can be put there.
        """
        self.path, self.robot, self._clock = path, robot, clock
        self.bad = self.frames = 0
        self._names: list[str] | None = None
        self._buffer, self._sender = b"", None
        _make_room(path)
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._listening.bind(str(path))
        except OSError as error:
            self._listening.close()
            raise RobotError(
                f"--live {path}: no socket can be made there ({error.strerror or error}); name a "
                "place where nothing is"
            ) from error
        self._listening.listen(1)
        self._listening.setblocking(False)

    def newest(self) -> LivePose | None:
        """The newest frame that has come since the last call; None where none has."""
        if self._sender is None:
            try:
                self._sender, _ = self._listening.accept()
            except BlockingIOError:
                return None
            self._sender.setblocking(False)
            self._buffer, self._names = b"", None
        found = None
        while True:
            try:
                data = self._sender.recv(LONGEST)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                self._sender.close()
                self._sender = None
                break
            self._buffer += data
            *lines, self._buffer = self._buffer.split(b"\n")
            if len(self._buffer) > LONGEST:
                self._buffer, self.bad = b"", self.bad + 1
            for line in lines:
                found = self._read(line) or found
        return found

    def close(self) -> None:
        """Nobody can send any more."""
        for each in (self._listening, self._sender):
            if each is not None:
                each.close()
        if self.path.is_socket():
            os.unlink(self.path)

    def _read(self, line: bytes) -> LivePose | None:
        """A frame; None for the header, for one that waits for its source, and for a bad line."""
        try:
            told = parse_json("a frame", line)
        except InputError:
            self.bad += 1
            return None
        if not isinstance(told, dict):
            self.bad += 1
            return None
        if self._names is None:
            self._names = self._header(told)
            return None
        if told.get("status") == "waiting":
            return None
        try:
            root, quat = (np.array(told[k], np.float64) for k in ("root_pos", "root_quat"))
            joints = np.array(told["joint_pos"], np.float64)
            time = float(told.get("time", self._clock()))
        except (KeyError, TypeError, ValueError, OverflowError):
            self.bad += 1
            return None
        shapes = (root.shape, quat.shape, joints.shape)
        numbers = np.concatenate([each.ravel() for each in (root, quat, joints)])
        length = float(np.linalg.norm(quat)) if shapes[1] == (4,) else 0.0
        if shapes != ((3,), (4,), (len(self._names),)) or not (
            np.isfinite(numbers).all() and abs(length - 1.0) < 0.01 and np.isfinite(time)
        ):
            self.bad += 1
            return None
        self.frames += 1
        order = [self._names.index(name) for name in self.robot.joint_names]
        return LivePose(root_pos=root, root_quat=quat / length, joint_pos=joints[order], time=time)

    def _header(self, told: dict[str, object]) -> list[str]:
        names = told.get("joint_names")
        if told.get("robot") != self.robot.name or not isinstance(names, list):
            raise MimicError(
                f"--live {self.path}: the stream is for robot "
                f"'{plain(str(told.get('robot')), 60)}', this one is '{self.robot.name}'; start "
                f"mimic stream with --robot {self.robot.name}"
            )
        if sorted(map(str, names)) != sorted(self.robot.joint_names):
            raise MimicError(f"--live {self.path}: the stream has other joints than the robot")
        return [str(name) for name in names]


def _make_room(path: Path) -> None:
    """Take away a socket of ours on which nobody listens any more; refuse everything else.

    Raises:
        RobotError: a file of another program, or a socket on which somebody listens.
    """
    if not os.path.lexists(path):
        return
    if not path.is_socket():
        what = "a folder" if path.is_dir() else "another program's file"
        raise RobotError(f"--live {path}: {what} is there; name a place where nothing is")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(1.0)
        try:
            asking.connect(str(path))
        except ConnectionRefusedError:
            # Left behind by a deployment that was killed.
            with contextlib.suppress(OSError):
                os.unlink(path)
            return
        except OSError as error:
            raise RobotError(
                f"--live {path}: another program's socket is there ({error.strerror or error}); "
                "name a place where nothing is"
            ) from error
    raise RobotError(
        f"--live {path}: another program listens there already; end it, or name another place"
    )


def _coasting(
    reference: Reference, frame: int, velocity: Array, frames: int, dt: float
) -> Reference:
    """A frame that moves on as a whole at ``velocity`` [3] m/s, slowing down within `COAST_S`."""
    time = np.minimum(dt * np.arange(frames), COAST_S)
    way = time - time**2 / (2.0 * COAST_S)
    still = moves.held(reference, frame, frames)
    slower = (1.0 - time / COAST_S)[:, None, None] * velocity
    return replace(
        still,
        body_pos_w=still.body_pos_w + way[:, None, None] * velocity,
        body_lin_vel_w=np.broadcast_to(slower, still.body_lin_vel_w.shape).copy(),
    )


class LivePlaylist(Playlist):
    """A playlist whose reference is what has come last.

    It begins at a pose in which the robot can stay, goes over to the stream within the blend, and
    back to that pose when the stream is lost.

    Attributes:
        lost: whether no frame came for `LOST_S`, or none has come yet.
        latencies: s from the reading of each frame's source to the step that used it first.
    """

    def __init__(
        self,
        source: Callable[[], LivePose | None],
        clock: Callable[[], float],
        robot: Robot,
        contract: PolicyContract,
        still: Reference,
        **options: object,
    ) -> None:
        """Make a playlist.

        Args:
            source: the newest frame, None where none has come since it was asked.
            clock: s, that of the frames' times.
            still: the pose at which it begins.
            options: as for `Playlist`.
        """
        super().__init__([still], **options)  # type: ignore[arg-type]
        self._source, self._now, self._robot = source, clock, robot
        self._joints = [robot.joint_names.index(name) for name in contract.joint_names]
        self._bodies = [robot.body_names.index(name) for name in contract.body_names]
        self._pose: tuple[float, Reference] | None = None
        self._moving: Reference | None = None
        self._moved: tuple[Array, Array] | None = None
        self._came: float | None = None
        self._share = 0.0
        self._start_pose = still.frame(0)
        self.following = False
        self.latencies: list[float] = []

    @property
    def lost(self) -> bool:
        return self._came is None or self._now() - self._came > LOST_S

    @property
    def ended(self) -> bool:
        """Whether the stream that was followed is lost."""
        return self.following and self.lost

    def start(self) -> None:
        super().start()
        self.following, self._share, self._moved = False, 0.0, None

    def switch(self, number: int) -> None:
        """Follow the stream again, from the pose that is held."""
        self._whole = self._held_now()
        self.reference, self.frame = self._whole, 0
        self.following, self._share, self._moved = False, 0.0, None

    def queue(self, number: int) -> None:
        """Nothing can be queued behind a stream."""

    def next(self) -> None:
        self.switch(0)

    def follow(self) -> bool:
        self.following = False
        return False

    def settle(self) -> None:
        """As for clips; the robot is let coast, since a walker who stops at once falls over."""
        if self._moving is not None and self._moved is not None:
            live = moves.turned_and_moved(self._moving, *self._moved)
            velocity = live.body_lin_vel_w[0, self._body] * [1.0, 1.0, 0.0]
            self.reference = _coasting(
                self.reference, self.frame, velocity, self._settle + 2, self._dt
            )
            self.frame = 0
        super().settle()

    def listen(self) -> None:
        """Take what has come into the reference; once in each control step, while tracking."""
        found = self._source()
        now = self._now()
        if found is not None:
            self._came = now
            self.latencies.append(now - found.time)
            self._take(found)
        if self._moving is None or self.lost:
            return
        if self._moved is None:
            self._begin()
        self.following = True
        self._share = min(1.0, self._share + 1.0 / self._blend)
        self.reference, self.frame = self._blended_now(now), 0

    def _take(self, found: LivePose) -> None:
        pos, quat = self._robot.body_poses(
            found.root_pos[None], found.root_quat[None], found.joint_pos[None]
        )
        arrays = {
            "joint_pos": found.joint_pos[self._joints][None],
            "body_pos_w": pos[:, self._bodies],
            "body_quat_w": quat[:, self._bodies],
        }
        rates = {
            "joint_vel": np.zeros_like(arrays["joint_pos"]),
            "body_lin_vel_w": np.zeros_like(arrays["body_pos_w"]),
            "body_ang_vel_w": np.zeros_like(arrays["body_pos_w"]),
        }
        if self._pose is not None:
            before, old = self._pose
            dt = found.time - before
            if 1e-3 < dt < LOST_S:
                rates["joint_vel"] = (arrays["joint_pos"] - old.joint_pos) / dt
                rates["body_lin_vel_w"] = (arrays["body_pos_w"] - old.body_pos_w) / dt
                both = np.concatenate([old.body_quat_w, arrays["body_quat_w"]])
                rates["body_ang_vel_w"] = angular_velocity(both, 1.0 / dt)[1:]
        self._moving = Reference(**arrays, **rates)
        self._pose = (found.time, self._moving)

    def _begin(self) -> None:
        """Put the stream where the robot's reference is, from here on."""
        assert self._moving is not None
        here = self.reference.frame(self.frame)
        self._start_pose = here
        self._moved = moves.turn_and_move(
            self._moving, self._body, here.body_pos_w[self._body], here.body_quat_w[self._body]
        )

    def _blended_now(self, now: float) -> Reference:
        """The stream's pose of this moment, blended from the pose at which it was begun."""
        assert self._moving is not None and self._pose is not None and self._moved is not None
        live = moves.turned_and_moved(self._moving, *self._moved)
        came = self._came if self._came is not None else now
        ahead = min(max(now - came, 0.0), AHEAD_S)
        # What is late is no longer taken to move.
        moves_on = 1.0 if now - came <= AHEAD_S else 0.0
        s = self._share
        weight, old = s * s * (3.0 - 2.0 * s), self._start_pose
        joints = live.joint_pos + ahead * live.joint_vel
        places = live.body_pos_w + ahead * live.body_lin_vel_w
        turns = slerp(
            np.broadcast_to(old.body_quat_w, live.body_quat_w.shape), live.body_quat_w,
            np.full(live.body_quat_w.shape[:2], weight),
        )  # fmt: skip
        one = Reference(
            joint_pos=(1 - weight) * old.joint_pos + weight * joints,
            joint_vel=weight * moves_on * live.joint_vel,
            body_pos_w=(1 - weight) * old.body_pos_w + weight * places,
            body_quat_w=turns,
            body_lin_vel_w=weight * moves_on * live.body_lin_vel_w,
            body_ang_vel_w=weight * moves_on * live.body_ang_vel_w,
        )
        return Reference(**{k: np.repeat(v, 2, axis=0) for k, v in one.frame_fields().items()})

    def _held_now(self) -> Reference:
        return moves.held(self.reference, self.frame, 2)

    def latency_line(self) -> str:
        """Latency from the source's frame to the step that uses it, for the console."""
        if not self.latencies:
            return "live: no frame has come"
        p50, p99 = 1e3 * np.quantile(self.latencies, [0.5, 0.99])
        most = 1e3 * max(self.latencies)
        return (
            f"live: {len(self.latencies)} frames, from the source's line to the policy "
            f"{p50:.1f} ms p50, {p99:.1f} ms p99, {most:.1f} ms at most"
        )
