"""A humanoid of boxes as URDF text, with names that say nothing about left and right."""

from __future__ import annotations

# name, parent, axis, origin in the parent, box (centre, size), range, effort, velocity
Part = tuple[
    str, str, str, tuple[float, float, float],
    tuple[tuple[float, float, float], tuple[float, float, float]],
    tuple[float, float], float, float,
]  # fmt: skip


def _limb(first: int, y: float, arm: bool) -> list[Part]:
    names = [f"part_{first + k:02d}" for k in range(6)]
    small = ((0.0, 0.0, 0.0), (0.05, 0.05, 0.05))
    if arm:
        upper = ((0.0, 0.0, -0.13), (0.06, 0.06, 0.24))
        lower = ((0.0, 0.0, -0.12), (0.05, 0.05, 0.24))
        return [
            (names[0], "trunk", "0 1 0", (0.0, y, 0.42), small, (-3.0, 3.0), 30.0, 12.0),
            (names[1], names[0], "1 0 0", (0.0, 0.0, 0.0), small, (-2.0, 2.0), 30.0, 12.0),
            (names[2], names[1], "0 0 1", (0.0, 0.0, -0.02), upper, (-1.5, 1.5), 20.0, 12.0),
            (names[3], names[2], "0 1 0", (0.0, 0.0, -0.26), lower, (-2.4, 0.1), 20.0, 12.0),
        ]
    thigh = ((0.0, 0.0, -0.2), (0.1, 0.1, 0.36))
    shank = ((0.0, 0.0, -0.2), (0.08, 0.08, 0.36))
    foot = ((0.05, 0.0, -0.04), (0.22, 0.09, 0.04))
    return [
        (names[0], "base", "0 0 1", (0.0, y, -0.08), small, (-1.0, 1.0), 90.0, 20.0),
        (names[1], names[0], "1 0 0", (0.0, 0.0, 0.0), small, (-0.6, 0.6), 90.0, 20.0),
        (names[2], names[1], "0 1 0", (0.0, 0.0, 0.0), thigh, (-2.0, 1.0), 90.0, 20.0),
        (names[3], names[2], "0 1 0", (0.0, 0.0, -0.4), shank, (-0.1, 2.4), 120.0, 18.0),
        (names[4], names[3], "0 1 0", (0.0, 0.0, -0.4), small, (-0.9, 0.6), 50.0, 25.0),
        (names[5], names[4], "1 0 0", (0.0, 0.0, 0.0), foot, (-0.4, 0.4), 50.0, 25.0),
    ]


def parts() -> list[Part]:
    body = ((0.0, 0.0, 0.25), (0.2, 0.3, 0.45))
    trunk: Part = ("trunk", "base", "0 0 1", (0, 0, 0.05), body, (-1.5, 1.5), 80.0, 15.0)
    return [
        trunk,
        *_limb(10, 0.1, arm=False),
        *_limb(20, -0.1, arm=False),
        *_limb(30, 0.21, arm=True),
        *_limb(40, -0.21, arm=True),
    ]


def hands() -> list[Part]:
    """A wrist and two long fingers on each forearm."""
    found: list[Part] = []
    palm = ((0.0, 0.0, -0.04), (0.03, 0.07, 0.08))
    finger = ((0.0, 0.0, -0.06), (0.02, 0.02, 0.12))
    for arm in ("part_33", "part_43"):
        wrist, side = f"{arm}_w", 1.0 if arm == "part_33" else -1.0
        found.append((wrist, arm, "0 1 0", (0.0, 0.0, -0.25), palm, (-1.0, 1.0), 5.0, 12.0))
        for k, y in enumerate((0.02, -0.02)):
            place = (0.0, side * y, -0.08)
            found.append((f"{wrist}{k}", wrist, "0 1 0", place, finger, (-1.5, 0.1), 1.0, 12.0))
    return found


def urdf(leave_out: tuple[str, ...] = (), mesh: str = "", more: tuple[Part, ...] = ()) -> str:
    """URDF text; `leave_out` names parts to omit with what hangs on them, `mesh` a file to show."""
    gone = set(leave_out)
    lines = ['<robot name="Stick Man">', _link("base", ((0, 0, 0), (0.16, 0.24, 0.12)), mesh)]
    for name, parent, axis, origin, box, (low, high), effort, velocity in [*parts(), *more]:
        if name in gone or parent in gone:
            gone.add(name)
            continue
        lines.append(_link(name, box))
        lines.append(
            f'<joint name="j_{name}" type="revolute"><parent link="{parent}"/>'
            f'<child link="{name}"/><origin xyz="{_text(origin)}"/><axis xyz="{axis}"/>'
            f'<limit lower="{low}" upper="{high}" effort="{effort}" velocity="{velocity}"/></joint>'
        )
    return "\n".join([*lines, "</robot>"])


def _text(values: tuple[float, ...]) -> str:
    return " ".join(str(v) for v in values)


def _link(name: str, box: tuple, mesh: str = "") -> str:
    centre, size = box
    mass = 1000.0 * 0.5 * size[0] * size[1] * size[2]
    a, b, c = (s * s for s in size)
    inertia = [mass / 12 * v for v in (b + c, a + c, a + b)]
    shape = f'<origin xyz="{_text(centre)}"/><geometry><box size="{_text(size)}"/></geometry>'
    visual = f'<visual><geometry><mesh filename="{mesh}"/></geometry></visual>' if mesh else ""
    return (
        f'<link name="{name}"><inertial><origin xyz="{_text(centre)}"/><mass value="{mass}"/>'
        f'<inertia ixx="{inertia[0]}" iyy="{inertia[1]}" izz="{inertia[2]}" ixy="0" ixz="0" '
        f'iyz="0"/></inertial>{visual}<collision>{shape}</collision></link>'
    )
