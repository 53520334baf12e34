"""The page's controls: the stop button, what can be asked for, and the numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mimic.deploy.page.status import STYLE, Robot
from mimic.deploy.pilot import CLIP, QUEUE, Event

if TYPE_CHECKING:
    import viser

WIDTH = 340
"""Pixels of the panel."""
MODES = (Event.STAND, Event.READY, Event.TRACK, Event.PASSIVE)
MOVES = {"hold": Event.HOLD, "next clip": Event.NEXT, "loop": Event.LOOP}
"""What is written on the buttons of the clips, and what they ask for."""
NOW, AFTER = "now", "afterwards"


class Panel:
    """Buttons on a server. Their callbacks come from the server's threads."""

    def __init__(
        self,
        server: viser.ViserServer,
        robot: Robot,
        stop: Callable[[], None],
        ask: Callable[[str], None],
    ) -> None:
        """Make the controls.

        Args:
            stop: what the stop button, and the space bar, do.
            ask: takes events, as `mimic.deploy.operator` has them.
        """
        gui = server.gui
        gui.configure_theme(control_width="medium", show_logo=False, show_share_button=False)
        gui.set_panel_label("mimic deploy")
        gui.main_panel.dock_right()
        gui.main_panel.set_width(WIDTH)
        self.style = gui.add_html(STYLE)
        self.stop = gui.add_button("STOP", color="red", hint="damp at once (space bar)")
        self.stop.on_click(lambda _: stop())
        gui.add_command("Stop", hotkey="space").on_trigger(lambda _: stop())
        self.status = gui.add_html("")
        self.modes = self.reset = None
        if not robot.auto:
            self.modes = gui.add_button_group("mode", [str(each) for each in MODES])
            self.modes.on_click(lambda event: ask(event.target.value))
            self.reset = gui.add_button_group("after a stop", [str(Event.RESET)])
            self.reset.on_click(lambda _: ask(Event.RESET))
        self.moves = gui.add_button_group("clips", list(MOVES))
        self.moves.on_click(lambda event: ask(MOVES[event.target.value]))
        if robot.clips:
            names = [f"{number} {_short(name)}" for number, name in enumerate(robot.clips, 1)]
            self.chosen = gui.add_dropdown("clip", names)
            self.play = gui.add_button_group("play it", [NOW, AFTER])
            self.play.on_click(lambda event: ask(self._clip(event.target.value)))
        with gui.add_folder("the policy's loop"):
            self.latencies = gui.add_html("")

    def _clip(self, when: str) -> str:
        kind = QUEUE if when == AFTER else CLIP
        return f"{kind}{self.chosen.value.partition(' ')[0]}"

    def show(self, status: str, latencies: str) -> None:
        """New texts, HTML; what has not changed is not sent again."""
        for handle, text in ((self.status, status), (self.latencies, latencies)):
            if handle.content != text:
                handle.content = text


def _short(name: Any) -> str:
    from mimic_base.text import plain

    return plain(name, 40)
