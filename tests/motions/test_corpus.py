"""Real clips, where they are present (see the `corpus` fixture)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from motions import HumanMotion, InputError, read_human_motion
from motions.human.readers.detect import forward_of

pytestmark = pytest.mark.corpus

FOLDERS = {
    "lafan1_bvh": "*.bvh",
    "cmu_bvh_from_amc": "0*.bvh",
    "cmu_bvh_cgspeed": "*.bvh",
    "cmu_amp_bvh": "*.bvh",
    "cmu_asf_amc": "0[27]*.amc",
    "bandai_namco": "*.bvh",
    "deepmimic": "humanoid*.txt",
    "misc_bvh": "*.bvh",
}
UNIT = {
    "cmu_bvh_cgspeed": 0.0254 / 0.45,
    "cmu_asf_amc": 0.0254 / 0.45,
    "deepmimic": 1.0,
}
LYING = ("crawl", "getup")


def _clips(corpus: Path, folder: str) -> list[Path]:
    clips = sorted((corpus / folder).glob(FOLDERS[folder]))
    if not clips:
        pytest.skip(f"no clips in {corpus / folder}")
    return clips


@pytest.mark.parametrize("folder", FOLDERS)
def test_clips_read_without_an_option(corpus: Path, folder: str) -> None:
    for path in _clips(corpus, folder):
        motion = read_human_motion(path)
        where = path.name
        unit = 0.01 if "mocapnet" in where else UNIT.get(folder, 0.01)
        assert motion.report["unit"] == pytest.approx(unit), where
        assert motion.report["up"] == "y", where
        assert 1.4 < motion.height < 1.9, where
        assert not any("swapped" in w for w in motion.report["warnings"]), where
        assert motion.report["handedness"] > 0.6, where
        _check_pose(motion, where)


def _check_pose(motion: HumanMotion, where: str) -> None:
    front = forward_of(motion.pos_w, motion.roles)
    up = motion.role("left_shoulder") + motion.role("right_shoulder")
    up = up - motion.role("left_hip") - motion.role("right_hip")
    left = np.cross(up, front)
    hips = motion.role("left_hip") - motion.role("right_hip")
    assert np.median(np.sum(left * hips, axis=1)) > 0, where
    if not any(word in where for word in LYING):
        assert np.median(up[:, 2]) > 0.5, where  # shoulders over hips, summed over both sides
    # Nobody floats or is buried: the lowest joint of the clip is near the ground.
    assert -0.15 < np.median(motion.pos_w[..., 2].min(axis=1)) < 0.5, where


@pytest.mark.parametrize("clip", ["walk", "dance", "jumps"])
def test_lafan_positions_equal_the_reference(corpus: Path, clip: str) -> None:
    reference = corpus.parent / "bench" / "source" / f"lafan_{clip}.npz"
    if not reference.exists():
        pytest.skip(f"no reference positions at {reference}")
    motion = read_human_motion(corpus / "lafan1_bvh" / f"{clip}.bvh")
    with np.load(reference) as data:
        order = [motion.joint_names.index(str(n)) for n in data["joint_names"]]
        # Single precision in the reference; positions reach 6 m.
        np.testing.assert_allclose(motion.pos_w[:, order], data["pos"], atol=5e-7)
        assert motion.fps == float(data["fps"])


@pytest.mark.parametrize("trial", ["02_01", "02_04", "07_02", "16_11"])
def test_amc_equals_its_bvh_conversion(corpus: Path, trial: str) -> None:
    amc = read_human_motion(corpus / "cmu_asf_amc" / f"{trial}.amc")
    bvh = read_human_motion(corpus / "cmu_bvh_from_amc" / f"{trial}.bvh")
    order = [amc.joint_names.index(n) for n in bvh.joint_names]
    np.testing.assert_allclose(amc.pos_w[::2, order], bvh.pos_w, atol=1e-4)


def test_first_frames_that_do_not_belong(corpus: Path) -> None:
    expected = {
        "cmu_bvh_cgspeed/cmu_12_01_walk.bvh": 1,
        "cmu_bvh_cgspeed/05_20-mb.bvh": 1,
        "cmu_bvh_cgspeed/05_01_mocapnet.bvh": 4,
        "misc_bvh/A_test.bvh": 1,
        "lafan1_bvh/walk.bvh": 0,
    }
    found = {p: read_human_motion(corpus / p).report["dropped_frames"] for p in expected}
    assert found == expected


def test_lost_thorax_bone_is_warned_of(corpus: Path) -> None:
    lost = read_human_motion(corpus / "cmu_bvh_cgspeed" / "cmu_12_01_walk.bvh")
    assert "lost the thorax bone" in " ".join(lost.report["warnings"])
    whole = read_human_motion(corpus / "cmu_bvh_from_amc" / "02_01.bvh")
    assert whole.report["warnings"] == []


def test_dogs_are_refused(corpus: Path) -> None:
    for path in sorted((corpus / "deepmimic").glob("dog*.txt")):
        with pytest.raises(InputError, match="the dog"):
            read_human_motion(path)
