"""Skeletons whose joint names say nothing: roles from branches, bone lengths and poses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from motions import HumanMotion, InputError, read_human_motion
from motions.human.readers import READERS, find_reader
from motions.human.readers.assemble import assemble
from motions.human.readers.raw import RawClip, ReadOptions
from motions.human.skeletons.layouts import BY_NAME
from motions.human.skeletons.topology import find_limbs
from tests.motions.conftest import PERSON
from tests.motions.people import walk

MakeBvh = Callable[..., Path]

NUMBERED = {name: f"j{i}" for i, (name, _, _) in enumerate(PERSON)}
CORPUS = (
    "lafan1_bvh/*.bvh",
    "cmu_asf_amc/0*.amc",
    "cmu_bvh_cgspeed/*.bvh",
    "cmu_bvh_from_amc/0[27]*.bvh",
    "cmu_amp_bvh/*.bvh",
    "bandai_namco/*.bvh",
    "misc_bvh/*.bvh",
)


def _named(motion: HumanMotion) -> dict[str, str]:
    """Role to joint, by the names that the person has in `PERSON`."""
    original = {number: name for name, number in NUMBERED.items()}
    names = [original.get(n, n) for n in motion.joint_names]
    return {role: names[joint] for role, joint in motion.roles.items()}


def _nameless(clip: RawClip) -> RawClip:
    return replace(clip, joint_names=tuple(f"j{i}" for i in range(len(clip.joint_names))))


def _assemble(clip: RawClip, **options: object) -> HumanMotion:
    defaults = {"unit": None, "up": None, "skeleton_map": None, "drop_first": None}
    return assemble(clip, **{**defaults, **options})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("toes", [True, False])
@pytest.mark.parametrize("up", ["y", "z"])
def test_roles_equal_those_by_name(make_bvh: MakeBvh, toes: bool, up: str) -> None:
    named = read_human_motion(make_bvh(toes=toes, up=up))
    motion = read_human_motion(make_bvh("numbered.bvh", rename=NUMBERED, toes=toes, up=up))
    found, wanted = _named(motion), _named(named)
    # Toes that are made from the tips of the feet are named after them.
    assert {r: n for r, n in found.items() if "toe" not in r} == {
        r: n for r, n in wanted.items() if "toe" not in r
    }
    assert motion.roles["left_toe"] == named.roles["left_toe"]
    np.testing.assert_allclose(motion.pos_w, named.pos_w)
    note = next(w for w in motion.report["warnings"] if "say nothing" in w)
    assert "left and right 100 % sure" in note and "left_knee=j2" in note


def test_the_body_says_which_side_is_left(make_bvh: MakeBvh) -> None:
    """The same tree mirrored: what stands first in the file is now the right."""
    clip = READERS["bvh"].read(make_bvh(rename=NUMBERED), ReadOptions())
    mirrored = replace(clip, pos=clip.pos * np.array([-1.0, 1, 1]), quat=None, rest_pos=None)
    plain, other = _named(_assemble(clip)), _named(_assemble(mirrored))
    for role, joint in plain.items():
        twin = role.replace("left", "+").replace("right", "left").replace("+", "right")
        assert other[twin] == joint


def test_a_side_given_by_hand_settles_both(make_bvh: MakeBvh) -> None:
    path = make_bvh(rename=NUMBERED)
    # The wrong way round, on purpose: what the user says is believed.
    motion = read_human_motion(path, skeleton_map={"left_knee": NUMBERED["RightLeg"]})
    found = _named(motion)
    assert found["left_knee"] == "RightLeg" and found["right_wrist"] == "LeftHand"
    assert "as given" in " ".join(motion.report["warnings"])


def test_twists_helpers_fingers_and_the_top_of_the_head() -> None:
    """mocap53 has fingers, collar bones and helper joints in the feet."""
    layout = BY_NAME["mocap53"]
    pos = walk(layout, frames=40)
    spread = np.random.default_rng(0)
    names = layout.joint_names
    for joint, name in enumerate(names):  # fingers apart, the middle one in the middle
        for place, finger in enumerate(("Thumb", "Index", "Middle", "Ring", "Pinky")):
            if f"Hand{finger}" in name:
                hand = names.index(name.split("Hand")[0] + "Hand")
                row = int(name[-1])
                pos[:, joint] = pos[:, hand] + np.array([0.0, -0.06 - 0.03 * row, 0.0])
                pos[:, joint, 2] += 0.02 * (place - 2) + 1e-4 * spread.random()
    found = find_limbs(layout.parents, pos)
    assert not found.problem
    by_name = {role: names[joint] for role, joint in found.roles.items()}
    # Which side is the left one is not the tree's business: names stand in the file's order.
    for role, joint in {
        "left_hip": "UpLeg", "left_ankle": "Foot", "left_toe": "ToeBase", "left_shoulder": "Arm",
        "left_wrist": "Hand", "left_hand": "HandMiddle1",
    }.items():  # fmt: skip
        assert by_name[role].removeprefix("Left").removeprefix("Right") == joint, role
    assert by_name["head"] == "Head"


def _refusal(clip: RawClip) -> str:
    with pytest.raises(InputError) as caught:
        _assemble(clip)
    text = str(caught.value)
    assert "\n" not in text and "--skeleton-map" in text
    return text


def test_what_is_no_person_is_refused(make_bvh: MakeBvh) -> None:
    clip = READERS["bvh"].read(make_bvh(rename=NUMBERED), ReadOptions())
    numbers = list(clip.joint_names)
    spine = clip.joint_names.index(NUMBERED["Spine"])
    # A quadruped: the trunk lies across the legs.
    front = np.array([0.0, 0.0, 1.0])
    low = {numbers.index(NUMBERED[n]) for n in NUMBERED if "Leg" in n or "Foot" in n or "Toe" in n}
    pos = clip.pos.copy()
    for joint in range(len(numbers)):
        if joint not in low and joint != 0:
            above = pos[:, joint] - pos[:, 0]
            pos[:, joint] = pos[:, 0] + above[:, 1:2] * front + np.abs(above[:, :1]) * [0, -0.3, 0]
            pos[:, joint, 0] += above[:, 0]
    lying = replace(clip, pos=pos, quat=None, rest_pos=None)
    assert "trunk lies across its legs" in _refusal(lying)
    # No limbs at all: a chain.
    chain = replace(clip, parents=tuple(range(-1, len(numbers) - 1)))
    assert "no two limbs of the same lengths" in _refusal(chain)
    # One pair: arms cut off.
    keep = [j for j in range(len(numbers)) if j < spine + 4]
    cut = replace(
        clip,
        joint_names=tuple(numbers[j] for j in keep),
        parents=tuple(clip.parents[j] for j in keep),
        pos=clip.pos[:, keep],
        quat=None,
        rest_pos=None,
    )
    assert "only one pair of long limbs" in _refusal(cut)


def test_straight_limbs_without_feet_do_not_tell_the_side(make_bvh: MakeBvh) -> None:
    clip = READERS["bvh"].read(make_bvh(rename=NUMBERED, toes=False), ReadOptions())
    assert clip.rest_pos is not None
    pos = np.repeat(clip.rest_pos[None], 20, axis=0)
    stiff = replace(clip, pos=pos, quat=None, rest_pos=None, end_sites={})
    assert "left and right cannot be told apart" in _refusal(stiff)


def test_names_that_say_something_are_not_overruled(make_bvh: MakeBvh) -> None:
    path = make_bvh(rename={"LeftLeg": "x1", "LeftFoot": "x2"})
    with pytest.raises(InputError, match="no joint is known for left_knee, left_ankle"):
        read_human_motion(path)


@pytest.mark.corpus
@pytest.mark.parametrize("pattern", CORPUS)
def test_real_clips(corpus: Path, pattern: str) -> None:
    paths = sorted(corpus.glob(pattern))
    if not paths:
        pytest.skip(f"no clips in {corpus}/{pattern}")
    for path in paths:
        clip = find_reader(path).read(path, ReadOptions())
        quat = None if clip.quat is None else clip.quat[:800]
        clip = replace(clip, pos=clip.pos[:800], quat=quat)
        assert _assemble(_nameless(clip)).roles == _assemble(clip).roles, path.name
