"""What a stream refuses: frames, lines, headers, settings and options that cannot be used."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mimic_base.errors import UserError
from motions import HumanMotion, InputError
from motions.human.writers.bvh import write_bvh
from retarget.streaming import HumanFrame, Skeleton, StreamingRetargeter, StreamSettings, frames_of
from retarget.streaming.cli import main
from retarget.streaming.lines import LineStream
from robots.robot import Robot
from tests.retarget.stream_helpers import lines_of, stream_of


def test_frames_of_another_skeleton_are_refused_and_change_nothing(
    robot: Robot, squat: HumanMotion
) -> None:
    frames = list(frames_of(squat))
    stream, other = stream_of(squat, robot), stream_of(squat, robot)
    stream.step(frames[0])
    other.step(frames[0])
    for bad in (
        HumanFrame(frames[1].pos_w[:5], None),
        HumanFrame(frames[1].pos_w, None),
        HumanFrame(frames[1].pos_w, np.ones((3, 4))),
        replace(frames[1], joint_names=("a", "b")),
    ):
        with pytest.raises(InputError) as error:
            stream.step(bad)
        assert "\n" not in str(error.value) and "expected" in str(error.value)
    assert np.array_equal(stream.step(frames[1]).joint_pos, other.step(frames[1]).joint_pos)


def test_quaternions_of_no_length_count_as_dropped(robot: Robot, squat: HumanMotion) -> None:
    frames = list(frames_of(squat))
    stream = stream_of(squat, robot)
    stream.step(frames[0])
    quat = frames[1].quat_w
    assert quat is not None
    assert stream.step(HumanFrame(frames[1].pos_w, 0.0 * quat)).status == "extrapolated"


def test_frames_that_show_no_legs_count_as_dropped(robot: Robot, squat: HumanMotion) -> None:
    frames = list(frames_of(squat))
    stream = stream_of(squat, robot)
    for pos in (0.0 * frames[0].pos_w, 1e200 * frames[0].pos_w):
        assert stream.step(replace(frames[0], pos_w=pos)).status == "waiting"
    assert stream.step(frames[0]).status == "ok"
    pose = stream.step(replace(frames[1], pos_w=np.ones_like(frames[1].pos_w)))
    assert pose.status == "extrapolated" and np.isfinite(pose.joint_pos).all()


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan")])
def test_impossible_frame_rates_are_refused(robot: Robot, squat: HumanMotion, fps: float) -> None:
    with pytest.raises(InputError, match="fps"):
        StreamingRetargeter(Skeleton.of(squat), robot, fps)


def test_a_calibration_of_another_skeleton_is_refused(robot: Robot, squat: HumanMotion) -> None:
    other = replace(squat, quat_w=None, rest_pos=None)
    with pytest.raises(InputError, match="found positions only, expected positions and rotations"):
        stream_of(squat, robot, calibration=other)
    names = tuple(f"other_{name}" for name in squat.joint_names)
    with pytest.raises(InputError, match="of another skeleton"):
        stream_of(squat, robot, calibration=replace(squat, joint_names=names))


def _live(robot: Robot, lines: list[str]) -> tuple[LineStream, list[str], str]:
    """The stream at its end, the statuses that it gave, and its complaints."""
    out, errors = io.StringIO(), io.StringIO()
    stream = LineStream(io.BytesIO("\n".join(lines).encode()), out, errors, robot)
    stream.run()
    status = [json.loads(line)["status"] for line in out.getvalue().splitlines()[1:]]
    return stream, status, errors.getvalue()


def test_odd_values_in_a_line_are_a_dropped_frame(robot: Robot, squat: HumanMotion) -> None:
    lines = lines_of(squat.crop(0, 4))
    frame = json.loads(lines[2])
    huge = [[10**400, 0, 0]] * len(squat.joint_names)
    lines[2:2] = [json.dumps({**frame, "joint_names": 5}), json.dumps({**frame, "pos": huge})]
    stream, status, errors = _live(robot, lines)
    assert status == ["ok", "extrapolated", "extrapolated", "ok", "ok", "ok"]
    assert stream.bad == 2 and stream.counts == {"ok": 4, "extrapolated": 2}
    assert "line 3: joint_names" in errors and "line 4: pos must be rows of numbers" in errors


def test_without_a_rest_pose_zeros_are_waited_through_and_odd_names_end_the_stream(
    robot: Robot, squat: HumanMotion
) -> None:
    lines = lines_of(squat.crop(0, 3))
    head, frame = json.loads(lines[0]), json.loads(lines[1])
    del head["skeleton"]["rest_pos"]
    zeros = json.dumps({**frame, "pos": np.zeros_like(squat.pos_w[0]).tolist()})
    _, status, errors = _live(robot, [json.dumps(head), zeros, *lines[1:]])
    assert status == ["waiting", "ok", "ok", "ok"] and errors == ""
    head["skeleton"]["joint_names"] = [f"j{k}" for k in range(len(squat.joint_names))]
    with pytest.raises(InputError, match='no joint is known for .*"roles"'):
        _live(robot, [json.dumps(head), *lines[1:]])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"parents": [1, 0, 1, 2]}, "each parent must stand before its children"),
        ({"parents": [-1, 0, 99, 2]}, "each parent must stand before its children"),
        ({"roles": ["pelvis"]}, "roles"),
        ({"roles": {"pelvis": 0}}, "roles"),
        ({"roles": {"plevis": "a"}}, "no role 'plevis'"),
        ({"rotations": "no"}, "expected true or false"),
        ({"rest_pos": [[0, 0, 0]]}, "positions do not fit"),
        ({"fps": None}, "fps"),
        ({"fps": "60"}, "fps"),
    ],
)
def test_headers_with_odd_values(robot: Robot, change: dict[str, object], expected: str) -> None:
    skeleton = {
        "joint_names": ["a", "b", "c", "d"],
        "parents": [-1, 0, 1, 2],
        "rest_pos": [[0, 0, k] for k in range(4)],
    }
    fps = change.get("fps", 30)
    line = json.dumps({"skeleton": {**skeleton, **change}, "fps": fps}).encode() + b"\n"
    with pytest.raises(InputError, match=expected) as error:
        LineStream(io.BytesIO(line), io.StringIO(), io.StringIO(), robot)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (b"", "must begin with its skeleton"),
        (b"[1, 2]\n", "must begin with its skeleton"),
        (b'{"skeleton": {"joint_names": ["a"], "parents": []}, "fps": 30}\n', "joint_names"),
        (b"\xff\xfe{}\n", "not JSON"),
        (b'{"skeleton": {"joint_names": ["a"], "parents": [-1]}, "fps": 0}\n', "fps"),
    ],
)
def test_headers_that_are_none(robot: Robot, first: bytes, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        LineStream(io.BytesIO(first), io.StringIO(), io.StringIO(), robot)


def test_a_header_without_a_persons_joints(robot: Robot) -> None:
    skeleton = {"joint_names": ["a", "b"], "parents": [-1, 0], "rest_pos": [[0, 0, 0], [0, 0, 1]]}
    line = json.dumps({"skeleton": skeleton, "fps": 30}).encode() + b"\n"
    with pytest.raises(InputError, match="no joint is known"):
        LineStream(io.BytesIO(line), io.StringIO(), io.StringIO(), robot)


def test_a_stream_of_one_frame_is_no_motion(
    squat: HumanMotion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "\n".join(lines_of(squat.crop(0, 2))[:2]).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))
    with pytest.raises(InputError, match="at least two frames"):
        main(["-", "--out", str(tmp_path / "live.npz")])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("no_such.bvh",), "no such file"),
        (("-", "--out", "motion.csv"), "npz"),
        (("-", "--robot", "nobody"), "nobody"),
        (("-", "--calibration", "no_such.bvh"), "no such file"),
        (("-", "--realtime"), "for clips"),
        (("no_such.bvh", "--out", "tests/.npz"), "npz"),
    ],
)
def test_mistakes_are_one_line(arguments: tuple[str, ...], expected: str) -> None:
    with pytest.raises(ValueError, match=expected) as error:
        main(arguments)
    assert isinstance(error.value, UserError) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"calibration_seconds": -1.0}, r"calibration_seconds \(found -1.0, .* at least 0"),
        ({"blend_seconds": 0}, r"blend_seconds \(found 0, .* above 0"),
        ({"carry_seconds": float("nan")}, "carry_seconds .*found nan"),
        ({"root_speed": float("inf")}, "root_speed .*found inf"),
        ({"source_hz": 0.0}, "source_hz .*above 0"),
        ({"warm_up": 0}, "warm_up .*whole number, at least 1"),
        ({"position_iterations": 2.0}, "position_iterations .*found 2.0, expected a whole number"),
        ({"evenness": 1.5}, "evenness .*from 0 to 1"),
        ({"slide": "3 cm"}, "slide .*found '3 cm'"),
        ({"allowed_depth": True}, "allowed_depth .*found True"),
        ({"ik": {}}, "ik .*IkSettings"),
    ],
)
def test_settings_that_cannot_be(values: dict[str, Any], expected: str) -> None:
    with pytest.raises(InputError, match=f"StreamSettings: {expected}") as error:
        StreamSettings(**values)
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="StreamSettings: "):
        replace(StreamSettings(), **values)


def test_every_setting_is_checked() -> None:
    for name in StreamSettings.__dataclass_fields__:
        with pytest.raises(InputError, match=f"StreamSettings: {name} "):
            StreamSettings(**{name: "x"})  # type: ignore[arg-type]
    for name in ("calibration_seconds", "rise_seconds", "hold_seconds", "bend", "evenness"):
        StreamSettings(**{name: 0})  # type: ignore[arg-type]
    StreamSettings(source_hz=3, evenness=1.0)


# -- a skeleton that has to be told --------------------------------------------------------------


@pytest.fixture
def nameless(squat: HumanMotion, tmp_path: Path) -> tuple[HumanMotion, Path, str]:
    """A clip whose joints' names say nothing, its file, and what --skeleton-map says of it."""
    human = squat.crop(0, 6)
    told = {role: f"j{joint}" for role, joint in human.roles.items()}
    human = replace(human, joint_names=tuple(f"j{k}" for k in range(len(human.joint_names))))
    path = tmp_path / "nameless.bvh"
    write_bvh(human, path)
    return human, path, ",".join(f"{role}={joint}" for role, joint in told.items())


def test_a_skeleton_map_tells_a_clips_joints(
    nameless: tuple[HumanMotion, Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, path, told = nameless
    with pytest.raises(InputError, match="nobody"):
        main([str(path), "--skeleton-map", "pelvis=nobody"])
    out = tmp_path / "out.npz"
    options = ["--skeleton-map", told, "--calibration", str(path), "--out", str(out)]
    assert main([str(path), *options]) == 0 and out.is_file()
    assert "skeleton" in capsys.readouterr().out


def test_a_skeleton_map_tells_a_live_streams_joints(
    nameless: tuple[HumanMotion, Path, str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    human, _, told = nameless
    lines = lines_of(human)
    head = json.loads(lines[0])
    head["skeleton"]["roles"] = {"pelvis": "j1"}  # wrong: the option goes before it
    text = "\n".join([json.dumps(head), *lines[1:]]).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    assert main(["-", "--skeleton-map", told]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["status"] for answer in answers[1:]] == ["ok"] * 6
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    with pytest.raises(InputError, match="no joint 'nobody'"):
        main(["-", "--skeleton-map", "pelvis=nobody"])
