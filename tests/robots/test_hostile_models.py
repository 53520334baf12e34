"""Models of a few lines that ask for hours or for all the memory: one line each, and no robot."""

from __future__ import annotations

import os
import struct
import sys
import zlib
from pathlib import Path

import pytest

import robots
from mimic_base import child
from mimic_base.errors import InputError, RobotError, UserError
from mimic_base.limits import lifted
from robots import foreign
from robots.derive.add import add_robot
from robots.foreign import check_model, look_through
from robots.models import load_spec

BODY = '<body name="b"><freejoint/><geom size="1"/></body>'


def model(inside: str = BODY, around: str = "") -> str:
    return f"<mujoco>{around}<worldbody>{inside}</worldbody></mujoco>"


@pytest.fixture(autouse=True)
def a_cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIMIC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(foreign, "_CHECKED", set())


def nested(count: int, tag: str) -> str:
    return f"<{tag}>" * count + f"</{tag}>" * count


LINKS = "".join(f'<link name="l{k}"/>' for k in range(20_000))
BOMBS: dict[str, tuple[str, str]] = {
    "replicate": (model(f'<replicate count="100000000">{BODY}</replicate>'), "elements"),
    "replicate in replicate": (
        model('<replicate count="9999">' * 3 + BODY + "</replicate>" * 3), "elements"
    ),
    "endless count": (model(f'<replicate count="1e999">{BODY}</replicate>'), "elements"),
    "count of no number": (model(f'<replicate count="nan">{BODY}</replicate>'), "elements"),
    "many bodies": (model(f'<replicate count="5000">{BODY}</replicate>'), "joints"),
    "flexcomp": (
        model('<body><flexcomp name="f" type="grid" count="2000 2000 2000" dim="3"/></body>'),
        "elements",
    ),
    "composite": (
        model('<body><composite type="cable" count="9000 9000 1"/></body>'), "elements"
    ),
    "height field": (
        model(around='<asset><hfield name="h" nrow="99999" ncol="99999" size="1 1 1 1"/></asset>'),
        "cells",
    ),
    "texture": (
        model(around='<asset><texture name="t" type="2d" builtin="flat" width="99999" '
              'height="99999"/></asset>'),
        "cells",
    ),
    "size": (model(around='<size memory="900G"/>'), "memory"),
    "user data": (model(around='<size nuserdata="2000000000"/>'), "items"),
    "deep bodies": (model(nested(5000, "body")), "depth"),
    "deep links": (f'<robot name="r">{nested(5000, "link")}</robot>', "depth"),
    "20,000 links": (f'<robot name="r">{LINKS}</robot>', "joints"),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_before_anything_is_built(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, limit = BOMBS[name]
    path = tmp_path / "bomb.xml"
    path.write_text(text)
    monkeypatch.setattr(child, "call", lambda job: pytest.fail("MuJoCo was asked"))
    with pytest.raises(InputError, match=f"bomb.xml: .*--limit {limit}=") as raised:
        add_robot(path, out=tmp_path / "r.toml")
    assert len(str(raised.value)) < 400 and not (tmp_path / "r.toml").exists()


def test_a_limit_that_is_lifted_lets_a_model_through(tmp_path: Path) -> None:
    path = tmp_path / "many.xml"
    path.write_text(BOMBS["many bodies"][0])
    with lifted(joints=6000):
        assert look_through(path).texts == [path]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<!DOCTYPE m [<!ENTITY a 'b'>]><mujoco/>", "entities or a document type"),
        ("<!DOCTYPE m SYSTEM 'file:///etc/passwd'><mujoco/>", "entities or a document type"),
        ('<mujoco><include file="/etc/passwd"/></mujoco>', "outside its own folder"),
        ('<mujoco><include file="../../../etc/passwd"/></mujoco>', "outside its own folder"),
        ('<mujoco><include file="m.xml"/></mujoco>', "includes itself"),
        ('<mujoco><include file="pipe.xml"/></mujoco>', "no ordinary file"),
        ('<mujoco><asset><mesh file="pipe.xml"/></asset></mujoco>', "no ordinary file"),
        ('<mujoco><asset><mesh file="/dev/zero"/></asset></mujoco>', "no ordinary file"),
        ('<robot><link><visual><geometry><mesh filename="/dev/zero"/></geometry></visual></link>'
         "</robot>", "no ordinary file"),
        ("<mujoco>", "not XML"),
        ("<?xml version='1.0' encoding='nonsense'?><mujoco/>", "not XML"),
        ("\0" * 40, "not XML"),
    ],
)  # fmt: skip
def test_what_a_model_may_not_say(text: str, said: str, tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    path = folder / "m.xml"
    path.write_text(text)
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.xml")
    with pytest.raises(RobotError, match=said):
        check_model(path)


def test_files_that_include_one_another_are_counted_with_their_copies(tmp_path: Path) -> None:
    (tmp_path / "f0.xml").write_text(model())
    for k in range(1, 31):
        twice = "".join(f'<attach model="x" body="b" prefix="{p}"/>' for p in "ab")
        around = f'<asset><model name="x" file="f{k - 1}.xml"/></asset>'
        (tmp_path / f"f{k}.xml").write_text(model(twice, around))
    with pytest.raises(InputError, match="--limit (elements|joints)="):
        look_through(tmp_path / "f30.xml")
    assert len(look_through(tmp_path / "f3.xml").texts) == 4
    (tmp_path / "above.xml").write_text("<mujocoinclude/>")
    below = tmp_path / "below"
    below.mkdir()
    (below / "m.xml").write_text('<mujoco><include file="../above.xml"/></mujoco>')
    assert len(look_through(below / "m.xml").texts) == 2  # the folder above is the model's too


def png(wide: int, high: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", wide, high, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 1000))


def test_a_picture_that_declares_too_much(tmp_path: Path) -> None:
    (tmp_path / "big.png").write_bytes(png(1 << 20, 1 << 20))
    path = tmp_path / "m.xml"
    path.write_text(model(around='<asset><hfield name="h" file="big.png" size="1 1 1 1"/></asset>'))
    with pytest.raises(InputError, match="big.png: .*--limit cells="):
        check_model(path)


@pytest.mark.skipif(sys.platform != "linux", reason="memory and time are limited on Linux")
def test_what_no_text_shows_ends_in_the_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.xml"
    path.write_text(BOMBS["height field"][0])
    with lifted(cells=1e12, memory=1 << 29), pytest.raises(UserError) as raised:
        check_model(path)
    assert str(raised.value).startswith(str(path)) and "\n" not in str(raised.value)
    path.write_text(model(f'<replicate count="30000">{BODY}</replicate>'))
    with (
        lifted(elements=1e12, joints=1e12, compile=1),
        pytest.raises(InputError, match="--limit compile="),
    ):
        check_model(path)
    assert not list((tmp_path / "cache").rglob("*.npz"))


def test_a_checked_model_is_not_checked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.xml"
    path.write_text(model())
    jobs: list[child.Job] = []
    call = child.call

    def counted(job: child.Job) -> dict[str, object]:
        jobs.append(job)
        return call(job)

    monkeypatch.setattr(child, "call", counted)
    for _ in range(2):
        check_model(path)
    foreign._CHECKED.clear()  # another process
    check_model(path)
    assert len(jobs) == 1
    path.write_text(model(BODY.replace('"1"', '"2"')))
    check_model(path)
    assert len(jobs) == 2


def test_robots_that_are_installed_do_not_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MENAGERIE_ROOT", raising=False)
    monkeypatch.setattr(foreign, "check_model", lambda path: pytest.fail("it was checked"))
    assert robots.summary("unitree_g1")[0] == 29


def test_a_models_own_fault_is_told_as_before(tmp_path: Path) -> None:
    path = tmp_path / "m.xml"
    path.write_text(model('<body><geom type="box" size="-1 1 1"/></body>'))
    with pytest.raises(RobotError, match=f"^{path}: MuJoCo cannot") as raised:
        check_model(path)
    assert "size" in str(raised.value)


def test_a_description_nested_deep_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "deep.toml"
    for text in ("a = " + "[" * 100_000, "a = " + "9" * 10_000, "a = \0"):
        path.write_text(text)
        with pytest.raises(RobotError, match="not a valid TOML file|nesting of this TOML"):
            robots.load(path)


def test_a_mesh_that_a_motions_scene_names(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.obj", tmp_path / "bad.stl"
    good.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n")
    foreign.check_mesh(good, (1.0, 1.0, 1.0))
    bad.write_bytes(b"\0" * 80 + struct.pack("<I", 0xFFFFFFFF) + b"\0" * 50)
    with pytest.raises(UserError, match="bad.stl: .*") as raised:
        foreign.check_mesh(bad, (1.0, 1.0, 1.0))
    assert "\n" not in str(raised.value) and "MuJoCo" in str(raised.value)
    with pytest.raises(RobotError, match="ordinary file"):
        foreign.check_mesh(tmp_path, (1.0, 1.0, 1.0))
    with lifted(bytes=10), pytest.raises(InputError, match="--limit bytes="):
        foreign.check_mesh(good, (1.0, 1.0, 1.0))


TETRAHEDRON = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"


@pytest.mark.parametrize("where", ["before", "behind"])
@pytest.mark.parametrize("folder", ["/", "..", "../..", "meshes"])
def test_the_child_sees_only_what_the_model_names(
    folder: str, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "home" / "robot"
    (own / "meshes").mkdir(parents=True)
    mesh = Path(os.path.normpath(own / folder / ("" if folder != "/" else str(tmp_path)[1:]))) / "p"
    mesh = mesh.with_suffix(".obj")
    mesh.write_text(TETRAHEDRON)
    (mesh.parent / "secret.txt").write_text("a word")
    compiler = f'<compiler meshdir="{folder}"/>'
    asset = f'<asset><mesh file="{os.path.relpath(mesh, own / folder)}"/></asset>'
    body = '<body><freejoint/><geom type="mesh" mesh="p"/></body>'
    path = own / "m.xml"
    path.write_text(model(body, compiler + asset if where == "before" else asset + compiler))
    jobs: list[child.Job] = []
    call = child.call

    def seen(job: child.Job) -> dict[str, object]:
        jobs.append(job)
        return call(job)

    monkeypatch.setattr(child, "call", seen)
    check_model(path)  # that MuJoCo compiles it shows that the mesh could be read
    named = {path.resolve(), mesh.resolve()}
    below = {(own / "meshes").resolve()} if folder == "meshes" else set()
    assert set(jobs[0].reads) == named | below


def test_a_nan_in_a_model_is_refused_without_a_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """MuJoCo reads on with a warning, and writes it into a log in the current directory."""
    monkeypatch.chdir(tmp_path)
    model = tmp_path / "nan.xml"
    model.write_text(
        '<mujoco><worldbody><body><geom size="0.1" pos="0 nan 0"/></body></worldbody></mujoco>'
    )
    with pytest.raises(RobotError, match="nan.xml: MuJoCo cannot read this model: .* a 'nan'"):
        load_spec(model)
    assert [each.name for each in tmp_path.iterdir()] == ["nan.xml"]
    assert capfd.readouterr().err == ""
