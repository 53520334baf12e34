"""The viewer: a page with the scene, the controls of playback, and the curves."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import viser

from mimic_base.command_line import user_error_text
from mimic_base.text import markdown
from retarget.view.charts import Chart, reading
from retarget.view.playback import Playback
from retarget.view.scene import Stage, look_at_stage
from retarget.view.show import Show

PICTURES_HZ = 30.0
CHARTS_HZ = 8.0
"""A chart is sent whole each time its line moves."""
CURVES_WIDTH, CONTROLS_WIDTH = 320, 300
NARROW_PAGE = 1200
"""Pixels; on a narrower page the curves are folded away at first, so that the scene is seen."""
_SPEEDS = ("0.1", "0.25", "0.5", "1", "2", "4")


@dataclass(frozen=True)
class Entry:
    """A clip that can be chosen, and how it is loaded."""

    name: str
    load: Callable[[], Show]


class Viewer:
    """Plays the entries on a server. Callbacks of the page come from other threads."""

    def __init__(
        self, server: viser.ViserServer, entries: Sequence[Entry], *, paused: bool = False
    ) -> None:
        self.server = server
        self.entries = {entry.name: entry for entry in entries}
        self._lock = threading.RLock()
        self._paused = paused
        self._anyone_came = False
        self._shown = -1
        self._charted = -1
        self._charts_due = 0.0
        self._shows: dict[str, Show] = {}
        self.stage: Stage | None = None
        self.charts: list[Chart] = []
        self._clip_parts: list[viser.GuiFolderHandle] = []
        server.gui.configure_theme(control_width="medium", show_logo=False, show_share_button=False)
        self._controls(list(self.entries))
        self.curves = server.gui.add_panel()
        self._curves_tab = self.curves.add_tab("Curves", viser.Icon.CHART_LINE)
        self.curves.dock_left()
        self.curves.set_width(CURVES_WIDTH)
        server.on_client_connect(self._fold_if_narrow)
        self.choose(next(iter(self.entries)))

    # -- the page ------------------------------------------------------------------------------

    def _controls(self, names: list[str]) -> None:
        gui = self.server.gui
        gui.main_panel.dock_right()
        gui.main_panel.set_width(CONTROLS_WIDTH)
        self.motion = gui.add_dropdown("motion", names, visible=len(names) > 1)
        self.title = gui.add_markdown("")
        self.scrubber = gui.add_slider("frame", 0, 1, 1, 0)
        self.clock = gui.add_markdown("")
        self.play = gui.add_button("pause", icon=viser.Icon.PLAYER_PAUSE)
        self.steps = gui.add_button_group("step", ["-10", "-1", "+1", "+10"])
        self.speed = gui.add_dropdown("speed", _SPEEDS, initial_value="1")
        self.follow = gui.add_checkbox("camera follows", True)
        with gui.add_folder("source") as self.source_folder:
            self.where = gui.add_dropdown("shown", ["beside", "overlaid", "hidden"])
            self.distance = gui.add_slider("distance, m", -2.0, 2.0, 0.05, 1.0)
            self.scaled = gui.add_checkbox("robot's size", True)
        self.motion.on_update(lambda event: event.client and self.choose(self.motion.value))
        self.scrubber.on_update(lambda event: event.client and self.jump(self.scrubber.value))
        self.play.on_click(lambda _: self.toggle())
        self.steps.on_click(lambda _: self.step(int(self.steps.value)))
        self.speed.on_update(lambda _: self._set_speed())
        self.follow.on_update(lambda _: self._set_follow())
        for control in (self.where, self.distance, self.scaled):
            control.on_update(lambda _: self._place_source())
        for label, key, action in (
            ("Play or pause", "space", self.toggle),
            ("Next frame", "arrowright", lambda: self.step(1)),
            ("Frame before", "arrowleft", lambda: self.step(-1)),
        ):
            command = gui.add_command(label, hotkey=key)  # pyright: ignore[reportArgumentType]
            command.on_trigger(lambda _, action=action: action())

    def _fold_if_narrow(self, client: viser.ClientHandle) -> None:
        # Panels are the same for all who look: the first to come decides how the page begins.
        # Later the camera's width is that between the panels.
        first, self._anyone_came = not self._anyone_came, True
        if first and client.camera.image_width < NARROW_PAGE:
            self.curves.minimize()

    def choose(self, name: str) -> None:
        """Load a clip, unless it is loaded, and play it from its beginning."""
        with self._lock:
            try:
                if name not in self._shows:
                    self.title.content = f"loading {markdown(name)} ..."
                    self._shows[name] = self.entries[name].load()
            except Exception as error:
                text = user_error_text(error)
                if text is None or self.stage is None:
                    raise
                self.title.content = f"**{markdown(name)}**: {markdown(text)}"
                return
            self._set_up(self._shows[name])

    def _set_up(self, show: Show) -> None:
        for part in self._clip_parts:
            part.remove()
        if self.stage is not None:
            self.stage.remove()
        first = self.stage is None
        self.stage = Stage(self.server, show)
        if first:
            look_at_stage(self.server, show)
        self.playback = Playback(
            show.num_frames, show.fps, not self._paused, float(self.speed.value)
        )
        self.scrubber.max = show.num_frames - 1
        self.scrubber.value = 0
        self.title.content = "  \n".join(
            [f"**{markdown(show.name, 200)}**", *(markdown(note, 400) for note in show.notes)]
        )
        self.source_folder.visible = show.skeleton is not None
        gui = self.server.gui
        moments = gui.add_folder("worst moments", visible=bool(show.moments))
        with moments:
            for moment in show.moments:
                text = f"{moment.frame / show.fps:.2f} s: {moment.what}"
                button = gui.add_button(text, hint=text)
                button.on_click(lambda _, frame=moment.frame: self.jump(frame))
        with self._curves_tab:
            curves = gui.add_folder("over time, s")
            with curves:
                self.charts = [Chart(gui, row, show.num_frames, show.fps) for row in show.rows]
            values = gui.add_folder("at this frame")
            with values:
                self.values = gui.add_markdown("")
        self._clip_parts = [moments, curves, values]
        self._shown = self._charted = -1
        self._set_follow()
        self._place_source()
        self._label_play()
        self.refresh(charts=True)

    # -- what the user does --------------------------------------------------------------------

    def toggle(self) -> None:
        """Play, or pause."""
        with self._lock:
            self.playback.playing = not self.playback.playing
            self._label_play()

    def jump(self, frame: int) -> None:
        """Show a frame, and pause there."""
        with self._lock:
            self.playback.jump(frame)
            self._label_play()
            self.refresh(charts=True)

    def step(self, frames: int) -> None:
        """Go on by some frames, and pause there."""
        with self._lock:
            self.playback.step(frames)
            self._label_play()
            self.refresh(charts=True)

    def _label_play(self) -> None:
        playing = self.playback.playing
        self.play.label = "pause" if playing else "play"
        self.play.icon = viser.Icon.PLAYER_PAUSE if playing else viser.Icon.PLAYER_PLAY

    def _set_speed(self) -> None:
        with self._lock:
            self.playback.speed = float(self.speed.value)

    def _set_follow(self) -> None:
        with self._lock:
            if self.stage is not None:
                self.stage.follow = self.follow.value
                self.stage.show(self.playback.frame)

    def _place_source(self) -> None:
        with self._lock:
            if self.stage is not None:
                self.distance.visible = self.where.value == "beside"
                self.stage.place_source(
                    self.where.value, self.distance.value, scaled=self.scaled.value
                )
                self.stage.show(self.playback.frame)

    # -- time ----------------------------------------------------------------------------------

    def refresh(self, *, charts: bool) -> None:
        """Bring scene, scrubber and, if `charts`, the curves' line to the playback's frame."""
        with self._lock:
            frame = self.playback.frame
            if self.stage is not None and frame != self._shown:
                self.stage.show(frame)
                self.scrubber.value = frame
                self._shown = frame
            if charts and frame != self._charted and self.stage is not None:
                at = self.playback.time
                end = (self.playback.frames - 1) / self.playback.fps
                self.clock.content = f"{at:.2f} of {end:.2f} s, frame {frame}"
                self.values.content = reading(self.stage.play.rows, frame)
                for chart in self.charts:
                    chart.set_time(at)
                self._charted = frame

    def run(self, seconds: float | None = None) -> None:
        """Play until the process is interrupted, or for some seconds."""
        started = last = time.perf_counter()
        with contextlib.suppress(KeyboardInterrupt):
            while seconds is None or last - started < seconds:
                time.sleep(1.0 / PICTURES_HZ)
                now = time.perf_counter()
                with self._lock:
                    # Without anyone looking, the clip waits.
                    if self.server.get_clients():
                        self.playback.advance(now - last)
                    self.refresh(charts=now >= self._charts_due)
                if now >= self._charts_due:
                    self._charts_due = now + 1.0 / CHARTS_HZ
                last = now
