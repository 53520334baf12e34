"""SMPL-family parameters: forward kinematics, body shapes, the nesting of several tools."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motions import InputError, read_human_motion
from motions.human.motion import body_height
from motions.human.readers import smpl_body
from motions.human.readers.smpl_body import mean_skeleton, rest_body
from motions.human.skeletons.layouts import SMPL_BODY, SMPL_BODY_PARENTS

FRAMES = 12


@pytest.fixture(autouse=True)
def no_body_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine with neither licensed models nor the stand-in."""
    monkeypatch.delenv(smpl_body.MODELS_VARIABLE, raising=False)
    monkeypatch.setattr(smpl_body, "_mannequin", lambda model, betas: None)


def _poses(width: int = 156) -> Any:
    """The root upright in a z-up world, the left knee bent by 90 degrees."""
    poses = np.zeros((FRAMES, width))
    poses[:, 0] = np.pi / 2
    poses[:, 3 * SMPL_BODY.index("left_knee")] = np.pi / 2
    return poses


def _trans() -> Any:
    trans = np.zeros((FRAMES, 3))
    trans[:, 1] = -np.linspace(0, 0.5, FRAMES)  # ahead: y up z ahead became z up -y ahead
    trans[:, 2] = 0.95
    return trans


def _amass(path: Path, **changes: Any) -> Path:
    arrays: dict[str, Any] = {
        "poses": _poses(),
        "trans": _trans(),
        "betas": np.zeros(16),
        "mocap_framerate": np.array(60.0),
        "gender": np.array("male"),
    }
    arrays.update(changes)
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
    return path


def _refusal(path: Path, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        read_human_motion(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_amass_is_placed_by_forward_kinematics(tmp_path: Path) -> None:
    motion = read_human_motion(_amass(tmp_path / "clip.npz"))
    assert motion.fps == 60 and motion.joint_names == SMPL_BODY
    assert motion.report["body_model"] == "SMPL-H" and motion.report["up"] == "z"
    assert motion.report["body_shape"] == "mean skeleton"
    assert "a mean skeleton stands in" in motion.report["warnings"][0]
    np.testing.assert_allclose(motion.role("pelvis"), _trans(), atol=1e-12)
    shin = motion.role("left_ankle") - motion.role("left_knee")
    # Bent by 90 degrees the shank points back: the person looks along -y.
    assert (shin[:, 1] > 0.35).all() and (np.abs(shin[:, 2]) < 0.1).all()
    straight = motion.role("right_ankle") - motion.role("right_knee")
    assert (straight[:, 2] < -0.35).all()
    assert (motion.role("left_hip")[:, 0] > motion.role("right_hip")[:, 0]).all()
    assert motion.rest_pos is not None and motion.quat_w is not None
    head = SMPL_BODY.index("head")
    assert motion.rest_pos[head, 2] > 0.5  # the rest pose stands, in a z-up world


def test_stage_two_files_say_their_model(tmp_path: Path) -> None:
    path = tmp_path / "clip.npz"
    poses = _poses()
    np.savez(
        path,
        root_orient=poses[:, :3],
        pose_body=poses[:, 3:66],
        trans=_trans(),
        betas=np.zeros(16),
        surface_model_type=np.array("smplx"),
        mocap_frame_rate=np.array(120.0),
    )
    motion = read_human_motion(path)
    assert motion.report["body_model"] == "SMPL-X" and motion.fps == 120
    same = read_human_motion(_amass(tmp_path / "same.npz"))
    np.testing.assert_allclose(motion.pos_w, same.pos_w, atol=1e-12)


def test_bones_are_those_of_the_licensed_model(tmp_path: Path) -> None:
    """A model of 22 vertices, each its own joint; the first coefficient makes it taller."""
    joints = mean_skeleton()
    folder = tmp_path / "models" / "smplh" / "male"
    folder.mkdir(parents=True)
    directions = np.zeros((22, 3, 4))
    directions[:, :, 0] = 0.1 * joints
    arrays: dict[str, Any] = {
        "v_template": joints,
        "shapedirs": directions,
        "J_regressor": np.eye(22),
    }
    np.savez(folder / "model.npz", **arrays)
    betas = np.array([2.0] + 15 * [0.0])
    path = _amass(tmp_path / "clip.npz", betas=betas)
    motion = read_human_motion(path, body_models=tmp_path / "models")
    mean = read_human_motion(path)
    assert motion.height == pytest.approx(1.2 * mean.height)
    assert motion.report["body_shape"] == "SMPL-H male, 4 shape coefficients (model.npz)"
    text = _refusal(_amass(tmp_path / "her.npz", gender="female"), body_models=tmp_path / "models")
    assert "no SMPL-H body model (female) in this folder" in text and "smplh/female" in text
    np.savez(folder / "model.npz", **{**arrays, "J_regressor": np.eye(21)})
    assert "do not fit together" in _refusal(path, body_models=tmp_path / "models")
    (folder / "model.npz").write_bytes(b"PK\x03\x04")
    assert "not a readable body model" in _refusal(path, body_models=tmp_path / "models")


def test_a_height_scales_the_skeleton() -> None:
    roles = {n.replace("foot", "toe"): i for i, n in enumerate(SMPL_BODY)}
    body = rest_body("smpl", "neutral", np.zeros(10), height=1.55)
    assert body_height(body.joints[None], roles) == pytest.approx(1.55)
    assert "scaled to 1.55 m" in body.source
    with pytest.raises(InputError, match="height must be a person's"):
        rest_body("smpl", "neutral", np.zeros(10), height=155.0)


def test_the_mean_skeleton_is_a_person() -> None:
    joints = mean_skeleton()
    roles = {n.replace("foot", "toe"): i for i, n in enumerate(SMPL_BODY)}
    assert 1.5 < body_height(joints[None], roles) < 1.85
    left = [i for i, n in enumerate(SMPL_BODY) if n.startswith("left")]
    right = [SMPL_BODY.index(SMPL_BODY[i].replace("left", "right")) for i in left]
    np.testing.assert_allclose(joints[left], joints[right] * [-1, 1, 1])
    assert len(SMPL_BODY_PARENTS) == len(joints) == 22


def _gvhmr() -> dict[str, Any]:
    camera = {"body_pose": np.zeros((FRAMES, 63)), "global_orient": np.zeros((FRAMES, 3))}
    camera["transl"] = np.zeros((FRAMES, 3))
    world = {
        "body_pose": _poses()[:, 3:66],
        "global_orient": _poses()[:, :3],
        "transl": _trans(),
        "betas": np.zeros((FRAMES, 10)),
    }
    return {"smpl_params_incam": camera, "smpl_params_global": world}


def _wham() -> dict[Any, Any]:
    person = {"pose_world": _poses(72), "trans_world": _trans(), "betas": np.zeros((FRAMES, 10))}
    short = {k: v[:4] for k, v in person.items()}
    return {0: short, 3: person}


def _glamr() -> dict[str, Any]:
    poses = _poses(72)
    person = {
        "smpl_pose": poses[:, 3:],
        "smpl_orient_world": poses[:, :3],
        "root_trans_world": _trans(),
        "smpl_beta": np.linspace(0, 1, FRAMES)[:, None] * np.ones(10),
    }
    return {"seq_name": "x", "person_data": {0: person}}


@pytest.mark.parametrize(
    ("content", "tool", "person"),
    [
        (_gvhmr(), "SMPL parameters", "smpl_params_global"),
        (_wham(), "WHAM (world)", "3"),
        (_glamr(), "GLAMR (world)", "person_data/0"),
    ],
    ids=["gvhmr", "wham", "glamr"],
)
def test_video_estimates_in_the_world(tmp_path: Path, content: Any, tool: str, person: str) -> None:
    path = tmp_path / "clip.pkl"
    path.write_bytes(pickle.dumps(content))
    assert "no frame rate" in _refusal(path)
    motion = read_human_motion(path, fps=30)
    assert motion.report["tool"] == tool and motion.report["person"] == person
    assert motion.num_frames == FRAMES
    np.testing.assert_allclose(motion.role("pelvis"), _trans(), atol=1e-12)
    assert any("persons" in w for w in motion.report["warnings"]) == (person == "3")
    assert any("median" in w for w in motion.report["warnings"]) == (tool == "GLAMR (world)")


def test_mannequin_x_gives_the_shape_of_smplx_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mannequin")
    monkeypatch.undo()
    monkeypatch.delenv(smpl_body.MODELS_VARIABLE, raising=False)
    zero, tall = np.zeros(10), np.array([3.0] + 9 * [0.0])
    mean, big = rest_body("smplx", "neutral", zero), rest_body("smplx", "neutral", tall)
    assert np.ptp(big.joints[:, 1]) != pytest.approx(np.ptp(mean.joints[:, 1]), rel=0.02)
    other = rest_body("smplh", "male", tall)
    np.testing.assert_allclose(other.joints, mean.joints)
    assert "not SMPL-X's" in other.warnings[0]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"poses": np.zeros((FRAMES, 60))}, r"poses has the wrong shape .found \[12, 60\]"),
        ({"poses": np.zeros((5, 156))}, r"found \[5, 156\], expected \[12, 66 or 72"),
        ({"poses": np.zeros((FRAMES, 100))}, r"found \[12, 100\], expected \[frames, 66 or 72"),
        ({"poses": np.zeros((156, FRAMES))}, r"found \[156, 12\].*; transpose it"),
        ({"poses": np.zeros((FRAMES, 24, 6))}, r"found \[12, 24, 6\]"),  # 6D rotations
        (
            {"poses": 90.0 * np.eye(FRAMES, 156)},
            "turn by 90 in frame 0.*convert degrees to radians",
        ),
        ({"poses": np.zeros((FRAMES, 24, 3, 3))}, "every matrix of poses must be a rotation"),
        ({"poses": np.zeros((0, 156)), "trans": np.zeros((0, 3))}, "trans is empty"),
        ({"mocap_framerate": np.array("fast")}, "the file has no frame rate"),
        ({"trans": np.zeros(FRAMES)}, r"trans has the wrong shape .found \[12\]"),
        ({"poses": np.full((FRAMES, 156), np.nan)}, "every number of poses must be finite"),
        ({"trans": np.full((FRAMES, 3), np.inf)}, "every number of trans must be finite"),
        ({"mocap_framerate": np.array(0.0)}, "frame rate must be 1 to 1000"),
        ({"mocap_framerate": None}, "AMASS states it"),
        ({"betas": np.array(["a"])}, "betas must be numbers"),
    ],
)
def test_bad_parameters(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        read_human_motion(_amass(tmp_path / "clip.npz", **changes))


def test_one_frame_is_no_clip(tmp_path: Path) -> None:
    path = _amass(tmp_path / "clip.npz", poses=np.zeros((1, 156)), trans=np.zeros((1, 3)))
    assert "at least two frames (found 1)" in _refusal(path)


@pytest.mark.corpus
def test_a_real_video_estimate(corpus: Path) -> None:
    path = corpus / "video_pose" / "glamr_running_seed1.pkl"
    motion = read_human_motion(path, fps=30)
    assert motion.num_frames == 203 and motion.report["up"] == "z"
    assert motion.report["handedness"] > 0.9
    # A runner covers metres, feet near the ground.
    assert np.linalg.norm(np.ptp(motion.role("pelvis"), axis=0)) > 10
    assert -0.2 < np.median(motion.pos_w[..., 2].min(axis=1)) < 0.3
