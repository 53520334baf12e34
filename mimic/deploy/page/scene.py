"""The robot and its reference in three dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mimic.deploy.messages import Array, array

if TYPE_CHECKING:
    import viser

    from robots import Robot

WORLD = "/world"
CELL = 0.006
"""m within which vertices of meshes are merged."""
GHOST = ((0.20, 0.50, 0.95), 0.35)
"""Colour and opacity of the reference."""


class Figure:
    """One robot on the stage: a node for each of its bodies that is seen."""

    def __init__(
        self,
        scene: viser.SceneApi,
        path: str,
        robot: Robot,
        tint: tuple[tuple[float, float, float], float] | None = None,
    ) -> None:
        """Put it there.

        Args:
            tint: colour and opacity in place of its own.
        """
        from robots.shapes import vendor_model, visible_shapes

        shapes = visible_shapes(vendor_model(robot), CELL)
        self.root = scene.add_frame(path, show_axes=False)
        known = [name for name in robot.body_names if name in {shape.body for shape in shapes}]
        self.nodes = [scene.add_frame(f"{path}/{name}", show_axes=False) for name in known]
        self._columns = [robot.body_names.index(name) for name in known]
        self._robot = robot
        for k, shape in enumerate(each for each in shapes if each.body in known):
            colour, opacity = tint or (shape.rgba[:3], shape.rgba[3])
            scene.add_mesh_simple(
                f"{path}/{shape.body}/{k}",
                shape.mesh.vertices,
                shape.mesh.faces,
                color=tuple(round(255 * c) for c in colour),  # pyright: ignore[reportArgumentType]
                opacity=None if opacity >= 1.0 else opacity,
                side="double",
            )

    def show(self, place: Array, quat: Array, joints: Array) -> None:
        """The base at ``place`` [3] m with orientation ``quat`` [4], the joints at [J] rad."""
        pos, turn = self._robot.body_poses(place[None], quat[None], joints[None])
        for column, node in zip(self._columns, self.nodes, strict=True):
            node.position, node.wxyz = pos[0, column], turn[0, column]
        self.root.visible = True


class Scene:
    """Floor, robot, and the reference as a blue ghost; the camera goes along with the robot."""

    def __init__(self, server: viser.ViserServer, robot: Robot) -> None:
        self.server, self._robot = server, robot
        self.world = server.scene.add_frame(WORLD, show_axes=False)
        server.scene.add_grid(
            f"{WORLD}/ground", 60.0, 60.0, cell_size=0.25, section_size=1.0,
            cell_color=(222, 224, 228), section_color=(186, 190, 198), fade_distance=18.0,
            shadow_opacity=0.25,
        )  # fmt: skip
        self.robot = Figure(server.scene, f"{WORLD}/robot", robot)
        self.ghost = Figure(server.scene, f"{WORLD}/reference", robot, GHOST)
        self._feet = [robot.body_names.index(name) for name in robot.feet]
        self._soles = self._lowest(
            np.array([0.0, 0.0, robot.default_root_height]), np.array([1.0, 0.0, 0.0, 0.0]),
            array(robot.default_joint_pos),
        )  # fmt: skip
        height = robot.default_root_height / 0.76
        camera = server.initial_camera
        camera.fov = float(np.radians(40.0))
        camera.look_at = (0.0, 0.0, 0.68 * height)
        camera.position = (2.6 * height, -2.0 * height, 1.35 * height)

    def show(self, snapshot: Any) -> None:
        """Everything as a snapshot says."""
        state = snapshot["report"]["state"]
        if not snapshot["report"]["has_state"]:
            return
        joints, quat = array(state["joint_pos"]), array(state["imu_quat_w"])
        reference = array(snapshot["reference"])
        place = array(state["pos_w"]).copy()
        if not (np.isfinite(joints).all() and np.isfinite(quat).all()) or not np.any(quat):
            return
        quat = quat / np.linalg.norm(quat)
        if not state["located"] or not np.isfinite(place).all():
            place = self._stood(quat, joints, reference if snapshot["ghost"] else None)
        with self.server.atomic():
            self.robot.show(place, quat, joints)
            self.ghost.root.visible = bool(snapshot["ghost"])
            if snapshot["ghost"]:
                self.ghost.show(reference[:3], reference[3:7], reference[7:])
            self.world.position = (-place[0], -place[1], 0.0)

    def _stood(self, quat: Array, joints: Array, reference: Array | None) -> Array:
        """Where a robot is that does not know: at its reference, its lower foot on the floor."""
        place = np.zeros(3) if reference is None else np.array([*reference[:2], 0.0])
        place[2] = self._soles - self._lowest(place, quat, joints)
        return place

    def _lowest(self, place: Array, quat: Array, joints: Array) -> float:
        pos, _ = self._robot.body_poses(place[None], quat[None], joints[None])
        return float(pos[0, self._feet or slice(None), 2].min())
