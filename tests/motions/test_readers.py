"""What the readers find out by themselves, and how to overrule them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mimic_base.rotations import quat_rotate
from motions import InputError, read_human_motion
from motions.human.motion import ROLES
from motions.human.readers.raw import rate_of

MakeBvh = Callable[..., Path]

CGSPEED_3DSMAX = {"LeftUpLeg": "LeftHip", "LeftLeg": "LeftKnee", "LeftFoot": "LeftAnkle"}
CGSPEED_3DSMAX |= {"LeftShoulder": "LeftCollar", "LeftArm": "LeftShoulder"}
CGSPEED_3DSMAX |= {"LeftForeArm": "LeftElbow", "LeftHand": "LeftWrist", "LeftToeBase": "LeftToe"}
BANDAI = {"LeftUpLeg": "UpperLeg_L", "LeftLeg": "LowerLeg_L", "LeftFoot": "Foot_L"}
BANDAI |= {"LeftToeBase": "Toes_L", "LeftShoulder": "Shoulder_L", "LeftArm": "UpperArm_L"}
BANDAI |= {"LeftForeArm": "LowerArm_L", "LeftHand": "Hand_L"}
CMU_ASF = {"LeftUpLeg": "lfemur", "LeftLeg": "ltibia", "LeftFoot": "lfoot", "LeftToeBase": "ltoes"}
CMU_ASF |= {"LeftShoulder": "lclavicle", "LeftArm": "lhumerus", "LeftForeArm": "lradius"}
CMU_ASF |= {"LeftHand": "lwrist"}
SNAKE = {"LeftUpLeg": "left_thigh", "LeftLeg": "left_shin", "LeftFoot": "left_foot"}
SNAKE |= {"LeftToeBase": "left_toe", "LeftArm": "left_upper_arm", "LeftShoulder": "left_clavicle"}
SNAKE |= {"LeftForeArm": "left_lower_arm", "LeftHand": "left_hand"}
BIPED = {"LeftUpLeg": "Bip01 L Thigh", "LeftLeg": "Bip01 L Calf", "LeftFoot": "Bip01 L Foot"}
BIPED |= {"LeftToeBase": "Bip01 L Toe0", "LeftShoulder": "Bip01 L Clavicle"}
BIPED |= {"LeftArm": "Bip01 L UpperArm", "LeftForeArm": "Bip01 L Forearm"}
BIPED |= {"LeftHand": "Bip01 L Hand"}
MIXAMO = {f"Left{n}": f"mixamorig:Left{n}" for n in ("UpLeg", "Leg", "Foot", "ToeBase", "Shoulder")}
MIXAMO |= {f"Left{n}": f"mixamorig:Left{n}" for n in ("Arm", "ForeArm", "Hand")}


def _both_sides(left: dict[str, str]) -> dict[str, str]:
    right = {}
    for joint, name in left.items():
        other = name.replace("Left", "Right").replace("left_", "right_")
        other = other.replace("_L", "_R").replace(" L ", " R ")
        if other == name:
            other = "r" + name[1:]
        right["Right" + joint[4:]] = other
    return left | right


@pytest.mark.parametrize(
    "names",
    [{}, CGSPEED_3DSMAX, BANDAI, CMU_ASF, SNAKE, BIPED, MIXAMO],
    ids=["lafan", "3dsmax", "bandai", "cmu", "snake", "biped", "mixamo"],
)
def test_roles_are_found_whatever_the_names(make_bvh: MakeBvh, names: dict[str, str]) -> None:
    plain = read_human_motion(make_bvh("plain.bvh"))
    motion = read_human_motion(make_bvh("other.bvh", rename=_both_sides(names)))
    assert motion.roles == plain.roles
    assert set(ROLES) - set(motion.roles) == {"left_hand", "right_hand"}
    assert motion.report["warnings"] == []


@pytest.mark.parametrize("up", ["y", "z"])
@pytest.mark.parametrize(
    "unit", [0.01, 1.0, 0.001, 0.0254, 0.0254 / 0.45], ids=["cm", "m", "mm", "inch", "cmu"]
)
def test_unit_and_up_axis_are_detected(make_bvh: MakeBvh, unit: float, up: str) -> None:
    motion = read_human_motion(make_bvh(scale=0.01 / unit, up=up))
    assert motion.report["unit"] == pytest.approx(unit)
    assert motion.report["up"] == up
    # The same walk in every file: looking and walking along -y, as (x, y, z) -> (x, -z, y) says.
    np.testing.assert_allclose(motion.role("pelvis")[-1], [0.0, -1.56, 0.93], atol=1e-5)
    assert motion.report["facing_deg"] == pytest.approx(-90, abs=1)
    assert motion.role("left_hip")[0, 0] == pytest.approx(0.09, abs=1e-5)
    assert motion.height == pytest.approx(1.72, abs=0.05)


def test_overrides_replace_detection(make_bvh: MakeBvh) -> None:
    path = make_bvh(rest_frames=1)
    motion = read_human_motion(path, unit=0.015, up="z", drop_first=5, fps=60)
    assert motion.report["unit"] == 0.015 and motion.report["up"] == "z"
    assert motion.fps == 60 and motion.num_frames == 36
    assert motion.role("pelvis")[0, 1] == pytest.approx(0.93 * 1.5)  # y kept as it is
    assert "2.6" in motion.report["warnings"][0]  # the person's height is now implausible


def test_joint_frames_carry_bones_and_rest_pose(make_bvh: MakeBvh) -> None:
    motion = read_human_motion(make_bvh())
    assert motion.quat_w is not None and motion.rest_pos is not None
    hip, knee = motion.roles["left_hip"], motion.roles["left_knee"]
    # Bones are constant in the file's own axes (y up), which the joint frames keep.
    bone = quat_rotate(motion.quat_w[:, hip], np.array([0, -0.43, 0]))
    np.testing.assert_allclose(motion.pos_w[:, knee] - motion.pos_w[:, hip], bone, atol=1e-9)
    np.testing.assert_allclose(motion.rest_pos[knee] - motion.rest_pos[hip], [0, 0, -0.43])


@pytest.mark.parametrize("count", [1, 3])
def test_leading_rest_pose_is_dropped(make_bvh: MakeBvh, count: int) -> None:
    motion = read_human_motion(make_bvh(rest_frames=count))
    assert motion.report["dropped_frames"] == count
    assert motion.report["dropped_why"] == "rest pose"
    assert motion.num_frames == 40
    kept = read_human_motion(make_bvh(rest_frames=count), drop_first=0)
    assert kept.num_frames == 40 + count
    assert read_human_motion(make_bvh()).report["dropped_frames"] == 0


def test_swapped_names_do_not_swap_the_person(make_bvh: MakeBvh) -> None:
    motion = read_human_motion(make_bvh(swap_names=True))
    assert motion.role("left_hip")[0, 0] == pytest.approx(0.09, abs=1e-6)
    assert motion.joint_names[motion.roles["left_hip"]] == "RightUpLeg"
    assert "swapped" in motion.report["warnings"][0]


def test_foot_tip_becomes_a_toe_where_there_is_none(make_bvh: MakeBvh) -> None:
    motion = read_human_motion(make_bvh(toes=False))
    assert motion.report["added_joints"] == ["LeftFoot_End", "RightFoot_End"]
    ahead = motion.role("left_toe") - motion.role("left_ankle")
    np.testing.assert_allclose(np.linalg.norm(ahead, axis=1), np.hypot(0.05, 0.14), atol=1e-6)


def test_a_nameless_knee_or_elbow_is_found_by_its_place(make_bvh: MakeBvh) -> None:
    motion = read_human_motion(make_bvh(rename={"LeftLeg": "Q17", "RightForeArm": "Q18"}))
    assert motion.joint_names[motion.roles["left_knee"]] == "Q17"
    assert motion.joint_names[motion.roles["right_elbow"]] == "Q18"
    assert motion.joint_names[motion.roles["right_shoulder"]] == "RightArm"


def test_skeleton_map_fills_gaps(make_bvh: MakeBvh) -> None:
    path = make_bvh(rename={"LeftLeg": "Q17", "LeftFoot": "Q18", "LeftToeBase": "Q19"})
    with pytest.raises(InputError, match=r"left_knee, left_ankle \(found .*Q17.*left_knee=NAME"):
        read_human_motion(path)
    motion = read_human_motion(path, skeleton_map={"left_knee": "Q17", "left_ankle": "Q18"})
    assert motion.joint_names[motion.roles["left_knee"]] == "Q17"
    assert motion.joint_names[motion.roles["left_hip"]] == "LeftUpLeg"
    with pytest.raises(InputError, match="no joint 'LeftUpleg' for left_hip.*mean LeftUpLeg"):
        read_human_motion(path, skeleton_map={"left_hip": "LeftUpleg"})
    with pytest.raises(InputError, match="no such role 'left_foot'.*expected pelvis"):
        read_human_motion(path, skeleton_map={"left_foot": "Q18"})
    with pytest.raises(InputError, match="same joint"):
        read_human_motion(path, skeleton_map={"left_knee": "Q17", "left_ankle": "Q17"})


def test_frame_rates_survive_few_digits() -> None:
    rates = [
        rate_of(Path("x"), t) for t in (0.033333, 0.0333, 0.0083333, 0.04, 1 / 29.97, 1 / 23.976)
    ]
    np.testing.assert_allclose(rates, [30, 30, 120, 25, 29.97, 23.976], atol=1e-5)


def test_content_decides_over_the_extension(make_bvh: MakeBvh) -> None:
    path = make_bvh("clip.txt")
    assert read_human_motion(path).report["format"] == "bvh"


# -- DeepMimic -----------------------------------------------------------------------------------


def deepmimic_frames(count: int = 12, dt: float = 1 / 30) -> list[list[float]]:
    unit = [1.0, 0.0, 0.0, 0.0]
    right = [*unit, -0.4, *unit, *unit, 0.6]
    frames = []
    for frame in range(count):
        root = [dt, 0.1 * frame, 0.85, 0.0, *unit]
        frames.append([*root, *unit, *unit, *right, *right])
    return frames


def write_deepmimic(path: Path, frames: list[list[float]]) -> Path:
    path.write_text(json.dumps({"Loop": "wrap", "Frames": frames}))
    return path


def test_deepmimic_humanoid(tmp_path: Path) -> None:
    frames = deepmimic_frames()
    frames[-1][0] = 0.0  # as in the published files
    motion = read_human_motion(write_deepmimic(tmp_path / "a.txt", frames))
    assert motion.fps == 30 and motion.num_frames == 12
    assert motion.report["facing_deg"] == pytest.approx(0, abs=1e-6)
    assert motion.role("left_hip")[0, 1] == pytest.approx(0.084887)
    assert motion.role("right_shoulder")[0, 1] == pytest.approx(-0.18311)
    # Negative knee angles bend the shank backward, positive elbow angles the forearm forward.
    assert motion.role("left_ankle")[0, 0] < -0.1
    assert motion.role("left_wrist")[0, 0] > 0.1
    assert motion.role("left_ankle")[0, 2] < motion.role("left_hip")[0, 2]


def test_deepmimic_uneven_frames_become_even(tmp_path: Path) -> None:
    frames = deepmimic_frames()
    frames[4][0] = 2 / 30
    motion = read_human_motion(write_deepmimic(tmp_path / "a.txt", frames))
    assert motion.num_frames == 13
    steps = np.diff(motion.role("pelvis")[:, 0])
    np.testing.assert_allclose(steps[[3, 4, 5, 6]], [0.1, 0.05, 0.05, 0.1], atol=1e-6)


def test_deepmimic_dog_is_refused(tmp_path: Path) -> None:
    path = write_deepmimic(tmp_path / "dog.txt", [[0.0] * 84] * 3)
    with pytest.raises(InputError, match="found 84 .*the dog.*expected 44.*humanoid3d"):
        read_human_motion(path)


# -- ASF/AMC -------------------------------------------------------------------------------------

ASF = """
:version 1.10
:units
  mass 1.0
  length 0.45
  angle deg
:root
  order TX TY TZ RX RY RZ
  axis XYZ
  position 0 0 0
  orientation 0 0 0
:bonedata
{bones}
:hierarchy
begin
  root lhipjoint rhipjoint lowerback
  lhipjoint lfemur
  lfemur ltibia
  ltibia lfoot
  rhipjoint rfemur
  rfemur rtibia
  rtibia rfoot
  lowerback thorax
  thorax lclavicle rclavicle head
  lclavicle lhumerus
  lhumerus lradius
  lradius lwrist
  rclavicle rhumerus
  rhumerus rradius
  rradius rwrist
end
"""
_CENTRE = (("lowerback", (0, 1, 0), 4), ("thorax", (0, 1, 0), 4), ("head", (0, 1, 0), 3))
_SIDED = (
    ("hipjoint", (0.6, -0.8, 0), 2, ""),
    ("femur", (0, -1, 0), 7.6, "rx ry rz"),
    ("tibia", (0, -1, 0), 7.3, "rx"),
    ("foot", (0, -0.3, 0.954), 2.5, "rx rz"),
    ("clavicle", (0.8, 0.6, 0), 3, ""),
    ("humerus", (1, 0, 0), 5, "rx ry rz"),
    ("radius", (1, 0, 0), 4.5, "rx"),
    ("wrist", (1, 0, 0), 1.7, ""),
)


def write_asf_amc(folder: Path, frames: int = 5) -> Path:
    bones = []

    def bone(name: str, direction: tuple[float, ...], length: float, dof: str, axis: str) -> None:
        number = len(bones) + 1
        words = " ".join(map(str, direction))
        lines = [f"begin\n id {number}\n name {name}\n direction {words}\n length {length}"]
        lines.append(f" axis {axis} XYZ")
        bones.append("\n".join([*lines, *([f" dof {dof}"] if dof else []), "end"]))

    for name, direction, length in _CENTRE:
        bone(name, direction, length, "", "0 0 0")
    for side, sign in (("l", 1), ("r", -1)):
        for part, (x, y, z), length, dof in _SIDED:
            axis = "0 0 20" if part == "femur" else "0 0 0"
            bone(side + part, (sign * x, y, z), length, dof, axis)
    (folder / "07.asf").write_text(ASF.format(bones="\n".join(bones)))
    lines = [":FULLY-SPECIFIED", ":DEGREES"]
    for frame in range(frames):
        lines += [f"{frame + 1}", f"root 0 17 {frame} 0 0 0"]
        for side in "lr":
            lines += [f"{side}femur -20 0 0", f"{side}tibia 30", f"{side}foot 0 0"]
            lines += [f"{side}humerus 0 0 {-80 if side == 'l' else 80}", f"{side}radius 0"]
    (folder / "07_02.amc").write_text("\n".join(lines) + "\n")
    return folder / "07_02.amc"


def test_amc_with_the_subjects_skeleton(tmp_path: Path) -> None:
    motion = read_human_motion(write_asf_amc(tmp_path))
    unit = 0.0254 / 0.45
    assert motion.fps == 120 and motion.report["unit"] == pytest.approx(unit)
    np.testing.assert_allclose(motion.role("pelvis")[3], np.array([0, -3, 17]) * unit)
    # Rotations act in the bone's axis frame, turned 20 degrees about z: the thigh, which points
    # down, leans to the side in that frame, so a turn about its x axis is not one about the
    # world's. C M C^-1 worked out by hand:
    a, b = np.radians([20.0, -20.0])
    down = np.array([-np.sin(a), -np.cos(a), 0])  # the direction in the axis frame
    turned = np.array([down[0], np.cos(b) * down[1], np.sin(b) * down[1]])
    x = np.cos(a) * turned[0] - np.sin(a) * turned[1]
    y = np.sin(a) * turned[0] + np.cos(a) * turned[1]
    thigh = (motion.role("left_knee") - motion.role("left_hip"))[0]
    np.testing.assert_allclose(thigh, 7.6 * unit * np.array([x, -turned[2], y]), atol=1e-9)
    assert motion.role("left_hip")[0, 0] > 0


def test_amc_without_a_skeleton_says_which_is_missing(tmp_path: Path) -> None:
    path = write_asf_amc(tmp_path)
    (tmp_path / "07.asf").unlink()
    with pytest.raises(InputError, match=r"ASF skeleton.*expected 07_02.asf or 07.asf"):
        read_human_motion(path)
