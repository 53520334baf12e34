"""What draws a frame: OpenGL where it works, stick figures where it does not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mimic.sim.states import States
from mimic.viewer.camera import View
from mimic.viewer.gl import working_backend
from robots import Robot

if TYPE_CHECKING:
    from mimic.sim.scene import SceneConfig

Array = NDArray[Any]
HUMAN_RGBA = (0.93, 0.55, 0.22, 1.0)


@dataclass(frozen=True)
class Pose:
    """One robot to draw, with the free objects of the scene.

    A ghost is tinted and translucent.
    """

    state: States
    ghost: bool = False


@dataclass(frozen=True)
class Limbs:
    """A figure of capsules: segments from ``starts`` [S, 3] to ``ends`` [S, 3], m."""

    starts: Array
    ends: Array
    radius: float = 0.04
    rgba: tuple[float, float, float, float] = HUMAN_RGBA


class Painter(Protocol):
    """Draws frames of one robot. Use as a context manager."""

    width: int
    height: int

    def draw(
        self,
        poses: Sequence[Pose],
        view: View,
        *,
        limbs: Iterable[Limbs] = (),
        title: str = "",
        caption: str = "",
    ) -> NDArray[np.uint8]:
        """Draw robots and figures; returns RGB [height, width, 3].

        ``title`` is written at the top left, ``caption`` at the bottom left.
        """
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Painter: ...

    def __exit__(self, *_: object) -> None: ...


def open_painter(
    robot: Robot, width: int, height: int, scene: SceneConfig | None = None
) -> Painter:
    """The best painter of this machine for pictures of ``width`` x ``height`` pixels.

    Args:
        scene: terrain and objects around the robot; stick figures show the terrain's lines and
            no objects.
    """
    if working_backend() is None:
        from mimic.viewer.stick import StickPainter

        terrain = None if scene is None else scene.terrain.parts()
        return StickPainter(robot, width, height, terrain)
    from mimic.viewer.renderer import Renderer

    return Renderer(robot, width, height, scene)
