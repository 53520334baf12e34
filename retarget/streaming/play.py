"""Playing frames through the retargeter as a live source would, with a watch on every step."""

from __future__ import annotations

import gc
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from rich.table import Table
from threadpoolctl import threadpool_limits

from mimic_base.surface import FLAT, Surface
from mimic_base.vectors import Array
from motions import HumanMotion, RobotMotion
from motions.robot.quality.metrics import measure
from motions.robot.terrain import scene_on
from retarget.feet.contacts import detect_contacts
from retarget.feet.terrain import flattened
from retarget.person.calibration import calibrate
from retarget.streaming.pose import RobotPose
from retarget.streaming.retargeter import StreamingRetargeter
from retarget.streaming.skeleton import HumanFrame
from robots.robot import Robot

MOST_STEPS = 100_000
"""Steps whose times a watch remembers, the latest ones: half an hour at 60 frames/s."""


class Watch:
    """Time of every step: as the clock has it, and what the processor spent on it, s.

    A live stream may run for days: of more than `most` steps the latest count for percentiles,
    and the first and the longest are remembered on their own.
    """

    def __init__(self, most: int = MOST_STEPS) -> None:
        self.steps = 0
        self.wall: deque[float] = deque(maxlen=most)
        self.cpu: deque[float] = deque(maxlen=most)
        self._first = (0.0, 0.0)
        self._longest = (0.0, 0.0)

    @contextmanager
    def step(self) -> Iterator[None]:
        cpu, wall = time.process_time(), time.perf_counter()
        yield
        self.add(time.perf_counter() - wall, time.process_time() - cpu)

    def add(self, wall: float, cpu: float) -> None:
        """Note a step by its time on both clocks."""
        if self.steps == 0:
            self._first = (wall, cpu)
        # The longest of all later ones; of a single step that one.
        if self.steps <= 1:
            self._longest = (wall, cpu)
        self._longest = (max(self._longest[0], wall), max(self._longest[1], cpu))
        self.wall.append(wall)
        self.cpu.append(cpu)
        self.steps += 1

    def figures(self) -> dict[str, dict[str, float]]:
        """Milliseconds of both clocks: the first step, and percentiles of all later ones."""
        result = {}
        for k, (name, seconds) in enumerate((("wall", self.wall), ("cpu", self.cpu))):
            ms = 1e3 * np.array(seconds)
            later = ms[1:] if 1 < self.steps == len(ms) else ms
            p50, p95, p99 = (float(np.percentile(later, p)) for p in (50, 95, 99))
            first, most = 1e3 * self._first[k], 1e3 * self._longest[k]
            result[name] = {"first": first, "p50": p50, "p95": p95, "p99": p99, "max": most}
        return result


@contextmanager
def quiet() -> Iterator[None]:
    """One thread for the linear algebra, and a garbage collector that looks at new objects only.

    Threads of BLAS would wait for each other over matrices this small. What the interpreter has
    loaded so far (some 10^5 objects) is taken out of the collector's sight: a full collection of
    it would hold a step up for tens of milliseconds.
    """
    gc.collect()
    gc.freeze()
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        gc.unfreeze()


def play(
    retargeter: StreamingRetargeter,
    frames: Iterable[HumanFrame | None],
    *,
    realtime: bool = False,
) -> tuple[list[RobotPose], Watch]:
    """Every frame's pose and the time it took; `realtime` waits for each frame's moment."""
    watch, poses = Watch(), []
    begun = time.perf_counter()
    for t, frame in enumerate(frames):
        if realtime:
            time.sleep(max(0.0, begun + t / retargeter.fps - time.perf_counter()))
        with watch.step():
            poses.append(retargeter.step(frame))
    return poses, watch


def motion_of(
    poses: Sequence[RobotPose],
    robot: Robot,
    fps: float,
    human: HumanMotion | None,
    name: str,
    *,
    ground: Surface = FLAT,
    source_ground: Surface | None = None,
) -> RobotMotion:
    """The poses as a motion, with quality figures; `human` is the clip they were made from.

    The robot walked on `ground`, which is in the motion's scene, the person on `source_ground`.
    """
    root = np.stack([pose.root_pos for pose in poses])
    quat = np.stack([pose.root_quat for pose in poses])
    joints = np.stack([pose.joint_pos for pose in poses])
    contact = None if human is None else source_contacts(human, source_ground)
    return RobotMotion.from_coordinates(
        robot,
        root,
        quat,
        joints,
        fps=fps,
        contact=np.stack([pose.contact for pose in poses]),
        quality=measure(
            robot, fps, root, quat, joints, source=human, contact=contact, ground=ground
        ),
        source="" if human is None else human.source,
        licence="" if human is None else human.licence,
        name=name,
        scene=scene_on(ground, root[:, :2]),
    )


def source_contacts(human: HumanMotion, ground: Surface | None = None) -> Array:
    """[T, 2] bool: feet that stand, on the floor or on `ground`, as found in the whole clip."""
    person = calibrate(human)
    joints = human.pos_w[:, sorted(set(human.roles.values()))]
    lowest = joints[..., 2].min(axis=1)
    if ground is not None:
        person = flattened(person, ground)
        lowest = ground.clearance(joints).min(axis=1)
    found = detect_contacts(person.ball, person.heel, person.fps, person.leg_length, lowest=lowest)
    return found.foot


def latency_table(watch: Watch, fps: float) -> Table:
    """Latency of a stream, ms."""
    figures = watch.figures()
    table = Table(pad_edge=False, box=None)
    table.add_column(f"ms per frame (frames last {1e3 / fps:.1f} ms)")
    columns = ("p50", "p95", "p99", "max", "first")
    for column in columns:
        table.add_column("first frame" if column == "first" else column, justify="right")
    for key, title in (("wall", "wall time"), ("cpu", "processor time")):
        table.add_row(title, *(f"{figures[key][column]:.2f}" for column in columns))
    return table


def lag_frames(late: Array, early: Array, most: float = 6.0) -> float:
    """By how many frames `late` [T, D] trails `early` [T, D].

    The shift, in tenths of a frame, at which the velocities of both agree best.
    """
    fast, slow = np.diff(early, axis=0), np.diff(late, axis=0)
    inner = np.arange(len(slow))[int(np.ceil(most)) :]
    shifts = np.arange(0.0, most + 0.05, 0.1)
    errors = []
    for shift in shifts:
        at = inner - shift
        low = np.floor(at).astype(int)
        share = (at - low)[:, None]
        between = (1.0 - share) * fast[low] + share * fast[np.minimum(low + 1, len(fast) - 1)]
        errors.append(float(((between - slow[inner]) ** 2).sum()))
    return float(shifts[int(np.argmin(errors))])
