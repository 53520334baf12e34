"""FBX files of other programs: one that Blender wrote, and text as the format's readers take it.

``step.fbx.gz`` is half a step of the generated walk (`demo.generate("walk")` at 30 frames/s, frames
60 to 71), written as BVH, imported into Blender 5.0.1 and exported by its FBX exporter with baked
animation.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from mimic_base.rotations import quat_conj, quat_exp, quat_log, quat_mul, quat_rotate
from motions import InputError, read_human_motion
from motions.human import demo
from motions.human.motion import chain_poses
from motions.human.readers import assimp, fbx, is_human_clip
from motions.human.readers.raw import ReadOptions

needs_assimp = pytest.mark.skipif(
    assimp.library() is None, reason="Assimp is not installed: pip install -e '.[fbx]'"
)
TICKS = 46186158000
"""FBX's unit of time, of a second."""


@pytest.fixture(scope="module")
def step(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fbx") / "step.fbx"
    packed = Path(__file__).parent / "step.fbx.gz"
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    return path


@needs_assimp
def test_blenders_file_is_the_clip_that_went_in(step: Path) -> None:
    clip, original = read_human_motion(step), demo.generate("walk").resample(30.0).crop(60, 72)
    assert clip.fps == 30.0 and clip.num_frames == 12
    assert clip.report["format"] == "fbx" and clip.report["unit_name"] == "cm"
    assert clip.report["up"] == "y" and not clip.report["warnings"]
    assert set(original.roles) <= set(clip.roles)
    assert clip.quat_w is not None and original.quat_w is not None
    for role in original.roles:
        assert np.abs(clip.role(role) - original.role(role)).max() < 1e-4, role
        ours, theirs = (m.quat_w[:, m.roles[role]] for m in (clip, original))  # type: ignore[index]
        # Blender lays its bones' axes as it likes, but fixed in the joint.
        offset = quat_mul(quat_conj(theirs), ours)
        turned = quat_log(quat_mul(quat_conj(offset[:1]), offset))
        assert np.abs(turned).max() < 1e-3, role


@needs_assimp
def test_a_folder_counts_fbx_among_its_clips(step: Path) -> None:
    assert is_human_clip(step)
    other = step.with_name("other.fbx")
    other.write_text("no FBX")
    with pytest.raises(InputError, match="this is no FBX file"):
        read_human_motion(other)


@needs_assimp
def test_the_rate_can_be_said(step: Path) -> None:
    assert read_human_motion(step, fps=60.0).fps == 60.0


def ascii_fbx(
    joints: dict[str, tuple[str, list[float], list[float]]],
    curves: dict[str, list[list[float]]],
    fps: float = 30.0,
) -> str:
    """A scene of limb nodes as FBX 7.4 text.

    Args:
        joints: name -> parent ("" for none), translation, pre-rotation (degrees, x then y then z).
        curves: name -> Euler angles of every frame, degrees.
    """
    ids = {name: 100 + k for k, name in enumerate(joints)}
    objects, links = [], []
    for name, (parent, place, pre) in joints.items():
        x, y, z = (",".join(map(str, v)) for v in (place, pre, [0, 0, 0]))
        objects.append(
            f'Model: {ids[name]}, "Model::{name}", "LimbNode" {{ Version: 232\n Properties70: {{\n'
            'P: "RotationActive", "bool", "", "",1\n'
            f'P: "PreRotation", "Vector3D", "Vector", "",{y}\n'
            f'P: "Lcl Translation", "Lcl Translation", "", "A",{x}\n'
            f'P: "Lcl Rotation", "Lcl Rotation", "", "A",{z}\n }} }}'
        )
        links.append(f'C: "OO",{ids[name]},{ids.get(parent, 0)}')
    objects.append('AnimationStack: 1, "AnimStack::Take", "" { }')
    objects.append('AnimationLayer: 2, "AnimLayer::Base", "" { }')
    links.append('C: "OO",2,1')
    for k, (name, angles) in enumerate(curves.items()):
        node, times = 1000 + 10 * k, [round(i * TICKS / fps) for i in range(len(angles))]
        objects.append(f'AnimationCurveNode: {node}, "AnimCurveNode::R", "" {{ }}')
        links += [f'C: "OO",{node},2', f'C: "OP",{node},{ids[name]}, "Lcl Rotation"']
        for axis, letter in enumerate("XYZ"):
            count, values = len(angles), [row[axis] for row in angles]
            objects.append(
                f'AnimationCurve: {node + 1 + axis}, "AnimCurve::", "" {{ KeyVer: 4008\n'
                f" KeyTime: *{count} {{ a: {','.join(map(str, times))} }}\n"
                f" KeyValueFloat: *{count} {{ a: {','.join(map(str, values))} }}\n"
                " KeyAttrFlags: *1 { a: 260 }\n KeyAttrDataFloat: *4 { a: 0,0,0,0 }\n"
                f" KeyAttrRefCount: *1 {{ a: {count} }} }}"
            )
            links.append(f'C: "OP",{node + 1 + axis},{node}, "d|{letter}"')
    return (
        "; FBX 7.4.0 project file\n"
        "FBXHeaderExtension: { FBXHeaderVersion: 1003\nFBXVersion: 7400 }\n"
        'GlobalSettings: { Version: 1000\n Properties70: {\n P: "UpAxis", "int", "Integer", "",1\n'
        ' P: "TimeMode", "enum", "", "",6\n } }\n'
        "Objects: {\n" + "\n".join(objects) + "\n}\nConnections: {\n" + "\n".join(links) + "\n}\n"
    )


def euler(angles: list[float]) -> np.ndarray:
    """FBX's default order: about x first, then y, then z, of the parent's axes."""
    x, y, z = (quat_exp(np.radians(a) * np.eye(3)[k]) for k, a in enumerate(angles))
    return quat_mul(z, quat_mul(y, x))


JOINTS = {
    "Group": ("", [0.0, 5.0, 0.0], [0.0, 0.0, 0.0]),
    "rig:Hips": ("Group", [1.0, 90.0, 2.0], [0.0, 90.0, 0.0]),
    "rig:Leg": ("rig:Hips", [10.0, -5.0, 0.0], [30.0, 0.0, -40.0]),
    "rig:Spine": ("rig:Hips", [0.0, 20.0, 0.0], [0.0, 0.0, 0.0]),
    "rig:Foot": ("rig:Leg", [0.0, -40.0, 0.0], [0.0, 0.0, 0.0]),
    "rig:Head": ("rig:Spine", [0.0, 30.0, 0.0], [0.0, 0.0, 0.0]),
    "Ball": ("Group", [50.0, 0.0, 0.0], [20.0, 0.0, 0.0]),
}
CURVES = {
    "rig:Hips": [[0.0, 0.0, 0.0], [0.0, 20.0, 0.0], [10.0, 40.0, -5.0]],
    "rig:Leg": [[0.0, 0.0, 0.0], [25.0, 0.0, 0.0], [50.0, 5.0, 10.0]],
}


@needs_assimp
def test_pre_rotations_and_groups_are_followed(tmp_path: Path) -> None:
    path = tmp_path / "leg.fbx"
    path.write_text(ascii_fbx(JOINTS, CURVES))
    clip = fbx.read_fbx(path, ReadOptions())
    assert clip.joint_names == ("Hips", "Leg", "Foot", "Spine", "Head")
    assert clip.parents == (-1, 0, 1, 0, 3) and clip.fps == pytest.approx(30.0)
    order = ["rig:Hips", "rig:Leg", "rig:Foot", "rig:Spine", "rig:Head"]
    offsets = np.array([JOINTS[name][1] for name in order])
    offsets[0] += JOINTS["Group"][1]
    local = np.stack(
        [
            np.stack(
                [
                    quat_mul(euler(JOINTS[name][2]), euler(CURVES.get(name, [[0.0] * 3] * 3)[t]))
                    for name in order
                ]
            )
            for t in range(3)
        ]
    )
    pos, quat = chain_poses(clip.parents, offsets, local)
    np.testing.assert_allclose(clip.pos, pos, atol=1e-3)
    assert clip.quat is not None
    assert np.abs((clip.quat * quat).sum(-1)).min() > 1.0 - 1e-8


@needs_assimp
def test_keys_faster_than_the_scenes_frames_set_the_rate(tmp_path: Path) -> None:
    path = tmp_path / "fast.fbx"
    angles = [[float(k), 0.0, 0.0] for k in range(9)]
    path.write_text(ascii_fbx(JOINTS, {"rig:Hips": angles, "rig:Leg": angles}, fps=120.0))
    clip = fbx.read_fbx(path, ReadOptions())
    assert clip.fps == pytest.approx(120.0) and len(clip.pos) == 9


@needs_assimp
def test_sparse_keys_are_filled_in(tmp_path: Path) -> None:
    path = tmp_path / "sparse.fbx"
    angles = [[0.0, 0.0, 0.0], [30.0, 0.0, 0.0]]
    path.write_text(ascii_fbx(JOINTS, {"rig:Leg": angles}, fps=2.0))
    clip = fbx.read_fbx(path, ReadOptions())
    assert clip.fps == pytest.approx(30.0) and len(clip.pos) == 16
    assert clip.quat is not None
    bend = quat_mul(quat_conj(clip.quat[:, 0]), clip.quat[:, 1])
    turn = np.linalg.norm(quat_log(quat_mul(quat_conj(bend[:1]), bend)), axis=1)
    np.testing.assert_allclose(np.degrees(turn), np.linspace(0.0, 30.0, 16), atol=1e-2)
    reach = quat_rotate(quat_conj(clip.quat[:, 1]), clip.pos[:, 2] - clip.pos[:, 1])
    np.testing.assert_allclose(reach, np.tile([0.0, -40.0, 0.0], (16, 1)), atol=1e-3)


@needs_assimp
@pytest.mark.parametrize(
    ("curves", "said"),
    [({}, "holds no animation"), ({"rig:Leg": [[5.0, 0.0, 0.0]]}, "single frame|no animation")],
)
def test_scenes_without_motion(
    tmp_path: Path, curves: dict[str, list[list[float]]], said: str
) -> None:
    path = tmp_path / "still.fbx"
    path.write_text(ascii_fbx(JOINTS, curves))
    with pytest.raises(InputError, match=said):
        read_human_motion(path)


@needs_assimp
def test_a_truncated_file_is_one_line(step: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.fbx"
    path.write_bytes(step.read_bytes()[:20000])
    with pytest.raises(InputError, match="Assimp cannot read this FBX"):
        read_human_motion(path)


def chain(levels: int) -> str:
    """A skeleton of that many joints, each below the one before."""
    joints = {
        f"b{k}": (f"b{k - 1}" if k else "", [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]) for k in range(levels)
    }
    text = ascii_fbx(joints, {"b0": [[0.0, 0.0, 0.0], [10.0, 0.0, 0.0]]})
    # No pivot nodes between them.
    return text.replace('"RotationActive", "bool", "", "",1', '"RotationActive", "bool", "", "",0')


@needs_assimp
def test_a_deep_tree_is_read_or_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "deep.fbx"
    path.write_text(chain(250))
    clip = fbx.read_fbx(path, ReadOptions())
    assert clip.parents == tuple(range(-1, 249))
    np.testing.assert_allclose(clip.pos[0, -1], [0.0, 250.0, 0.0], atol=1e-3)
    # Python's JSON reader ends at the first, Assimp's own recursion at the second.
    for levels, said in ((3000, "nested too deep"), (60_000, "Assimp .* crashed|nested too deep")):
        path.write_text(chain(levels))
        with pytest.raises(InputError, match=said):
            fbx.read_fbx(path, ReadOptions())


@needs_assimp
@pytest.mark.parametrize(
    ("times", "said"),
    [
        ([0, 2**62], r"too far apart .*found \d+ frames .*at most 1000000"),
        ([-(2**62), 0], "too far apart"),
        ([TICKS, 0], "go back in time|holds no animation"),
        ([TICKS, TICKS], "single frame|holds no animation"),
    ],
)
def test_key_times_that_cannot_be(tmp_path: Path, times: list[int], said: str) -> None:
    path = tmp_path / "times.fbx"
    text = ascii_fbx(JOINTS, {"rig:Leg": [[0.0, 0.0, 0.0], [30.0, 0.0, 0.0]]}, fps=1.0)
    assert f"a: 0,{TICKS}" in text
    path.write_text(text.replace(f"a: 0,{TICKS}", f"a: {times[0]},{times[1]}"))
    with pytest.raises(InputError, match=said):
        fbx.read_fbx(path, ReadOptions())


@pytest.mark.parametrize(
    ("kind", "keys", "said"),
    [
        ("rotation", [[0.0, [1, 0, 0, 0]], [2.0, [1, 0, 0, 0]], [1.0, [1, 0, 0, 0]]],
         r"node 'Hips': its rotation keys go back in time \(found 1 after 2 ticks\)"),
        ("position", [[0.0, [0, 0, 0]], [float("nan"), [0, 0, 0]]], "position keys hold numbers"),
        ("scaling", [[0.0, [1, 1, float("inf")]]], "scaling keys hold numbers that are not finite"),
        ("scaling", [], "scaling keys are absent"),
    ],
)  # fmt: skip
def test_keys_that_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, keys: list[object], said: str
) -> None:
    """Whatever Assimp gives out: other versions of it check less."""
    channel = {
        "name": "Hips",
        "positionkeys": [[0.0, [0, 0, 0]], [1.0, [0, 0, 0]]],
        "rotationkeys": [[0.0, [1, 0, 0, 0]], [1.0, [1, 0, 0, 0]]],
        "scalingkeys": [[0.0, [1, 1, 1]], [1.0, [1, 1, 1]]],
    }
    hips = {"name": "Hips", "transformation": np.eye(4).ravel().tolist()}
    animation = {"name": "", "duration": 2.0, "tickspersecond": 30.0, "channels": [channel]}
    scene = {"rootnode": {**hips, "name": "root", "children": [hips]}, "animations": [animation]}
    monkeypatch.setattr(fbx, "read_scene", lambda path: scene)
    path = tmp_path / "clip.fbx"
    path.write_bytes(fbx.FBX_MAGIC[0])
    assert fbx.read_fbx(path, ReadOptions()).joint_names == ("Hips",)
    channel[f"{kind}keys"] = keys
    with pytest.raises(InputError, match=f"clip.fbx: .*{said}"):
        fbx.read_fbx(path, ReadOptions())


def test_a_file_that_cannot_be_read_says_how_to_convert(tmp_path: Path) -> None:
    for start in (b"Kaydara FBX Binary  \x00\x1a\x00", b"; FBX 7.3.0 project file\n"):
        path = tmp_path / "clip.fbx"
        path.write_bytes(start)
        with pytest.raises(InputError, match=r"in Blender.*\.bvh"):
            read_human_motion(path)


def test_without_assimp_the_extra_is_named(step: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assimp, "library", lambda: None)
    with pytest.raises(InputError, match=r"pip install 'humanoid-mimic\[fbx\]'"):
        read_human_motion(step)
