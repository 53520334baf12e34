"""Video landmarks: jitter out, bones constant, the way over the ground put back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mimic_base.rotations import quat_exp, quat_rotate
from motions import InputError, read_human_motion
from motions.human.readers.footing import fixed_bones, walk_on_ground

FPS = 30.0
# Landmark index to a place on a standing person, m: x left, y up, z ahead; left ones, mirrored for
# the next index.
_LEFT = {
    7: (0.07, 1.62, 0.0), 11: (0.18, 1.43, 0.0), 13: (0.22, 1.15, -0.03), 15: (0.24, 0.9, 0.05),
    17: (0.24, 0.83, 0.06), 19: (0.24, 0.82, 0.08), 21: (0.22, 0.85, 0.09), 23: (0.09, 0.9, 0.0),
    25: (0.09, 0.48, 0.03), 27: (0.09, 0.08, -0.02), 29: (0.09, 0.02, -0.06),
    31: (0.09, 0.02, 0.14),
}  # fmt: skip
_LEGS = (25, 26, 27, 28, 29, 30, 31, 32)


def _walk(frames: int = 90, noise: float = 0.0) -> tuple[Any, Any]:
    """World landmarks [T, 33, 3] as MediaPipe gives them, and the true path of the hips [T, 3].

    The legs are sticks about the hips; the hips move so that the lower foot stands still, and the
    result is shown around the hips with y down, as a camera in front of the person sees it.
    """
    rest = np.zeros((33, 3))
    rest[:11] = (0.0, 1.6, 0.1)
    for index, spot in _LEFT.items():
        rest[index], rest[index + 1] = spot, np.array(spot) * [-1, 1, 1]
    time = np.arange(frames) / FPS
    swing = 0.35 * np.sin(2 * np.pi * 0.8 * time)
    pos = np.tile(rest, (frames, 1, 1))
    for index in _LEGS:
        hip = rest[23 if index % 2 else 24]
        turn = quat_exp(np.stack([(1 if index % 2 else -1) * swing, 0 * swing, 0 * swing], axis=1))
        pos[:, index] = hip + quat_rotate(turn, rest[index] - hip)
    pos -= rest[[23, 24]].mean(axis=0)
    pos += noise * np.random.default_rng(0).normal(size=pos.shape)
    return pos * [1, -1, -1], rest[23, 1]


def _save(path: Path, points: Any, **more: Any) -> Path:
    np.savez(path, world_landmarks=points, fps=FPS, **more)
    return path


def _refusal(path: Path, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        read_human_motion(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_roles_sides_and_ground(tmp_path: Path) -> None:
    points, hip_height = _walk()
    motion = read_human_motion(_save(tmp_path / "clip.npz", points))
    assert motion.report["skeleton"] == "BlazePose" and motion.quat_w is None
    assert motion.report["handedness"] > 0.8
    assert motion.report["jitter_filter"] == "zero-phase Butterworth, 5 Hz"
    assert (motion.role("left_hip")[:, 0] > motion.role("right_hip")[:, 0]).all()
    np.testing.assert_allclose(motion.pos_w[..., 2].min(axis=1), 0.0, atol=0.01)
    assert motion.role("pelvis")[:, 2].mean() == pytest.approx(hip_height, abs=0.06)
    assert {"left_toe", "right_hand", "head", "chest"} <= set(motion.roles)


def test_a_standing_foot_stays_while_the_body_moves_over_it() -> None:
    """One leg turning about its foot: the hips must travel, the foot must not."""
    time = np.arange(60) / FPS
    angle = np.linspace(-0.4, 0.4, 60)
    pos = np.zeros((60, 3, 3))
    pos[:, 1] = np.stack([0 * angle, -0.9 * np.cos(angle), 0.9 * np.sin(angle)], axis=1)
    pos[:, 2] = (0.0, 0.6, 0.0)
    placed = walk_on_ground(pos, FPS)
    assert np.ptp(placed[5:-5, 1, 2]) < 0.01
    travelled = placed[-6, 0, 2] - placed[5, 0, 2]
    expected = -0.9 * (np.sin(angle[-6]) - np.sin(angle[5]))
    assert travelled == pytest.approx(expected, abs=0.01)
    np.testing.assert_allclose(placed[5:-5, :, 1].min(axis=1), 0.0, atol=2e-3)
    assert time[-1] > 1


def test_jitter_is_filtered_and_bones_keep_their_length(tmp_path: Path) -> None:
    clean = read_human_motion(_save(tmp_path / "clean.npz", _walk()[0]))
    noisy = read_human_motion(_save(tmp_path / "noisy.npz", _walk(noise=0.01)[0]))

    def jerk(motion: Any) -> float:
        around = motion.pos_w - motion.role("pelvis")[:, None]
        return float(np.abs(np.diff(around, n=3, axis=0)).mean()) * FPS**3

    raw = np.abs(np.diff(_walk(noise=0.01)[0], n=3, axis=0)).mean() * FPS**3
    assert jerk(noisy) < 0.1 * raw
    shin = np.linalg.norm(noisy.role("left_knee") - noisy.role("left_ankle"), axis=1)
    assert np.ptp(shin) < 1e-9
    other = np.linalg.norm(noisy.role("right_knee") - noisy.role("right_ankle"), axis=1)
    np.testing.assert_allclose(shin, other)
    assert abs(noisy.height - clean.height) < 0.05


def test_bones_are_the_mean_of_both_sides() -> None:
    pos = np.zeros((3, 3, 3))
    pos[:, 1, 0], pos[:, 2, 0] = 1.0, -1.2
    fixed = fixed_bones(pos, (-1, 0, 0), ("pelvis", "left_hip", "right_hip"))
    np.testing.assert_allclose(fixed[:, 1, 0], 1.1)
    np.testing.assert_allclose(fixed[:, 2, 0], -1.1)


def test_gaps(tmp_path: Path) -> None:
    points, _ = _walk()
    seen = np.ones(90, bool)
    seen[10:14] = False
    spoilt = points.copy()
    spoilt[10:14] = np.nan
    whole = read_human_motion(_save(tmp_path / "whole.npz", points))
    motion = read_human_motion(_save(tmp_path / "gap.npz", spoilt, detected=seen))
    assert motion.num_frames == 90 and motion.report["filled_frames"] == 4
    np.testing.assert_allclose(motion.pos_w, whole.pos_w, atol=0.05)
    seen[10:40] = False
    motion = read_human_motion(_save(tmp_path / "long.npz", points, detected=seen))
    assert motion.num_frames == 50
    assert "frames 40 to 89 of 90 are read" in motion.report["warnings"][0]
    assert "nobody is seen" in _refusal(
        _save(tmp_path / "none.npz", points, detected=np.zeros(90, bool))
    )


def test_height_and_hidden_limbs(tmp_path: Path) -> None:
    visibility = np.ones((90, 33))
    visibility[:, 14] = 0.2
    path = _save(tmp_path / "clip.npz", _walk()[0], visibility=visibility)
    motion = read_human_motion(path, height=1.8)
    assert motion.height == pytest.approx(1.8, abs=1e-6)
    assert "guessed: right elbow" in motion.report["warnings"][0]


def test_bare_landmarks_need_a_rate(tmp_path: Path) -> None:
    path = tmp_path / "clip.npy"
    np.save(path, _walk()[0])
    assert "no frame rate" in _refusal(path) and "the video's rate" in _refusal(path)
    assert read_human_motion(path, fps=30).report["format"] == "BlazePose world landmarks"
    np.save(path, _walk()[0][:1])
    assert "found 1 of 1 frames" in _refusal(path, fps=30)
    _save(tmp_path / "flat.npz", np.zeros((5, 32, 3)))
    assert "found shape [5, 32, 3]" in _refusal(tmp_path / "flat.npz")


@pytest.mark.corpus
def test_a_real_video(corpus: Path) -> None:
    path = corpus / "video_pose" / "dme_27_Tennage_Hooligan_mediapipe.npz"
    motion = read_human_motion(path)
    assert motion.report["handedness"] > 0.9 and 1.4 < motion.height < 1.9
    way = motion.role("pelvis")[-1] - motion.role("pelvis")[0]
    facing = np.radians(motion.report["facing_deg"])
    # Walking at a person's pace, where the person looks.
    assert 1.5 < np.linalg.norm(way[:2]) < 6.0
    assert way[0] * np.cos(facing) + way[1] * np.sin(facing) > 0.8 * np.linalg.norm(way[:2])
