"""The curves of a clip as one SVG."""

from __future__ import annotations

import io
from collections.abc import Sequence

from retarget.page.curves import ClipCurves, Moment

_LEFT, _RIGHT, _OTHER = "#3569cc", "#d24d40", "#4b5563"


def clip_plots(curves: ClipCurves, moments: Sequence[Moment] = ()) -> str:
    """SVG text: contacts, soles, depth, joint speeds, limb errors and the root over time."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    rows = 6 if curves.limb_error is not None else 5
    # Text stays text, and identifiers do not change from one run to the next.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "retarget", "font.size": 8}):
        figure = Figure(figsize=(11.0, 1.25 * rows), layout="constrained")
        FigureCanvasSVG(figure)
        axes = list(figure.subplots(rows, 1, sharex=True))
        time = curves.time
        for side, colour, level in ((0, _LEFT, 1.1), (1, _RIGHT, 0.0)):
            axes[0].fill_between(
                time, level, level + curves.contact[:, side], color=colour, linewidth=0
            )
            axes[1].plot(time, 100 * curves.sole_height[:, side], color=colour, linewidth=0.9)
            axes[2].plot(time, curves.sole_speed[:, side], color=colour, linewidth=0.9)
        axes[0].set_yticks([0.5, 1.6], ["right", "left"])
        axes[0].set_ylabel("source\nstands")
        axes[1].set_ylabel("sole\nheight, cm")
        axes[2].set_ylabel("sole speed\nm/s")
        axes[3].plot(time, 100 * curves.joint_speed, color=_OTHER, linewidth=0.9)
        axes[3].axhline(100, color="0.7", linewidth=0.8)
        axes[3].set_ylabel("fastest joint\n% of limit")
        axes[4].plot(time, curves.root[:, 2], color=_OTHER, linewidth=0.9)
        axes[4].set_ylabel("base\nheight, m")
        if curves.limb_error is not None:
            axes[5].plot(time, curves.limb_error, color=_OTHER, linewidth=0.9)
            axes[5].set_ylabel("limb\nerror, deg")
        # Not less than this, or nothing would be drawn large.
        least = [(0.0, 2.1), (-1.0, 5.0), (0.0, 0.5), (0.0, 105.0), (0.0, 0.2), (0.0, 2.0)]
        for axis, (low, high) in zip(axes, least, strict=False):
            bottom, top = axis.get_ylim()
            axis.set_ylim(min(bottom, low), max(top, high))
        axes[-1].set_xlabel("s")
        axes[-1].set_xlim(time[0], time[-1])
        for axis in axes:
            for moment in moments:
                axis.axvline(time[moment.frame], color="0.5", linewidth=0.8, linestyle=":")
            axis.spines[["top", "right"]].set_visible(False)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]
