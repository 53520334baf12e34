"""Clips that declare more than they may, or hold absurd numbers: one line that names the limit."""

from __future__ import annotations

import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mimic_base.errors import InputError
from mimic_base.limits import lifted
from mimic_base.numpy_files import load_npz
from motions import RobotMotion, read_human_motion
from motions.robot.formats.detect import ReadOptions
from motions.robot.formats.reading import read_robot_trajectory

Refused = Callable[..., str]


def told(path: Path, **options: object) -> str:
    with pytest.raises(InputError) as error:
        read_human_motion(path, **options)  # type: ignore[arg-type]
    text = str(error.value)
    assert str(path) in text and "breaks the reader" not in text
    return text


# -- archives -------------------------------------------------------------------------------------


def npy(descr: str, shape: str, data: bytes = b"", fortran: str = "False") -> bytes:
    head = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + data


def npz(path: Path, method: int = zipfile.ZIP_DEFLATED, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return path


HEADS: dict[str, tuple[bytes, str]] = {
    "a shape of terabytes": (npy("'<f8'", "(1000000000000, 29)"), "are announced, 0 are there"),
    "a shape without end": (npy("'<f8'", "(" + "9" * 400 + ",)"), "a shape that no array has"),
    "no values, absurdly many": (npy("'<f8'", f"(0, {2**60}, {2**60})"), "not a readable NumPy"),
    "a negative size": (npy("'<f8'", "(-1,)"), "a head that NumPy does not write"),
    "a true size": (npy("'<f8'", "(True,)"), "a head that NumPy does not write"),
    "a deep head": (npy("'<f8'", "(" * 9000), "a head that NumPy does not write"),
    "a head of code": (npy("__import__('os').name", "(1,)"), "a head that NumPy does not write"),
    "texts of a gigabyte": (npy("'<U900000000'", "(1,)"), "texts of 900000000 characters"),
    "texts without characters": (npy("'<U0'", "(20000000,)"), "limit 'items'"),
    "raw memory": (npy("'|V8'", "(1,)", bytes(8)), "not plain numbers"),
    "dates": (npy("'<M8[s]'", "(1,)", bytes(8)), "not plain numbers"),
    "a structure": (npy("[('a', '<f8')]", "(1,)", bytes(8)), "not plain numbers"),
    "an unknown version": (b"\x93NUMPY\x07\x00" + bytes(20), "version 7"),
    "only a start": (b"\x93NUMPY\x01", "does not begin as a NumPy array"),
    "a head beyond the end": (b"\x93NUMPY\x01\x00\xff\xff{}", "a head that NumPy does not write"),
    "no character": (npy("'<U2'", "(1,)", b"\xff" * 8), "4294967295, which there is not"),
    "none, turned": (npy("'>U1'", "(1,)", b"\0\x11\0\0"), "1114112, which there is not"),
    "a pickle that is none": (npy("'|O'", "(1,)", b"\x80\x04"), "not plain numbers"),
    "a forged pickle": (npy("'|O'", "(1,)", b"cos\nsystem\n."), "os.system"),
}


@pytest.mark.parametrize("name", HEADS)
def test_a_forged_array_is_one_line(name: str, tmp_path: Path) -> None:
    data, rule = HEADS[name]
    path = npz(tmp_path / "clip.npz", joint_pos=data)
    with pytest.raises(InputError, match=rule):
        load_npz(path)
    (tmp_path / "clip.npy").write_bytes(data)
    assert "clip.npy" in told(tmp_path / "clip.npy", fps=30)


def _encrypted(path: Path) -> Path:
    npz(path, zipfile.ZIP_STORED, joint_pos=npy("'<f8'", "(2,)", bytes(16)))
    data = bytearray(path.read_bytes())
    for magic, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(magic) + at] |= 1
    path.write_bytes(bytes(data))
    return path


def _lying(path: Path) -> Path:
    """The contents say 100 bytes, the member unpacks to 300 MB."""
    npz(path, joint_pos=bytes(300 << 20))
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = struct.pack("<I", 100)
    path.write_bytes(bytes(data))
    return path


def _twice(path: Path) -> Path:
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "w") as archive:
        for _ in range(2):
            archive.writestr("joint_pos.npy", npy("'<f8'", "(2,)", bytes(16)))
    return path


def _many(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(10_001):
            archive.writestr(f"{i}.npy", b"")
    return path


def _other_method(path: Path) -> Path:
    return npz(path, zipfile.ZIP_LZMA, joint_pos=npy("'<f8'", "(2,)", bytes(16)))


def _bomb(path: Path) -> Path:
    return npz(path, joint_pos=npy("'<f8'", "(40000000,)", bytes(320_000_000)))


ARCHIVES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "encrypted": (_encrypted, "the archive is encrypted"),
    "a size that is a lie": (_lying, "not a readable"),
    "two members of one name": (_twice, "have one name"),
    "ten thousand members": (_many, "limit 'members' .*--limit members=10001"),
    "another method": (_other_method, "unknown method"),
    "a bomb": (_bomb, "limit 'ratio' .*--limit ratio="),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_forged_archive_is_one_line(name: str, tmp_path: Path) -> None:
    make, rule = ARCHIVES[name]
    path = make(tmp_path / "clip.npz")
    with pytest.raises(InputError, match=rule):
        load_npz(path)
    with pytest.raises(InputError, match=rule):
        read_human_motion(path, fps=30)


def test_damaged_archives_are_one_line_each(tmp_path: Path) -> None:
    path = tmp_path / "clip.npz"
    np.savez_compressed(path, joint_pos=np.arange(300.0).reshape(-1, 3), names=np.array(["a"]))
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), rng.choice([1, 3])):
            data[at] = rng.integers(256)
        path.write_bytes(bytes(data[: len(data) - int(rng.choice([0, 0, 0, 20, 300]))]))
        try:
            load_npz(path)
        except InputError as error:
            assert len(str(error)) < 700


def test_archives_within_the_limits_are_read(tmp_path: Path) -> None:
    """Zeros pack a thousandfold: small bombs are none."""
    arrays = {
        "zeros": np.zeros((50_000, 29)), "fortran": np.asfortranarray(np.ones((3, 2))),
        "big": np.arange(4, dtype=">i4"), "names": np.array(["a", "é"]), "point": np.array(3.0),
        "none": np.zeros((0, 3)), "objects": np.array(["a", None], dtype=object),
    }  # fmt: skip
    np.savez_compressed(tmp_path / "clip.npz", **arrays)
    found = load_npz(tmp_path / "clip.npz", objects=True)
    for name, value in arrays.items():
        assert found[name].dtype == value.dtype and found[name].tolist() == value.tolist()
        assert found[name].flags.writeable
    with pytest.raises(InputError, match="objects: it holds Python objects"):
        load_npz(tmp_path / "clip.npz")


def test_a_limit_is_lifted_by_the_option(tmp_path: Path, refused: Refused) -> None:
    members = {f"a{i}": npy("'<f8'", "(1,)", bytes(8)) for i in range(9)}
    path = npz(tmp_path / "clip.npz", zipfile.ZIP_DEFLATED, **members)
    line = refused("mimic.cli", "motions", "info", path, "--limit", "members=8")
    assert "above the limit 'members' (found 9, expected at most 8); --limit members=9" in line
    line = refused("mimic.cli", "motions", "info", path, "--limit", "members=9")
    assert "members" not in line


# -- BVH ------------------------------------------------------------------------------------------

_JOINT = "OFFSET 0 10 0\nCHANNELS 3 Zrotation Xrotation Yrotation\n"


def bvh(path: Path, frames: str = "2", *, joints: str = "", rows: str | None = None) -> Path:
    rows = "0 0 0 0 0 0\n" * 2 if rows is None else rows
    path.write_text(
        "HIERARCHY\nROOT hips\n{\nOFFSET 0 0 0\nCHANNELS 6 Xposition Yposition Zposition Zrotation "
        f"Xrotation Yrotation\n{joints}}}\nMOTION\nFrames: {frames}\nFrame Time: 0.01\n{rows}"
    )
    return path


def test_bvh_counts_are_limited(tmp_path: Path) -> None:
    path = tmp_path / "clip.bvh"
    line = told(bvh(path, "1000001"))
    assert "the number of frames is above the limit 'frames' (found 1000001" in line
    assert "a number of frames is expected" in told(bvh(path, "9" * 5000))
    assert "a number of frames is expected" in told(bvh(path, "²"))
    many = "".join(f"JOINT j{i}\n{{\nOFFSET 0 1 0\n}}\n" for i in range(1000))
    assert "limit 'joints' (found 1001" in told(bvh(path, joints=many))
    deep = "".join(f"JOINT j{i}\n{{\nOFFSET 0 1 0\n" for i in range(100)) + "}\n" * 100
    assert "the nesting of joints is above the limit 'depth' (found 101" in told(
        bvh(path, joints=deep)
    )
    channels = "JOINT a\n{\nCHANNELS 5000 " + "Xrotation " * 5000 + "\n}\n"
    assert "three positions and three rotations" in told(bvh(path, joints=channels))


def test_a_bvh_of_few_bytes_makes_no_large_arrays(tmp_path: Path) -> None:
    """Joints without channels cost no text in a frame, yet memory."""
    still = "".join(f"JOINT j{i}\n{{\nOFFSET 0 1 0\n}}\n" for i in range(999))
    path = bvh(tmp_path / "clip.bvh", "100000", joints=still, rows="0 0 0 0 0 0\n" * 100_000)
    assert "limit 'bytes'" in told(path)
    path = bvh(tmp_path / "clip.bvh", "15000", joints=still, rows="0 0 0 0 0 0\n" * 15_000)
    assert "limit 'ratio'" in told(path)


@pytest.mark.parametrize("value", ["1e7", "-1e40", "1e303"])
def test_absurd_numbers_are_told_with_their_place(
    value: str, tmp_path: Path, refused: Refused
) -> None:
    path = bvh(tmp_path / "clip.bvh", rows=f"0 0 0 0 0 0\n0 {value} 0 0 0 0\n")
    line = told(path)
    assert "(frame 1, channel hips yposition) is above the limit 'magnitude'" in line
    assert "--limit magnitude=" in line
    assert line in refused(
        "mimic.cli", "retarget", path, "--robot", "unitree_g1", "--out", path.parent
    )
    offset = bvh(path, joints=f"JOINT a\n{{\nOFFSET 0 {value} 0\n}}\n")
    assert ":8: a number of OFFSET is above the limit 'magnitude'" in told(offset)


def test_what_is_lifted_is_read(tmp_path: Path) -> None:
    path = bvh(tmp_path / "clip.bvh", rows="0 0 0 0 0 0\n0 2e6 0 0 0 0\n")
    with lifted(magnitude=3e6):
        assert "magnitude" not in told(path)


# -- ASF and AMC ----------------------------------------------------------------------------------

_ROOT = ":units\nlength 0.45\nangle deg\n:root\norder TX TY TZ RX RY RZ\naxis XYZ\n"


def amc(folder: Path, skeleton: str, frames: str) -> Path:
    (folder / "clip.asf").write_text(skeleton)
    path = folder / "clip.amc"
    path.write_text(":FULLY-SPECIFIED\n:DEGREES\n" + frames)
    return path


def _bones(count: int) -> str:
    return ":bonedata\n" + "".join(
        f"begin\nname b{i}\ndirection 0 1 0\nlength 1\ndof rx ry rz\nend\n" for i in range(count)
    )


@pytest.mark.parametrize(
    "skeleton, rule",
    [
        (_ROOT + _bones(1) + ":hierarchy\nroot b0\nb0 root\n", "the root hangs on no bone"),
        (_ROOT + _bones(1001) + ":hierarchy\nroot b0\n", "limit 'joints' .found 1001"),
        (_ROOT + _bones(1).replace("length 1", "length") + ":hierarchy\nroot b0\n", "1 numbers"),
        (
            _ROOT + _bones(1).replace("length 1", "length 1e9") + ":hierarchy\nroot b0\n",
            "magnitude",
        ),
        (_ROOT.replace("0.45", "nan") + _bones(1) + ":hierarchy\nroot b0\n", "unit of length"),
        (":root\naxis\n:hierarchy\nroot\n", "no :hierarchy|axis"),
        (":root\naxis " + "x" * 99 + "\n" + _bones(1) + ":hierarchy\nroot b0\n", "axis order"),
    ],
)
def test_a_forged_skeleton_is_one_line(skeleton: str, rule: str, tmp_path: Path) -> None:
    path = amc(tmp_path, skeleton, "1\nroot 0 0 0 0 0 0\n")
    with pytest.raises(InputError, match=rule) as error:
        read_human_motion(path)
    assert re.search("clip.asf|clip.amc", str(error.value))
    assert "breaks the reader" not in str(error.value)


def test_frames_without_bones_make_no_large_arrays(tmp_path: Path) -> None:
    skeleton = (
        ":root\naxis XYZ\n"
        + _bones(999)
        + ":hierarchy\nroot "
        + " ".join(f"b{i}" for i in range(999))
    )
    path = amc(tmp_path, skeleton, "1\n" * 400_000)
    assert "the clip of" in told(path)


def test_absurd_angles_are_told_with_their_place(tmp_path: Path) -> None:
    path = amc(tmp_path, _ROOT + _bones(1) + ":hierarchy\nroot b0\n", "1\nroot 0 0 0 0 1e9 0\n")
    assert "a number of the values (frame 0, root ry) is above the limit 'magnitude'" in told(path)


# -- arrays and tables ----------------------------------------------------------------------------


def test_absurd_positions_in_arrays_are_told(tmp_path: Path) -> None:
    joints = np.random.default_rng(0).normal(size=(5, 22, 3))
    joints[3, 4, 1] = 5e6
    np.savez(tmp_path / "clip.npz", joints=joints)
    line = told(tmp_path / "clip.npz", fps=30, layout="lafan22")
    assert "a number of the positions (frame 3, " in line and "found 5000000" in line


@pytest.mark.parametrize("shape", [(0, 591), (0, 22, 3), (5, 0, 3), (1, 1), (0,), ()])
def test_empty_arrays_are_told(shape: tuple[int, ...], tmp_path: Path) -> None:
    np.save(tmp_path / "clip.npy", np.zeros(shape))
    told(tmp_path / "clip.npy", fps=30)


def test_a_robot_motion_has_sane_numbers(tmp_path: Path) -> None:
    path = tmp_path / "clip.csv"
    row = "0,0,0.8,0,0,0,1" + ",0.1" * 29
    path.write_text(row + "\n" + row.replace("0.8", "1e9") + "\n")
    with pytest.raises(InputError, match=r"root position \(frame 1, column 2\) is above the limit"):
        read_robot_trajectory(path, ReadOptions(format="unitree-csv"))
    path.write_text((row + ",0" * 1000 + "\n") * 2)
    with pytest.raises(InputError, match="limit 'joints'"):
        read_robot_trajectory(path, ReadOptions(format="unitree-csv"))
    with lifted(frames=1), pytest.raises(InputError, match="limit 'frames'"):
        path.write_text((row + "\n") * 2)
        read_robot_trajectory(path, ReadOptions(format="unitree-csv"))


@pytest.mark.parametrize("fps", [np.array([[1], [2]]), np.inf, -np.inf, np.nan, 1e300, 0])
def test_absurd_rates_are_told(fps: Any, tmp_path: Path) -> None:
    frames = np.zeros((4, 3))
    turned = np.tile([0.0, 0, 0, 1], (4, 1))
    np.savez(
        tmp_path / "clip.npz", fps=fps, root_pos=frames, root_rot=turned, dof_pos=np.zeros((4, 29))
    )
    with pytest.raises(InputError, match="fps|frame rate") as error:
        read_robot_trajectory(tmp_path / "clip.npz")
    assert "breaks the reader" not in str(error.value)


def test_rows_of_unequal_length_in_a_pickle_are_told(tmp_path: Path) -> None:
    import pickle

    content = {"fps": 30, "root_pos": [[0.0, 0, 1]] * 3, "root_rot": [[0.0, 0, 0, 1]] * 3,
               "dof_pos": [[0.0] * 29] * 3, "local_body_pos": [[1.0], [1.0, 2.0]],
               "link_body_list": [["a"], {"b": 1}]}  # fmt: skip
    path = tmp_path / "clip.pkl"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match="clip.pkl: .*link_body_list") as error:
        read_robot_trajectory(path)
    assert "breaks the reader" not in str(error.value)


def test_a_robot_motion_of_absurd_numbers_is_not_loaded(tmp_path: Path) -> None:
    from motions.robot.motion import FRAME_FIELDS

    shapes = {"joint_pos": (3, 2), "joint_vel": (3, 2), "body_pos_w": (3, 1, 3),
              "body_quat_w": (3, 1, 4), "body_lin_vel_w": (3, 1, 3),
              "body_ang_vel_w": (3, 1, 3)}  # fmt: skip
    arrays: dict[str, Any] = {key: np.zeros(shapes[key], np.float32) for key in FRAME_FIELDS}
    arrays["body_quat_w"][..., 0] = 1
    arrays["joint_vel"][2, 1] = 1e9
    np.savez(tmp_path / "a.npz", fps=50, joint_names=["a", "b"], body_names=["base"], **arrays)
    with pytest.raises(InputError, match=r"joint_vel \(frame 2, column 1\) is above the limit"):
        RobotMotion.load(tmp_path / "a.npz")


def test_a_pipe_that_never_ends_is_refused(refused: Refused) -> None:
    line = refused("mimic.cli", "retarget", "/dev/zero", "--robot", "unitree_g1", "--out", "/tmp",
                   "--limit", "bytes=50M")  # fmt: skip
    assert "/dev/zero" in line


def test_members_that_are_no_arrays_are_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "clip.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", npy("'<f8'", "(1,)", bytes(8)))
        archive.writestr("readme.txt", b"the checksum of this is wrong")
    path.write_bytes(path.read_bytes().replace(b"the checksum", b"The checksum"))
    assert load_npz(path)["a"].tolist() == [0.0]
