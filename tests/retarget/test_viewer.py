"""The browser viewer: what is on the stage is where the kinematics say, and the page is served."""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
import sys
import urllib.request
from dataclasses import replace
from functools import partial
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mujoco
import numpy as np
import pytest

from mimic_base.errors import InputError
from mimic_base.rotations import quat_mul, quat_rotate
from motions import HumanMotion, RobotMotion
from motions.human.writers.bvh import write_bvh
from retarget import retarget
from retarget.page.curves import clip_curves
from retarget.page.rows import Line, Row, clip_rows
from retarget.person.bones import body_bones
from retarget.view.align import source_part
from retarget.view.cli import entry_names, main
from retarget.view.playback import Playback
from retarget.view.sources import Pair, find_pairs, load_show, skeleton_track
from robots.kinematics import forward_kinematics
from robots.robot import Robot
from robots.shapes import visible_shapes

viser = pytest.importorskip("viser", minversion="1.1")


@pytest.fixture(scope="module")
def made(g1: Robot, walk: HumanMotion, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a clip, clip.bvh, and the motion of its frames 20 to 50, clip.npz."""
    folder = tmp_path_factory.mktemp("made")
    write_bvh(walk, folder / "clip.bvh")
    motion = retarget(walk.crop(20, 50), g1)
    replace(motion, source="clip.bvh", name="clip").save(folder / "clip.npz")
    return folder


@pytest.fixture(scope="module")
def motion(made: Path) -> RobotMotion:
    return RobotMotion.load(made / "clip.npz")


# -- what is shown ---------------------------------------------------------------------------


def test_every_visible_triangle_is_where_the_vendor_puts_it(g1: Robot) -> None:
    model = g1.vendor_spec().compile()
    shapes = visible_shapes(model)
    seen = [g for g in range(model.ngeom) if model.geom_group[g] < 3 and model.geom_bodyid[g]]
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    expected, found = [], []
    for geom in seen:
        index = int(model.geom_dataid[geom])
        first, count = int(model.mesh_vertadr[index]), int(model.mesh_vertnum[index])
        turn = data.geom_xmat[geom].reshape(3, 3)
        expected.append(model.mesh_vert[first : first + count] @ turn.T + data.geom_xpos[geom])
    for shape in shapes:
        body = model.body(shape.body).id
        found.append(quat_rotate(data.xquat[body], shape.mesh.vertices) + data.xpos[body])
    every, ours = np.concatenate(expected), np.concatenate(found)
    assert len(every) == len(ours)
    for of in (np.min, np.max, np.mean):
        np.testing.assert_allclose(of(ours, axis=0), of(every, axis=0), atol=1e-5)
    assert sum(len(s.mesh.faces) for s in visible_shapes(model, 0.006)) < 100_000
    assert all(s.mesh.faces.max() < len(s.mesh.vertices) for s in visible_shapes(model, 0.006))


def test_simple_shapes_become_triangles() -> None:
    geoms = {
        "box": ("0.1 0.2 0.3", [0.1, 0.2, 0.3]),
        "sphere": ("0.1", [0.1, 0.1, 0.1]),
        "ellipsoid": ("0.1 0.2 0.3", [0.1, 0.2, 0.3]),
        "capsule": ("0.1 0.3", [0.1, 0.1, 0.4]),
        "cylinder": ("0.1 0.3", [0.1, 0.1, 0.3]),
    }
    for kind, (size, reach) in geoms.items():
        model = mujoco.MjModel.from_xml_string(
            '<mujoco><worldbody><geom type="plane" size="1 1 1"/><body name="b">'
            f'<geom type="{kind}" size="{size}" rgba="1 0 0 1"/></body></worldbody></mujoco>'
        )
        (shape,) = visible_shapes(model)
        assert shape.body == "b" and shape.rgba == (1.0, 0.0, 0.0, 1.0)
        np.testing.assert_allclose(shape.mesh.vertices.max(axis=0), reach, atol=1e-6)
        a, b, c = np.moveaxis(shape.mesh.vertices[shape.mesh.faces], 1, 0)
        volume = np.sum(np.cross(a, b) * c) / 6.0  # positive: closed and wound outwards
        assert 0.85 < volume / float(_volume(kind, np.array(reach))) <= 1.0 + 1e-9


def _volume(kind: str, reach: np.ndarray) -> float:
    x, y, z = reach
    return {
        "box": 8 * x * y * z,
        "cylinder": 2 * np.pi * x * y * z,
        "capsule": 2 * np.pi * x * x * (z - x) + 4 / 3 * np.pi * x**3,
    }.get(kind, 4 / 3 * np.pi * x * y * z)


def test_bones_leave_out_what_is_no_body(walk: HumanMotion) -> None:
    bones = body_bones(walk)
    assert all(bone.parent >= 0 for bone in bones)
    sides = {walk.joint_names[bone.child]: bone.side for bone in bones}
    knee = walk.joint_names[walk.roles["left_knee"]]
    head = walk.joint_names[walk.roles["head"]]
    assert sides[knee] == "left" and sides[head] == ""


def test_the_part_of_a_longer_clip_is_found(
    walk: HumanMotion, motion: RobotMotion, g1: Robot
) -> None:
    part, start = source_part(walk, motion, g1)
    assert start == pytest.approx(20 / walk.fps)
    np.testing.assert_array_equal(part.pos_w, walk.pos_w[20:50])
    with pytest.raises(InputError, match="shorter than the robot motion"):
        source_part(walk.crop(0, 20), motion, g1)


def test_the_person_walks_as_far_as_the_robot(
    walk: HumanMotion, motion: RobotMotion, g1: Robot, made: Path
) -> None:
    show = load_show(Pair(made / "clip.npz", made / "clip.bvh"))
    assert show.skeleton is not None
    offset = np.array([0.0, 1.0, 0.0])
    beside = show.skeleton.beside(show.bodies[0], offset, scaled=True)
    pelvis, base = beside[:, walk.roles["pelvis"]], motion.root_pos
    np.testing.assert_allclose(pelvis[0, :2], base[0, :2] + [0.0, 1.0], atol=1e-5)
    gone, wanted = (np.linalg.norm(p[-1, :2] - p[0, :2]) for p in (pelvis, base))
    assert gone == pytest.approx(wanted, rel=0.1) and wanted > 0.3
    # On the same ground: a person's toes are not far over it, nor under it.
    assert abs(beside[..., 2].min()) < 0.05
    unscaled = skeleton_track(walk.crop(20, 50), g1).beside(show.bodies[0], offset, scaled=False)
    assert np.ptp(unscaled[0, :, 2]) == pytest.approx(np.ptp(walk.pos_w[20, :, 2]))


# -- which files -----------------------------------------------------------------------------


def test_files_find_each_other(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    motion, clip = made / "clip.npz", made / "clip.bvh"
    assert find_pairs([motion]) == [Pair(motion, clip)]
    assert find_pairs([made]) == [Pair(motion, clip)]
    alone = tmp_path / "out" / "other.npz"
    alone.parent.mkdir()
    alone.write_bytes(motion.read_bytes())
    assert find_pairs([alone]) == [Pair(alone, None)]
    assert find_pairs([alone, clip]) == [Pair(alone, clip)]
    (tmp_path / "clip.bvh").write_bytes(clip.read_bytes())
    assert find_pairs([alone]) == [Pair(alone, tmp_path / "clip.bvh")]
    assert entry_names(find_pairs([motion, alone])) == ["clip", "other"]
    for paths, text in (
        ([tmp_path / "none.npz"], "no such file"),
        ([clip], "no robot motion given"),
        ([tmp_path / "empty"], "holds no motion"),
    ):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(InputError, match=text):
            find_pairs(paths)


def test_a_batch_has_noted_its_clips(made: Path, tmp_path: Path) -> None:
    far = tmp_path / "far" / "clip.bvh"
    far.parent.mkdir()
    far.write_bytes((made / "clip.bvh").read_bytes())
    out = tmp_path / "deep" / "out"
    assert main_retarget([str(far), "--out", str(out), "--workers", "2"]) == 0
    assert find_pairs([out / "clip.npz"]) == [Pair(out / "clip.npz", far)]


def main_retarget(arguments: list[str]) -> int:
    from retarget.command.cli import main

    return main(arguments)


def test_the_wrong_robot_is_one_short_line_with_options_that_exist(
    made: Path, motion: RobotMotion, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    columns = np.hstack([motion.root_pos, motion.root_quat, motion.joint_pos])
    unnamed = tmp_path / "unnamed.csv"
    np.savetxt(unnamed, columns[:, :-3], delimiter=",")
    with pytest.raises(InputError) as wrong:
        main([str(made / "clip.npz"), "--robot", "booster_t1", "--check"])
    with pytest.raises(InputError) as few:
        main([str(unnamed), "--check"])
    assert len(str(wrong.value)) < 400 and "the file says unitree_g1" in str(wrong.value)
    with pytest.raises(SystemExit):
        main(["--help"])
    offered = re.findall(r"--[a-z-]+", capsys.readouterr().out)
    for error in (wrong, few):
        advised = re.findall(r"--[a-z-]+", str(error.value))
        assert advised and set(advised) <= set(offered)
    order = ",".join(motion.joint_names)
    np.savetxt(unnamed, columns, delimiter=",")
    shown = ["--format", "unitree-csv", "--joint-order", order, "--source-fps", "30", "--port", "0"]
    shown += ["--quaternion-order", "wxyz"]
    assert main([str(unnamed), *shown, "--check"]) == 0
    assert "unnamed.csv" in capsys.readouterr().out


def test_time_passes_stops_and_repeats() -> None:
    playback = Playback(frames=10, fps=5.0)
    assert playback.advance(0.5) == 2 and playback.time == pytest.approx(0.4)
    playback.speed = 2.0
    assert playback.advance(1.0) == 2  # ten frames on: the same one
    playback.jump(99)
    assert (playback.frame, playback.playing) == (9, False)
    assert playback.advance(1.0) == 9
    playback.step(1)
    assert playback.frame == 0
    playback.step(-1)
    assert playback.frame == 9


# -- the page --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def viewer(made: Path) -> Any:
    from mimic_base.browser_page import close_server, open_server
    from retarget.view.app import Entry, Viewer

    server = open_server("127.0.0.1", 0, "test")
    pair = Pair(made / "clip.npz", made / "clip.bvh")
    entries = [Entry("one", lambda: load_show(pair)), Entry("bad", _broken)]
    yield Viewer(server, entries, paused=True)
    close_server(server)


def _broken() -> Any:
    raise InputError("bad.npz: cannot be read")


@pytest.mark.parametrize("frame", [0, 17, 29])
def test_nodes_stand_where_the_kinematics_say(
    viewer: Any, motion: RobotMotion, g1: Robot, frame: int
) -> None:
    viewer.jump(frame)
    pos, quat = forward_kinematics(
        g1, motion.root_pos[frame][None], motion.root_quat[frame][None],
        motion.joint_pos[frame][None],
    )  # fmt: skip
    nodes = viewer.stage.bodies[0].nodes
    assert len(nodes) > 25
    for name, node in nodes.items():
        column = g1.body_names.index(name)
        np.testing.assert_allclose(node.position, pos[0, column], atol=1e-6)
        np.testing.assert_allclose(abs(np.dot(node.wxyz, quat[0, column])), 1.0, atol=1e-6)
    # Followed, the base stands in the middle, and the clip begins facing along x.
    world = viewer.stage.world
    base = quat_rotate(np.asarray(world.wxyz), motion.root_pos[frame]) + world.position
    assert np.linalg.norm(base[:2]) < 0.12  # the sway of its steps
    first = quat_mul(np.asarray(world.wxyz), motion.root_quat[0])
    ahead = quat_rotate(first, np.array([1.0, 0.0, 0.0]))
    assert ahead[0] > 0.95


def test_bones_end_at_their_joints(viewer: Any) -> None:
    viewer.jump(11)
    nodes, show = viewer.stage.skeleton, viewer.stage.play
    offset = quat_rotate(_yaw(show.heading), np.array([0.0, 1.0, 0.0]))
    joints = show.skeleton.beside(show.bodies[0], offset, scaled=True)[11]
    tips = nodes.rods.batched_positions + quat_rotate(
        nodes.rods.batched_wxyzs, np.array([0.0, 0.0, 1.0]) * nodes.rods.batched_scales
    )
    children = [bone.child for bone in show.skeleton.bones]
    np.testing.assert_allclose(tips, joints[children], atol=1e-5)
    np.testing.assert_allclose(nodes.balls.batched_positions, joints[children], atol=1e-5)


def _yaw(angle: float) -> np.ndarray:
    return np.array([np.cos(angle / 2), 0.0, 0.0, np.sin(angle / 2)])


def test_charts_are_the_reports_curves_with_a_line_at_the_frame(
    viewer: Any, motion: RobotMotion, g1: Robot, walk: HumanMotion
) -> None:
    viewer.jump(25)
    rows = clip_rows(clip_curves(motion, g1, walk.crop(20, 50)))
    assert [chart.row.title for chart in viewer.charts] == [row.title for row in rows]
    for chart, row in zip(viewer.charts, rows, strict=True):
        x, *columns, now = chart.handle.data
        assert x[int(now.argmax())] == pytest.approx(25 / motion.fps)
        assert now.max() == pytest.approx(row.range[1]) and now.min() < row.range[0]
        for line, column in zip(row.lines, columns, strict=False):
            # The three added samples apart, the chart holds every value of the report.
            kept = np.delete(column, [int(now.argmax()) - 1 + k for k in range(3)])
            np.testing.assert_allclose(kept, line.values, atol=2e-3)
    assert "limb error" in viewer.values.content and "frame 25" in viewer.clock.content


def test_long_curves_keep_their_peaks() -> None:
    from retarget.view.charts import envelope, envelope_time

    values = np.zeros(5000)
    values[[1234, 3210]] = 7.0, -3.0
    small, time = envelope(values, 400), envelope_time(5000, 50.0, 400)
    assert len(small) == len(time) <= 400 and (small.max(), small.min()) == (7.0, -3.0)
    assert np.all(np.diff(time) > 0) and time[-1] < 100.0
    assert time[int(small.argmax())] == pytest.approx(1234 / 50.0, abs=0.5)


@pytest.mark.parametrize("frames", [2, 800, 801, 1000, 90_001])
def test_a_chart_reaches_to_the_last_frame(viewer: Any, frames: int) -> None:
    from retarget.view.charts import Chart

    values, fps = np.sin(np.arange(frames) / 50.0), 50.0
    row = Row("a", "m", (Line("a", "#000000", values),), (-1.0, 1.0))
    chart: Any = Chart(viewer.server.gui, row, frames, fps)
    end = (frames - 1) / fps
    assert chart.handle.scales["x"]["range"] == pytest.approx((0.0, end))
    chart.set_time(end)
    time, _, now = chart.handle.data
    assert np.all(np.diff(time) >= 0) and time[0] == 0.0 and time[-1] == pytest.approx(end)
    assert time[int(now.argmax())] == pytest.approx(end)
    chart.handle.remove()


def test_controls_do_what_they_say(viewer: Any) -> None:
    moment = viewer.stage.play.moments[-1]
    viewer.jump(moment.frame)
    assert viewer.scrubber.value == moment.frame
    viewer.step(1)
    assert viewer.scrubber.value == min(moment.frame + 1, 29) or moment.frame == 29
    viewer.where.value = "hidden"
    assert not viewer.stage.skeleton.path.visible
    viewer.where.value = "beside"
    assert viewer.stage.skeleton.path.visible
    before = viewer.stage.world.position.copy()
    viewer.follow.value = False
    viewer.jump(0)
    viewer.jump(29)
    np.testing.assert_array_equal(viewer.stage.world.position, before)
    viewer.follow.value = True
    assert np.linalg.norm(viewer.stage.world.position - before) > 1e-3
    viewer.choose("bad")
    assert "cannot be read" in viewer.title.content
    viewer.choose("one")
    assert viewer.scrubber.value == 0 and "source clip.bvh from" in unescape(viewer.title.content)


@pytest.mark.parametrize(("width", "folds"), [(1000, 1), (1600, 0)])
def test_a_narrow_page_begins_with_the_curves_folded_away(
    made: Path, monkeypatch: pytest.MonkeyPatch, width: int, folds: int
) -> None:
    from mimic_base.browser_page import close_server, open_server
    from retarget.view.app import CONTROLS_WIDTH, CURVES_WIDTH, NARROW_PAGE, Entry, Viewer

    assert NARROW_PAGE - CONTROLS_WIDTH - CURVES_WIDTH > 500, "the scene stays in sight"
    connected: list[Any] = []
    folded: list[int] = []
    server = open_server("127.0.0.1", 0, "test")
    monkeypatch.setattr(server, "on_client_connect", connected.append)
    try:
        load = partial(load_show, Pair(made / "clip.npz", None))
        view = Viewer(server, [Entry("one", load)], paused=True)
        monkeypatch.setattr(type(view.curves), "minimize", lambda _: folded.append(1))
        for each in (width, 300):  # once for a page, not again for its canvas
            connected[0](SimpleNamespace(camera=SimpleNamespace(image_width=each)))
    finally:
        close_server(server)
    assert len(folded) == folds


def test_the_page_is_served_and_needs_nothing_from_elsewhere(viewer: Any) -> None:
    from websockets.asyncio.client import connect

    port = viewer.server.get_port()
    page = urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10).read().decode()
    assert "<title>Viser</title>" in page and 'src="http' not in page and 'href="http' not in page

    async def first_messages() -> int:
        protocol: Any = f"viser-v{viser.__version__}"
        async with connect(
            f"ws://127.0.0.1:{port}", subprotocols=[protocol], max_size=None
        ) as socket:
            size = 0
            while size < 500_000:  # the robot's meshes
                size += len(await asyncio.wait_for(socket.recv(), 10))
            return size

    assert asyncio.run(first_messages()) >= 500_000


def test_a_port_in_use_is_one_line(made: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=f"--port {port} on 127.0.0.1 cannot be used"):
            main([str(made / "clip.npz"), "--port", str(port), "--check"])
    with pytest.raises(InputError, match="0 to 65535"):
        main([str(made / "clip.npz"), "--port", "70000"])
    with pytest.raises(InputError, match="no motion given"):
        main([])


def test_the_command_starts_and_ends(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(made), "--port", "0", "--check"]) == 0
    out = capsys.readouterr().out
    assert "http://localhost:" in out and f"source {made / 'clip.bvh'}" in out
    assert "(viser)" not in out


def test_without_the_package_one_line_says_what_to_install(made: Path) -> None:
    code = (
        "import sys; sys.modules['viser'] = None\n"
        "from mimic_base.command_line import exit_on_user_error\n"
        "from retarget.view.cli import main\n"
        f"exit_on_user_error(lambda: main([{str(made)!r}]))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 2 and "Traceback" not in run.stderr
    assert run.stderr.count("\n") == 1 and ".[view]" in run.stderr
