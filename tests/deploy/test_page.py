"""The operator's page: what it says, its stop button, and that nothing waits for it."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robots
from mimic.cli import run
from mimic.commands import deploying
from mimic.deploy.guard_process import GuardConfig
from mimic.deploy.limiter import LimitSettings, limits_of
from mimic.deploy.loop import STAGES
from mimic.deploy.modes import Mode
from mimic.deploy.packing import Rows
from mimic.deploy.page.link import MOST_EVENTS, PageLink
from mimic.deploy.page.process import PageConfig, PageProcess
from mimic.deploy.page.snapshot import SnapshotRows
from mimic.deploy.page.start import page_process
from mimic.deploy.page.status import Latencies, Robot, latency_html, status_html
from mimic.deploy.page.stop_button import STOP, StopButton
from mimic.deploy.playlist import Playlist
from mimic.deploy.replay import replay
from mimic.deploy.robot_process import RobotProcessConfig
from mimic.deploy.session import ended, guard_process, short_folder, simulated_robot
from mimic.deploy.setup import SHIPPED_POLICY
from mimic.deploy.simulated import SimulationSettings, identity_of
from mimic.deploy.trips import Thresholds
from mimic.policy.observations import Reference
from mimic_base.errors import InputError, MimicError
from tests.browser import CHROMIUM, browser, until
from tests.conftest import TINY

REPO = Path(__file__).resolve().parents[2]
SHOWN = Robot(
    joint_names=("hip", "<b>knee"), effort_limit=np.array([50.0, 100.0]), temperature=90.0,
    tilt=0.8, clips=("walk", "<i>turn"), send=True, auto=False, lock_step=False,
)  # fmt: skip
ROWS = SnapshotRows(2, ("read", "page"))


def snapshot() -> Any:
    """A robot with two joints that tracks the second clip."""
    row = np.zeros(1, ROWS.layout)[0]
    row["mode"], row["in_mode"], row["up_b"] = Mode.TRACK, 2.5, [0, 0, 1]
    row["clip"], row["frame"], row["frames"], row["queued"][0] = 2, 50, 101, 1
    report = row["report"]
    report["has_state"] = report["has_command"] = 1
    report["state"]["imu_quat_w"] = [np.cos(0.15), np.sin(0.15), 0, 0]
    report["state"]["motor_temperature"] = [41, 63]
    report["command"]["kp"], report["command"]["joint_pos"] = [100, 100], [0.1, -0.5]
    return row


# what it says ------------------------------------------------------------------------------


def test_it_tells_mode_clip_tilt_temperature_and_torque() -> None:
    text = status_html(snapshot(), SHOWN, 0.02, age=0.0, trip=("", ""))
    assert "TRACK" in text and "for 2.5 s" in text and "may follow: <b>hold</b>" in text
    assert "2 &lt;i&gt;turn</b> 1.00 of 2.00 s; then walk" in text
    assert "0.30 rad of 0.8" in text and "&lt;b&gt;knee 63 °C" in text
    # 100 (-0.5 - 0) of 100 N m is half; 100 0.1 of 50 N m a fifth.
    assert "&lt;b&gt;knee 50 % of its most" in text
    assert "<i>turn" not in text and 'class="w"' not in text


def test_what_tripped_is_told_and_shown_at_once() -> None:
    row = snapshot()
    text = status_html(row, SHOWN, 0.02, age=0.0, trip=("tilt", "tilted <1> rad"))
    # The loop still says that it tracks; the guard damps.
    assert "DAMPING" in text and "TRACK" not in text and "stopped: tilt: tilted &lt;1&gt;" in text
    row["mode"], row["report"]["trip"], row["report"]["told"] = Mode.DAMPING, b"hot", b"a motor"
    assert "stopped: hot: a motor" in status_html(row, SHOWN, 0.02, age=0.0, trip=("", ""))


def test_a_policy_that_says_nothing_any_more_is_seen() -> None:
    text = status_html(snapshot(), SHOWN, 0.02, age=2.0, trip=("", ""))
    assert "has said nothing for 2.0 s" in text
    nothing = status_html(None, SHOWN, 0.02, age=2.0, trip=("", ""), notes=["a note"])
    assert "nothing was heard yet" in nothing and "a note" in nothing


def test_numbers_that_are_none_are_shown_as_such() -> None:
    row = snapshot()
    row["report"]["state"]["imu_quat_w"] = np.nan
    row["report"]["state"]["motor_temperature"] = np.nan
    row["report"]["command"]["joint_pos"] = np.nan
    assert "nan rad of 0.8" in status_html(row, SHOWN, 0.02, age=0.0, trip=("", ""))


def test_latencies_are_of_the_last_minute_and_the_most_of_all() -> None:
    latencies = Latencies(ROWS.stages)
    assert latencies.table() == []
    row = snapshot()
    row["missed"], row["steps"], row["overruns"] = 3, 100, 1
    for number in range(1, 101):
        row["last"], row["most"] = [number * 1e-3, 0.0], [0.5, 0.0]
        latencies.take(row)
    ((name, p50, p99, most),) = latencies.table()
    assert name == "read" and p50 == pytest.approx(50.5) and most == pytest.approx(500.0)
    assert p99 == pytest.approx(99.01, abs=0.1)
    assert "3 of 100 steps late, 1 of the last 50" in latency_html(row, latencies, SHOWN)


def test_the_clip_that_is_played_and_the_frame_within_it(tmp_path: Path) -> None:
    def clip(frames: int) -> Reference:
        bodies = np.zeros((frames, 1, 3))
        quat = np.broadcast_to([1.0, 0, 0, 0], (frames, 1, 4)).copy()
        joints = np.zeros((frames, 2))
        return Reference(
            joint_pos=joints, joint_vel=joints, body_pos_w=bodies, body_quat_w=quat,
            body_lin_vel_w=bodies, body_ang_vel_w=bodies,
        )  # fmt: skip

    playlist = Playlist([clip(10), clip(20)], body=0, blend=4, settle=4, control_dt=0.02)
    assert playlist.playing == (1, 0, 10)
    playlist.frame = 9
    assert playlist.playing == (1, 9, 10)
    playlist.frame = 15
    assert playlist.playing[0] == 2 and playlist.playing[1] == 5
    playlist.switch(1)
    seen = []
    for _ in range(playlist.reference.num_frames):
        seen.append(playlist.playing)
        playlist.advance()
    assert seen[0][:2] == (1, 0) and seen[-1] == (1, 9, 10)


# what it can do to the loop and the guard: nothing but what is meant -------------------------


@contextmanager
def link(**options: Any) -> Iterator[tuple[PageLink, socket.socket, list[str]]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    said: list[str] = []
    with ours, theirs:
        yield PageLink(ours, ROWS, 2, say=said.append, **options), theirs, said


def test_only_what_is_known_is_heard_and_never_much_at_once() -> None:
    with link() as (page, theirs, said):
        for event in ("stand", "clip:2", "queue:1", "clip:3", "rm -rf", "\x1b", "x" * 100, "stop"):
            theirs.send(event.encode())
        assert page.events() == ["stand", "clip:2", "queue:1"]
        assert page.events() == ["stop"] and page.events() == []
        for _ in range(50):
            theirs.send(b"stop")
        assert len(page.events()) == MOST_EVENTS and not said


def test_a_page_that_dies_is_told_once() -> None:
    with link(why=lambda: "signal 9") as (page, theirs, said):
        theirs.close()
        for _ in range(3):
            assert page.events() == []
            page.tell()
        assert not page.alive and len(said) == 1
        assert "the page has ended (signal 9)" in said[0] and "the deployment goes on" in said[0]
    with link() as (page, theirs, said):
        # How it ended is not known yet: nothing waits for that.
        theirs.close()
        page.tell()
        assert page.events() == [] and not page.alive and not said
        page.ended("the clip has ended")
        assert len(said) == 1 and "the page has ended;" in said[0]


def test_a_page_that_hangs_costs_nothing_and_is_told_once(monkeypatch) -> None:
    with link() as (page, theirs, said):
        began = time.process_time()
        for _ in range(2000):
            page.tell()
        assert time.process_time() - began < 2.0 and not said
        monkeypatch.setattr("mimic.deploy.page.link.HANGS", 0.0)
        page.tell()
        page.tell()
        assert len(said) == 1 and "has taken nothing" in said[0]
        theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                theirs.recv(1 << 16)
        page.tell()
        assert said[1:] == ["note: the page follows again"] and page.alive


def test_the_guard_s_end_takes_few_presses_at_a_time_and_survives_the_page() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    button = StopButton(ours)
    assert not button.pressed()
    for _ in range(10):
        theirs.send(STOP)
    assert [button.pressed() for _ in range(4)] == [True, True, True, False]
    theirs.send(b"other")
    assert not button.pressed()
    for _ in range(3):
        button.tell("page", "pressed")
    assert theirs.recv(99) == b"page\npressed"
    theirs.close()
    assert not button.pressed() and button.end is None
    button.tell("", "")
    assert not StopButton(None).pressed()


@contextmanager
def guarded(**changes: Any) -> Iterator[tuple[Any, Any, Any, Any]]:
    """A tiny robot in lock-step or at a twentieth of real time, its guard, and a stop button."""
    robot = robots.load(TINY)
    identity = identity_of(robot)
    lock_step = bool(changes.get("lock_step"))
    pace = 1.0 if lock_step else 0.05
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with short_folder() as folder, theirs:
        config = RobotProcessConfig(
            bus=str(folder), robot=str(TINY), pace=pace, results=str(folder / "results.npz"),
            settings=SimulationSettings(tick=0.002, physics_hz=500.0), lock_step=lock_step,
        )  # fmt: skip
        guard = GuardConfig(
            bus=str(folder), identity=identity, tick=0.002, pace=pace, leave_s=0.05, lonely_s=0.1,
            limits=limits_of(identity, robot.kp, robot.kd, 0.002, LimitSettings()),
            thresholds=Thresholds(), **changes,
        )  # fmt: skip
        standing = np.zeros((), Rows(identity.num_joints).request)
        standing["number"], standing["mode"], standing["up_b"] = 1, Mode.STAND, [0, 0, 1]
        for name in ("joint_pos", "reference"):
            standing[name] = robot.default_joint_pos
        standing["kp"], standing["kd"] = 3.0 * robot.kp, 3.0 * robot.kd
        with simulated_robot(config) as simulated, guard_process(guard, ours) as (loop, process):
            yield simulated, loop, theirs, standing
            loop.close()
            assert ended(process, 60.0)


def drive(loop: Any, standing: Any, steps: int) -> None:
    """Ask for the same, 50 times a second of the robot's time, and hear what the guard tells."""
    loop.setblocking(False)
    for _ in range(steps):
        standing["number"] += 1
        loop.send(standing.tobytes())
        time.sleep(0.02 / 0.05)


def reports(loop: Any, joints: int) -> list[Any]:
    found = []
    loop.setblocking(False)
    while True:
        try:
            data = loop.recv(1 << 16)
        except BlockingIOError:
            return found
        found.append(np.frombuffer(data, Rows(joints).report)[0])


def test_the_button_reaches_the_guard_past_the_policy_and_a_dead_page_does_not() -> None:
    with guarded() as (simulated, loop, page, standing):
        joints = len(standing["joint_pos"])
        drive(loop, standing, 4)
        assert reports(loop, joints)[-1]["trip"] == b""
        page.send(STOP)
        # The loop goes on asking, and knows nothing of a stop.
        drive(loop, standing, 3)
        assert reports(loop, joints)[-1]["trip"] == b"page"
        assert page.recv(99) == b"\n" and page.recv(99).startswith(b"page\n")
        page.close()
        drive(loop, standing, 2)
        assert reports(loop, joints)[-1]["trip"] == b"page"
        counted = simulated.end()
        assert counted["unsafe"] == 0 and counted["damped_since"] is not None
    with guarded() as (simulated, loop, page, standing):
        page.close()
        drive(loop, standing, 4)
        assert reports(loop, joints)[-1]["trip"] == b""
        assert simulated.end()["damped_since"] is None


def test_the_button_damps_in_lock_step_though_the_policy_hangs() -> None:
    with guarded(lock_step=True, every=10) as (simulated, loop, page, standing):
        loop.settimeout(60.0)
        for _ in range(20):
            loop.recv(1 << 16)
            standing["number"] += 1
            loop.send(standing.tobytes())
        # From here on the policy says nothing, and the guard waits for it.
        time.sleep(0.3)
        for _ in range(40):
            page.send(STOP)
        until(lambda: b"page\n" in heard(page))
        time.sleep(0.3)
        counted = simulated.end()
        assert counted["damped_since"] is not None and counted["unsafe"] == 0


def heard(end: socket.socket) -> bytes:
    end.setblocking(False)
    try:
        return end.recv(99)
    except BlockingIOError:
        return b""


# the process -------------------------------------------------------------------------------


def config(**changes: Any) -> PageConfig:
    robot = robots.load(TINY)
    identity = identity_of(robot)
    plain: dict[str, Any] = {
        "host": "127.0.0.1", "port": 0, "robot": str(TINY), "title": "test",
        "joint_names": identity.joint_names,
        "effort_limit": tuple(map(float, np.asarray(identity.effort_limit))),
        "temperature": 90.0, "tilt": 0.8, "clips": ("walk",), "send": True, "auto": False,
        "lock_step": False, "control_dt": 0.02, "stages": STAGES,
    }  # fmt: skip
    return PageConfig(**{**plain, **changes})


def test_the_page_says_who_is_gone_and_that_a_stop_was_not_heard() -> None:
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2)]
    (loop, its_loop), (guard, its_guard) = pairs
    page = PageProcess(config(), its_loop, its_guard)
    page.stop()
    assert guard.recv(16) == STOP
    assert page.pressed is not None and not page.notes(page.pressed + 0.1)
    # The policy hears of it where the guard does not answer, and not before: once.
    page.insist(page.pressed + 0.1)
    loop.setblocking(False)
    with pytest.raises(BlockingIOError):
        loop.recv(16)
    assert "the guard has not answered" in page.notes(page.pressed + 1.0)[0]
    page.insist(page.pressed + 1.0)
    page.insist(page.pressed + 1.1)
    assert loop.recv(16) == b"stop"
    with pytest.raises(BlockingIOError):
        loop.recv(16)
    # In lock-step the policy waits for the guard, and would only be heard in its place.
    page.config, page.insisted = config(lock_step=True), False
    page.insist(page.pressed + 1.0)
    with pytest.raises(BlockingIOError):
        loop.recv(16)
    guard.send(b"page\nthe stop button of the page")
    page.hear(1.0)
    assert page.trip[0] == "page" and not page.notes(time.monotonic() + 9.0)
    page.stop()
    assert guard.recv(16) == STOP and not page.notes(time.monotonic() + 9.0)
    page.ask("clip:1")
    assert loop.recv(16) == b"clip:1"
    loop.close()
    page.hear(1.0)
    assert "the policy's process is gone" in page.notes(0.0)[0]
    guard.close()
    page.hear(1.0)
    assert "nothing is sent any more" in page.notes(0.0)[1]
    page.stop()
    assert page.loop is None and page.guard is None


@pytest.fixture
def viser() -> Any:
    return pytest.importorskip("viser", minversion="1.1")


def test_a_page_ends_with_those_that_it_is_for(viser: Any) -> None:
    with page_process(config()) as page:
        text = urllib.request.urlopen(page.address, timeout=20).read()
        assert b"<title>" in text
        page.loop.close()
        page.guard.close()
        assert ended(page.process, 30.0) and page.process.returncode == 0


def test_a_page_that_cannot_be_is_refused_before_anything_starts(
    viser: Any, monkeypatch, tmp_path: Path
) -> None:
    words = ["deploy", str(SHIPPED_POLICY), "--out", str(tmp_path / "out"), "--page"]
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=f"--port {port} on 127.0.0.1 cannot be used"):
            run([*words, "--port", str(port)])
        # Taken in the moment between.
        with pytest.raises(InputError, match="cannot be used"), page_process(config(port=port)):
            pass
    with pytest.raises(InputError, match="--port must be 0 to 65535"):
        run([*words, "--port", "70000"])
    for option in (["--port", "80"], ["--host", "::1"]):
        with pytest.raises(MimicError, match=f"{option[0]} is for the operator's page; add --page"):
            run([*words[:-1], *option])
    monkeypatch.setitem(sys.modules, "viser", None)
    with pytest.raises(InputError, match=r"the operator's page needs the package viser: .*\[view"):
        run([*words, "--port", "0"])
    assert not (tmp_path / "out").exists()


@contextmanager
def beside(act: Callable[[], None]) -> Iterator[None]:
    """Do something in a thread while the block runs; what it raised is raised here."""
    failed: list[BaseException] = []

    def work() -> None:
        try:
            act()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join(120.0)
    if failed:
        raise failed[0]


@pytest.fixture
def deployed(viser: Any, monkeypatch, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Deploys in lock-step with a page and somebody beside it; what the robot counted, and what
    became of it."""

    def deploy(act: Callable[[Any], None], *words: str) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        pages: list[Any] = []

        @contextmanager
        def kept_page(given: PageConfig) -> Iterator[Any]:
            with page_process(given) as page:
                pages.append(page)
                yield page

        def kept_results(loop: Any, results: Any, session: Path, recorder: Any) -> None:
            kept.update(loop=loop, results=results, session=session)

        monkeypatch.setattr(deploying, "page_process", kept_page)
        monkeypatch.setattr(deploying, "tell", kept_results)

        def beside_it() -> None:
            until(lambda: pages)
            try:
                act(pages[0])
            finally:
                # The deployment ends, if it has not yet.
                if words and "--manual" in words:
                    os.kill(os.getpid(), signal.SIGINT)

        given = ["deploy", str(SHIPPED_POLICY), "--lock-step", "--command-hz", "50", "--page"]
        # An interrupt that comes when the deployment has ended by itself is nobody's.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            with beside(beside_it):
                kept["code"] = run([*given, "--port", "0", "--out", str(tmp_path / "out"), *words])
        finally:
            signal.signal(signal.SIGINT, before)
        return {**kept, "page": pages[0]}

    return deploy


def test_a_page_that_is_killed_or_stopped_does_not_disturb(
    deployed: Callable[..., dict[str, Any]], capsys
) -> None:
    def kill(page: Any) -> None:
        os.kill(page.process.pid, signal.SIGSTOP)
        time.sleep(0.5)
        os.kill(page.process.pid, signal.SIGKILL)

    found = deployed(kill, "--seconds", "6")
    assert found["code"] == 0 and found["loop"].ended == "the time is over"
    assert found["results"]["unsafe"] == 0 and found["results"]["commands"] > 290
    assert replay(found["session"]).difference is None
    said = capsys.readouterr().err
    assert said.count("the page has ended (signal 9)") == 1, said


PRESS = "[...document.querySelectorAll('button')].find(b => b.innerText.trim() == '{}').click()"
TALL = "[...document.querySelectorAll('button')].find(b => b.innerText.trim() == 'STOP')"


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_browser_shows_the_modes_and_its_stop_button_damps_the_robot(
    deployed: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    seen: list[str] = []

    def operate(page: Any) -> None:
        with browser(page.address, tmp_path / "profile") as ask:

            def shows(text: str) -> bool:
                return text in (ask("document.body.innerText") or "")

            until(lambda: shows("may follow: stand"))
            for mode, after in (("stand", "ready"), ("ready", "track"), ("track", "hold")):
                # A button of a mode that cannot follow yet does nothing: it is pressed again.
                until(lambda mode=mode, after=after: ask(PRESS.format(mode)) or shows(f"{after}"))
                until(lambda mode=mode: ask(PRESS.format(mode)) or shows(mode.upper()))
                seen.append(mode)
            until(lambda: shows("the policy's") and shows(" of 7.44 s"))
            box = json.loads(ask(f"JSON.stringify({TALL}.getBoundingClientRect())"))
            assert box["height"] > 80 and box["width"] > 200 and box["bottom"] < 400
            ask(PRESS.format("STOP"))
            until(lambda: shows("DAMPING") and shows("the stop button of the page"))
            until(lambda: shows("damps until reset"))
            # Absorbing: nothing but the reset leaves it.
            ask(PRESS.format("stand"))
            time.sleep(0.5)
            assert shows("DAMPING")
            seen.append("stop")

    found = deployed(operate, "--manual", "--loop", "0", "--seconds", "400")
    assert seen == ["stand", "ready", "track", "stop"]
    results = found["results"]
    assert results["damped_since"] is not None and results["unsafe"] == 0
    assert found["loop"].trip == "page" and found["code"] == 1
    assert replay(found["session"]).difference is None


def test_only_its_own_pages_may_press_its_buttons(viser: Any) -> None:
    """A browser lets a page of any site connect to this machine, and says whose page it is."""
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    from mimic_base.browser_page import close_server, open_server

    server = open_server("127.0.0.1", 0, "test")
    port = server.get_port()
    try:
        options: dict[str, Any] = {"subprotocols": [f"viser-v{viser.__version__}"]}
        options |= {"max_size": None, "open_timeout": 30}
        own: Any
        stranger: Any
        for own in (f"http://127.0.0.1:{port}", None):
            with connect(f"ws://127.0.0.1:{port}", origin=own, **options) as page:
                assert page.recv(30)
        for stranger in ("https://example.org", f"http://127.0.0.1:{port + 1}", "null"):
            with pytest.raises(InvalidStatus, match="403"):
                connect(f"ws://127.0.0.1:{port}", origin=stranger, **options)
    finally:
        close_server(server)


@pytest.mark.parametrize(
    ("origin", "asked", "host", "own"),
    [
        (None, "localhost:8080", "127.0.0.1", True),
        ("http://localhost:8080", "localhost:8080", "127.0.0.1", True),
        ("http://[::1]:8080", "[::1]:8080", "::1", True),
        ("http://localhost:9", "localhost:8080", "127.0.0.1", False),
        ("https://example.org", "localhost:8080", "127.0.0.1", False),
        # A name of a stranger that was made to lead to this machine.
        ("http://example.org:8080", "example.org:8080", "127.0.0.1", False),
        (None, "example.org:8080", "localhost", False),
        (None, "[:8080", "localhost", False),
        ("http://robot.lan:8080", "robot.lan:8080", "0.0.0.0", True),
        ("https://example.org", "robot.lan:8080", "0.0.0.0", False),
    ],
)
def test_whose_page_asks(origin: str | None, asked: str, host: str, own: bool) -> None:
    from mimic_base.browser_page import is_own

    assert is_own(origin, asked, host) == own


def test_many_clips_with_long_names_reach_the_page() -> None:
    from mimic_base.text import plain

    names = tuple(plain("雪" * 255, 60) for _ in range(deploying.MOST_SHOWN))
    sent = config(clips=names).to_json().encode()
    # The datagram that the page's process takes.
    assert len(sent) < 1 << 18 and PageConfig.from_json(sent.decode()).clips == names
