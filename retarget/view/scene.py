"""The three-dimensional half of the viewer: nodes of the scene, and their poses at a frame."""

from __future__ import annotations

import numpy as np
import viser

from mimic_base.rotations import quat_of_yaw, quat_rotate
from mimic_base.vectors import Array, unit
from retarget.view.show import BodyTrack, Show, SkeletonTrack
from retarget.view.terrain import terrain_meshes
from robots.collision import sphere_directions
from robots.meshes import Mesh, hull

WORLD = "/world"
_COLOURS = {"left": (51, 107, 204), "right": (209, 77, 64), "": (140, 140, 148)}
_BONE_RADIUS, _JOINT_RADIUS = 0.014, 0.022
"""m for a person whose legs are the robot's."""
_TERRAIN = (206, 192, 172)
_GRID_M = 60.0


class BodyNodes:
    """A frame node per body, ``PATH/BODY``, with the body's meshes below it."""

    def __init__(self, scene: viser.SceneApi, path: str, track: BodyTrack) -> None:
        self.track = track
        scene.add_frame(path, show_axes=False)
        seen = {shape.body for shape in track.shapes} & set(track.body_names)
        self.nodes = {
            name: scene.add_frame(f"{path}/{name}", show_axes=False) for name in sorted(seen)
        }
        self._columns = {name: track.body_names.index(name) for name in seen}
        for k, shape in enumerate(track.shapes):
            if shape.body not in seen:
                continue
            colour, alpha = track.tint or shape.rgba[:3], track.opacity * shape.rgba[3]
            scene.add_mesh_simple(
                f"{path}/{shape.body}/{k}",
                shape.mesh.vertices,
                shape.mesh.faces,
                color=tuple(round(255 * c) for c in colour),  # pyright: ignore[reportArgumentType]
                opacity=None if alpha >= 1.0 else alpha,
                # Mirrored meshes of vendors have their triangles inside out.
                side="double",
            )

    def show(self, frame: int) -> None:
        """Put every body where it is at `frame`."""
        for name, node in self.nodes.items():
            column = self._columns[name]
            node.position = self.track.pos[frame, column]
            node.wxyz = self.track.quat[frame, column]


class SkeletonNodes:
    """A person of rods and balls; left limbs are blue, right ones red."""

    def __init__(self, scene: viser.SceneApi, path: str, track: SkeletonTrack) -> None:
        self.track = track
        self.pos = track.pos
        self.path = scene.add_frame(path, show_axes=False)
        self._parents = [bone.parent for bone in track.bones]
        self._children = [bone.child for bone in track.bones]
        colours = np.array([_COLOURS[bone.side] for bone in track.bones], np.uint8)
        rod, ball = _rod(), _ball()
        none = np.zeros((len(track.bones), 3))
        upright = np.tile([1.0, 0.0, 0.0, 0.0], (len(track.bones), 1))
        self.rods = scene.add_batched_meshes_simple(
            f"{path}/bones",
            rod.vertices,
            rod.faces,
            upright,
            none,
            batched_scales=np.ones((len(track.bones), 3), np.float32),
            batched_colors=colours,
            lod="off",
        )
        self.balls = scene.add_batched_meshes_simple(
            f"{path}/joints",
            ball.vertices,
            ball.faces,
            upright,
            none,
            batched_scales=np.full(len(track.bones), _JOINT_RADIUS, np.float32),
            batched_colors=colours,
            lod="off",
        )

    def show(self, frame: int) -> None:
        """Put every bone where it is at `frame` of ``pos`` [T, J, 3]."""
        start, end = self.pos[frame, self._parents], self.pos[frame, self._children]
        length = np.linalg.norm(end - start, axis=1)
        self.rods.batched_positions = start.astype(np.float32)
        self.rods.batched_wxyzs = _turn_up_to(end - start).astype(np.float32)
        thickness = np.full_like(length, _BONE_RADIUS)
        self.rods.batched_scales = np.stack([thickness, thickness, length], 1).astype(np.float32)
        self.balls.batched_positions = end.astype(np.float32)


class Stage:
    """The scene of one show: ground, robots, person.

    All of it hangs below the node ``/world``. To follow the robot, that node moves the other way
    and the camera stays at rest, so that the user's own turning of it is not disturbed.
    """

    def __init__(self, server: viser.ViserServer, show: Show) -> None:
        self.server = server
        self.play = show
        scene = server.scene
        self.world = scene.add_frame(WORLD, show_axes=False)
        self._back = quat_of_yaw(-show.heading)
        self._focus = show.focus()
        self.world.wxyz = self._back
        scene.add_grid(
            f"{WORLD}/ground",
            _GRID_M,
            _GRID_M,
            cell_size=0.25,
            section_size=1.0,
            cell_color=(222, 224, 228),
            section_color=(186, 190, 198),
            fade_distance=18.0,
            shadow_opacity=0.25,
            position=(*np.round(self._focus[0, :2]), show.terrain.plane_height),
            visible=not any(show.terrain.plane_gradient),
        )
        for k, mesh in enumerate(terrain_meshes(show.terrain, show.bodies[0].pos[:, 0, :2])):
            scene.add_mesh_simple(
                f"{WORLD}/terrain/{k}", mesh.vertices, mesh.faces, color=_TERRAIN,
                flat_shading=True, side="double",
            )  # fmt: skip
        self.bodies = [
            BodyNodes(scene, f"{WORLD}/robot" + (f"_{k}" if k else ""), track)
            for k, track in enumerate(show.bodies)
        ]
        self.skeleton = None
        if show.skeleton is not None:
            self.skeleton = SkeletonNodes(scene, f"{WORLD}/source", show.skeleton)
        self.place_source("beside", 1.0, scaled=True)
        self.frame = 0
        self.follow = True

    def place_source(self, where: str, distance: float, *, scaled: bool) -> None:
        """Show the person ``beside`` the robot (m to its left), ``overlaid``, or ``hidden``."""
        if self.skeleton is None or self.play.skeleton is None:
            return
        self.skeleton.path.visible = where != "hidden"
        left = distance if where == "beside" else 0.0
        offset = quat_rotate(quat_of_yaw(self.play.heading), np.array([0.0, left, 0.0]))
        self.skeleton.pos = self.play.skeleton.beside(self.play.bodies[0], offset, scaled=scaled)

    def show(self, frame: int) -> None:
        """Everything at `frame`; clients see it change at once."""
        self.frame = frame
        with self.server.atomic():
            for nodes in self.bodies:
                nodes.show(frame)
            if self.skeleton is not None:
                self.skeleton.show(frame)
            if self.follow:
                self.world.position = quat_rotate(self._back, -self._focus[frame])

    def remove(self) -> None:
        """Take everything off the stage."""
        self.world.remove()


def look_at_stage(server: viser.ViserServer, show: Show) -> None:
    """Where the camera stands at first: in front of robot and person, at the robot's size."""
    height = float(np.median(show.bodies[0].pos[:, 0, 2])) / 0.76
    middle = 0.5 if show.skeleton is not None else 0.0
    camera = server.initial_camera
    camera.fov = float(np.radians(40.0))
    camera.look_at = (0.0, middle, 0.62 * height)
    camera.position = (3.3 * height, middle - 1.9 * height, 1.35 * height)


def _turn_up_to(direction: Array) -> Array:
    """Shortest rotations [N, 4] of the z axis onto `direction` [N, 3]."""
    d = unit(direction)
    # Half-way vectors; a bone that points straight down turns about x.
    quat = np.stack([1.0 + d[:, 2], -d[:, 1], d[:, 0], np.zeros(len(d))], axis=1)
    quat[quat[:, 0] < 1e-9] = [0.0, 1.0, 0.0, 0.0]
    return unit(quat)


def _rod() -> Mesh:
    """From the origin one unit up, radius 1."""
    turn = np.linspace(0.0, 2.0 * np.pi, 10, endpoint=False)
    ring = np.stack([np.cos(turn), np.sin(turn), np.zeros(10)], axis=1)
    points = np.concatenate([ring, ring + [0.0, 0.0, 1.0]])
    return hull(Mesh(points, np.zeros((0, 3), np.int64)))


def _ball() -> Mesh:
    return hull(Mesh(sphere_directions(80), np.zeros((0, 3), np.int64)))
