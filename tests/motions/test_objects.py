"""Objects and scenes beside the robot: in files, in every edit, and in what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mimic_base.errors import InputError
from mimic_base.rotations import quat_exp, quat_mul, quat_of_yaw, quat_rotate
from motions import RobotMotion
from motions.__main__ import main
from motions.robot.completion import complete
from motions.robot.editing import align, blend, crop, loop, mirror, ramp_in, ramp_out, stitch
from motions.robot.editing import time_scale as scale_time
from motions.robot.formats import RobotTrajectory, read_robot_trajectory, trajectory_of
from motions.robot.formats.writers import write_robot_trajectory
from motions.robot.motion import SCHEMA, SCHEMA_2
from motions.robot.objects import ObjectTracks
from robots import Robot

SCENE: dict[str, Any] = {
    "terrain": {"type": "plane"},
    "objects": {
        "left_box": {"shape": "box", "size": [0.4, 0.3, 0.2], "mass": 2.0},
        "ball": {"shape": "sphere", "size": [0.1], "mass": 0.5},
    },
}
TERRAIN: dict[str, Any] = {
    "type": "boxes", "boxes": [{"pos": [1.0, 0.5, 0.1], "half_size": [0.5, 0.5, 0.1]}],
}  # fmt: skip


def tracks(frames: int = 51, fps: float = 25.0) -> ObjectTracks:
    """A box that is carried along a line and turned, a ball that falls."""
    time = np.arange(frames) / fps
    box = np.stack([time, 0.3 + 0 * time, 0.8 + 0 * time], axis=1)
    ball = np.stack([0 * time, -time, 1.0 - 0.1 * time**2], axis=1)
    turn = quat_exp(time[:, None] * [0.0, 0.0, 1.5])
    still = np.tile([1.0, 0, 0, 0], (frames, 1))
    return ObjectTracks(
        names=("left_box", "ball"),
        pos_w=np.stack([box, ball], axis=1),
        quat_w=np.stack([turn, still], axis=1),
    )


@pytest.fixture(scope="module")
def clip(tiny: Robot) -> RobotTrajectory:
    frames = 51
    time = np.arange(frames) / 25.0
    joints = np.tile(tiny.default_joint_pos, (frames, 1)) + 0.1 * np.sin(3 * time)[:, None]
    root = np.stack([time, 0 * time, np.full(frames, tiny.default_root_height)], axis=1)
    return RobotTrajectory(
        fps=25.0, root_pos=root, root_quat=quat_of_yaw(0.2 * time), joint_pos=joints,
        joint_names=tiny.joint_names, robot=tiny.name, name="carry", objects=tracks(), scene=SCENE,
    )  # fmt: skip


@pytest.fixture(scope="module")
def motion(clip: RobotTrajectory, tiny: Robot) -> RobotMotion:
    return complete(clip, tiny, check=False)


# -- files -----------------------------------------------------------------------------------


def test_a_motion_with_objects_comes_back(motion: RobotMotion, tmp_path: Path) -> None:
    motion.save(tmp_path / "carry.npz")
    back = RobotMotion.load(tmp_path / "carry.npz")
    assert back.object_names == ("left_box", "ball") and back.scene == SCENE
    np.testing.assert_allclose(back.object_pos_w, motion.object_pos_w, atol=1e-6)
    np.testing.assert_allclose(back.object_quat_w, motion.object_quat_w, atol=1e-6)
    with np.load(tmp_path / "carry.npz") as data:
        assert str(data["schema"]) == SCHEMA_2
        np.testing.assert_allclose(data["object_lin_vel_w"][:, 0], [[1, 0, 0]] * 51, atol=1e-4)
        np.testing.assert_allclose(data["object_ang_vel_w"][:, 0, 2], 1.5, atol=1e-4)
        # What BeyondMimic and mjlab read is all there.
        assert data["body_pos_w"].shape == (51, len(motion.body_names), 3)


def test_without_objects_the_file_is_the_old_one(motion: RobotMotion, tmp_path: Path) -> None:
    plain = replace(motion, objects=None, scene={})
    plain.save(tmp_path / "plain.npz")
    with np.load(tmp_path / "plain.npz") as data:
        assert str(data["schema"]) == SCHEMA
        assert not [key for key in data.files if key.startswith("object") or key == "scene"]
    back = RobotMotion.load(tmp_path / "plain.npz")
    assert back.objects is None and back.object_pos_w.shape == (51, 0, 3)


def test_a_scene_alone_is_kept(motion: RobotMotion, tmp_path: Path) -> None:
    stairs = replace(motion, objects=None, scene={"terrain": TERRAIN})
    stairs.save(tmp_path / "stairs.npz")
    assert RobotMotion.load(tmp_path / "stairs.npz").scene == {"terrain": TERRAIN}


def test_a_schema_of_the_future_is_refused(motion: RobotMotion, tmp_path: Path) -> None:
    motion.save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as data:
        arrays: dict[str, Any] = {key: data[key] for key in data.files}
    arrays["schema"] = np.array("humanoid-mimic/robot-motion/3")
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match="robot-motion/3.*robot-motion/2.*upgrade"):
        RobotMotion.load(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"object_quat_w": None}, "lack object_quat_w"),
        ({"object_pos_w": np.zeros((51, 1, 3))}, r"object_pos_w has the wrong shape.*\[51, 1, 3\]"),
        ({"object_pos_w": np.full((51, 2, 3), np.nan)}, "not finite.*frame 0, object left_box"),
        ({"object_quat_w": np.full((51, 2, 4), 1.0)}, "unit quaternions.*length 2.*left_box"),
        ({"object_names": np.array(["a", "a"])}, "unique.*twice: a"),
        ({"object_pos_w": np.array(["x"])}, "must hold numbers"),
        ({"scene": np.array("{")}, "scene is not JSON"),
        ({"scene": np.array("[1]")}, "scene must be a mapping"),
    ],
)
def test_broken_tracks_in_a_file_are_refused(
    change: dict[str, Any], says: str, motion: RobotMotion, tmp_path: Path
) -> None:
    path = tmp_path / "broken.npz"
    motion.save(path)
    with np.load(path) as data:
        arrays = {key: data[key] for key in data.files} | change
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    with pytest.raises(InputError, match=rf"broken\.npz.*{says}"):
        RobotMotion.load(path)


@pytest.mark.parametrize(
    ("scene", "says"),
    [
        ({"weather": {}}, "unknown keys .found weather"),
        ({"terrain": {"type": "lava"}}, "no known type .found 'lava'"),
        ({"terrain": {"type": ["plane"]}}, "no known type"),
        ({"terrain": {"type": "height_field", "size": [1, 1e-315], "heights": [[0, 1], [0, 1]]}},
         r"size must not be that small .found 1e-315, expected 1e-06 or more"),
        ({"terrain": {"type": "height_field", "size": [1, 1], "heights": [[0, 1], [0, 1e300]]}},
         r"greatest number of scene.terrain.heights\[1\] is above the limit 'magnitude'"),
        ({"objects": {"left_box": {"shape": {"box": 1}}}}, "shape is unknown"),
        ({"terrain": {"type": "plane", "slope": 1}}, "unknown keys .found slope"),
        ({"terrain": {"type": "boxes", "boxes": [{"pos": [0, 0, 0], "half_size": [1, -1, 1]}]}},
         r"boxes\[0\].half_size must be positive"),
        ({"terrain": {"type": "height_field", "size": [1, 1], "heights": [[0, 1], [0]]}},
         r"heights\[1\]"),
        ({"objects": {"left_box": {"shape": "cone", "size": [1]}}}, "shape is unknown.*'cone'"),
        ({"objects": {"left_box": {"shape": "box", "size": [1, 2]}}}, "size must be positive"),
        ({"objects": {"left_box": {"shape": "sphere", "size": [1], "mass": 0}}}, "mass must be"),
        ({"objects": {"left_box": {"shape": "mesh"}}}, "path of its file"),
        ({"objects": {"ball": {"shape": "sphere", "size": [1], "quat": [1, 1, 0, 0]}}},
         "unit quaternion"),
        ({"objects": {"door": {"shape": "box", "size": [1, 1, 1]}}}, "door.*has no track"),
        ({"objects": {"ball": {"shape": "sphere", "size": [float("nan")]}}}, "not plain data"),
        ({"objects": {"ball": {"shape": "sphere", "size": [1], "mass": np.zeros(1)}}},
         "not plain data"),
    ],
)  # fmt: skip
def test_scenes_that_are_none(scene: dict[str, Any], says: str, motion: RobotMotion) -> None:
    with pytest.raises(InputError, match=says):
        replace(motion, scene=scene)


def test_fixed_objects_need_no_track(motion: RobotMotion) -> None:
    door = {"shape": "box", "size": [0.1, 1.0, 2.0], "fixed": True, "pos": [2.0, 0.0, 1.0]}
    assert replace(motion, scene={"objects": {"door": door}}).scene["objects"]["door"] == door


# -- changes ---------------------------------------------------------------------------------


def test_resampling_and_cropping_take_objects_along(motion: RobotMotion) -> None:
    fine = motion.resample(50.0)
    assert fine.objects is not None
    time = np.minimum(np.arange(fine.num_frames) / 50.0, motion.duration)
    np.testing.assert_allclose(fine.object_pos_w[:, 0, 0], time, atol=1e-9)
    turn = quat_exp(time[:, None] * [0.0, 0.0, 1.5])
    np.testing.assert_allclose(np.abs((fine.object_quat_w[:, 0] * turn).sum(-1)), 1.0, atol=1e-9)
    part = motion.crop(10, 20)
    np.testing.assert_array_equal(part.object_pos_w, motion.object_pos_w[10:20])


def test_completion_and_coordinates_keep_them(motion: RobotMotion, clip: RobotTrajectory) -> None:
    again = trajectory_of(motion)
    assert again.objects is not None and clip.objects is not None and again.scene == clip.scene
    np.testing.assert_array_equal(again.objects.pos_w, clip.objects.pos_w)


def test_mirroring_exchanges_sides(clip: RobotTrajectory, tiny: Robot) -> None:
    clip = replace(clip, scene={**SCENE, "terrain": TERRAIN})
    once = mirror(clip, tiny)
    assert once.objects is not None and clip.objects is not None
    assert once.objects.names == ("right_box", "ball")
    assert set(once.scene["objects"]) == {"right_box", "ball"}
    assert once.scene["terrain"]["boxes"][0]["pos"] == [1.0, -0.5, 0.1]
    np.testing.assert_allclose(once.objects.pos_w, clip.objects.pos_w * [1, -1, 1])
    # A point fixed in the box, mirrored in the box, is the mirror image of that point.
    point, flip = np.array([0.1, 0.2, 0.3]), np.array([1.0, -1.0, 1.0])
    there = clip.objects.pos_w + quat_rotate(clip.objects.quat_w, point)
    here = once.objects.pos_w + quat_rotate(once.objects.quat_w, flip * point)
    np.testing.assert_allclose(here, there * flip, atol=1e-12)
    twice = mirror(once, tiny)
    assert twice.objects is not None and twice.objects.names == clip.objects.names
    assert twice.scene == clip.scene
    np.testing.assert_allclose(twice.objects.quat_w, clip.objects.quat_w, atol=1e-15)


def test_height_fields_are_mirrored_too(clip: RobotTrajectory, tiny: Robot) -> None:
    hill = {"type": "height_field", "size": [2, 1], "heights": [[0, 1], [2, 3]]}
    once = mirror(replace(clip, scene={"terrain": hill}), tiny)
    assert once.scene["terrain"]["heights"] == [[2, 3], [0, 1]]


def relative(clip: RobotTrajectory) -> np.ndarray:
    """The box in the robot's base frame, [T, 3]."""
    assert clip.objects is not None
    inverse = clip.root_quat * [1.0, -1.0, -1.0, -1.0]
    return quat_rotate(inverse, clip.objects.pos_w[:, 0] - clip.root_pos)


def test_joined_clips_keep_the_box_in_the_hands(clip: RobotTrajectory) -> None:
    moved = align(clip, clip, 50)
    np.testing.assert_allclose(relative(moved), relative(clip), atol=1e-9)
    both = stitch(clip, clip, 0.4)
    assert both.objects is not None and len(both.objects.pos_w) == both.num_frames
    np.testing.assert_allclose(relative(both)[60:], relative(clip)[20:], atol=1e-9)
    speed = np.abs(np.diff(both.objects.pos_w[:, 0], axis=0)).max() * both.fps
    assert speed < 2.5  # 1 m/s in the clips, faded over without a jump
    # The other clip's objects may stand in another order.
    order = clip.objects.ordered(("ball", "left_box")) if clip.objects else None
    mixed = stitch(clip, replace(clip, objects=order), 0.4)
    assert mixed.objects is not None
    np.testing.assert_allclose(mixed.objects.pos_w, both.objects.pos_w)


def test_blends_loops_and_time(clip: RobotTrajectory) -> None:
    ghost = replace(clip, objects=tracks().moved(np.array([1.0, 0, 0, 0]), np.array([0, 0, 0.2])))
    half = blend(clip, ghost, 0.5)
    assert half.objects is not None and clip.objects is not None
    np.testing.assert_allclose(half.objects.pos_w, clip.objects.pos_w + [0, 0, 0.1])
    ring = loop(clip, 0.4)
    np.testing.assert_allclose(relative(ring)[-1], relative(ring)[0], atol=1e-9)
    slow = scale_time(clip, 2.0)
    assert slow.objects is not None
    np.testing.assert_allclose(slow.objects.pos_w[::2], clip.objects.pos_w, atol=1e-12)
    part = crop(clip, 0.4, 0.8)
    assert part.objects is not None
    np.testing.assert_array_equal(part.objects.pos_w, clip.objects.pos_w[10:21])


def test_objects_stand_still_during_ramps(clip: RobotTrajectory, tiny: Robot) -> None:
    long = ramp_out(ramp_in(clip, tiny, 1.0), tiny, 0.4)
    assert long.objects is not None and clip.objects is not None
    assert len(long.objects.pos_w) == long.num_frames == 25 + 51 + 10
    np.testing.assert_array_equal(long.objects.pos_w[:25], clip.objects.pos_w[:1].repeat(25, 0))
    np.testing.assert_array_equal(long.objects.pos_w[-10:], clip.objects.pos_w[-1:].repeat(10, 0))
    np.testing.assert_array_equal(long.objects.pos_w[25:76], clip.objects.pos_w)


def test_what_cannot_be_joined_is_refused(clip: RobotTrajectory, tiny: Robot) -> None:
    with pytest.raises(InputError, match="other objects.*ball, left_box.*--without-objects"):
        stitch(clip, clip.without_objects(), 0.4)
    heavier = json.loads(json.dumps(SCENE))
    heavier["objects"]["ball"]["mass"] = 9.0
    with pytest.raises(InputError, match="another terrain, shape or mass"):
        stitch(clip, replace(clip, scene=heavier), 0.4)
    stairs = replace(clip, scene={"terrain": TERRAIN})
    with pytest.raises(InputError, match="on terrain cannot be moved"):
        stitch(stairs, stairs, 0.4)
    with pytest.raises(InputError, match="level ground .found terrain of type boxes"):
        ramp_in(stairs, tiny, 1.0)


def test_curation_puts_missing_frames_back_for_objects_too(clip: RobotTrajectory) -> None:
    from motions.robot.curation.faults import Fault
    from motions.robot.curation.repair import insert

    fault = Fault(kind="dropped", start=10, stop=11, size=1.0, where="base")
    longer, _ = insert(clip, np.zeros(51, dtype=bool), [fault])
    assert longer.objects is not None and clip.objects is not None
    assert longer.num_frames == len(longer.objects.pos_w) == 52
    between = 0.5 * (clip.objects.pos_w[10] + clip.objects.pos_w[11])
    np.testing.assert_allclose(longer.objects.pos_w[11], between)


# -- other formats ---------------------------------------------------------------------------


def test_a_trajectory_file_keeps_them(clip: RobotTrajectory, tmp_path: Path) -> None:
    assert write_robot_trajectory(clip, tmp_path / "t.npz", "trajectory") == ()
    back = read_robot_trajectory(tmp_path / "t.npz")
    assert back.objects is not None and clip.objects is not None and back.scene == SCENE
    np.testing.assert_allclose(back.objects.pos_w, clip.objects.pos_w, atol=1e-6)
    write_robot_trajectory(clip.without_objects(), tmp_path / "t.npz", "trajectory")
    with np.load(tmp_path / "t.npz") as data:
        assert str(data["schema"]) == "humanoid-mimic/robot-trajectory/1"


def test_formats_say_what_they_have_no_room_for(
    clip: RobotTrajectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    order = clip.joint_names
    (said,) = write_robot_trajectory(clip, tmp_path / "a.npz", "gmr", order)
    assert "gmr has no room for the objects left_box, ball and the scene" in said
    write_robot_trajectory(clip, tmp_path / "t.npz", "trajectory")
    arguments = ["convert", str(tmp_path / "t.npz"), "--to", "mimickit", "--out", str(tmp_path),
                 "--out-joint-order", ",".join(order), "--out-fps", "50"]  # fmt: skip
    (tmp_path / "t.npz").rename(tmp_path / "u.npz")
    arguments[1] = str(tmp_path / "u.npz")
    arguments[5] = str(tmp_path / "out")
    assert main(arguments) == 0
    assert "warning: format mimickit has no room" in capsys.readouterr().err


def test_holosoma_holds_one_object(motion: RobotMotion, tmp_path: Path) -> None:
    assert motion.objects is not None
    box = motion.objects.ordered(("left_box",))
    one = trajectory_of(replace(motion, objects=box, scene={}))
    assert write_robot_trajectory(one, tmp_path / "h.npz", "holosoma") == ()
    back = read_robot_trajectory(tmp_path / "h.npz")
    assert back.objects is not None and back.objects.names == ("object",)
    np.testing.assert_allclose(back.objects.pos_w, box.pos_w, atol=1e-6)
    np.testing.assert_allclose(back.objects.quat_w, box.quat_w, atol=1e-6)
    two = trajectory_of(replace(motion, scene={}))
    (said,) = write_robot_trajectory(two, tmp_path / "h.npz", "holosoma")
    assert "left_box, ball" in said


def test_the_edit_command_takes_objects_along_or_out(
    motion: RobotMotion, tmp_path: Path, tiny: Robot
) -> None:
    from motions.robot.editing.cli import main as edit

    source, out = tmp_path / "carry.npz", tmp_path / "edited.npz"
    motion.save(source)
    robot = str(Path(__file__).parents[1] / "robots" / "tiny.toml")
    common = [str(source), "--robot", robot, "--mirror", "--out", str(out)]
    assert edit(common) == 0
    edited = RobotMotion.load(out)
    assert edited.object_names == ("right_box", "ball")
    assert "right_box" in edited.scene["objects"]
    assert edit([*common, "--without-objects"]) == 0
    assert RobotMotion.load(out).objects is None


@pytest.mark.corpus
def test_a_real_object_is_read(corpus: Path, g1: Robot) -> None:
    path = corpus / "g1_holosoma" / "sub3_largebox_003_mj_w_obj.npz"
    if not path.exists():
        pytest.skip("no holosoma clip")
    motion = complete(read_robot_trajectory(path), g1)
    assert motion.object_names == ("object",)
    with np.load(path) as data:
        linear, angular = (motion.objects or tracks()).velocities(motion.fps)
        np.testing.assert_allclose(linear[:, 0], data["object_lin_vel_w"], atol=1e-4)
        assert np.abs(angular[:, 0] - data["object_ang_vel_w"]).max() < 0.05
    # The box is carried: while it is up, the wrists are near it.
    up = motion.object_pos_w[:, 0, 2] > 0.5
    assert up.sum() > 30
    wrists = [motion.body_names.index(f"{side}_wrist_yaw_link") for side in ("left", "right")]
    reach = np.linalg.norm(motion.body_pos_w[:, wrists] - motion.object_pos_w, axis=-1)
    assert np.median(reach[up]) < 0.45
    turned = quat_mul(motion.object_quat_w[:, 0], [1.0, 0, 0, 0])
    np.testing.assert_allclose(np.linalg.norm(turned, axis=-1), 1.0, atol=1e-6)
