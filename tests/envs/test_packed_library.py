"""Training reads the frames of a pack where they lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mimic.envs.motion_library import find_motion_files, load_library
from mimic.envs.sampling import SamplingConfig, StartSampler
from mimic.tasks import make_env
from mimic_base.errors import MimicError
from mimic_base.frame_fields import FRAME_FIELDS
from motions.robot.packing import write_pack
from robots import Robot
from tests.envs.conftest import sway


@pytest.fixture
def folder(tiny: Robot, tmp_path: Path) -> Path:
    for number, seconds in enumerate((1.0, 2.5, 1.7)):
        motion = sway(tiny, seconds=seconds, name=f"sway{number}")
        motion.save(tmp_path / "clips" / f"{number}.npz")
    return tmp_path / "clips"


@pytest.fixture
def packed(folder: Path, tiny: Robot, tmp_path: Path) -> Path:
    write_pack(find_motion_files([folder]), tmp_path / "set.pack", tiny)
    return tmp_path / "set.pack"


def test_a_pack_and_its_folder_are_the_same_library(
    folder: Path, packed: Path, tiny: Robot
) -> None:
    ours, plain = (load_library(find_motion_files([p]), tiny, 50.0) for p in (packed, folder))
    assert ours.mapped and not plain.mapped
    assert ours.hashes == plain.hashes and ours.num_frames == plain.num_frames
    rows = torch.arange(plain.num_frames)
    for name in FRAME_FIELDS:
        torch.testing.assert_close(getattr(ours, name), getattr(plain, name), rtol=0, atol=0)
        torch.testing.assert_close(ours.gather(rows)[name], plain.gather(rows)[name])
    torch.testing.assert_close(ours.joint_command(rows), plain.joint_command(rows))


def test_some_clips_of_a_pack_in_any_order(packed: Path, tiny: Robot) -> None:
    clips = find_motion_files([packed])
    library = load_library([clips[2], clips[0]], tiny, 50.0)
    plain = [clips[2].load(), clips[0].load()]
    assert library.num_frames == sum(motion.num_frames for motion in plain)
    for index, motion in enumerate(plain):
        row = int(library.start[index]) + motion.num_frames - 1
        np.testing.assert_allclose(library.joint_pos[row], motion.joint_pos[-1], atol=1e-7)
    sampler = StartSampler(SamplingConfig(), library, torch.Generator().manual_seed(0))
    assert int(sampler.frames_of_bin.sum()) == library.num_frames
    counted = torch.bincount(sampler.bin_of_row, minlength=sampler.num_bins)
    torch.testing.assert_close(counted, sampler.frames_of_bin)
    clip, frame = sampler.draw(200)
    assert bool((frame < library.length[clip] - 1).all())
    bins = sampler.bin_of(library.start[clip] + frame)
    torch.testing.assert_close(sampler.clip_of_bin[bins], clip)


def test_another_rate_is_read_and_resampled(packed: Path, tiny: Robot) -> None:
    library = load_library(find_motion_files([packed]), tiny, 25.0)
    assert not library.mapped and library.fps == 25
    assert library.num_frames < load_library(find_motion_files([packed]), tiny, 50.0).num_frames


def test_another_robot_is_refused(packed: Path, g1: Robot) -> None:
    with pytest.raises(MimicError, match="pack is of robot 'tiny'"):
        load_library(find_motion_files([packed]), g1, 50.0)


def test_an_environment_runs_on_a_pack(packed: Path, folder: Path, tiny: Robot) -> None:
    found = []
    for motions in (packed, folder):
        env = make_env("tracking", [motions], num_envs=4, robot=tiny, seed=3, threads=1)
        env.reset()
        for _ in range(5):
            obs, reward, *_ = env.step(torch.zeros(4, tiny.num_joints))
        found.append((obs["actor"], reward))
    torch.testing.assert_close(found[0], found[1])


def test_times_between_frames_are_interpolated(packed: Path, tiny: Robot) -> None:
    library = load_library(find_motion_files([packed]), tiny, 50.0)
    clip = torch.tensor([0, 1, 2, 1])
    times = torch.tensor([0.0, 0.513, 100.0, -1.0])
    found = library.at(clip, times, [0.0, 0.1, 0.25])
    assert found["body_quat_w"].shape == (4, 3, len(tiny.key_bodies), 4)
    for row, (index, begin) in enumerate(zip(clip.tolist(), times.tolist(), strict=True)):
        motion = find_motion_files([packed])[index].load()
        for column, offset in enumerate((0.0, 0.1, 0.25)):
            place = np.clip((begin + offset) * 50, 0, motion.num_frames - 1)
            low = min(int(place), motion.num_frames - 2)
            share = place - low
            expected = (1 - share) * motion.joint_pos[low] + share * motion.joint_pos[low + 1]
            np.testing.assert_allclose(found["joint_pos"][row, column], expected, atol=1e-5)
            between = (1 - share) * motion.body_quat_w[low] + share * motion.body_quat_w[low + 1]
            between /= np.linalg.norm(between, axis=-1, keepdims=True)
            np.testing.assert_allclose(found["body_quat_w"][row, column], between, atol=1e-5)
