"""Joint positions without rotations: orders are recognised, everything else is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motions import HumanMotion, InputError, read_human_motion
from motions.human.motion import REQUIRED_ROLES
from motions.human.readers import is_human_clip
from motions.human.skeletons.layouts import BY_NAME, LAYOUTS, Layout, fit, of_size
from tests.motions.people import place, walk


def _refusal(path: Path, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        read_human_motion(path, **options)
    text = str(caught.value)
    assert "\n" not in text
    return text


def _save(path: Path, **arrays: Any) -> Path:
    if path.suffix == ".npy":
        np.save(path, next(iter(arrays.values())))
    else:
        np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("layout", LAYOUTS, ids=[layout.name for layout in LAYOUTS])
def test_every_layout_is_recognised_from_its_positions(tmp_path: Path, layout: Layout) -> None:
    pos = walk(layout)
    motion = read_human_motion(_save(tmp_path / "clip.npy", pos=pos), fps=30)
    assert motion.report["layout"] == layout.name
    assert motion.quat_w is None and motion.rest_pos is None
    assert motion.report["up"] == "y" and motion.report["unit"] == 1.0
    assert set(REQUIRED_ROLES) <= set(motion.roles)
    # Left is left, and the file's z (ahead) became -y.
    assert (motion.role("left_hip")[:, 0] > motion.role("right_hip")[:, 0]).all()
    knee = layout.joint_names[motion.roles["left_knee"]]
    np.testing.assert_allclose(motion.role("left_knee")[0, 2], place(layout, knee)[1], atol=0.02)
    np.testing.assert_allclose(np.ptp(motion.role("pelvis")[:, 1]), 1.3, atol=1e-9)


def test_two_orders_of_22_are_told_apart_by_their_bones() -> None:
    for layout in of_size(22):
        pos = walk(layout)
        others = [other for other in of_size(22) if other is not layout]
        assert fit(pos, layout).problem is None and fit(pos, layout).rigidity < 1e-9
        assert all(fit(pos, o).problem or fit(pos, o).rigidity > 0.02 for o in others)


def test_the_rate_must_come_from_somewhere(tmp_path: Path) -> None:
    layout = BY_NAME["lafan22"]
    path = _save(tmp_path / "clip.npz", global_joint_positions=walk(layout))
    text = _refusal(path)
    assert "no frame rate; say it: --source-fps 30 (fps=30 in Python) (LAFAN1 has 30)" in text
    assert read_human_motion(path, fps=25).fps == 25
    stated = _save(tmp_path / "stated.npz", joints=walk(layout), fps=np.array([60.0]))
    assert read_human_motion(stated).fps == 60
    wrong = _save(tmp_path / "wrong.npz", joints=walk(layout), fps=np.array(0))
    assert "frame rate must be 1 to 1000 frames per second (found 0)" in _refusal(wrong)
    assert read_human_motion(wrong, fps=30).fps == 30


def test_unit_and_up_axis_are_detected(tmp_path: Path) -> None:
    pos = walk(BY_NAME["smpl22"])
    z_up = np.stack([pos[..., 0], -pos[..., 2], pos[..., 1]], axis=-1) * 1000
    motion = read_human_motion(_save(tmp_path / "clip.npy", pos=z_up), fps=20)
    assert motion.report["unit_name"] == "mm" and motion.report["up"] == "z"
    same = read_human_motion(_save(tmp_path / "other.npy", pos=pos), fps=20)
    np.testing.assert_allclose(motion.pos_w, same.pos_w, atol=1e-9)


def test_an_order_may_be_asked_for(tmp_path: Path) -> None:
    pos = walk(BY_NAME["smpl22"])
    noise = np.random.default_rng(0).normal(size=pos.shape)
    path = _save(tmp_path / "clip.npy", pos=pos + 0.06 * noise)
    assert "22 joints in no known order" in _refusal(path, fps=20)
    path = _save(tmp_path / "clip.npy", pos=pos + 0.004 * noise)
    assert read_human_motion(path, fps=20, layout="smpl22").report["layout"] == "smpl22"
    assert "no such joint order 'smpl23'" in _refusal(path, fps=20, layout="smpl23")
    assert "found 22 joints, expected 26" in _refusal(path, fps=20, layout="optitrack26")


def test_names_and_parents_beside_the_positions_make_any_skeleton(tmp_path: Path) -> None:
    layout = BY_NAME["lafan22"]
    order = [0, *range(9, 14), *range(1, 9), *range(14, 22)]  # the spine first
    names = [layout.joint_names[j] for j in order]
    parents = [order.index(layout.parents[j]) if layout.parents[j] >= 0 else -1 for j in order]
    arrays: dict[str, Any] = {"positions": walk(layout)[:, order], "joint_names": np.array(names)}
    path = _save(tmp_path / "clip.npz", **arrays, parents=np.array(parents), fps=30.0)
    motion = read_human_motion(path)
    assert motion.joint_names == tuple(names) and motion.parents == tuple(parents)
    wrong = _save(tmp_path / "wrong.npz", **arrays, parents=np.array(parents[::-1]), fps=30.0)
    assert "each parent must stand before its children" in _refusal(wrong)
    short = _save(tmp_path / "short.npz", **arrays, parents=np.array(parents[:-1]), fps=30.0)
    assert "found 22 names, 21 parents" in _refusal(short)


def test_rotations_beside_positions_are_used_when_they_carry_the_bones(tmp_path: Path) -> None:
    layout = BY_NAME["soma30"]
    pos = walk(layout)
    still = np.tile(pos[:1], (40, 1, 1)) + np.linspace(0, 1, 40)[:, None, None]
    eye = np.tile(np.eye(3), (40, 30, 1, 1))
    path = _save(tmp_path / "clip.npz", posed_joints=still, global_rot_mats=eye)
    motion = read_human_motion(path, fps=30)
    assert motion.quat_w is not None and motion.rest_pos is not None
    bone = motion.rest_pos[23] - motion.rest_pos[22]
    np.testing.assert_allclose(bone, motion.pos_w[0, 23] - motion.pos_w[0, 22], atol=1e-9)
    # The limbs swing, the matrices do not: they are somebody else's.
    path = _save(tmp_path / "clip.npz", posed_joints=pos, global_rot_mats=eye)
    motion = read_human_motion(path, fps=30)
    assert motion.quat_w is None
    assert "the rotations do not carry the bones" in motion.report["warnings"][0]
    path = _save(tmp_path / "clip.npz", posed_joints=still, global_rot_mats=1.1 * eye)
    assert read_human_motion(path, fps=30).quat_w is None


def _omomo_rows() -> Any:
    layout = BY_NAME["smplh52"]
    pos = np.tile(walk(layout)[:1], (10, 1, 1))
    pos = np.stack([pos[..., 0], -pos[..., 2], pos[..., 1]], axis=-1)  # z up
    pos[..., 1] -= np.linspace(0, 1, 10)[:, None]
    rows = np.zeros((10, 591))
    rows[:, 162:318] = pos.reshape(10, -1)
    quats = np.zeros((10, 52, 4))
    quats[..., 3] = 1.0  # xyzw
    rows[:, 383:] = quats.reshape(10, -1)
    return rows


def test_the_human_of_omomo_rows(tmp_path: Path) -> None:
    rows = _omomo_rows()
    motion = read_human_motion(_save(tmp_path / "clip.npy", rows=rows), fps=30)
    assert motion.report["layout"] == "smplh52" and motion.report["up"] == "z"
    assert motion.quat_w is not None
    np.testing.assert_allclose(motion.quat_w[..., 0], 1.0)
    np.testing.assert_allclose(motion.pos_w.reshape(10, -1), rows[:, 162:318])
    # Published files have broken index fingers: the body's rotations are still used.
    finger = BY_NAME["smplh52"].joint_names.index("L_Index2")
    rows[5:, 162 + 3 * finger] += 0.3
    motion = read_human_motion(_save(tmp_path / "clip.npy", rows=rows), fps=30)
    assert motion.quat_w is not None and "do not carry L_Index2" in motion.report["warnings"][0]


@pytest.mark.parametrize(
    ("keys", "tool"),
    [
        ({"joint_pos": (5, 29), "body_pos_w": (5, 30, 3)}, "BeyondMimic"),
        ({"dof_pos": (5, 29), "root_pos": (5, 3), "root_rot": (5, 4)}, "GMR"),
        ({"qpos": (5, 36)}, "retargeter"),
        ({"posed_joints": (5, 34, 3)}, "Kimodo"),
    ],
)
def test_a_robots_motion_is_no_persons(
    tmp_path: Path, keys: dict[str, tuple[int, ...]], tool: str
) -> None:
    path = _save(tmp_path / "clip.npz", **{k: np.zeros(s) for k, s in keys.items()})
    text = _refusal(path, fps=30)
    assert "motion of a robot" in text and tool in text and "mimic motions convert" in text
    assert not is_human_clip(path)


def test_only_human_clips_are_picked_up_in_folders(tmp_path: Path) -> None:
    good = _save(tmp_path / "good.npy", pos=walk(BY_NAME["lafan22"]))
    (tmp_path / "notes.txt").write_text("nothing")
    (tmp_path / "clip.json").write_text('{"Frames": [[1]]}')
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 broken")
    _save(tmp_path / "scene.npz", vertices=np.zeros((100, 3)))
    found = [p.name for p in sorted(tmp_path.iterdir()) if is_human_clip(p)]
    assert found == ["clip.json", good.name]


def test_what_is_no_clip_says_so(tmp_path: Path) -> None:
    pos = walk(BY_NAME["lafan22"])

    def refuse(name: str = "clip.npz", **arrays: Any) -> str:
        return _refusal(_save(tmp_path / name, **arrays), fps=30)

    assert "found 23 joints" in refuse(joints=np.zeros((5, 23, 3)))
    assert "soma30 (30)" in refuse(joints=np.zeros((5, 23, 3)))
    assert "at least two frames (found 1)" in refuse(joints=pos[:1])
    assert "no human motion is recognised" in refuse(vertices=np.zeros((100, 3)))
    assert "shape [40, 66], expected [frames, joints, 3]" in refuse("a.npy", a=pos.reshape(40, 66))
    assert "HumanML3D feature vectors" in refuse("a.npy", a=np.zeros((5, 263)))
    assert "at one point" in refuse(joints=np.zeros((5, 22, 3)))
    assert "must be numbers" in refuse(joints=np.full((5, 22, 3), "x"))
    spoilt = pos.copy()
    spoilt[7, 2, 1] = np.nan
    assert "found nan in frame 7, joint LeftLeg, 1 frames affected" in refuse(joints=spoilt)
    assert "must be finite" in refuse(joints=np.full_like(pos, np.inf))


def test_a_dictionary_saved_as_one_array_is_read(tmp_path: Path) -> None:
    joints = walk(BY_NAME["lafan22"])
    path = tmp_path / "clip.npy"
    np.save(path, np.array({"joints": joints, "fps": 30}, dtype=object), allow_pickle=True)
    plain = _save(tmp_path / "plain.npz", joints=joints, fps=30)
    found, expected = read_human_motion(path), read_human_motion(plain)
    np.testing.assert_array_equal(found.pos_w, expected.pos_w)
    assert found.fps == 30


def test_pickles_and_broken_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "clip.npy"
    np.save(path, np.array([Path("a")], dtype=object), allow_pickle=True)
    assert "Python objects (a pickle)" in _refusal(path, fps=30)
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert "must be numbers (found type object)" in _refusal(path, fps=30)
    path = tmp_path / "clip.npz"
    np.savez(path, results=np.array({"a": 1}, dtype=object), allow_pickle=True)
    assert "no human motion is recognised" in _refusal(path, fps=30)
    np.savez(path, results=np.array({"a": Path("a")}, dtype=object), allow_pickle=True)
    assert "Python objects (a pickle)" in _refusal(path, fps=30)
    whole = _save(tmp_path / "whole.npz", joints=walk(BY_NAME["lafan22"]))
    path.write_bytes(whole.read_bytes()[:-300])
    assert "truncated" in _refusal(path, fps=30)
    whole = _save(tmp_path / "whole.npy", joints=walk(BY_NAME["lafan22"]))
    path = tmp_path / "short.npy"
    path.write_bytes(whole.read_bytes()[:-100])
    assert "truncated" in _refusal(path, fps=30)
    path.write_bytes(b"")
    assert "file is empty" in _refusal(path, fps=30)
    assert "no such file" in _refusal(tmp_path / "none.npz", fps=30)
    path.write_bytes(b"something else")
    assert "truncated" in _refusal(path, fps=30)


def test_content_decides_not_the_name(tmp_path: Path) -> None:
    path = _save(tmp_path / "clip.npy", pos=walk(BY_NAME["lafan22"]))
    renamed = path.rename(tmp_path / "clip.dat")
    assert read_human_motion(renamed, fps=30).report["layout"] == "lafan22"


def test_resampling_and_cropping_work_without_rotations(tmp_path: Path) -> None:
    path = _save(tmp_path / "clip.npy", pos=walk(BY_NAME["optitrack26"]))
    motion: HumanMotion = read_human_motion(path, fps=30).resample(50).crop(5, 20)
    assert motion.num_frames == 15 and motion.quat_w is None


@pytest.mark.corpus
def test_lafan_positions_are_those_of_its_bvh(corpus: Path) -> None:
    bvh = corpus / "lafan1_bvh" / "dance.bvh"
    if not bvh.exists():
        pytest.skip(f"no {bvh}")
    rotations = read_human_motion(bvh)
    path = corpus / "lafan1_joints" / "dance1_subject1.npy"
    positions = read_human_motion(path, fps=30)
    assert positions.joint_names == rotations.joint_names
    frames = min(rotations.num_frames, positions.num_frames)
    np.testing.assert_allclose(positions.pos_w[:frames], rotations.pos_w[:frames], atol=1e-6)


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("pattern", "layout", "up"),
    [
        ("lafan1_joints/*.npy", "lafan22", "y"),
        ("smpl_joints/*.npy", "smpl22", "y"),
        ("optitrack_joints/*.npz", "optitrack26", "z"),
        ("hoi_climb_terrain/*.npy", "mocap53", "z"),
        ("g1_kimodo_npz/kimodo-soma*.npz", "soma30", "y"),
        ("hoi_omomo_smplx/*.npy", "smplh52", "z"),
    ],
)
def test_real_arrays(corpus: Path, pattern: str, layout: str, up: str) -> None:
    clips = sorted(corpus.glob(pattern))
    if not clips:
        pytest.skip(f"no {pattern}")
    for path in clips:
        motion = read_human_motion(path, fps=30)
        assert motion.report["layout"] == layout, path
        assert motion.report["up"] == up and motion.report["unit"] == 1.0, path
        assert motion.report["handedness"] > 0.6, path
        assert 1.4 < motion.height < 2.0, path
        assert (motion.quat_w is not None) == (layout in ("soma30", "smplh52")), path
