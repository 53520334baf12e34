"""A reader of people and a format of robots of one's own: one new file each, no table edited."""

from __future__ import annotations

import inspect
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import motions.human.readers as readers_package
from mimic_base.errors import InputError
from mimic_base.plugins import found_in, load_object
from motions import read_human_motion
from motions.__main__ import main
from motions.human.readers import READERS, find_reader
from motions.human.readers.reader import Reader
from motions.robot.formats import layouts, read_robot_trajectory
from motions.robot.formats.detect import ReadOptions
from motions.robot.formats.format import Format
from motions.robot.formats.formats import FORMATS
from motions.robot.formats.trajectory import RobotTrajectory

ROOT = Path(__file__).resolve().parents[2]

READER_MODULE = '''
"""Joint positions of the 22 SMPL joints as JSON lists, y up, metres."""
import json
import numpy as np
from motions.human.readers.positions import read_positions
from motions.human.readers.reader import Reader

def read(path, options):
    content = json.loads(path.read_text())
    return read_positions(path, {"joints": np.array(content["joints"])}, options)

ACME = READER = Reader(
    name="acme", extensions=(".acme",), read=read,
    recognise=lambda start, text: text.startswith('{"acme"'),
)
NUMBER = 3
'''

FORMAT_MODULE = '''
"""One line a frame: root, quaternion wxyz, joints; the first line holds the names."""
import numpy as np
from motions.robot.formats.format import Format
from motions.robot.formats.raw import RawRobotMotion

def content(path):
    lines = path.read_text().splitlines()
    names, rate = lines[0].split(), float(lines[1])
    return {"acme": np.array([[float(v) for v in line.split()] for line in lines[2:]]),
            "names": names, "rate": rate}

def read(path, content):
    table = content["acme"]
    return RawRobotMotion(
        root_pos=table[:, :3], root_rot=table[:, 3:7], joint_pos=table[:, 7:],
        joint_names=tuple(content["names"]), fps=content["rate"], name=path.stem,
    )

def write(motion, form):
    rows = np.concatenate([motion.root_pos, motion.root_quat, motion.joint_pos], axis=1)
    lines = [" ".join(motion.joint_names), f"{motion.fps:g}"]
    return "\\n".join(lines + [" ".join(f"{v:.9f}" for v in row) for row in rows]) + "\\n"

ACME = Format(
    name="acme", title="acme text", extensions=(".acme",), read=read, write=write, content=content,
)
FORMATS = (ACME,)
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package of one's own with both modules; its name."""
    folder = tmp_path / "acme_tools"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "people.py").write_text(READER_MODULE)
    (folder / "robots_text.py").write_text(FORMAT_MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "acme_tools"


def person(path: Path) -> Path:
    """A person who stands and sways, as positions of SMPL's 22 joints, y up."""
    rest = np.array(
        [[0, .95, 0], [.08, .87, 0], [-.08, .87, 0], [0, 1.06, 0], [.1, .48, .01], [-.1, .48, .01],
         [0, 1.19, 0], [.1, .08, -.03], [-.1, .08, -.03], [0, 1.25, 0], [.11, .02, .1],
         [-.11, .02, .1], [0, 1.46, 0], [.07, 1.37, 0], [-.07, 1.37, 0], [0, 1.55, .03],
         [.17, 1.38, 0], [-.17, 1.38, 0], [.18, 1.12, -.02], [-.18, 1.12, -.02], [.19, .87, .03],
         [-.19, .87, .03]]
    )  # fmt: skip
    sway = 0.02 * np.sin(np.arange(40) / 5.0)
    frames = rest[None] + sway[:, None, None] * (rest[None, :, 1:2] * [1.0, 0.0, 0.0])
    path.write_text(json.dumps({"acme": 1, "joints": frames.tolist()}))
    return path


def trajectory() -> RobotTrajectory:
    time = np.arange(20) / 40.0
    return RobotTrajectory(
        fps=40.0, root_pos=np.stack([time, 0 * time, 0.8 + 0 * time], axis=1),
        root_quat=np.tile([1.0, 0, 0, 0], (20, 1)), joint_pos=np.stack([time, -time], axis=1),
        joint_names=("left", "right"), name="clip",
    )  # fmt: skip


def test_a_reader_of_ones_own_by_name(package: str, tmp_path: Path) -> None:
    path = person(tmp_path / "clip.acme")
    human = read_human_motion(path, reader=f"{package}.people:ACME", fps=30.0, layout="smpl22")
    assert len(human.pos_w) == 40 and {"left_knee", "right_wrist"} <= set(human.roles)
    with pytest.raises(InputError, match="DeepMimic motion is an object with a list"):
        read_human_motion(path)


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("nowhere.to.be:FOUND", "nowhere.to.be cannot be imported.*PYTHONPATH"),
        ("acme_tools.people:NUMBER", "has no Reader called 'NUMBER' .found the names ACME, READER"),
        ("acme_tools.robots_text:ACME", "has no Reader called 'ACME' .found no Reader at all"),
        ("gibberish", "--reader is unknown .found 'gibberish', expected amc, bvh"),
    ],
)
def test_names_that_are_no_reader(reference: str, says: str, package: str, tmp_path: Path) -> None:
    assert package == "acme_tools"
    with pytest.raises(InputError, match=says):
        read_human_motion(person(tmp_path / "clip.acme"), reader=reference)


def test_a_new_file_in_the_folder_is_enough(tmp_path: Path) -> None:
    """In a copy of the package, as an editable checkout would have it."""
    for name in ("mimic_base", "motions", "robots"):
        shutil.copytree(
            ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "vendor*")
        )
    (tmp_path / "motions/human/readers/acme.py").write_text(READER_MODULE)
    (tmp_path / "motions/robot/formats/layouts/acme.py").write_text(FORMAT_MODULE)
    person(tmp_path / "clip.acme")
    code = """
import numpy as np
from motions import read_human_motion
from motions.robot.formats import EXTENSIONS, read_robot_trajectory
from motions.robot.formats.writers import write_robot_trajectory
from tests_part import trajectory
human = read_human_motion("clip.acme", fps=30.0, layout="smpl22")
assert len(human.pos_w) == 40
write_robot_trajectory(trajectory(), "robot.acme", "acme")
back = read_robot_trajectory("robot.acme")
assert back.notes[0] == "format acme" and ".acme" in EXTENSIONS
np.testing.assert_allclose(back.joint_pos, trajectory().joint_pos, atol=1e-8)
"""
    (tmp_path / "tests_part.py").write_text(
        "import numpy as np\nfrom motions.robot.formats.trajectory import RobotTrajectory\n\n"
        + _source_of(trajectory)
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


def _source_of(function: Callable[..., object]) -> str:
    return inspect.getsource(function)


def test_a_format_of_ones_own_by_name(
    package: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from motions.robot.formats.writers import write_robot_trajectory

    name = f"{package}.robots_text:ACME"
    path = tmp_path / "clip.acme"
    assert write_robot_trajectory(trajectory(), path, name) == ()
    back = read_robot_trajectory(path, ReadOptions(format=name))
    np.testing.assert_allclose(back.joint_pos, trajectory().joint_pos, atol=1e-8)
    assert back.joint_names == ("left", "right") and back.fps == 40.0
    out = tmp_path / "out"
    assert main(["convert", str(path), "--format", name, "--out", str(out)]) == 0
    again = ["convert", str(out / "clip.npz"), "--to", name, "--out", str(tmp_path / "again")]
    assert main(again) == 0
    assert (tmp_path / "again" / "clip.acme").read_text() == path.read_text()
    capsys.readouterr()
    with pytest.raises(InputError, match="has no Format called 'NUMBER'"):
        read_robot_trajectory(path, ReadOptions(format=f"{package}.people:NUMBER"))


def test_every_module_of_the_folders_declares_what_it_should() -> None:
    for forms in found_in(layouts, "FORMATS").values():
        assert all(isinstance(form, Format) for form in forms)
    assert next(iter(FORMATS)) == "robot-motion"
    found = found_in(readers_package, "READER")
    assert set(found) == {"amc", "bvh", "c3d", "deepmimic", "fbx", "numeric", "video"}
    assert {reader.name for reader in found.values()} == set(READERS)
    assert load_object("motions.human.readers.bvh:READER", Reader, "x") is READERS["bvh"]


def test_a_renamed_clip_is_still_known(make_bvh, tmp_path: Path) -> None:
    path = make_bvh("clip.bvh").rename(tmp_path / "clip.json")
    assert find_reader(path).name == "bvh"
