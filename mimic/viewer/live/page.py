"""The page of a policy that is commanded while it plays: the robot, sliders, keys, a gamepad."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from mimic.deploy.page.scene import WORLD, Figure
from mimic.viewer.live.keys import HELP, KEYS
from mimic_base.text import html

if TYPE_CHECKING:
    import viser

    from mimic.viewer.live.session import LivePlay, Shown
    from robots import Robot

PICTURES_HZ, TEXTS_HZ = 25.0, 4.0
WIDTH = 320
HOTKEYS = {
    "w": "W", "s": "S", "a": "A", "d": "D", "up": "arrowup", "down": "arrowdown",
    "left": "arrowleft", "right": "arrowright", "n": "N", "h": "H", "space": "space", "r": "R",
}  # fmt: skip
"""Keys of the browser by our names; what ends the program is left to the terminal."""
LABELS = {
    "w": "forward", "s": "backward", "a": "left", "d": "right", "up": "up", "down": "down",
    "left": "turn left", "right": "turn right", "n": "another skill", "h": "other hand",
    "space": "still", "r": "restart",
}  # fmt: skip
BUTTONS = {"another skill": "n", "other hand": "h", "still": "space", "restart": "r"}
PAD = "gamepad"
SCRIPT = """<img src="data:," style="display:none" onerror="
if (!window.mimicPad) window.mimicPad = setInterval(() => {
  const pad = [...navigator.getGamepads()].find(p => p && p.connected);
  if (!pad) return;
  const field = [...document.querySelectorAll('input')].find(
    i => i.value == 'gamepad' || /^[-0-9.,]*;[01,]*$/.test(i.value));
  if (!field) return;
  const told = pad.axes.slice(0, 4).map(a => a.toFixed(2)).join(',') + ';' +
    pad.buttons.slice(0, 4).map(b => b.pressed ? 1 : 0).join(',');
  if (told === field.value) return;
  const set = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set;
  set.call(field, told);
  field.dispatchEvent(new Event('input', {bubbles: true}));
}, 50)">"""
"""Writes what the browser's Gamepad API says into a text field, which is how the server hears."""


class LivePage:
    """Controls and the robot on a server. Its callbacks come from the server's threads."""

    def __init__(self, server: viser.ViserServer, play: LivePlay, robot: Robot) -> None:
        self.server, self.play = server, play
        gui = server.gui
        gui.configure_theme(control_width="medium", show_logo=False, show_share_button=False)
        gui.set_panel_label("mimic play")
        gui.main_panel.dock_right()
        gui.main_panel.set_width(WIDTH)
        self.status = gui.add_html("")
        self.sliders: list[tuple[Any, Any]] = []
        for number, control in enumerate(play.controls):
            for name, slider in control.sliders.items():
                handle = gui.add_slider(
                    slider.name, slider.low, slider.high, 0.01, round(slider.value, 2)
                )
                handle.on_update(self._slid(number, name, handle))
                self.sliders.append((slider, handle))
        group = gui.add_button_group("do", list(BUTTONS))
        group.on_click(lambda event: play.say(KEYS[BUTTONS[event.target.value]]))
        for name, hotkey in HOTKEYS.items():
            command: Any = gui.add_command(LABELS[name], hotkey=hotkey)  # pyright: ignore[reportArgumentType]
            command.on_trigger(self._said(name))
        with gui.add_folder("gamepad and keys"):
            gui.add_html(f'<div style="font:12px system-ui;padding:0 10px">{html(HELP, 400)}</div>')
            self.pad = gui.add_text(PAD, PAD)
            self.pad.on_update(lambda _: play.say_gamepad(self.pad.value[:200]))
            gui.add_html(SCRIPT)
        self.world = server.scene.add_frame(WORLD, show_axes=False)
        server.scene.add_grid(
            f"{WORLD}/ground", 60.0, 60.0, cell_size=0.25, section_size=1.0,
            cell_color=(222, 224, 228), section_color=(186, 190, 198), fade_distance=18.0,
        )  # fmt: skip
        self.figure = Figure(server.scene, f"{WORLD}/robot", robot)
        self.target = server.scene.add_icosphere(
            f"{WORLD}/target", radius=0.05, color=(230, 119, 0), visible=False
        )
        height = robot.default_root_height / 0.76
        server.initial_camera.look_at = (0.0, 0.0, 0.68 * height)
        server.initial_camera.position = (2.6 * height, -2.0 * height, 1.35 * height)
        self._drawn = self._written = 0.0

    def _slid(self, control: int, name: str, handle: Any) -> Any:
        def told(event: Any) -> None:
            # Without a client it is this program that has moved it.
            if event.client is not None:
                self.play.set(control, name, float(handle.value))

        return told

    def _said(self, key: str) -> Any:
        return lambda _: self.play.say(KEYS[key])

    def __call__(self, play: LivePlay) -> None:
        """Show the present moment, where it is time to and somebody looks."""
        now = time.monotonic()
        if now - self._drawn < 1.0 / PICTURES_HZ or not self.server.get_clients():
            return
        self._drawn = now
        shown = play.shown()
        with self.server.atomic():
            self.figure.show(*map(np.asarray, (shown.place, shown.quat, shown.joints)))
            self.world.position = (-shown.place[0], -shown.place[1], 0.0)
            self.target.visible = shown.target is not None
            if shown.target is not None:
                self.target.position = np.asarray(shown.target)
        if now - self._written > 1.0 / TEXTS_HZ:
            self._written = now
            self._write(shown)

    def _write(self, shown: Shown) -> None:
        text = status_html(shown)
        if self.status.content != text:
            self.status.content = text
        for slider, handle in self.sliders:
            if abs(handle.value - slider.value) > 0.006:
                handle.value = round(slider.value, 2)


def status_html(shown: Shown) -> str:
    """What is commanded and measured; HTML."""
    rows = [("commanded", shown.told or "nothing"), ("time", f"{shown.time_s:.1f} s")]
    rows.append(("falls", str(shown.falls)))
    rows += [(name, f"{value:.2f}") for name, value in shown.figures.items()]
    if shown.pace < 0.95:
        rows.append(("pace", f"{shown.pace:.2f} of real time"))
    cells = "".join(
        f'<tr><td style="color:#868e96;padding-right:.7em">{html(name, 40)}</td>'
        f"<td>{html(text, 200)}</td></tr>"
        for name, text in rows
    )
    return f'<table style="font:13px system-ui;margin:0 10px">{cells}</table>'
