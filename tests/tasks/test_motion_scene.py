"""Motions bring their scene: terrain and objects in training, evaluation, playback and pictures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import robots
from mimic.commands.train import parse, train
from mimic.envs.commands.motion import motion_command
from mimic.evaluation import evaluate
from mimic.evaluation.protocols import get_protocol
from mimic.policy.player import PolicyPlayer
from mimic.sim.motion_scene import scene_of_motion, scene_of_motions
from mimic.sim.scene import SceneConfig
from mimic.sim.states import States
from mimic.tasks import make_env
from mimic.tasks.registry import task_config, with_motion_scene
from mimic.viewer.camera import View
from mimic.viewer.painter import Pose
from mimic.viewer.rollout import roll_out
from mimic.viewer.sources import find_playable
from mimic.viewer.stage import FLOOR_GROUP, stage_model
from mimic.viewer.stick import StickPainter
from mimic.viewer.video import camera_path
from mimic_base.errors import MimicError
from mimic_base.rotations import quat_of_yaw
from mimic_base.terrain import Boxes, Plane, Slope
from motions import RobotMotion
from motions.robot.objects import ObjectTracks
from robots import Robot
from tests.conftest import TINY
from tests.envs.conftest import sway

TASK = "tracking-no-state-estimation"
PLATFORM: dict[str, Any] = {
    "type": "boxes", "boxes": [{"pos": [0.0, 0.0, 0.1], "half_size": [2.0, 2.0, 0.1]}],
}  # fmt: skip
SCENE: dict[str, Any] = {
    "terrain": PLATFORM,
    "objects": {
        "ball": {"shape": "sphere", "size": [0.1], "mass": 0.5},
        "table": {"shape": "box", "size": [0.2, 0.2, 0.1], "fixed": True, "pos": [1.0, 0.0, 0.3]},
    },
}


def on_platform(robot: Robot, scene: dict[str, Any], lift: float = 0.2) -> RobotMotion:
    """The swaying robot on a platform, beside a ball that rolls and a cup without a shape."""
    motion = sway(robot, fps=30.0)
    frames = motion.num_frames
    time = np.arange(frames) / motion.fps
    ball = np.stack([1.0 + 0.1 * time, 1.0 + 0 * time, 0.3 + 0 * time], axis=1)
    tracks = ObjectTracks(
        names=("cup", "ball"),
        pos_w=np.stack([ball + 1.0, ball], axis=1),
        quat_w=np.stack([quat_of_yaw(0 * time), quat_of_yaw(time)], axis=1),
    )
    lifted = motion.body_pos_w + [0.0, 0.0, lift]
    return replace(motion, body_pos_w=lifted, objects=tracks, scene=scene)


@pytest.fixture(scope="module")
def motion() -> RobotMotion:
    return on_platform(robots.load(TINY), SCENE)


@pytest.fixture(scope="module")
def file(motion: RobotMotion, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "platform.npz"
    motion.save(path)
    return path


def test_terrain_and_objects_of_a_motion(motion: RobotMotion) -> None:
    scene = scene_of_motion(motion)
    assert isinstance(scene.terrain, Boxes) and len(scene.terrain.blocks) == 1
    assert list(scene.objects) == ["ball", "table"]  # nobody has said what a cup looks like
    ball, table = scene.objects["ball"], scene.objects["table"]
    assert ball.pos == (1.0, 1.0, 0.3) and ball.size == (0.1,) and ball.mass == 0.5
    assert table.fixed and table.pos == (1.0, 0.0, 0.3)


def test_the_environment_has_the_scene_of_its_motions(motion: RobotMotion, tiny: Robot) -> None:
    env = make_env("tracking", [motion], num_envs=2, robot=tiny, engine="mujoco", threads=1)
    assert float(env.scene.height(0.0, 0.0)) == pytest.approx(0.2)
    command = motion_command(env)
    ids, frame = torch.tensor([0, 1]), torch.tensor([0, 30])
    command.restart(ids, torch.tensor([0, 0]), frame)
    ball = env.state.objects["ball"]
    column = command.library.object_names.index("ball")
    assert command.library.object_pos_w is not None
    wanted = command.library.object_pos_w[frame, column]
    torch.testing.assert_close(ball.pos_w, wanted, atol=1e-5, rtol=0)
    assert float(ball.lin_vel_w[1, 0]) == pytest.approx(0.1, abs=0.01)


def test_a_task_may_ignore_scenes_or_have_its_own(motion: RobotMotion, tiny: Robot) -> None:
    task = task_config("tracking")
    bare = with_motion_scene(replace(task, motion_scene=False), [motion])
    assert bare.scene == SceneConfig()
    own = replace(task, scene=SceneConfig(terrain=Slope(angle=0.1)))
    assert with_motion_scene(own, [motion]).scene == own.scene
    assert isinstance(with_motion_scene(task, [motion]).scene.terrain, Boxes)
    assert isinstance(with_motion_scene(task, [sway(tiny, fps=30.0)]).scene.terrain, Plane)


def test_different_scenes_are_refused_in_one_line(
    motion: RobotMotion, file: Path, tiny: Robot, tmp_path: Path
) -> None:
    again = tmp_path / "again.npz"
    on_platform(tiny, SCENE, lift=0.25).save(again)
    assert scene_of_motions([file, again]).objects.keys() == {"ball", "table"}
    other = tmp_path / "floor.npz"
    sway(tiny, fps=30.0).save(other)
    for pair in ([file, other], [motion, other]):
        with pytest.raises(MimicError, match="different scenes.*--no-motion-scene") as caught:
            scene_of_motions(pair)
        assert "floor.npz" in str(caught.value) and "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def run(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    small = [
        "--robot", str(TINY), "--num-envs", "4", "--steps-per-iteration", "4", "--workers", "1",
        "--actor-hidden", "8", "--critic-hidden", "8", "--device", "cpu", "--iterations", "1",
    ]  # fmt: skip
    for name, more in (("on", []), ("off", ["--no-motion-scene"])):
        assert train(parse([TASK, "--motion", str(file), *small, *more, "--name", name,
                            "--out", str(out)])) == 0  # fmt: skip
    return out / TASK


def test_a_run_remembers_whether_its_motions_brought_the_scene(run: Path, file: Path) -> None:
    on, off = (
        json.loads((next(run.glob(f"*-{name}")) / "config.json").read_text())["run"]["task"]
        for name in ("on", "off")
    )
    # The scene stays with the motions: other ones, played later, bring their own.
    assert on["motion_scene"] is True and off["motion_scene"] is False
    assert not on["scene"]["objects"]
    assert train(parse(["--resume", str(next(run.glob("*-on"))), "--iterations", "2"])) == 0


def test_a_policy_is_played_where_its_motion_stands(run: Path, file: Path, tiny: Robot) -> None:
    playable = find_playable(next(run.glob("*-on")), [file], TINY)
    (clip,) = playable.clips
    assert clip.scene is not None and list(clip.scene.objects) == ["ball", "table"]
    rollout = roll_out(playable.player, clip.reference, tiny, scene=clip.scene)
    states = rollout.states
    assert states.joint_pos.shape[1] == tiny.num_joints and list(states.objects) == ["ball"]
    assert states.objects["ball"][0, :3] == pytest.approx([1.0, 1.0, 0.3])
    # It starts 0.2 m over the floor, on the platform.
    assert rollout.foot_contact[:3].any() and states.root_pos_w[2, 2] > 0.6
    assert len(rollout.drawn(0).coordinates) == stage_model(tiny, clip.scene).nq
    assert camera_path(rollout, 0.65)[0, 2] == pytest.approx(0.85)
    (bare,) = find_playable(next(run.glob("*-on")), [file], TINY, motion_scene=False).clips
    assert bare.scene is None
    fallen = roll_out(playable.player, bare.reference, tiny)
    assert not fallen.foot_contact[:3].any()
    # Trained without scenes: played without them.
    (plain,) = find_playable(next(run.glob("*-off")), [file], TINY).clips
    assert plain.scene is None


def test_a_policy_is_judged_where_its_motion_stands(run: Path, file: Path) -> None:
    policy = next(run.glob("*-on")) / "policy.onnx"
    protocol = get_protocol("noisy-start", episodes=2, start_noise=0.0)
    results = {
        given: evaluate(policy, [file], protocol, robot=TINY, engine="mujoco", device="cpu",
                        threads=1, motion_scene=given)
        for given in (True, False)
    }  # fmt: skip
    survived = {given: result.total.survived_s for given, result in results.items()}
    assert survived[True] > survived[False]
    assert PolicyPlayer(policy).contract.task == TASK


def test_steps_are_drawn_with_their_edges(motion: RobotMotion, tiny: Robot) -> None:
    model = stage_model(tiny, scene_of_motion(motion))
    floor = [g for g in range(model.ngeom) if model.geom_group[g] == FLOOR_GROUP]
    names = [model.geom(g).name for g in floor]
    assert "terrain_0" in names and "table" in names and "ball" not in names
    assert sum(name == "" for name in names) == 12


def test_stick_figures_stand_on_the_terrain_too(motion: RobotMotion, tiny: Robot) -> None:
    view = View(lookat=(0.0, 0.0, 0.5))
    pose = Pose(
        States(
            root_pos_w=motion.root_pos[0],
            root_quat_w=motion.root_quat[0],
            joint_pos=motion.joint_pos[0],
        )
    )
    images = []
    for terrain in (None, scene_of_motion(motion).terrain.parts()):
        with StickPainter(tiny, 160, 120, terrain) as painter:
            images.append(painter.draw([pose], view).astype(int))
    changed = np.abs(images[0] - images[1]).max(axis=-1) > 20
    # The ground and the shadow are drawn elsewhere, the robot where it was.
    assert changed[60:].mean() > 0.02 > changed[:30].mean()
