"""A file of another kind than the one wanted is told as what it is."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mimic_base.errors import MimicError
from mimic_base.kinds import kind_of, refuse_other_kind


def packed(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), content)
    return stream.getvalue()


def npy() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.zeros(3))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"", "an empty file"),
        (packed(fps_dot_npy=npy()), "a NumPy archive (.npz), such as motions are"),
        (packed(last__data_dot_pkl=b"\x80\x02}."), "a PyTorch archive (.pt), such as checkpoints"),
        (packed(readme_dot_txt=b"words"), "a zip archive"),
        (b"PK\x03\x04 torn", "a zip archive"),
        (npy(), "a NumPy array (.npy)"),
        (pickle.dumps({"fps": 30}), "a pickle"),
        (b"\x08\x08\x12\x07pytorch\x1a\x05", "an ONNX network"),
        (b"HIERARCHY\nROOT Hips\n", "a BVH clip"),
        (json.dumps({"Frames": []}).encode(), "a JSON text"),
        (b"\n <mujoco/>", "an XML text"),
        (b"words", "a text"),
        (b"\x00\x01\x02\x03", None),
        (b"\x80", None),
    ],
)
def test_what_a_file_is(start: bytes, kind: str | None) -> None:
    found = kind_of(start)
    assert found == kind or (found is not None and kind is not None and found.startswith(kind))


def test_the_refusal_names_file_kind_and_what_to_give() -> None:
    path = Path("walk.npz")
    with pytest.raises(MimicError) as raised:
        refuse_other_kind(path, packed(a_dot_npy=npy()), "ONNX", "policy", "expected a policy.onnx")
    assert str(raised.value) == (
        "walk.npz: not a readable policy: it is a NumPy archive (.npz), such as motions are; "
        "expected a policy.onnx"
    )
    refuse_other_kind(path, b"\x08\x08\x12\x07pytorch", "ONNX", "policy", "")
    refuse_other_kind(path, b"\x00\x01", "ONNX", "policy", "")
