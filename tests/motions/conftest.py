"""A small walking person as BVH text: any unit, any up axis, any names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

# name, parent, offset in cm: x left, y up, z forward
PERSON: tuple[tuple[str, str, tuple[float, float, float]], ...] = (
    ("Hips", "", (0, 0, 0)),
    ("LeftUpLeg", "Hips", (9, -3, 0)),
    ("LeftLeg", "LeftUpLeg", (0, -43, 0)),
    ("LeftFoot", "LeftLeg", (0, -42, 0)),
    ("LeftToeBase", "LeftFoot", (0, -5, 14)),
    ("RightUpLeg", "Hips", (-9, -3, 0)),
    ("RightLeg", "RightUpLeg", (0, -43, 0)),
    ("RightFoot", "RightLeg", (0, -42, 0)),
    ("RightToeBase", "RightFoot", (0, -5, 14)),
    ("Spine", "Hips", (0, 10, 0)),
    ("Spine1", "Spine", (0, 20, 0)),
    ("Neck", "Spine1", (0, 22, 0)),
    ("Head", "Neck", (0, 10, 1)),
    ("LeftShoulder", "Spine1", (4, 18, 0)),
    ("LeftArm", "LeftShoulder", (13, 0, 0)),
    ("LeftForeArm", "LeftArm", (28, 0, 0)),
    ("LeftHand", "LeftForeArm", (25, 0, 0)),
    ("RightShoulder", "Spine1", (-4, 18, 0)),
    ("RightArm", "RightShoulder", (-13, 0, 0)),
    ("RightForeArm", "RightArm", (-28, 0, 0)),
    ("RightHand", "RightForeArm", (-25, 0, 0)),
)
# Turns y up into z up, the heading kept: (x, y, z) -> (x, -z, y).
Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])

MakeBvh = Callable[..., Path]


def _turns(joint: str, phase: np.ndarray) -> Rotation:
    """Local rotations [T] of a joint in the walk, in the y-up world."""
    side = -1.0 if joint.startswith("Right") else 1.0
    x, y, z = np.zeros((3, len(phase)))
    if joint.endswith("UpLeg"):
        x = -10 - 25 * side * phase
    elif joint.endswith("Leg"):
        x = x + 25
    elif joint.endswith("ForeArm"):
        y = y - 30 * side
    elif joint.endswith("Arm"):
        # Intrinsic: the body's swing first, then the arm hangs down.
        x, z = 20 * side * phase, z - 75 * side
    return Rotation.from_euler("XYZ", np.stack([x, y, z], axis=1), degrees=True)


def _other_side(joint: str) -> str:
    if joint.startswith("Left"):
        return "Right" + joint[4:]
    return "Left" + joint[5:] if joint.startswith("Right") else joint


@pytest.fixture
def make_bvh(tmp_path: Path) -> MakeBvh:
    """`make_bvh(...)` writes a walking person 1.7 m tall and returns the file's path."""

    def make(
        name: str = "clip.bvh",
        *,
        frames: int = 40,
        fps: float = 30.0,
        scale: float = 1.0,
        up: str = "y",
        rename: dict[str, str] | None = None,
        rest_frames: int = 0,
        swap_names: bool = False,
        toes: bool = True,
    ) -> Path:
        person = [p for p in PERSON if toes or "Toe" not in p[0]]
        axes = np.eye(3) if up == "y" else Z_UP
        lines, order = ["HIERARCHY"], []

        def text(vector: tuple[float, float, float]) -> str:
            return " ".join(f"{c:.6f}" for c in axes @ np.array(vector) * scale)

        def write(joint: str, offset: tuple[float, float, float], depth: int) -> None:
            order.append(joint)
            label = _other_side(joint) if swap_names else joint
            label = (rename or {}).get(label, label)
            rotations = "Zrotation Yrotation Xrotation"
            channels = f"6 Xposition Yposition Zposition {rotations}"
            lines.append(f"{'JOINT' if depth else 'ROOT'} {label}\n{{\nOFFSET {text(offset)}")
            lines.append(f"CHANNELS {channels if depth == 0 else f'3 {rotations}'}")
            children = [p for p in person if p[1] == joint]
            for child, _, child_offset in children:
                write(child, child_offset, depth + 1)
            if not children:
                tip = (0, -5, 14) if "Foot" in joint else (0, 0, 0)
                lines.append(f"End Site\n{{\nOFFSET {text(tip)}\n}}")
            lines.append("}")

        write(*((PERSON[0][0], PERSON[0][2], 0)))
        lines += ["MOTION", f"Frames: {frames + rest_frames}", f"Frame Time: {1 / fps:.7f}"]
        time = np.arange(max(frames, 1))
        columns = [np.array([0.0, 93.0, 0.0]) + np.outer(time, [0, 0, 4.0])]
        columns[0] = columns[0] @ axes.T * scale
        for joint in order:
            turns = axes @ _turns(joint, np.cos(2 * np.pi * time / 30)).as_matrix() @ axes.T
            columns.append(Rotation.from_matrix(turns).as_euler("ZYX", degrees=True))
        rest = np.zeros((rest_frames, 3 + 3 * len(order)))
        rest[:, :3] = axes @ np.array([0, 93, 0]) * scale
        values = np.concatenate([rest, np.concatenate(columns, axis=1)[:frames]])
        lines += [" ".join(f"{v:.6f}" for v in row) for row in values]
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n")
        return path

    return make
