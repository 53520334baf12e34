"""Clips on disk become tensors at the control rate, by name, or a one-line error."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mimic.envs.motion_library import find_motion_files, load_library
from mimic_base.errors import MimicError, UserError
from mimic_base.frame_fields import FRAME_FIELDS
from motions import InputError, RobotMotion
from motions.robot.objects import ObjectTracks
from robots import Robot


def one_line(error: BaseException, *parts: str) -> None:
    assert "\n" not in str(error)
    assert isinstance(error, UserError)
    for part in parts:
        assert part in str(error)


def test_key_bodies_and_joints_of_a_clip(g1: Robot, motion: RobotMotion) -> None:
    library = load_library([motion], g1, 50.0)
    assert library.num_clips == 1 and library.num_frames == motion.num_frames
    assert library.names == ("sway",) and library.source_fps == (50.0,)
    keys = [motion.body_names.index(name) for name in g1.key_bodies]
    np.testing.assert_allclose(library.joint_pos, motion.joint_pos, atol=1e-6)
    np.testing.assert_allclose(library.joint_vel, motion.joint_vel, atol=1e-5)
    for field in FRAME_FIELDS[2:]:
        np.testing.assert_allclose(
            getattr(library, field), getattr(motion, field)[:, keys], atol=1e-5
        )
    assert library.joint_pos.dtype == torch.float32


def test_clips_lie_end_to_end(g1: Robot, motion: RobotMotion) -> None:
    clips = [motion, motion.crop(10, 40), motion.crop(0, 2)]
    library = load_library(clips, g1, 50.0)
    assert library.length.tolist() == [101, 30, 2]
    assert library.start.tolist() == [0, 101, 131]
    assert library.num_frames == 133
    np.testing.assert_allclose(library.joint_pos[101:131], motion.joint_pos[10:40], atol=1e-6)


def test_clips_are_resampled_to_the_control_rate(g1: Robot, make_motion) -> None:
    fine, coarse = make_motion(g1, fps=50.0), make_motion(g1, fps=25.0)
    library = load_library([coarse], g1, 50.0)
    assert library.fps == 50.0 and library.source_fps == (25.0,)
    assert library.num_frames == fine.num_frames
    np.testing.assert_allclose(library.joint_pos, fine.joint_pos, atol=2e-3)
    torch.testing.assert_close(library.body_quat_w.norm(dim=-1), torch.ones(101, 14))


def test_permuted_names_are_reordered(g1: Robot, motion: RobotMotion, tmp_path: Path) -> None:
    joints = tuple(reversed(motion.joint_names))
    bodies = (motion.body_names[0], *reversed(motion.body_names[1:]))
    permuted = motion.with_joint_order(joints).with_body_order(bodies)
    assert not np.allclose(permuted.joint_pos, motion.joint_pos)
    permuted.save(tmp_path / "permuted.npz")
    ours = load_library([tmp_path / "permuted.npz"], g1, 50.0)
    reference = load_library([motion], g1, 50.0)
    for field in FRAME_FIELDS:
        torch.testing.assert_close(
            getattr(ours, field), getattr(reference, field), atol=1e-5, rtol=1e-5
        )


def test_hash_follows_the_content(g1: Robot, motion: RobotMotion, tmp_path: Path) -> None:
    motion.save(tmp_path / "a.npz")
    motion.save(tmp_path / "b.npz")
    motion.crop(0, 50).save(tmp_path / "c.npz")
    library = load_library([tmp_path / f"{n}.npz" for n in "abc"], g1, 50.0)
    assert library.hashes[0] == library.hashes[1] != library.hashes[2]


def test_folders_give_their_files_in_order(motion: RobotMotion, tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        motion.save(tmp_path / f"{name}.npz")
    (tmp_path / "notes.txt").write_text("")
    files = find_motion_files([tmp_path, tmp_path / "b.npz"])
    assert [file.path.stem for file in files] == ["a", "b", "c", "b"]


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        find_motion_files([tmp_path / "absent.npz"])
    one_line(caught.value, "absent.npz", "does not exist", "mimic retarget")


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        find_motion_files([tmp_path])
    one_line(caught.value, str(tmp_path), "no .npz file")


def test_no_motion_at_all() -> None:
    with pytest.raises(InputError) as caught:
        find_motion_files([])
    one_line(caught.value, "--motion")


def test_motion_of_another_robot(g1: Robot, motion: RobotMotion, tmp_path: Path) -> None:
    replace(motion, robot="unitree_h1").save(tmp_path / "other.npz")
    with pytest.raises(InputError) as caught:
        load_library([tmp_path / "other.npz"], g1, 50.0)
    one_line(caught.value, "other.npz", "'unitree_h1'", "'unitree_g1'", "--robot unitree_g1")


def test_missing_body(g1: Robot, motion: RobotMotion, tmp_path: Path) -> None:
    kept = [name for name in motion.body_names if name != "torso_link"]
    motion.with_body_order(kept).save(tmp_path / "bodies.npz")
    with pytest.raises(InputError) as caught:
        load_library([tmp_path / "bodies.npz"], g1, 50.0)
    one_line(caught.value, "bodies.npz", "torso_link")


@pytest.mark.parametrize("extra", [False, True])
def test_missing_or_foreign_joint(
    extra: bool, g1: Robot, motion: RobotMotion, tmp_path: Path
) -> None:
    columns = [*range(29), 0] if extra else list(range(28))
    cut = replace(
        motion,
        joint_names=(*motion.joint_names, "tail_joint") if extra else motion.joint_names[:-1],
        joint_pos=motion.joint_pos[:, columns],
        joint_vel=motion.joint_vel[:, columns],
    )
    cut.save(tmp_path / "joints.npz")
    with pytest.raises(InputError) as caught:
        load_library([tmp_path / "joints.npz"], g1, 50.0)
    name = "tail_joint" if extra else motion.joint_names[-1]
    one_line(caught.value, name, "joints.npz", "--robot unitree_g1")


@pytest.mark.parametrize("content", [b"", b"not an archive"])
def test_unreadable_file(content: bytes, g1: Robot, tmp_path: Path) -> None:
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises((MimicError, InputError)) as caught:
        load_library([tmp_path / "bad.npz"], g1, 50.0)
    one_line(caught.value, "bad.npz")


# -- the same as reading one after the other -------------------------------------------------


def serially(clips: list[RobotMotion], robot: Robot, fps: float) -> dict[str, np.ndarray]:
    """What a library holds, the slow way: every clip whole, joined afterwards."""
    order = [
        clip.resample(fps).with_joint_order(robot.joint_names).with_body_order(robot.key_bodies)
        for clip in clips
    ]
    return {
        name: np.concatenate([getattr(clip, name) for clip in order]).astype(np.float32)
        for name in FRAME_FIELDS
    }


@pytest.mark.parametrize("workers", [1, 3])
def test_loading_side_by_side_gives_the_same_numbers(
    workers: int, g1: Robot, make_motion, tmp_path: Path
) -> None:
    clips = [make_motion(g1, fps=fps, seconds=1.0) for fps in (50.0, 30.0, 120.0)]
    clips += [clips[0].crop(5, 20), clips[1].with_joint_order(clips[1].joint_names[::-1])]
    for number, clip in enumerate(clips):
        replace(clip, name=f"clip {number}").save(tmp_path / f"{number}.npz")
    library = load_library(find_motion_files([tmp_path]), g1, 50.0, workers=workers)
    read = [RobotMotion.load(tmp_path / f"{number}.npz") for number in range(len(clips))]
    for name, expected in serially(read, g1, 50.0).items():
        np.testing.assert_array_equal(getattr(library, name), expected)
    in_memory = load_library(read, g1, 50.0)
    assert in_memory.hashes == library.hashes and in_memory.names == library.names
    rows = torch.tensor([0, 60, 7])
    for name, values in library.gather(rows).items():
        whole = getattr(library, name)[rows]
        torch.testing.assert_close(values.movedim(-1, 0), whole)
        assert whole.untyped_storage().nbytes() > 0
    # The six arrays are views of one table: nothing is kept twice.
    assert library.table is not None
    assert {getattr(library, name).data_ptr() for name in FRAME_FIELDS} <= set(
        range(library.table.data_ptr(), library.table.data_ptr() + library.table.nbytes)
    )


def test_the_hash_of_a_clip_is_what_it_was(g1: Robot, motion: RobotMotion) -> None:
    """Checkpoints name the motions that they were trained on by it."""
    digest = hashlib.sha256(f"{motion.robot} {motion.fps:.6f}".encode())
    for array in (motion.joint_pos, motion.body_pos_w, motion.body_quat_w):
        digest.update(np.ascontiguousarray(array, np.float32).tobytes())
    assert load_library([motion], g1, 50.0).hashes == (digest.hexdigest()[:16],)


def test_the_first_bad_clip_is_told(g1: Robot, motion: RobotMotion, tmp_path: Path) -> None:
    for name in "acd":
        motion.save(tmp_path / f"{name}.npz")
    replace(motion, robot="atlas").save(tmp_path / "b.npz")
    replace(motion, robot="valkyrie").save(tmp_path / "d.npz")
    with pytest.raises(InputError, match=r"b\.npz: the motion is for robot 'atlas'"):
        load_library(find_motion_files([tmp_path]), g1, 50.0, workers=3)


# -- sets of motions -------------------------------------------------------------------------


def test_folders_of_folders_are_named_from_the_root(
    g1: Robot, motion: RobotMotion, tmp_path: Path
) -> None:
    for place in ("walk/slow/one", "walk/one", "top", ".hidden/two", "run/.three.tmp"):
        motion.save(tmp_path / f"{place}.npz")
    files = find_motion_files([tmp_path])
    assert [str(file.path.relative_to(tmp_path)) for file in files] == [
        "top.npz", "walk/one.npz", "walk/slow/one.npz",
    ]  # fmt: skip
    library = load_library(files, g1, 50.0)
    assert library.names == ("sway", "walk/one", "walk/slow/one")
    assert find_motion_files(files) == files


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_a_manifest_chooses_weighs_and_splits(
    ending: str, g1: Robot, motion: RobotMotion, tmp_path: Path
) -> None:
    for name in ("a", "b", "deep/c"):
        motion.save(tmp_path / f"{name}.npz")
    manifest = tmp_path / f"set.{ending}"
    if ending == "jsonl":
        manifest.write_text(
            '{"file": "deep/c.npz", "split": "train", "weight": 3, "tags": ["walk", "slow"]}\n\n'
            '{"file": "a.npz", "split": "test"}\n'
        )
    else:
        manifest.write_text("file,split,weight,tags\ndeep/c.npz,train,3,walk slow\na.npz,test,,\n")
    files = find_motion_files([manifest])
    assert [file.path.name for file in files] == ["c.npz", "a.npz"]
    assert (files[0].split, files[0].weight, files[0].tags) == ("train", 3.0, ("walk", "slow"))
    library = load_library(files, g1, 50.0)
    assert library.names == ("deep/c", "sway")
    assert library.weight is not None and library.weight.tolist() == [3.0, 1.0]
    (one,) = find_motion_files([f"{manifest}:test"])
    assert one.path.name == "a.npz"
    assert load_library([one], g1, 50.0).weight is None
    with pytest.raises(InputError, match="no clip of this split .found 'val', expected test, tr"):
        find_motion_files([f"{manifest}:val"])


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("set.jsonl", "", "names no clip"),
        ("set.jsonl", "[1]", "line 1 must be a mapping"),
        ("set.jsonl", "{", "line 1 is not JSON"),
        ("set.jsonl", '{"split": "train"}', "names no file"),
        ("set.jsonl", '{"file": "no.npz"}', "not there.*no.npz.*relative to the manifest"),
        ("set.jsonl", '{"file": "a.npz", "wight": 2}', "unknown keys .found wight"),
        ("set.jsonl", '{"file": "a.npz", "weight": 0}', "above zero .found 0"),
        ("set.jsonl", '{"file": "a.npz", "tags": "x"}', "list of texts"),
        ("set.jsonl", '{"file": "a.npz"}\n{"file": "a.npz"}', "line 2 names a clip again"),
        ("set.csv", "a.npz,train", "must head the columns"),
        ("set.csv", "file,weight\na.npz,much", "weight must be a number.*'much'"),
        ("set.csv", "file,weight\na.npz", "line 2 has other columns"),
    ],
)
def test_manifests_that_cannot_be_used(
    name: str, content: str, says: str, motion: RobotMotion, tmp_path: Path
) -> None:
    motion.save(tmp_path / "a.npz")
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=rf"{name}: .*{says}"):
        find_motion_files([tmp_path / name])


def test_objects_are_where_clips_have_them(g1: Robot, motion: RobotMotion, tmp_path: Path) -> None:
    frames = motion.num_frames
    time = np.arange(frames) / motion.fps
    pos = np.stack([time, 0 * time, 0.5 + 0 * time], axis=1)[:, None]
    tracks = ObjectTracks(
        names=("box",), pos_w=pos, quat_w=np.tile([0.0, 1.0, 0, 0], (frames, 1, 1))
    )
    replace(motion, objects=tracks).save(tmp_path / "a.npz")
    motion.save(tmp_path / "b.npz")
    library = load_library(find_motion_files([tmp_path]), g1, 50.0)
    assert library.object_names == ("box",)
    assert library.object_present is not None
    assert library.object_present.tolist() == [[True], [False]]
    assert library.object_pos_w is not None and library.object_lin_vel_w is not None
    np.testing.assert_allclose(library.object_pos_w[:frames, 0], pos[:, 0], atol=1e-6)
    np.testing.assert_allclose(library.object_lin_vel_w[:frames, 0, 0], 1.0, atol=1e-4)
    assert library.object_quat_w is not None
    assert library.object_quat_w[0, 0].tolist() == [0, 1, 0, 0]
    assert library.object_quat_w[frames, 0].tolist() == [1, 0, 0, 0]
    assert library.hashes[0] != library.hashes[1]
    assert load_library([motion], g1, 50.0).object_pos_w is None


def test_clips_of_the_same_name_are_told_apart_by_their_paths(
    g1: Robot, motion: RobotMotion, tmp_path: Path
) -> None:
    for folder in ("monday/fast", "tuesday/fast", "tuesday/slow"):
        (tmp_path / folder).mkdir(parents=True)
        motion.save(tmp_path / folder / "walk.npz")
    files = [tmp_path / f"{day}/fast/walk.npz" for day in ("monday", "tuesday")]
    name = motion.name
    assert load_library([*files, motion], g1, 50.0).names == (
        "monday/fast/walk", "tuesday/fast/walk", name
    )  # fmt: skip
    slow = [tmp_path / "tuesday/fast/walk.npz", tmp_path / "tuesday/slow/walk.npz"]
    assert load_library(slow, g1, 50.0).names == ("fast/walk", "slow/walk")
    twice = [files[0], files[0], motion, motion]
    assert load_library(twice, g1, 50.0).names == ("walk", "walk #2", name, f"{name} #2")
    assert load_library(files[:1], g1, 50.0).names == (name,)
