"""Streams get the door that files have: unit, vertical axis, order of quaternions, sides."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

from mimic_base.errors import InputError
from mimic_base.rotations import quat_mul, quat_rotate
from motions import HumanMotion, read_human_motion
from motions.human import demo
from retarget.streaming import HumanFrame, Skeleton, StreamingRetargeter
from retarget.streaming.cli import main
from retarget.streaming.door import Conventions, Door
from retarget.streaming.lines import LineStream
from robots.robot import Robot
from tests.retarget.stream_helpers import lines_of

TO_Y_UP = np.array([np.sqrt(0.5), -np.sqrt(0.5), 0.0, 0.0])


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> HumanMotion:
    clip = read_human_motion(demo.write("walk", tmp_path_factory.mktemp("w") / "walk.bvh"))
    return clip.crop(100, 112)


def served(lines: list[str], robot: Robot, **options: object) -> tuple[LineStream, list, str]:
    out, errors = io.StringIO(), io.StringIO()
    stream = LineStream(
        io.BytesIO("\n".join(lines).encode()), out, errors, robot,
        **options,  # pyright: ignore[reportArgumentType]
    )  # fmt: skip
    stream.run()
    return stream, [json.loads(line) for line in out.getvalue().splitlines()[1:]], errors.getvalue()


def changed(clip: HumanMotion, change: object, **header: object) -> list[str]:
    """The clip's lines with every frame's positions and quaternions changed."""
    first, *frames = lines_of(clip, **header)
    found = [first]
    for line in frames:
        pos, quat = (np.array(json.loads(line)[key]) for key in ("pos", "quat"))
        pos, quat = change(pos, quat)  # pyright: ignore[reportCallIssue]
        found.append(json.dumps({"pos": pos.tolist(), "quat": quat.tolist()}))
    return found


def y_up(pos: np.ndarray, quat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return quat_rotate(TO_Y_UP, pos), quat_mul(TO_Y_UP, quat)


def same(found: list, expected: list) -> None:
    for a, b in zip(found, expected, strict=True):
        assert a["status"] == b["status"] == "ok"
        for key in ("root_pos", "joint_pos"):
            np.testing.assert_allclose(a[key], b[key], atol=1e-3)


@pytest.mark.parametrize(
    ("change", "said", "told"),
    [
        (y_up, {"up": "y"}, "the person lies along y: is y up? --up y"),
        (lambda p, q: (100.0 * p, q), {"unit": 0.01}, "are these centimetres? --unit 0.01"),
        (lambda p, q: (1000.0 * p, q), {"unit": 0.001}, "are these millimetres? --unit 0.001"),
        (lambda p, q: (p / 0.0254, q), {"unit": 0.0254}, "m long: are these inches?"),
        (lambda p, q: (p, q[:, [1, 2, 3, 0]]), {"quaternions": "xyzw"}, "--quaternions xyzw"),
        (
            lambda p, q: (100.0 * y_up(p, q)[0], y_up(p, q)[1][:, [1, 2, 3, 0]]),
            {"up": "y", "unit": 0.01, "quaternions": "xyzw"},
            "are these centimetres?",
        ),
    ],
)
def test_other_conventions_are_told_or_said(
    walk: HumanMotion, g1: Robot, change: object, said: dict, told: str
) -> None:
    stream, poses, errors = served(changed(walk, change), g1)
    assert {pose["status"] for pose in poses} == {"waiting"} and told in stream.shut
    assert told in errors and len(errors.splitlines()) == 1  # once, not for each frame
    _, expected, errors = served(lines_of(walk), g1)
    assert errors == ""
    same(served(changed(walk, change, **said), g1)[1], expected)
    same(served(changed(walk, change), g1, conventions=Conventions(**said))[1], expected)


def test_the_robot_waits_until_the_person_stands(walk: HumanMotion, g1: Robot) -> None:
    lines = lines_of(walk)
    lies = changed(walk, y_up)
    stream, poses, errors = served([lines[0], *lies[1:6], *lines[6:]], g1)
    assert [p["status"] for p in poses] == 5 * ["waiting"] + 7 * ["ok"]
    assert not stream.shut and len(errors.splitlines()) == 1
    # Who says that z is up begins lying.
    _, poses, _ = served([lines[0], *lies[1:4]], g1, conventions=Conventions(up="z"))
    assert {p["status"] for p in poses} == {"ok"}


def test_a_stream_that_never_fits_ends_with_one_line(
    walk: HumanMotion, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def typed(lines: list[str]) -> None:
        stream = io.TextIOWrapper(io.BytesIO("\n".join(lines).encode()))
        monkeypatch.setattr("sys.stdin", stream)

    typed(changed(walk, y_up))
    with pytest.raises(InputError, match="no frame could be used: .*--up y"):
        main(["-"])
    typed(changed(walk, y_up))
    assert main(["-", "--up", "y"]) == 0
    assert '"status":"ok"' in capsys.readouterr().out


def test_swapped_names_follow_the_body(walk: HumanMotion, g1: Robot) -> None:
    first, *frames = lines_of(walk)
    header = json.loads(first)
    names = header["skeleton"]["joint_names"]
    swapped = [n.replace("Left", "#").replace("Right", "Left").replace("#", "Right") for n in names]
    header["skeleton"]["joint_names"] = swapped
    _, poses, errors = served([json.dumps(header), *frames], g1)
    assert "left and right are swapped" in errors
    same(poses, served(lines_of(walk), g1)[1])


@pytest.mark.parametrize(
    ("key", "value"), [("up", "w"), ("unit", 0), ("unit", "cm"), ("quaternions", "zyxw")]
)
def test_conventions_that_cannot_be(walk: HumanMotion, g1: Robot, key: str, value: object) -> None:
    with pytest.raises(InputError, match=f"line 1: {key}"):
        served(lines_of(walk, **{key: value}), g1)


def test_the_library_has_the_same_door(walk: HumanMotion, g1: Robot) -> None:
    assert walk.quat_w is not None
    clip = Skeleton.of(walk)
    skeleton = Skeleton.recognised(
        "live", clip.joint_names, clip.parents, walk.pos_w[0], True, walk.rest_pos
    )
    stream = StreamingRetargeter(skeleton, g1, walk.fps)
    pose = stream.step(HumanFrame(100.0 * walk.pos_w[0], walk.quat_w[0]))
    assert pose.status == "waiting" and "centimetres" in stream.door.reason
    assert stream.step(HumanFrame(walk.pos_w[0], walk.quat_w[0])).status == "ok"
    stream.reset()
    assert not stream.door.open


def test_what_a_person_may_do_at_the_door(walk: HumanMotion) -> None:
    assert walk.quat_w is not None
    clip = Skeleton.of(walk)
    skeleton = Skeleton.recognised(
        "live", clip.joint_names, clip.parents, walk.pos_w[0], True, walk.rest_pos
    )
    # A child, a tall person, and someone far away who leans.
    lean = np.array([np.cos(0.3), 0.0, np.sin(0.3), 0.0])
    for pos in (0.5 * walk.pos_w[0], 1.2 * walk.pos_w[0], quat_rotate(lean, walk.pos_w[0]) + 50.0):
        door = Door(skeleton, Conventions(), None)
        assert door.take(HumanFrame(pos, walk.quat_w[0])) is not None, door.reason
