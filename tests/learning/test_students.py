"""Teacher to student on a tiny robot: each student trains, resumes, exports and plays."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import robots
from mimic.commands.train import parse, train
from mimic.configuration import from_plain
from mimic.envs.environment import TaskConfig
from mimic.learning.checkpoints import find_checkpoint, load_checkpoint
from mimic.learning.loading import load_policy
from mimic.learning.registry import with_groups_of
from mimic.learning.student_config import DaggerConfig
from mimic.learning.teachers import CHOICE_GROUP, GROUP, PendingTeachers
from mimic.policy.player import PolicyPlayer
from mimic.tasks import make_env
from mimic.tasks.registry import task_config
from mimic.viewer.rollout import roll_out
from mimic_base.errors import MimicError, UserError
from motions import RobotMotion
from tests.conftest import TINY
from tests.envs.conftest import sway
from tests.learning.test_world_model import SMALL as WORLD_MODEL

NETWORKS = ["--actor-hidden", "8", "--critic-hidden", "8"]
SMALL = [
    "--robot", str(TINY), "--num-envs", "8", "--steps-per-iteration", "6", "--device", "cpu",
    *NETWORKS,
]  # fmt: skip
PPO = [*SMALL, "--workers", "1"]
NOW = ["--algorithm.teacher-hold", "0", "--algorithm.teacher-decay", "1",
       "--algorithm.supervised", "1", "--algorithm.critic-warmup", "0",
       "--algorithm.explained-variance", "-1000", "--algorithm.explained-updates", "1",
       "--algorithm.reinforce", "2"]  # fmt: skip
STUDENTS = {
    "dagger": ["--algorithm.remembered", "2", "--algorithm.teacher-share", "0.5"],
    "ppo-kl": ["--workers", "1"],
    "supervised-then-rl": ["--workers", "1", *NOW],
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "sway.npz"
    sway(robots.load(TINY), fps=30.0).save(path)
    return path


def trained(task: str, clips: list[Path], out: Path, name: str, *options: str) -> Path:
    motions = ["--motion", *map(str, clips)]
    arguments = [task, *motions, "--out", str(out), "--name", name, *options]
    assert train(parse(arguments)) == 0
    return next((out / task).glob(f"*-{name}"))


@pytest.fixture(scope="module")
def teacher(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("teacher")
    return trained("tracking-teacher", [clip], out, "teacher", *PPO, "--iterations", "2")


def progress(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "progress.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("algorithm", STUDENTS)
def test_a_student_trains_resumes_without_its_teacher_exports_and_plays(
    algorithm: str, teacher: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lent = tmp_path / "lent"
    shutil.copytree(teacher, lent)
    options = [*SMALL, "--algorithm", algorithm, *STUDENTS[algorithm]]
    run = trained(
        "tracking-student", [clip], tmp_path, "pupil", *options, "--teacher", str(lent),
        "--iterations", "2",
    )  # fmt: skip
    assert f"teacher: {lent}" in capsys.readouterr().out
    first = progress(run)
    assert all("student/" in str(line) for line in first)
    task = json.loads((run / "config.json").read_text())["run"]["task"]
    assert "body_pos_b" in task["observations"][GROUP]
    assert CHOICE_GROUP not in task["observations"]
    # Its teacher goes on in the checkpoint.
    shutil.rmtree(lent)
    assert train(parse(["--resume", str(run), "--iterations", "4"])) == 0
    assert [line["iteration"] for line in progress(run)] == [1, 2, 3, 4]
    player = PolicyPlayer(run / "policy.onnx")
    assert {each.name for each in player.contract.observations} & {"reference_frames"}
    reference = player.reference(RobotMotion.load(clip))
    assert len(roll_out(player, reference, robots.load(TINY)).states) > 5
    policy, identity = load_policy(run)
    obs = torch.zeros(3, identity["actor_observations"])
    assert policy(obs).shape == (3, identity["actions"])
    saved = load_checkpoint(find_checkpoint(run))["algorithm"]["state"]["teachers"]
    assert [each["group"] for each in saved] == [GROUP]


def test_labels_are_what_the_teacher_itself_does(teacher: Path, clip: Path) -> None:
    """The group that a student's environment shows is the one its teacher was trained on."""
    config = DaggerConfig(teacher=(teacher,))
    robot = robots.load(TINY)
    task = with_groups_of(task_config("tracking-student"), "dagger", config, robot)
    env = make_env(task, [clip], num_envs=4, robot=robot)
    obs = env.get_observations()
    policy, _ = load_policy(teacher)
    found = PendingTeachers(config, env.spec, "cpu").get().actions(obs)
    torch.testing.assert_close(found, policy(obs["teacher"]))
    own = make_env("tracking-teacher", [clip], num_envs=4, robot=robot)
    assert own.spec.sizes["actor"] == env.spec.sizes["teacher"]


def test_a_student_learns_to_do_what_its_teacher_does(
    teacher: Path, clip: Path, tmp_path: Path
) -> None:
    options = [*SMALL, "--algorithm", "dagger", "--teacher", str(teacher)]
    more = ["--learning-rate", "3e-3", "--iterations", "25", "--algorithm.epochs", "4"]
    run = trained("tracking-student", [clip], tmp_path, "apt", *options, *more)
    errors = [line["student/action_error"] for line in progress(run)]
    assert sum(errors[-3:]) < 0.5 * sum(errors[:3]), errors


def test_several_teachers_each_for_its_clip(
    teacher: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.npz"
    sway(robots.load(TINY), fps=30.0, seconds=1.0, name="other").save(other)
    second = trained("tracking", [other], tmp_path, "second", *PPO, "--iterations", "1")
    options = [*SMALL, "--algorithm", "dagger", "--teacher", str(teacher), str(second)]
    run = trained(
        "tracking-student", [clip, other], tmp_path, "both", *options, "--iterations", "1"
    )
    said = capsys.readouterr().out
    assert f"teachers, chosen by the clip: {find_checkpoint(teacher)}" in said
    observations = json.loads((run / "config.json").read_text())["run"]["task"]["observations"]
    assert {"teacher", "teacher_2", CHOICE_GROUP} <= set(observations)
    # Each environment's label is that of the teacher of the clip it is in.
    plain = json.loads((run / "config.json").read_text())["run"]["task"]
    env = make_env(
        from_plain(TaskConfig, plain), [clip, other], num_envs=8, robot=robots.load(TINY)
    )
    motion: Any = env.commands["motion"]
    everyone = torch.arange(8)
    motion.restart(everyone, everyone % 2, torch.zeros(8).long())
    obs = env.observe()
    config = DaggerConfig(teacher=(teacher, second))
    teachers = PendingTeachers(config, env.spec, "cpu").get()
    assert teachers.choice(obs).tolist() == [0, 1] * 4
    expected = load_policy(second)[0](obs["teacher_2"])
    torch.testing.assert_close(teachers.actions(obs)[1::2], expected[1::2])


def test_a_student_may_start_from_another_and_be_a_teacher(
    teacher: Path, clip: Path, tmp_path: Path
) -> None:
    first = trained(
        "tracking-student", [clip], tmp_path, "one", *SMALL, "--algorithm", "dagger", "--teacher",
        str(teacher), "--iterations", "1",
    )  # fmt: skip
    second = trained(
        "tracking-student", [clip], tmp_path, "two", *PPO, "--algorithm", "ppo-kl", "--teacher",
        str(first), "--init-from", str(first), "--iterations", "1",
    )  # fmt: skip
    assert (second / "policy.onnx").is_file()


def refusal(*arguments: str) -> str:
    with pytest.raises((UserError, OSError)) as caught:
        train(parse(list(arguments)))
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_mistakes_are_one_line_and_leave_nothing(teacher: Path, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    base = ["tracking-student", "--motion", str(clip), *SMALL, "--out", str(out)]
    dagger = [*base, "--algorithm", "dagger"]
    assert "a student needs a teacher: name its run with --teacher RUN" in refusal(*dagger)
    text = refusal(*base, "--teacher", str(teacher))
    assert text.startswith("--teacher: algorithm 'ppo' has no teacher; add --algorithm dagger")
    assert "absent' does not exist" in refusal(*dagger, "--teacher", str(tmp_path / "absent"))
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "holds no checkpoint" in refusal(*dagger, "--teacher", str(empty))
    broken = tmp_path / "broken.pt"
    broken.write_bytes(b"nothing")
    assert "not a readable checkpoint" in refusal(*dagger, "--teacher", str(broken))
    policy = str(teacher / "policy.onnx")
    assert "is a policy file; name the run" in refusal(*dagger, "--teacher", policy)
    theirs = ["tracking-student", "--motion", str(clip), "--device", "cpu", "--out", str(out)]
    text = refusal(*theirs, "--algorithm", "dagger", "--teacher", str(teacher))
    assert "is of robot 'tiny', the student of 'unitree_g1'" in text
    # A checkpoint whose weights are not those of its configuration.
    state = load_checkpoint(find_checkpoint(teacher))
    state["config"]["algorithm"]["networks"]["actor_hidden"] = [16]
    torch.save(state, tmp_path / "other.pt")
    text = refusal(*dagger, "--teacher", str(tmp_path / "other.pt"))
    assert "its networks do not fit its configuration" in text
    assert not out.exists()


def test_a_run_keeps_the_teachers_it_began_with(teacher: Path, clip: Path, tmp_path: Path) -> None:
    run = trained(
        "tracking-student", [clip], tmp_path, "kept", *SMALL, "--algorithm", "dagger", "--teacher",
        str(teacher), "--iterations", "1",
    )  # fmt: skip
    more = ["--resume", str(run), "--iterations", "2", "--teacher", str(teacher), str(teacher)]
    with pytest.raises(MimicError, match="do not fit"):
        train(parse(more))


def test_a_world_models_policy_teaches_too(clip: Path, tmp_path: Path) -> None:
    """Trained on the student's own task: its future frames and histories can be imagined."""
    master = trained(
        "tracking-student", [clip], tmp_path, "master", *WORLD_MODEL, "--loop.iterations", "3"
    )
    pupil = trained(
        "tracking-student", [clip], tmp_path, "pupil", *SMALL, "--algorithm", "dagger",
        "--teacher", str(master), "--iterations", "1",
    )  # fmt: skip
    saved = load_checkpoint(find_checkpoint(pupil))["algorithm"]["state"]["teachers"]
    assert saved[0]["algorithm"]["name"] == "world-model"
    # Of its replay and its model nothing is kept.
    assert saved[0]["algorithm"]["state"]["learner"] is None


def test_a_run_is_started_again_with_another_teacher(
    teacher: Path, clip: Path, tmp_path: Path
) -> None:
    other = trained("tracking", [clip], tmp_path, "other", *PPO, "--iterations", "1")
    first = trained(
        "tracking-student", [clip], tmp_path, "first", *SMALL, "--algorithm", "dagger", "--teacher",
        str(teacher), "--iterations", "1",
    )  # fmt: skip
    again = ["--config", str(first), "--teacher", str(other), "--name", "again"]
    assert train(parse([*again, "--out", str(tmp_path)])) == 0
    (second,) = (tmp_path / "tracking-student").glob("*-again")
    seen = [
        set(json.loads((run / "config.json").read_text())["run"]["task"]["observations"][GROUP])
        for run in (first, second)
    ]
    assert "foot_contacts" in seen[0] and "foot_contacts" not in seen[1]


def test_a_task_whose_actor_sees_contacts_is_not_imagined(clip: Path, tmp_path: Path) -> None:
    text = refusal(
        "tracking-teacher", "--motion", str(clip), *WORLD_MODEL, "--out", str(tmp_path / "out")
    )
    assert "the actor's observation 'foot_contacts' cannot be imagined" in text
    assert "train by --algorithm ppo" in text


def test_the_world_model_trains_a_teacher_of_states(clip: Path, tmp_path: Path) -> None:
    teacher = trained(
        "tracking-teacher-states", [clip], tmp_path, "seer", *WORLD_MODEL, "--iterations", "1"
    )
    run = trained(
        "tracking-student", [clip], tmp_path, "pupil", *SMALL, "--algorithm", "dagger",
        "--teacher", str(teacher), "--iterations", "1",
    )  # fmt: skip
    task = json.loads((run / "config.json").read_text())["run"]["task"]
    assert "body_pos_b" in task["observations"][GROUP]
    assert "foot_contacts" not in task["observations"][GROUP]
