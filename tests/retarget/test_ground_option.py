"""Grounds from the command line: in single clips, in batches, in the motion files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mimic_base.errors import InputError
from motions import HumanMotion, RobotMotion
from motions.human.writers import write_bvh
from motions.robot.quality.ground import sole_heights
from motions.robot.terrain import ground_of
from motions.robot.terrain_files import read_terrain
from retarget.batch import read_manifest
from retarget.batch.record import job_key
from retarget.batch.work import Work
from retarget.command.cli import main
from robots.robot import Robot

STAIR = "steps:rise=0.12,tread=0.6,count=1,landing=9,start=1.0"


@pytest.fixture(scope="module")
def clip(walk: HumanMotion, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "walk.bvh"
    write_bvh(walk, path)
    return path


def test_the_result_stands_on_the_ground_it_carries(
    clip: Path, g1: Robot, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(clip), "--ground", STAIR, "--out", str(tmp_path / "up.npz")]) == 0
    capsys.readouterr()
    motion = RobotMotion.load(tmp_path / "up.npz")
    assert motion.scene["terrain"] == read_terrain(STAIR)
    ground = ground_of(motion.scene)
    heights = sole_heights(g1, motion.body_pos_w, motion.body_quat_w, ground)
    standing = motion.contact > 0.999
    assert standing.sum() > 30 and np.abs(heights[standing]).mean() < 0.01
    assert motion.root_pos[-1, 2] - motion.root_pos[0, 2] == pytest.approx(0.12, abs=0.03)
    assert motion.quality["any_geom_ground_pen"]["max_m"] < 0.01


def test_an_unknown_ground_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such ground"):
        main(["gone.bvh", "--ground", "hill", "--out", str(tmp_path)])


def test_a_manifest_gives_each_clip_its_ground(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "box.json").write_text(json.dumps(read_terrain("steps:0.1,0.3,2")))
    lines = [
        {"clip": str(clip), "name": "a", "ground": "box.json"},
        {"clip": str(clip), "name": "b", "source_ground": "slope:3"},
        {"clip": str(clip), "name": "c"},
    ]
    manifest = tmp_path / "clips.jsonl"
    manifest.write_text("\n".join(json.dumps(line) for line in lines))
    jobs = read_manifest(manifest)
    assert [job.ground is None for job in jobs] == [False, True, True]
    assert jobs[0].ground == read_terrain("steps:0.1,0.3,2")
    assert jobs[1].source_ground == read_terrain("slope:3")
    keys = {job_key(replace(job, name="same"), "configuration") for job in jobs}
    assert len(keys) == 3
    for bad, told in (("hill", "no such ground"), (5, "a ground is a text")):
        manifest.write_text(json.dumps({"clip": str(clip), "ground": bad}))
        with pytest.raises(InputError, match=told):
            read_manifest(manifest)


def test_the_key_of_a_batch_sees_its_ground() -> None:
    terrains = [None, read_terrain("slope:3"), read_terrain("slope:4")]
    keys = {Work("g1", "hash", ground=each).configuration for each in terrains}
    keys |= {Work("g1", "hash", source_ground=each).configuration for each in terrains}
    assert len(keys) == 5
