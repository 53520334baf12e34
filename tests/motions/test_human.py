"""The canonical human clip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from motions import HumanMotion, InputError, read_human_motion

MakeBvh = Callable[..., Path]


@pytest.fixture
def walk(make_bvh: MakeBvh) -> HumanMotion:
    return read_human_motion(make_bvh())


@pytest.mark.parametrize("fps", [50, 60, 25, 120, 29.97])
def test_resampling_keeps_ends_and_bone_lengths(walk: HumanMotion, fps: float) -> None:
    other = walk.resample(fps)
    assert other.fps == fps
    assert other.num_frames == int(np.ceil(round(walk.duration * fps, 6))) + 1
    assert other.quat_w is not None and walk.quat_w is not None
    np.testing.assert_allclose(other.pos_w[[0, -1]], walk.pos_w[[0, -1]], atol=1e-9)
    np.testing.assert_allclose(np.abs(np.sum(other.quat_w[-1] * walk.quat_w[-1], -1)), 1)
    thigh = np.linalg.norm(other.role("left_hip") - other.role("left_knee"), axis=1)
    np.testing.assert_allclose(thigh, 0.43, atol=1e-9)


def test_resampling_there_and_back(walk: HumanMotion) -> None:
    back = walk.resample(120).resample(30)
    np.testing.assert_allclose(back.pos_w, walk.pos_w, atol=1e-9)


def test_positions_only_clips_resample_too(walk: HumanMotion) -> None:
    bare = replace(walk, quat_w=None, rest_pos=None)
    np.testing.assert_allclose(bare.resample(60).pos_w[::2], walk.pos_w, atol=1e-12)


def test_crop_and_views(walk: HumanMotion) -> None:
    part = walk.crop(5, 15)
    assert part.num_frames == 10 and part.duration == pytest.approx(0.3)
    np.testing.assert_array_equal(part.role("pelvis"), walk.role("pelvis")[5:15])
    with pytest.raises(InputError, match="no joint for 'tail'"):
        walk.role("tail")
    with pytest.raises(InputError, match="at least two frames"):
        walk.crop(39, 80)


def test_inconsistent_clips_are_refused(walk: HumanMotion) -> None:
    with pytest.raises(InputError, match="pos_w has the wrong shape"):
        replace(walk, pos_w=walk.pos_w[:, :-1])
    with pytest.raises(InputError, match="not finite"):
        replace(walk, pos_w=np.full_like(walk.pos_w, np.nan))
    with pytest.raises(InputError, match="parent must stand before"):
        replace(walk, parents=walk.parents[::-1])
    with pytest.raises(InputError, match="right_knee.*--skeleton-map right_knee=NAME"):
        replace(walk, roles={r: j for r, j in walk.roles.items() if r != "right_knee"})
    with pytest.raises(InputError, match="fps.*1 to 1000"):
        replace(walk, fps=0)
