"""Prepare a URDF for MuJoCo: keep fixed links as bodies, find the meshes, keep what they show."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path


def urdf_for_mujoco(root: ElementTree.Element, path: Path) -> str:
    """XML text of the URDF `root` (read from `path`) as MuJoCo shall read it.

    MuJoCo by default welds the root link to the world, drops visual geometry and takes mesh paths
    without their folders; the extension element that turns this off is added (an existing one is
    replaced), and mesh paths are made absolute.
    """
    for extension in root.findall("mujoco"):
        root.remove(extension)
    settings = {
        "fusestatic": "false",
        "discardvisual": "false",
        "strippath": "false",
        "balanceinertia": "true",
        "autolimits": "true",
    }
    extension = ElementTree.SubElement(root, "mujoco")
    ElementTree.SubElement(extension, "compiler", settings)
    for mesh in root.iter("mesh"):
        name = mesh.get("filename", "")
        mesh.set("filename", str(resolve_mesh(name, path)))
    return ElementTree.tostring(root, encoding="unicode")


def resolve_mesh(name: str, urdf: Path) -> Path:
    """Where the file of a mesh is; `name` may be ``package://PACKAGE/...``, ``file://`` or a path.

    A package is looked for among the folders above the URDF, by the folder's name or by a
    ``package.xml`` in it. A file that is nowhere keeps the likeliest place.
    """
    if name.startswith("file://"):
        return Path(name.removeprefix("file://"))
    folder = urdf.resolve().parent
    if not name.startswith(("package://", "model://")):
        path = Path(name)
        return path if path.is_absolute() else folder / path
    package, _, rest = name.split("://", 1)[1].partition("/")
    above = [folder, *folder.parents]
    places = [parent / rest for parent in above if parent.name == package]
    places += [parent / package / rest for parent in above]
    places += [parent / rest for parent in above if (parent / "package.xml").is_file()]
    places += [folder / rest]
    return next((place for place in places if place.is_file()), places[0])
