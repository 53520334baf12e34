"""Variants of the robot of boxes, each with one feature that real robots have."""

from __future__ import annotations

import re

from tests.robots.stick_urdf import urdf


def ranged(low: float, high: float, joints: tuple[str, ...]) -> str:
    """The robot with another range for some joints."""
    text = urdf()
    for name in joints:
        pattern = rf'(<joint name="j_{name}".*?<limit )lower="[^"]*" upper="[^"]*"'
        text, count = re.subn(pattern, rf'\1lower="{low}" upper="{high}"', text, flags=re.S)
        assert count == 1
    return text


def based(height: float) -> str:
    """The robot whose base frame lies `height` m from the pelvis, as floor-level frames do."""
    text = urdf()
    for name in ("trunk", "part_10", "part_20"):
        pattern = rf'(<child link="{name}"/><origin xyz="\S+ \S+) ([^"]+)"'
        text, count = re.subn(
            pattern, lambda m: f'{m.group(1)} {float(m.group(2)) - height:g}"', text
        )
        assert count == 1
    shape = f'<origin xyz="0 0 {-height:g}"/>'
    head, tail = text.split('<link name="trunk"', 1)
    return re.sub(r'<origin xyz="0 0 0"/>', shape, head) + '<link name="trunk"' + tail


def short_arms(sideways: float, forward: float) -> str:
    """Upper arms of 4 cm whose elbow lies off to the side and ahead of the shoulder (m)."""
    text = urdf()
    for name, sign in (("part_33", 1.0), ("part_43", -1.0)):
        pattern = rf'(<child link="{name}"/><origin xyz=")[^"]+"'
        place = f"{forward:g} {sign * sideways:g} -0.033"
        text, count = re.subn(pattern, rf'\g<1>{place}"', text)
        assert count == 1
    return text


def ball_for_forearm(radius: float) -> str:
    """Forearms that are seen in full and collide with a small ball in the elbow."""
    text = urdf()
    for name in ("part_33", "part_43"):
        pattern = rf'(<link name="{name}">.*?)<collision>(.*?)</collision>'
        ball = f'<collision><geometry><sphere radius="{radius:g}"/></geometry></collision>'
        text, count = re.subn(pattern, rf"\1<visual>\2</visual>{ball}", text, flags=re.S)
        assert count == 1
    return text


def unseen() -> str:
    """The robot whose every shape is a mesh that is absent."""
    return re.sub(
        r"<collision>.*?</collision>",
        '<visual><geometry><mesh filename="gone/part.stl"/></geometry></visual>',
        urdf(),
    )


def four_legged() -> str:
    """The robot with its arms ahead of the legs, and as long."""
    text = urdf()
    for name, y in (("part_30", 0.1), ("part_40", -0.1)):
        text = re.sub(
            rf'(<child link="{name}"/><origin xyz=")[^"]+"', rf'\g<1>0.5 {y} -0.13"', text
        )
    for name in ("part_33", "part_43"):
        text = re.sub(rf'(<child link="{name}"/><origin xyz=")[^"]+"', r'\g<1>0 0 -0.4"', text)
        text = re.sub(
            rf'(<link name="{name}">.*?<box size=")[^"]+(")', r"\g<1>0.05 0.05 0.9\2", text,
            flags=re.S,
        )  # fmt: skip
    return text
