"""The door for texts of others: marks, UTF-16 and older encodings; what is no file at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from mimic_base.errors import InputError
from mimic_base.json_text import parse_json
from mimic_base.reading import read_bounded
from mimic_base.text_files import decoded, encoding_of

JAPANESE = "JOINT 左ひざ\nJOINT センター\nJOINT 右足首\n"
CHINESE = "JOINT 左大腿\nJOINT 右小腿\nJOINT 骨盆\n"
GERMAN = "JOINT Hüfte\nJOINT Füße_links\nJOINT Schlüsselbein\n"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        *((JAPANESE, name) for name in ("utf-8", "utf-8-sig", "utf-16", "utf-32", "cp932")),
        (CHINESE, "gbk"),
        (CHINESE, "utf-8-sig"),
        (GERMAN, "cp1252"),
        (GERMAN, "latin-1"),
        ("a,b;c\n1,2;3\n", "utf-16-le"),
        ("a,b;c\n1,2;3\n", "utf-16-be"),
    ],
)
def test_a_text_comes_out_whatever_its_encoding(text: str, encoding: str) -> None:
    assert decoded("clip.bvh", text.encode(encoding)) == text


def test_what_is_binary_is_no_text() -> None:
    with pytest.raises(InputError, match=r"clip.bvh: a text file is expected, this one is binary"):
        decoded("clip.bvh", bytes(range(256)) * 4)


def test_a_character_cut_off_by_the_end_of_what_is_looked_at_changes_nothing() -> None:
    assert encoding_of("clip.bvh", JAPANESE.encode()[:-2]) == "utf-8"


def test_json_of_windows_programs() -> None:
    assert parse_json("meta.json", '{"name": "Hüfte"}'.encode("utf-16")) == {"name": "Hüfte"}


def test_a_pointer_of_git_lfs_says_how_to_fetch_the_file(tmp_path: Path) -> None:
    path = tmp_path / "clip.fbx"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4242\n")
    with pytest.raises(InputError, match=r"clip\.fbx: a Git LFS pointer.*git lfs pull"):
        read_bounded(path)
