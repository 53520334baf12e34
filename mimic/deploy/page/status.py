"""What the page says in words and numbers: pure functions of a snapshot."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mimic.deploy.dry_run import torque_of
from mimic.deploy.messages import Array, array
from mimic.deploy.modes import ACTIVE, FOLLOWERS, Mode
from mimic_base.rotations import quat_inv_rotate
from mimic_base.text import html

WINDOW = 3000
"""Control steps whose durations are kept: a minute at 50 Hz."""
SILENT_S = 0.5
"""s without a word of the policy's loop after which the page says so."""
COLOURS = {
    Mode.DISCONNECTED: "#868e96",
    Mode.PASSIVE: "#868e96",
    Mode.STAND: "#1971c2",
    Mode.READY: "#1971c2",
    Mode.TRACK: "#2b8a3e",
    Mode.HOLD: "#2b8a3e",
    Mode.DAMPING: "#c92a2a",
}
STYLE = """<style>
button[style*="mantine-color-red"]{height:7.5em!important;background:#c92a2a!important}
button[style*="mantine-color-red"] [class*="label"]{font-size:34px!important;
 font-weight:800!important;letter-spacing:.08em}
.op{font:13px/1.4 system-ui,sans-serif;color:inherit;padding:0 12px 0 10px}
.op.l{padding:0 4px}
.op .m{color:#fff;font-size:22px;font-weight:800;border-radius:6px;padding:.2em .5em}
.op .m small{float:right;font-size:13px;font-weight:500;line-height:2.3}
.op .w{background:#c92a2a;color:#fff;border-radius:6px;padding:.3em .6em;margin:.4em 0;
 font-weight:600;overflow-wrap:anywhere}
.op table{width:100%;border-collapse:collapse;margin-top:.3em;font-variant-numeric:tabular-nums}
.op td{padding:.12em 0;vertical-align:top;overflow-wrap:anywhere}
.op td:first-child{color:#868e96;white-space:nowrap;padding-right:.7em;width:6em}
.op .n td,.op .n th{text-align:right;padding:.05em 0}
.op .n td:first-child,.op .n th:first-child{text-align:left}
.op .n th{color:#868e96;font-weight:400}
.op .b{display:block;height:4px;border-radius:2px;background:#dee2e6;margin-top:1px}
.op .b i{display:block;height:4px;border-radius:2px}
</style>"""
"""The page's own style. The stop button is the only red one."""


@dataclass(frozen=True, kw_only=True)
class Robot:
    """What of a robot and its deployment the page has to know.

    Attributes:
        joint_names: [J]. effort_limit: [J] N m. temperature: degrees Celsius at which it is made
            to damp. tilt: rad, likewise.
        clips: their names. send: whether commands are sent. auto: whether it goes by itself.
        lock_step: whether nothing can be late.
    """

    joint_names: Sequence[str]
    effort_limit: Any
    temperature: float
    tilt: float
    clips: Sequence[str]
    send: bool
    auto: bool
    lock_step: bool


class Latencies:
    """Durations of the stages of the policy's loop, of the last minute; ms."""

    def __init__(self, stages: Sequence[str]) -> None:
        self.stages = tuple(stages)
        self._kept: deque[Array] = deque(maxlen=WINDOW)
        self._most = np.zeros(len(self.stages))

    def take(self, snapshot: Any) -> None:
        """Take the durations of a step; those at most are counted by the loop itself."""
        self._kept.append(1e3 * snapshot["last"])
        self._most = 1e3 * array(snapshot["most"])

    def table(self) -> list[tuple[str, float, float, float]]:
        """Stage, and ms at the median, at 99 % (last minute) and at most (since the start)."""
        if not self._kept:
            return []
        kept = np.asarray(self._kept)
        p50, p99 = np.percentile(kept, [50, 99], axis=0)
        return [
            (name, float(p50[k]), float(p99[k]), float(self._most[k]))
            for k, name in enumerate(self.stages)
            if self._most[k] > 0
        ]


def tilt_of(snapshot: Any) -> float:
    """rad between the directions of gravity in the base and in the reference's base."""
    quat = array(snapshot["report"]["state"]["imu_quat_w"])
    up = quat_inv_rotate(quat, np.array([0.0, 0.0, 1.0]))
    cosine = float(up @ array(snapshot["up_b"]))
    return math.acos(min(1.0, max(-1.0, cosine))) if math.isfinite(cosine) else math.nan


def hottest_of(snapshot: Any, names: Sequence[str]) -> tuple[str, float]:
    """The hottest motor and its temperature, degrees Celsius."""
    degrees = array(snapshot["report"]["state"]["motor_temperature"])
    k = int(np.argmax(np.nan_to_num(degrees, nan=-np.inf)))
    return names[k], float(degrees[k])


def hardest_of(snapshot: Any, robot: Robot) -> tuple[str, float]:
    """The joint whose command asks for most of its motor's torque, and that share."""
    report = snapshot["report"]
    share = np.abs(torque_of(report["command"], report)) / array(robot.effort_limit)
    k = int(np.argmax(np.nan_to_num(share, nan=-1.0)))
    return robot.joint_names[k], float(share[k])


def clip_line(snapshot: Any, clips: Sequence[str], control_dt: float) -> str:
    """Which clip is played, where in it, and what comes after it; HTML."""
    mode, number = Mode(int(snapshot["mode"])), int(snapshot["clip"])
    if mode == Mode.HOLD:
        return "a pose at rest"
    if not 1 <= number <= len(clips):
        return "–"
    at = min(int(snapshot["frame"]), int(snapshot["frames"]) - 1) * control_dt
    end = (int(snapshot["frames"]) - 1) * control_dt
    text = f"<b>{number} {html(clips[number - 1], 60)}</b>"
    if mode != Mode.TRACK:
        return f"{text}, {end:.2f} s"
    text += f" {at:.2f} of {end:.2f} s"
    after = [int(each) for each in snapshot["queued"] if 1 <= each <= len(clips)]
    if after:
        text += "; then " + ", ".join(html(clips[each - 1], 30) for each in after)
    return text + ("; repeats" if snapshot["looping"] else "")


def next_line(mode: Mode, robot: Robot) -> str:
    """What may be asked for."""
    if mode == Mode.DAMPING:
        return "" if robot.auto else "damps until <b>reset</b>"
    if robot.auto:
        return "goes by itself, without --manual"
    names = sorted(each.name.lower() for each in FOLLOWERS[mode])
    return f"may follow: <b>{', '.join(names)}</b>" if names else ""


def status_html(
    snapshot: Any,
    robot: Robot,
    control_dt: float,
    *,
    age: float,
    trip: tuple[str, str],
    notes: Sequence[str] = (),
) -> str:
    """Mode, what tripped, clip, tilt, temperature, torque; HTML.

    Args:
        snapshot: the newest one; None where none has come.
        age: s since it came.
        trip: why the guard damps, its name and its sentence, as the guard itself tells the page.
        notes: further warnings, texts.
    """
    if snapshot is None:
        warn = _warnings([*([": ".join(filter(None, trip))] if trip[0] else []), *notes])
        return f'<div class="op">{_badge(Mode.DISCONNECTED, "nothing was heard yet")}{warn}</div>'
    report, mode = snapshot["report"], Mode(int(snapshot["mode"]))
    why = trip if any(trip) else (report["trip"].decode(), report["told"].decode(errors="replace"))
    stop = ": ".join(filter(None, why)) or (
        snapshot["stop"].decode(errors="replace") if mode == Mode.DAMPING else ""
    )
    # The guard damps, whatever the loop said last.
    shown = Mode.DAMPING if any(trip) and mode in ACTIVE else mode
    late = age > SILENT_S and not robot.lock_step
    warned = [f"stopped: {stop}"] if stop else []
    if late or age > 20 * SILENT_S:
        warned.append(f"the policy has said nothing for {age:.1f} s; the numbers below are old")
    badge = _badge(shown, "" if late else f"for {max(0.0, float(snapshot['in_mode'])):.1f} s")
    rows = [("next", next_line(mode, robot))] if next_line(mode, robot) else []
    rows.append(("clip", clip_line(snapshot, robot.clips, control_dt)))
    if report["has_state"]:
        tilt = tilt_of(snapshot)
        rows.append(("tilt", f"{tilt:.2f} rad of {robot.tilt:g}{_bar(tilt / robot.tilt)}"))
        name, degrees = hottest_of(snapshot, robot.joint_names)
        share = degrees / robot.temperature
        rows.append(("hottest", f"{html(name)} {degrees:.0f} °C{_bar(share)}"))
    if report["has_command"]:
        name, share = hardest_of(snapshot, robot)
        rows.append(("torque", f"{html(name)} {100 * share:.0f} % of its most{_bar(share)}"))
    rows.append(("commands", "sent" if robot.send else "<b>none is sent (dry run)</b>"))
    table = "".join(f"<tr><td>{name}</td><td>{text}</td></tr>" for name, text in rows)
    return f'<div class="op">{badge}{_warnings([*warned, *notes])}<table>{table}</table></div>'


def latency_html(snapshot: Any, latencies: Latencies, robot: Robot) -> str:
    """The stages' durations and the late steps; HTML."""
    rows = "".join(
        f"<tr><td>{name}</td><td>{p50:.2f}</td><td>{p99:.2f}</td><td>{most:.2f}</td></tr>"
        for name, p50, p99, most in latencies.table()
    )
    late = "nothing can be late in lock-step"
    if snapshot is not None and not robot.lock_step:
        late = (
            f"{int(snapshot['missed'])} of {int(snapshot['steps'])} steps late, "
            f"{int(snapshot['overruns'])} of the last 50"
        )
    head = "<tr><th>ms</th><th>p50</th><th>p99</th><th>max</th></tr>"
    return f'<div class="op l"><table class="n">{head}{rows}</table>{late}</div>'


def _badge(mode: Mode, small: str) -> str:
    return (
        f'<div class="m" style="background:{COLOURS[mode]}">{mode.name}<small>{small}</small></div>'
    )


def _warnings(texts: Sequence[str]) -> str:
    return "".join(f'<div class="w">{html(text, 240)}</div>' for text in texts)


def _bar(share: float) -> str:
    width = 100.0 * min(1.0, max(0.0, share)) if math.isfinite(share) else 100.0
    colour = "#2b8a3e" if width < 70 else "#e67700" if width < 90 else "#c92a2a"
    return f'<span class="b"><i style="width:{width:.0f}%;background:{colour}"></i></span>'
