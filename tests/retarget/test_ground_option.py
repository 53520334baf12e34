"""Grounds from the command line: in single clips, in batches, in the motion files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from mimic_base.errors import InputError
from motions import HumanMotion, RobotMotion, read_human_motion
from motions.human.writers import write_bvh
from motions.robot.quality.ground import sole_heights
from motions.robot.terrain import ground_of
from motions.robot.terrain_files import read_terrain
from retarget import retarget
from retarget.batch import read_manifest
from retarget.batch.record import job_key
from retarget.batch.work import Work
from retarget.command.cli import main
from retarget.person.calibration import calibrate
from retarget.person.scaling import leg_scale
from robots.frames import robot_frames
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


def test_a_person_on_a_ramp_is_a_robot_on_its_own(
    walk: HumanMotion, g1: Robot, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole person is lifted with the ground below the hips; the robot's ramp is smaller."""
    spec = "ramp:angle=7,height=0.3,start=-0.2,landing=3"
    ramp = ground_of({"terrain": read_terrain(spec)})
    hips, pos = walk.role("pelvis"), walk.pos_w.copy()
    pos -= [hips[0, 0], 0.0, 0.0]
    lift = gaussian_filter1d(ramp.height(hips[:, 0] - hips[0, 0], hips[:, 1]), 3.0)
    pos[..., 2] += lift[:, None]
    write_bvh(replace(walk, pos_w=pos), tmp_path / "up.bvh")
    arguments = [str(tmp_path / "up.bvh"), "--source-ground", spec, "--picture"]
    assert main([*arguments, "--out", str(tmp_path / "up.npz")]) == 0
    capsys.readouterr()
    motion = RobotMotion.load(tmp_path / "up.npz")
    scale = leg_scale(calibrate(walk), robot_frames(g1))
    boxes, own = (t["boxes"] for t in (read_terrain(spec), motion.scene["terrain"]))
    for box, mine in zip(boxes, own, strict=True):
        np.testing.assert_allclose(mine["pos"], scale * np.array(box["pos"]), rtol=0.01)
    ground = ground_of(motion.scene)
    heights = sole_heights(g1, motion.body_pos_w, motion.body_quat_w, ground)
    standing = heights[motion.contact > 0.999]
    assert len(standing) > 20 and np.abs(standing).mean() < 0.015
    assert motion.root_pos[-1, 2] - motion.root_pos[0, 2] > 0.08
    assert (tmp_path / "up.png").is_file()


@pytest.mark.parametrize(("clip", "boxes"), [
    ("mocap_climb_seq_0_joint_positions_f900-3700.npy", "seq0_multi_boxes.obj"),
    ("mocap_climb_seq_2_joint_positions_f100-3110.npy", "seq2_multi_boxes.obj"),
])  # fmt: skip
def test_real_people_climb_real_boxes(corpus: Path, g1: Robot, clip: str, boxes: str) -> None:
    """Onto 0.47 m and 0.95 m, with hands and knees; feet of the robot stand on its own boxes."""
    folder = corpus / "hoi_climb_terrain"
    terrain = ground_of({"terrain": read_terrain(str(folder / boxes))})
    human = read_human_motion(folder / clip, fps=120.0).crop(0, 1700)
    person = calibrate(human)
    clearance = terrain.clearance(person.ball)
    still = np.linalg.norm(np.gradient(person.ball, 1 / 120, axis=0), axis=-1) < 0.1
    assert np.abs(np.median(clearance[still])) < 0.04  # the clip's world is the terrain's
    motion = retarget(human, g1, fps=30.0, source_ground=terrain)
    ground = ground_of(motion.scene)
    assert motion.scene["terrain"]["type"] == "boxes"
    heights = sole_heights(g1, motion.body_pos_w, motion.body_quat_w, ground)
    standing = heights[motion.contact > 0.999]
    assert len(standing) > 300 and np.abs(np.median(standing)) < 0.003
    assert (np.abs(standing) < 0.03).mean() > 0.9
    # From the floor to the top of the higher box, at the robot's size.
    scale = leg_scale(person, robot_frames(g1))
    assert float(ground.height(*motion.root_pos[-1, :2])) == pytest.approx(0.95 * scale, abs=0.01)
    gained = motion.root_pos[:, 2].max() - motion.root_pos[0, 2]
    assert gained == pytest.approx(0.95 * scale, abs=0.06)
    assert motion.quality["any_geom_ground_pen"]["rate_1cm"] < 0.02
    assert motion.quality["source_planted"]["skate_mean_mps"] < 0.03
